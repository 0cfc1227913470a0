"""The DeepSpeed engine, its optimizer, its compiled ops and its ranks."""
