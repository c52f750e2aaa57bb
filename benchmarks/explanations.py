"""Question: do explanations say what the network does? Three checks of each method, on pictures that a run has kept back.

    jaxart train classifier FOLDER -o RUN --size 32 --width 16 --batch 32 --steps 600
    python benchmarks/explanations.py RUN [--pictures 200] [--randomized 50]

RUN is one of `jaxart train classifier` with the model residual. Attributions are those of `jaxart explain`, of the likeliest class:

- completeness: how far integrated gradients of 64 steps, from black and from the blurred picture, are from adding up to the score's rise.
- randomization: rank correlation of a map with that of the same network whose parameters are drawn anew: those of the logits, of
  half of the blocks too, and all. Means over pictures with their 95 % interval; of all random also before amounts are made of signs.
- deletion: the area under the probability while a picture turns into its blurred self, the most attributed pixels first, less that of
  a random order: below 0 is better than random.
"""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from timing import describe

from jaxart import explain, runs
from jaxart.ops import compiler_options
from jaxart.runs import classifier as kind
from jaxart.runs import labels

Maps = Callable[[Any, jax.Array, jax.Array], jax.Array]  # (params, pictures [B, S, S, 3], classes [B]) -> [B, S, S]
_BATCH = 10
_STEPS = 64


class Network(NamedTuple):
    """A network and what explanations ask of it, and its params."""

    module: Any
    params: Any

    def scores(self, params: Any, x: jax.Array) -> jax.Array:
        """Return the scores before the softmax."""
        return self.module.apply({"params": params}, x)[0]

    def probabilities(self, params: Any, x: jax.Array) -> jax.Array:
        """Return the scores after the softmax."""
        return jax.nn.softmax(self.scores(params, x))

    def part(self, name: str, params: Any, x: jax.Array) -> jax.Array:
        """Return what a part of the network, "maps" or "head", makes of its input."""
        return self.module.apply({"params": params}, x, method=name)


def baselines(x: jax.Array) -> list[jax.Array]:
    """Return those of `jaxart explain`."""
    return [explain.black(x), explain.blurred(x)]


def methods(network: Network, size: int, steps: int) -> dict[str, Maps]:
    """Return the methods of `jaxart explain` by name, before anything is cut off: signed."""

    def cam(find: Any, params: Any, x: jax.Array, target: jax.Array) -> jax.Array:
        maps, head = (functools.partial(network.part, name) for name in ("maps", "head"))
        return find(maps, head, params, x, target, size=(size, size), raw=True)

    def integrated(params: Any, x: jax.Array, target: jax.Array) -> jax.Array:
        low = baselines(x)
        return explain.integrated_gradients(network.scores, params, x, low, target, steps=steps, chunk=1).sum(-1)

    def smooth(params: Any, x: jax.Array, target: jax.Array) -> jax.Array:
        return explain.smooth_grad(jax.random.key(0), network.scores, params, x, target, chunk=1).sum(-1)

    def covered(params: Any, x: jax.Array, target: jax.Array) -> jax.Array:
        side = max(4, size // 8)
        return explain.occlusion(network.scores, params, x, target, window=side, stride=max(1, side // 2), chunk=5)

    return {
        "grad-cam": functools.partial(cam, explain.grad_cam),
        "hires-cam": functools.partial(cam, explain.hires_cam),
        "integrated-gradients": integrated,
        "smooth-grad": smooth,
        "occlusion": covered,
    }


def shown(name: str, found: np.ndarray) -> np.ndarray:
    """Return attributions ``[B, S, S]`` as `jaxart explain` shows them: what speaks for the class; of smooth-grad amounts."""
    return np.asarray(explain.pixel_map(jnp.asarray(found)[..., None], positive=name != "smooth-grad"))


def in_batches(function: Callable[..., Any], params: Any, *columns: np.ndarray) -> np.ndarray:
    """Return what a function of (params, columns) makes of all rows, some at a time, by one program."""
    program = jax.jit(function, compiler_options=compiler_options())
    found = []
    for first in range(0, len(columns[0]), _BATCH):
        some = [column[first : first + _BATCH] for column in columns]
        missing = _BATCH - len(some[0])
        padded = [np.concatenate([each, each[:1].repeat(missing, 0)]) for each in some]
        found.append(np.asarray(program(params, *padded))[: len(some[0])])
    return np.concatenate(found)


def told(values: np.ndarray) -> str:
    """Return a mean and half of its 95 % interval."""
    return f"{values.mean():.3f} ± {1.96 * values.std(ddof=1) / len(values) ** 0.5:.3f}"


def gaps(network: Network, images: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the completeness gaps of integrated gradients."""

    def gap(params: Any, x: jax.Array, target: jax.Array) -> jax.Array:
        low = baselines(x)
        found = explain.integrated_gradients(network.scores, params, x, low, target, steps=_STEPS, chunk=1)
        return explain.completeness_gap(network.scores, params, x, low, target, found)

    return in_batches(gap, network.params, images, target)


def randomized(params: Any) -> list[Any]:
    """Return params that are random in the logits, in half of the network too, and everywhere."""
    blocks = sorted((name for name in params if name.startswith("residual")), key=lambda name: -int(name.split("_")[1]))
    stages = explain.randomized_parameters(jax.random.key(1), params, layers=["logits", "norm", *blocks, "stem"])
    return [stages[0], stages[1 + len(blocks) // 2], stages[-1]]


def correlations(name: str, maps: Maps, network: Network, found: Any, *columns: np.ndarray) -> list[np.ndarray]:
    """Return the rank correlations of maps with those of params that are more and more random, and at last of signed ones."""
    others: Any = [in_batches(maps, params, *columns) for params in randomized(network.params)]
    pairs: Any = [(shown(name, found), shown(name, other)) for other in others]
    return [np.asarray(explain.rank_correlation(*pair)) for pair in [*pairs, (found, others[-1])]]


def deletion(
    network: Network, params: Any, x: jax.Array, target: jax.Array, maps: jax.Array, keys: jax.Array
) -> jax.Array:
    """Return the areas under the curves of deletion, less those of a random order; the first of `keys` is taken."""
    key = jax.random.wrap_key_data(keys[0])
    given = (key, explain.deletion_curve, network.probabilities, params, x, target, maps, explain.blurred(x))
    areas = explain.compare_with_random(*given, orders=1, chunk=3)
    return areas.area - areas.random


def main() -> None:
    """Check each method, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--randomized", type=int, default=50, help="pictures of the randomization")
    arguments = parser.parse_args()
    run = runs.with_data(runs.open_run(arguments.run))
    dataset, state = run.data["data"], runs.newest_state(run)
    _, kept = labels.parts(run.options, dataset)
    rows = np.sort(np.random.default_rng(0).permutation(kept)[: arguments.pictures])
    images, label = dataset.column("image")[rows].astype(np.float32) / 255, dataset.column("target")[rows]
    network = Network(kind.network_of(run.options, run.facts), state.average)
    target = in_batches(lambda *given: jnp.argmax(network.scores(*given), axis=-1), network.params, images)
    print(describe())
    print(f"{len(rows)} pictures, of which {np.mean(target == label):.3f} are classified rightly", flush=True)
    gap = gaps(network, images, target)
    print(
        f"completeness gap of integrated gradients, {_STEPS} steps: median {np.median(gap):.4f}, mean {gap.mean():.4f}, "
        f"largest {gap.max():.3f}, at most 0.01 for {np.mean(gap <= 0.01):.3f} of the pictures\n",
        flush=True,
    )
    print("| | random logits | half of the network | all | all, signed | deletion less random | s |")
    print("|---|---|---|---|---|---|---|")
    few, less = slice(arguments.randomized), functools.partial(deletion, network)
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(2), len(images))))
    for name, maps in methods(network, images.shape[1], 16).items():
        begin = time.perf_counter()
        found = in_batches(maps, network.params, images, target)
        like = correlations(name, maps, network, found[few], images[few], target[few])
        area = in_batches(less, network.params, images, target, shown(name, found), keys)
        columns = [told(each) for each in (*like, area)]
        print(f"| {name} | {' | '.join(columns)} | {time.perf_counter() - begin:.0f} |", flush=True)


if __name__ == "__main__":
    main()
