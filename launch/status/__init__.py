"""State of runs and sweeps."""
