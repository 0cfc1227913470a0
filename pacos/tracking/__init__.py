"""Metrics: names, metrics.jsonl, and the W&B mirror."""
