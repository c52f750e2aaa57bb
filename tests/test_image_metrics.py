"""How near pictures are to what they should be: against the formulas with SciPy's filters, as scikit-image has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jaxart import metrics
from jaxart.models import VGG
from jaxart.ops import similarity_maps
from jaxart.tasks import restore


@pytest.fixture
def pair(rng):
    truth = gaussian_filter(rng.random((2, 190, 181, 3)), (0, 3, 3, 0))
    truth = ((truth - truth.min()) / np.ptp(truth)).astype(np.float32)
    return np.clip(truth + 0.05 * rng.standard_normal(truth.shape), 0, 1).astype(np.float32), truth


def reference_maps(one, other):
    """Return the two maps of a channel, in float64."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    mean = lambda x: gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]  # noqa: E731
    a, b = mean(one), mean(other)
    var_a, var_b, both = mean(one**2) - a**2, mean(other**2) - b**2, mean(one * other) - a * b
    return (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4), (2 * both + 9e-4) / (var_a + var_b + 9e-4)


def test_psnr_is_that_of_the_squared_error_of_each_picture(pair):
    picture, truth = pair
    expected = [
        10 * np.log10(1 / ((p - t).astype(np.float64) ** 2).mean()) for p, t in zip(picture, truth, strict=True)
    ]
    np.testing.assert_allclose(jax.jit(metrics.psnr)(picture, truth), expected, rtol=1e-5)
    assert np.isinf(metrics.psnr(truth[0], truth[0]))


def test_a_protocol_says_what_is_compared(pair):
    picture, truth = pair[0][0], pair[1][0]
    eight = [np.rint(255 * each) / 255 for each in (picture, truth)]
    luma = [(each @ np.array([65.481, 128.553, 24.966]) + 16)[3:-3, 3:-3] / 255 for each in eight]
    expected = 10 * np.log10(1 / ((luma[0] - luma[1]) ** 2).mean())
    protocol = metrics.Protocol("y", border=3, rounded=True)
    assert float(metrics.psnr(picture, truth, protocol=protocol)) == pytest.approx(expected, rel=1e-5)
    assert metrics.compared(picture[..., :1], protocol).shape == (184, 175, 1)
    for wrong, message in (
        (metrics.Protocol(border=95), "leave some"),
        (metrics.Protocol("lab"), "channel: unknown value 'lab'"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.psnr(picture, truth, protocol=wrong)
    with pytest.raises(ValueError, match="of one size"):
        metrics.psnr(picture, truth[1:])


def test_ssim_is_the_mean_of_the_product_of_its_maps(pair):
    picture, truth = pair
    expected = [
        np.mean([np.prod(reference_maps(p[..., c], t[..., c]), axis=0).mean() for c in range(3)])
        for p, t in zip(picture, truth, strict=True)
    ]
    np.testing.assert_allclose(jax.jit(metrics.ssim)(picture, truth), expected, rtol=1e-5)
    assert float(metrics.ssim(truth[0], truth[0])) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="at least 11 pixels"):
        similarity_maps(picture[0, :10], truth[0, :10])


def test_ms_ssim_is_the_product_over_halved_pictures(pair):
    (one, other), found = (each[0, ..., :1].astype(np.float64) for each in pair), 1.0
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    for number, weight in enumerate(weights):
        luminance, structure = reference_maps(one[..., 0], other[..., 0])
        found *= np.mean(luminance * structure if number == 4 else structure) ** weight
        height, width = (side // 2 * 2 for side in one.shape[:2])
        one, other = (
            each[:height, :width].reshape(height // 2, 2, width // 2, 2, 1).mean((1, 3)) for each in (one, other)
        )
    one_channel = jax.jit(metrics.ms_ssim)(pair[0][..., :1], pair[1][..., :1])
    assert one_channel.shape == (2,)
    assert float(one_channel[0]) == pytest.approx(found, rel=1e-4)
    with pytest.raises(ValueError, match="at least 176 pixels"):
        metrics.ms_ssim(pair[0][:, :170], pair[1][:, :170])


def test_similarity_has_a_slope_where_pictures_are_equal(pair):
    slope = jax.grad(lambda x: jnp.mean(metrics.ssim(x, pair[1][0])))(jnp.asarray(pair[1][0]))
    assert bool(jnp.all(jnp.isfinite(slope)))


@pytest.fixture
def seen(rng):
    """Features of two layers of three pictures, of which none is seen at one place, and weights."""
    shapes = {"relu1_2": (3, 8, 6, 5), "relu2_2": (3, 4, 3, 7)}
    one, other = ({name: rng.random(shape, np.float32) for name, shape in shapes.items()} for _ in range(2))
    one["relu1_2"][0, 0, 0] = other["relu1_2"][0, 0, 0] = 0
    return one, other, {name: rng.random(shape[-1], np.float32) for name, shape in shapes.items()}


def test_lpips_is_the_formula(seen):
    one, other, weights = seen
    unit = lambda x: x / (np.sqrt((x.astype(np.float64) ** 2).sum(-1, keepdims=True)) + 1e-10)  # noqa: E731
    expected = sum(((unit(one[name]) - unit(other[name])) ** 2 @ w).mean((1, 2)) for name, w in weights.items())
    np.testing.assert_allclose(jax.jit(metrics.lpips)(*seen), expected, rtol=1e-5)
    np.testing.assert_allclose(metrics.lpips(one, one, weights), np.zeros(3), atol=1e-12)
    slopes = jax.grad(lambda x: metrics.lpips(x, other, weights).sum())(one)
    assert all(np.isfinite(slope).all() and slope.any() for slope in slopes.values())


def test_lpips_says_which_layer_does_not_fit(seen):
    one, other, weights = seen
    with pytest.raises(ValueError, match=r"relu2_2: expected two \[..., h, w, 7\]"):
        metrics.lpips(one, {"relu1_2": other["relu1_2"]}, weights)
    with pytest.raises(ValueError, match=r"relu1_2: .* w, 4\]"):
        metrics.lpips(one, other, {"relu1_2": np.ones(4, np.float32)})


def test_lpips_of_pictures_is_that_of_what_vgg_sees(variables, pair):
    picture, truth = (each[:, :32, :48] for each in pair)
    weights = {"relu1_2": np.ones(64, np.float32), "relu2_2": np.full(128, 0.5, np.float32)}
    features, others = (VGG(depth=16, layers=tuple(weights)).apply(variables, each) for each in (picture, truth))
    found = restore.lpips_of(variables, weights)(picture, truth)
    assert found.shape == (2,)
    np.testing.assert_allclose(found, metrics.lpips(features, others, weights), rtol=1e-4)
