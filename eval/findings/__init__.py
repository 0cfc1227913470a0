"""Conclusions from scores: comparisons, standard errors, contamination, the summary table."""
