"""The databases: SQLite and PostgreSQL, their transactions, locks and forks."""
