"""Filling with pieces of the picture, with a network that learns it, and choosing the way for each hole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.tasks import restore

KEY = jax.random.key(3)
ROWS, COLUMNS = np.mgrid[:48, :48]
BRICKS = np.stack([((ROWS // 4 + COLUMNS // 6) % 2) * 0.6 + 0.2, (ROWS // 4) % 2 * 0.5, (COLUMNS // 6) % 2 * 0.5], -1)
BRICKS = BRICKS.astype(np.float32)
HOLE = (abs(ROWS - 23) < 6) & (abs(COLUMNS - 25) < 6)
BORDER = (ROWS < 13) & (abs(COLUMNS - 25) < 6)


@functools.cache
def filled(border=False, hidden=0.0, seed=3):
    holes = BORDER if border else HOLE
    picture = np.where(holes[..., None], np.float32(hidden), BRICKS)
    return np.asarray(restore.fill_exemplar(jax.random.key(seed), picture, holes))


@pytest.mark.parametrize("border", [False, True])
def test_a_texture_goes_on(border):
    holes, found = BORDER if border else HOLE, filled(border)
    np.testing.assert_array_equal(found[~holes], BRICKS[~holes])
    assert np.abs(found - BRICKS)[holes].mean() < 0.01
    plate = np.asarray(jax.jit(restore.fill_biharmonic)(BRICKS, holes))
    assert np.abs(plate - BRICKS)[holes].mean() > 0.1


def test_the_key_alone_determines_it():
    np.testing.assert_array_equal(filled(hidden=np.nan), filled())
    compiled = jax.jit(restore.fill_exemplar)(
        KEY, BRICKS, HOLE
    )  # which knows no holes, and has room for squares everywhere
    np.testing.assert_allclose(compiled, filled(), atol=1e-5)


def test_gray_is_filled_as_colors_are():
    gray = np.asarray(restore.fill_exemplar(KEY, BRICKS[..., :1], HOLE))
    assert gray.shape == (48, 48, 1)
    assert np.abs(gray - BRICKS[..., :1])[HOLE].mean() < 0.01


def test_where_no_square_is_whole_there_is_a_membrane(rng):
    picture, holes = rng.random((1, 8, 3), np.float32), (np.arange(8) % 3 == 1)[None]
    found = restore.fill_exemplar(KEY, picture, holes)
    np.testing.assert_allclose(found, restore.fill_harmonic(picture, holes), atol=1e-5)


def test_nothing_missing_changes_nothing():
    np.testing.assert_array_equal(restore.fill_exemplar(KEY, BRICKS, np.zeros_like(HOLE)), BRICKS)
    np.testing.assert_array_equal(restore.fill_parts(KEY, BRICKS, np.zeros_like(HOLE)), BRICKS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"holes": np.ones_like(HOLE)}, "everything is missing"),
        ({"holes": HOLE * 1.0}, "expected true and false"),
        ({"holes": HOLE[1:]}, "of its size"),
        ({"radius": 0}, "radius: expected 1 or more"),
        ({"turns": 0}, "turns: expected 1 or more"),
        ({"levels": 0}, "levels: expected 1 or more"),
        ({"spread": 0.0}, "spread: expected more than 0"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        restore.fill_exemplar(**{"key": KEY, "picture": BRICKS, "holes": HOLE, **change})


# A network that learns the picture


@functools.cache
def waves():
    return (0.5 + 0.3 * np.sin(ROWS / 5)[..., None] * np.cos(COLUMNS / 4)[..., None]).astype(np.float32)


def test_a_network_learns_what_is_known_and_tells_what_is_not(rng):
    holes, told = rng.random(ROWS.shape) < 0.4, []
    fill = functools.partial(restore.fill_prior, KEY, steps=150, width=8, every=60)
    hidden = np.where(holes[..., None], np.nan, waves())
    found = np.asarray(fill(hidden, holes, progress=lambda *now: told.append(now)))
    np.testing.assert_array_equal(found[~holes], waves()[~holes])
    assert np.abs(found - waves())[holes].mean() < 0.05
    assert [step for step, _ in told] == [60, 120, 150]
    assert told[-1][1] < told[0][1]
    np.testing.assert_array_equal(fill(waves(), holes), found)  # in one stretch as in three


@pytest.mark.parametrize("name", ["steps", "every"])
def test_a_network_needs_steps(name):
    with pytest.raises(ValueError, match=f"{name}: expected 1 or more"):
        restore.fill_prior(KEY, BRICKS, HOLE, **{name: 0})


# Choosing


def test_parts_know_their_thickness_and_their_texture():
    holes = HOLE | (ROWS == 40) & (COLUMNS < 30) | (ROWS == 42) & (COLUMNS == 29)
    wide, line = restore.parts_of(BRICKS, holes)
    assert wide.missing.sum() == HOLE.sum()
    assert wide.thickness == pytest.approx(6)
    assert line.missing.sum() == 31
    assert line.thickness == pytest.approx(1)
    assert wide.texture > 0.03
    assert restore.parts_of(np.full_like(BRICKS, 0.3), HOLE)[0].texture == 0


def test_the_way_is_chosen_by_thickness_and_texture():
    (wide,) = restore.parts_of(BRICKS, HOLE)
    assert restore.choose_fill(wide) == "exemplar"
    assert restore.choose_fill(wide._replace(texture=0.001)) == "biharmonic"
    assert restore.choose_fill(wide._replace(thickness=2.0)) == "biharmonic"
    assert restore.choose_fill(wide, {"biharmonic": None}) == "biharmonic"
    learned = dict.fromkeys(("biharmonic", "exemplar", "learned"))
    assert restore.choose_fill(wide, learned) == "exemplar"
    assert restore.choose_fill(wide._replace(thickness=2.0), learned) == "learned"
    assert restore.choose_fill(wide._replace(texture=0.001), learned) == "learned"
    assert restore.choose_fill(wide._replace(texture=0.001, thickness=20.0), learned) == "biharmonic"


def test_each_hole_is_filled_in_its_window_and_in_its_way():
    picture = np.tile(BRICKS, (3, 4, 1))
    holes = np.zeros(picture.shape[:2], bool)
    holes[20:32, 150:162] = holes[100:102, 10:40] = holes[105, 20:40] = True
    seen = []

    def noted(name):
        def fill(key, window, missing):
            seen.append((name, window.shape, int(missing.sum())))
            return jnp.where(missing[..., None], len(seen) / 8, window)

        return fill

    found = np.asarray(restore.fill_parts(KEY, picture, holes, fills={n: noted(n) for n in ("biharmonic", "exemplar")}))
    assert [(name, count) for name, _, count in seen] == [("biharmonic", 224), ("exemplar", 144)]
    assert seen[1][1] == (128, 128, 3)
    np.testing.assert_array_equal(found[~holes], picture[~holes])
    assert (found[20:32, 150:162] == 0.25).all()
    assert (found[100:102, 10:40] == 0.125).all()


# The mean of several ways


def test_weights_are_those_of_the_least_error(rng):
    errors = rng.standard_normal((3, 5000)) * np.array([[1.0], [2.0], [1.0]])
    found = restore.combination(errors)
    assert found.sum() == pytest.approx(1)
    assert found[0] == pytest.approx(found[2], abs=0.02)
    assert 0 < found[1] < 0.7 * found[0]
    alike = restore.combination(np.stack([errors[0], 3 * errors[0], -errors[0]]))
    assert 0 <= alike[1] < alike[0] < alike[2]
    np.testing.assert_array_equal(restore.combination(np.zeros((2, 0))), [0.5, 0.5])


def test_what_comes_near_elsewhere_counts_more_here():
    seen = []

    def noted(error):
        def fill(key, picture, holes):
            seen.append((np.asarray(picture), np.asarray(holes)))
            return jnp.asarray(BRICKS + error * np.cos(ROWS)[..., None])

        return fill

    hidden = np.where(HOLE[..., None], np.float32(np.nan), BRICKS)
    found = np.asarray(restore.fill_combined(KEY, hidden, HOLE, fills={"near": noted(0.1), "far": noted(-0.4)}))
    np.testing.assert_array_equal(found[~HOLE], BRICKS[~HOLE])
    assert np.abs(found - BRICKS)[HOLE].max() < 0.1
    trials = [each for each in seen if each[1].sum() > HOLE.sum()]
    assert len(trials) == 4
    for picture, holes in trials:  # the truth is not shown to what is tried
        assert not picture[holes].any()


def test_what_is_filled_stays_in_the_range_of_what_is_known(rng):
    picture = np.repeat(np.where(rng.random((48, 48)) < 0.2, rng.random((48, 48)), 0)[..., None], 3, axis=-1).astype(
        np.float32
    )
    made = restore.fill_exemplar(KEY, picture, HOLE)
    assert float(made.min()) >= 0
    assert float(made.max()) <= picture.max()
