"""Levels of noise, and taking noise away, on generated pictures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import models
from jaxart.tasks import restore

KEY = jax.random.key(0)
NOISE = 0.1
ROWS, COLUMNS = np.mgrid[:96, :80].astype(np.float32)


@pytest.fixture(scope="module")
def painted():
    """A smooth painting with edges, [96, 80, 1]."""
    disc = (ROWS - 40) ** 2 + (COLUMNS - 35) ** 2 < 600
    return (0.5 + 0.2 * np.sin(COLUMNS / 17) * np.cos(ROWS / 13) + 0.2 * disc)[..., None].astype(np.float32)


@pytest.fixture(scope="module")
def noisy(painted):
    return painted + np.random.default_rng(0).normal(0, NOISE, painted.shape).astype(np.float32)


@pytest.fixture(scope="module")
def programs():
    return {name: jax.jit(denoise) for name, denoise in restore.DENOISERS.items()}


@functools.cache
def small_network(channels):
    return models.SmallDenoiser(channels, width=4, depth=2)


def trained(key, picture, noise, **options):
    settings = {"steps": 3, "batch": 2, "side": 8, "directions": 1, **options}
    return restore.denoise_self_supervised(key, picture, noise, network=small_network(picture.shape[-1]), **settings)


def error(picture, truth):
    return float(np.mean((np.asarray(picture) - truth) ** 2))


@pytest.mark.parametrize("level", [0.02, 0.1, 0.2])
def test_the_level_is_found(painted, rng, level):
    colored = np.concatenate([painted, 1 - painted], axis=-1)
    levels = np.float32([level, 2 * level])
    found = restore.estimate_noise(colored + levels * rng.standard_normal(colored.shape, np.float32))
    np.testing.assert_allclose(found, levels, rtol=0.08)


def test_texture_is_no_noise(rng):
    texture = 0.3 * np.sin(COLUMNS + ROWS / 3)[..., None] + 0.2 * np.sin(1.3 * ROWS)[..., None]
    assert float(restore.estimate_noise(texture)[0]) < 0.01
    noisy = texture + NOISE * rng.standard_normal(texture.shape, np.float32)
    np.testing.assert_allclose(restore.estimate_noise(noisy), [NOISE], rtol=0.1)


def test_a_picture_without_noise_has_none(painted):
    assert float(restore.estimate_noise(painted)[0]) < 0.003
    assert float(restore.estimate_noise(np.full((20, 20, 1), 0.3, np.float32))[0]) < 1e-6


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 1)])
def test_levels_of_tiny_pictures_are_finite(rng, shape):
    found = restore.estimate_noise(rng.random(shape, np.float32))
    assert found.shape == shape[-1:]
    assert np.isfinite(found).all()


def test_noise_goes_down(painted, noisy, programs):
    share = {name: error(program(noisy, NOISE), painted) / NOISE**2 for name, program in programs.items()}
    assert share["tv"] < 0.15
    assert share["non-local"] < 0.1


@pytest.mark.parametrize("name", restore.DENOISERS)
def test_jit_equals_eager_and_constants_stay(name, noisy, programs):
    part = noisy[:16, :14]
    np.testing.assert_allclose(programs[name](part, NOISE), restore.DENOISERS[name](part, NOISE), atol=1e-5)
    flat = np.full_like(part, 0.3)
    np.testing.assert_allclose(programs[name](flat, NOISE), flat, atol=1e-6)


@pytest.mark.parametrize("name", restore.DENOISERS)
def test_noise_may_differ_by_pixel_and_where_there_is_none_nothing_changes(name, noisy, programs):
    part = noisy[:16, :14]
    np.testing.assert_array_equal(programs[name](part, 0.0), part)
    everywhere = np.full(part.shape[:2], NOISE, np.float32)
    np.testing.assert_allclose(programs[name](part, everywhere), programs[name](part, NOISE), atol=1e-5)
    half = np.where(np.arange(14) < 7, everywhere, 0)
    found = np.asarray(programs[name](part, half))
    np.testing.assert_array_equal(found[:, 7:], part[:, 7:])
    assert (found[:, :7] != part[:, :7]).any()


def test_noise_may_differ_by_channel(noisy):
    part = np.concatenate([noisy[:16, :14]] * 2, axis=-1)
    found = restore.denoise_total_variation(part, np.float32([NOISE, 0]))
    np.testing.assert_array_equal(found[..., 1], part[..., 1])
    assert (found[..., 0] != part[..., 0]).any()


@pytest.mark.parametrize("name", restore.DENOISERS)
def test_one_pixel_is_denoised(name, rng):
    picture = rng.random((1, 1, 3), np.float32)
    np.testing.assert_allclose(restore.DENOISERS[name](picture, NOISE), picture, atol=1e-6)


@pytest.mark.parametrize("name", restore.DENOISERS)
def test_slopes_are_those_of_differences(name, noisy):
    with jax.enable_x64(True):
        picture = jnp.asarray(noisy[:7, :6], jnp.float64)
        along = jnp.asarray(np.random.default_rng(2).standard_normal(picture.shape))
        value = jax.jit(lambda x: jnp.sum(jnp.sin(3 * restore.DENOISERS[name](x, NOISE))))
        slope = float(jnp.sum(jax.grad(value)(picture) * along))
        step = 1e-6
        expected = float(value(picture + step * along) - value(picture - step * along)) / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-4)


def test_a_weave_is_kept(painted, rng):
    slanted = [(COLUMNS + 0.1 * ROWS) / 5.3, (ROWS - 0.1 * COLUMNS) / 5.3]
    weave = (0.04 * sum(np.sin(2 * np.pi * each) for each in slanted))[..., None]
    truth = painted + weave
    noisy = truth + NOISE * rng.standard_normal(truth.shape, np.float32)
    smooth = restore.denoise_total_variation(noisy, NOISE)
    kept = restore.keep_grain(noisy, smooth, NOISE)
    alike = [np.corrcoef((np.asarray(each) - painted).ravel(), weave.ravel())[0, 1] for each in (smooth, kept)]
    assert alike[1] > 2 * alike[0]
    assert alike[1] > 0.5
    assert error(kept, truth) < 0.7 * error(smooth, truth)


def test_without_a_weave_little_comes_back(painted, noisy):
    smooth = restore.denoise_total_variation(noisy, NOISE)
    kept = restore.keep_grain(noisy, smooth, NOISE)
    assert error(kept, painted) < 1.02 * error(smooth, painted)


def test_grain_is_all_of_it_where_noise_is_next_to_nothing(noisy):
    """The blocks add up to the picture they were cut from."""
    smooth = np.full_like(noisy, 0.5)
    np.testing.assert_allclose(restore.keep_grain(noisy, smooth, 1e-5), noisy, atol=1e-5)
    np.testing.assert_array_equal(restore.keep_grain(noisy, smooth, 0.0), smooth)


def test_grain_of_a_small_picture(rng):
    picture = rng.random((1, 5, 3), np.float32)
    np.testing.assert_array_equal(restore.keep_grain(picture, picture, NOISE), picture)


def test_training_on_the_picture_takes_noise_away(painted, noisy):
    told = []
    found = trained(KEY, noisy, NOISE, steps=20, side=32, hooks=(lambda state, info: told.append(info),))
    assert error(found, painted) < 0.1 * NOISE**2
    assert float(told[-1].risk) == pytest.approx(error(found, painted) / NOISE**2, abs=0.1)


def test_equal_keys_give_equal_bits():
    picture = 0.5 + NOISE * np.random.default_rng(3).standard_normal((9, 12, 3)).astype(np.float32)
    one, again, other = (np.asarray(trained(key, picture, NOISE)) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert one.shape == picture.shape
    assert error(one, 0.5) < error(picture, 0.5) / 2


def test_training_on_one_pixel_and_none_of_noise(rng):
    picture = rng.random((1, 1, 1), np.float32)
    assert np.isfinite(trained(KEY, picture, NOISE)).all()
    np.testing.assert_array_equal(trained(KEY, picture, 0.0), picture)


@pytest.mark.parametrize(
    "denoise", [*restore.DENOISERS.values(), functools.partial(restore.denoise_self_supervised, KEY)]
)
def test_what_cannot_be_is_said(denoise):
    picture = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ValueError, match=r"by pixel, got shape \(5, 4\)"):
        denoise(picture, np.ones((5, 4)))
    with pytest.raises(ValueError, match="0 or more"):
        denoise(picture, -0.1)
    with pytest.raises(ValueError, match="0 or more"):
        denoise(picture, np.nan)
    with pytest.raises(ValueError, match=r"\[H, W, C\] of floats"):
        denoise(picture[0], 0.1)
    with pytest.raises(ValueError, match="Divide 8-bit"):
        denoise(picture.astype(np.uint8), 0.1)


def test_more_of_what_cannot_be():
    picture = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ValueError, match="one shape"):
        restore.keep_grain(picture, picture[:3], 0.1)
    with pytest.raises(ValueError, match="of floats"):
        restore.estimate_noise(picture[:0])
    with pytest.raises(ValueError, match="even side"):
        trained(KEY, picture, 0.1, side=7)
