"""Benchmarks and their items, read from local files without the harness that scores them."""
