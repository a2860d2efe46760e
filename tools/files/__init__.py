"""Files: read, search, edit and patch a copy of a project; what leaves it is proposed."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.files.apply import Change as Change, Version as Version, apply_patch as apply_patch
    from signoff.tools.files.apply import changed_by as changed_by, changes_between as changes_between
    from signoff.tools.files.apply import make_patch as make_patch
    from signoff.tools.files.apply_action import apply_to_project as apply_to_project, keep_changes as keep_changes
    from signoff.tools.files.patch import count_lines as count_lines
    from signoff.tools.files.copying import ProjectLimits as ProjectLimits
    from signoff.tools.files.project import Project as Project
    from signoff.tools.files.repository_map import map_repository as map_repository
    from signoff.tools.files.self_running import with_warning as with_warning
    from signoff.tools.files.tools import FilesOfCopy as FilesOfCopy, file_tools as file_tools
offer(__name__)
