"""The path from rows on disk to tokens."""
