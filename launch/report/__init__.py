"""Reports: one self-contained HTML page for a run, a pipeline or a sweep."""
