"""The effect of filling the gaps on the latent space of an autoencoder (the paper's section 4.4, Fig. 10)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.distance import cdist

from records.tables import Latent
from scattering.arrays import Bools, Floats, Reals
from scattering.dataset import Dataset
from trainables import devices
from trainables.embedding import DIMENSION, latent_vectors

Ranks = npt.NDArray[np.int64]

TRUTH = "truth"
FEWEST = 200
"""Frames: of fewer a tenth is hardly a neighbourhood, and four autoencoders take longer to train than all else."""

NEIGHBOURS = 100
"""The paper's; a tenth where there are fewer than 1000 frames: chance alone gives an overlap of a tenth, too."""

CHUNK = 2**15
"""Pixels that are correlated at once: few enough for sums in float32, which are added up in float64."""


def latent_space(method: str, filled: Floats, test: Dataset, seed: int) -> Latent:
    """Compare the latent spaces of masked and filled test frames with that of the truth.

    `filled` (N, H, W) are the fills of `method`. A pixel without truth (a beamstop; a gap that no exposure reached)
    is 0 in every space, so spaces differ by what is put where the truth is known and the detector saw nothing: the
    truth, the fill, or 0. One autoencoder a space: same settings, initial weights and order of batches. Another one,
    on the truth with another seed, tells how much overlap its training alone leaves.
    """
    device = devices.device()
    # By name: the order in which frames are given decides neither batches nor ties.
    order = np.array(sorted(range(len(test)), key=lambda i: test.names[i]))
    spaces: dict[str, tuple[Callable[[], Floats], int]] = {
        TRUTH: (lambda: np.where(test.valid, test.truth, 0), seed),
        "masked": (lambda: np.where(test.observed, test.measured, 0), seed),
        "inpainted": (lambda: np.where(test.valid, filled, 0), seed),
        "truth, another seed": (lambda: np.where(test.valid, test.truth, 0), seed + 1),
    }
    ranked = {
        space: neighbours(latent_vectors(frames()[order], seed=of, device=device))
        for space, (frames, of) in spaces.items()
    }
    alike = correlations(test.measured[order], test.observed[order], device)
    count = min(NEIGHBOURS, len(test) // 10)
    back = np.argsort(order)
    return Latent(
        method=method,
        neighbours=count,
        dimension=DIMENSION,
        spaces=list(spaces),
        correlation=np.stack([np.take_along_axis(alike, ranks, axis=1).mean(axis=0) for ranks in ranked.values()]),
        overlap=np.stack([overlap(ranks, ranked[TRUTH], count)[back] for ranks in ranked.values()]),
    )


def neighbours(vectors: npt.NDArray[np.floating]) -> Ranks:
    """Number the other frames from the nearest to the farthest, (N, N - 1), by the distance of vectors (N, D)."""
    distances = cdist(vectors, vectors)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :-1]


def overlap(ranks: Ranks, reference: Ranks, count: int) -> Reals:
    """Share of the `count` nearest frames by `reference` that are among the nearest by `ranks`, for each frame."""
    near, near_in_reference = (np.zeros((len(r), len(r)), bool) for r in (ranks, reference))
    np.put_along_axis(near, ranks[:, :count], True, axis=1)
    np.put_along_axis(near_in_reference, reference[:, :count], True, axis=1)
    return np.asarray((near & near_in_reference).sum(axis=1) / count)


def correlations(measured: Floats, observed: Bools, device: torch.device) -> Reals:
    """Pearson correlation (N, N) of each pair of frames over the pixels that both observed; 0 where one is constant.

    Only pixels that were measured: gaps, alike in all frames, would add an offset (the paper's reason, too).
    """
    seen, values = observed.reshape(len(observed), -1), measured.reshape(len(measured), -1)
    means = np.array([frame[kept].mean(dtype=np.float64) for frame, kept in zip(values, seen, strict=True)])
    sums = torch.zeros(4, len(values), len(values), dtype=torch.float64, device=device)
    for start in range(0, values.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        centred = np.where(seen[:, part], values[:, part] - means[:, None], 0)
        x = torch.from_numpy(centred.astype(np.float32)).to(device)
        o = torch.from_numpy(seen[:, part].astype(np.float32)).to(device)
        for total, left, right in zip(sums, (o, x, x * x, x), (o, o, o, x), strict=True):
            total += left @ right.T
    pixels, total, squares, products = sums.cpu().numpy()
    pixels = np.maximum(pixels, 1)
    covariance = products / pixels - total * total.T / pixels**2
    variance = np.maximum(squares / pixels - (total / pixels) ** 2, 0)
    scale = np.sqrt(variance * variance.T)
    return np.asarray(np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 1e-12))
