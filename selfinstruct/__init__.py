"""Grows instruction data from a few hand-written seed tasks (Self-Instruct, Alpaca)."""
