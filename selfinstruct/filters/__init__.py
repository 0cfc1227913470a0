"""What keeps a candidate out of the pool, and the reason that it is given."""
