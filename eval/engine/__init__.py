"""The evaluated model: batched scoring and decoding that compute shared context once."""
