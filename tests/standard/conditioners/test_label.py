"""Class labels."""

import torch

from diffkit.standard.conditioners.label import ClassLabel


def test_a_row_of_the_table_for_each_label() -> None:
    part = ClassLabel(classes=5, width=7)
    vector = part({"label": torch.tensor([4, 0, 4])}).vector
    assert vector is not None
    assert part.spec.vector == 7
    assert torch.equal(vector, part.embedding.weight[[4, 0, 4]])
