"""How pictures come to harm: the same key, the same harm; sizes, ranges, derivatives, and what a library makes of the same."""

import io as streams
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxart import data
from jaxart.image import enlarge, resize, shrink

KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def picture():
    """A smooth picture with an edge, in [0, 1]."""
    rows, columns = np.mgrid[:48, :40] / 40
    channels = [0.5 + 0.3 * np.sin(7 * rows + k) * np.cos(5 * columns) for k in range(3)]
    image = np.stack(channels, -1).astype(np.float32)
    image[:, 25:] *= 0.4
    return jnp.asarray(image)


def test_resampling_is_pillows_and_blur_may_be_traced(picture):
    for size, kernel, name in (
        ((24, 20), "cubic", "BICUBIC"),
        ((12, 10), "linear", "BILINEAR"),
        ((24, 20), "area", "BOX"),
    ):
        planes = [Image.fromarray(np.asarray(picture[..., k])) for k in range(3)]
        expected = np.stack([np.asarray(p.resize(size[::-1], Image.Resampling[name])) for p in planes], -1)
        np.testing.assert_allclose(data.resampled(picture, size, kernel=kernel), expected, atol=2e-6)
    np.testing.assert_allclose(data.resampled(picture, picture.shape[:2]), picture, atol=1e-6)
    blurred = jax.jit(lambda width: data.resampled(picture, (48, 40), blur=width))
    sharp, soft, softer = (float(jnp.std(jnp.diff(blurred(w), axis=1))) for w in (0.0, 1.0, 3.0))
    assert sharp > 1.3 * soft > 1.5 * softer
    np.testing.assert_allclose(jnp.mean(blurred(1.0)), jnp.mean(picture), atol=3e-3)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_shrinking_by_a_whole_number_is_resizing(factor, rng):
    x = rng.random((2, 24, 36, 3), np.float32)
    np.testing.assert_allclose(shrink(x, factor), resize(x, (24 // factor, 36 // factor)), atol=1e-6)
    with pytest.raises(ValueError, match="multiples of 5"):
        shrink(x, 5)
    assert enlarge(shrink(x, factor), (24, 36)).shape == x.shape


@pytest.mark.parametrize(("quality", "subsampled"), [(30, False), (75, False), (75, True), (95, True)])
def test_jpeg_is_as_near_and_as_far_as_a_real_one(picture, quality, subsampled):
    bytes_in = np.rint(255 * np.asarray(picture)).astype(np.uint8)
    stream = streams.BytesIO()
    Image.fromarray(bytes_in).save(stream, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    theirs = np.asarray(Image.open(stream), np.float32) / 255
    ours = jax.jit(data.jpeg, static_argnames="subsampled")(jnp.float32(bytes_in) / 255, quality, subsampled=subsampled)
    error = lambda a, b: float(np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2)))  # noqa: E731
    mine, real = error(ours, picture), error(theirs, picture)
    assert 0.8 * real < mine < 1.35 * real
    assert error(ours, theirs) < 0.8 * real + 0.003


def test_jpeg_passes_derivatives_on_and_takes_gray(picture):
    slope = jax.grad(lambda x: jnp.sum(data.jpeg(x, 60.0) * picture))(picture)
    assert bool(jnp.all(jnp.isfinite(slope)))
    assert float(jnp.corrcoef(slope.ravel(), picture.ravel())[0, 1]) > 0.7
    gray = data.jpeg(picture[..., :1], 90.0)
    assert gray.shape == (48, 40, 1)
    assert float(jnp.abs(gray - picture[..., :1]).max()) < 0.1
    losses = [float(jnp.mean((data.jpeg(picture, q) - picture) ** 2)) for q in (10.0, 40.0, 90.0)]
    assert losses[0] > losses[1] > losses[2]


def test_noise_has_its_deviation_and_may_be_gray(picture):
    noise = data.add_noise(KEY, jnp.zeros((64, 64, 3)), 0.1)
    np.testing.assert_allclose(jnp.std(noise), 0.1, rtol=0.05)
    assert abs(float(jnp.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1])) < 0.06
    gray = data.add_noise(KEY, jnp.zeros((64, 64, 3)), 0.1, gray=1.0)
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])


HARMS = {
    "crack": lambda key, x: data.crack(key, x),
    "scratch": lambda key, x: data.scratch(key, x),
    "stain": lambda key, x: data.Damaged(data.stain(key, x), jnp.ones((*x.shape[:2], 1))),
}


@pytest.mark.parametrize("name", HARMS)
def test_damage_is_where_it_is_said_to_be_and_the_key_decides(name, picture):
    harm = jax.jit(jax.vmap(HARMS[name], (0, None)))
    keys = jax.random.split(KEY, 12)
    image, share = harm(keys, picture)
    assert image.shape == (12, 48, 40, 3)
    assert share.shape == (12, 48, 40, 1)
    changed = np.abs(np.asarray(image) - np.asarray(picture)[None]).max(axis=-1, keepdims=True)
    if name != "stain":
        np.testing.assert_array_equal(np.asarray(share) > 0, changed >= np.float32(15 / 255))
        assert (changed == 0).mean() > 0.6  # bit for bit, but for what is too faint to be seen
    assert bool(jnp.all((image >= -1e-6) & (image <= 1 + 1e-6) & (share >= 0) & (share <= 1)))
    np.testing.assert_array_equal(harm(keys, picture)[0], image)
    assert len({float(jnp.sum(each)) for each in image}) > 6
    if name != "stain":
        damaged = np.asarray(jnp.mean(share > 0.5, axis=(1, 2, 3)))
        assert damaged.max() > 0.01
        assert damaged.mean() < 0.4


def test_strokes_are_lines_of_the_thickness_asked_for():
    masks = jax.vmap(lambda key: data.strokes(key, (64, 96)))(jax.random.split(KEY, 20))
    assert masks.dtype == bool
    assert masks.shape == (20, 64, 96)
    thin = jax.vmap(partial(data.strokes, size=(64, 96), thickest=1 / 96))(jax.random.split(KEY, 20))
    assert 0 < float(jnp.mean(thin)) < float(jnp.mean(masks)) < 0.6
    eroded = jax.lax.reduce_window(thin, True, jnp.logical_and, (1, 5, 5), (1, 1, 1), "SAME")
    assert float(jnp.mean(eroded)) < 0.02 * float(jnp.mean(thin)) + 1e-3


def test_old_photographs_are_small_and_in_range(picture):
    made = jax.vmap(lambda key: data.old_photograph(key, picture, (24, 20)))(jax.random.split(KEY, 8))
    assert made.shape == (8, 24, 20, 3)
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    plain = data.resampled(picture, (24, 20))
    errors = jnp.sqrt(jnp.mean((made - plain[None]) ** 2, axis=(1, 2, 3)))
    assert float(errors.min()) > 1e-3
    assert float(errors.max()) < 0.2
