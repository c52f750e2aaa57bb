"""Steering a trained generator: moving in its latent space, mixing, walking."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import check_choice
from jaxart.runs.kind import Generator
from jaxart.runs.pictures import make
from jaxart.runs.points import (
    Points,
    Steered,
    latents_of,
    painted,
    points_of,
    random_points,
    steered_of,
)
from jaxart.runs.run import Run
from jaxart.tasks import generate as task

METHODS = ("principal", "factorized")
_DRAWN = 2048  # latents whose styles tell directions and their deviations
_LOOKED_AT = 512  # pictures that tell directions where there are no styles


def latent_of_seed(
    run: Run | Path | Steered, seed: int, *, label: str | None = None, truncation: float | None = None
) -> task.Latent:
    """Return the latent of the first picture that `sample` makes with this seed.

    Args:
        run: of a kind with a generator.
        seed: any.
        label: its class; by default the first.
        truncation: for generators with styles, see `models.truncated`.

    Raises:
        ValueError: a kind without a generator, no checkpoint, an unknown label, truncation without styles.
    """
    steered = steered_of(run)
    return latents_of(steered, random_points(steered, seed, 1, label, truncation))[0]


def paint(run: Run | Path | Steered, latents: Sequence[task.Latent]) -> np.ndarray:
    """Return the pictures of latents.

    Args:
        run: whose latents they are.
        latents: at least one.

    Returns:
        float32 ``[N, H, W, C]`` in [0, 1].

    Raises:
        ValueError: latents of another run, or of weights that were trained on since.
    """
    steered = steered_of(run)
    return painted(steered, points_of(steered, latents))


def directions(
    run: Run | Path | Steered,
    count: int,
    *,
    method: Literal["principal", "factorized"] = "principal",
    layers: tuple[int, int] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Find directions in which a run's generator changes its pictures most, without labels.

    Args:
        run: of a kind with a generator whose latents are vectors.
        count: how many, the strongest first.
        method: "principal": in which styles vary, or, without styles, pictures. "factorized": to which the first products answer.
        layers: (first, last) of the styles that count for "factorized".
        seed: of the latents that are looked at.

    Returns:
        ``[count, D]``, each as long as random latents deviate along it, so that a strength of 2 is seldom and one of 5 is never seen.

    Raises:
        ValueError: more than there are, an unknown method, or a flow, whose latents are noise and have none.
    """
    return _directions(steered_of(run), count, method, layers, seed)


def labeled_direction(run: Run | Path | Steered, labels: Mapping[int, float], *, seed: int = 0) -> np.ndarray:
    """Find the direction along which a run's pictures change from one label to another.

    Args:
        run: of a kind with a generator whose latents are vectors.
        labels: of some pictures of ``sample(run, ..., seed=seed)``, by their numbers: 0 and 1, or anything that was measured.
        seed: of these pictures.

    Returns:
        ``[D]``, as long as random latents deviate along it, toward the higher labels.

    Raises:
        ValueError: labels that are all the same, a number below 0, or a flow, whose latents are noise and have no directions.
    """
    steered = steered_of(run)
    _check_has_directions(steered)
    if min(labels, default=-1) < 0:
        raise ValueError(f"labels: expected numbers of pictures from 0, got {min(labels, default='none')}.")
    code = np.asarray(random_points(steered, seed, max(labels) + 1, None, None).code)
    code = code if steered.styled is None else code[:, 0]
    found = task.labeled_direction(jnp.asarray(code[list(labels)]), jnp.asarray(list(labels.values())))
    if steered.styled is None:
        return np.asarray(found)
    return np.asarray(found * _deviations(_random_styles(steered.styled, steered.generator, seed), found[None]))


def edit(
    run: Run | Path | Steered,
    latent: task.Latent,
    direction: int | np.ndarray,
    strengths: Sequence[float],
    *,
    method: Literal["principal", "factorized"] = "principal",
    layers: tuple[int, int] | None = None,
    seed: int = 0,
) -> list[task.Latent]:
    """Move a latent along a direction.

    Args:
        run: whose latent it is.
        latent: from `project`, `read_latent` or `latent_of_seed`.
        direction: its number, from 1, of `directions`; or itself, such as `labeled_direction` finds it.
        strengths: how far: in deviations of random latents.
        method: as in `directions`.
        layers: (first, last) of the styles that move, both from 0 and included; all by default. First ones are coarse.
        seed: as in `directions`.

    Returns:
        A latent for each strength, for `paint`.

    Raises:
        ValueError: as `directions` and `paint`; layers of a generator without styles, or that it does not have.
    """
    steered = steered_of(run)
    points = points_of(steered, [latent])
    if layers is not None and steered.styled is None:
        raise ValueError(
            f"layers: the generator of {steered.folder} has no styles; a direction moves its whole latent."
        )
    if isinstance(direction, np.ndarray):
        _check_has_directions(steered)
        found = direction
    elif direction < 1:
        raise ValueError(f"direction: they are counted from 1, got {direction}.")
    else:
        found = _directions(steered, direction, method, layers, seed)[-1]
    moved = [task.edited(np.asarray(points.code), found, strength, layers=layers) for strength in strengths]
    noise = points.noise and tuple(np.repeat(each, len(moved), axis=0) for each in points.noise)
    return latents_of(steered, Points(np.concatenate(moved), noise, np.repeat(points.label, len(moved))))


def mix(
    run: Run | Path | Steered, rows: Sequence[task.Latent], columns: Sequence[task.Latent], *, crossover: int = 4
) -> np.ndarray:
    """Paint a table of pictures with the coarse styles of their row and the fine ones of their column.

    Args:
        run: of a generator with styles.
        rows: latents; their pictures stand at the left.
        columns: latents; their pictures stand at the top.
        crossover: number of first layers that are the rows'.

    Returns:
        float32 ``[(R + 1) (K + 1), H, W, C]``, for ``io.grid(pictures, columns=K + 1)``.

    Raises:
        ValueError: as `paint`; a generator without styles.
    """
    steered = steered_of(run)
    if steered.styled is None:
        raise ValueError(f"{steered.folder}: its generator has no styles to mix; --model stylegan2 has.")
    codes = [points_of(steered, each).code for each in (rows, columns)]
    return task.mixing_grid(steered.styled, *codes, crossover=crossover)


def walk(
    run: Run | Path | Steered,
    *,
    stops: int = 8,
    frames: int = 12,
    seed: int = 0,
    label: str | None = None,
    seeds: Sequence[int] = (),
    latents: Sequence[task.Latent] = (),
    truncation: float | None = None,
    loop: bool = True,
    ease: bool = True,
) -> np.ndarray:
    """Make a walk through what a run's generator can make, from key frame to key frame.

    Key frames are `latents`, then the pictures of `seeds`; without either, `stops` random pictures. Between them styles go straight, and
    latents and noise on the great circle.

    Args:
        run: of a kind with a generator.
        stops: random pictures that it passes.
        frames: from one to the next.
        seed: of the stops.
        label: class of the random pictures; by default the first.
        seeds: of key frames, see `latent_of_seed`.
        latents: key frames.
        truncation: of random pictures, for generators with styles.
        loop: return to the first.
        ease: slow down at each key frame.

    Returns:
        float32 ``[F, H, W, C]`` in [0, 1]: ``stops * frames``, or ``(stops - 1) * frames + 1`` without a loop.

    Raises:
        ValueError: as `paint` and `latent_of_seed`; latents of several classes, or numbers below 1.
    """
    if stops < 1 or frames < 1:
        raise ValueError(f"stops, frames: expected at least 1, got {stops} and {frames}.")
    steered = steered_of(run)
    given = list(latents)
    for each in seeds:
        given += latents_of(steered, random_points(steered, each, 1, label, truncation))
    if given:
        points = points_of(steered, given)
    else:
        points = random_points(steered, seed, stops, label, truncation)
        points = points._replace(label=np.full(stops, points.label[0]))
    return painted(steered, _walked(points, frames=frames, loop=loop, ease=ease, styles=steered.styled is not None))


def _walked(points: Points, *, styles: bool, frames: int, loop: bool, ease: bool) -> Points:
    if len(set(np.asarray(points.label).tolist())) > 1:
        raise ValueError("latents: expected key frames of one class, got several; there is nothing between classes.")
    code, noise = _paths(points.code, points.noise, styles=styles, frames=frames, loop=loop, ease=ease)
    return Points(code, noise, np.full(len(code), points.label[0]))


@functools.partial(jax.jit, static_argnames=("styles", "frames", "loop", "ease"))
def _paths(code: Any, noise: Any, *, styles: bool, **how: Any) -> tuple[Any, Any]:
    def walked(stops: Any, between: Callable[..., Any]) -> Any:
        path = task.walk(stops.reshape(len(stops), -1), between=between, **how)
        return path.reshape(-1, *stops.shape[1:])

    maps = noise and tuple(walked(each, task.slerp) for each in noise)
    return walked(code, task.straight if styles else task.slerp), maps


def _directions(steered: Steered, count: int, method: str, layers: tuple[int, int] | None, seed: int) -> np.ndarray:
    check_choice("method", method, METHODS)
    _check_has_directions(steered)
    if steered.styled is None:
        return np.asarray(_plain_directions(steered, count, method, seed))
    w = _random_styles(steered.styled, steered.generator, seed)
    most = steered.styled.network.dimensions
    _check_count(count, most)
    if method == "principal":
        found = jax.jit(task.principal_directions, static_argnums=1)(w, count)
    else:
        params = steered.styled.variables["params"]
        found = task.factorized_directions(params, count, latent=most, layers=layers)
    vectors = np.asarray(found.vectors)
    return vectors * _deviations(w, vectors)[:, None]


def _check_has_directions(steered: Steered) -> None:
    if isinstance(steered.generator.generate.network, task.Solver):
        raise ValueError(f"{steered.folder}: a flow's latent is noise and has no directions; a GAN and a VAE have.")


def _random_styles(styled: task.Styled, generator: Generator, seed: int) -> Any:
    """Return w of many latents, ``[N, D]``, of all classes alike."""
    z = task.draw_latents(jax.random.key(seed), _DRAWN, latent=generator.latent)
    label = jnp.arange(_DRAWN, dtype=jnp.int32) % max(1, len(generator.classes))
    return task.styles_of(styled, z, label)[:, 0]


def _deviations(codes: Any, vectors: Any) -> Any:
    """Return how far codes deviate along each of the vectors ``[K, D]``."""
    return np.std(codes @ vectors.T, axis=0)


def _plain_directions(steered: Steered, count: int, method: str, seed: int) -> Any:
    """Return directions of latents, which deviate by 1 along each."""
    latent = steered.generator.latent
    _check_count(count, min(latent, _LOOKED_AT))
    if method == "factorized":
        params = steered.generator.generate.variables["params"]
        return task.factorized_directions(params, count, latent=latent).vectors
    z = task.draw_latents(jax.random.key(seed), _LOOKED_AT, latent=latent)
    made = make(steered.generator, z, np.zeros(_LOOKED_AT, np.int32))
    return jax.jit(task.visible_directions, static_argnums=2)(z, made, count).vectors


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise ValueError(f"direction: this generator has 1 to {most}, got {count}.")
