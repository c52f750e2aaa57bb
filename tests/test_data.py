"""Data: every way in gives the same examples, and the order can be resumed and split over processes."""

import gzip
import io as streams
import os
import struct
import subprocess
import sys
import threading
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image

from jaxart import cli, data, io
from jaxart.data import decoding
from jaxart.data import pictures as finding
from jaxart.data.shape import shaped

KEY = jax.random.key(3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


def picture(value, shape=(20, 30, 3)):
    """Return noise around a value that tells the picture."""
    noise = np.random.default_rng(value).integers(0, 50, shape)
    return np.clip(noise + value, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Three pictures of cats below 100, four of dogs above."""
    root = tmp_path / "animals"
    for name, values in {"cat": (0, 20, 40), "dog": (120, 140, 160, 180)}.items():
        (root / name / "more").mkdir(parents=True)
        for number, value in enumerate(values):
            where = root / name / ("more" if number == 1 else "") / f"{number}.png"
            Image.fromarray(picture(value, (20 + 3 * number, 30, 3))).save(where)
    (root / "cat" / "notes.txt").write_text("no picture")
    (root / ".hidden").mkdir()
    Image.fromarray(picture(0)).save(root / ".hidden" / "0.png")
    return root


def write_zip(path, folder, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def write_idx(path, array):
    content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def read_as(kind, folder, tmp_path):
    """Load what is in `folder` from another kind of place."""
    if kind == "wrapped folder":
        (tmp_path / "outer").mkdir()
        folder.rename(tmp_path / "outer" / "inner")
        return data.load(tmp_path / "outer", size=16)
    if kind == "zip":
        return data.load(write_zip(tmp_path / "a.zip", folder), size=16)
    if kind == "wrapped zip":
        return data.load(write_zip(tmp_path / "a.zip", folder, "animals/"), size=16)
    if kind == "train and test":
        (tmp_path / "both" / "test" / "cat").mkdir(parents=True)
        folder.rename(tmp_path / "both" / "train")
        Image.fromarray(picture(7)).save(tmp_path / "both" / "test" / "cat" / "0.png")
        return data.load(tmp_path / "both", size=16)
    if kind == "manifest":
        for file in (each for name in ("cat", "dog") for each in list((folder / name).rglob("*.png"))):
            file.rename(folder / f"{file.parts[file.parts.index(folder.name) + 1]}{file.name}")
        names = sorted(each.name for each in folder.glob("*.png"))
        Image.fromarray(picture(9)).save(folder / "not-named.png")
        rows = "\n".join(f"{name},{name[:3]}" for name in reversed(names))
        (tmp_path / "labels.csv").write_text("\ufefffile,label\n" + rows + "\n", encoding="utf-8")
        return data.load(folder, size=16, labels=tmp_path / "labels.csv")
    loaded = data.load(folder, size=16)
    names = np.array(loaded.classes["label"])[loaded.column("label")]
    np.savez(
        tmp_path / "a.npz",
        images=loaded.column("image") if kind == "npz" else loaded.column("image") / 255,
        labels=names,
    )
    return data.load(tmp_path / "a.npz")


class TestSources:
    def test_subfolders_are_classes(self, folder):
        loaded = data.load(folder, size=16)
        assert loaded.column("image").shape == (7, 16, 16, 3)
        assert loaded.column("image").dtype == np.uint8
        assert loaded.column("label").dtype == np.int32
        assert (loaded.column("label").tolist(), loaded.classes) == ([0] * 3 + [1] * 4, {"label": ("cat", "dog")})
        means = loaded.column("image").mean((1, 2, 3))
        assert (means[:3] < 80).all()
        assert (means[3:] > 130).all()

    @pytest.mark.parametrize(
        "kind", ["wrapped folder", "zip", "wrapped zip", "train and test", "manifest", "npz", "float npz"]
    )
    def test_the_same_pictures_are_the_same_data_wherever_they_are(self, folder, tmp_path, kind):
        expected = data.load(folder, size=16)
        read = read_as(kind, folder, tmp_path)
        order = np.argsort(read.column("image").mean((1, 2, 3)))  # a manifest has other names, so another order
        natural = np.argsort(expected.column("image").mean((1, 2, 3)))
        np.testing.assert_array_equal(read.column("image")[order], expected.column("image")[natural])
        np.testing.assert_array_equal(read.column("label")[order], expected.column("label")[natural])
        assert read.classes == expected.classes
        assert kind == "manifest" or data.digest(read) == data.digest(expected)

    def test_the_digest_tells_pixels_labels_and_sizes_apart(self):
        images = np.zeros((2, 4, 4, 1), np.uint8)
        others = [
            data.from_arrays(images, [0, 1]),
            data.from_arrays(images, [1, 0]),
            data.from_arrays(images),
            data.from_arrays(images + 1),
            data.from_arrays(images.reshape(2, 2, 8, 1)),
        ]
        assert len({data.digest(each) for each in others}) == len(others)
        assert data.digest(data.from_arrays(images.copy(), ["0", "1"])) == data.digest(others[0])

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_idx_files_come_in_two_parts_and_are_padded(self, tmp_path, rng, suffix):
        clothes = {name: rng.integers(0, 256, (n, 28, 28), np.uint8) for name, n in {"train": 5, "t10k": 3}.items()}
        for name, images in clothes.items():
            write_idx(tmp_path / f"{name}-images-idx3-ubyte{suffix}", images)
            write_idx(tmp_path / f"{name}-labels-idx1-ubyte{suffix}", np.arange(len(images), dtype=np.uint8) * 5)
        with pytest.warns(UserWarning, match="5 of 5 classes have a single picture"):
            train = data.load(tmp_path, size=32, channels=1)
        assert (train.column("label").tolist(), train.classes["label"]) == (
            [0, 1, 2, 3, 4],
            ("0", "5", "10", "15", "20"),
        )
        np.testing.assert_array_equal(train.column("image")[:, 2:30, 2:30, 0], clothes["train"])
        assert train.column("image").sum() == clothes["train"].sum()  # zeros around
        with pytest.warns(UserWarning, match="single picture"):
            test = data.load(tmp_path, split="test")
        with pytest.warns(UserWarning, match="single picture"):
            one = data.load(tmp_path / f"t10k-images-idx3-ubyte{suffix}")
        np.testing.assert_array_equal(test.column("image"), np.repeat(clothes["t10k"][..., None], 3, -1))
        assert data.digest(one) == data.digest(test)

    def test_npy_is_mapped_and_larger_arrays_are_resized(self, tmp_path):
        images = np.stack([picture(value, (40, 60, 3)) for value in (0, 90)])
        np.save(tmp_path / "a.npy", images)
        assert data.load(tmp_path / "a.npy").column("image").base is not None
        small = data.load(tmp_path / "a.npy", size=8, channels=1)
        assert small.column("image").shape == (2, 8, 8, 1)
        assert small.classes == {}
        np.testing.assert_allclose(small.column("image").mean((1, 2, 3)), images.mean((1, 2, 3)), atol=2)

    def test_awkward_pictures_are_read_and_broken_ones_listed(self, tmp_path):
        red = np.full((24, 24, 3), (255, 0, 0), np.uint8)
        Image.fromarray(red[..., 0] // 2).save(tmp_path / "1-gray.png")
        veil = Image.fromarray(red)
        veil.putalpha(Image.fromarray(np.full((24, 24), 102, np.uint8)))
        veil.save(tmp_path / "2-rgba.png")
        Image.fromarray(red).convert("CMYK").save(tmp_path / "3-cmyk.jpg", quality=100)
        Image.fromarray(np.full((24, 24), 32896, np.uint16)).save(tmp_path / "4-deep.png")
        (tmp_path / "5-text.png").write_text("not a picture")
        (tmp_path / "6-empty.jpg").write_bytes(b"")
        buffer = streams.BytesIO()
        Image.fromarray(picture(50, (64, 64, 3))).save(buffer, "JPEG")
        (tmp_path / "7-cut.jpg").write_bytes(buffer.getvalue()[:700])
        (tmp_path / "8-link.png").symlink_to(tmp_path / "nowhere")
        progress = []
        read = data.load(tmp_path, size=8, on_progress=lambda *numbers: progress.append(numbers))
        expected = [(127, 127, 127), (255, 153, 153), (255, 0, 0), (128, 128, 128)]
        np.testing.assert_allclose(read.column("image").mean((1, 2)), expected, atol=3)
        assert [line.split(":")[0] for line in read.failures] == [
            "5-text.png",
            "6-empty.jpg",
            "7-cut.jpg",
            "8-link.png",
        ]
        assert "truncated" in read.failures[2]
        assert progress == [(number, 8) for number in range(1, 9)]

    def test_crop_keeps_the_center_and_pad_everything_on_white(self, tmp_path):
        wide = np.zeros((20, 60, 3), np.uint8)
        wide[:, 20:40] = (0, 255, 0)
        Image.fromarray(wide).save(tmp_path / "wide.png")
        crop = data.load(tmp_path, size=10).column("image")[0]
        np.testing.assert_array_equal(crop, np.full((10, 10, 3), (0, 255, 0)))
        pad = data.load(tmp_path, size=12, fit="pad").column("image")[0]
        assert (pad[[0, 1, 2, 3, 8, 9, 10, 11]] == 255).all()
        np.testing.assert_allclose(pad[4:8].mean((0, 1)), (0, 85, 0), atol=2)

    def test_shrinking_is_antialiased_and_channels_are_converted(self, tmp_path):
        board = np.indices((96, 96)).sum(0) % 2 * np.uint8(255)
        Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
        np.testing.assert_allclose(data.load(tmp_path, size=8).column("image"), 127, atol=2)
        Image.fromarray(np.full((8, 8, 4), (0, 255, 0, 0), np.uint8)).save(tmp_path / "board.png")
        assert (data.load(tmp_path, size=8, channels=4).column("image")[..., 3] == 0).all()
        assert (data.load(tmp_path, size=8, channels=1).column("image") == 255).all()
        green = data.with_channels(np.full((1, 1, 3), (0, 255, 0), np.uint8), 1)
        assert green.tolist() == [[[150]]]
        assert data.with_channels(green, 4).tolist() == [[[150, 150, 150, 255]]]

    def test_pictures_beside_folders_leave_no_classes(self, folder):
        Image.fromarray(picture(60)).save(folder / "stray.png")
        with pytest.warns(
            UserWarning, match=r"no classes, because 1 pictures lie beside folders of 7 others .stray\.png"
        ):
            loaded = data.load(folder, size=8)
        assert (len(loaded.column("image")), loaded.classes, loaded.column("label").max()) == (8, {}, 0)

    def test_links_are_followed_once(self, folder, tmp_path):
        (folder / "dog" / "circle").symlink_to(folder)
        (folder / "dog" / "self").symlink_to(folder / "dog")
        (tmp_path / "elsewhere").mkdir()
        Image.fromarray(picture(60)).save(tmp_path / "elsewhere" / "bird.png")
        (folder / "bird").symlink_to(tmp_path / "elsewhere")
        with pytest.warns(UserWarning, match=r"1 of 3 classes have a single picture .bird"):
            assert np.bincount(data.load(folder, size=8).column("label")).tolist() == [1, 3, 4]

    def test_large_pictures_go_one_at_a_time(self, folder, monkeypatch):
        expected, busy = data.load(folder, size=8, cache=False), []
        monkeypatch.setattr(decoding, "_LARGE", 0)
        monkeypatch.setattr(
            decoding, "shaped", lambda *given: busy.append(decoding._one_large.locked()) or shaped(*given)
        )
        assert data.digest(data.load(folder, size=8, cache=False)) == data.digest(expected)
        assert busy == [True] * 7

    def test_nothing_of_an_archive_leaves_it(self, tmp_path):
        buffer = streams.BytesIO()
        Image.fromarray(picture(5)).save(buffer, "PNG")
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in ("../up.png", "/absolute.png", "__MACOSX/x.png", "good.png"):
                archive.writestr(name, buffer.getvalue())
        before = set(tmp_path.parent.rglob("*.png"))
        assert len(data.load(tmp_path / "a.zip", size=8).column("image")) == 1
        assert set(tmp_path.parent.rglob("*.png")) == before

    def test_bombs_are_refused(self, tmp_path, monkeypatch):
        path = tmp_path / "bomb.zip"
        monkeypatch.setattr(finding, "_MOST_BYTES", 10_000)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.bmp", bytes(5_000_000))
        with pytest.raises(ValueError, match="5000000; refused as a decompression bomb"):
            data.load(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.bmp", bytes(50_000))
        with pytest.raises(ValueError, match=r"none of 1 pictures can be read; the first: a\.bmp: 50000 bytes; more"):
            data.load(path)


class TestCache:
    def test_it_is_found_and_maps_the_same(self, folder, cache):
        calls = []
        first = data.load(folder, size=16, on_progress=lambda *_: calls.append(1))
        assert len(calls) == 7
        second = data.load(folder, size=16, on_progress=lambda *_: calls.append(1))
        assert len(calls) == 7
        assert isinstance(second.column("image").base.base, np.memmap)
        assert not second.column("image").flags.writeable
        for name in ("image", "label"):
            np.testing.assert_array_equal(first.column(name), second.column(name))
        assert first[1:] == second[1:]
        assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".u8"]
        data.load(folder, size=8)
        assert len(list(cache.iterdir())) == 4

    def test_other_pictures_of_the_same_names_sizes_and_times_are_others(self, tmp_path):
        for name, value in (("a", 0), ("b", 200)):
            (tmp_path / name).mkdir()
            Image.fromarray(picture(value)).save(tmp_path / name / "0.bmp")
            os.utime(tmp_path / name / "0.bmp", (0, 0))
        assert (
            data.load(tmp_path / "a", size=8).column("image").mean()
            < 100
            < data.load(tmp_path / "b", size=8).column("image").mean()
        )

    def test_none_is_kept_if_none_is_wanted(self, folder, cache):
        assert data.digest(data.load(folder, size=16, cache=False)) == data.digest(data.load(folder, size=16))
        assert len(list(cache.iterdir())) == 2

    def test_a_changed_picture_is_noticed(self, folder):
        before = data.load(folder, size=16)
        Image.fromarray(picture(200)).save(folder / "cat" / "0.png")
        after = data.load(folder, size=16)
        assert after.column("image")[0].mean() > 150
        assert data.digest(before) != data.digest(after)

    @pytest.mark.parametrize("harm", ["cut off", "json cut off", "json gone"])
    def test_a_damaged_cache_is_made_anew(self, folder, cache, harm):
        first = data.load(folder, size=16)
        labels, before = first.column("label"), data.digest(first)  # the file that `first` maps is harmed
        images, facts = next(cache.glob("*.u8")), next(cache.glob("*.json"))
        if harm == "cut off":
            os.truncate(images, 16 * 16 * 3 * 5)
        elif harm == "json cut off":
            os.truncate(facts, 40)
        else:
            facts.unlink()
        second = data.load(folder, size=16)
        np.testing.assert_array_equal(labels, second.column("label"))
        assert before == data.digest(second)

    def test_a_place_that_cannot_be_written_is_named(self, folder, tmp_path):
        (tmp_path / "cache").write_text("a file")
        with pytest.raises(OSError, match=r"cache.data: .*need 0 MiB there"):
            data.load(folder, size=16)


def wrong(tmp_path, name):
    """Make something that cannot be loaded; return path and options."""
    place = tmp_path / "place"
    place.mkdir()
    Image.fromarray(picture(3)).save(place / "a.png")
    csv = tmp_path / "labels.csv"
    files = {
        "empty": lambda: (place / "a.png").unlink(),
        "unreadable": lambda: (place / "a.png").write_text("no"),
        "missing": lambda: csv.write_text("file,label\na.png,x\nb.png,y\n../a.png,z\n"),
        "columns": lambda: csv.write_text("name,class\na.png,x\n"),
        "unlabeled": lambda: csv.write_text("file,label\na.png\n"),
        "twice": lambda: csv.write_text("file,label\na.png,x\n./a.png,y\n"),
        "text": lambda: (place / "a.txt").write_text("no"),
        "zip": lambda: (place / "a.zip").write_text("no"),
        "npz": lambda: (place / "a.npz").write_text("no"),
        "names": lambda: np.savez(place / "a.npz", x=np.zeros(3)),
        "pickle": lambda: np.savez(place / "a.npz", images=np.array([{}], object)),
        "range": lambda: np.save(place / "a.npy", np.full((2, 4, 4), 255.0)),
        "shape": lambda: np.save(place / "a.npy", np.zeros((2, 16))),
        "cut": lambda: (place / "x-images-idx3-ubyte").write_bytes(
            struct.pack(">4B3I", 0, 0, 8, 3, 9, 2, 2) + bytes(30)
        ),
        "huge": lambda: (place / "x-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *[2**31] * 3)),
        "labels": lambda: (
            write_idx(place / "x-images-idx3-ubyte", np.zeros((3, 2, 2), np.uint8)),
            write_idx(place / "x-labels-idx1-ubyte", np.zeros(2, np.uint8)),
        ),
        "no test": lambda: write_idx(place / "train-images-idx3-ubyte", np.zeros((3, 2, 2), np.uint8)),
    }
    files.get(name, lambda: None)()
    inside = {"text": "a.txt", "zip": "a.zip", "one": "a.png", "range": "a.npy", "shape": "a.npy", "nowhere": "b"}
    inside |= dict.fromkeys(("npz", "names", "pickle"), "a.npz")
    options = {"labels": csv} if csv.exists() else {"split": "test"} if name == "no test" else {}
    return place / inside.get(name, ""), options


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "no pictures inside"),
        ("unreadable", "none of 1 pictures can be read; the first: a.png: not a picture"),
        ("missing", r"labels.csv: names 2 files that are no pictures in .*place: b.png, ../a.png"),
        ("columns", "expected columns file,label in the first line, got name, class"),
        ("unlabeled", "names 1 files without a label: a.png"),
        ("twice", "names 1 files twice"),
        ("text", "expected a folder, .zip, .npy, .npz or an IDX file"),
        ("one", "is one picture: expected the folder"),
        ("nowhere", "no such file or folder"),
        ("zip", "not a readable archive"),
        ("npz", "cannot be read"),
        ("names", 'expected an array "images" and perhaps "labels", got x'),
        ("pickle", "allow_pickle"),
        ("range", r"expected floats in \[0, 1\] or whole numbers in \[0, 255\], got float64 from 255"),
        ("shape", r"expected pictures .* got \[2, 16\]"),
        ("cut", "damaged .declares .9, 2, 2. numbers and holds fewer"),
        ("huge", "more than can be in it"),
        ("labels", r"expected one number of examples .* got 3 in .image., 2 in .label."),
        ("no test", "expected one IDX file of test pictures, got 0 of train-images-idx3-ubyte"),
    ],
)
def test_what_cannot_be_loaded_is_said_clearly(tmp_path, name, message):
    path, options = wrong(tmp_path, name)
    with pytest.raises(ValueError, match=message):
        data.load(path, **options)


@pytest.mark.parametrize("options", [{"size": 0}, {"channels": 2}, {"fit": "squeeze"}, {"split": "validation"}])
def test_options_are_checked(folder, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        data.load(folder, **options)


def numbers(count):
    """Examples that are their own index."""
    return data.from_arrays(np.arange(count, dtype=np.float32)[:, None], np.arange(count) % 2)


def take(count, *arguments, **options):
    stream = data.batches(*arguments, **options)
    taken = [next(stream) for _ in range(count)]
    stream.close()
    return taken


def order(taken):
    return np.concatenate([batch["image"][:, 0] for batch in taken]).astype(int)


class TestBatches:
    def test_every_epoch_is_a_permutation_of_its_own(self):
        taken = take(21, KEY, numbers(14), 4)
        epochs = order(taken).reshape(6, 14)
        assert (np.sort(epochs) == np.arange(14)).all()
        assert len({tuple(epoch) for epoch in epochs}) == 6
        for batch in taken:
            np.testing.assert_array_equal(batch["label"], batch["image"][:, 0].astype(int) % 2)
            assert batch["label"].dtype == np.int32
        assert (order(take(4, jax.random.key(4), numbers(14), 4)) != epochs.reshape(-1)[:16]).any()

    def test_the_order_stays_what_it_was(self):
        assert order(take(2, jax.random.key(0), numbers(6), 6)).tolist() == [3, 2, 1, 0, 4, 5, 4, 5, 3, 1, 0, 2]

    def test_the_order_is_uniform(self):
        firsts = [order(take(1, jax.random.key(seed), numbers(4), 4))[0] for seed in range(120)]
        assert np.bincount(firsts, minlength=4).min() > 15

    @pytest.mark.parametrize("first", [1, 5, 17])
    def test_to_begin_later_is_to_skip(self, first):
        whole, later = take(first + 3, KEY, numbers(10), 4), take(3, KEY, numbers(10), 4, first=first)
        np.testing.assert_array_equal(order(whole[first:]), order(later))

    @pytest.mark.parametrize("count", [2, 4])
    def test_parts_of_processes_make_the_whole_batch(self, count):
        whole = take(5, KEY, numbers(10), 8, first=2)
        parts = [take(5, KEY, numbers(10), 8, first=2, process=(index, count)) for index in range(count)]
        for number, batch in enumerate(whole):
            for name in ("image", "label"):
                joined = np.concatenate([part[number][name] for part in parts])
                np.testing.assert_array_equal(joined, batch[name])

    def test_a_batch_may_be_larger_than_the_data(self):
        assert np.bincount(order(take(1, KEY, numbers(3), 7))).min() == 2

    def test_pictures_come_as_they_are(self, folder):
        loaded = data.load(folder, size=8)
        (batch,) = take(1, KEY, loaded, 7)
        assert batch["image"].dtype == np.uint8
        assert type(batch["image"]) is np.ndarray
        assert batch["image"].astype(int).sum() == loaded.column("image").astype(int).sum()
        assert np.bincount(batch["label"]).tolist() == [3, 4]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"batch_size": 6, "process": (0, 4)}, "multiple of the 4 processes"),
            ({"batch_size": 0}, "at least 1, got 0"),
            ({"batch_size": 4, "process": (2, 2)}, "index below the count"),
            ({"batch_size": 4, "first": -1}, "first: expected 0 or more"),
        ],
    )
    def test_options_are_checked_before_the_first_batch(self, options, message):
        with pytest.raises(ValueError, match=message):
            data.batches(KEY, numbers(4), **options)

    def test_closing_ends_the_threads(self):
        others = set(threading.enumerate())
        stream = data.batches(KEY, numbers(10), 4)
        next(stream)
        mine = set(threading.enumerate()) - others
        assert mine
        stream.close()
        for thread in mine:
            thread.join(timeout=10)
            assert not thread.is_alive()

    def test_a_program_may_end_in_the_middle(self):
        code = (
            "import jax, numpy as np; from jaxart import data; stream = data.batches(jax.random.key(0), data.from_arrays(np.zeros((9, 4), \
np.uint8)), 4); print(len(next(stream)['image']))"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "XLA_FLAGS": ""},
        )
        assert (done.stdout, done.stderr, done.returncode) == ("4\n", "", 0)


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["jaxart", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


class TestPreview:
    def test_a_sheet_has_a_row_for_each_class(self, folder, tmp_path, monkeypatch, capsys):
        (folder / "dog" / "broken.png").write_text("no")
        assert (
            run(monkeypatch, "data", "preview", folder, "-o", tmp_path / "sheet.png", "--size", 16, "--columns", 4) == 0
        )
        sheet = io.read(tmp_path / "sheet.png")
        assert sheet.shape == (34, 70, 3)
        assert (sheet[:16, 54:] == 1).all()  # there are three cats
        assert sheet[:16, :52].mean() < 0.4 < 0.5 < sheet[18:].mean()
        said = capsys.readouterr().out
        assert "7 pictures, 16 x 16, 1 left out" in said
        assert "2 classes: cat 3, dog 4" in said
        assert "left out: dog/broken.png: not a picture" in said

    def test_augmented_arrays(self, tmp_path, monkeypatch, capsys):
        write_idx(tmp_path / "train-images-idx3-ubyte", np.stack([picture(0, (12, 12))] * 9))
        arguments = ("data", "preview", tmp_path, "--rows", 2, "--columns", 3, "-o")
        assert run(monkeypatch, *arguments, tmp_path / "a.png") == 0
        assert run(monkeypatch, *arguments, tmp_path / "b.png", "--augment", "rotate", "brightness") == 0
        plain, changed = io.read(tmp_path / "a.png"), io.read(tmp_path / "b.png")
        assert plain.shape == changed.shape == (26, 40, 3)
        assert np.abs(plain - changed).max() > 0.05
        assert run(monkeypatch, *arguments, tmp_path / "c.png", "--augment", "mirror") == 2
        assert "--augment: unknown value 'mirror'; known:" in capsys.readouterr().err
