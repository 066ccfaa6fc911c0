"""A weighting that looks at a window of noise levels."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from diffkit.core import Positive, Weighting


@dataclass(frozen=True)
class MyWeighting(Weighting):
    r"""The error of the velocity v, weighed by a bell over the log-SNR.

    $$ w = \exp\left( -\tfrac12 (\log\mathrm{SNR} - \mathrm{centre})^2 / \mathrm{width}^2 \right) $$

    The error of v is (SNR + 1) times that of x_0, which is `c_out`² times that of the network's output: so the same
    objective is trained whatever the prediction.
    """

    centre: float = 0.0
    width: Positive = 3.0

    def __call__(self, logsnr: Float[Tensor, " b"], c_out: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """See `Weighting`."""
        bell = (-((logsnr - self.centre) / self.width).square() / 2).exp()
        return bell * (logsnr.exp() + 1) * c_out.square()
