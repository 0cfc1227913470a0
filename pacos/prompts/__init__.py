"""Prompt formats: conversations as text, and text as tokens with a loss or without."""
