"""Watching a run: health, stalls, stop requests and wall time."""
