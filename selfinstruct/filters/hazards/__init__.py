"""Lexicons of dangerous language, one per language, that the safety filter matches."""
