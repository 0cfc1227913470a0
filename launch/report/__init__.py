"""One self-contained HTML page of a run, a pipeline or a sweep."""
