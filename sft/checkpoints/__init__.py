"""Checkpoints from which any number of ranks under any ZeRO stage can continue exactly."""
