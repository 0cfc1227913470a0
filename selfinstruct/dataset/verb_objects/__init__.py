"""The verb of an instruction and its object, found by light rules instead of a parser."""
