"""The model: weights, attention, output head and loss."""
