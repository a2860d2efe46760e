"""What stands around every model call: settings, budgets, rates, retries, stand-ins, prices."""
