"""Rubrics of G-Eval and their prompts. Free of torch."""
