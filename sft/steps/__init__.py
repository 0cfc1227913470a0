"""From token rows to the batches of one optimizer step."""
