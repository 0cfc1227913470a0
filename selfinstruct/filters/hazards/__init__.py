"""The words by which danger is found, language by language."""
