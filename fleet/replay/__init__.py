"""Runs told again: their history, and their replay as a test."""
