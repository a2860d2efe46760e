"""What `worth.py` asks, of which documents, and how what is shown is scored."""
