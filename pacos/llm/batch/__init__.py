"""Requests through the Batch API."""
