"""Git: status, diff, branch and commit in a copy of a project; what leaves it is proposed."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.git.tools import git_tools as git_tools
offer(__name__)
