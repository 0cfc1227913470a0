"""Config types of data generation, one module for each group in conf/. Free of torch."""
