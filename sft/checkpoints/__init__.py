"""Checkpoints that any number of ranks under any ZeRO stage can go on from, exactly."""
