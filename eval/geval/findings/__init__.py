"""Trust in a judge's scores: agreement with people, biases, certificates."""
