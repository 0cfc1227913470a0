"""G-Eval: a language model scores texts by written criteria, and people check the judge."""
