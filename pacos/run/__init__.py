"""Runs: their manifest and lives, and how a stage's program starts and stops."""
