"""Question: how well, and how fast, are holes filled smoothly? Rivals: scikit-image's biharmonic filling, OpenCV's Telea and Navier-Stokes.

    pip install scikit-image opencv-python-headless
    python benchmarks/restoration.py [--speed]

Six gray pictures of scikit-image, 256 x 256 pixels; of the middle 128 x 128 half of the pixels are missing, or four fifths, or twelve lines
of two pixels, or a square of 32 x 32. Peak signal-to-noise ratios are those of what is missing alone, in decibels, their mean over the six.
With --speed, seconds for a whole picture of 512 x 512 pixels, half of them missing.
"""

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from skimage import color, data, restoration
from timing import describe, interleave, ratio, table

from jaxart.tasks import restore

_SIDE = 128


def crops() -> dict[str, np.ndarray]:
    """Return the six pictures, in [0, 1]."""
    gray = lambda name: color.rgb2gray(getattr(data, name)())  # noqa: E731
    plain = lambda name: getattr(data, name)() / 255  # noqa: E731
    return {
        "camera": plain("camera")[128:384, 128:384],
        "astronaut": gray("astronaut")[:256, 128:384],
        "coffee": gray("coffee")[100:356, 150:406],
        "chelsea": gray("chelsea")[20:276, 100:356],
        "brick": plain("brick")[:256, :256],
        "coins": plain("coins")[20:276, 60:316],
    }


def holes() -> dict[str, np.ndarray]:
    """Return what is missing, ``[128, 128]`` each."""
    rng, found = np.random.default_rng(0), {}
    for share in (0.5, 0.8):
        found[f"{share:.0%} of the pixels"] = rng.random((_SIDE, _SIDE)) < share
    lines = np.zeros((_SIDE, _SIDE), bool)
    for _ in range(12):
        (y0, x0), (y1, x1) = rng.integers(4, _SIDE - 4, (2, 2))
        for t in np.linspace(0, 1, 4 * _SIDE):
            y, x = round(y0 + t * (y1 - y0)), round(x0 + t * (x1 - x0))
            lines[y : y + 2, x : x + 2] = True
    square = np.zeros((_SIDE, _SIDE), bool)
    square[48:80, 48:80] = True
    return {**found, "12 lines of 2 pixels": lines, "32 x 32": square}


def by_opencv(method: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a filling of OpenCV's, in 8 bits."""
    import cv2  # pyright: ignore[reportMissingImports]

    flag = getattr(cv2, f"INPAINT_{method}")
    return lambda picture, missing: (
        cv2.inpaint((picture * 255).round().astype(np.uint8), missing.astype(np.uint8), 3, flag) / 255
    )


def ours(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return one of our fillings."""
    fill = jax.jit(restore.FILLS[name])
    return lambda picture, missing: np.asarray(fill(jnp.float32(picture)[..., None], missing))[..., 0]


def by_key(name: str, fill: Callable[..., jax.Array]) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return a filling that draws numbers, and the mean of it and the biharmonic one: nearer on average, and less sharp."""
    plate = ours("biharmonic")

    def alone(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
        return np.asarray(fill(jax.random.key(0), jnp.float32(picture)[..., None], missing))[..., 0]

    return {
        name: alone,
        f"{name}, biharmonic: mean": lambda picture, missing: (alone(picture, missing) + plate(picture, missing)) / 2,
    }


def quality() -> None:
    """Print the ratios of all fillings."""
    every: dict[str, Any] = {name: ours(name) for name in restore.FILLS}
    every |= by_key("exemplar", restore.fill_exemplar) | by_key("deep image prior", restore.fill_prior)
    every["scikit-image, biharmonic"] = restoration.inpaint_biharmonic
    every |= {f"OpenCV, {method.title()}": by_opencv(method) for method in ("TELEA", "NS")}
    pictures = [each[64:192, 64:192] for each in crops().values()]
    print(f"| | {' | '.join(holes())} |\n|---|{'---|' * len(holes())}")
    for name, fill in every.items():
        row = []
        for missing in holes().values():
            errors = [np.mean((fill(np.where(missing, 0, p), missing) - p)[missing] ** 2) for p in pictures]
            row.append(np.mean([-10 * np.log10(error) for error in errors]))
        print(f"| {name} | {' | '.join(f'{each:.2f}' for each in row)} |", flush=True)


def speed() -> None:
    """Print the seconds of a whole picture."""
    picture = np.asarray(data.camera() / 255)
    missing = np.random.default_rng(0).random(picture.shape) < 0.5
    fill = ours("biharmonic")
    seconds = interleave(
        {
            "ours": lambda: fill(picture, missing),
            "rival": lambda: restoration.inpaint_biharmonic(np.where(missing, 0, picture), missing),
        },
        repeats=2,
    )
    row = {
        "name": "biharmonic, 512 x 512, half of the pixels",
        "ours": f"{np.median(seconds['ours']):.2f}",
        "rival": f"{np.median(seconds['rival']):.2f}",
        "unit": "s",
        "ratio": ratio(seconds["rival"], seconds["ours"]),
    }
    table([row], "ours", "scikit-image", describe())


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true", help="seconds of a whole picture, in the place of ratios")
    parser.add_argument("--json", action="store_true", help="of --speed: one JSON object a row")
    (speed if parser.parse_args().speed else quality)()


if __name__ == "__main__":
    main()
