"""Question: how well, and how fast, are holes filled smoothly, and is noise taken away? Rivals: scikit-image's biharmonic filling, OpenCV's
Telea and Navier-Stokes; scikit-image's wavelets, total variation and non-local means.

    pip install scikit-image opencv-python-headless PyWavelets
    python benchmarks/restoration.py [--denoise] [--only NAME] [--noise] [--speed]

Six gray pictures of scikit-image, 256 x 256 pixels; of the middle 128 x 128 half of the pixels are missing, or four fifths, or twelve lines
of two pixels, or a square of 32 x 32. Peak signal-to-noise ratios are those of what is missing alone, in decibels, their mean over the six.
With --speed, seconds for a whole picture of 512 x 512 pixels, half of them missing.

With --denoise, the whole of the six with white noise of 15, 25 and 50 of 255 (the same numbers for each picture, not clipped), whose level
is told; rivals have the best of several weights for each picture, which only who knows the truth can choose. --noise has what
`estimate_noise` says.
"""

import argparse
import functools
import importlib.util
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
    fill = jax.jit(restore.SMOOTH_FILLS[name])
    return lambda picture, missing: np.asarray(fill(jnp.float32(picture)[..., None], missing))[..., 0]


def by_key(fill: Callable[..., jax.Array]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a filling that draws numbers."""
    return lambda picture, missing: np.asarray(fill(jax.random.key(0), jnp.float32(picture)[..., None], missing))[
        ..., 0
    ]


def gray(denoise: Callable[..., Any]) -> Callable[[np.ndarray, float], np.ndarray]:
    """Return a denoiser of pictures [H, W, C] as one of gray pictures [H, W]."""
    return lambda picture, noise: np.asarray(denoise(jnp.float32(picture)[..., None], noise))[..., 0]


def best(*tries: Callable[[np.ndarray, float], np.ndarray]) -> list[Callable[[np.ndarray, float], np.ndarray]]:
    """Return several settings of a method, of which the best counts, picture by picture."""
    return list(tries)


def denoisers() -> dict[str, list[Callable[[np.ndarray, float], np.ndarray]]]:
    """Return all that takes noise away: ``(picture [H, W], noise) -> picture``, one or several to choose from."""
    means, trained = jax.jit(restore.denoise_nonlocal_means), restore.denoise_self_supervised
    total, key = jax.jit(restore.denoise_total_variation), jax.random.key(0)
    grainy = lambda picture, noise: restore.keep_grain(picture, means(picture, noise), noise)  # noqa: E731
    by_means = lambda side, reach: (  # noqa: E731
        lambda x, s: restoration.denoise_nl_means(x, patch_size=side, patch_distance=reach, h=0.6 * s, sigma=s)
    )
    by_variation = lambda weight: lambda x, s: restoration.denoise_tv_chambolle(x, weight=weight * s)  # noqa: E731
    model = restore.shipped_restoration("denoise")
    as_rgb = lambda picture: np.repeat(np.asarray(picture, np.float32)[..., None], 3, axis=-1)  # noqa: E731
    network = lambda views=1, told=True: (  # noqa: E731
        lambda x, s: restore.denoise(model, as_rgb(x), s if told else None, views=views).mean(axis=-1)
    )
    every = {
        "network": best(network()),
        "network, level untold": best(network(told=False)),
        "network, eight views": best(network(views=8)),
        "network and non-local means": best(lambda x, s: restore.denoise_together(model, as_rgb(x), s).mean(axis=-1)),
        "the same, eight views": best(
            lambda x, s: restore.denoise_together(model, as_rgb(x), s, views=8).mean(axis=-1)
        ),
        "total variation": best(gray(total)),
        "non-local means": best(gray(means)),
        "non-local means, grain kept": best(gray(jax.jit(grainy))),
        "self-supervised": best(gray(lambda picture, noise: trained(key, picture, noise))),
        "scikit-image, total variation, best of 4": best(*(by_variation(weight) for weight in (0.6, 0.8, 1.0, 1.2))),
        "scikit-image, non-local means, best of 2": best(by_means(5, 6), by_means(7, 11)),
    }
    if importlib.util.find_spec("pywt"):
        every["scikit-image, wavelets"] = best(
            lambda x, s: restoration.denoise_wavelet(x, sigma=s, wavelet="db2", method="BayesShrink")
        )
    return every


def noisy(picture: np.ndarray, level: float) -> np.ndarray:
    """Return a picture with noise of a level of 255, from one seed."""
    return picture + np.random.default_rng(0).normal(0, level / 255, picture.shape)


def denoised(part: str) -> None:
    """Print the ratios of all denoisers whose name holds `part`: of each picture, and their mean."""
    pictures, levels = crops(), (15, 25, 50)
    print(f"| | noise | {' | '.join(pictures)} | mean |\n|---|{'---|' * (len(pictures) + 2)}")
    chosen = {name: tries for name, tries in denoisers().items() if part in name}
    for name, tries in chosen.items():
        for level in levels:
            row = []
            for picture in pictures.values():
                found = [each(noisy(picture, level), level / 255) for each in tries]
                row.append(max(-10 * np.log10(np.mean((each - picture) ** 2)) for each in found))
            numbers = " | ".join(f"{each:.2f}" for each in [*row, np.mean(row)])
            print(f"| {name} | {level} | {numbers} |", flush=True)


def estimated() -> None:
    """Print what is said of the level of noise, in 255ths."""
    pictures, estimate = crops(), jax.jit(restore.estimate_noise)
    print(f"| noise | {' | '.join(pictures)} |\n|---|{'---|' * len(pictures)}")
    for level in (0, 5, 10, 15, 25, 50):
        row = [255 * float(estimate(jnp.float32(noisy(each, level))[..., None])[0]) for each in pictures.values()]
        print(f"| {level} | {' | '.join(f'{each:.2f}' for each in row)} |")


def learned(key: Any, picture: Any, missing: Any) -> jax.Array:
    """Fill a gray picture by the network of the package."""
    model, colors = restore.shipped_restoration("inpaint"), np.repeat(np.asarray(picture), 3, axis=-1)
    return jnp.asarray(restore.inpaint(model, colors, missing).mean(axis=-1, keepdims=True))


def quality(part: str) -> None:
    """Print the ratios of all fillings whose name holds `part`."""
    every: dict[str, Any] = {name: ours(name) for name in restore.SMOOTH_FILLS}
    drawn: dict[str, Any] = {"exemplar": restore.fill_exemplar, "deep image prior": restore.fill_prior}
    drawn["combined"] = restore.fill_combined
    if restore.has_network("inpaint"):
        three = {**restore.FILLS, "learned": learned}
        drawn |= {"network": learned, "combined": functools.partial(restore.fill_combined, fills=three)}
    every |= {name: by_key(fill) for name, fill in drawn.items()}
    every["scikit-image, biharmonic"] = restoration.inpaint_biharmonic
    every |= {f"OpenCV, {method.title()}": by_opencv(method) for method in ("TELEA", "NS")}
    pictures = [each[64:192, 64:192] for each in crops().values()]
    print(f"| | {' | '.join(holes())} |\n|---|{'---|' * len(holes())}")
    for name, fill in every.items():
        if part not in name:
            continue
        row = []
        for missing in holes().values():
            errors = [np.mean((fill(np.where(missing, 0, p), missing) - p)[missing] ** 2) for p in pictures]
            row.append(np.mean([-10 * np.log10(error) for error in errors]))
        print(f"| {name} | {' | '.join(f'{each:.2f}' for each in row)} |", flush=True)


def compared(name: str, ours: Callable[[], Any], rival: Callable[[], Any]) -> dict[str, Any]:
    """Return a row of a table of seconds."""
    seconds = interleave({"ours": ours, "rival": rival}, repeats=2)
    return {
        "name": name,
        "ours": f"{np.median(seconds['ours']):.2f}",
        "rival": f"{np.median(seconds['rival']):.2f}",
        "unit": "s",
        "ratio": ratio(seconds["rival"], seconds["ours"]),
    }


def denoising_speed() -> None:
    """Print the seconds of denoising a whole picture."""
    picture, level = noisy(np.asarray(data.camera() / 255), 25), 25 / 255
    every, rows = denoisers(), []
    for name, setting in (("total variation", 1), ("non-local means", 0)):
        rival = next(tries for other, tries in every.items() if other.startswith(f"scikit-image, {name}"))[setting]
        mine = every[name][0]
        rows.append(
            compared(
                f"{name}, 512 x 512",
                lambda mine=mine: mine(picture, level),
                lambda rival=rival: rival(picture, level),
            )
        )
    table(rows, "ours", "scikit-image", describe())


def speed() -> None:
    """Print the seconds of filling a whole picture."""
    picture = np.asarray(data.camera() / 255)
    missing = np.random.default_rng(0).random(picture.shape) < 0.5
    fill = ours("biharmonic")
    row = compared(
        "biharmonic, 512 x 512, half of the pixels",
        lambda: fill(picture, missing),
        lambda: restoration.inpaint_biharmonic(np.where(missing, 0, picture), missing),
    )
    table([row], "ours", "scikit-image", describe())


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true", help="seconds of a whole picture, in the place of ratios")
    parser.add_argument("--denoise", action="store_true", help="noise in the place of holes")
    parser.add_argument("--only", default="", help="methods whose name holds this")
    parser.add_argument("--noise", action="store_true", help="what is said of the level of noise, and no more")
    parser.add_argument("--json", action="store_true", help="of --speed: one JSON object a row")
    asked = parser.parse_args()
    if asked.noise:
        estimated()
    elif asked.denoise:
        denoising_speed() if asked.speed else denoised(asked.only)
    else:
        speed() if asked.speed else quality(asked.only)


if __name__ == "__main__":
    main()
