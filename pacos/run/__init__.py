"""The run directory: its files, its lives, and how a stage's program starts and stops in it."""
