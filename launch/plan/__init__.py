"""`pacos plan`: whether a training run fits, how long it takes, and what would be better."""
