"""A local web page on which a person looks at items of a run, one by one, and rates them."""
