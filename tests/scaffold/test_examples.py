"""The templates' parts are short, and are examples of their kinds."""

import ast

import pytest

from diffkit.compose.registry import KINDS
from diffkit.scaffold.render import example, example_class

LINES = 30


def code_lines(source: str) -> int:
    """Lines with code: those that are blank, of comments, of imports or of docstrings do not count."""
    tree, left_out = ast.parse(source), set[int]()
    for node in ast.walk(tree):
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Import | ast.ImportFrom) or typing or words:
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(bool(line.split("#")[0].strip()) and number not in left_out for number, line in lines)


def test_code_lines_are_counted_as_they_say():
    assert (
        code_lines(
            '"""Doc."""\n\nimport math\n\n\ndef f():\n    """Doc\n    doc."""\n    # why\n    return 1  # because\n'
        )
        == 2
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_example_of_each_kind_is_under_30_lines(kind):
    source = example(kind.name)
    assert code_lines(source) < LINES
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert classes == [example_class(kind.name)]
