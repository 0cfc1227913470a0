"""The meaning of a row: its schema, its turns, its calls of tools, and trees of messages."""
