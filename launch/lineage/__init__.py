"""The chain from seeds to scores, as the manifests of the runs record it."""
