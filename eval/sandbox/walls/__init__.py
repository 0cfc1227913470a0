"""Kernel features that confine a process: namespaces, Landlock, seccomp."""
