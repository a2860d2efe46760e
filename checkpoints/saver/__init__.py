"""The checkpoint saver: any LangGraph graph in SQLite, only what is new written."""
