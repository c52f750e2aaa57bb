"""Morphology, and finding cracks, scratches and dust with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxart import ops
from jaxart.tasks import restore

SIDE = 96


@pytest.fixture(scope="module")
def canvas():
    """A picture with soft forms and some grain."""
    random = np.random.default_rng(1)
    forms = scipy.ndimage.gaussian_filter(random.random((SIDE, SIDE, 3)), (12, 12, 0))
    forms = 0.5 + (forms - forms.mean()) / forms.std() * 0.1
    return (forms + 0.01 * random.standard_normal(forms.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def crack():
    """A bent line of one to two pixels."""
    found, columns = np.zeros((SIDE, SIDE), bool), np.arange(8, 80)
    rows = (40 + 12 * np.sin(columns / 12)).round().astype(int)
    found[rows, columns] = found[rows + 1, columns] = True
    return found


def score(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize("side", [3, 5])
def test_squares_are_scipy_s(side, rng):
    x = rng.random((17, 20), np.float32)
    for mine, theirs, beyond in (
        (ops.dilate, scipy.ndimage.maximum_filter, -np.inf),
        (ops.erode, scipy.ndimage.minimum_filter, np.inf),
    ):
        np.testing.assert_array_equal(mine(x, side), theirs(x, side, mode="constant", cval=beyond))
        np.testing.assert_array_equal(mine(x > 0.5, side), theirs((x > 0.5) * 1.0, side, mode="constant", cval=beyond))
    assert (np.asarray(ops.opened(x, side)) <= x).all()
    assert (np.asarray(ops.closed(x, side)) >= x).all()


def test_sums_of_squares_are_scipy_s(rng):
    x = rng.random((17, 20), np.float32)
    expected = scipy.ndimage.uniform_filter(x.astype(np.float64), 5, mode="constant") * 25
    np.testing.assert_allclose(ops.box_sums(x, 5), expected, atol=1e-4)


def test_lines_keep_what_is_long_in_any_direction():
    for angle in np.pi * np.arange(8) / 8:
        x = np.zeros((41, 41), np.float32)
        rows, columns = (ops.line_offsets(21, angle) + 20).T
        x[rows, columns] = 1
        np.testing.assert_array_equal(ops.open_lines(x, 21, 8), x)
        assert not np.asarray(ops.open_lines(x, 23, 8)).any()
        assert np.asarray(ops.line_means(x, 21, 8)).max() == pytest.approx(1)


def test_parts_with_a_seed_stay():
    region = np.zeros((9, 9), bool)
    region[1:4, 1:4] = region[4, 4] = region[6:, 7:] = True
    seeds = np.zeros_like(region)
    seeds[4, 4] = seeds[8, 0] = True
    found = np.asarray(jax.jit(ops.reconstruct)(seeds, region))
    expected = region.copy()
    expected[6:, 7:] = False
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("shade", "sign"), [("dark", -1), ("light", 1), ("both", 1)])
def test_cracks_are_found(shade, sign, canvas, crack):
    damaged = canvas + sign * 0.3 * crack[..., None].astype(np.float32)
    likely = restore.detect_cracks(damaged, shade=shade)
    assert likely.shape == (SIDE, SIDE)
    assert 0 <= likely.min() <= likely.max() <= 1
    assert score(np.asarray(restore.damage_mask(likely)), crack) > 0.85


def test_where_there_is_nothing_nothing_is_found(canvas, crack):
    assert not restore.damage_mask(restore.detect_cracks(canvas)).any()
    dark = canvas - 0.3 * crack[..., None].astype(np.float32)
    assert score(np.asarray(restore.damage_mask(restore.detect_cracks(dark, shade="light"))), crack) < 0.05
    flat = np.full((1, 1, 1), 0.5, np.float32)
    assert not restore.damage_mask(restore.detect_cracks(flat)).any()


def test_scratches_may_have_gaps(canvas):
    scratch = np.zeros((SIDE, SIDE), bool)
    scratch[np.arange(5, 90), np.arange(5, 90) // 3 + 20] = True
    scratch[::9] = False
    damaged = canvas + 0.3 * scratch[..., None].astype(np.float32)
    found = np.asarray(restore.damage_mask(restore.detect_scratches(damaged), shortest=5))
    assert score(found, scratch) > 0.6


def test_dust_is_found_and_lines_are_not_dust(canvas, crack):
    dust = np.zeros((SIDE, SIDE), bool)
    for row, column in ((20, 30), (50, 70), (80, 15)):
        dust[row : row + 3, column : column + 3] = True
    damaged = canvas + (0.3 * dust - 0.3 * crack)[..., None].astype(np.float32)
    found = np.asarray(restore.damage_mask(restore.detect_dust(damaged), shortest=1))
    assert score(found, dust) > 0.8


def test_detections_compile_to_what_they_are(canvas, crack):
    damaged = jnp.asarray(canvas - 0.3 * crack[..., None])
    compiled = jax.jit(restore.detect_cracks, static_argnames="shade")(damaged)
    np.testing.assert_allclose(compiled, restore.detect_cracks(damaged), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: restore.detect_cracks(x[..., 0]), "expected \\[H, W, C\\]"),
        (lambda x: restore.detect_cracks(x, shade="gray"), "known: "),
        (lambda x: restore.detect_dust(x, width=4), "width: expected an odd number"),
        (lambda x: restore.detect_scratches(x, length=1), "length: expected an odd number"),
        (lambda x: restore.damage_mask(x), "likely: expected \\[H, W\\]"),
        (lambda x: restore.damage_mask(x[..., 0], sure=0.4), "sure: expected at least"),
    ],
)
def test_what_cannot_be_is_refused(call, message, canvas):
    with pytest.raises(ValueError, match=message):
        call(canvas)
