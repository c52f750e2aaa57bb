"""Losses of classifiers and of predicted numbers, one number per example.

Logits are ``[..., K]``. Labels of one kind per example are integers ``[...]``, of which those outside 0 to K - 1 count for nothing (a pixel
that nobody labeled), or shares ``[..., K]`` of each class, such as `data.mixup` makes. Several labels at once are ``[..., K]`` in [0, 1].
Losses over several labels or columns are means over them, so that their size does not grow with K. All is computed in float32.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, PyTree

_LEAST = 1e-7  # of what is raised to a power: below 1 its derivative is infinite at 0


def label_shares(name: str, labels: Array, classes: int, shape: tuple[int, ...]) -> jax.Array:
    """Return shares of classes, float32 ``[..., K]``, of labels or of shares themselves.

    Args:
        name: of the loss, for the message.
        labels: integers ``[...]``, or numbers ``[..., K]``.
        classes: K.
        shape: ``[...]``, that of the examples.

    Raises:
        ValueError: labels of another shape.
    """
    numbers = jnp.issubdtype(labels.dtype, jnp.integer)
    if labels.shape != (shape if numbers else (*shape, classes)):
        raise ValueError(
            f"{name}: expected labels, integers {list(shape)}, or shares {[*shape, classes]}, got {labels.dtype} {list(labels.shape)}."
        )
    return jax.nn.one_hot(labels, classes, dtype=jnp.float32) if numbers else labels.astype(jnp.float32)


def _shares(name: str, logits: Array, labels: Array) -> jax.Array:
    return label_shares(name, labels, logits.shape[-1], logits.shape[:-1])


def _row(name: str, values: Array, like: Array) -> jax.Array:
    """Return numbers ``[K]``, one per class, at the shape of an array ``[..., K]``."""
    row = jnp.asarray(values, jnp.float32)
    if row.shape != like.shape[-1:]:
        raise ValueError(f"{name}: expected {like.shape[-1]} numbers, one for each class, got shape {row.shape}.")
    return jnp.broadcast_to(row, like.shape)


def _weigh(shares: jax.Array, weights: Array | None) -> jax.Array:
    return shares if weights is None else shares * _row("weights", weights, shares)


def _log_softmax_of(shares: jax.Array, logits: jax.Array) -> jax.Array:
    """Return ``log softmax`` where a class has a share, else 0: the logits of classes that are left out may be -infinity."""
    return jnp.where(shares > 0, jax.nn.log_softmax(logits, axis=-1), 0)


def logit_adjustment(counts: Array, tau: float = 1.0) -> jax.Array:
    """Return ``tau ln(n_c / N)``, what is added to logits in training so that plain logits are those of equally frequent classes.

    Handed to `cross_entropy` as its offset; or subtracted from the logits of a network that was trained without it. A class without
    examples counts as if it had one.

    Args:
        counts: n, ``[K]``, examples of each class.
        tau: 1 answers the frequencies as they are (balanced softmax), 0 leaves logits alone.

    Returns:
        float32 ``[K]``.

    Reference: Menon et al., Long-Tail Learning via Logit Adjustment, 2021, eq. 9 and 10.

    >>> jnp.exp(logit_adjustment(jnp.array([30, 10]))).round(2).tolist()
    [0.75, 0.25]
    """
    sizes = jnp.maximum(jnp.asarray(counts).astype(jnp.float32), 1)
    return tau * jnp.log(sizes / jnp.sum(sizes))


def cross_entropy(
    logits: Array, labels: Array, *, weights: Array | None = None, smoothing: float = 0.0, offset: Array | None = None
) -> jax.Array:
    """Return ``-sum_c ((1 - s) w_c q_c + s u_c sum_k w_k q_k) log softmax(z + offset)_c``, q the shares, of which smoothing gives s to all.

    It gives them to all alike, ``u = 1 / K``, or as often as the offset says that they are, ``u = softmax(offset)``, and with the weight of
    the example's own class. Were it otherwise, every example would ask for more of the rare classes than their shift or weight takes away,
    and even what is surely of a frequent class would be called rare where classes differ by more than ``(1 - s) K / s``.

    Args:
        logits: z, ``[..., K]``, any float type.
        labels: integers ``[...]``, or shares ``[..., K]`` that sum to 1.
        weights: w, ``[K]``, of classes, such as `data.effective_number_weights`; 1 by default.
        smoothing: s, in [0, 1).
        offset: ``[K]``, such as `logit_adjustment`; predictions are made without it.

    Returns:
        ``[...]``, nats.

    Raises:
        ValueError: shapes that do not fit.

    Reference: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, section 7, for smoothing. Departure: u, and
    the weights before smoothing, where others weigh what is smoothed.

    >>> round(float(cross_entropy(jnp.zeros((1, 2)), jnp.array([1]))[0]), 4)
    0.6931
    """
    shares = _shares("cross_entropy", logits, labels)
    wide, weighed = logits.astype(jnp.float32), _weigh(shares, weights)
    shift = jnp.zeros_like(wide[..., :1]) if offset is None else _row("offset", offset, wide)
    usual = jax.nn.softmax(jnp.broadcast_to(shift, wide.shape), axis=-1)
    smoothed = (1 - smoothing) * weighed + smoothing * usual * jnp.sum(weighed, axis=-1, keepdims=True)
    return -jnp.sum(smoothed * _log_softmax_of(smoothed, wide + shift), axis=-1)


def focal(logits: Array, labels: Array, *, gamma: float = 2.0, weights: Array | None = None) -> jax.Array:
    """Return ``-sum_c w_c q_c (1 - p_c)^gamma log p_c``: cross-entropy that cares less for what is nearly right.

    Args:
        logits: ``[..., K]``, any float type; p is their softmax.
        labels: integers ``[...]``, or shares q ``[..., K]``.
        gamma: 0 or more; 0 is cross-entropy.
        weights: w, ``[K]``, of classes; 1 by default.

    Returns:
        ``[...]``, nats.

    Raises:
        ValueError: shapes that do not fit.

    Reference: Lin et al., Focal Loss for Dense Object Detection, 2017, eq. 5.

    >>> focal(jnp.zeros((1, 2)), jnp.array([1]), gamma=1.0) * 2 == cross_entropy(jnp.zeros((1, 2)), jnp.array([1]))
    Array([ True], dtype=bool)
    """
    shares = _shares("focal", logits, labels)
    logs = _log_softmax_of(shares, logits.astype(jnp.float32))
    missing = jnp.maximum(-jnp.expm1(logs), _LEAST) ** gamma
    return -jnp.sum(_weigh(shares, weights) * missing * logs, axis=-1)


def _targets(name: str, logits: Array, targets: Array) -> tuple[jax.Array, jax.Array]:
    """Return logits and targets as float32 of one shape."""
    if logits.shape != targets.shape:
        raise ValueError(
            f"{name}: expected a target in [0, 1] for each logit {list(logits.shape)}, got {list(targets.shape)}."
        )
    return logits.astype(jnp.float32), targets.astype(jnp.float32)


def binary_cross_entropy(logits: Array, targets: Array, *, positive_weights: Array | None = None) -> jax.Array:
    """Return the mean over labels of ``-w_k t_k log p_k - (1 - t_k) log(1 - p_k)``, p the sigmoid of the logits.

    Args:
        logits: ``[..., K]``, any float type.
        targets: t, ``[..., K]`` in [0, 1], of any type.
        positive_weights: w, ``[K]``, such as `data.positive_weights`; 1 by default.

    Returns:
        ``[...]``, nats.

    Raises:
        ValueError: shapes that do not fit.

    >>> round(float(binary_cross_entropy(jnp.zeros((1, 3)), jnp.array([[1, 0, 1]]))[0]), 4)
    0.6931
    """
    z, t = _targets("binary_cross_entropy", logits, targets)
    positive = t * jax.nn.softplus(-z)
    positive = positive if positive_weights is None else positive * _row("positive_weights", positive_weights, z)
    return jnp.mean(positive + (1 - t) * jax.nn.softplus(z), axis=-1)


def binary_focal(logits: Array, targets: Array, *, gamma: float = 2.0, alpha: float = 0.25) -> jax.Array:
    """Return the mean over labels of ``-a t (1 - p)^gamma log p - (1 - a) (1 - t) p^gamma log(1 - p)``, p the sigmoid of the logits.

    Args:
        logits: ``[..., K]``, any float type.
        targets: t, ``[..., K]`` in [0, 1], of any type.
        gamma: 0 or more.
        alpha: a, of positives, in [0, 1].

    Returns:
        ``[...]``, nats.

    Raises:
        ValueError: shapes that do not fit.

    Reference: Lin et al., Focal Loss for Dense Object Detection, 2017, section 3. Departure: the mean over labels, not the sum over the
    number of positives, so that an example's loss depends on it alone.
    """
    z, t = _targets("binary_focal", logits, targets)
    right, wrong = (jnp.maximum(jax.nn.sigmoid(each), _LEAST) ** gamma for each in (z, -z))
    positive, negative = alpha * t * wrong * jax.nn.softplus(-z), (1 - alpha) * (1 - t) * right * jax.nn.softplus(z)
    return jnp.mean(positive + negative, axis=-1)


def asymmetric(
    logits: Array, targets: Array, *, gamma_positive: float = 0.0, gamma_negative: float = 4.0, clip: float = 0.05
) -> jax.Array:
    """Return the mean over labels of ``-t (1 - p)^g+ log p - (1 - t) p_m^g- log(1 - p_m)``, ``p_m = max(p - clip, 0)``.

    Of labels that are mostly absent the easy negatives count little, and those with p below `clip` nothing.

    Args:
        logits: ``[..., K]``, any float type; p is their sigmoid.
        targets: t, ``[..., K]`` in [0, 1], of any type.
        gamma_positive: g+, 0 or more.
        gamma_negative: g-, 0 or more.
        clip: in [0, 1).

    Returns:
        ``[...]``, nats.

    Raises:
        ValueError: shapes that do not fit.

    Reference: Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021, eq. 4 to 7. Departure: the mean over labels, not
    the sum.
    """
    z, t = _targets("asymmetric", logits, targets)
    absent = jnp.logaddexp(-jax.nn.softplus(z), jnp.full_like(z, jnp.log(clip)))  # log(1 - p + clip)
    absent = jnp.minimum(absent, 0)
    easy = jnp.maximum(-jnp.expm1(absent), _LEAST) ** gamma_negative
    hard = jnp.maximum(jax.nn.sigmoid(-z), _LEAST) ** gamma_positive
    return jnp.mean(t * hard * jax.nn.softplus(-z) - (1 - t) * easy * absent, axis=-1)


def one_vs_all(logits: Array, labels: Array, *, positive_weights: Array | None = None) -> jax.Array:
    """Return the mean over classes of the binary cross-entropy of "is it this one?": K problems trained together.

    Predictions are the largest logit; the sigmoids need not sum to 1.

    Args:
        logits: ``[..., K]``, any float type.
        labels: integers ``[...]``, or shares ``[..., K]``.
        positive_weights: ``[K]``; 1 by default.

    Returns:
        ``[...]``, nats.

    Raises:
        ValueError: shapes that do not fit.

    Reference: Rifkin and Klautau, In Defense of One-Vs-All Classification, 2004.
    """
    shares = _shares("one_vs_all", logits, labels)
    counted = jnp.sum(shares, axis=-1)  # 0 where a label counts for nothing
    return counted * binary_cross_entropy(logits, shares, positive_weights=positive_weights)


def squared_error(predicted: Array, targets: Array, *, scale: Array | None = None) -> jax.Array:
    """Return the mean over columns of ``((predicted - target) / scale)^2``.

    Args:
        predicted: ``[..., D]``, any float type.
        targets: as `predicted`.
        scale: ``[D]``, such as the deviations of the columns among training examples; 1 by default.

    Returns:
        ``[...]``.

    Raises:
        ValueError: shapes that do not fit.

    >>> squared_error(jnp.array([[1.0, 20.0]]), jnp.array([[0.0, 0.0]]), scale=jnp.array([1.0, 10.0])).tolist()
    [2.5]
    """
    if predicted.shape != targets.shape:
        raise ValueError(f"squared_error: expected one shape, got {predicted.shape} and {targets.shape}.")
    error = predicted.astype(jnp.float32) - targets.astype(jnp.float32)
    error = error if scale is None else error / _row("scale", scale, error)
    return jnp.mean(error**2, axis=-1)


def soft_dice(probabilities: Array, labels: Array, *, eps: float = 1.0) -> jax.Array:
    """Return the overlap of probable and labeled regions, ``(2 sum p t + eps) / (sum p + sum t + eps)``, a mean over the classes labeled.

    Sums are over the pixels of an example. It is 1 where all is right, so the loss is ``1 - soft_dice``; classes that an example's labels
    do not have are skipped, and an example without any label has 1.

    Args:
        probabilities: p, ``[..., H, W, K]``.
        labels: integers ``[..., H, W]``, or shares t ``[..., H, W, K]``.
        eps: keeps small regions from weighing too much.

    Returns:
        ``[...]`` in [0, 1].

    Raises:
        ValueError: shapes that do not fit.

    Reference: Milletari, Navab and Ahmadi, V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation, 2016,
    section 3. Departure: no squares in the denominator, so that it is the Dice coefficient of probabilities of 0 and 1.
    """
    truth = _shares("soft_dice", probabilities, labels)
    guess = probabilities.astype(jnp.float32) * jnp.sum(truth, axis=-1, keepdims=True)
    overlap, guessed, labeled = (jnp.sum(each, axis=(-3, -2)) for each in (guess * truth, guess, truth))
    present = labeled > 0
    scores = jnp.where(present, (2 * overlap + eps) / (guessed + labeled + eps), 0)
    count = jnp.sum(present, axis=-1)
    return jnp.where(count > 0, jnp.sum(scores, axis=-1) / jnp.maximum(count, 1).astype(jnp.float32), 1.0)


def elastic_penalty(params: PyTree, *, l1: float = 0.0, l2: float = 0.0) -> jax.Array:
    """Return ``l1 sum |w| + l2 / 2 sum w^2`` over kernels: one number, since it is of no example.

    Kernels are the arrays whose name is "kernel"; biases, norms, positions and embeddings are left alone. The derivative of the absolute
    value is 0 at 0.

    Args:
        params: dicts of arrays in dicts, as of a Flax network.
        l1: weight of absolute values, 0 or more.
        l2: weight of squares, 0 or more.

    Returns:
        float32 scalar.

    Reference: Zou and Hastie, Regularization and Variable Selection via the Elastic Net, 2005.

    >>> float(elastic_penalty({"dense": {"kernel": jnp.array([3.0, -1.0]), "bias": jnp.array([9.0])}}, l1=1.0, l2=2.0))
    14.0
    """
    kernels = [leaf.astype(jnp.float32) for path, leaf in jax.tree.leaves_with_path(params) if _name(path) == "kernel"]
    absolute = sum((jnp.sum(each * jnp.sign(each)) for each in kernels), jnp.float32(0))
    squares = sum((jnp.sum(each**2) for each in kernels), jnp.float32(0))
    return l1 * absolute + l2 / 2 * squares


def _name(path: tuple[Any, ...]) -> Any:
    return getattr(path[-1], "key", None) if path else None
