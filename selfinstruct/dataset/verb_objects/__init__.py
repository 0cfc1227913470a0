"""What an instruction asks for: its verb and the noun that the verb is about, by light rules."""
