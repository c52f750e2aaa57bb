"""Losses of labels against NumPy in float64; gradients that are finite where logits are extreme; pairs of classes and back."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxart import losses

pytestmark = pytest.mark.usefixtures("strict")
B, K = 6, 4
P = K * (K - 1) // 2
LABELS = np.array([0, 1, 2, 3, 3, -1], np.int32)
SHARES = np.random.default_rng(1).dirichlet(np.ones(K), B).astype(np.float32)
MANY = (np.random.default_rng(2).random((B, K)) < 0.4).astype(np.float32)
WEIGHTS = np.array([0.5, 1, 2, 3], np.float32)


def one_hot(labels):
    return (labels[:, None] == np.arange(K)).astype(np.float64)


def log_softmax(z):
    return z - scipy.special.logsumexp(z, axis=-1, keepdims=True)


def slow_cross_entropy(z, q, weights=1.0, smoothing=0.0, offset=0.0):
    usual = scipy.special.softmax(offset + np.zeros(K))
    q = (1 - smoothing) * weights * q + smoothing * usual * (weights * q).sum(-1, keepdims=True)
    return -(q * log_softmax(z + offset)).sum(-1)


def slow_focal(z, q, gamma, weights=1.0):
    logs = log_softmax(z)
    return -(weights * q * (1 - np.exp(logs)) ** gamma * logs).sum(-1)


def slow_binary(z, t, weights=1.0):
    return -(weights * t * np.log(scipy.special.expit(z)) + (1 - t) * np.log(scipy.special.expit(-z))).mean(-1)


def slow_binary_focal(z, t, gamma, alpha):
    p = scipy.special.expit(z)
    return -(alpha * t * (1 - p) ** gamma * np.log(p) + (1 - alpha) * (1 - t) * p**gamma * np.log(1 - p)).mean(-1)


def slow_asymmetric(z, t, positive, negative, clip):
    p = scipy.special.expit(z)
    shifted = np.maximum(p - clip, 0)
    return -(t * (1 - p) ** positive * np.log(p) + (1 - t) * shifted**negative * np.log(1 - shifted)).mean(-1)


def slow_pairs(z, labels, weights=None):
    found = []
    for row, label in zip(z, labels, strict=True):
        own = [np.log1p(np.exp(-row[p] if label == i else row[p])) for p, (i, j) in enumerate(PAIRS) if label in (i, j)]
        found.append(np.mean(own) * (1 if weights is None else weights[label]) if own else 0.0)
    return np.array(found)


PAIRS = list(itertools.combinations(range(K), 2))
CASES = {  # the loss of logits, the same in NumPy, the number of logits
    "cross_entropy": (lambda z: losses.cross_entropy(z, LABELS), lambda z: slow_cross_entropy(z, one_hot(LABELS)), K),
    "cross_entropy of shares": (
        lambda z: losses.cross_entropy(z, SHARES, weights=WEIGHTS, smoothing=0.1, offset=-WEIGHTS),
        lambda z: slow_cross_entropy(z, SHARES, WEIGHTS, 0.1, -WEIGHTS),
        K,
    ),
    "focal": (lambda z: losses.focal(z, LABELS), lambda z: slow_focal(z, one_hot(LABELS), 2), K),
    "focal below 1": (
        lambda z: losses.focal(z, SHARES, gamma=0.5, weights=WEIGHTS),
        lambda z: slow_focal(z, SHARES, 0.5, WEIGHTS),
        K,
    ),
    "binary": (
        lambda z: losses.binary_cross_entropy(z, MANY, positive_weights=WEIGHTS),
        lambda z: slow_binary(z, MANY, WEIGHTS),
        K,
    ),
    "binary_focal": (lambda z: losses.binary_focal(z, MANY), lambda z: slow_binary_focal(z, MANY, 2, 0.25), K),
    "asymmetric": (lambda z: losses.asymmetric(z, MANY), lambda z: slow_asymmetric(z, MANY, 0, 4, 0.05), K),
    "asymmetric without clip": (
        lambda z: losses.asymmetric(z, MANY, gamma_positive=1.0, gamma_negative=0.5, clip=0.0),
        lambda z: slow_asymmetric(z, MANY, 1, 0.5, 0),
        K,
    ),
    "one_vs_all": (
        lambda z: losses.one_vs_all(z, LABELS),
        lambda z: slow_binary(z, one_hot(LABELS)) * (LABELS >= 0),
        K,
    ),
    "one_vs_one": (
        lambda z: losses.one_vs_one(z, LABELS, weights=WEIGHTS),
        lambda z: slow_pairs(z, LABELS, WEIGHTS),
        P,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_losses_equal_numpy_and_have_finite_gradients_where_it_is_hard(name, rng):
    loss, slow, width = CASES[name]

    @jax.jit
    def both(z):
        return loss(z), jax.grad(lambda z: jnp.sum(loss(z)))(z)

    z = rng.standard_normal((B, width)).astype(np.float32) * 2
    value, gradient = both(z)
    np.testing.assert_allclose(value, slow(z.astype(np.float64)), rtol=2e-5, atol=2e-6)
    direction = rng.standard_normal(z.shape)
    step = 1e-6 * direction
    expected = (slow(z + step) - slow(z - step)).sum() / 2e-6
    np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-3, atol=1e-4)
    extreme = np.resize(np.array([1e4, -1e4, 0, 90, -90, 300], np.float32), (B, width + 1))[:, :width]
    for hard in (extreme, extreme[:, ::-1], np.zeros_like(z), np.full_like(z, 1e4)):
        value, gradient = both(hard)
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()


def test_eager_equals_compiled_whatever_the_axes_and_the_type(rng):
    z = rng.standard_normal((B, K)).astype(np.float32)
    compiled = jax.jit(losses.cross_entropy)
    flat = compiled(z, LABELS)
    np.testing.assert_allclose(losses.cross_entropy(jnp.asarray(z), LABELS), flat, rtol=1e-6)
    np.testing.assert_allclose(compiled(z.reshape(2, 3, K), LABELS.reshape(2, 3)).ravel(), flat, rtol=1e-6)
    short = compiled(jnp.asarray(z, jnp.bfloat16), LABELS)
    assert short.dtype == jnp.float32
    np.testing.assert_allclose(short, flat, rtol=0.05, atol=0.02)


def test_classes_that_are_left_out_have_no_gradient(rng):
    z = rng.standard_normal((B, K)).astype(np.float32)
    z[:, 3] = -np.inf
    labels = LABELS % 3
    for loss in (losses.cross_entropy, losses.focal):
        value, gradient = jax.jit(jax.value_and_grad(lambda z, loss=loss: jnp.sum(loss(z, labels))))(z)
        assert np.isfinite(value)
        assert (gradient[:, 3] == 0).all()
        assert np.isfinite(gradient).all()


def test_adjustment_makes_classes_equally_frequent():
    counts, adjust = np.array([900, 90, 10, 0]), jax.jit(losses.logit_adjustment)
    np.testing.assert_allclose(np.exp(adjust(counts)), np.array([900, 90, 10, 1]) / 1001, rtol=1e-5)
    np.testing.assert_allclose(adjust(counts, 0.5), adjust(counts) / 2, rtol=1e-6)
    # where pictures tell nothing, the best logits with the offset are equal ones: no class is preferred
    labels = np.repeat([0, 1, 2], [900, 90, 10])

    def mean(z):
        offset = losses.logit_adjustment(counts[:3])
        return jnp.mean(losses.cross_entropy(jnp.broadcast_to(z, (1000, 3)), labels, offset=offset))

    np.testing.assert_allclose(jax.jit(jax.grad(mean))(np.zeros((1, 3), np.float32)), 0, atol=1e-6)


@jax.jit
def same_losses(z, pairs, shares):
    """Return pairs of losses that are the same by different functions or arguments."""
    plain = losses.binary_cross_entropy(z, MANY)
    return (
        (losses.focal(z, SHARES, gamma=0.0), losses.cross_entropy(z, SHARES)),
        (2 * losses.binary_focal(z, MANY, gamma=0.0, alpha=0.5), plain),
        (losses.asymmetric(z, MANY, gamma_negative=0.0, clip=0.0), plain),
        (losses.cross_entropy(z, shares), losses.cross_entropy(z, LABELS)),
        (losses.one_vs_one(pairs, shares), losses.one_vs_one(pairs, LABELS)),
    )


def test_losses_agree_where_they_are_the_same(rng):
    z, pairs = (rng.standard_normal((B, width)).astype(np.float32) for width in (K, P))
    for one, other in same_losses(z, pairs, one_hot(LABELS).astype(np.float32)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_squared_error_is_in_units_of_the_scale(rng):
    x, y = rng.standard_normal((2, B, 3)).astype(np.float32)
    expected = np.mean(((x - y) / [1, 2, 3]) ** 2, axis=1)
    scaled = jax.jit(lambda x, y: (losses.squared_error(x, y, scale=np.array([1, 2, 3])), losses.squared_error(x, y)))
    for mine, other in zip(scaled(x, y), (expected, np.mean((x - y) ** 2, axis=1)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)


def slow_dice(p, labels, eps=1.0):
    found = []
    for c in np.unique(labels[labels >= 0]):
        t, q = labels == c, p[..., c] * (labels >= 0)
        found.append((2 * np.sum(q * t) + eps) / (q.sum() + t.sum() + eps))
    return np.mean(found)


@jax.jit
def soft_dice(p, labels):
    """Return the overlap of each example, and the gradient of their sum."""
    found, pull = jax.vjp(lambda p: losses.soft_dice(p, labels), p)
    return found, pull(jnp.ones_like(found))[0]


class TestSoftDice:
    def test_equals_a_slow_count_over_the_classes_labeled(self, rng):
        p = rng.dirichlet(np.ones(K), (2, 5, 6)).astype(np.float32)
        labels = rng.integers(0, 3, (2, 5, 6)).astype(np.int32)  # class 3 is nowhere
        labels[1, 0] = -1
        labels[1][labels[1] == 2] = 0
        expected = [slow_dice(*each) for each in zip(p, labels, strict=True)]
        found, gradient = soft_dice(p, labels)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert (gradient[1, 0] == 0).all()
        assert (gradient[0] != 0).any()

    def test_is_one_where_all_is_right_and_finite_without_labels(self, rng):
        labels = rng.integers(0, K, (2, 5, 6)).astype(np.int32)
        sure = np.eye(K, dtype=np.float32)[labels]
        np.testing.assert_allclose(soft_dice(sure, labels)[0], 1, rtol=1e-6)
        np.testing.assert_allclose(jax.jit(losses.soft_dice)(sure, sure), 1, rtol=1e-6)
        found, gradient = soft_dice(sure, 0 * labels - 1)
        assert (found == 1).all()
        assert (gradient == 0).all()


def test_elastic_penalty_is_of_kernels_alone():
    params = {
        "a": {"kernel": jnp.array([[1.0, -2.0], [0.0, 3.0]]), "bias": jnp.ones(2)},
        "norm": {"scale": jnp.ones(2)},
        "b": {"c": {"kernel": jnp.array([4.0], jnp.bfloat16)}},
    }
    value, gradient = jax.jit(jax.value_and_grad(lambda p: losses.elastic_penalty(p, l1=0.5, l2=0.25)))(params)
    assert float(value) == 0.5 * 10 + 0.125 * 30
    assert gradient["a"]["kernel"].tolist() == [[0.75, -1.0], [0.0, 1.25]]
    assert not gradient["a"]["bias"].any()
    assert not gradient["norm"]["scale"].any()
    assert float(losses.elastic_penalty({"scale": jnp.ones(3)}, l1=1.0)) == 0


def slow_coupling(r, steps=2000):
    """Return the fixed point of the paper's iteration (algorithm 2), in float64; ``r[i, j] = P(i | i or j)``."""
    q = -r.T * r
    np.fill_diagonal(q, [sum(r[s, t] ** 2 for s in range(len(r)) if s != t) for t in range(len(r))])
    p = np.full(len(r), 1 / len(r))
    for step in range(steps):
        t = step % len(r)
        p[t] = (p @ q @ p - (q[t] @ p - q[t, t] * p[t])) / q[t, t]
        p /= p.sum()
    return p


couple = losses.coupled_probabilities


class TestPairs:
    def test_pairs_are_in_the_order_that_is_said(self):
        assert losses.class_pairs(K).tolist() == [list(pair) for pair in PAIRS]

    def test_only_pairs_of_the_label_are_trained(self, rng):
        z = rng.standard_normal((B, P)).astype(np.float32)
        gradient = jax.jit(jax.grad(lambda z: jnp.sum(losses.one_vs_one(z, LABELS))))(z)
        taking_part = np.array([[label in pair for pair in PAIRS] for label in LABELS])
        np.testing.assert_array_equal(gradient != 0, taking_part)

    def test_votes_count_wins_and_break_ties_by_clearness(self, rng):
        z = rng.standard_normal((20, P)).astype(np.float32)
        found = jax.jit(losses.votes)(z)
        for row, mine in zip(z, found, strict=True):
            wins, sums = np.zeros(K), np.zeros(K)
            for value, (i, j) in zip(row, PAIRS, strict=True):
                wins[i if value > 0 else j] += 1
                sums[i] += value
                sums[j] -= value
            np.testing.assert_allclose(mine, wins + sums / (3 * (np.abs(sums) + 1)), rtol=1e-5, atol=1e-6)
        circle = np.array([[3.0, -1.0, 2.0]], np.float32)  # 0 over 1 over 2 over 0: 0 is the clearest
        assert np.argmax(jax.jit(losses.votes)(circle)) == 0

    def test_coupling_finds_what_pairs_agree_on_and_else_what_the_paper_does(self, rng):
        p = rng.dirichlet(np.ones(K), 8)
        agreeing = np.stack([np.log(p[:, i] / p[:, j]) for i, j in PAIRS], axis=1).astype(np.float32)
        noisy = agreeing + rng.standard_normal(agreeing.shape).astype(np.float32)
        found = jax.jit(couple)(np.concatenate([agreeing, noisy]))
        np.testing.assert_allclose(found[:8], p, atol=2e-5)
        for row, mine in zip(noisy, found[8:], strict=True):
            r = np.full((K, K), 0.0)
            for value, (i, j) in zip(row, PAIRS, strict=True):
                r[i, j], r[j, i] = scipy.special.expit(value), scipy.special.expit(-value)
            np.testing.assert_allclose(mine, slow_coupling(r), atol=1e-5)

    def test_coupling_of_certain_pairs_is_finite(self):
        certain = np.array([[1e4] * P, [-1e4] * P, [0] * P] * 2 + [[1e4, -1e4] * 3] * 2, np.float32)
        found, gradient = jax.jit(lambda z: (couple(z), jax.grad(lambda z: couple(z)[0, 0])(z)))(certain)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(found[:3], [[1, 0, 0, 0], [0, 0, 0, 1], [0.25] * 4], atol=1e-4)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.cross_entropy(jnp.zeros((3, 4)), jnp.zeros(2, int)), r"cross_entropy: .*integers \[3\], or"),
        (lambda: losses.focal(jnp.zeros((3, 4)), jnp.zeros((3, 5))), r"shares \[3, 4\], got float32 \[3, 5\]"),
        (lambda: losses.cross_entropy(jnp.zeros((3, 4)), jnp.zeros(3, int), weights=jnp.ones(3)), "weights: .* 4 num"),
        (lambda: losses.cross_entropy(jnp.zeros((3, 4)), jnp.zeros(3, int), offset=jnp.ones(1)), "offset: expected 4"),
        (lambda: losses.asymmetric(jnp.zeros((3, 4)), jnp.zeros(3)), "a target in .* for each logit"),
        (lambda: losses.one_vs_one(jnp.zeros((3, 4)), jnp.zeros(3, int)), "1, 3, 6, 10, ..., got 4"),
        (lambda: losses.one_vs_one(jnp.zeros((3, 3)), jnp.zeros(3, int), weights=jnp.ones(4)), "weights: expected 3"),
        (lambda: losses.votes(jnp.zeros((3, 0))), "got 0"),
        (lambda: losses.class_pairs(1), "at least 2 classes"),
        (lambda: losses.squared_error(jnp.zeros((3, 4)), jnp.zeros((3, 1))), "expected one shape"),
        (lambda: losses.soft_dice(jnp.zeros((3, 3, 4)), jnp.zeros((3, 4), int)), "soft_dice: expected labels"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("correction", ["offset", "weights"])
def test_smoothing_does_not_turn_balance_over(correction):
    counts = np.array([1000.0, 10.0, 10.0])
    balance = {"offset": losses.logit_adjustment(counts), "weights": counts.sum() / counts}[correction]
    loss = functools.partial(losses.cross_entropy, smoothing=0.2, **{correction: jnp.asarray(balance, jnp.float32)})

    def frequent(z):
        return loss(z[None], jnp.array([0]))[0]

    z = jnp.zeros(3)
    for _ in range(400):  # the logits that an example of the frequent class asks for
        z -= 0.5 * jax.grad(lambda z: frequent(z) / (1.0 if correction == "offset" else balance[0]))(z)
    assert int(jnp.argmax(z)) == 0
