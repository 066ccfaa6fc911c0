"""Conditions: merged side by side, stacked row on row, chosen row by row."""

import torch

from diffkit.core.condition import Condition, ConditionSpec, choose, merge, merge_specs, mix, stack
from diffkit.core.conditioner import Conditioner, Conditioners


def sequence(rows: int, tokens: int, width: int, value: float = 1.0) -> Condition:
    return Condition(sequence=torch.full((rows, tokens, width), value), mask=torch.ones(rows, tokens, dtype=torch.bool))


def test_merge_and_its_spec() -> None:
    parts = [Condition(vector=torch.ones(2, 3)), sequence(2, 4, 5), Condition(vector=torch.zeros(2, 1)),
             sequence(2, 1, 2, 7.0), Condition(spatial=torch.ones(2, 6, 8, 8))]  # fmt: skip
    specs = [ConditionSpec(3), ConditionSpec(None, 5), ConditionSpec(1), ConditionSpec(None, 2),
             ConditionSpec(None, None, 6)]  # fmt: skip
    whole, spec = merge(parts), merge_specs(specs)
    assert spec == ConditionSpec(4, 5, 6)
    assert whole.vector is not None and whole.vector.tolist() == [[1, 1, 1, 0]] * 2
    assert whole.sequence is not None and whole.sequence.shape == (2, 5, 5)
    assert whole.sequence[0, 4].tolist() == [7, 7, 0, 0, 0]
    assert whole.mask is not None and whole.mask.shape == (2, 5)
    assert whole.spatial is not None and whole.spatial.shape == (2, 6, 8, 8)


def test_nothing_merged_is_nothing() -> None:
    assert merge([]) == merge([Condition()]) == stack([Condition(), Condition()]) == Condition()
    assert merge_specs([]) == ConditionSpec()


def test_stack_pads_the_shorter_sequence_and_masks_it() -> None:
    both = stack([sequence(1, 3, 2), sequence(2, 1, 2, 5.0)])
    assert both.sequence is not None and both.mask is not None
    assert both.sequence.shape == (3, 3, 2)
    assert both.mask.tolist() == [[True] * 3, [True, False, False], [True, False, False]]
    assert both.sequence[1].tolist() == [[5, 5], [0, 0], [0, 0]]


def test_choose_row_by_row() -> None:
    a = Condition(vector=torch.ones(3, 2), sequence=torch.ones(3, 2, 1), mask=torch.ones(3, 2, dtype=torch.bool))
    b = Condition(vector=torch.zeros(3, 2), sequence=torch.zeros(3, 1, 1), mask=torch.ones(3, 1, dtype=torch.bool))
    some = choose(torch.tensor([True, False, True]), a, b)
    assert some.vector is not None and some.vector[:, 0].tolist() == [1, 0, 1]
    assert some.mask is not None and some.mask.tolist() == [[True, True], [True, False], [True, True]]


def test_map() -> None:
    assert (sequence(1, 2, 3).map(lambda a: a[:, :1]).mask == torch.ones(1, 1)).all()


def test_a_mixture_of_two_conditions_ends_in_either():
    g = torch.Generator().manual_seed(0)
    a = Condition(torch.randn(3, 2, generator=g), torch.randn(3, 2, 4, generator=g), torch.ones(3, 2, dtype=torch.bool))
    b = Condition(torch.randn(3, 2, generator=g), torch.randn(3, 3, 4, generator=g), torch.ones(3, 3, dtype=torch.bool))
    mixed = mix(a, b, torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(mixed.vector[0], a.vector[0]) and torch.equal(mixed.vector[2], b.vector[2])
    torch.testing.assert_close(mixed.vector[1], 0.75 * a.vector[1] + 0.25 * b.vector[1])
    assert mixed.mask.tolist() == [[True, True, False], [True, True, True], [True, True, True]]
    torch.testing.assert_close(mixed.sequence[1, 2], 0.25 * b.sequence[1, 2])


def places(*rows: str) -> torch.Tensor:
    """True where there is a 1."""
    return torch.tensor([[c == "1" for c in row] for row in rows])


def told(*rows: str, vector: float = 1.0) -> Condition:
    return Condition(vector=torch.full((len(rows), 1), vector), present=places(*rows))


def test_a_place_is_one_that_every_condition_has() -> None:
    merged = merge([told("110", "111"), Condition(spatial=torch.zeros(2, 1, 3)), told("011", "110")])
    assert torch.equal(merged.present, places("010", "110"))
    assert merge([Condition(vector=torch.ones(2, 1))]).present is None
    assert merge_specs([ConditionSpec(1), ConditionSpec(present=True)]) == ConditionSpec(1, present=True)
    assert not merge_specs([ConditionSpec(1)]).present


def test_dropping_a_condition_leaves_its_places() -> None:
    null = Condition(vector=torch.zeros(2, 1))
    for a, b in ((told("110", "011"), null), (null, told("110", "011"))):
        some = choose(torch.tensor([True, False]), a, b)
        assert torch.equal(some.present, places("110", "011"))


def test_stacked_rows_that_say_nothing_of_places_have_all() -> None:
    silent = Condition(vector=torch.ones(1, 1))
    assert torch.equal(stack([told("10", "01"), silent]).present, places("10", "01", "11"))
    assert torch.equal(stack([silent, told("10")]).present, places("11", "10"))
    assert stack([silent, silent]).present is None


def test_between_two_conditions_are_the_places_of_both() -> None:
    assert torch.equal(mix(told("110"), told("011"), torch.tensor([0.5])).present, places("010"))
    assert torch.equal(mix(told("110"), Condition(vector=torch.ones(1, 1)), torch.tensor([0.5])).present, places("110"))


class First(Conditioner):
    """The label is the number of places, of three."""

    key = "label"

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(vector=1, present=True)

    def forward(self, batch):
        return Condition(batch["label"][:, None].float(), present=torch.arange(3) < batch["label"][:, None])


def test_rows_have_the_places_that_they_were_told_though_dropped_and_all_where_told_nothing() -> None:
    model, label = Conditioners([First()], size=(3,)), torch.tensor([2, -1, 1])
    kept = model({"label": label}, 3)
    assert torch.equal(kept.present, places("110", "111", "100"))
    dropped = model({"label": label}, 3, torch.zeros(1, 3, dtype=torch.bool))
    assert torch.equal(dropped.present, kept.present)
    assert not dropped.vector.any() and kept.vector[:, 0].tolist() == [2, 0, 1]
    assert model({"label": torch.tensor([-1, -1])}, 2).present is None and model.null(2).present is None
