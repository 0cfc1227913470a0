"""`pacos plan`: memory, time and cost of a training run, and a better way to run it."""
