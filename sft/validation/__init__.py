"""Measurements during training: held-out rows and evaluation suites."""
