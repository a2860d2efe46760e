"""What several tools need: confined folders, whole writes, blobs, workspaces, and the environment of programs."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.tools.storage.atomic import beside as beside, check_place as check_place, write_whole as write_whole
    from signoff.tools.storage.blobs import Blobs as Blobs
    from signoff.tools.storage.confined_folder import ConfinedFolder as ConfinedFolder
    from signoff.tools.storage.workspaces import Workspaces as Workspaces, current_thread as current_thread
offer(__name__)
