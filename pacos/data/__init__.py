"""Data sets: their location, their format on disk, and their rows as conversations."""
