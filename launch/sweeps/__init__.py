"""Many runs of one command: the points of a multirun, and searches."""
