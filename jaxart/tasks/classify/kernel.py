"""A classifier of features by a Gaussian kernel: ridge regression on what is wanted of each example, solved by conjugate gradients.

A system of as many equations as there are examples is solved, one for each output, a turn of conjugate gradients a step. With noisy labels
and far more features than examples it is better than a network that is trained by its cross-entropy, and as soon done.

Reference: Saunders, Gammerman and Vovk, Ridge Regression Learning Algorithm in Dual Variables, 1998; conjugate gradients: Golub and Van
Loan, Matrix Computations, section 11.3.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key, PyTree
from jaxart.models import KernelHead, gaussian_kernel
from jaxart.tasks.classify.recipe import Scaling, State
from jaxart.tasks.classify.targets import Target
from jaxart.training import Recipe

_SOLVED = 1e-10  # of the squares at the beginning, from which on coefficients stay as they are


class Known(NamedTuple):
    """What a kernel is fitted to, the frozen arrays of its recipe.

    Fields:
        scaling: of features.
        support: features of the N examples, scaled, ``[N, F]`` float16.
        kernel: between them, ``[N, N]``.
        label: what the target says of them.
        weight: of each in the sum of squares, ``[N]``.
    """

    scaling: Scaling
    support: jax.Array
    kernel: jax.Array
    label: jax.Array
    weight: jax.Array


class Turn(NamedTuple):
    """Where conjugate gradients are: what is left of the right sides ``[N, O]``, the direction ``[N, O]``, and the squares of what was left
    at the beginning, ``[O]``."""

    left: jax.Array
    direction: jax.Array
    begin: jax.Array


def block_scaling(features: np.ndarray, blocks: tuple[int, ...]) -> Scaling:
    """Return the scaling by which the mean square of a distance is about 2, and a block's part of it goes by the root of its length.

    Blocks are of very different lengths: by these themselves covariances would be most of the distance.

    Args:
        features: of the training examples, ``[N, F]``.
        blocks: lengths of blocks that belong together, F in all.

    Raises:
        ValueError: blocks of another length in all.
    """
    lengths = np.repeat(blocks, blocks).astype(np.float32)
    if len(lengths) != features.shape[1]:
        raise ValueError(f"blocks: expected {features.shape[1]} features in all, got {len(lengths)}.")
    deviation = (features.std(0) + 1e-3) * lengths**0.25 * np.sqrt(np.sqrt(np.asarray(blocks, np.float32)).sum())
    return Scaling(jnp.asarray(features.mean(0)), jnp.asarray(deviation))


def known_examples(
    network: KernelHead, features: np.ndarray, label: np.ndarray, scaling: Scaling, *, weight: np.ndarray | None = None
) -> Known:
    """Return what `kernel_classifier` fits to: its `Recipe.frozen`.

    Args:
        network: whose kernel it is.
        features: of the training examples, ``[N, F]``.
        label: what the target says of them, ``[N, ...]``.
        scaling: of features.
        weight: of each example, ``[N]``; 1 by default.
    """
    support = scaling(jnp.asarray(features)).astype(jnp.float16)
    kernel = gaussian_kernel(support, support, width=network.width)
    one = jnp.ones(len(features)) if weight is None else jnp.asarray(weight, jnp.float32)
    return Known(scaling, support, kernel, jnp.asarray(label), one)


def kernel_classifier(network: KernelHead, *, length: int, target: Target, ridge: float = 0.07) -> Recipe:
    """Return the recipe of a classifier of features by a kernel; what it fits to is frozen (`known_examples`), batches are not looked at.

    Args:
        network: with as many outputs as the target, and as many known features as there are training examples.
        length: F, of the features.
        target: what is predicted; its offset is taken off the outputs, so that classes are balanced as networks balance them.
        ridge: added to the diagonal of the kernel; more smooths.

    Raises:
        ValueError: a target that least squares do not serve, or a ridge that is not above 0.
    """
    if target.aim is None:
        raise ValueError("target: a kernel serves a softmax, several labels and numbers; take a network.")
    if not ridge > 0:
        raise ValueError(f"ridge: expected a number above 0, got {ridge}.")
    return Recipe(functools.partial(_init, network, length), _make_step(target, ridge))


def _init(network: KernelHead, length: int, key: Key) -> State:
    params: Any = dict(network.init(key, jnp.zeros((1, length)))["params"])
    solved = {name: params[name] for name in ("coefficients", "bias")}
    zeros = jnp.zeros_like(params["coefficients"])
    scaling = Scaling(jnp.zeros(length), jnp.ones(length))
    return State(jnp.int32(0), solved, Turn(zeros, zeros, jnp.zeros(network.outputs)), params, scaling)


@functools.lru_cache(maxsize=32)
def _make_step(target: Target, ridge: float) -> Any:
    aim: Any = target.aim

    def step(key: Key, state: State, batch: dict[str, Array], frozen: PyTree) -> tuple[State, Any]:
        del key, batch
        known, first = Known(*frozen), state.step == 0
        wanted = aim(known.label)
        bias = known.weight @ wanted / jnp.sum(known.weight)
        begun = jax.lax.cond(first, lambda: _begun(wanted - bias[None]), lambda: state.opt_state)
        coefficients, turn = jax.lax.cond(
            jnp.any(_open(begun)), functools.partial(_turned, known, ridge), _kept, state.params["coefficients"], begun
        )
        shift = jnp.zeros(target.outputs) if target.offset is None else jnp.asarray(target.offset, jnp.float32)
        solved = {"coefficients": coefficients, "bias": bias - shift}
        outputs = wanted - turn.left - ridge * coefficients / known.weight[:, None] - shift[None]
        info = target.info(jnp.mean(target.loss(outputs, known.label)), jnp.mean(target.measure(outputs, known.label)))
        support = jax.lax.cond(first, lambda: known.support, lambda: state.average["support"])
        average = {"support": support, **solved}
        return State(state.step + 1, solved, turn, average, known.scaling), info

    return step


def _begun(right: jax.Array) -> Turn:
    return Turn(right, right, jnp.sum(right**2, axis=0))


def _open(turn: Turn) -> jax.Array:
    """Return which outputs are not solved yet, ``[O]``."""
    return jnp.sum(turn.left**2, axis=0) > _SOLVED * turn.begin


def _kept(coefficients: jax.Array, turn: Turn) -> tuple[jax.Array, Turn]:
    return coefficients, turn


def _turned(known: Known, ridge: float, coefficients: jax.Array, turn: Turn) -> tuple[jax.Array, Turn]:
    """Take a turn of conjugate gradients for ``(K + ridge / weight) c = right``, every output on its own."""
    image = known.kernel @ turn.direction + ridge * turn.direction / known.weight[:, None]
    squares = jnp.sum(turn.left**2, axis=0)
    going = _open(turn)
    along = jnp.where(going, squares / jnp.where(going, jnp.sum(turn.direction * image, axis=0), 1.0), 0.0)[None]
    left = turn.left - along * image
    share = jnp.where(going, jnp.sum(left**2, axis=0) / jnp.where(going, squares, 1.0), 0.0)[None]
    return coefficients + along * turn.direction, Turn(left, left + share * turn.direction, turn.begin)
