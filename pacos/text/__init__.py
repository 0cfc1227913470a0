"""Plain functions on text: words, languages, durations."""
