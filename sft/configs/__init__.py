"""The config types of training, one module per config group. Free of torch."""
