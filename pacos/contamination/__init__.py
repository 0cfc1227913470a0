"""Which benchmark items a row of training data gives away."""
