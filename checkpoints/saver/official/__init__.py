"""Files of LangGraph's own SQLite saver, read and imported."""
