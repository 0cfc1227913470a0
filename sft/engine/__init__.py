"""The DeepSpeed engine: its config, optimizer, compiled ops, private state and launcher."""
