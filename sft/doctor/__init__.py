"""Proofs on the user's machine that a training run would be right."""
