"""A small working part of each kind: what `diffkit new plugin` writes, and the examples of the documentation.

Each is a module as it stands in a plugin called `my-<kind>`, but for its name there.
"""
