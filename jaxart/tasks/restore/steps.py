"""Several restorations of one picture, one after the other: what came last is taken away first.

The noise of the scan, then the varnish over the paint, then what is missing of the paint; a picture is enlarged in the end.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import weights
from jaxart.arrays import Key
from jaxart.tasks.restore.choose import FILLS, fill_parts
from jaxart.tasks.restore.combine import fill_combined
from jaxart.tasks.restore.contract import Method, Observation, by_denoising, by_enlarging, by_filling
from jaxart.tasks.restore.denoisers import DENOISERS
from jaxart.tasks.restore.detect import damage_mask, detect_cracks, detect_dust, detect_scratches
from jaxart.tasks.restore.enlarge import back_project, interpolate
from jaxart.tasks.restore.grain import keep_grain
from jaxart.tasks.restore.mask import blend_holes
from jaxart.tasks.restore.network import (
    TILE,
    Restoration,
    denoise,
    denoise_together,
    find_damage,
    inpaint,
    load_restoration,
    upscale,
    without_holes,
)
from jaxart.tasks.restore.noise import estimate_noise
from jaxart.tasks.restore.prior import fill_prior
from jaxart.tasks.restore.self_supervised import denoise_self_supervised
from jaxart.tasks.restore.tone import Tone, apply_tone

Denoiser = Literal["network", "both", "self-supervised", "non-local", "tv"]
Filler = Literal["auto", "network", "exemplar", "biharmonic", "combined", "prior"]
Enlarger = Literal["network", "lanczos", "bicubic"]


class Plan(NamedTuple):
    """What is to be done with a picture.

    Fields:
        noise: to take away: its standard deviation, "auto" to estimate it, or None for nothing.
        denoiser: how.
        keep_grain: give back what of it is no noise, such as the weave of a canvas.
        tone: a correction, such as `estimate_varnish` returns; None for nothing.
        holes: shares in [0, 1] to be filled, ``[H, W]``; None for nothing.
        filler: how.
        scale: how many times to enlarge; 1 for not.
        enlarger: how.
        old: whether the picture is blurred, noisy or compressed, which is mended as it is enlarged.
        views: 1, or 8 to let networks look at it from all sides.
    """

    noise: Any = None
    denoiser: Denoiser = "network"
    keep_grain: bool = False
    tone: Tone | None = None
    holes: Any = None
    filler: Filler = "auto"
    scale: int = 1
    enlarger: Enlarger = "network"
    old: bool = False
    views: int = 1

    @property
    def holds_something(self) -> bool:
        """Return whether there is anything to be done."""
        return self.noise is not None or self.tone is not None or self.holes is not None or self.scale != 1


class Step(NamedTuple):
    """What was done: the step's name, a sentence, and how uncertain each pixel became ``[H, W, 1]``, where that was asked for."""

    name: str
    told: str
    uncertainty: np.ndarray | None = None


class Mended(NamedTuple):
    """A picture ``[H, W, 3]``, and the steps that led to it."""

    picture: np.ndarray
    steps: tuple[Step, ...]


def shipped_restoration(task: str, scale: int = 1) -> Restoration:
    """Return the network of the package for a task.

    Args:
        task: one of `TASKS`.
        scale: how many times it enlarges.

    Raises:
        ValueError: the package has none.
    """
    return _shipped(task, scale)


@functools.lru_cache(maxsize=4)
def _shipped(task: str, scale: int) -> Restoration:
    if not has_network(task, scale):
        raise ValueError(
            f"the package has no network for {network_name(task, scale)}: hand one in that `train restorer` has made."
        )
    return load_restoration(weights.shipped(network_name(task, scale)))


def network_name(task: str, scale: int = 1) -> str:
    """Return what the network of the package for a task is called.

    Args:
        task: one of `TASKS`.
        scale: how many times it enlarges.

    >>> network_name("upscale", 2)
    'upscale_x2'
    """
    return f"{task}_x{scale}" if task == "upscale" else task


def has_network(task: str, scale: int = 1) -> bool:
    """Return whether the package has a network for a task.

    Args:
        task: one of `TASKS`.
        scale: how many times it enlarges.
    """
    return network_name(task, scale) in weights.SHIPPED


def mend(
    picture: Any,
    plan: Plan,
    *,
    key: Key,
    networks: Mapping[str, Restoration] | None = None,
    uncertain: bool = False,
    tile: int | None = TILE,
    on_step: Callable[[Step], Any] | None = None,
) -> Mended:
    """Do what is planned, in the right order: noise, tone, holes, size.

    Args:
        picture: ``[H, W, 3]``, float in [0, 1].
        plan: what is to be done.
        key: typed key, of what draws numbers.
        networks: by task, in the place of those of the package.
        uncertain: tell how uncertain each pixel is, for two to three times the work.
        tile: see `apply_restorer`.
        on_step: called after each step.

    Raises:
        ValueError: a plan with nothing in it, or what a step refuses.
    """
    if not plan.holds_something:
        raise ValueError("plan: has nothing in it; expected noise, a tone, holes or a scale above 1.")
    found: Any = np.asarray(picture, np.float32)
    steps: list[Step] = []
    keys = jax.random.split(key)
    own = dict(networks or {})

    def network(task: str, scale: int = 1) -> Restoration:
        if task not in own or own[task].scale != scale:
            own[task] = shipped_restoration(task, scale)
        return own[task]

    def done(name: str, told: str, made: np.ndarray, uncertainty: np.ndarray | None = None) -> np.ndarray:
        steps.append(Step(name, told, uncertainty))
        if on_step is not None:
            on_step(steps[-1])
        return made

    def run(method: Method, given: np.ndarray, observation: Observation, plain: Callable[[], Any]) -> tuple:
        return tuple(method(given, observation)) if uncertain else (np.asarray(plain()), None)

    if plan.noise is not None:
        given = found if plan.holes is None else without_holes(found, plan.holes)
        level = _level(given, plan.noise)
        way = _denoiser(plan, keys[0], network, tile)
        method = by_denoising(way, key=jax.random.fold_in(keys[0], 1))
        made, error = run(method, given, Observation(noise=level), lambda: way(given, level))
        how = "estimated" if plan.noise == "auto" else "given"
        told = f"noise of {255 * level:.1f} / 255 ({how}) taken away by {_NAMES[plan.denoiser]}"
        told += ", what is no noise kept" if plan.keep_grain else ""
        found = done("denoise", told, made, error)
    if plan.tone is not None:
        told = f"colors corrected ({type(plan.tone).__name__.lower()}); the record takes that back"
        found = done("tone", told, np.asarray(apply_tone(plan.tone, found)))
    if plan.holes is not None:
        share = np.asarray(plan.holes, np.float32)
        fill = _filler(plan, keys[1], network, "inpaint" in own, tile)
        made, error = run(by_filling(fill), found, Observation(holes=share), lambda: fill(found, share))
        part = float(np.mean(share > 0))
        found = done("inpaint", f"{100 * part:.2f} % of the pixels filled by {_NAMES[plan.filler]}", made, error)
    if plan.scale != 1:
        enlarger = _enlarger(plan, network, tile)
        method, size = by_enlarging(enlarger), [plan.scale * side for side in found.shape[1::-1]]
        made, error = run(method, found, Observation(scale=plan.scale), lambda: enlarger(found))
        told = f"enlarged {plan.scale} times by {_NAMES[plan.enlarger]}, to {size[0]} x {size[1]}"
        found = done("upscale", told, made, error)
    return Mended(found, tuple(steps))


def damaged(picture: Any, model: Restoration | None = None) -> np.ndarray:
    """Return which pixels are of cracks, scratches and dust: bool ``[H, W]``; a proposal, to be looked at and corrected.

    Args:
        picture: ``[H, W, 3]``, float in [0, 1].
        model: of the task "cracks"; None for that of the package, or, where it has none, for morphology alone.
    """
    if model is None and has_network("cracks"):
        model = shipped_restoration("cracks")
    return damaged_by_morphology(picture) if model is None else find_damage(model, picture) > 0.5


def damaged_by_morphology(picture: Any) -> np.ndarray:
    """Return what `damaged` does, without a network: thin lines and small spots that stand out of what is around them.

    Args:
        picture: ``[H, W, 3]``, float in [0, 1].
    """
    lines = detect_cracks(picture), detect_scratches(picture)
    spots = damage_mask(detect_dust(picture), shortest=1)
    return np.asarray(damage_mask(jnp.maximum(*lines))) | np.asarray(spots)


_NAMES = {
    "network": "a network",
    "both": "a network and non-local means, in equal parts",
    "self-supervised": "a network trained on this picture",
    "non-local": "non-local means",
    "tv": "total variation",
    "auto": "what suits each hole",
    "exemplar": "pieces of the picture",
    "biharmonic": "a thin plate",
    "combined": "the mean of several ways, weighed by how near they come elsewhere",
    "prior": "a deep image prior",
    "lanczos": "Lanczos' kernel",
    "bicubic": "the cubic kernel",
}


_PROGRAMS = {name: jax.jit(denoiser) for name, denoiser in DENOISERS.items()}


def _level(picture: Any, noise: Any) -> float:
    return float(np.mean(np.asarray(estimate_noise(picture)))) if noise == "auto" else float(noise)


def _denoiser(plan: Plan, key: Key, network: Callable, tile: int | None) -> Callable[[Any, Any], np.ndarray]:
    def plain(picture: Any, noise: Any) -> Any:
        if plan.denoiser == "network":
            return denoise(network("denoise"), picture, noise, views=plan.views, tile=tile)
        if plan.denoiser == "both":
            return denoise_together(network("denoise"), picture, noise, views=plan.views, tile=tile)
        if plan.denoiser == "self-supervised":
            return denoise_self_supervised(key, picture, noise)
        return _PROGRAMS[plan.denoiser](picture, noise)

    def way(picture: Any, noise: Any) -> np.ndarray:
        made = plain(picture, noise)
        made = keep_grain(picture, made, noise) if plan.keep_grain else made
        return np.clip(np.asarray(made), 0, 1)

    return way


def _filler(
    plan: Plan, key: Key, network: Callable, handed_in: bool, tile: int | None
) -> Callable[[Any, Any], np.ndarray]:
    """Return what fills holes; a network that was handed in for that fills all that are not asked to be filled otherwise."""

    def learned(key: Key, picture: Any, holes: Any) -> Any:
        del key
        return inpaint(network("inpaint"), np.asarray(picture), np.asarray(holes), views=plan.views, tile=tile)

    known = FILLS | ({"learned": learned} if handed_in or has_network("inpaint") else {})
    every = {**FILLS, "prior": fill_prior, "network": learned, "auto": learned}
    every["combined"] = functools.partial(fill_combined, fills=known)
    fills = known if plan.filler == "auto" and not handed_in else {plan.filler: every[plan.filler]}

    def fill(picture: Any, share: Any) -> np.ndarray:
        missing: Any = np.asarray(share) > 0
        return np.asarray(blend_holes(picture, fill_parts(key, picture, missing, fills=fills), share))

    return fill


def _enlarger(plan: Plan, network: Callable, tile: int | None) -> Callable[[Any], np.ndarray]:
    def enlarge(picture: Any) -> np.ndarray:
        if plan.enlarger == "network":
            model = network("upscale", plan.scale)
            return upscale(model, picture, old=plan.old, views=plan.views, tile=tile)
        return np.asarray(back_project(interpolate(picture, plan.scale, kernel=plan.enlarger), picture))

    return enlarge
