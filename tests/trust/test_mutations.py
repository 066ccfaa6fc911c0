"""The trials prove something: where diffkit behaves like the bare stack, they fail."""

import pytest

from trust.command import injected
from trust.mutation import Mutation
from trust.rows import by_id, mutations, rows

CASES = [(mutation, id) for mutation in mutations() for id in mutation.rows]


@pytest.mark.parametrize(("mutation", "id"), CASES, ids=[f"{id}-{m.injection.partition(':')[2]}" for m, id in CASES])
def test_a_mutation_is_noticed(mutation: Mutation, id: str) -> None:
    row = by_id(id)
    with injected(mutation.injection):
        outcome = row.run(mutation.trials or row.small, stop_early=True)
    if outcome.missing and not outcome.failures:
        pytest.skip(outcome.missing)
    assert outcome.failures, f"{row.id} holds although {mutation.what}"
    assert "Fault: " in outcome.failures[0] and mutation.said in outcome.failures[0]


def test_every_row_has_a_mutation() -> None:
    assert {id for mutation in mutations() for id in mutation.rows} == {row.id for row in rows()}
