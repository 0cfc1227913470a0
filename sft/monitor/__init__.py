"""The watch over a run: health, hangs, stop requests, wall time."""
