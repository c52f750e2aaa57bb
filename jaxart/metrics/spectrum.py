"""The power spectrum of pictures by octave, and at the frequencies where networks that halve and double leave a checkerboard.

Pictures are ``[N, S, S, C]``, uint8 or in [0, 1], and are compared on the host in float64. The mean of a picture is taken off and it is
multiplied by Hann's window: what does not go on at the opposite border, as in photographs, would else leak into all frequencies of both
axes, the checkerboard's among them. Pixels near the border count less for it, in all pictures alike.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxart.arrays import Key
from jaxart.metrics.estimate import Estimate, jackknife

CHECKERBOARDS = {2: ((1, 1), (0, 1), (1, 0)), 4: ((1, 1), (1, -1), (0, 1), (1, 0))}
"""By period in pixels, the frequencies of a checkerboard and of stripes in rows and columns, in cycles per period."""

_CHUNK = 64  # pictures transformed at once
_ROUNDING = 1 / 12 / 255**2  # the variance that rounding to bytes gives a pixel
_LEAST = 8  # pixels: below, a checkerboard's frequencies are the neighbors of others


class SpectrumRatio(NamedTuple):
    """Power of made pictures over that of real ones, 1 where they are alike; each an `Estimate`.

    Fields:
        octaves: by octave, the finest first, as `power_spectrum`.
        checkerboards: by period, as `CHECKERBOARDS`: the largest ratio of `checkerboard_power` at its frequencies.
        deviation: the largest ``|ratio - 1|`` of the octaves.
    """

    octaves: tuple[Estimate, ...]
    checkerboards: tuple[Estimate, ...]
    deviation: Estimate


def power_spectrum(images: Any) -> np.ndarray:
    """Return the power of pictures in each octave of frequencies: mean over pictures and channels, sum over the octave's frequencies.

    Octave j holds the radial frequencies from ``2^-(j+1)`` to below ``2^-j`` of Nyquist's (half a cycle a pixel). The first holds
    Nyquist's too and the corners beyond it, where the checkerboard is; the last goes down to one cycle a picture. The sum of all octaves
    is the variance of the pixels, weighted by the window's square.

    Args:
        images: ``[N, S, S, C]``, uint8 or in [0, 1], S of at least 8.

    Returns:
        ``[octaves]``, of which there are ``ceil(log2(S / 2))``: 4 at 32 pixels, 5 at 64.

    Raises:
        ValueError: none, pictures of another shape, too small or not finite.

    Example:
        >>> columns = np.tile(np.arange(16) % 2, (1, 16, 1))[..., None]  # of 0 and 1
        >>> power_spectrum(columns.astype(np.float32)).round(3).tolist()
        [0.25, 0.0, 0.0]
    """
    return np.mean(_powers("images", images)[0], axis=0)


def checkerboard_power(images: Any) -> np.ndarray:
    """Return the power of pictures at the frequencies of `CHECKERBOARDS`, each with its eight neighbors: mean over pictures and channels.

    A wave at one of the period 4 has the other half of its power at the opposite frequency, which is not counted.

    Where a layer of stride 2, forward or in the gradient of a judge, treats its four phases unequally, it leaves a pattern with a period
    of 2 pixels; the layer next to it, at half the size, one of 4.

    Args:
        images: as `power_spectrum`.

    Returns:
        ``[7]``: three frequencies of the period 2 and four of the period 4, in the order of `CHECKERBOARDS`.

    Raises:
        ValueError: as `power_spectrum`.

    Reference: Odena et al., Deconvolution and Checkerboard Artifacts, 2016.
    """
    return np.mean(_powers("images", images)[1], axis=0)


def spectrum_ratio(key: Key, real: Any, fake: Any, *, resamples: int = 100) -> SpectrumRatio:
    """Compare the spectrum of made pictures with that of real ones.

    To both is added what rounding to bytes gives a picture of noise, so that octaves in which neither has anything are alike.

    Args:
        key: typed key, of the resamples.
        real: ``[N, S, S, C]``, uint8 or in [0, 1], at least 4 pictures.
        fake: ``[M, S, S, C]`` of the same size.
        resamples: of `jackknife`.

    Returns:
        `SpectrumRatio`.

    Raises:
        ValueError: as `power_spectrum`, fewer than 4 pictures, or sizes that differ.

    Reference: Durall et al., Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to Reproduce Spectral
    Distributions, 2020. Departures: octaves instead of a power for every radius, and the checkerboard apart, which an octave hides.
    """
    if np.shape(real)[1:] != np.shape(fake)[1:]:
        raise ValueError(f"expected pictures of one size, got {np.shape(real)} (real) and {np.shape(fake)} (fake).")
    rows = [_powers(name, images) for name, images in (("real", real), ("fake", fake))]
    floors = _floors(np.shape(real)[1])
    return jackknife(key, lambda true, made: _ratio(true, made, floors), *rows, resamples=resamples)


def _ratio(real: Any, fake: Any, floors: Any) -> SpectrumRatio:
    octaves, boards = (
        (made.mean(0) + floor) / (true.mean(0) + floor) for made, true, floor in zip(fake, real, floors, strict=True)
    )
    ends = np.cumsum([len(each) for each in CHECKERBOARDS.values()])[:-1]
    largest = tuple(each.max() for each in np.split(boards, ends))
    return SpectrumRatio(tuple(octaves), largest, np.abs(octaves - 1).max())


def _powers(name: str, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the power of each picture by octave, ``[N, octaves]``, and at the checkerboards' frequencies, ``[N, 7]``."""
    size = _check(name, images)
    octave, places = _octave_of(size), _places(size)
    members = [octave == each for each in range(octave.max() + 1)]
    powers = [
        (np.stack([power[:, each].sum(1) for each in members], 1), power[:, places[0], places[1]].sum(2))
        for power in _spectra(name, images)
    ]
    by_octave, by_place = zip(*powers, strict=True)
    return np.concatenate(by_octave), np.concatenate(by_place)


def _check(name: str, images: Any) -> int:
    """Return the side of pictures."""
    shape = np.shape(images)
    if len(shape) != 4 or shape[1] != shape[2] or shape[1] < _LEAST or 0 in shape:
        raise ValueError(f"{name}: expected pictures [N, S, S, C] with S of at least {_LEAST}, got shape {shape}.")
    return shape[1]


def _spectra(name: str, images: Any) -> Iterator[np.ndarray]:
    """Yield the power of some pictures at every frequency, ``[n, S, S]``, means over channels; pixels of variance 1 have it 1 in all."""
    size = np.shape(images)[1]
    line = 1 - np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
    window = np.outer(line, line)[None, ..., None]
    window /= np.sqrt(np.mean(window**2))
    for first in range(0, len(images), _CHUNK):
        some = np.asarray(images[first : first + _CHUNK])
        pixels = some / 255.0 if some.dtype == np.uint8 else some.astype(np.float64)
        if not np.isfinite(pixels).all():
            raise ValueError(f"{name}: expected finite pixels; some of the pictures from number {first} on are not.")
        mean = np.sum(window * pixels, (1, 2), keepdims=True) / window.sum()
        waves = np.fft.fft2(window * (pixels - mean), axes=(1, 2)) / size**2
        yield np.mean(waves.real**2 + waves.imag**2, axis=3)


def _octave_of(size: int) -> np.ndarray:
    """Return the octave of every frequency, ``[S, S]``, the finest 0; that of the mean is -1."""
    cycles = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(cycles[:, None], cycles[None, :])
    octave = np.ceil(np.log2(size / 2 / np.maximum(radius, 1))).astype(int) - 1
    return np.where(radius > 0, np.maximum(octave, 0), -1)


def _places(size: int) -> np.ndarray:
    """Return rows and columns of the checkerboards' frequencies and of their eight neighbors in the spectrum: ``[2, 7, 9]``."""
    near = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(1, 9, 2)
    centers = [
        (round(row * size / period), round(column * size / period))
        for period, frequencies in CHECKERBOARDS.items()
        for row, column in frequencies
    ]
    return np.moveaxis((np.array(centers)[:, None] + near) % size, 2, 0)


def _floors(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the power of rounded pixels by octave, and at the checkerboards' frequencies."""
    octave, places = _octave_of(size), _places(size)
    share = _ROUNDING / size**2
    return share * np.bincount(octave[octave >= 0]), np.full(places.shape[1], share * places.shape[2])
