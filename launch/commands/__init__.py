"""The commands of `pacos`, one module each."""
