"""Config types of data generation, one module per group of conf/; free of torch."""
