"""Guidance by a classifier of noisy data."""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from diffkit.core.classifier import NoisyClassifier
from diffkit.core.condition import Condition
from diffkit.core.data import DataSpec
from diffkit.core.errors import DiffkitError
from diffkit.core.guidance import Branches, Denoise, Guidance, Ramp, check_ramp, strength
from diffkit.core.types import NonNegative


class ClassifierGuidance(Guidance):
    r"""Steps towards what a classifier takes for the class asked for, by the gradient of its log-probability.

    $$ \hat x_0 \leftarrow \hat x_0 + (\mathrm{scale} - 1)\, \frac{\sigma_t^2}{\alpha_t}
       \nabla_{x_t} \log p(\mathrm{label} \mid x_t) $$

    which shifts the mean of an ancestral step by its variance times the gradient. 1 is off, and 2 is the exact
    posterior of an unconditional model (the papers count from 0: their scale is ours less 1); on a conditional one it
    is what classifier-free guidance of the same scale is for the model's own classifier. `run` is one of
    `task=classifier` on the same data. Each sample needs a label (`label=...`). One pass of the classifier and its
    gradient for each call; none where the `ramp` is 0, as by default where nearly all is noise: there alpha is so small
    that the classifier's errors would be all that counts.
    Dhariwal and Nichol 2021, Diffusion Models Beat GANs on Image Synthesis, section 4.1.
    """

    reads: ClassVar[tuple[str, ...]] = ("label",)

    def __init__(
        self,
        run: str,
        load_model: Callable[..., Any],
        spec: DataSpec,
        scale: NonNegative = 2.0,
        ramp: Ramp = ((-9.0, 0.0), (-7.0, 1.0)),
    ) -> None:
        check_ramp(ramp)
        self.scale, self.ramp = scale, ramp
        self.network = load_model(run, spec)
        if not isinstance(self.network, NoisyClassifier):
            raise DiffkitError(f"run={run} is no classifier: give one that was trained with task=classifier")

    def __call__(self, denoise: Denoise, branches: Branches) -> Denoise:
        """See `Guidance`."""
        if self.scale == 1:
            return denoise
        network = self.network

        def guided(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            extra = strength(self.scale, self.ramp, branches.schedule, t)
            x_0 = denoise(x_t, t, condition)
            if extra == 0:
                return x_0
            alpha, sigma = branches.schedule(t)

            def log_prob(x: Tensor) -> Tensor:
                network.to(x.device)
                logs: Tensor = network.log_prob(x, alpha, sigma, branches.columns["label"])
                return logs

            slope = branches.gradient("classifier", log_prob, x_t)
            return x_0 + slope * (extra * sigma.square() / alpha).item()

        return guided
