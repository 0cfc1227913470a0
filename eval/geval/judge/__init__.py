"""The judge: its prompts, its replies, and scores weighted by probability."""
