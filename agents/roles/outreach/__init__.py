"""Roles that write to others: candidates whom people confirm, messages, rows for a CRM and what became of them."""
