"""Rows in tar files that may lie anywhere: what they are called, where each member is, how they are fetched."""
