"""Base names: what emoji that are near-copies of each other have in common."""

import re

WHO = "man men woman women and person people boy girl child adult old older bald beard blond curly hair"
COLOURS = "red orange yellow green blue purple brown black white grey pink light"
SIZES = "large medium small"
SIDES = "left right up down leftwards rightwards upwards downwards facing pointing"
NUMBERS = "one two three four five six seven eight nine ten eleven twelve"
DROPPED = frozenset(" ".join((WHO, COLOURS, SIZES, SIDES, NUMBERS)).split())
"""Words that tell near-copies apart."""

SAME_WORD = {
    "o\u2019clock": "clock",
    "thirty": "clock",
    "pouting": "frowning",
    "unlocked": "locked",
    "merman": "mermaid",
    "merperson": "mermaid",
    "prince": "princess",
    "Mrs.": "Santa",
    "Mx": "Santa",
    "circle": "square",
}
SAME_PICTURE = {
    "Bouvet Island": "Norway",
    "Ceuta & Melilla": "Spain",
    "Clipperton Island": "France",
    "Diego Garcia": "British Indian Ocean Territory",
    "Heard Island & McDonald Islands": "Australia",
    "Monaco": "Indonesia",
    "Romania": "Chad",
    "St. Martin": "France",
    "Svalbard & Jan Mayen": "Norway",
    "U.S. Outlying Islands": "United States",
    "confused face": "neutral face",
}
"""Names of which the pictures are alike, or nearly so."""

_NUMBER = re.compile(r"[#*\d]+(st|nd|rd)?")


def base_name(name: str) -> str:
    """An emoji's English name without what tells it from its near-copies.

    Those are another gender, age or hair, a colour, a size, a side, a number or an hour: `"woman artist"` is an
    `"artist"`, `"keycap 7"` a `"keycap"`, `"three-thirty"` a `"clock"`. Where nothing is left it is a
    `"person"`. Flags have base names of their own, but for those that look alike.
    """
    words = [SAME_WORD.get(word, word) for word in re.split("[ -]", SAME_PICTURE.get(name, name))]
    kept = [word for word in words if word not in DROPPED and not _NUMBER.fullmatch(word)]
    return " ".join(kept) or "person"
