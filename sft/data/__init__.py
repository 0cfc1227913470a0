"""From rows on disk to tokens."""
