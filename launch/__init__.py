"""The front door: compose, validate, freeze, dispatch. Free of torch."""
