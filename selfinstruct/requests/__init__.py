"""Requests to the generator: the two methods, their prompts and their examples."""
