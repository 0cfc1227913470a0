"""Decontamination: the search for benchmark items that a row of training data gives away."""
