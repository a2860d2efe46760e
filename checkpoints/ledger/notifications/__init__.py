"""Notices of what waits for people, and the hooks that they go to."""
