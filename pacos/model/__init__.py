"""Models: where they lie, their shapes, prompt formats and sampling."""
