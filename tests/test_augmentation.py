"""Augmentations: every one does what it says, to each picture in its own way, and can be differentiated twice."""

import functools
import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import data

KEY = jax.random.key(3)
KEYS = jax.random.split(jax.random.key(11), 32)


@functools.lru_cache
def compiled(name):
    """One program for every probability."""
    transform = data.AUGMENTATIONS[name]
    return jax.jit(
        lambda keys, images, probability: data.augment(keys, images, [partial(transform, probability=probability)])
    )


@pytest.fixture(scope="module", params=[1, 3])
def images(request):
    return jax.random.uniform(jax.random.key(request.param), (32, 8, 8, request.param))


@pytest.mark.parametrize("name", data.AUGMENTATIONS)
class TestAugmentations:
    def test_it_changes_each_picture_in_its_own_way(self, name, images):
        same = jnp.broadcast_to(images[:1], images.shape)
        changed = np.asarray(compiled(name)(KEYS, same, 1.0))
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        assert np.isfinite(changed).all()
        if images.shape[-1] == 1 and name in ("saturation", "hue"):
            np.testing.assert_array_equal(changed, same)  # gray has neither
            return
        moved = (changed != same).any((1, 2, 3))
        assert moved.all() or (name == "translate" and moved.sum() > 24)  # a shift may be by (0, 0)
        different = len({each.tobytes() for each in changed})
        few = {"horizontal_flip": 1, "vertical_flip": 1, "quarter_turn": 3, "translate": 8}
        assert different >= few.get(name, 25)

    def test_probability_zero_is_the_identity_and_a_half_a_part(self, name, images):
        np.testing.assert_array_equal(compiled(name)(KEYS, images, 0.0), images)
        always, half = compiled(name)(KEYS, images, 1.0), compiled(name)(KEYS, images, 0.5)
        left = np.asarray(half == images).all((1, 2, 3))
        np.testing.assert_array_equal(half[~left], always[~left])
        assert left.all() or 5 < left.sum() < 27
        assert inspect.signature(data.AUGMENTATIONS[name]).parameters["probability"].default == 0.5

    def test_it_does_not_depend_on_the_batch(self, name, images):
        forwards, backwards = compiled(name)(KEYS, images, 1.0), compiled(name)(KEYS[::-1], images[::-1], 1.0)
        np.testing.assert_array_equal(forwards, backwards[::-1])


@pytest.mark.parametrize("name", data.AUGMENTATIONS)
def test_augmentations_can_be_differentiated_twice(name):
    """They are affine, f(x + d) - f(x) = J d, so the Hessian of |f|^2 / 2 is J^T J."""
    x, d = jax.random.uniform(KEY, (2, 32, 8, 8, 3))

    def half_square(x):
        return jnp.sum(compiled(name)(KEYS, x, 1.0) ** 2) / 2

    @jax.jit
    def products(x, d, u):
        first = jax.grad(lambda x: jnp.vdot(compiled(name)(KEYS, x, 1.0), u))(x)
        return first, jax.grad(lambda x: jnp.vdot(jax.grad(half_square)(x), d))(x)

    along = compiled(name)(KEYS, x + d, 1.0) - compiled(name)(KEYS, x, 1.0)
    first, second = products(x, d, along)
    np.testing.assert_allclose(jnp.vdot(first, d), jnp.vdot(along, along), rtol=1e-4)
    np.testing.assert_allclose(second, first, atol=1e-4)
    assert (jnp.abs(second).max((1, 2, 3)) > 0).all()


def many(name, image, count=300, **options):
    """Return many results of one augmentation of one picture."""
    transform = partial(data.AUGMENTATIONS[name], probability=1.0, **options)
    apply = jax.jit(
        lambda keys, image: jax.vmap(lambda key: data.augment(key[None], image[None], [transform])[0])(keys)
    )
    return np.asarray(apply(jax.random.split(KEY, count), image))


class TestWhatAugmentationsDo:
    def test_flips_and_turns(self, photo):
        image = jnp.asarray(photo[:24, :24])
        np.testing.assert_array_equal(many("horizontal_flip", image)[0], photo[:24, :24][:, ::-1])
        np.testing.assert_array_equal(many("vertical_flip", image)[0], photo[:24, :24][::-1])
        turned = {each.tobytes() for each in many("quarter_turn", image)}
        assert turned == {np.rot90(photo[:24, :24], k).tobytes() for k in (1, 2, 3)}
        with pytest.raises(ValueError, match="square"):
            data.quarter_turn(KEY, jnp.asarray(photo))

    def test_translation_covers_its_range_and_brings_in_the_fill(self, photo):
        image = photo[:16, :24]
        seen = set()
        for result in many("translate", jnp.asarray(image), fraction=0.125, fill=-1.0):
            inside = np.argwhere((result >= 0).all(-1))
            (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
            down, over = top or bottom - 16, left or right - 24
            expected = np.full_like(image, -1)
            expected[top:bottom, left:right] = image[top - down : bottom - down, left - over : right - over]
            np.testing.assert_array_equal(result, expected)
            seen.add((int(down), int(over)))
        assert {down for down, _ in seen} == {-2, -1, 0, 1, 2}
        assert {over for _, over in seen} == {-3, -2, -1, 0, 1, 2, 3}

    def test_rotation_turns_a_slope(self):
        slope = jnp.broadcast_to(jnp.arange(32.0)[:, None, None], (32, 32, 1))
        middle = many("rotate", slope, degrees=30.0)[:, 12:20, 12:20, 0]
        down, right = np.diff(middle, axis=1).mean((1, 2)), np.diff(middle, axis=2).mean((1, 2))
        np.testing.assert_allclose(np.hypot(down, right), 1, atol=1e-4)
        angles = np.degrees(np.arctan2(right, down))
        assert -30.01 <= angles.min() < -28
        assert 28 < angles.max() <= 30.01

    def test_crop_enlarges_a_part(self):
        slope = jnp.broadcast_to(jnp.arange(32.0)[:, None, None], (32, 32, 1))
        results = many("crop", slope, smallest=0.5)
        part = np.diff(results[:, 12:20, 16, 0], axis=1).mean(1)
        assert 0.5 <= part.min() < 0.52
        assert 0.98 < part.max() <= 1.0
        assert results.min() >= 0
        assert results.max() <= 31

    @pytest.mark.parametrize(("scale", "offset"), [(1, 0), (2, -1)])
    def test_colors_keep_what_they_should(self, photo, scale, offset):
        original = photo[:16, :16] * scale + offset
        image, gray = jnp.asarray(original), original.mean(-1, keepdims=True)
        added = many("brightness", image, strength=0.3) - original
        assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-6
        assert -0.301 <= added.min() < -0.28
        assert 0.28 < added.max() <= 0.301
        contrasts = many("contrast", image)
        np.testing.assert_allclose(contrasts.mean((1, 2, 3)), original.mean(), atol=1e-5)
        np.testing.assert_allclose(
            np.sort(contrasts.std((1, 2, 3)))[[0, -1]], np.array([0.5, 1.5]) * original.std(), rtol=0.03
        )
        saturated, turned = many("saturation", image) - gray, many("hue", image, degrees=60.0) - gray
        for change in (saturated, turned):
            np.testing.assert_allclose(change.mean(-1), 0, atol=1e-5)
        factors = (saturated * (original - gray)).sum((1, 2, 3)) / ((original - gray) ** 2).sum()
        assert 0.5 <= factors.min() < 0.52 < 1.48 < factors.max() <= 1.5
        np.testing.assert_allclose(
            (turned**2).sum(-1), ((original - gray) ** 2).sum(-1)[None].repeat(300, 0), atol=1e-4
        )
        cosines = (turned * (original - gray)).sum((1, 2, 3)) / ((original - gray) ** 2).sum()
        assert 58 < np.degrees(np.arccos(cosines.min())) < 60.01

    def test_noise_and_cutout(self, photo):
        image = jnp.asarray(photo[:16, :16])
        np.testing.assert_allclose((many("noise", image, std=0.1) - photo[:16, :16]).std(), 0.1, rtol=0.01)
        covered = (many("cutout", image, 2000, fill=-1.0) == -1).all(-1)
        sizes = covered.sum((1, 2))
        assert sizes.max() == 64
        assert sizes.min() == 16  # a corner
        np.testing.assert_array_equal(covered.any(2).sum(1) * covered.any(1).sum(1), sizes)
        assert covered.any(0).all()

    def test_diff_augment_is_its_parts(self):
        images, keys = jax.random.uniform(KEY, (256, 16, 16, 3), minval=-1, maxval=1), jax.random.split(KEY, 256)
        augment = jax.jit(data.diff_augment, static_argnames="policy")
        np.testing.assert_array_equal(augment(keys, images, policy=()), images)
        moved = augment(keys, images, policy=("translation", "cutout"))
        zeros = (np.asarray(moved) == 0).all(-1).mean((1, 2))
        assert zeros.min() >= 1 / 16
        assert 0.25 <= zeros.max() <= 0.25 + 60 / 256
        shift = np.asarray(augment(keys, images, policy=("color",)) - images).mean((1, 2, 3))
        assert -0.501 <= shift.min() < -0.47
        assert 0.47 < shift.max() <= 0.501
        with pytest.raises(ValueError, match="policy: unknown value 'hue'; known: color"):
            data.diff_augment(keys, images, policy=("hue",))
