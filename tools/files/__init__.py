"""Files: read, search, edit and patch a copy of a project; what leaves it is proposed."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.tools.files.copying import ProjectLimits as ProjectLimits
    from signoff.tools.files.project import Project as Project
    from signoff.tools.files.tools import file_tools as file_tools
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
