"""The rows and files that a run was made from, read back from its records."""
