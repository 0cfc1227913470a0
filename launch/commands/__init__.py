"""The commands of `pacos`, one module each: `declare` its arguments, then `run` it."""
