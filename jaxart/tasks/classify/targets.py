"""What the outputs of a classifier stand for: one class, several labels at once, or numbers; their loss, and what is read off them.

Equal arguments give the same object, by which compiled steps are known again, so what is given as tuples must be hashable.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import losses
from jaxart.arrays import Array, check_choice

Scheme = Literal["softmax", "one-vs-all", "one-vs-one"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
_SURE = 8.0  # by how much the logit of what is true is above the others where least squares aim


class Info(NamedTuple):
    """The loss of the batch, and the share of its labels that are right."""

    loss: jax.Array
    accuracy: jax.Array


class NumbersInfo(NamedTuple):
    """The loss of the batch, and the mean absolute error of its numbers, in units of their deviations."""

    loss: jax.Array
    error: jax.Array


class Target(NamedTuple):
    """What is predicted.

    Fields:
        outputs: of the network, per example.
        loss: ``(outputs [B, O], target) -> [B]``; the target is ``[B]`` int32 of one class, or its shares ``[B, K]``; ``[B, K]`` of 0
            and 1 for several labels; ``[B, T]`` of numbers.
        answer: ``outputs [B, O] ->`` probabilities ``[B, K]``, or numbers ``[B, T]``.
        measure: ``(outputs, target) -> [B]``: what `info` says beside the loss.
        info: makes a report of the means of both.
        mixes: whether the target may be shares ``[B, K]`` of classes.
        scores: ``outputs [B, O] -> [B, K]``: what speaks for each class, label or number, which explanations are of.
        aim: ``target -> [B, O]``, the outputs that least squares aim at; None where they do not serve.
        offset: what `loss` adds to outputs, and least squares take off theirs, ``[O]``; None for nothing.
    """

    outputs: int
    loss: Callable[[Array, Array], jax.Array]
    answer: Callable[[Array], jax.Array]
    measure: Callable[[Array, Array], jax.Array]
    info: Callable[[jax.Array, jax.Array], Any] = Info
    mixes: bool = False
    scores: Callable[[Array], Array] = lambda outputs: outputs
    aim: Callable[[Array], jax.Array] | None = None
    offset: tuple[float, ...] | None = None


@functools.lru_cache(maxsize=64)
def one_class(
    classes: int,
    *,
    scheme: Scheme = "softmax",
    offset: tuple[float, ...] | None = None,
    weights: tuple[float, ...] | None = None,
    smoothing: float = 0.0,
    focus: float = 0.0,
) -> Target:
    """Return the target of examples that have one class each.

    Args:
        classes: K, at least 2.
        scheme: "softmax", one distribution over all; "one-vs-all", K binary problems, each class against the rest; "one-vs-one", a
            binary problem for each pair of classes, K (K - 1) / 2 of them, whose answers are coupled to one distribution. The binary
            problems share the network and are learned together.
        offset: of softmax: what is added to the logits in the loss alone, `losses.logit_adjustment` for classes of unequal size.
        weights: of the classes, in the loss.
        smoothing: of softmax: share of the target that all classes get alike, in [0, 1).
        focus: of softmax: the exponent of the focal loss; 0 is cross-entropy.

    Raises:
        ValueError: fewer than two classes, an unknown scheme, or options of softmax with another.
    """
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}.")
    check_choice("scheme", scheme, SCHEMES)
    if scheme != "softmax" and (offset is not None or smoothing or focus):
        raise ValueError(f"scheme {scheme}: takes weights alone; offset, smoothing and focus belong to softmax.")
    scale: Any = None if weights is None else np.asarray(weights, np.float32)
    if scheme == "one-vs-one":
        loss = functools.partial(losses.one_vs_one, weights=scale)
        answer = losses.coupled_probabilities
        measure = functools.partial(_right, answer)
        return Target(classes * (classes - 1) // 2, loss, answer, measure, scores=losses.class_margins)
    if scheme == "one-vs-all":
        loss, answer = functools.partial(losses.one_vs_all, positive_weights=scale), _shares_of_sigmoids
    elif focus:
        loss, answer = functools.partial(losses.focal, gamma=focus, weights=scale), jax.nn.softmax
    else:
        shift: Any = None if offset is None else np.asarray(offset, np.float32)
        loss = functools.partial(losses.cross_entropy, weights=scale, smoothing=smoothing, offset=shift)
        answer = jax.nn.softmax
    aim = functools.partial(_aim_of_class, classes) if scheme == "softmax" else None
    mixes = scheme == "softmax" and not focus
    return Target(classes, loss, answer, functools.partial(_right, answer), mixes=mixes, aim=aim, offset=offset)


@functools.lru_cache(maxsize=64)
def several_labels(classes: int, *, weights: tuple[float, ...] | None = None) -> Target:
    """Return the target of examples that have any number of labels, ``[B, K]`` of 0 and 1: K binary problems.

    Args:
        classes: K, at least 1.
        weights: of the positive examples of each label, in the loss.

    Raises:
        ValueError: no label.
    """
    if classes < 1:
        raise ValueError(f"classes: expected at least 1 label, got {classes}.")
    scale: Any = None if weights is None else np.asarray(weights, np.float32)
    loss = functools.partial(losses.binary_cross_entropy, positive_weights=scale)
    return Target(classes, loss, jax.nn.sigmoid, _labels_right, aim=lambda target: _SURE * (2 * target - 1) / 2)


@functools.lru_cache(maxsize=64)
def numbers(means: tuple[float, ...], deviations: tuple[float, ...]) -> Target:
    """Return the target of examples that have numbers ``[B, T]``; the network predicts them less their means, in units of their deviations.

    Args:
        means: of the training examples, ``[T]``.
        deviations: of the training examples, ``[T]``, above 0.

    Raises:
        ValueError: no number, other lengths, or a deviation that is not above 0.
    """
    if not means or len(means) != len(deviations) or not all(each > 0 for each in deviations):
        raise ValueError(
            f"numbers: expected as many means as deviations above 0, at least one, got {means} and {deviations}."
        )
    center, scale = np.asarray(means, np.float32)[None], np.asarray(deviations, np.float32)[None]  # [1, T]

    def difference(outputs: Array, target: Array) -> jax.Array:
        return outputs - (target - center) / scale

    return Target(
        len(means),
        lambda outputs, target: jnp.mean(difference(outputs, target) ** 2, axis=-1) / 2,
        lambda outputs: outputs * scale + center,
        lambda outputs, target: jnp.mean(jnp.abs(difference(outputs, target)), axis=-1),
        NumbersInfo,
        aim=lambda target: (target - center) / scale,
    )


def _aim_of_class(classes: int, target: Array) -> jax.Array:
    return _SURE * jax.nn.one_hot(target, classes)


def _shares_of_sigmoids(outputs: Array) -> jax.Array:
    """Return the answers of independent problems as one distribution: divided by their sum."""
    each = jax.nn.sigmoid(outputs)
    return each / jnp.maximum(jnp.sum(each, axis=-1, keepdims=True), 1e-12)


def _right(answer: Callable[[Array], jax.Array], outputs: Array, target: Array) -> jax.Array:
    label = target if target.ndim == 1 else jnp.argmax(target, axis=-1)
    return (jnp.argmax(answer(outputs), axis=-1) == label).astype(jnp.float32)


def _labels_right(outputs: Array, target: Array) -> jax.Array:
    return jnp.mean(((outputs > 0) == (target > 0.5)).astype(jnp.float32), axis=-1)
