"""Analysis: tables as a database, statistics and charts."""
