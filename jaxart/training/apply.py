"""Running a network: in training, where it changes what it keeps beside its params, and over many examples once it is trained."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxart.arrays import Array, PyTree


def apply_train(network: Any, variables: PyTree, *inputs: Array) -> tuple[Any, PyTree]:
    """Apply a network in training; return its output and its variables with new statistics.

    Args:
        network: Flax module ``(*inputs, train) -> output``.
        variables: "params" and what the network keeps beside them (statistics of batches, singular vectors), which may change.
        inputs: of the network.

    Returns:
        (output, variables): of the same tree, the params as they were.
    """
    output, changed = network.apply(
        variables, *inputs, train=True, mutable=[name for name in variables if name != "params"]
    )
    return output, {**variables, **changed}


def apply_in_batches(function: Callable, network: Any, variables: PyTree, *inputs: Array, batch: int = 256) -> PyTree:
    """Apply a network to many examples, a batch of one size at a time.

    The program is traced once per function, network and shapes: weights are arguments, so that other weights run through the same one.

    Args:
        function: ``(network, variables, *inputs [B, ...]) -> arrays [B, ...]``, in any tree; the same object at each call.
        network: its module; equal modules share the program.
        variables: of the network.
        inputs: ``[N, ...]`` each; the last batch is filled up with zeros, whose results are dropped.
        batch: B, examples at a time.

    Returns:
        NumPy arrays ``[N, ...]``, in the tree of the function's result.

    Raises:
        ValueError: no examples.
    """
    count = len(inputs[0])
    if count == 0:
        raise ValueError("apply_in_batches: expected at least one example, got none.")
    made = []
    for first in range(0, count, batch):
        parts = [_filled(each[first : first + batch], batch) for each in inputs]
        made.append(jax.tree.map(np.asarray, _program(function, network, variables, *parts)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *made)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _program(function: Callable, network: Any, variables: PyTree, *inputs: Array) -> PyTree:
    return function(network, variables, *inputs)


def _filled(part: Array, batch: int) -> np.ndarray:
    given = np.asarray(part)
    return np.concatenate([given, np.zeros((batch - len(given), *given.shape[1:]), given.dtype)])
