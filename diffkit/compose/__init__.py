"""From names to objects: plugins, Hydra, building, checking."""
