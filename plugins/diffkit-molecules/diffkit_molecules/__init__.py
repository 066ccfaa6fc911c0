"""Molecules in space for diffkit: data, a conditioner that reads formulas, metrics, and a preset."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """The parts."""
    return [
        diffkit.Component("data", "molecules", "diffkit_molecules.data:Molecules"),
        diffkit.Component("conditioner", "atoms", "diffkit_molecules.atoms:Atoms"),
        diffkit.Component("metric", "bond_lengths", "diffkit_molecules.metrics:BondLengths"),
        diffkit.Component("metric", "sound_molecules", "diffkit_molecules.metrics:SoundMolecules"),
    ]


@diffkit.hookimpl
def diffkit_configs() -> list[str]:
    """The preset."""
    return ["diffkit_molecules.conf"]
