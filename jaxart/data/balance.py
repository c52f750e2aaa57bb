"""Classes of unequal size: weights of classes for a loss, weights of examples for a sampler, and how often to augment.

Counts are ``[K]``, the training examples of each class. One correction is enough: equal resampling and inverse weights together, or
either with `losses.logit_adjustment`, answer the same skew twice.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key
from jaxart.data.augmentation import augment


def class_counts(labels: Sequence[int] | np.ndarray, classes: int) -> np.ndarray:
    """Return the number of examples of each class.

    Args:
        labels: integers ``[N]`` in [0, classes), or 0 and 1 ``[N, classes]`` of several labels at once.
        classes: K.

    Returns:
        int64 ``[K]``.

    Raises:
        ValueError: other shapes or numbers.

    >>> class_counts([0, 2, 2], 3).tolist()
    [1, 0, 2]
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == classes and ((array == 0) | (array == 1)).all():
        return array.astype(np.int64).sum(axis=0)
    if array.ndim != 1 or array.dtype.kind not in "biu" or (array < 0).any() or (array >= classes).any():
        raise ValueError(
            f"labels: expected whole numbers [N] from 0 to {classes - 1}, or 0 and 1 [N, {classes}], got {array.dtype} "
            f"{list(array.shape)}{f' from {array.min()} to {array.max()}' if array.size and array.dtype.kind in 'iuf' else ''}."
        )
    return np.bincount(array.astype(np.int64), minlength=classes)


def _sizes(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    sizes = np.asarray(counts, np.float64)
    if sizes.ndim != 1 or not (np.isfinite(sizes) & (sizes >= 0)).all() or not sizes.sum() > 0:
        raise ValueError(
            f"counts: expected numbers [K] of 0 or more, not all zero, got {np.array2string(sizes, threshold=8)}."
        )
    return sizes


def inverse_weights(counts: Sequence[int] | np.ndarray, *, power: float = 1.0) -> np.ndarray:
    """Return ``(N / (C n_c))^power``, C the number of classes that have examples; a class without has 0.

    Args:
        counts: n, ``[K]``.
        power: 1 lets all classes weigh alike, 0.5 is softer, 0 leaves examples alike.

    Returns:
        float64 ``[K]``.

    Raises:
        ValueError: counts that are negative or all zero.

    >>> inverse_weights([6, 2]).round(3).tolist()
    [0.667, 2.0]
    """
    sizes = _sizes(counts)
    there = sizes > 0
    weights = np.zeros(len(sizes))
    weights[there] = (sizes.sum() / (there.sum() * sizes[there])) ** power
    return weights


def effective_number_weights(counts: Sequence[int] | np.ndarray, *, beta: float = 0.999) -> np.ndarray:
    """Return weights in proportion to ``(1 - b) / (1 - b^n_c)``, their sum C, the number of classes that have examples.

    Examples of a class overlap, so the n-th adds ``b^(n - 1)`` of a new one. With b = 0 all classes weigh alike; near 1 as
    `inverse_weights`. A class without examples has 0.

    Args:
        counts: n, ``[K]``.
        beta: b, in [0, 1); ``(N - 1) / N`` is a choice for N different pictures.

    Returns:
        float64 ``[K]``.

    Raises:
        ValueError: counts that are negative or all zero, or another beta.

    Reference: Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019, eq. 5 and 6.

    >>> effective_number_weights([1, 1000]).round(3).tolist()
    [1.997, 0.003]
    """
    sizes = _sizes(counts)
    if not 0 <= beta < 1:
        raise ValueError(f"beta: expected a number in [0, 1), got {beta}.")
    there = sizes > 0
    effective = -np.expm1(sizes[there] * np.log(beta)) if beta > 0 else np.ones(there.sum())
    weights = np.zeros(len(sizes))
    weights[there] = there.sum() / effective / np.sum(1 / effective)
    return weights


def positive_weights(counts: Sequence[int] | np.ndarray, total: int, *, most: float = 20.0) -> np.ndarray:
    """Return for each of several labels the weight of its positives, ``min((N - n_k) / n_k, most)^0.5``.

    Args:
        counts: n, ``[K]``, examples with each label.
        total: N, examples in all.
        most: the largest ratio that is answered; a label without examples has it.

    Returns:
        float64 ``[K]``.

    Raises:
        ValueError: counts that are negative, all zero or above N.

    >>> positive_weights([50, 20, 1], 100).round(3).tolist()
    [1.0, 2.0, 4.472]
    """
    sizes = _sizes(counts)
    if sizes.max() > total:
        raise ValueError(f"counts: expected at most {total}, the number of examples, got {sizes.max():g}.")
    ratio = np.divide(total - sizes, sizes, out=np.full(len(sizes), most), where=sizes > 0)
    return np.minimum(ratio, most) ** 0.5


def class_shares(counts: Sequence[int] | np.ndarray, *, power: float = 0.5, most_repeats: float = 10.0) -> np.ndarray:
    """Return the share of each class in what is drawn: ``n_c^q / sum n^q``, except that no example comes too often in an epoch.

    A class whose examples were drawn more than `most_repeats` times, on average, in as many draws as there are examples, gets the share
    that makes it so many; the others have the rest in their proportions.

    Args:
        counts: n, ``[K]``.
        power: q: 1 draws as examples are, 0.5 by the square root, 0 all classes alike.
        most_repeats: of an example in an epoch, at least 1.

    Returns:
        float64 ``[K]``, sum 1; 0 for a class without examples.

    Raises:
        ValueError: counts that are negative or all zero, or fewer repeats than 1.

    Reference: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, 2020, section 3.1. Departure: the cap,
    since a few pictures shown hundreds of times are learned by heart.

    >>> class_shares([81, 16, 0, 1]).round(3).tolist()
    [0.643, 0.286, 0.0, 0.071]
    >>> class_shares([999, 1], power=0.0).round(3).tolist()
    [0.99, 0.01]
    """
    sizes = _sizes(counts)
    if most_repeats < 1:
        raise ValueError(f"most_repeats: expected at least 1, got {most_repeats}.")
    wanted = np.where(sizes > 0, np.maximum(sizes, 1e-300) ** power, 0)
    limits = most_repeats * sizes / sizes.sum()
    shares, capped = wanted / wanted.sum(), np.zeros(len(sizes), bool)
    while (over := ~capped & (shares > limits)).any():  # capping some raises the others
        capped |= over
        rest = np.where(capped, 0, wanted)
        shares = np.where(capped, limits, rest * ((1 - limits[capped].sum()) / rest.sum()))
    return shares


def resampling_weights(
    labels: Sequence[int] | np.ndarray, classes: int, *, power: float = 0.5, most_repeats: float = 10.0
) -> np.ndarray:
    """Return a weight for each example, for the sampler `weighted`: its class has the share of `class_shares`, its examples share alike.

    Args:
        labels: integers ``[N]`` in [0, classes).
        classes: K.
        power: 1 draws as examples are, 0.5 by the square root of the classes' sizes, 0 all classes alike.
        most_repeats: of an example in an epoch, on average; at least 1.

    Returns:
        float64 ``[N]``, sum 1.

    Raises:
        ValueError: labels that are not such numbers, none, or fewer repeats than 1.

    >>> resampling_weights([0, 0, 0, 1], 2, power=0.0).round(3).tolist()
    [0.167, 0.167, 0.167, 0.5]
    """
    counts = class_counts(labels, classes)
    if np.ndim(labels) != 1:
        raise ValueError(f"labels: expected one class for each example [N], got shape {np.shape(labels)}.")
    shares = class_shares(counts, power=power, most_repeats=most_repeats)
    return (shares / np.maximum(counts, 1))[np.asarray(labels)]


def augmentation_probabilities(
    counts: Sequence[int] | np.ndarray, *, least: float = 0.3, most: float = 0.9, power: float = 0.5
) -> np.ndarray:
    """Return how often pictures of each class are augmented: the largest class with `least`, ever smaller ones up to nearly `most`.

    ``least + (most - least) (1 - (n_c / max n)^power)``: what comes rarely, or again and again by resampling, is varied more.

    Args:
        counts: n, ``[K]``.
        least: in [0, 1].
        most: from `least` to 1.
        power: above 0; smaller ones differ less among the rare.

    Returns:
        float64 ``[K]``.

    Raises:
        ValueError: counts that are negative or all zero, or probabilities out of range.

    >>> augmentation_probabilities([100, 25, 0]).round(3).tolist()
    [0.3, 0.6, 0.9]
    """
    sizes = _sizes(counts)
    if not (0 <= least <= most <= 1 and power > 0):
        raise ValueError(f"expected 0 <= least <= most <= 1 and a power above 0, got {least} and {most} and {power}.")
    return least + (most - least) * (1 - (sizes / sizes.max()) ** power)


def augment_some(
    keys: Key, images: Array, probabilities: Array, transforms: Sequence[Callable[[Key, jax.Array], jax.Array]]
) -> jax.Array:
    """Augment each picture of a batch with a probability of its own, such as that of its class, else leave it as it is.

    Args:
        keys: ``[B]``, one for each example: fold the global index of the example into the step's key.
        images: ``[B, H, W, C]``, float.
        probabilities: ``[B]`` in [0, 1].
        transforms: as in `augment`.

    Returns:
        ``[B, H, W, C]``, not clipped.
    """
    return transform_some(keys, images, probabilities, lambda keys, images: augment(keys, images, transforms))


def transform_some(
    keys: Key, images: Array, probabilities: Array, transform: Callable[[Key, Array], jax.Array]
) -> jax.Array:
    """Transform each picture of a batch with a probability of its own, as `augment_some` augments it.

    Args:
        keys: ``[B]``, one for each example.
        images: ``[B, H, W, C]``, float.
        probabilities: ``[B]`` in [0, 1].
        transform: ``(keys [B], images) -> images`` of the same shape.

    Returns:
        ``[B, H, W, C]``.
    """
    draw, change = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    chosen = jax.vmap(jax.random.uniform)(draw) < probabilities
    return jnp.where(chosen[:, None, None, None], transform(change, images), images)
