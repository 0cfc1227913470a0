"""Licences and output terms of what a model is made from, as data, and what follows from them."""
