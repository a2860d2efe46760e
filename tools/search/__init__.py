"""A folder of documents, indexed and searched."""
