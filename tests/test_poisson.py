"""Poisson's equation on rectangles and regions, against a direct solver; blending and filling with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from jaxart import ops
from jaxart.tasks import compose, restore

ROWS, COLUMNS = np.mgrid[:45, :38] / 40


def _regions():
    random = np.random.default_rng(0).random(ROWS.shape)
    found = {
        "disc": (ROWS - 0.5) ** 2 + (COLUMNS - 0.5) ** 2 < 0.16,
        "half of the pixels": random < 0.5,
        "nearly all pixels": random < 0.97,
        "up to three borders": COLUMNS < 0.6,
        "several parts": np.sin(9 * COLUMNS) + np.cos(11 * ROWS + 3 * COLUMNS) > 0.3,
        "one pixel": (ROWS == 0.25) & (COLUMNS == 0.5),
    }
    return {name: region & (random < 1) for name, region in found.items()}


REGIONS = _regions()


def laplacian_matrix(shape):
    """Return less the Laplacian of the graph of pixels as a sparse matrix."""
    height, width = shape
    number = np.arange(height * width).reshape(shape)
    ends = [(number[1:], number[:-1]), (number[:, 1:], number[:, :-1])]
    one, other = (np.concatenate([pair[side].ravel() for pair in ends]) for side in (0, 1))
    count = len(one)
    links = scipy.sparse.csr_matrix((np.ones(count), (one, other)), (number.size, number.size))
    links = links + links.T
    return (scipy.sparse.diags(np.asarray(links.sum(0)).ravel()) - links).tocsc()


def direct(matrix, right, region):
    """Solve for the pixels of a region; zeros elsewhere."""
    rows = np.flatnonzero(region)
    found = np.zeros((region.size, right.shape[-1]))
    inner = matrix[rows][:, rows].tocsc()
    found[rows] = scipy.sparse.linalg.splu(inner).solve(right.reshape(region.size, -1)[rows].astype(np.float64))
    return found.reshape(right.shape)


@pytest.fixture
def right(rng):
    return rng.standard_normal((*ROWS.shape, 2)).astype(np.float32)


def test_the_laplacian_is_that_of_the_graph(right):
    expected = -laplacian_matrix(ROWS.shape) @ right.reshape(-1, 2)
    np.testing.assert_allclose(np.asarray(ops.laplacian(right)).reshape(-1, 2), expected, atol=1e-5)


def test_rectangles_are_solved_exactly(right):
    found = np.pad(ops.solve_rectangle(right), ((1, 1), (1, 1), (0, 0)))
    again = np.asarray(ops.laplacian(found))[1:-1, 1:-1]
    np.testing.assert_allclose(again, right, atol=2e-5)


@pytest.mark.parametrize("name", REGIONS)
def test_regions_are_solved_as_by_a_direct_solver(name, right):
    region = REGIONS[name]
    found = np.asarray(jax.jit(ops.solve_region)(right, region))
    expected = direct(laplacian_matrix(region.shape), -right, region)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert not found[~region].any()


def test_a_screen_holds_to_zero(right):
    region = REGIONS["disc"]
    matrix = laplacian_matrix(region.shape) + 0.3 * scipy.sparse.identity(region.size)
    expected = direct(matrix.tocsc(), -right, region)
    found = ops.solve_region(right, region, screen=0.3)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["disc", "half of the pixels", "several parts"])
def test_plates_are_solved_as_by_a_direct_solver(name, right):
    region, matrix = REGIONS[name], laplacian_matrix(ROWS.shape)
    expected = direct((matrix @ matrix).tocsc(), right, region)
    found = np.asarray(jax.jit(functools.partial(ops.solve_plate, tolerance=1e-6))(right, region))
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("solve", [ops.solve_region, ops.solve_plate])
def test_solutions_can_be_differentiated(solve, right, rng):
    region, direction = REGIONS["disc"], rng.standard_normal(right.shape).astype(np.float32)
    weights = rng.standard_normal(right.shape).astype(np.float32)
    value = jax.jit(lambda right: jnp.sum(weights * solve(right, region)))
    slope = float(jnp.vdot(jax.jit(jax.grad(value))(right), direction))
    assert slope == pytest.approx(float(value(right + direction) - value(right)), rel=2e-3)  # it is linear


# Blending


@pytest.fixture
def pictures(rng):
    return rng.random((2, *ROWS.shape, 3), np.float32)


@pytest.mark.parametrize("gradients", ["import", "mixed"])
@pytest.mark.parametrize("screen", [0.0, 0.2])
def test_a_picture_set_into_itself_is_what_it_was(gradients, screen, pictures):
    found = compose.poisson_blend(
        pictures[0], pictures[0], REGIONS["several parts"], gradients=gradients, screen=screen
    )
    np.testing.assert_array_equal(found, pictures[0])


@pytest.mark.parametrize("gradients", compose.GRADIENTS)
def test_blending_solves_its_equation_and_leaves_what_is_outside(gradients, pictures):
    (scene, other), region = pictures, REGIONS["disc"]
    found = np.asarray(jax.jit(functools.partial(compose.poisson_blend, gradients=gradients))(scene, other, region))
    np.testing.assert_array_equal(found[~region], scene[~region])
    if gradients == "monochrome":
        other = np.broadcast_to(other @ np.float32([0.299, 0.587, 0.114])[:, None], other.shape)
    wanted = [np.diff(other.astype(np.float64), axis=axis) for axis in (0, 1)]
    if gradients == "mixed":
        theirs = [np.diff(scene.astype(np.float64), axis=axis) for axis in (0, 1)]
        wanted = [np.where(np.abs(b) > np.abs(a), b, a) for a, b in zip(wanted, theirs, strict=True)]
    flow = np.asarray(ops.divergence(*map(jnp.asarray, wanted)), np.float64)
    matrix = laplacian_matrix(region.shape)
    outside = np.where(region[..., None], 0, scene).reshape(-1, 3)
    expected = direct(matrix, (-flow.reshape(-1, 3) - matrix @ outside).reshape(scene.shape), region)
    np.testing.assert_allclose(found[region], expected[region], atol=1e-4)


def test_tones_of_the_other_picture_do_not_count_but_where_a_screen_holds_them(pictures):
    (scene, other), region = pictures, REGIONS["disc"]
    blend = functools.partial(compose.poisson_blend, scene, region=region)
    np.testing.assert_allclose(blend(other + 0.25), blend(other), atol=1e-5)
    held = [np.abs(blend(other, screen=screen) - other)[region].mean() for screen in (0.0, 0.1, 1000.0)]
    assert held[0] > held[1] > held[2]
    assert held[2] < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": np.ones(ROWS.shape, bool)}, "some pixels inside and some outside"),
        ({"region": np.zeros(ROWS.shape, bool)}, "some pixels inside and some outside"),
        ({"region": np.ones(ROWS.shape)}, "expected true and false, got float"),
        ({"region": np.ones((3, 3), bool)}, r"of one size and a region \[H, W\]"),
        ({"gradients": "none"}, "gradients: unknown value 'none'"),
        ({"screen": -1.0}, "screen: expected at least 0"),
    ],
)
def test_blends_that_cannot_be_are_refused(change, message, pictures):
    given = {"scene": pictures[0], "other": pictures[1], "region": REGIONS["disc"], **change}
    with pytest.raises(ValueError, match=message):
        compose.poisson_blend(**given)


# Filling


@pytest.mark.parametrize("name", restore.SMOOTH_FILLS)
def test_fills_leave_what_is_known_and_do_not_look_at_what_is_not(name, pictures):
    holes, fill = REGIONS["several parts"], jax.jit(restore.SMOOTH_FILLS[name])
    found = np.asarray(fill(pictures[0], holes))
    np.testing.assert_array_equal(found[~holes], pictures[0][~holes])
    hidden = np.where(holes[..., None], np.nan, pictures[0])
    np.testing.assert_array_equal(fill(hidden, holes), found)
    np.testing.assert_array_equal(fill(pictures[0], np.zeros_like(holes)), pictures[0])


def test_a_membrane_goes_on_with_slopes_and_a_plate_with_curves():
    holes = REGIONS["disc"]
    slope = np.stack([ROWS, COLUMNS, 1 - ROWS - COLUMNS], -1).astype(np.float32)
    np.testing.assert_allclose(restore.fill_harmonic(slope, holes), slope, atol=1e-4)
    curve = np.stack([ROWS * COLUMNS, ROWS**2 - COLUMNS**2, ROWS**3 - 3 * ROWS * COLUMNS**2], -1).astype(np.float32)
    np.testing.assert_allclose(restore.fill_biharmonic(curve, holes), curve, atol=2e-3)


def test_total_variation_goes_on_with_an_edge():
    edge = np.repeat((COLUMNS > 0.45).astype(np.float32)[..., None], 3, axis=-1)
    holes = (np.abs(ROWS - 0.5) < 0.1) & (np.abs(COLUMNS - 0.45) < 0.1)
    found = np.asarray(jax.jit(restore.fill_total_variation)(edge, holes))
    membrane = np.asarray(restore.fill_harmonic(edge, holes))
    assert np.abs(found - edge).mean() < 0.3 * np.abs(membrane - edge).mean()


@pytest.mark.parametrize("name", restore.SMOOTH_FILLS)
def test_holes_that_cannot_be_filled_are_refused(name, pictures):
    for holes, message in (
        (np.ones(ROWS.shape, bool), "everything is missing"),
        (np.ones(ROWS.shape), "expected true and false"),
        (np.ones((2, 2), bool), "holes .* of its size"),
    ):
        with pytest.raises(ValueError, match=message):
            restore.SMOOTH_FILLS[name](pictures[0], holes)
