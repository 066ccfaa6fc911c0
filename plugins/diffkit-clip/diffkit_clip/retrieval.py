"""How often the right caption is found for a noisy picture, and the right picture for a caption."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diffkit_clip.network import NoisyCLIP

LEVELS = (-6, -3, 0, 3, 6, 12)
"""The log-SNRs at which it is measured."""
AMONG = (1, 10)
"""The numbers of the first places among which the right one is looked for."""


def at_level(
    x_0: Float[Tensor, "b c h w"], eps: Float[Tensor, "b c h w"], level: float
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, ""], Float[Tensor, ""]]:
    """`(x_t, alpha, sigma)` of unit variance at a log-SNR."""
    logsnr = torch.tensor(level, dtype=torch.float64)
    alpha, sigma = logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()
    return alpha.to(x_0) * x_0 + sigma.to(x_0) * eps, alpha, sigma


def ranks(scores: Float[Tensor, "n m"], right: Bool[Tensor, "n m"]) -> Int[Tensor, " n"]:
    """How many wrong candidates score at least as high as the best right one, for each row."""
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return ((scores >= best) & ~right).sum(1)


def retrieval(
    network: NoisyCLIP, x_0: Float[Tensor, "b c h w"], texts: Sequence[str], level: float, asked: int, seed: int = 0
) -> dict[str, float]:
    """R@1 and R@10 at a log-SNR for the first `asked` rows: of pictures for captions, and of captions for pictures.

    `text_r1` is how often the caption of a picture is the first of all different ones of the rows, `image_r1` how often
    a picture that has the caption is the first of all rows. The noise is a function of the seed.
    """
    captions = list(dict.fromkeys(texts))
    place = {text: i for i, text in enumerate(captions)}
    own = torch.tensor([place[text] for text in texts], device=x_0.device)
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed)).to(x_0)
    with torch.no_grad():
        pictures, words = network.images(*at_level(x_0, eps, level)), network.texts(captions)
    scores, right = pictures @ words.T, own[:, None] == torch.arange(len(captions), device=own.device)
    queries = torch.tensor(sorted(set(own[:asked].tolist())), device=own.device)
    found = {"text": ranks(scores[:asked], right[:asked]), "image": ranks(scores.T[queries], right.T[queries])}
    return {f"{name}_r{k}": (rank < k).double().mean().item() for name, rank in found.items() for k in AMONG}
