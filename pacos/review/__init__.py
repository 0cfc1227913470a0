"""A local web page on which a person rates items of a run, one by one."""
