"""Isolation layers from kernel features: namespaces, Landlock, seccomp, resource limits."""
