"""What is remembered: the LangGraph saver and the ledger."""
