"""Git: status, diff, branch and commit in a copy of a project; what leaves it is proposed."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.tools.git.tools import git_tools as git_tools
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
