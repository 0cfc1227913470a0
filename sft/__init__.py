"""Full fine-tuning on the DeepSpeed engine."""
