"""What is asked for becomes rows, or one sentence that says what is wrong with it."""

import pytest
import small
import torch

from diffkit.compose.build import part
from diffkit.core.errors import DiffkitError
from diffkit.run.request import request
from diffkit.standard.guidance.cfg import Cfg

MODELS = {kind: small.model(small.choices(kind)) for kind in ("text", "class", "none")}
SPEC = part("data", {"_part_": "digits"}, seed=0).spec


def ask(kind="text", guided=True, **asked):
    return request(MODELS[kind], SPEC, asked, [Cfg()] if guided else [])


def test_n_counts_the_samples_of_each_prompt():
    assert ask(n=3, prompt="two").columns == {"text": ["two"] * 3}
    several = ask(n=2, prompt=["two", "three"])
    assert several.rows == 4 and several.columns == {"text": ["two", "two", "three", "three"]}


def test_labels_and_no_condition():
    assert ask("class", n=2, label=[1, 2]).columns["label"].tolist() == [1, 1, 2, 2]
    assert ask("none", n=2).columns == {} and ask("text", n=2).rows == 2


def test_a_file_of_prompts(tmp_path):
    (tmp_path / "p.txt").write_text("one\n\n  zwölf \n", encoding="utf-8")
    assert ask(n=1, prompts=str(tmp_path / "p.txt")).columns == {"text": ["one", "zwölf"]}


def test_negative_is_a_text_or_a_label():
    assert ask(n=2, prompt="two", negative="one").negative == {"text": ["one", "one"]}
    assert torch.equal(ask("class", n=2, label=1, negative=3).negative["label"], torch.tensor([3, 3]))
    assert ask(n=1, prompt=7, negative=1).negative == {"text": ["1"]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, "n=0: give the number of samples, 1 or more"),
        ({"n": 1, "prompt": ""}, "a prompt is empty"),
        ({"n": 1, "prompt": []}, "prompt is an empty list"),
        ({"n": 1, "prompt": ["a", "b"], "prompts": "file"}, "leave one out"),
        ({"n": 1, "prompts": "/no/such/file"}, "cannot be read"),
        ({"n": 1, "label": 3}, "trained with text alone: use prompt="),
        ({"n": 1, "kind": "class", "label": 10}, "give a number from 0 to 9"),
        ({"n": 1, "kind": "class", "label": -1}, "give a number from 0 to 9"),
        ({"n": 1, "kind": "class", "label": "three"}, "give a whole number"),
        ({"n": 1, "kind": "class", "label": []}, "empty list"),
        ({"n": 1, "kind": "class", "prompt": "three"}, "trained with label alone: use label="),
        ({"n": 1, "kind": "none", "prompt": "three"}, "is unconditional"),
        ({"n": 1, "kind": "none", "negative": "three"}, "is unconditional"),
        ({"n": 1, "kind": "class", "negative": [1, 2]}, "negative has 2 values beside 1"),
        ({"n": 1, "prompt": "a", "negative": "b", "guided": False}, "does nothing without guidance"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(asked, message):
    with pytest.raises(DiffkitError, match=message):
        ask(**asked)


def test_an_empty_file_of_prompts_is_refused(tmp_path):
    (tmp_path / "p.txt").write_text(" \n\n")
    with pytest.raises(DiffkitError, match="holds no prompt"):
        ask(n=1, prompts=str(tmp_path / "p.txt"))
