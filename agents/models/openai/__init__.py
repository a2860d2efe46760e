"""A chat model for OpenAI-compatible endpoints, and its HTTP client."""
