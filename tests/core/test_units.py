"""Units in the headers of tables."""

import pytest

from diffkit.core.units import named_unit, with_unit


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [
        ("bill_length (mm)", "bill_length", "mm"),
        ("bill length [mm]", "bill length", "mm"),
        (" mass(g) ", "mass", "g"),
        ("speed (m/s)", "speed", "m/s"),
        ("p (x) (Pa)", "p (x)", "Pa"),
        ("bill_length_mm", "bill_length_mm", ""),
        ("(mm)", "(mm)", ""),
        ("", "", ""),
    ],
)
def test_a_header_is_a_name_and_a_unit(header: str, name: str, unit: str) -> None:
    assert named_unit(header) == (name, unit)
    assert named_unit(with_unit(name, unit)) == (name, unit)
