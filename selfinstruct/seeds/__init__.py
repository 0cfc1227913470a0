"""Seed tasks: the shipped pools, one JSONL file per language, and the reader of seed files."""
