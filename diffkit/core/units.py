"""Names of columns with their units, as a table's header writes them: `bill_length (mm)`."""

import re

_HEADER = re.compile(r"(?P<name>.*\S)\s*(?:\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\])")


def named_unit(header: str) -> tuple[str, str]:
    """The name and the unit of `name (unit)` or `name [unit]`; the unit is empty where none is said."""
    found = _HEADER.fullmatch(header.strip())
    if found is None:
        return header.strip(), ""
    unit = found["round"] if found["square"] is None else found["square"]
    return found["name"], unit.strip()


def with_unit(name: str, unit: str) -> str:
    """`name (unit)`; the name alone where there is no unit."""
    return f"{name} ({unit})" if unit else name
