"""The commands that run a stage: their help, and what they start."""
