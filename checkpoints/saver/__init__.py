"""The checkpoint saver: any LangGraph graph in SQLite, only what is new written."""

from typing import TYPE_CHECKING

from signoff.exports import lazy_exports

if TYPE_CHECKING:
    from signoff.checkpoints.saver.rows import ThreadEntry as ThreadEntry, list_threads as list_threads
    from signoff.checkpoints.saver.saver import SqliteCheckpointer as SqliteCheckpointer
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__)
