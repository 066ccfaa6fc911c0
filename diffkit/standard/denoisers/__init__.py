"""Denoiser networks, one a file."""
