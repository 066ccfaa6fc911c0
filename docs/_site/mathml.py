"""A mkdocs hook: turns the pages' LaTeX into MathML while the site is built, so that a browser needs no script."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(html.unescape(match[2]).strip(), display=display)


def on_page_content(content: str, **_: Any) -> str:
    """The page's HTML with each formula as MathML."""
    return _MATH.sub(_mathml, content)
