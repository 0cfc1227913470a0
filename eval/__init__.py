"""Evaluation with the LM evaluation harness and beyond it."""
