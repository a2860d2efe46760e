"""The sandbox: where code that nobody has read may run."""
