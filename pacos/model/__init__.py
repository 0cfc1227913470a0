"""Models: paths, architectures, sizes, tokenizers, prompt formats and sampling."""
