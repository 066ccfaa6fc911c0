"""Tables in files: read in pieces, and kept as files that are mapped into memory."""
