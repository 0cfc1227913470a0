"""The LM evaluation harness: suites, local data, results."""
