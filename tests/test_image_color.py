"""Geometry and color of pictures: sizes, what resizing keeps, and statistics that reach their target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import color, image


@pytest.fixture
def tame():
    """Two pictures whose colors, matched to each other's, stay well inside [0, 1]."""
    rng = np.random.default_rng(7)
    mix = np.array([[0.2, 0.04, 0.0], [0.08, 0.16, 0.04], [0.0, -0.08, 0.12]], np.float32)
    source = 0.5 + rng.uniform(-1, 1, (20, 24, 3)) @ mix
    target = (0.5, 0.45, 0.55) + rng.uniform(-1, 1, (17, 13, 3)) @ mix[::-1].T * 1.4
    return source.astype(np.float32), target.astype(np.float32)


def flat(*color, shape=(5, 6)):
    return np.broadcast_to(np.float32(color), (*shape, 3)).copy()


def statistics(picture):
    pixels = np.asarray(picture, np.float64).reshape(-1, 3)
    return pixels.mean(0), np.cov(pixels.T, bias=True)


@pytest.mark.parametrize(
    ("largest", "smallest", "ratio", "expected"),
    [
        (512, 128, 2**0.5, (128, 181, 256, 362, 512)),
        (512, 128, 2, (128, 256, 512)),
        (100, 128, 2**0.5, (100,)),
        (128, 128, 2**0.5, (128,)),
        (1, 1, 2, (1,)),
    ],
)
def test_pyramid(largest, smallest, ratio, expected):
    assert image.pyramid(largest, smallest, ratio=ratio) == expected


@pytest.mark.parametrize(
    ("shape", "long_side", "expected"),
    [
        ((300, 451), 128, (85, 128)),
        ((451, 300), 128, (128, 85)),
        ((7, 7), 9, (9, 9)),
        ((1, 500), 100, (1, 100)),
        ((2, 1), 1, (1, 1)),
    ],
)
def test_fit_within(shape, long_side, expected):
    assert image.fit_within(shape, long_side) == expected


@pytest.mark.parametrize("size", [(5, 7), (9, 8), (5, 31), (20, 31)])
def test_enlarging_is_resizing(size, rng):
    picture = rng.random((2, 5, 7, 3), np.float32)
    np.testing.assert_allclose(image.enlarge(picture, size), image.resize(picture, size), atol=1e-5)


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
class TestResize:
    @pytest.mark.parametrize("size", [(3, 5), (31, 17), (10, 40), (1, 1)])
    def test_constant_stays_constant(self, method, size):
        got = image.resize(flat(0.2, 0.5, 0.9, shape=(12, 16)), size, method=method)
        np.testing.assert_allclose(got, flat(0.2, 0.5, 0.9, shape=size), atol=1e-5)

    def test_same_size_is_identity(self, method, photo):
        np.testing.assert_allclose(image.resize(photo, photo.shape[:2], method=method), photo, atol=1e-6)

    @pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
    def test_dtype_is_kept(self, method, photo, dtype):
        assert image.resize(jnp.asarray(photo, dtype), (8, 9), method=method).dtype == dtype

    def test_leading_dimensions_are_independent(self, method, photo):
        batch = np.stack([photo, 1 - photo])[None]
        got = image.resize(batch, (10, 12), method=method)
        assert got.shape == (1, 2, 10, 12, 3)
        np.testing.assert_allclose(got[0, 1], image.resize(1 - photo, (10, 12), method=method), atol=1e-6)

    def test_halving_averages_a_checkerboard(self, method):
        """Antialiased: without it, picking every other pixel would give all black or all white."""
        board = np.indices((32, 32)).sum(0)[..., None].repeat(3, -1) % 2
        got = image.resize(board.astype(np.float32), (16, 16), method=method)
        np.testing.assert_allclose(got[2:-2, 2:-2], 0.5, atol=0.02)


class TestYiq:
    def test_round_trip(self, photo):
        np.testing.assert_allclose(color.yiq_to_rgb(color.rgb_to_yiq(photo)), photo, atol=1e-5)

    def test_gray_has_no_chroma(self):
        np.testing.assert_allclose(color.rgb_to_yiq(flat(0.3, 0.3, 0.3))[..., 1:], 0, atol=1e-6)

    def test_luminance_is_the_weighted_sum_three_times(self, photo):
        expected = photo @ np.array([0.299, 0.587, 0.114])
        got = color.luminance(np.stack([photo, photo]))
        assert got.shape == (2, *photo.shape)
        np.testing.assert_allclose(got[1], np.repeat(expected[..., None], 3, -1), atol=1e-6)

    def test_with_chroma_of_keeps_chroma_and_luminance(self, tame):
        light, colors = (0.5 + 0.5 * (each[:17, :13] - 0.5) for each in tame)  # far from the clip
        got = color.rgb_to_yiq(color.with_chroma_of(light, colors))
        np.testing.assert_allclose(got[..., :1], color.rgb_to_yiq(light)[..., :1], atol=1e-5)
        np.testing.assert_allclose(got[..., 1:], color.rgb_to_yiq(colors)[..., 1:], atol=1e-5)

    def test_with_chroma_of_is_clipped(self):
        got = color.with_chroma_of(flat(1, 1, 1), flat(1, 0, 0))
        assert float(got.min()) >= 0
        assert float(got.max()) <= 1


def test_mean_and_deviation_reach_the_target(tame):
    mean, covariance = statistics(color.match_mean_deviation(*tame))
    target_mean, target_covariance = statistics(tame[1])
    np.testing.assert_allclose(mean, target_mean, atol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), np.sqrt(np.diag(target_covariance)), rtol=1e-3)


def test_mean_and_covariance_reach_the_target(tame):
    """Up to the 1e-5 that keeps the roots of flat pictures finite; a fraction of a per cent."""
    mean, covariance = statistics(color.match_mean_covariance(*tame))
    target_mean, target_covariance = statistics(tame[1])
    np.testing.assert_allclose(mean, target_mean, atol=1e-5)
    np.testing.assert_allclose(covariance, target_covariance, atol=5e-3 * target_covariance.max())


@pytest.mark.parametrize("match", [color.match_mean_deviation, color.match_mean_covariance])
class TestMatching:
    def test_of_a_picture_with_itself_is_identity(self, match, photo):
        np.testing.assert_allclose(match(photo, photo), photo, atol=2e-4)

    def test_is_clipped_to_the_unit_range(self, match, photo):
        got = match(photo, np.clip(photo * 3 - 1, 0, 1))
        assert 0 <= float(got.min()) <= float(got.max()) <= 1

    def test_of_flat_pictures_is_finite_and_has_the_mean(self, match, photo):
        np.testing.assert_allclose(match(photo, flat(0.3, 0.4, 0.5)).mean((0, 1)), (0.3, 0.4, 0.5), atol=0.01)
        np.testing.assert_allclose(match(flat(0.3, 0.4, 0.5), flat(0.9, 0.1, 0)), flat(0.9, 0.1, 0), atol=1e-4)
        got = match(flat(0.3, 0.4, 0.5), photo)
        np.testing.assert_allclose(got, np.broadcast_to(photo.mean((0, 1)), got.shape), atol=0.01)


@pytest.mark.parametrize(
    "function",
    [
        color.rgb_to_yiq,
        color.yiq_to_rgb,
        color.luminance,
        color.with_chroma_of,
        color.match_mean_deviation,
        color.match_mean_covariance,
    ],
)
def test_jit_equals_eager(function, tame):
    arguments = (tame[0][:17, :13], tame[1]) if function.__name__.startswith(("with", "match")) else tame[:1]
    np.testing.assert_allclose(jax.jit(function)(*arguments), function(*arguments), atol=2e-5)


def test_linear_light_is_that_of_the_standard_and_back(strict):
    values = np.float32([-0.5, 0, 0.02, 0.04045, 0.5, 1, 1.2])
    light = color.srgb_to_linear(values)
    np.testing.assert_allclose(light[2:6], [0.02 / 12.92, 0.04045 / 12.92, (0.555 / 1.055) ** 2.4, 1], rtol=1e-5)
    np.testing.assert_allclose(color.linear_to_srgb(light), values, atol=1e-6)
    slopes = jax.vmap(jax.grad(lambda x: color.linear_to_srgb(color.srgb_to_linear(x))))(jnp.asarray(values[4:]))
    np.testing.assert_allclose(slopes, np.ones(3), rtol=1e-4)


def test_lab_has_the_known_colors(strict):
    found = color.rgb_to_lab(np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]))
    known = [(53.24, 80.09, 67.20), (87.73, -86.18, 83.18), (32.30, 79.19, -107.86), (0, 0, 0)]
    np.testing.assert_allclose(found, known, atol=0.02)
