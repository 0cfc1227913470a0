"""The items of benchmarks, read from local files without the harness that scores them."""
