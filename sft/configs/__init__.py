"""Config types of training, one module for each group in conf/. Free of torch."""
