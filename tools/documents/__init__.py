"""Documents of every kind, read as blocks of text."""
