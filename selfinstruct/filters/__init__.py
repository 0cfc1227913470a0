"""Filters: pure functions that return the reason to reject a candidate, or None."""
