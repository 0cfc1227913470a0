"""From candidate to verdict: filters, novelty, benchmark leaks, an LLM judge."""
