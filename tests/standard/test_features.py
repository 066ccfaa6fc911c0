"""Features are what they say they are."""

import torch

from diffkit.compose.build import create
from diffkit.standard.features import Classifier, Values


def test_values_run_from_0_to_1_or_have_unit_variance() -> None:
    digits, moons = create("data", "digits", seed=0), create("data", "moons", seed=0)
    x = digits.spec.restore(digits.reference("test")["x"][:3])
    torch.testing.assert_close(Values()(digits, x), x.reshape(3, 64).double() / 16)
    standard = moons.reference("test")["x"]
    torch.testing.assert_close(Values()(moons, moons.spec.restore(standard)), standard.double())


def test_the_classifier_knows_the_classes_better_than_values_do() -> None:
    """Held-out digits lie nearer to the mean of their own class, among its features."""
    digits = create("data", "digits", seed=0)
    test = digits.reference("test")
    share = {}
    for features in (Classifier(), Values()):
        x = features(digits, digits.spec.restore(test["x"]))
        means = torch.stack([x[test["label"] == c].mean(0) for c in range(10)])
        share[features] = (torch.cdist(x, means).argmin(1) == test["label"]).double().mean().item()
    assert share[Classifier()] > 0.95 > 0.92 > share[Values()]
