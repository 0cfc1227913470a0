"""The way from token rows to the batches of one optimizer step."""
