"""Budgets: reserved before a call, settled after it, and a row for each call."""
