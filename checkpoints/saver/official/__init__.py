"""Files of LangGraph's own SQLite saver, read and imported."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.saver.official.importer import ImportProgress as ImportProgress
    from signoff.checkpoints.saver.official.importer import import_official as import_official
offer(__name__)
