"""Codecs, one or a few related ones a file."""
