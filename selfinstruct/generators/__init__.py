"""The generator: the language model that writes tasks, in this process or behind a service."""
