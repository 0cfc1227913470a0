"""Requests over HTTP: one session, the wire format, rate limits and failures."""
