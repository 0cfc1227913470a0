"""Metrics: their names, metrics.jsonl and the W&B mirror."""
