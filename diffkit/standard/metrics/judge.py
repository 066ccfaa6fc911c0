"""What several metrics share: real rows on one scale, and classifiers fitted to the training split once a process."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffkit.core.data import Data
from diffkit.core.errors import DiffkitError

Rows = Float[Tensor, "n values"]
Fitted = TypeVar("Fitted")
_fitted: dict[str, Any] = {}
_rows: WeakKeyDictionary[Data, dict[str, Tensor]] = WeakKeyDictionary()


def level(data: Data, x: Float[Tensor, " b *d"]) -> Rows:
    """Rows of values in float64: from 0 to 1 where the data are bounded, else of unit variance."""
    spec = data.spec
    x = x.double().cpu()
    if spec.low is None or spec.high is None:
        return spec.standardise(x).flatten(1)
    return ((x - spec.low) / (spec.high - spec.low)).flatten(1)


def reference(data: Data, split: Literal["train", "test"]) -> Rows:
    """The complete real rows of a split, as `level` gives them; read once for each data part."""
    known = _rows.setdefault(data, {})
    if split not in known:
        known[split] = complete(level(data, data.spec.own(data.reference(split))["x"]))
    return known[split]


def complete(rows: Rows) -> Float[Tensor, "some values"]:
    """The rows that have all their values; raises `DiffkitError` if none has."""
    rows = rows[rows.isfinite().all(1)]
    if not len(rows):
        raise DiffkitError("no row has all its values, and a metric of whole rows needs some: choose another metric")
    return rows


def need_labels(data: Data, who: str, instead: str = "leave it out of metric=[...]") -> None:
    """Raise `DiffkitError`, which says what to do `instead`, if the data offer no labels."""
    if not isinstance(data.spec.conditions.get("label"), int):
        raise DiffkitError(f"{who} needs labels, which {type(data).__name__} does not offer: {instead}")


@dataclass(frozen=True)
class Classifier:
    """A support vector machine: which class is a row?"""

    svc: Any

    def __call__(self, x: Rows) -> Int[Tensor, " n"]:
        """The class of each row."""
        return torch.from_numpy(self.svc.predict(x.numpy()))


@dataclass(frozen=True)
class Hidden:
    """The activations of the last hidden layer of a small neural network that was trained to tell the classes."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    def __call__(self, x: Rows) -> Float[Tensor, "n features"]:
        """The features of each row."""
        for weight, bias in self.layers:
            x = (x @ weight + bias).relu()
        return x


def classifier(data: Data) -> Classifier:
    """The support vector machine of the data's training split (kernel exp(-0.256 |x - y|^2), C = 10)."""

    def fit(x: Any, label: Any) -> Classifier:
        from sklearn.svm import SVC

        return Classifier(SVC(gamma=0.256, C=10).fit(x, label))

    return _once(data, "classifier", fit)


def hidden(data: Data) -> Hidden:
    """The network of the data's training split: hidden layers of 128 and 64, seed 0, at most 400 epochs."""

    def fit(x: Any, label: Any) -> Hidden:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        with warnings.catch_warnings():
            # a network that is stopped early has features too
            warnings.simplefilter("ignore", ConvergenceWarning)
            network = MLPClassifier((128, 64), max_iter=400, random_state=0).fit(x, label)
        pairs = list(zip(network.coefs_, network.intercepts_, strict=True))[:-1]
        return Hidden(tuple((torch.from_numpy(w), torch.from_numpy(b)) for w, b in pairs))

    return _once(data, "features", fit)


def _once(data: Data, name: str, fit: Callable[[Any, Any], Fitted]) -> Fitted:
    """What `fit` makes of the complete training rows with labels; the same rows are fitted once in a process."""
    rows = data.spec.own(data.reference("train"))
    values = level(data, rows["x"])
    known = (rows["label"].cpu() >= 0) & values.isfinite().all(1)
    x, label = values[known].numpy(), rows["label"].cpu()[known].numpy()
    key = blake2b(x.tobytes() + label.tobytes(), digest_size=16, person=name.encode()).hexdigest()
    if key not in _fitted:
        from threadpoolctl import threadpool_limits

        # matrices this small gain nothing by threads, and on a busy machine lose tens of seconds by them
        with threadpool_limits(1):
            _fitted[key] = fit(x, label)
    fitted: Fitted = _fitted[key]
    return fitted
