"""The function bodies: work done without a model, by retrieval, extraction and comparison."""
