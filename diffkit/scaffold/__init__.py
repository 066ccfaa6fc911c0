"""`diffkit new`: a plugin's package, written from templates that are working code."""
