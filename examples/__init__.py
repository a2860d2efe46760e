"""Examples: work that teams are given, with what judges it."""
