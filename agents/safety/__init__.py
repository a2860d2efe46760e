"""What guards a prompt: private data, injected orders, hidden text, and where a text came from."""
