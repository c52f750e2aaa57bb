"""Mattes, seams, colors and style of pasted objects; blending in windows; the command compose."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.csgraph

from jaxart import cli, color, io
from jaxart.tasks import compose

ROWS, COLUMNS = np.mgrid[:24, :28].astype(np.float32)
AWAY = np.hypot(ROWS - 11.5, COLUMNS - 13.5)
DISC = AWAY < 7
SOFT = np.clip((8 - AWAY) / 3, 0, 1).astype(np.float32)


@pytest.fixture
def pictures(rng):
    """Two smooth pictures, [24, 28, 3]."""
    small = rng.random((2, 6, 7, 3), np.float32)
    return np.asarray(jax.image.resize(small, (2, *ROWS.shape, 3), "bilinear"))


def slope(function, x, direction, size):
    """Return the derivative of a function along a direction, as JAX has it and by differences."""
    own = float(jnp.vdot(jax.grad(function)(x), direction))
    return own, float(function(x + size * direction) - function(x - size * direction)) / (2 * size)


# Regions


def test_regions_grow_and_shrink_by_distances():
    np.testing.assert_array_equal(compose.grown(DISC, 0), DISC)
    point = (ROWS == 11) & (COLUMNS == 13)
    distance = np.hypot(ROWS - 11, COLUMNS - 13)
    np.testing.assert_array_equal(compose.grown(point, 4), distance <= 4)
    np.testing.assert_array_equal(compose.shrunk(~point, 4), distance > 4)
    known = np.asarray(compose.trimap(SOFT, 2, 3))
    assert set(np.unique(known)) == {0, 0.5, 1}
    assert (known == 1).sum() < (SOFT > 0.5).sum() < (known > 0).sum()


# Mattes


def guided_directly(guide, values, radius, epsilon):
    """Filter by least squares in each window."""
    (height, width, channels), kinds = guide.shape, values.shape[-1]
    slopes = np.zeros((height, width, channels + 1, kinds))

    def window(y, x):
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    for y, x in np.ndindex(height, width):
        colors, levels = (each[window(y, x)].reshape(-1, each.shape[-1]) for each in (guide, values))
        away = colors - colors.mean(0)
        found = np.linalg.solve(
            away.T @ away / len(away) + epsilon * np.eye(channels), away.T @ (levels - levels.mean(0)) / len(away)
        )
        slopes[y, x] = np.vstack([found, levels.mean(0) - colors.mean(0) @ found])
    means = np.array([[slopes[window(y, x)].mean((0, 1)) for x in range(width)] for y in range(height)])
    return np.einsum("yxc,yxck->yxk", guide, means[:, :, :-1]) + means[:, :, -1]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_guided_filter_is_linear_regression_in_each_window(channels, pictures):
    guide, values = pictures[0][..., :channels], pictures[1][..., :2]
    found = jax.jit(functools.partial(compose.guided_filter, radius=3, epsilon=1e-3))(guide, values)
    np.testing.assert_allclose(found, guided_directly(guide.astype(float), values, 3, 1e-3), atol=1e-4)
    wide = compose.guided_filter(guide, values, radius=60, epsilon=1e6)  # larger than the picture: its mean
    np.testing.assert_allclose(wide, np.broadcast_to(values.mean((0, 1)), values.shape), atol=1e-4)
    assert compose.guided_filter(guide[:1, :1], values[:1, :1]).tolist() == values[:1, :1].tolist()


def matting_matrix(picture, epsilon):
    """Return the matting Laplacian as a dense matrix."""
    height, width, channels = picture.shape
    number, made = np.arange(height * width).reshape(height, width), np.zeros((height * width,) * 2)
    for y, x in np.ndindex(height - 2, width - 2):
        here = number[y : y + 3, x : x + 3].ravel()
        away = picture.reshape(-1, channels)[here]
        away = away - away.mean(0)
        inverse = np.linalg.inv(away.T @ away / 9 + epsilon / 9 * np.eye(channels))
        made[np.ix_(here, here)] += np.eye(9) - (1 + away @ inverse @ away.T) / 9
    return made


@pytest.fixture
def trimap():
    return np.asarray(compose.trimap(SOFT, 3, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_matting_laplacian_is_that_of_the_matrix(channels, pictures, rng):
    picture, x = pictures[0][..., :channels], rng.random(ROWS.shape, np.float32)
    laplacian, matrix = compose.MattingLaplacian(picture, 1e-3), matting_matrix(picture.astype(float), 1e-3)
    np.testing.assert_allclose(np.asarray(laplacian(x)).ravel(), matrix @ x.ravel(), atol=1e-4)
    np.testing.assert_allclose(np.asarray(laplacian.diagonal()).ravel(), np.diag(matrix), atol=1e-4)


def test_a_matte_is_that_of_a_dense_solver_and_keeps_what_is_known(pictures, trimap):
    alpha = 0.2 * trimap[..., None] + 0.8 * SOFT[..., None]
    picture = alpha * pictures[0] + (1 - alpha) * pictures[1]
    matrix, unknown = matting_matrix(picture.astype(float), 1e-3), ((trimap > 0) & (trimap < 1)).ravel()
    expected = trimap.ravel().astype(float)
    right = -matrix[np.ix_(unknown, ~unknown)] @ expected[~unknown]
    expected[unknown] = np.linalg.solve(matrix[np.ix_(unknown, unknown)], right).clip(0, 1)
    find = jax.jit(functools.partial(compose.closed_form_matte, epsilon=1e-3, tolerance=1e-6))
    found = np.asarray(find(picture, trimap))
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-3)
    np.testing.assert_array_equal(found.ravel()[~unknown], trimap.ravel()[~unknown])


def test_colors_under_a_matte_are_those_of_the_object():
    object_, behind = np.float32([0.8, 0.3, 0.1]), np.float32([0.1, 0.5, 0.9])
    picture = SOFT[..., None] * object_ + (1 - SOFT[..., None]) * behind
    alpha = np.asarray(compose.closed_form_matte(picture, compose.trimap(SOFT, 4, 4)))
    np.testing.assert_allclose(alpha, SOFT, atol=0.02)
    found = np.asarray(jax.jit(compose.foreground)(picture, SOFT))
    np.testing.assert_array_equal(found[SOFT == 1], picture[SOFT == 1])
    assert np.abs(found - object_)[SOFT > 0.1].max() < 0.03
    assert np.abs(picture - object_)[SOFT > 0.1].max() > 0.5


def test_mattes_can_be_differentiated(pictures, trimap, rng):
    direction, weights = (rng.standard_normal(pictures[0].shape).astype(np.float32) for _ in range(2))
    picture = pictures[0]
    filtered = jax.jit(lambda x: jnp.sum(weights * compose.guided_filter(x, pictures[1], radius=2, epsilon=1e-2)))
    colored = jax.jit(lambda x: jnp.sum(weights * compose.foreground(x, SOFT)))
    find = functools.partial(compose.closed_form_matte, trimap=trimap, epsilon=0.1, tolerance=1e-6)
    matted = jax.jit(lambda x: jnp.sum(weights[..., 0] * find(x)))
    for function, size in ((filtered, 3e-3), (colored, 3e-3), (matted, 3e-3)):
        own, expected = slope(function, picture, direction, size)
        assert own == pytest.approx(expected, rel=3e-2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: compose.guided_filter(p, p[:3]), "values .* of its size"),
        (lambda p: compose.guided_filter(p, p, radius=0), "positive radius"),
        (lambda p: compose.closed_form_matte(p, SOFT[:3]), "a trimap .* of its size"),
        (lambda p: compose.closed_form_matte(p[:2], SOFT[:2]), "at least 3 x 3"),
        (lambda p: compose.closed_form_matte(p, SOFT * 0.5), "some pixels of the object"),
        (lambda p: compose.foreground(p, SOFT[:3]), "a matte .* of its size"),
        (lambda p: compose.seam(p, p, DISC, DISC[:3]), "two regions"),
        (lambda p: compose.seam(p, p, SOFT, DISC), "true and false"),
        (lambda p: compose.seam(p, p, DISC & False, DISC), "core: expected some pixels"),
        (lambda p: compose.harmonize(p, p, SOFT[:3]), "a mask"),
        (lambda p: compose.harmonize(p, p, SOFT, matching="hue"), "matching: unknown value 'hue'"),
        (lambda p: compose.set_into(p, p, SOFT, compose.Plan(blend="hue")), "blend: unknown value 'hue'"),
        (lambda p: compose.set_into(p, p[:3], SOFT, compose.Plan()), "mask: expected the picture's"),
        (lambda p: compose.set_into(p[..., 0], p, SOFT, compose.Plan()), "expected two pictures"),
    ],
)
def test_what_cannot_be_is_refused(call, message, pictures):
    with pytest.raises(ValueError, match=message):
        call(pictures[0])


# Seams


def test_a_seam_is_the_minimal_cut(pictures):
    (scene, other), core, outer = pictures, AWAY < 3, AWAY < 10
    region = np.asarray(jax.jit(functools.partial(compose.seam, rounds=1))(scene, other, core, outer))
    assert region[core].all()
    assert not region[~outer].any()
    apart, rim, count = scene - other, np.zeros(3), 0
    for axis in (0, 1):
        one, two = (np.take(apart, range(*ends), axis) for ends in ((0, apart.shape[axis] - 1), (1, apart.shape[axis])))
        parted = np.diff(outer.astype(int), axis=axis) != 0
        rim, count = rim + ((one + two) / 2)[parted].sum(0), count + parted.sum()
    squares = ((apart - rim / count) ** 2).mean(-1)
    squares /= squares[outer & ~core].mean()
    costs = [(squares[1:] + squares[:-1]) / 2 + 0.1, (squares[:, 1:] + squares[:, :-1]) / 2 + 0.1]
    own = sum((cost * np.abs(np.diff(region.astype(int), axis=a))).sum() for a, cost in enumerate(costs))
    number, unit, much = np.arange(core.size).reshape(core.shape), 1000, 10**8
    ends = [(number[1:], number[:-1]), (number[:, 1:], number[:, :-1])]
    links = [(*pair, cost * unit) for pair, cost in zip(ends, costs, strict=True)]
    links += [(two, one, cost) for one, two, cost in links]
    links.append((np.full(core.sum(), core.size), number[core], np.full(core.sum(), much)))
    links.append((number[~outer], np.full((~outer).sum(), core.size + 1), np.full((~outer).sum(), much)))
    begin, end, cost = (np.concatenate([np.ravel(each) for each in part]) for part in zip(*links, strict=True))
    graph = scipy.sparse.csr_matrix((cost.round().astype(np.int32), (begin, end)), (core.size + 2,) * 2)
    least = scipy.sparse.csgraph.maximum_flow(graph, core.size, core.size + 1).flow_value / unit
    assert own == pytest.approx(least, rel=0.01)


def test_a_seam_goes_around_what_differs(pictures):
    scene = pictures[0]
    other = scene + 0.2  # the same everywhere: no seam after blending
    other[:, 20:] = 1 - scene[:, 20:]
    region = np.asarray(compose.seam(scene, other, AWAY < 3, AWAY < 10))
    assert not region[:, 20:].any()
    np.testing.assert_array_equal(compose.seam(scene, other, DISC, DISC), DISC)


# Colors


def test_lab_is_as_published_and_comes_back(pictures):
    published = {
        (1, 0, 0): (53.24, 80.09, 67.20),
        (0, 1, 0): (87.73, -86.18, 83.18),
        (0, 0, 1): (32.30, 79.19, -107.86),
    }
    for rgb, lab in published.items():
        np.testing.assert_allclose(color.rgb_to_lab(np.float32(rgb)), lab, atol=0.02)
    np.testing.assert_allclose(color.lab_to_rgb(color.rgb_to_lab(pictures)), pictures, atol=1e-5)
    dark = np.float32([[0, 0, 0], [0.01, 0.002, 0.03]])
    np.testing.assert_allclose(color.lab_to_rgb(color.rgb_to_lab(dark)), dark, atol=1e-5)
    assert np.isfinite(jax.jacobian(color.rgb_to_lab)(dark[0])).all()


@pytest.mark.parametrize("matching", compose.MATCHINGS)
def test_colors_of_an_object_become_those_around_it(matching, pictures):
    scene, other = 0.3 + 0.3 * pictures[0], 0.4 + 0.2 * pictures[1] * np.float32([1, 0.7, 0.4])
    weights = compose.surroundings(SOFT, 1.0)
    harmonize = jax.jit(functools.partial(compose.harmonize, matching=matching))
    target = color.colors_of(color.rgb_to_lab(scene), weights)
    found = color.colors_of(color.rgb_to_lab(harmonize(scene, other, SOFT, strength=1.0)), SOFT)
    np.testing.assert_allclose(found.mean, target.mean, atol=0.3)
    if matching != "mean":
        deviations = [np.sqrt(np.diag(each.covariance)) for each in (found, target)]
        np.testing.assert_allclose(*deviations, rtol=0.15)
    np.testing.assert_allclose(harmonize(scene, other, SOFT, strength=0.0), other, atol=1e-5)
    gray = compose.harmonize(scene[..., :1], other[..., :1], SOFT, matching=matching)
    assert gray.shape == (*SOFT.shape, 1)


def test_what_surrounds_a_place_counts_more():
    weights = np.asarray(compose.surroundings(np.pad(SOFT, 30), 1.0))
    assert weights[42, 44] == 0
    assert weights[42, 54] > 10 * weights[42, 80] > 0


@pytest.mark.parametrize("matching", compose.MATCHINGS)
def test_harmonizing_can_be_differentiated(matching, pictures, rng):
    scene, other = 0.3 + 0.4 * pictures
    direction, weights = (rng.standard_normal(scene.shape).astype(np.float32) for _ in range(2))
    value = jax.jit(lambda x: jnp.sum(weights * compose.harmonize(scene, x, SOFT, matching=matching)))
    own, expected = slope(value, other, direction, 2e-3)
    assert own == pytest.approx(expected, rel=2e-2)


# Blending in windows


@pytest.mark.parametrize(("gradients", "screen"), [("import", 0.0), ("mixed", 0.1)])
def test_windows_and_rectangles_are_what_the_whole_is(gradients, screen, pictures):
    scene, other = (
        np.pad(each, ((10, 20), (25, 5), (0, 0)), mode="reflect") for each in np.tile(pictures, (1, 2, 2, 1))
    )
    y, x = np.mgrid[: scene.shape[0], : scene.shape[1]]
    regions = {
        "disc": np.hypot(y - 30, x - 40) < 15,
        "rectangle": (y > 20) & (y < 50) & (x > 15) & (x < 69),
        "at the corner": (y < 20) & (x < 30),
    }
    blend = functools.partial(compose.poisson_blend, gradients=gradients, screen=screen)
    whole = jax.jit(blend)
    for region in regions.values():
        found = np.asarray(blend(scene, other, region))
        np.testing.assert_allclose(found, whole(scene, other, region), atol=2e-5)
        np.testing.assert_array_equal(found[~region], scene[~region])
        np.testing.assert_array_equal(blend(scene, scene, region), scene)


def test_windowed_blends_can_be_differentiated(pictures, rng):
    scene, other = pictures
    direction, weights = (rng.standard_normal(scene.shape).astype(np.float32) for _ in range(2))
    for region in (DISC, (ROWS > 3) & (ROWS < 20) & (COLUMNS > 5) & (COLUMNS < 21)):

        @jax.jit
        def value(x, region=region):
            return jnp.sum(weights * compose.poisson_blend(scene, x, region))

        own, expected = slope(value, other, direction, 0.5)  # it is linear
        assert own == pytest.approx(expected, rel=2e-3)


# All of it


@pytest.mark.parametrize("blend", compose.BLENDS)
def test_a_scene_with_an_object_is_the_scene_around_it(blend, pictures):
    scene, picture = np.tile(pictures[0], (2, 2, 1)), pictures[1]
    plan, said = compose.Plan(at=(20, 15), strength=0.5, blend=blend), []
    found = compose.set_into(scene, picture, SOFT, plan, on_step=said.append)
    away = np.hypot(np.arange(48)[:, None] - 14.5, np.arange(56)[None] - 19.5)
    np.testing.assert_array_equal(found.mask > 0, away < 8)
    np.testing.assert_array_equal(found.picture[found.mask == 0], scene[found.mask == 0])
    assert (found.picture != scene)[found.mask == 1].mean() > 0.9
    assert len(said) == 1 + (blend != "none")


# Painting


@pytest.fixture(scope="module")
def place():
    """A scene, it with an object, and the mask of the object, at the lower border."""
    rng = np.random.default_rng(2)
    scene = rng.random((64, 150, 3), np.float32)
    mask = np.zeros((64, 150), np.float32)
    mask[40:, 60 : 60 + 28] = SOFT
    return scene, np.where(mask[..., None] > 0, np.float32([0.8, 0.2, 0.1]), scene), mask


def test_an_object_is_painted_as_what_is_around_it(place, variables):
    scene, pasted, mask = place
    heard = []
    paint = functools.partial(compose.paint_like, variables=variables, steps=3, on_step=heard.append)
    found = paint(scene, pasted, mask, key=jax.random.key(1))
    np.testing.assert_array_equal(found[mask == 0], scene[mask == 0])
    assert np.abs(found - pasted)[mask == 1].mean() > 0.01
    assert heard[-1].step == heard[-1].steps == 3
    np.testing.assert_array_equal(paint(scene, pasted, mask, key=jax.random.key(1)), found)
    assert (paint(scene, pasted, mask, key=jax.random.key(2)) != found).any()
    stopped = paint(scene, pasted, mask, key=jax.random.key(1), stop=lambda: True)
    assert stopped.shape == scene.shape


def test_painting_that_cannot_be_is_refused(place, variables):
    scene, pasted, mask = place
    paint = functools.partial(compose.paint_like, variables=variables, key=jax.random.key(0))
    with pytest.raises(ValueError, match="two pictures"):
        paint(scene, pasted[1:], mask)
    with pytest.raises(ValueError, match="got none"):
        paint(scene, pasted, 0 * mask)
    with pytest.raises(ValueError, match="at least 32 x 32"):
        paint(scene[:20], pasted[:20], mask[:20] + 1)


# The command


@pytest.fixture
def run(tmp_path, pictures, monkeypatch, capsys):
    """Run the command in a folder with pictures; return its exit code and messages."""
    large = np.clip(jax.image.resize(pictures, (2, 60, 70, 3), "bilinear"), 0, 1)
    mask = np.pad(SOFT, ((20, 16), (20, 22)))
    files = {"object": large[0], "scene": large[1], "mask": mask, "black": 0 * mask, "white": 0 * mask + 1}
    files |= {"small": mask[1:], "tiny": large[0][:1, :1], "dot": mask[:1, :1] + 1}
    for name, picture in files.items():
        io.write(
            tmp_path / f"{name}.png",
            np.broadcast_to(picture if picture.ndim == 3 else picture[..., None], (*picture.shape[:2], 3)),
        )
    io.write(tmp_path / "clip.png", large[0], alpha=mask)
    io.write(tmp_path / "veiled.png", large[1], alpha=np.full(mask.shape, 0.5, np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("jaxart.cli.compose.keep_compiled_programs", lambda: None)

    def call(text):
        monkeypatch.setattr(sys, "argv", ["jaxart", "compose", *text.split()])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, capsys.readouterr().err

    return call


def test_the_command_sets_an_object_in(run):
    code, said = run(
        "object.png veiled.png --mask mask.png --at 30 25 --scale 0.5 --matte 2 --harmonize color --bits 16 -o out.png"
    )
    assert code == 0, said
    steps = [said.index(word) for word in ("soft:", "matte:", "color:", "blend: import", "out.png: 70 x 60")]
    assert steps == sorted(steps)
    found, scene = io.read_picture("out.png"), io.read_picture("veiled.png")
    np.testing.assert_allclose(found.alpha, scene.alpha, atol=1e-4)
    changed = (np.abs(found.rgb - scene.rgb) > 1e-4).any(-1)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - 25) < 1
    assert abs(columns.mean() - 30) < 1
    assert changed.sum() < 150


def test_the_command_takes_alpha_seams_rectangles_and_single_pixels(run):
    scene = io.read("scene.png")
    for text in (
        "clip.png scene.png --blend mixed",
        "object.png scene.png --mask mask.png --seam 4 --blend screened",
        "object.png scene.png --mask white.png --scale 0.5",
        "tiny.png scene.png --mask dot.png --blend none",
    ):
        code, said = run(f"{text} -o out.png")
        assert code == 0, said
        found = io.read("out.png")
        assert 0 < (found != scene).any(-1).sum() < scene[..., 0].size
    assert run("scene.png scene.png --mask mask.png --at 35 30 -o out.png")[0] == 0


def test_a_picture_set_into_itself_is_what_it_was(run):
    code, said = run("scene.png scene.png --mask mask.png --at 34 32 -o out.png")
    assert code == 0, said
    np.testing.assert_array_equal(io.read("out.png"), io.read("scene.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("object.png scene.png --mask small.png", "small.png: is 70 x 59, object.png is 70 x 60"),
        ("object.png scene.png --mask black.png", "black.png: is empty"),
        ("object.png scene.png", "has no alpha"),
        ("object.png scene.png --mask white.png --matte 2", "has no rim"),
        ("object.png scene.png --mask white.png", "covers all of the scene"),
        ("object.png scene.png --mask mask.png --scale 0", "scale: expected more than 0"),
        ("object.png scene.png --mask mask.png --scale 9", "is the largest that fits there"),
        ("object.png scene.png --mask mask.png --at 2 30", "by 6 pixels across and 0 down: a scale of 0.1"),
        ("object.png scene.png --mask mask.png --at -9 30", "move it"),
        ("object.png scene.png --mask mask.png --matte 2 --seam 2", "take one"),
        ("clip.png scene.png --seam 2", "needs a --mask"),
        ("object.png scene.png --mask mask.png --seam 2 --blend none", "take another --blend"),
        ("object.png scene.png --mask mask.png --matte 30", "take less"),
        ("object.png scene.png --mask mask.png --seam -1", "at least 0 pixels"),
        ("object.png nothing.png --mask mask.png", "no such file"),
    ],
)
def test_the_command_says_what_is_wrong(text, message, run):
    code, said = run(f"{text} -o out.png")
    assert code == 2
    assert message in said
