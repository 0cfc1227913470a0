"""The data set of a run: its files, its card, its measures and the requirements on them."""
