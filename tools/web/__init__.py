"""The web: search and fetch, both off unless configured; what is fetched is kept, so that it can be quoted."""
