"""Config types of evaluation, one module for each group of keys. Free of torch."""
