"""Rows to train on: where they lie, in which form, and the conversations that they are."""
