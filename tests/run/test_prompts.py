"""Prompts, classes, both or nothing in one run; and prompts of every kind that people, and files, come up with."""

from time import process_time

import numpy as np
import pytest
import small
import torch

from diffkit.compose.build import create, part
from diffkit.core.condition import Condition, mix
from diffkit.core.errors import DiffkitError, DiffkitWarning
from diffkit.run import pictures
from diffkit.run.captions import LONGEST, caption, title
from diffkit.run.generate import Sampling, generate
from diffkit.run.predictor import Predictor
from diffkit.run.request import request
from diffkit.run.rows import checked_rows
from diffkit.run.sample import readable, sample
from diffkit.run.shards import as_array
from diffkit.standard.guidance.cfg import Cfg

BOTH = small.model(small.choices("both"))
SPEC = part("data", {"_part_": "digits"}, seed=0).spec
STRANGE = ["🍎 red\napple", "שלום", "e\u0301\u0301", "a\x00b", "$x_2", "七つ", "\u200d", "\x07"]
STRANGE += ["w " * 50_000, "x" * 100_000]


class Towards(Cfg):
    """Reads labels, as a guidance by a classifier does."""

    reads = ("label",)


def ask(model=BOTH, guidance=None, **asked):
    return request(model, SPEC, asked, [Cfg()] if guidance is None else guidance)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small.run_folder(tmp_path_factory.mktemp("runs") / "both", "both")


def drawn(**asked):
    """Samples of seed 3, at a scale that is felt."""
    rows = ask(**asked)
    chosen = Sampling(create("sampler", "ddim"), create("grid", "uniform", steps=3), [Cfg(3.0)], rows.edit)
    return generate(BOTH, SPEC, chosen, rows.columns, range(rows.rows), 3, rows.negative)


def test_each_row_is_what_a_run_of_its_own_request_gives():
    texts, labels, negatives = ["a three", None, "a seven", None], [None, 5, 7, None], ["one", 3, None, "one"]
    mixed = drawn(prompt=texts, label=labels, negative=negatives)
    for i, (text, label, negative) in enumerate(zip(texts, labels, negatives, strict=True)):
        alone = drawn(n=4, prompt=text, label=label, negative=negative)[i]
        torch.testing.assert_close(mixed[i], alone, rtol=0, atol=1e-4)
        for name, value in (("prompt", text), ("label", label), ("negative", negative)):
            without = {"n": 4, "prompt": text, "label": label, "negative": negative} | {name: None}
            assert value is None or (drawn(**without)[i] - alone).abs().max() > 1e-3, f"{name} {value} does nothing"


def test_silence_is_a_column_less():
    assert ask(prompt=[None, None], label=3).columns.keys() == {"label"}
    assert ask(prompt=[None, None]).rows == 2 and ask(prompt=[None, None]).columns == {}
    assert ask(n=2, prompt=["a", None], label=[None, 4]).columns["label"].tolist() == [-1, -1, 4, 4]
    with pytest.raises(DiffkitError, match="prompt has 2 values beside 3"):
        ask(prompt=[None, None], label=[1, 2, 3])


def test_a_guidance_needs_one_row_that_says_what_it_steers_towards():
    assert ask(guidance=[Towards()], label=[None, 5]).columns["label"].tolist() == [-1, 5]
    for asked in ({"label": [None, None]}, {"prompt": ["a", "b"]}):
        with pytest.raises(DiffkitError, match="steers towards a label, and there is none"):
            ask(guidance=[Towards()], **asked)


def test_negatives_are_texts_or_classes_one_for_all_or_one_for_each():
    assert ask(n=2, prompt=["a", "b"], negative=["c", None]).negative == {"text": ["c", "c", None, None]}
    assert ask(prompt=["a", "b"], negative=[None, None]).negative is None
    one = ask(prompt=["a", "b"], negative=["c", 5]).negative
    assert one["text"] == ["c", None] and one["label"].tolist() == [-1, 5]
    only_text = small.model(small.choices("text"))
    assert ask(only_text, prompt="a", negative=5).negative == {"text": ["5"]}
    with pytest.raises(DiffkitError, match="negative=15 is not a class"):
        ask(prompt="a", negative=15)


def test_files_and_pictures_of_mixed_rows_and_a_run_that_goes_on(run, tmp_path, monkeypatch):
    asked = {"prompt": ["a three", None, "a seven", None], "label": [None, 5, 7, None], "n": 1, "batch_size": 2}
    whole = sample(small.asked(run, out=str(tmp_path / "whole"), **asked))
    with np.load(whole / "samples.npz", allow_pickle=False) as file:
        assert file["text"].tolist() == ["a three", "", "a seven", ""] and file["label"].tolist() == [-1, 5, 7, -1]
        x, columns = torch.from_numpy(file["x"]), {"text": file["text"], "label": file["label"]}
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        real = Predictor.predict_step
        stop = lambda self, batch, i: real(self, batch, i) if i < 1 else (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
        patch.setattr(Predictor, "predict_step", stop)
        sample(small.asked(run, out=str(tmp_path / "parts"), **asked))
    parts = sample(small.asked(run, out=str(tmp_path / "parts"), **asked))
    for name in ("samples.npz", "samples.yaml", "grid.png"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    read = checked_rows(x.round(), columns, SPEC, "file=samples.npz")
    assert read["text"] == asked["prompt"] and read["label"].tolist() == [-1, 5, 7, -1]
    given = checked_rows(x.round(), {"text": asked["prompt"], "label": asked["label"]}, SPEC, "log_likelihood")
    assert given["text"] == asked["prompt"] and given["label"].tolist() == [-1, 5, 7, -1]


def test_agreement_counts_the_rows_that_asked_for_a_class():
    data = create("data", "digits", seed=0)
    rows = data.reference("test")
    x, label = SPEC.restore(rows["x"][:40]), rows["label"][:40]
    metric = create("metric", "agreement", data=data)
    metric.update(x, {"label": label})
    all_told = metric.compute()
    metric.update(x, {"label": torch.full((40,), -1)})
    assert metric.compute() == all_told > 0.9
    metric.reset()
    metric.update(x[:2], {"label": torch.tensor([-1, -1])})
    assert metric.compute().isnan()


def test_captions_say_all_that_a_row_was_told():
    told = {"text": ["a", None, "b", None], "label": torch.tensor([-1, 5, 7, -1])}
    assert caption(told, 4) == ["a", "label 5", "b, label 7", ""]
    share = {"share": torch.zeros(2, dtype=torch.float64)}
    assert caption({"text": ["a"] * 2, "text_to": [None] * 2, **share}, 2) == ["a → nothing"] * 2
    assert caption({"label": torch.tensor([1]), "label_to": torch.tensor([2])}, 1) == ["label 1"]


@pytest.mark.parametrize("data", ["digits", "moons"])
def test_any_text_is_a_title(data):
    """No warning of a missing sign (warnings are errors), no mathematics, no time, and something to see."""
    part = create("data", data, seed=0)
    start = process_time()
    shown = pictures.grid(part, torch.rand(len(STRANGE), *part.spec.shape), {"text": STRANGE})
    lines = (-(-len(STRANGE) // 8), 8) if len(part.spec.shape) > 1 else (1, 8, 1)
    none = part.draw(torch.rand(*lines, *part.spec.shape))
    assert shown.height > none.height and process_time() - start < 8
    assert all(0 < len(title(text)) <= LONGEST for text in STRANGE)
    assert title("🍎 red\napple") == "□ red apple" and title("e\u0301 שלום") == "e\u0301 שלום"


def test_an_untold_panel_keeps_its_place(monkeypatch):
    moons, titles = create("data", "moons", seed=0), []
    draw = type(moons).draw
    monkeypatch.setattr(type(moons), "draw", lambda self, x, names=(): titles.extend(names) or draw(self, x, names))
    pictures.grid(moons, torch.rand(3, 2), {"label": torch.tensor([0, -1, 1])})
    assert titles == ["upper", "", "lower"]


def test_many_prompts_cost_no_more_than_their_number(tmp_path):
    """Everything but the network, of 20000 prompts: what compares each with each takes minutes."""
    (tmp_path / "p.txt").write_text("\n".join(f"prompt {i}" for i in range(20_000)), encoding="utf-8")
    start = process_time()
    rows = ask(prompts=str(tmp_path / "p.txt"))
    digits = create("data", "digits", seed=0)
    picture = pictures.grid(digits, torch.zeros(rows.rows, 1, 8, 8), rows.columns)
    assert pictures.stars(digits.spec, rows.columns, rows.rows) == list(range(8))
    few = pictures.grid(digits, torch.zeros(64, 1, 8, 8), {"text": rows.columns["text"][:64]})
    assert picture.height > few.height, "the picture does not say that it is a part"
    assert process_time() - start < 8


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"\xef\xbb\xbfone\r\n\r\n two \r\n", ["one", "two"]),
        ("a\u2028b\nc".encode(), ["a\u2028b", "c"]),
        (b"\n \n", "holds no prompt"),
        (b"", "holds no prompt"),
        ("zwölf".encode("latin-1"), "not UTF-8"),
        ("one".encode("utf-16"), "not UTF-8"),
    ],
)
def test_files_of_prompts(tmp_path, content, texts):
    (tmp_path / "p.txt").write_bytes(content)
    if isinstance(texts, list):
        assert ask(prompts=str(tmp_path / "p.txt")).columns["text"] == texts
    else:
        with pytest.raises(DiffkitError, match=texts):
            ask(prompts=str(tmp_path / "p.txt"))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (["a", " \n"], "give null for samples that are told nothing"),
        (True, "give text, a list of texts, or null"),
        ([["a"]], "give text, a list of texts, or null"),
        ("a\udc80", "is not text"),
    ],
)
def test_what_is_no_prompt(prompt, message):
    with pytest.raises(DiffkitError, match=message):
        ask(prompt=prompt)


def test_a_file_that_repeats_a_prompt_is_not_another_ones_remains(run, tmp_path):
    """Unfinished batches belong to their settings: the same prompts, repeated otherwise, are other settings."""
    texts = []
    for lines in ("a three\na one\na three", "a three\na one\na one"):
        (tmp_path / "p.txt").write_text(lines)
        out = sample(small.asked(run, out=str(tmp_path / "out"), prompts=str(tmp_path / "p.txt"), n=1, guidance={}))
        texts.append((out / "samples.yaml").read_text().partition("cost:")[0])
    assert texts[0] != texts[1]


def test_long_things_are_short_in_files():
    long = "a" * 100_000
    assert len(readable({"prompt": long})["prompt"]) < 300 and readable(long) != readable(long + "b")
    shown = readable([f"p{i}" for i in range(10_000)])
    assert len(shown) == 51 and "9950 more" in shown[-1]
    kept = as_array([long, None, "b"])
    assert kept.dtype == "<U1000" and kept[0].endswith("…") and kept[1:].tolist() == ["", "b"]


def test_a_cut_is_announced_once_in_a_run():
    BOTH.conditioners.parts[0]._announced = False
    with pytest.warns(DiffkitWarning, match="first 64 bytes") as said:
        rows = ask(n=4, prompt="seven " * 100)
        chosen = Sampling(create("sampler", "ddim"), create("grid", "uniform", steps=2), [Cfg()])
        generate(BOTH, SPEC, chosen, rows.columns, range(4), 0, batch_size=1)
    assert len(said) == 1


def sequences(*lengths):
    stream = torch.Generator().manual_seed(0)
    made = torch.randn(len(lengths), max(lengths), 3, generator=stream)
    return Condition(None, made, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


def test_between_sequences_of_other_lengths_is_a_line_with_exact_ends():
    a, b = sequences(2, 2, 2), sequences(4, 4, 4)
    share = torch.tensor([0.0, 0.25, 1.0])
    line = mix(a, b, share)
    assert line.mask.sum(1).tolist() == [2, 4, 4]
    assert torch.equal(line.sequence[0, :2], a.sequence[0]) and torch.equal(line.sequence[2], b.sequence[2])
    torch.testing.assert_close(line.sequence[1, :2], 0.75 * a.sequence[1] + 0.25 * b.sequence[1, :2])
    torch.testing.assert_close(line.sequence[1, 2:], 0.25 * b.sequence[1, 2:])


def test_from_one_prompt_to_another_ends_in_their_own_samples_and_goes_straight():
    """With all samples of the noise of sample 0; each coordinate of the condition moves one way."""
    between = drawn(prompt=["a", "a longer prompt"], label=[None, 5], between=5)
    for end, asked in ((0, {"prompt": "a"}), (-1, {"prompt": "a longer prompt", "label": 5})):
        torch.testing.assert_close(between[end], drawn(**asked)[0], rtol=0, atol=1e-4)
    rows = ask(prompt=["a", "a longer prompt"], label=[None, 5], between=5).columns
    conditions = [BOTH.conditioners({k: rows[k + to] for k in ("text", "label")}, 5) for to in ("", "_to")]
    path = mix(*conditions, rows["share"]).vector.diff(dim=0)
    assert (path.sign() == path[0].sign()).all() and path.abs().sum() > 0.1
    torch.testing.assert_close(path, path[:1].expand_as(path))
