"""Requests over HTTP: the session, wire formats, rate limits and failures."""
