"""What comes out of a run: files, card, measures, and what demonstration data must be."""
