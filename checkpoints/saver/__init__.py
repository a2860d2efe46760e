"""The checkpoint saver: any LangGraph graph in SQLite, only what is new written."""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.checkpoints.saver.rows import ThreadEntry as ThreadEntry, list_threads as list_threads
    from signoff.checkpoints.saver.saver import SqliteCheckpointer as SqliteCheckpointer
offer(__name__)
