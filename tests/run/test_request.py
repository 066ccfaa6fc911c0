"""What is asked for becomes rows, or one sentence that says what is wrong with it."""

import pytest
import small
import torch

from diffkit.compose.build import create, part
from diffkit.core.condition import Condition, ConditionSpec
from diffkit.core.conditioner import Conditioner, Conditioners
from diffkit.core.errors import DiffkitError
from diffkit.core.model import DiffusionModel
from diffkit.run.request import request
from diffkit.standard.denoisers.egnn import Egnn
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


class Count(Conditioner):
    """The label is the number of points, of four."""

    key = "label"

    @property
    def spec(self):
        return ConditionSpec(present=True)

    def forward(self, batch):
        return Condition(present=torch.arange(4) < batch["label"][:, None])


def test_how_many_points_there_are_must_be_told_of_every_sample():
    parts = create("prediction", "v"), create("schedule", "cosine"), Conditioners([Count()], (4,))
    model = DiffusionModel(Egnn((2, 4), ConditionSpec()), *parts, create("codec", "identity"))
    assert request(model, SPEC, {"label": [1, 3]}, []).columns["label"].tolist() == [1, 3]
    for label in (None, [1, None]):
        with pytest.raises(DiffkitError, match=r"Count reads off a label how many .*: give label="):
            request(model, SPEC, {"n": 2, "label": label}, [])
