"""Sweeps: many runs from one command, over listed points or points that a search proposes."""
