"""Rows as the model sees them: `pacos preview`."""
