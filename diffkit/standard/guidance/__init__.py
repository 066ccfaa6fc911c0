"""Guidance, one a file."""
