"""What a mask says of a picture."""

import numpy as np
import pytest

from jaxart.tasks import restore


def mask(**marks):
    found = np.zeros((6, 8), np.uint8)
    found[2:4, 3:6] = 255
    for place, value in marks.values():
        found[place] = value
    return found


def test_black_and_white_is_taken_as_it_is():
    for given in (mask(), mask() > 0, mask().astype(np.float64) / 255, np.repeat(mask()[..., None], 3, -1)):
        holes = restore.holes_of(given, (6, 8))
        np.testing.assert_array_equal(holes.missing, mask() > 0)
        np.testing.assert_array_equal(holes.share, (mask() > 0).astype(np.float32))
        assert holes.notice == ""


def test_alpha_without_effect_is_left_out():
    given = np.stack([mask(), np.full_like(mask(), 255)], -1)
    np.testing.assert_array_equal(restore.holes_of(given, (6, 8)).missing, mask() > 0)


def test_soft_masks_are_said_and_are_shares(rng):
    holes = restore.holes_of(mask(rim=((2, 2), 51)), (6, 8))
    assert holes.missing[2, 2]
    assert holes.share[2, 2] == pytest.approx(0.2)
    assert "2.1% of its pixels" in holes.notice
    assert "20%" in holes.notice
    picture, mended = rng.random((2, 6, 8, 3), np.float32)
    found = np.asarray(
        restore.blend_holes(np.where((holes.share == 1)[..., None], np.nan, picture), mended, holes.share)
    )
    np.testing.assert_array_equal(found[~holes.missing], picture[~holes.missing])
    np.testing.assert_array_equal(found[holes.share == 1], mended[holes.share == 1])
    np.testing.assert_allclose(found[2, 2], 0.2 * mended[2, 2] + 0.8 * picture[2, 2], rtol=1e-6)


def test_holes_at_all_borders_are_allowed():
    given = np.ones((6, 8), bool)
    given[3, 4] = False
    assert restore.holes_of(given, (6, 8)).missing.sum() == 47


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (mask()[:, :7], "7 x 6 pixels, the picture 8 x 6"),
        (np.zeros((6, 8), np.uint8), "black everywhere"),
        (np.full((6, 8), 255, np.uint8), "nowhere black"),
        (np.full((6, 8), 0.1), "nowhere black"),
        (mask() * 1.0, "in \\[0, 1\\]"),
        (np.full((6, 8), np.nan), "in \\[0, 1\\]"),
        (np.stack([mask(), 0 * mask(), mask()], -1), "colors"),
        (np.zeros(8), "shape \\(8,\\)"),
    ],
)
def test_masks_that_say_nothing_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        restore.holes_of(given, (6, 8))


def test_blends_of_other_shapes_are_refused(rng):
    with pytest.raises(ValueError, match="two pictures"):
        restore.blend_holes(rng.random((6, 8, 3)), rng.random((6, 8, 3)), rng.random((6, 7)))
