"""Corrections of color: taken back exactly, recorded as plain numbers, and a known varnish that is found again."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart import color
from jaxart.tasks import restore

COLORS = lambda values: st.tuples(values, values, values)  # noqa: E731
TONES = st.one_of(
    st.builds(
        restore.Varnish,
        COLORS(st.floats(-0.2, 1.5)),
        COLORS(st.floats(0, 0.1)),
        st.floats(0.5, 2),
        st.sampled_from([((1.0,),), ((0.5, 1.5), (1.0, 2.0), (0.0, 1.0))]),
    ),
    st.builds(restore.Fading, COLORS(st.floats(0, 0.6)), COLORS(st.floats(0.7, 1.5))),
    st.builds(
        lambda diagonal, side: restore.WhiteBalance(
            ((diagonal[0], side, 0.0), (0.0, diagonal[1], side), (side, 0.0, diagonal[2]))
        ),
        COLORS(st.floats(0.5, 2)),
        st.floats(-0.2, 0.2),
    ),
)


@pytest.fixture(scope="module")
def scene():
    """A picture of many colors with white paper at its left, [48, 64, 3], whose edges are as warm as paintings' are."""
    rng = np.random.default_rng(3)
    tones = np.repeat(np.repeat(rng.uniform(0.1, 0.8, (12, 16, 1)), 4, axis=0), 4, axis=1)
    tints = np.repeat(np.repeat(rng.uniform(-0.06, 0.06, (12, 16, 3)), 4, axis=0), 4, axis=1)
    picture = np.clip(tones * (1, 1, 0.88) + tints, 0.02, 0.9).astype(np.float32)
    picture[:, :8] = 0.9
    return picture


@settings(max_examples=25, deadline=None)
@given(tone=TONES, seed=st.integers(0, 99))
def test_corrections_can_be_taken_back(tone, seed):
    picture = np.random.default_rng(seed).uniform(0.05, 0.95, (6, 5, 3)).astype(np.float32)
    done = restore.apply_tone(tone, picture, clip=False)
    held = (
        np.asarray((done >= 0) & (done <= 1)).all(axis=-1)
        if isinstance(tone, restore.Fading)
        else np.ones((6, 5), bool)
    )
    np.testing.assert_allclose(restore.invert_tone(tone, done, clip=False)[held], picture[held], atol=2e-5)
    assert restore.read_tone(json.loads(json.dumps(restore.tone_record(tone)))) == tone


def test_records_of_another_kind_or_with_other_fields_are_refused():
    with pytest.raises(ValueError, match=r"kind: unknown value 'patina'; known: .*varnish"):
        restore.read_tone({"kind": "patina"})
    with pytest.raises(ValueError, match="expected the fields amount, gamma, got amount"):
        restore.read_tone({"kind": "fading", "amount": [0, 0, 0]})


def test_a_layer_absorbs_twice_and_scatters(scene):
    varnish = restore.Varnish((0.1, 0.3, 1.0), (0.02, 0.02, 0.03))
    seen = color.srgb_to_linear(restore.invert_tone(varnish, scene))
    expected = np.asarray(color.srgb_to_linear(scene)) * np.exp([[(-0.1, -0.3, -1.0)]]) + [[(0.02, 0.02, 0.03)]]
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    restored = jax.jit(restore.apply_tone)(varnish, restore.invert_tone(varnish, scene))
    np.testing.assert_allclose(restored, scene, atol=1e-5)


def test_sixteen_bits_stay(scene):
    deep = np.round(scene * 65535) / np.float32(65535) + np.float32(1 / 65535)
    varnish = restore.Varnish((0.1, 0.3, 1.0))
    back = restore.apply_tone(varnish, restore.invert_tone(varnish, deep))
    np.testing.assert_array_equal(np.rint(np.asarray(back) * 65535), np.rint(deep * 65535))


def test_a_varnish_is_told_from_none(scene):
    known = restore.Varnish((0.14, 0.34, 1.0), (0.02, 0.02, 0.02))
    seen = restore.invert_tone(known, scene)
    restored, found = restore.remove_varnish(seen)
    assert found.confidence > 0.9
    assert 0.5 < found.density[2] < 1.2
    error = lambda x: float(jnp.mean(jnp.linalg.norm(color.rgb_to_lab(x) - color.rgb_to_lab(scene), axis=-1)))  # noqa: E731
    assert error(restored) < error(seen) / 2
    same, none = restore.remove_varnish(scene)
    assert none.confidence < 0.5
    assert error(same) < 3


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pictures_without_edges_stay(value):
    for shape in ((1, 1, 3), (5, 4, 3)):
        picture = np.full(shape, value, np.float32)
        restored, found = restore.remove_varnish(picture)
        assert found.confidence == 0
        np.testing.assert_allclose(restored, picture, atol=1e-6)


def test_a_white_place_becomes_neutral(scene):
    known = restore.Varnish((float(np.exp(-2)), 0.3, 1.0))
    restored, found = restore.remove_varnish(restore.invert_tone(known, scene), white=[restore.Region(0, 0, 8, 48)])
    np.testing.assert_allclose(found.density, known.density, atol=1e-4)
    assert found.confidence == 1
    np.testing.assert_allclose(restored, scene, atol=1e-4)
    wrong = restore.varnish_of_white(scene, [(0, 0, 64, 48)])
    assert wrong.confidence < 0.9


def test_white_places_tell_where_the_layer_is_thicker(scene):
    known = restore.Varnish((0.9 * float(np.exp(-2)), 0.3, 0.9), thickness=((0.5, 0.5), (1.5, 1.5)))
    seen = restore.invert_tone(known, scene)
    places = [restore.Region(0, y, 8, 4) for y in range(0, 48, 8)]
    even, uneven = (restore.remove_varnish(seen, white=each)[0] for each in (places[:1], places))
    left = lambda x: float(np.abs(np.asarray(x)[:, :8] - 0.9).max())  # noqa: E731
    assert left(uneven) < 0.09 < 0.15 < left(even)


def test_a_cleaned_part_tells_density_and_veil(scene):
    known = restore.Varnish((0.1, 0.3, 1.0), (0.03, 0.02, 0.02))
    part, region = scene[8:40, 10:60], restore.Region(10, 8, 50, 32)
    found = restore.varnish_of_cleaned(restore.invert_tone(known, scene), part, region=region)
    np.testing.assert_allclose(found.density, known.density, atol=1e-3)
    np.testing.assert_allclose(found.veil, known.veil, atol=1e-3)
    assert found.confidence > 0.999


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"white": [restore.Region(60, 0, 8, 8)]}, "within 64 x 48 pixels, got 60,0,8,8"),
        ({"white": [restore.Region(0, 0, 0, 8)]}, "got 0,0,0,8"),
        ({"cleaned": np.full((4, 4, 3), 0.5, np.float32)}, "a single tone"),
        ({"cleaned": np.zeros((4, 4)), "white": [restore.Region(0, 0, 1, 1)]}, "got both"),
    ],
)
def test_what_tells_nothing_is_refused(scene, arguments, message):
    with pytest.raises(ValueError, match=message):
        restore.remove_varnish(scene, **arguments)


def test_black_and_gray_pictures_are_refused():
    with pytest.raises(ValueError, match="black in a channel"):
        restore.varnish_of_white(np.zeros((4, 4, 3), np.float32), [(0, 0, 2, 2)])
    with pytest.raises(ValueError, match=r"\[H, W, 3\] in color, got \(4, 4, 1\)"):
        restore.estimate_varnish(np.zeros((4, 4, 1), np.float32))
    with pytest.raises(ValueError, match=r"floats in .* got uint8"):
        restore.estimate_varnish(np.zeros((4, 4, 3), np.uint8))


def test_faded_densities_come_back(scene):
    light = np.asarray(color.srgb_to_linear(scene), np.float64)
    faded = color.linear_to_srgb(10 ** (np.log10(light) * [[(1, 0.6, 0.8)]]))
    restored, fading = restore.restore_fading(faded, (0, 0.4, 0.2))
    np.testing.assert_allclose(restored, scene, atol=1e-5)
    np.testing.assert_allclose(restore.invert_tone(fading, restored), faded, atol=1e-5)
    ends = jnp.float32([[[0, 0, 0], [1, 1, 1]]])
    np.testing.assert_allclose(restore.restore_fading(ends, 0.5, gamma=1.3)[0], ends, atol=1e-6)
    with pytest.raises(ValueError, match="amount: expected 0 to less than 1"):
        restore.restore_fading(scene, 1.0)
    with pytest.raises(ValueError, match="gamma: expected more than 0"):
        restore.restore_fading(scene, 0.5, gamma=0)
    with pytest.raises(ValueError, match="three for R, G and B"):
        restore.restore_fading(scene, (0.1, 0.2))


@pytest.mark.parametrize("adaptation", restore.ADAPTATIONS)
def test_white_is_balanced_and_stays_as_bright(scene, adaptation):
    warm = color.linear_to_srgb(color.srgb_to_linear(scene) * jnp.float32([[(1.0, 0.85, 0.6)]]))
    white = np.asarray(warm[0, 0])
    balanced, balance = restore.balance_white(warm, white=white.tolist(), adaptation=adaptation)
    assert np.ptp(np.asarray(balanced[0, 0])) < 1e-4
    brightness = lambda x: float(color.srgb_to_linear(x) @ jnp.float32(color.LINEAR_TO_XYZ[1]))  # noqa: E731
    np.testing.assert_allclose(brightness(balanced[0, 0]), brightness(white), rtol=1e-4)
    np.testing.assert_allclose(restore.invert_tone(balance, balanced), warm, atol=1e-4)
    estimated, _ = restore.balance_white(warm, adaptation=adaptation)
    assert np.ptp(np.asarray(estimated[0, 0])) < np.ptp(white) / 3
    with pytest.raises(ValueError, match="adaptation"):
        restore.balance_white(warm, adaptation="cat02")
    with pytest.raises(ValueError, match="three positive numbers"):
        restore.balance_white(warm, white=(0, 1, 1))
