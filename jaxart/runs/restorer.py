"""Restoration by a network as a kind of run."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from jaxart import data as shelf
from jaxart import io, metrics, models, weights
from jaxart.arrays import Array, Key, PyTree
from jaxart.image import unit
from jaxart.runs import shared
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import RestorerOptions
from jaxart.tasks import restore as task
from jaxart.training import Recipe, apply_in_batches

LAYERS = ("relu1_2", "relu2_2", "relu3_3")  # of VGG-16, by which pictures are compared
SMALLEST = 16  # pixels of the parts that are seen
_WARM_UP = 200  # steps, at most a twentieth of all
_LAST = 0.01  # of the learning rate, in the end
_SHOWN = 6  # pictures on a sheet
_FEWEST = 4  # pictures that a score needs
_DAMAGES: dict[str, Callable] = {"denoise": task.noisy, "inpaint": task.torn, "cracks": task.cracked}


def load(options: RestorerOptions, source: str, path: Path) -> shelf.Dataset:
    """Read the pictures, which should be sharp and clean, as squares.

    Args:
        options: of the run.
        source: "data".
        path: as `data.load` takes it.

    Raises:
        ValueError: nothing there or nothing that can be read.
    """
    del source
    return shelf.load(path, size=options.size, fit=options.fit)


def facts(options: RestorerOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return how many pictures there are, and the hash of what it goes on from.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: numbers out of their range.
    """
    _check_options(options)
    begun = {} if options.start is None else {"start": metrics.content_hash(_started(options.start))}
    return {"pictures": data["data"].count} | begun


def recipe(options: RestorerOptions, facts: Facts) -> Recipe:
    """Return the recipe of a restoration.

    Args:
        options: of the run.
        facts: of its data.

    Raises:
        ValueError: what it goes on from is not what it was.
    """
    made = task.restorer(
        _network(options),
        shape=(options.crop, options.crop, 3),
        damage=_damage(options),
        loss=_loss(options),
        optimizer=usual_optimizer(options),
        half_life=options.half_life,
        transform=shared.partial(_seen, side=options.crop, gray=options.grayscale),
    )
    if options.start is None:
        return made
    return made._replace(begin=functools.partial(_begun, options.start, facts["start"]))


def frozen(options: RestorerOptions, data: dict[str, shelf.Dataset]) -> PyTree:
    """Return VGG-16, where pictures are compared by what it sees.

    Args:
        options: of the run.
        data: by source.
    """
    del data
    if not options.perceptual_weight:
        return {}
    return _judge().freeze(weights.load(options.weights or "vgg16"))


def batches(
    key: Key, options: RestorerOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of pictures.

    Args: see `Kind`.
    """
    return shelf.batches(key, data["data"], options.batch, columns=("image",), first=first, process=process)


def parameters(state: task.State) -> dict[str, PyTree]:
    """Return the parameters of the network."""
    return {"restorer": state.params}


def model_of(trained: Trained) -> task.Restoration:
    """Return what a run has learned, as it stands.

    Args:
        trained: with the averages that restore.
    """
    options = trained.options
    about = {"steps": int(trained.state.step), "old": options.old}
    return task.Restoration(_network(options), trained.state.average, options.task, _scale(options), about)


def sample(trained: Trained, path: Path) -> None:
    """Write a sheet, a row of each of a few pictures: as it is given, what it begins with, what is made of it, and what it should be.

    Args:
        trained: with the averages that restore, and the data.
        path: without a suffix.
    """
    options, images = trained.options, trained.data["data"].column("image")
    shown = np.linspace(0, len(images) - 1, min(_SHOWN, len(images))).round().astype(int)
    examples, made = _answers(options, trained.state.average, images[shown], jax.random.key(0))
    side = examples.target.shape[1]
    given = np.repeat(np.repeat(examples.given[..., :3], _scale(options), axis=1), _scale(options), axis=2)
    columns = [given, examples.begun, made, examples.target]
    columns = [np.broadcast_to(np.clip(each, 0, 1), (len(shown), side, side, 3)) for each in columns]
    io.write(path.with_suffix(".png"), io.grid(np.stack(columns, axis=1).reshape(-1, side, side, 3), columns=4))


def score(
    trained: Trained, seen: dict[str, shelf.Dataset], held_out: dict[str, shelf.Dataset], count: int, seed: int
) -> list[metrics.ScoreCard]:
    """Return cards of the peak signal-to-noise ratio and the structural similarity of what was made, and of what it began with; of one
    that finds damage, of the harmonic mean of precision and recall.

    Args: see `Kind`.
    """
    del seen
    images = held_out["data"].column("image")[:count]
    if len(images) < _FEWEST:
        raise ValueError(f"data: expected at least {_FEWEST} pictures, got {len(images)}.")
    examples, made = _answers(trained.options, trained.state.average, images, jax.random.key(seed))
    about: dict[str, Any] = {"n_fake": len(images), "n_real": len(images), "seed": seed}
    about |= {"data_hash": shelf.digest(held_out["data"]), "resize": "as loaded"}
    found = _scores(trained.options, examples, made)
    return [
        metrics.score_card(name, metrics.jackknife(jax.random.key(seed), of, *given), **about)
        for name, (of, given) in found.items()
    ]


def network(trained: Trained) -> weights.Network:
    """Return the restorer, to be kept in a file.

    Args:
        trained: with the averages that restore.
    """
    return task.as_network(model_of(trained))


def export(trained: Trained, platforms: tuple[str, ...]) -> bytes:
    """Return the restorer for `jax.export.deserialize`.

    Args:
        trained: with the averages that restore.
        platforms: to lower for.
    """
    return task.export_restoration(model_of(trained), platforms=platforms)


def usual_optimizer(options: RestorerOptions) -> optax.GradientTransformation:
    """Return Adam with a rate that rises briefly and falls by a cosine; equal options give the same object.

    Args:
        options: of the run.
    """
    warm_up = min(_WARM_UP, options.steps // 20)
    return _clipped(options.learning_rate, options.steps, warm_up)


@functools.lru_cache(maxsize=64)
def _clipped(rate: float, steps: int, warm_up: int) -> optax.GradientTransformation:
    adam = shared.cosine_adam(rate, steps, warm_up=warm_up, first=rate / (warm_up + 1), end=_LAST)
    return optax.chain(optax.clip_by_global_norm(1.0), adam)


def _scale(options: RestorerOptions) -> int:
    return options.scale if options.task == "upscale" else 1


def _network(options: RestorerOptions) -> models.Restorer:
    squares = options.squares
    if squares is None:
        squares = 0 if options.task == "upscale" else 1
    outputs = task.outputs_of(options.task, _scale(options))
    return models.Restorer(outputs, options.width, options.depth, options.blocks, squares)


def _damage(options: RestorerOptions) -> task.Damage:
    if options.task == "upscale":
        return shared.partial(task.small, scale=options.scale, old=options.old)
    return _DAMAGES[options.task]


def _judge() -> models.VGG:
    return models.VGG(depth=16, layers=LAYERS)


def _features(frozen: PyTree, pictures: jax.Array) -> dict[str, jax.Array]:
    return _judge().apply(frozen, pictures)  # pyright: ignore[reportReturnType]  Flax tells no type


def _loss(options: RestorerOptions) -> task.Loss:
    if options.task == "cracks":
        return task.damage_loss
    return shared.partial(
        task.pixel_loss,
        dissimilarity_weight=options.dissimilarity_weight,
        perceptual_weight=options.perceptual_weight,
        features=_features if options.perceptual_weight else None,
    )


def _seen(keys: Key, images: Array, *, side: int, gray: float) -> jax.Array:
    """Show a random square of each picture, mirrored and turned, perhaps without its colors."""
    steps = (
        functools.partial(shelf.window, side=side),
        shelf.horizontal_flip,
        functools.partial(shelf.quarter_turn, probability=0.75),
        functools.partial(shelf.grayscale, probability=gray),
    )
    return shelf.augment(keys, images, steps)


def _started(path: Path) -> PyTree:
    return weights.read_network(path, kind=task.KIND)[0]


def _begun(path: Path, known: str, state: task.State) -> task.State:
    """Return a first state with the layers of a file, where they have the shapes."""
    given = _started(path)
    if metrics.content_hash(given) != known:
        raise ValueError(f"start: {path} is not the file that the run began with; bring that one back.")

    def of(name: str, own: Any) -> Any:
        return {each: of_layer(given.get(name, {}).get(each), leaf) for each, leaf in own.items()}

    def of_layer(found: Any, own: jax.Array) -> jax.Array:
        return jax.numpy.asarray(found) if np.shape(found) == own.shape else own

    params = {name: of(name, own) for name, own in state.params.items()}
    return state._replace(params=params, average=jax.tree.map(jax.numpy.copy, params))


def _answers(options: RestorerOptions, params: PyTree, images: np.ndarray, key: Key) -> tuple[task.Example, np.ndarray]:
    """Return damaged pictures, and what is made of them; a picture is damaged as its number says, whatever is beside it."""
    side = options.size // 12 * 12  # a multiple of all scales
    keys = jax.random.key_data(jax.vmap(lambda number: jax.random.fold_in(key, number))(np.arange(len(images))))
    function, shown = shared.partial(_answer, damage=_damage(options)), jax.numpy.asarray(images[:, :side, :side])
    return apply_in_batches(function, _network(options), params, shown, keys, batch=8)


def _answer(network: Any, params: PyTree, images: Array, keys: Array, *, damage: task.Damage) -> tuple:
    examples = jax.vmap(damage)(jax.random.wrap_key_data(keys), unit(images))
    return examples, task.restored(network, params, examples)


def _scores(options: RestorerOptions, examples: task.Example, made: np.ndarray) -> dict[str, tuple[Callable, tuple]]:
    if options.task == "cracks":
        return {"F1 of damage": (_f1, _found(made, examples.target))}
    scores: dict[str, tuple[Callable, tuple]] = {}
    results: list[tuple[str, Any]] = [("", made), (" of what it begins with", examples.begun)]
    for suffix, pictures in results:
        squares = ((np.clip(pictures, 0, 1) - examples.target) ** 2 * examples.weight).mean((1, 2, 3))
        share = np.maximum(examples.weight.mean((1, 2, 3)), 1e-6)
        scores[f"PSNR{suffix}"] = (_mean_psnr, (squares, share))
        similar = np.asarray(jax.vmap(metrics.ssim)(np.clip(pictures, 0, 1), examples.target))
        scores[f"SSIM{suffix}"] = (np.mean, (similar,))
    return scores


def _mean_psnr(squares: np.ndarray, share: np.ndarray) -> float:
    """Return the mean over the pictures, of the pixels that count."""
    return float(np.mean(-10 * np.log10(np.maximum(squares / share, 1e-10))))


def _found(logits: Any, truth: Any) -> tuple[np.ndarray, ...]:
    """Return of each picture how many pixels were found, are damaged, and are both."""
    found, real = logits > 0, truth > 0.5
    return tuple(each.sum((1, 2, 3)) for each in (found, real, found & real))


def _f1(found: np.ndarray, real: np.ndarray, both: np.ndarray) -> float:
    return float(2 * both.sum() / max(found.sum() + real.sum(), 1))


def _check_options(options: RestorerOptions) -> None:
    if not 0 < options.learning_rate < float("inf"):
        raise ValueError(f"learning_rate: expected a number above 0, got {options.learning_rate}.")
    if min(options.dissimilarity_weight, options.perceptual_weight) < 0:
        raise ValueError("dissimilarity_weight, perceptual_weight: expected at least 0.")
    for name in ("old", "grayscale"):
        if not 0 <= getattr(options, name) <= 1:
            raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(options, name)}.")
    if not SMALLEST <= options.crop <= options.size:
        raise ValueError(f"crop: expected {SMALLEST} to the size, {options.size} pixels, got {options.crop}.")
    if options.task == "upscale" and options.crop % options.scale:
        raise ValueError(f"crop: expected a multiple of the scale, {options.scale}, got {options.crop}.")
