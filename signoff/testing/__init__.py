"""Doubles that speak the real protocols, for the tests of signoff and of those who build on it."""
