"""The ready-made teams, and where they are found by name."""
