"""Versions of the libraries that the tests run with. Free of torch."""

TESTED = {
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "accelerate": "1.15.0",
    "deepspeed": "0.19.8",
}
"""Package to version, as constraints.txt pins them."""
