"""Runs generated code that may be hostile; see docs/sandbox.md.

Tests stay here, in the process that is trusted. Only what the tests hand over and what comes back
crosses, as plain data.
"""
