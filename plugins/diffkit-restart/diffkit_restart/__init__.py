"""Restart sampling for diffkit: `sampler=restarts grid=stops`."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """A sampler and a grid, named by strings, so that listing them imports neither."""
    return [
        diffkit.Component("sampler", "restarts", "diffkit_restart.sampler:Restarts"),
        diffkit.Component("grid", "stops", "diffkit_restart.grid:Stops"),
    ]
