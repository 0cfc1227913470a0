"""The front end: composes, validates, freezes and starts runs. Free of torch."""
