"""What is public changes with a line in public_api.txt and one in the changelog, as docs/stability.md promises."""

from difflib import unified_diff

from public_api import FILE, MODULES, listing

import diffkit

HOW = """\
The public API is another one than tests/public_api.txt says. docs/stability.md says what may change in which version:
what others use is deprecated first, and a change that breaks plugins raises diffkit.API. If it is meant, write the file
anew by `python tests/public_api.py`, and say it in CHANGELOG.md.
"""


def test_the_public_api_is_the_one_that_is_written_down():
    written = FILE.read_text(encoding="utf-8").splitlines()
    change = list(unified_diff(written, listing(), "written", "found", n=0, lineterm=""))
    assert not change, "\n".join([HOW, *change])


def test_a_change_would_be_seen(monkeypatch):
    before = set(listing())
    assert "diffkit.create(kind, name, **values)" in before
    assert "abstract diffkit.core.Grid.__call__(self, schedule)" in before
    assert "hook.diffkit_components(self)" in before
    assert all(any(line.startswith(f"{module}.") for line in before) for module in MODULES)
    monkeypatch.setattr(diffkit, "create", lambda kind, name, strict=False: None)
    assert set(listing()) - before == {"diffkit.create(kind, name, strict=False)"}
