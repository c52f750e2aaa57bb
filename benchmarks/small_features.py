"""Question: does a small network, distilled from VGG-16, lead the optimized method to pictures that VGG-16 likes as well?

    python benchmarks/small_features.py train PHOTOS PAINTINGS -o small.npz [--steps 2000] [--rounds 150] [--from small.npz]
    python benchmarks/small_features.py judge PHOTOS PAINTINGS small.npz [--pairs 6] [--steps 100]

The small network is told what VGG-16 sees in principal coordinates: of each layer's features those that vary most (66 to 97 % of the
variance). So the loss that it gives is nearly the same loss, and its weights are VGG-16's. Every --rounds steps, crops are
optimized with the network as it stands and join those that it learns from (0: never), because the optimizer finds whatever it is blind to.
To judge, photographs at 256 px are optimized by Adam under the features of either, from the photograph, by the same steps, rate and
weights, and VGG-16 measures both, at equal content distance (one of the pictures is mixed with the photograph). PHOTOS and PAINTINGS are
then pictures that nothing was trained on.
"""

import argparse
import functools
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from instant_style import CONTENT_LAYER, STYLE_LAYERS, WEIGHTS, Judge, at
from PIL import Image
from timing import describe, interleave, ratio

from jaxart import io, losses, models, weights
from jaxart.ops import avg_pool, conv2d

CROP, BATCH, POOL, SIZE = 128, 4, 512, 256
CONTENT_WEIGHT, RATE = 0.01, 0.02
CHANNELS = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu4_2": 512, "relu5_1": 512}
KEPT = {"relu1_1": 24, "relu2_1": 80, "relu3_1": 128, "relu4_1": 160, "relu4_2": 128, "relu5_1": 96}  # coordinates
WIDTHS = (16, 40, 96, 160, 128)
Layers = dict[str, jax.Array]


class Small(nn.Module):
    """Pictures ``[B, H, W, 3]`` in [0, 1] to the principal coordinates of VGG-16's layers, at their sizes."""

    @nn.compact
    def __call__(self, images: jax.Array) -> Layers:
        x, found = 4 * images - 2, {}

        def convolved(x: jax.Array, features: int, name: str, size: int = 3) -> jax.Array:
            kernel = self.param(name, nn.initializers.he_normal(), (size, size, x.shape[-1], features))
            return conv2d(x, kernel) + self.param(f"{name}_bias", nn.initializers.zeros_init(), (features,))

        for block, width in enumerate(WIDTHS, 1):
            x = jax.nn.relu(convolved(x if block == 1 else avg_pool(x), width, f"conv{block}_1"))
            if block > 1:
                x = jax.nn.relu(convolved(x, width, f"conv{block}_2"))
            found[f"relu{block}_1"] = x
            if block in (1, 4):
                x = jax.nn.relu(convolved(x, width, f"conv{block}_3"))
                found |= {"relu4_2": x} if block == 4 else {}
        return {name: convolved(layer, KEPT[name], f"{name}_told", 1) for name, layer in found.items()}


class Coordinates:
    """VGG-16 in principal coordinates: the axes are those of a first set of crops."""

    def __init__(self, pictures: np.ndarray) -> None:
        self.network = models.VGG(depth=16, layers=tuple(CHANNELS))
        self.variables = self.network.freeze(weights.load("vgg16"))
        apply = jax.jit(lambda variables, some: jax.tree.map(losses.moments, self.network.apply(variables, some)))
        found = jax.tree.map(
            lambda *each: np.mean(np.concatenate(each), 0),
            *[apply(self.variables, pictures[i : i + 8]) for i in range(0, len(pictures), 8)],
        )
        self.axes = {}
        for name, moments in found.items():
            values, vectors = np.linalg.eigh(moments.second - np.outer(moments.mean, moments.mean))
            axes = vectors[:, ::-1][:, : KEPT[name]].astype(np.float32)
            self.axes[name] = (moments.mean, axes, np.float32(values.sum()))
            print(
                f"{name}: {KEPT[name]} of {len(values)} coordinates, {values[::-1][: KEPT[name]].sum() / values.sum():.3f} of the variance"
            )

    def __call__(self, images: np.ndarray) -> Layers:
        return _told(self.network, self.variables, self.axes, images)


@functools.partial(jax.jit, static_argnums=0)
def _told(network: models.VGG, variables: Any, axes: Any, images: jax.Array) -> Layers:
    found: Any = network.apply(variables, images)
    return {name: (layer - axes[name][0]) @ axes[name][1] for name, layer in found.items()}


def distances(layers: Layers, style: Any, content: jax.Array) -> jax.Array:
    """Return the loss of a stylization ``[B]`` in coordinates: per channel of VGG-16, as the loss of all of them would be."""

    def one(layers: Layers, style: Any, content: jax.Array) -> jax.Array:
        shares = {name: layers[name].shape[-1] / CHANNELS[name] for name in layers}
        each = [
            weight * shares[name] * losses.wasserstein(losses.moments(layers[name]), style[name])
            for name, weight in zip(STYLE_LAYERS, WEIGHTS, strict=True)
        ]
        kept = shares[CONTENT_LAYER] * jnp.mean((layers[CONTENT_LAYER] - content) ** 2)
        return jnp.sum(jnp.stack(each)) + CONTENT_WEIGHT * kept

    return jax.vmap(one)(layers, style, content)


def targets(layers: Layers) -> Any:
    """Return what `distances` compares a batch of paintings' layers with."""
    return {name: jax.vmap(lambda x: losses.gaussian_target(losses.moments(x)))(layers[name]) for name in STYLE_LAYERS}


@functools.partial(jax.jit, static_argnums=0)
def descend(apply: Any, variables: Any, pictures: jax.Array, state: Any, style: Any, content: jax.Array) -> Any:
    """Take a step of Adam on pictures ``[B, H, W, 3]``."""
    slope = jax.grad(lambda some: jnp.sum(distances(apply(variables, some), style, content)))(pictures)
    change: Any
    change, state = optax.adam(RATE).update(slope, state)
    return jnp.clip(pictures + change, 0, 1), state


def optimized(apply: Any, variables: Any, photos: Any, paintings: Any, steps: int, start: Any = None) -> list[Any]:
    """Return pictures ``[B, H, W, 3]`` after each step."""
    style, content = (
        jax.jit(targets)(jax.jit(apply)(variables, paintings)),
        jax.jit(apply)(variables, photos)[CONTENT_LAYER],
    )
    made = jnp.asarray(photos if start is None else start)
    state, path = optax.adam(RATE).init(made), []
    for _ in range(steps):
        made, state = descend(apply, variables, made, state, style, content)
        path.append(made)
    return path


def _error(params: Any, images: jax.Array, told: Layers, spread: dict[str, jax.Array]) -> tuple[jax.Array, Layers]:
    """Return the sum over layers of the relative errors of coordinates, and of their second moments."""
    found: Any = Small().apply({"params": params}, images)
    each = {}
    for name, wanted in told.items():
        mine, theirs = losses.moments(found[name]).second, losses.moments(wanted).second
        apart = jnp.sum((mine - theirs) ** 2, axis=(1, 2)) / (
            jnp.sum(theirs**2, axis=(1, 2)) + 0.05 * spread[name] ** 2
        )
        square = jnp.sum((found[name] - wanted) ** 2, axis=-1)
        each[name] = jnp.mean(square) / spread[name] + jnp.mean(apart)
    return sum(each.values(), jnp.zeros(())), each


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def _learned(optimizer: Any, params: Any, state: Any, images: jax.Array, told: Layers, spread: Any) -> Any:
    slope, each = jax.grad(_error, has_aux=True)(params, images, told, spread)
    change, state = optimizer.update(slope, state, params)
    return optax.apply_updates(params, change), state, each


def crops(pictures: list[np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """Return random squares, shrunk to the crop."""
    found = []
    for picture in (pictures[i] for i in random.integers(len(pictures), size=count)):
        side = random.integers(CROP, min(picture.shape[:2]) + 1)
        top, left = (random.integers(n - side + 1) for n in picture.shape[:2])
        part = Image.fromarray(picture[top : top + side, left : left + side])
        found.append(np.asarray(part.resize((CROP, CROP), Image.Resampling.BOX), np.float32) / 255)
    return np.stack(found)


def read(folder: Path) -> list[np.ndarray]:
    """Return the pictures of a folder with sides of a crop at least, uint8, at most 384 pixels."""
    found = ((255 * at(path, 384)).astype(np.uint8) for path in io.pictures_in(folder))
    return [picture for picture in found if min(picture.shape[:2]) >= CROP]


def train(arguments: argparse.Namespace) -> None:
    """Distill."""
    random, begin = np.random.default_rng(arguments.seed), time.perf_counter()
    photos, paintings = read(arguments.photos), read(arguments.paintings)
    teacher = Coordinates(crops(photos + paintings, 128, np.random.default_rng(0)))
    spread = {name: axes[2] for name, axes in teacher.axes.items()}
    params: Any = Small().init(jax.random.key(0), jnp.zeros((1, CROP, CROP, 3)))["params"]
    if arguments.start is not None:
        params = load(arguments.start)
    rate = optax.warmup_cosine_decay_schedule(0, 2e-3, arguments.steps // 20, arguments.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(5), optax.adam(rate))
    state, pool = optimizer.init(params), np.zeros((0, CROP, CROP, 3), np.float32)
    for step in range(1, arguments.steps + 1):
        if arguments.rounds and step % arguments.rounds == 0:
            pair = crops(photos, 8, random), crops(paintings, 8, random)
            start = np.where(random.random((8, 1, 1, 1)) < 0.3, random.random(pair[0].shape, np.float32), pair[0])
            path = optimized(_small, params, *pair, 40, start)
            pool = np.concatenate([*(np.asarray(path[i]) for i in (4, 14, 39)), pool])[:POOL]
        images = crops(photos + paintings, 2 * BATCH, random)
        if len(pool):
            images[:BATCH] = pool[random.integers(len(pool), size=BATCH)]
        params, state, each = _learned(optimizer, params, state, images, teacher(images), spread)
        if step % 50 == 0 or step == arguments.steps:
            errors = "  ".join(f"{name} {float(value):.3f}" for name, value in each.items())
            print(f"{step}  {time.perf_counter() - begin:.0f} s  {errors}", flush=True)
            flat: dict[Any, Any] = traverse_util.flatten_dict(params)
            np.savez(arguments.output, **{"/".join(path): np.asarray(leaf) for path, leaf in flat.items()})  # pyright: ignore[reportArgumentType]


def _small(params: Any, images: jax.Array) -> Any:
    return Small().apply({"params": params}, images)


def load(path: Path) -> Any:
    """Return the params of a file."""
    with np.load(path, allow_pickle=False) as file:
        return traverse_util.unflatten_dict({tuple(name.split("/")): file[name] for name in file.files})


def judge(arguments: argparse.Namespace) -> None:
    """Print how far both reduce the style distance, pair by pair, and the seconds of a step."""
    eye, params = Judge(), jax.device_put(load(arguments.network))
    network = models.VGG(depth=16, layers=tuple(CHANNELS))
    variables = network.freeze(weights.load("vgg16"))
    each = {"VGG-16": (network.apply, variables), "small": (_small, params)}
    print(
        f"{describe()}\n\n| photograph, painting | before | VGG-16 | small | reduction, small / VGG-16 |\n|---|---|---|---|---|"
    )
    shares, pairs = (
        [],
        zip(io.pictures_in(arguments.photos), itertools.cycle(io.pictures_in(arguments.paintings)), strict=False),
    )
    for photo, painting in itertools.islice(pairs, arguments.pairs):
        pair = at(photo, SIZE), at(painting, SIZE)
        made = {
            who: np.asarray(optimized(apply, variables, pair[0][None], pair[1][None], arguments.steps)[-1][0])
            for who, (apply, variables) in each.items()
        }
        if arguments.output:
            arguments.output.mkdir(exist_ok=True)
            for who, picture in made.items():
                io.write(arguments.output / f"{photo.stem}_{painting.stem}_{who}.png", picture)
        found = eye.distances({"before": pair[0], **_strengths(made, pair[0])}, *pair)
        before = found["before"]["style"]
        content = min(found[f"{who}@1"]["content"] for who in each)
        style = {who: _at_content(found, who, content) for who in each}
        shares.append((before - style["small"]) / (before - style["VGG-16"]))
        print(
            f"| {photo.stem}, {painting.stem} | {before:.3f} | {style['VGG-16']:.3f} | {style['small']:.3f} | {shares[-1]:.2f} |",
            flush=True,
        )
    print(f"| mean | | | | {statistics.mean(shares):.2f} |\n")
    for size in (256, 512):
        print(f"a step at {size} px, VGG-16 / small: {_speed(each, size):.1f}")


def _strengths(made: dict[str, np.ndarray], photo: np.ndarray) -> dict[str, np.ndarray]:
    shares = (1, 0.9, 0.8, 0.7, 0.6, 0.5)
    return {f"{who}@{share}": photo + np.float32(share) * (x - photo) for who, x in made.items() for share in shares}


def _at_content(found: dict[str, dict[str, float]], who: str, content: float) -> float:
    rows = sorted((row["content"], row["style"]) for name, row in found.items() if name.startswith(f"{who}@"))
    return float(np.interp(content, [row[0] for row in rows], [row[1] for row in rows]))


def _speed(each: dict[str, Any], size: int) -> float:
    photo = np.random.default_rng(0).random((1, size, size, 3), np.float32)
    runs = {}
    for who, (apply, variables) in each.items():
        layers = jax.jit(apply)(variables, photo)
        given = jax.block_until_ready(
            (photo, optax.adam(RATE).init(jnp.asarray(photo)), targets(layers), layers[CONTENT_LAYER])
        )
        runs[who] = lambda apply=apply, variables=variables, given=given: jax.block_until_ready(
            descend(apply, variables, *given)
        )
    seconds = interleave(runs, repeats=5)
    return ratio(seconds["VGG-16"], seconds["small"])


def main() -> None:
    """Train or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    for name, run, steps in (("train", train, 2000), ("judge", judge, 100)):
        kind = kinds.add_parser(name)
        kind.set_defaults(run=run)
        kind.add_argument("photos", type=Path)
        kind.add_argument("paintings", type=Path)
        kind.add_argument("--steps", type=int, default=steps)
        kind.add_argument("-o", "--output", type=Path, required=name == "train")
    distill, compare = kinds.choices["train"], kinds.choices["judge"]
    distill.add_argument("--rounds", type=int, default=150)
    distill.add_argument("--from", dest="start", type=Path)
    distill.add_argument("--seed", type=int, default=0)
    compare.add_argument("network", type=Path)
    compare.add_argument("--pairs", type=int, default=6)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
