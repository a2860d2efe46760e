"""Policy: which action is allowed, asked about or denied, by tool and argument."""
