"""Recordings of model calls, and their replay."""
