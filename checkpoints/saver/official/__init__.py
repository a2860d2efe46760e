"""Files of LangGraph's own SQLite saver, read and imported."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.checkpoints.saver.official.importer import ImportProgress as ImportProgress
    from signoff.checkpoints.saver.official.importer import import_official as import_official
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
