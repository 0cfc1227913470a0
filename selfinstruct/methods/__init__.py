"""The two bootstrapping methods: Alpaca (one step) and Self-Instruct (instructions first)."""
