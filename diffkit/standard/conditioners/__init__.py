"""Conditioners, one a file."""
