"""Every loss against NumPy in float64, its invariances, and finite gradients where the formula is hard."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import losses

pytestmark = pytest.mark.usefixtures("strict")


@pytest.fixture
def features(rng):
    return rng.standard_normal((6, 7, 5)).astype(np.float32), rng.standard_normal((5, 9, 5)).astype(np.float32) * 2 + 1


def reference(f, weights=None):
    pixels = f.reshape(-1, f.shape[-1]).astype(np.float64)
    w = np.ones(len(pixels)) if weights is None else weights.reshape(-1).astype(np.float64)
    w = w / w.sum()
    return w @ pixels, (pixels * w[:, None]).T @ pixels


def sqrtm(a):
    values, vectors = np.linalg.eigh(a)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def w2(f, g, root=lambda a: np.trace(sqrtm(a))):
    (m, s), (mt, st) = reference(f), reference(g)
    eye = 1e-4 * np.eye(len(m))
    cov, target = s - np.outer(m, m) + eye, st - np.outer(mt, mt) + eye
    half = sqrtm(target)
    return np.mean((m - mt) ** 2) + (np.trace(cov) + np.trace(target) - 2 * root(half @ cov @ half)) / len(m)


def newton_schulz_trace(a, steps=12):
    norm = np.linalg.norm(a)
    y, z = a / norm, np.eye(len(a))
    for _ in range(steps):
        t = (3 * np.eye(len(a)) - z @ y) / 2
        y, z = y @ t, t @ z
    return np.trace(y) * np.sqrt(norm)


def finite_difference(loss, x, step=1e-3):
    """Return the derivative along a fixed direction, and the direction."""
    direction = np.random.default_rng(9).standard_normal(x.shape).astype(np.float32)
    return (float(loss(x + step * direction)) - float(loss(x - step * direction))) / (2 * step), direction


def test_content_equals_numpy(features):
    f, g = features[0], features[0][::-1]
    np.testing.assert_allclose(losses.content(jnp.asarray(f), jnp.asarray(g)), np.mean((f - g) ** 2), rtol=1e-5)


@pytest.fixture
def pictures(rng):
    return rng.random((2, 13, 12, 3), np.float32), rng.random((2, 13, 12, 3), np.float32)


def test_charbonnier_is_the_absolute_error_with_a_smooth_middle(pictures):
    one, other = map(jnp.asarray, pictures)
    difference = pictures[0].astype(np.float64) - pictures[1]
    np.testing.assert_allclose(
        losses.charbonnier(one, other, epsilon=0.1), np.sqrt(difference**2 + 0.01).mean((1, 2, 3)), rtol=1e-6
    )
    np.testing.assert_allclose(losses.charbonnier(one, one), [1e-3, 1e-3], rtol=1e-5)
    assert (jax.grad(lambda x: losses.charbonnier(x, one).sum())(one) == 0).all()


def test_dissimilarity_is_one_number_per_picture_with_a_slope(pictures):
    one, other = map(jnp.asarray, pictures)
    np.testing.assert_allclose(losses.dissimilarity(one, one), [0, 0], atol=1e-6)
    both = losses.dissimilarity(one, other)
    assert both.shape == (2,)
    assert (both > 0.5).all()
    np.testing.assert_allclose(losses.dissimilarity(255 * one, 255 * other, span=255.0), both, rtol=1e-5)
    loss = lambda x: losses.dissimilarity(x, other).sum()  # noqa: E731
    slope, direction = finite_difference(loss, one)
    np.testing.assert_allclose(jnp.vdot(jax.grad(loss)(one), direction), slope, rtol=2e-2)


@pytest.mark.parametrize("masked", [False, True])
def test_moments_equal_numpy_and_ignore_the_order_of_pixels(features, masked, rng):
    f, _ = features
    mask = rng.random(f.shape[:2]).astype(np.float32) if masked else None
    got = losses.moments(jnp.asarray(f), None if mask is None else jnp.asarray(mask))
    for mine, expected in zip(got, reference(f, mask), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)
    order = rng.permutation(f.shape[0])
    shuffled = losses.moments(jnp.asarray(f[order]), None if mask is None else jnp.asarray(mask[order]))
    np.testing.assert_allclose(shuffled.second, got.second, rtol=1e-4, atol=1e-5)


def test_moments_add_up_over_halves_and_batches(features):
    f, _ = features
    halves = losses.moments(jnp.stack([f[:3], f[3:]]))
    whole = losses.moments(jnp.asarray(f))
    np.testing.assert_allclose(halves.second.mean(0), whole.second, rtol=1e-4, atol=1e-5)


def test_moments_of_bfloat16_are_float32(features):
    got = losses.moments(jnp.asarray(features[0], jnp.bfloat16))
    assert got.mean.dtype == got.second.dtype == jnp.float32
    np.testing.assert_allclose(got.second, reference(features[0])[1], rtol=0.05, atol=0.05)


def test_blend_keeps_the_variance_between_styles():
    zero = losses.Moments(jnp.zeros(2), jnp.zeros((2, 2)))
    one = losses.Moments(jnp.ones(2), jnp.ones((2, 2)))
    both = losses.blend([zero, one], jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(both.mean, [0.75, 0.75])
    np.testing.assert_allclose(both.second - jnp.outer(both.mean, both.mean), np.full((2, 2), 0.1875))


def test_gram_scalings_equal_numpy(features):
    f, g = features
    a, b = (losses.moments(jnp.asarray(each)) for each in (f, g))
    (_, s), (_, t) = reference(f), reference(g)
    np.testing.assert_allclose(losses.gram_matrix(jnp.asarray(f)), s, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(losses.gram_gatys(a, b), np.sum((s - t) ** 2) / (4 * 5**2), rtol=1e-4)
    np.testing.assert_allclose(losses.gram_johnson(a, b), np.sum(((s - t) / 5) ** 2), rtol=1e-4)


def test_adain_equals_numpy(features):
    f, g = (each.reshape(-1, 5).astype(np.float64) for each in features)
    deviations = (np.sqrt(f.var(0) + 1e-5) - np.sqrt(g.var(0) + 1e-5)) ** 2
    expected = np.mean((f.mean(0) - g.mean(0)) ** 2) + np.mean(deviations)
    a, b = (losses.moments(jnp.asarray(each)) for each in features)
    np.testing.assert_allclose(losses.adain(a, b), expected, rtol=1e-4)


@pytest.mark.parametrize("steps", [12, None])
def test_wasserstein_equals_numpy(features, steps):
    f, g = features
    target = losses.gaussian_target(losses.moments(jnp.asarray(g)))

    def loss(x):
        return losses.wasserstein(losses.moments(jnp.asarray(x)), target, steps=steps)

    expected = w2(f, g, newton_schulz_trace) if steps else w2(f, g)
    np.testing.assert_allclose(loss(f), expected, rtol=1e-4)
    slope, direction = finite_difference(lambda x: w2(x, g), f.astype(np.float64))
    np.testing.assert_allclose(np.vdot(jax.grad(loss)(jnp.asarray(f)), direction), slope, rtol=2e-3)


def test_narrow_layers_are_compared_by_covariances_and_wide_ones_by_variances(rng):
    for channels, expected in {256: losses.WASSERSTEIN, 257: losses.ADAIN}.items():
        a, b = (losses.moments(jnp.asarray(rng.normal(size=(4, 5, channels)), jnp.float32)) for _ in range(2))
        narrow = losses.WASSERSTEIN_NARROW
        found = narrow.distance(a, narrow.target(b))
        np.testing.assert_array_equal(found, expected.distance(a, expected.target(b)))


@pytest.mark.parametrize("name", ["WASSERSTEIN", "WASSERSTEIN_CONVERGED", "WASSERSTEIN_NARROW", "GRAM", "ADAIN"])
def test_style_losses_vanish_on_their_target_and_are_finite_on_flat_features(features, name):
    loss = getattr(losses, name)
    own = losses.moments(jnp.asarray(features[0]))
    assert abs(float(loss.distance(own, loss.target(own)))) < 2e-3
    for flat in (jnp.zeros((4, 4, 5)), jnp.ones((4, 4, 5))):
        gradient = jax.grad(lambda x: loss.distance(losses.moments(x), loss.target(own)))(flat)
        assert np.isfinite(gradient).all()
        target = loss.target(losses.moments(flat))
        assert np.isfinite(jax.grad(lambda x: loss.distance(losses.moments(x), target))(flat)).all()  # noqa: B023


@pytest.mark.parametrize("size", [1, 3])
def test_nearest_patches_equals_numpy(features, size):
    f, g = features

    def patches(x):
        return np.stack(
            [
                x[i : i + size, j : j + size].ravel()
                for i in range(len(x) - size + 1)
                for j in range(x.shape[1] - size + 1)
            ]
        )

    center = g.mean((0, 1))
    p, s = patches(f - center), patches(g - center)
    cosine = (p / np.linalg.norm(p, axis=1, keepdims=True)) @ (s / np.linalg.norm(s, axis=1, keepdims=True)).T
    expected = np.mean(1 - cosine.max(axis=1))
    for chunk in (4, 1024):
        got = losses.nearest_patches(jnp.asarray(f), jnp.asarray(g), size=size, chunk=chunk)
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert float(losses.nearest_patches(jnp.asarray(g), jnp.asarray(g), size=size)) < 1e-5
    flat = jax.grad(lambda x: losses.nearest_patches(x, jnp.asarray(g), size=size))(
        jnp.broadcast_to(jnp.asarray(center), (4, 4, 5))
    )
    assert np.isfinite(flat).all()


def test_nearest_patches_refuses_small_features():
    with pytest.raises(ValueError, match="at least 3 x 3"):
        losses.nearest_patches(jnp.ones((2, 2, 4)), jnp.ones((4, 4, 4)))


def quantiles(values, count):
    """Read sorted columns at the middles of equal parts."""
    ordered = np.sort(values.astype(np.float64), axis=0)
    own = (np.arange(len(ordered)) + 0.5) / len(ordered)
    asked = (np.arange(count) + 0.5) / count
    return np.stack([np.interp(asked, own, column) for column in ordered.T], axis=-1)


def test_histogram_equals_numpy(features):
    f, g = (each.reshape(-1, 5) for each in features)
    got = losses.histogram(jnp.asarray(features[0]), losses.histogram_target(jnp.asarray(features[1])))
    np.testing.assert_allclose(got, np.mean((np.sort(f, axis=0) - quantiles(g, len(f))) ** 2), rtol=1e-4)


def test_sliced_wasserstein_equals_numpy(features):
    key, (f, g) = jax.random.key(3), (each.reshape(-1, 5) for each in features)
    target = losses.sliced_target(jnp.asarray(features[1]), key=key, count=7)
    directions = np.asarray(target.directions, np.float64)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1, rtol=1e-5)
    assert directions.shape == (5, 7)
    own, aim = np.sort(f @ directions, axis=0), quantiles(g @ directions, len(f))
    got = losses.sliced_wasserstein(jnp.asarray(features[0]), target)
    np.testing.assert_allclose(got, np.mean((own - aim) ** 2), rtol=1e-4)
    other = losses.sliced_target(jnp.asarray(features[1]), key=jax.random.key(4), count=7)
    assert np.abs(other.directions - target.directions).max() > 0.1


@pytest.mark.parametrize("name", ["patch", "histogram", "sliced"])
def test_losses_of_whole_features_vanish_on_their_target_whatever_its_order(features, name):
    loss, f = losses.STYLE_LOSSES[name], jnp.asarray(features[0])
    assert not loss.additive
    aim = loss.target(f)
    turned = f if name == "patch" else f[::-1, ::-1]
    assert abs(float(loss.distance(turned, aim))) < 1e-5
    assert float(loss.distance(jnp.asarray(features[1]), aim)) > 0.01
    for flat in (jnp.zeros((4, 4, 5)), jnp.ones((2, 2, 5))):
        assert np.isfinite(jax.grad(lambda x: loss.distance(x, aim))(flat)).all()
    half = loss.distance(f.astype(jnp.bfloat16), loss.target(f.astype(jnp.bfloat16)))
    assert half.dtype == jnp.float32


def test_style_losses_have_names_of_their_own():
    names = [loss.name for loss in losses.STYLE_LOSSES.values()]
    assert len({*names}) == len(names)
    assert None not in names


def test_self_similarity_equals_numpy(features):
    f = features[0]
    g = f[::-1, ::-1]

    def distances(x):
        p = x.reshape(-1, x.shape[-1])
        p = p / np.linalg.norm(p, axis=1, keepdims=True)
        d = 1 - p @ p.T
        return d / (d.sum(0, keepdims=True) + 1e-6)

    expected = np.mean(np.abs(distances(f) - distances(g))) * 42
    np.testing.assert_allclose(losses.self_similarity(jnp.asarray(f), jnp.asarray(g)), expected, rtol=1e-4)
    assert (
        float(losses.self_similarity(jnp.asarray(f), jnp.asarray(f) * 3.0)) < 1e-3
    )  # scale of features does not count
    zero = jax.grad(lambda x: losses.self_similarity(x, jnp.asarray(f)))(jnp.zeros_like(f))
    assert np.isfinite(zero).all()


def test_total_variations_equal_numpy(rng):
    x = rng.random((5, 6, 3), np.float32)
    plain = np.abs(np.diff(x, axis=0)).mean() + np.abs(np.diff(x, axis=1)).mean()
    np.testing.assert_allclose(losses.total_variation(jnp.asarray(x)), plain, rtol=1e-5)
    p = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    a, b, c, d = p[:-1, :-1], p[:-1, 1:], p[1:, :-1], p[1:, 1:]
    nine = 2 * (
        np.mean((b - a) ** 2) / 3 + np.mean((c - a) ** 2) / 3 + np.mean((d - a) ** 2) / 12 + np.mean((c - b) ** 2) / 12
    )
    np.testing.assert_allclose(losses.total_variation_nine_point(jnp.asarray(x)), nine, rtol=1e-5)
    for loss in (losses.total_variation, losses.total_variation_nine_point):
        assert float(jnp.abs(jax.grad(lambda x: loss(x))(jnp.full((4, 4, 3), 0.3))).max()) == 0  # noqa: B023
        batch = loss(jnp.stack([jnp.asarray(x), 2 * jnp.asarray(x)]))
        assert batch.shape == (2,)


def test_jit_equals_eager(features):
    f, g = (jnp.asarray(each) for each in features)
    target = losses.gaussian_target(losses.moments(g))
    for loss in (
        lambda x: losses.wasserstein(losses.moments(x), target),
        lambda x: losses.nearest_patches(x, g),
        lambda x: losses.self_similarity(x, f),
        losses.total_variation_nine_point,
    ):
        np.testing.assert_allclose(jax.jit(loss)(f), loss(f), rtol=1e-5, atol=1e-6)
