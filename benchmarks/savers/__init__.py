"""Savers that `checkpoints.py` compares, and what runs LangGraph's own tests with ours."""
