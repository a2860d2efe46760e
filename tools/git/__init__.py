"""Git: status, diff, branch and commit in a copy of a project; what leaves it is proposed."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.git.command import run_git as run_git
    from signoff.tools.git.pull_requests import GitHub as GitHub
    from signoff.tools.git.repository import uncommitted as uncommitted
    from signoff.tools.git.tools import address_of as address_of, branch_of as branch_of, git_tools as git_tools
    from signoff.tools.git.tools import on_github as on_github
    from signoff.tools.git.tools import open_any_pull_request as open_any_pull_request, pull_of as pull_of
    from signoff.tools.git.tools import push_any_branch as push_any_branch
offer(__name__)
