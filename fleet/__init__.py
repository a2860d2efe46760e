"""Runs: starting, driving, resuming and deciding them."""
