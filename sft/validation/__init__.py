"""Measurements during training: held-out rows, and suites of eval."""
