"""The ledger: runs, approvals, effects, budgets, usage and the audit log."""
