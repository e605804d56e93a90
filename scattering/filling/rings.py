"""Along the rings: what is measured at equal distance from the beam, to either side of a gap and all around.

A gap is narrow, a ring is long: pixels that lie on the ring of a hidden one and have its neighbours on either side
tell more of it than the nearest ones do, which lie on other rings.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scattering.calibration import Calibration
from scattering.filling.interpolation import linear
from scattering.filling.texture import surroundings

CIRCLE = 2 * math.pi

BIN = 0.5
"""Width of a bin of radius, pixels."""

BINS = (-2, -1, 0, 1, 2)
"""Bins whose pixels count, seen from that of the pixel to estimate."""

NEIGHBOURS = 2
"""Pixels taken of each bin, on either side."""

RADIAL = 0.6
"""Standard deviation in radius of the weight of a pixel, pixels; along the ring it falls with the distance."""

RIDGE = (0.02, 0.003)
"""Keeps slope (per pixel) and curvature (per pixel squared) small where the pixels do not tell them: in the units of
the variances of the radius and of its square."""


REACH = 2
"""Pixels beside a gap in which rings are asked, too: how well they predict what is measured tells how far to trust
them in the gap."""

APART = 3.0
"""Pixels between one that is asked about and those that answer, at least: in measured pixels as in a gap."""


class Estimates(NamedTuple):
    """The estimates of rings in and beside the gaps of an image; each (rows, columns), NaN where nothing is said."""

    fill: Tensor
    """`linear` moved towards `near` as far as that is to be trusted."""
    near: Tensor
    """What the nearest pixels on the ring predict, by local regression in radius."""
    ring: Tensor
    """Mean of the whole ring."""
    spread: Tensor
    """Standard deviation of the pixels about the prediction of `near`."""
    error: Tensor
    """How much `near` errs in the measured pixels beside the gap, on average over the surroundings."""


class Rings:
    """The rings of frames of one geometry, (rows, columns): which pixels lie on each, in the order of the azimuth.

    Radii are those on a detector that stands upright in the beam, in pixels. Beyond a scattering angle of 80 degrees
    there are none.
    """

    def __init__(self, calibration: Calibration, wanted: Tensor) -> None:
        """Prepare estimates of the `wanted` pixels (rows, columns): all that images may want."""
        rows, columns = wanted.shape
        radius, azimuth = (
            torch.from_numpy(array.astype(np.float32)).to(wanted.device)
            for array in calibration.polar((rows, columns))
        )
        self.reached = radius.isfinite()
        self.radius, self.azimuth = radius.nan_to_num(), azimuth
        self.bin = (self.radius / BIN).int()
        self.bins = int(self.bin.max()) + 1
        order = (self.bin.double() * 2 * CIRCLE + azimuth).argsort()
        # Each ring goes around twice: whoever starts anywhere on the first round meets all of it without a seam.
        own = self.bin[order].long()
        size = torch.bincount(self.bin, minlength=self.bins)
        start = size.cumsum(0) - size
        first = torch.arange(len(own), device=wanted.device) + start[own]
        self.pixel = torch.empty(2 * len(own), dtype=torch.long, device=wanted.device)
        self.pixel[first] = self.pixel[first + size[own]] = order
        self.angle = azimuth[self.pixel]
        self.angle[first + size[own]] += CIRCLE
        # In the order of the rings, so that neighbours in memory are looked up one after another.
        self.wanted = order[(wanted.flatten() & self.reached)[order]]
        self.step = APART / self.radius[self.wanted].clamp(min=1)
        key = self.bin[self.pixel].double() * 2 * CIRCLE + self.angle
        bins = self.bin[self.wanted] + torch.tensor(BINS, device=wanted.device)[:, None]
        begin = bins.double() * 2 * CIRCLE + azimuth[self.wanted]
        # Places in the list, (BINS, wanted): the first pixel far enough ahead, the last one behind, and both ends.
        self.ahead = torch.searchsorted(key, begin + self.step)
        self.behind = torch.searchsorted(key, begin + (CIRCLE - self.step), right=True)
        inside = (bins >= 0) & (bins < self.bins)
        bins = bins.clamp(0, self.bins - 1)
        self.first = 2 * start[bins]
        self.past = torch.where(inside, 2 * (start + size)[bins], self.first)

    def estimate(self, values: Tensor, observed: Tensor) -> Estimates:
        """Estimate the pixels in and beside the gaps of an image (rows, columns) from its observed ones.

        From those that are APART away or more; the mean of a ring keeps to no distance.
        """
        wanted = beside(observed)
        near, ring, spread = self._near(values, observed, wanted)
        fill, error = _blended(values, observed, wanted, near)
        return Estimates(fill, near, ring, spread, error)

    def _near(self, values: Tensor, observed: Tensor, wanted: Tensor) -> Tensor:
        """Return what the nearest pixels on the rings predict, the mean of the rings, and the spread (3, ...)."""
        shape, values, seen = values.shape, values.flatten(), observed.flatten() & self.reached
        here = wanted.flatten()[self.wanted].nonzero()[:, 0]
        pixels = self.wanted[here]
        radius, azimuth = self.radius[pixels], self.azimuth[pixels]
        arc_per_angle, limit = radius.clamp(min=1), CIRCLE - self.step[here]
        ring = self._ring_mean(values, seen, radius)
        about = ring.nan_to_num()
        kept = seen[self.pixel]
        places = F.pad(kept.cumsum(0), (1, 0))  # before each pixel of the list, those that were observed
        table = torch.stack((self.angle, self.radius[self.pixel], values[self.pixel]), dim=1)[kept]
        table = F.pad(table, (0, 0, 0, 1))  # never empty
        moments = torch.zeros(len(Moments._fields), len(pixels), device=values.device)
        first, past, after, before = (
            places[which.index_select(1, here)] for which in (self.first, self.past, self.ahead, self.behind)
        )
        for number in range(NEIGHBOURS):
            for place, turn in ((after + number, 1), (before - 1 - number, -1)):
                known = (place >= first) & (place < past)
                chosen = table.index_select(0, torch.where(known, place, 0).flatten()).view(*place.shape, 3)
                angle, radial, value = chosen.unbind(2)
                away = angle - azimuth if turn > 0 else azimuth + CIRCLE - angle
                known &= away <= limit
                arc = torch.minimum(away, CIRCLE - away) * arc_per_angle
                offset = radial - radius
                weight = known / (arc + 1) * torch.exp(offset.square() / (-2 * RADIAL**2))
                _add(moments, weight, offset, value - about)
        near, spread = _regression(Moments(*moments))
        near = torch.where(near.isfinite(), near + about, ring)
        found = values.new_full((3, values.numel()), math.nan)
        found[:, pixels] = torch.stack((near, ring, spread))
        return found.reshape(3, *shape)

    def _ring_mean(self, values: Tensor, seen: Tensor, radius: Tensor) -> Tensor:
        """Return the mean of observed pixels within about three bins of a radius, NaN where there are none."""
        weight = seen.to(values.dtype)
        sums = torch.stack([torch.bincount(self.bin, part, self.bins) for part in (weight, weight * values)])
        sums = F.avg_pool1d(sums, 3, stride=1, padding=1)
        place = (radius / BIN - 0.5).clamp(0, self.bins - 1)
        below = place.long()
        above = (below + 1).clamp(max=self.bins - 1)
        count, total = torch.lerp(sums[:, below], sums[:, above], place - below)
        return torch.where(count > 0, total / count, math.nan).to(values.dtype)


class Moments(NamedTuple):
    """Weighted sums over the pixels about each one, of powers of their offset in radius and their value."""

    weight: Tensor
    offset: Tensor
    offset2: Tensor
    offset3: Tensor
    offset4: Tensor
    value: Tensor
    value_offset: Tensor
    value_offset2: Tensor
    value2: Tensor


def _add(moments: Tensor, weight: Tensor, offset: Tensor, value: Tensor) -> None:
    """Add pixels (BINS, pixels) to the moments of each one."""
    term = weight
    for power in range(5):
        moments[power] += term.sum(0)
        if power < 3:
            moments[5 + power] += (term * value).sum(0)
        term = term * offset
    moments[8] += (weight * value.square()).sum(0)


def _regression(sums: Moments) -> tuple[Tensor, Tensor]:
    """Return what a parabola in radius says at offset 0, and the standard deviation about it; NaN without pixels."""
    m = Moments(sums.weight, *(part / sums.weight for part in sums[1:]))
    # The normal equations of slope and curvature, about the means.
    a = m.offset2 - m.offset.square() + RIDGE[0]
    b = m.offset3 - m.offset * m.offset2
    c = m.offset4 - m.offset2.square() + RIDGE[1]
    d, e = m.value_offset - m.offset * m.value, m.value_offset2 - m.offset2 * m.value
    determinant = a * c - b.square()
    slope, curvature = (d * c - e * b) / determinant, (e * a - d * b) / determinant
    variance = m.value2 - m.value.square() - slope * d - curvature * e
    variance = variance - RIDGE[0] * slope.square() - RIDGE[1] * curvature.square()
    return m.value - slope * m.offset - curvature * m.offset2, variance.clamp(min=0).sqrt()


def beside(observed: Tensor) -> Tensor:
    """Tell which pixels (rows, columns) are not observed or have one of those within REACH."""
    hidden = (~observed).to(torch.float32)[None]
    down = F.max_pool2d(hidden, (2 * REACH + 1, 1), stride=1, padding=(REACH, 0))
    return F.max_pool2d(down, (1, 2 * REACH + 1), stride=1, padding=(0, REACH))[0] > 0


def _blended(values: Tensor, observed: Tensor, wanted: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of `linear` and what rings say, weighted by how they do beside the gap, and the rings' error.

    Both predict the measured pixels beside it as if these were hidden, too; the weights are as the inverse squares of
    their mean errors about each pixel. NaN where rings say nothing.
    """
    said = near.isfinite()
    tested = observed & said
    start, wide = linear(torch.stack((values, values)), torch.stack((observed, ~wanted)))
    errors = [torch.where(tested, (prediction - values).abs(), 0.0) for prediction in (near, wide)]
    error, other, tests = surroundings(torch.stack((*errors, tested.to(values.dtype)))[:, None])[:, 0]
    trust = other.square() / (error.square() + other.square()).clamp(min=1e-20)
    fill = torch.lerp(start, near, torch.where(tests > 0, trust, 0.0))
    return torch.where(said, fill, math.nan), torch.where(said, error / tests, math.nan)


def along(fill: Tensor, values: Tensor, observed: Tensor) -> Tensor:
    """Lay the `fill` of rings into the gaps of images (..., rows, columns); that of `linear` where there is none."""
    fill = torch.where(fill.isfinite(), fill, linear(values, observed))
    return torch.where(observed, values, fill.clamp(min=0))
