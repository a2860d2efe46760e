"""The broker of secrets: a process beside the run that adds credentials to requests, so that nobody else holds them."""
