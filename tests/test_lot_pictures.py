"""What is seen of the pictures of lots, which of them are read, and how features come to a common scale."""

import numpy as np
import pytest
from helpers import example

from jaxart import io, runs
from jaxart.tasks import appraise, classify

CELLS = slice(0, 112)  # of the statistics; the rest is of the whole picture


def _by_cell(statistics):
    return statistics[CELLS].reshape(16, 7)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (48, 48), (301, 150)])
def test_plain_pictures_have_their_color_and_nothing_else(size):
    found = appraise.picture_statistics(np.full((*size, 3), 0.5, np.float32))
    assert found.shape == (appraise.PICTURE_STATISTICS,)
    np.testing.assert_allclose(_by_cell(found)[:, 0], 53.39, atol=0.01)  # L* of middle gray
    np.testing.assert_allclose(_by_cell(found)[:, 1:], 0, atol=2e-3)
    np.testing.assert_allclose(found[112:], [0, 0, 0, np.log(size[1] / size[0])], atol=2e-3)


def test_statistics_say_where_the_colors_are(rng):
    picture = np.zeros((80, 80, 3), np.float32)
    picture[:20, 60:] = 1, 0, 0
    found = appraise.picture_statistics(picture)
    np.testing.assert_allclose(_by_cell(found)[3, :3], [53.24, 80.09, 67.20], atol=2)
    np.testing.assert_allclose(_by_cell(found)[12], 0, atol=1e-3)
    assert found[112] > 20
    gray = appraise.picture_statistics(np.repeat(rng.random((64, 64, 1), np.float32), 3, axis=2))
    np.testing.assert_allclose(_by_cell(gray)[:, [1, 2, 4, 5]], 0, atol=2e-3)
    np.testing.assert_allclose(gray[[112, 114]], 0, atol=5e-3)
    assert gray[113] > 5


def test_the_size_of_the_gradient_is_that_of_the_picture_at_128_pixels():
    ramp = np.linspace(0.3, 0.7, 256, dtype=np.float32)
    found = appraise.picture_statistics(np.broadcast_to(ramp[None, :, None], (192, 256, 3)))
    middle = _by_cell(found)[[5, 6], 6]
    np.testing.assert_allclose(middle, 42 / 128, rtol=0.1)  # lightness rises by 42 or so


def test_a_finer_scan_has_the_same_statistics(photo):
    lots = example("lots")
    _, truth = lots.make_lots(0, 4, clean=True)
    for picture in [photo, *(lots.paint(truth, row) / np.float32(255) for row in range(4))]:
        tiny, small, large = (
            appraise.picture_statistics(picture.repeat(times, axis=0).repeat(times, axis=1)) for times in (1, 4, 8)
        )
        np.testing.assert_allclose(large, small, rtol=0.02, atol=0.1)
        np.testing.assert_allclose(_by_cell(tiny)[:, :6], _by_cell(small)[:, :6], atol=3)  # of about 100
        np.testing.assert_allclose(tiny[112:], small[112:], rtol=0.05, atol=1e-6)


def test_what_is_no_picture_is_refused():
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 3))):
        with pytest.raises(ValueError, match="picture: expected floats"):
            appraise.picture_statistics(wrong)


@pytest.fixture
def folder(tmp_path, photo):
    inner = tmp_path / "table"
    (inner / "pictures").mkdir(parents=True)
    io.write(inner / "pictures" / "a.png", photo)
    io.write(inner / "b.png", photo[::-1])
    io.write(tmp_path / "outside.png", photo)
    (inner / "text.png").write_text("no picture")
    (inner / "link.png").symlink_to(tmp_path / "outside.png")
    (inner / "away").symlink_to(tmp_path)
    (inner / "circle.png").symlink_to(inner / "circle.png")
    return inner


BAD = {
    "../outside.png": "leaves the folder",
    "link.png": "leaves the folder",
    "away/outside.png": "leaves the folder",
    "/etc/hostname": "is absolute",
    "C:\\lots\\a.png": "is absolute",
    "gone.png": "no such file",
    "text.png": "not a picture",
    "pictures": "is a folder",
    "circle.png": "",
    "a" * 5000: "",
    "zero\0byte.png": "",
}


def test_what_cannot_be_read_is_no_picture_and_a_reason(folder):
    cells = ["pictures/a.png", "pictures\\a.png", "n/a", "", *BAD]
    found = runs.read_lot_pictures(folder, cells)
    assert found.pictured.tolist() == [True, True, *[False] * (len(cells) - 2)]
    assert found.features.dtype == np.float32
    np.testing.assert_array_equal(found.features[0], found.features[1])
    assert not found.features[2:].any()
    assert len(found.failures) == len(BAD)
    for line, (name, reason) in zip(found.failures, BAD.items(), strict=True):
        assert line.startswith(f"{name}: ")
        assert reason in line
        assert "\n" not in line
        assert str(folder) not in line


def test_equal_cells_are_read_once(folder, monkeypatch):
    read, told, once = [], [], io.read
    monkeypatch.setattr(io, "read", lambda path: read.append(path.name) or once(path))
    cells = ["b.png", "pictures/a.png", "b.png", " b.png ", "text.png", "text.png", "?"]
    found = runs.read_lot_pictures(folder, cells, report=lambda done, total: told.append((done, total)))
    assert read == ["b.png", "a.png", "text.png"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert found.pictured.tolist() == [True, True, True, True, False, False, False]
    assert len(found.failures) == 1


def test_tables_without_pictures(tmp_path):
    assert runs.read_lot_pictures(tmp_path, []).features.shape == (0, 116)
    found = runs.read_lot_pictures(tmp_path, ["", "n/a"], features="vgg16", weights="no such weights")
    assert found.features.shape == (2, 7616)
    assert not found.pictured.any()
    with pytest.raises(ValueError, match="features"):
        runs.read_lot_pictures(tmp_path, [""], features="vgg61")


def test_what_vgg_sees_is_kept_by_content(folder, vgg_file, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    seen = []

    def picture_features(variables, images, *, batch):
        seen.append(images.shape)
        assert {"params", "preprocessing"} <= set(variables)
        return np.stack([np.full(7616, image.mean()) for image in images])

    monkeypatch.setattr(classify, "picture_features", picture_features)
    cells = ["b.png", "text.png", "pictures/a.png", "n/a"]
    first = runs.read_lot_pictures(folder, cells, features="vgg16", weights=vgg_file)
    assert first.features.dtype == np.float16
    assert first.pictured.tolist() == [True, False, True, False]
    assert first.features[0].any()
    assert not first.features[[1, 3]].any()
    again = runs.read_lot_pictures(folder, cells, features="vgg16", weights=vgg_file)
    np.testing.assert_array_equal(first.features, again.features)
    assert first.failures == again.failures
    assert seen == [(2, 160, 160, 3)]
    io.write(folder / "b.png", np.ones((8, 8, 3), np.float32))  # another picture of the same name
    other = runs.read_lot_pictures(folder, cells, features="vgg16", weights=vgg_file)
    assert seen[1:] == [(1, 160, 160, 3)]
    np.testing.assert_array_equal(other.features[0], np.full(7616, 255, np.float16))


def test_scaling_is_learned_of_pictured_lots_alone(rng):
    features, pictured = rng.normal(3, 2, (50, 20)), rng.random(50) < 0.7
    features[:, 4] = 7
    scaling = appraise.learn_picture_scaling(features, pictured)
    changed = np.where(pictured[:, None], features, 1e6)
    np.testing.assert_equal(scaling, appraise.learn_picture_scaling(changed, pictured))
    scaled = appraise.scaled_pictures(scaling, features)
    varying = np.arange(20) != 4
    np.testing.assert_allclose(scaled[pictured].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[pictured].std(axis=0)[varying], 1, atol=1e-6)
    new = appraise.scaled_pictures(scaling, features + 1e9)
    assert new[:, varying].max() == 5
    assert not new[:, 4].any()  # it never varied, so it says nothing


def test_many_features_are_projected_on_what_varies_most(rng):
    few, mixed = rng.normal(size=(200, 5)), rng.normal(size=(5, 600))
    features = (few @ mixed + 0.01 * rng.normal(size=(200, 600))).astype(np.float16)
    pictured = np.arange(200) % 4 > 0
    scaling = appraise.learn_picture_scaling(features, pictured)
    np.testing.assert_equal(scaling, appraise.learn_picture_scaling(features.copy(), pictured))
    scaled = appraise.scaled_pictures(scaling, features)
    assert scaled.shape == (200, 64)
    variance = scaled[pictured].var(axis=0)
    assert variance[:5].sum() > 0.99 * variance.sum()
    np.testing.assert_allclose(variance.mean(), 1, rtol=0.01)
    largest = np.take_along_axis(scaling.directions, np.abs(scaling.directions).argmax(axis=0)[None], axis=0)
    assert (largest > 0).all()
    fitted = scaled[:, :5] @ np.linalg.lstsq(scaled[pictured, :5], few[pictured], rcond=None)[0]
    np.testing.assert_allclose(fitted[~pictured], few[~pictured], atol=0.2)  # of new lots too


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("length", [116, 400])
def test_hardly_any_pictures_say_nothing(count, length, rng):
    features, pictured = rng.random((6, length)), np.arange(6) < count
    scaled = appraise.scaled_pictures(appraise.learn_picture_scaling(features, pictured), features)
    assert len(scaled) == 6
    assert not scaled.any()
    with pytest.raises(ValueError, match="as in training"):
        appraise.scaled_pictures(appraise.learn_picture_scaling(features, pictured), features[:, 1:])


def test_statistics_tell_most_of_what_pictures_are_worth(tmp_path):
    lots = example("lots")
    records, truth = lots.make_lots(3, 300, clean=True)
    lots.write_lots(tmp_path, records, truth)
    found = runs.read_lot_pictures(tmp_path, records["picture"])
    assert found.pictured.all()
    assert found.failures == ()
    worth, guessed, fold = truth.parts["picture"], np.empty(300), np.arange(300) % 5
    for each in range(5):
        train = fold != each
        scaling = appraise.learn_picture_scaling(found.features[train], found.pictured[train])
        x = appraise.scaled_pictures(scaling, found.features).astype(float)
        mean = worth[train].mean()
        weights = np.linalg.solve(x[train].T @ x[train] + 30 * np.eye(116), x[train].T @ (worth[train] - mean))
        guessed[~train] = x[~train] @ weights + mean
    assert 1 - np.mean((worth - guessed) ** 2) / np.var(worth) > 0.6
