"""Proving a part: oracles and contracts that a plugin author imports."""
