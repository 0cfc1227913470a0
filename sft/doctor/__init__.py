"""Checks on the user's machine that a training run would compute the right thing."""
