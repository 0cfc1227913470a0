"""What a judge's scores are worth: agreement with people, biases, certificates."""
