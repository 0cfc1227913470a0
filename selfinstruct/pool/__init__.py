"""The task pool and its novelty index."""
