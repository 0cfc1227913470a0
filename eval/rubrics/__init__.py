"""G-Eval rubrics and the prompts that belong to them. Free of torch."""
