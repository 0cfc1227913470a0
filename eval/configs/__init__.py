"""Config types of evaluation, one module per group of keys. Free of torch."""
