"""Columns of any type: what is accepted and refused, classes only when asked, one digest, and the way through batches and `fit`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxart import data
from jaxart.runs.legacy import digest as picture_digest
from jaxart.training import Recipe, data_mesh, fit

KEY = jax.random.key(3)


def paintings(count=12):
    """Text tokens, a float target, a category, its text, a date."""
    rng = np.random.default_rng(0)
    return data.from_arrays(
        {
            "tokens": rng.integers(0, 99, (count, 5), np.uint16),
            "price": rng.uniform(1, 9, count),
            "artist": [("Goya", "Klee", "Ernst")[number % 3] for number in range(count)],
            "title": [f"no. {number}" for number in range(count)],
            "sold": np.datetime64("2001-01-01") + np.arange(count),
            "views": np.arange(count),
        },
        classes=["artist"],
    )


class TestFromArrays:
    def test_columns_are_kept_and_only_the_named_become_classes(self):
        made = paintings()
        assert made.count == 12
        kinds = {name: array.dtype.kind for name, array in made.columns.items()}
        assert kinds == {"tokens": "u", "price": "f", "artist": "i", "title": "U", "sold": "M", "views": "i"}
        assert made.columns["price"].dtype == np.float64
        assert made.classes == {"artist": ("Ernst", "Goya", "Klee")}
        assert made.columns["artist"][:3].tolist() == [1, 2, 0]

    def test_pictures_alone_have_a_label_of_zero_and_no_classes(self):
        made = data.from_arrays(np.zeros((3, 4, 4, 1), np.uint8))
        assert sorted(made.columns) == ["image", "label"]
        assert (made.column("label").dtype, made.column("label").tolist()) == (np.int32, [0, 0, 0])
        assert made.classes == {}

    def test_float_targets_are_never_classes(self):
        images = np.zeros((2, 4, 4, 1), np.uint8)
        with pytest.raises(
            ValueError, match=r"column 'label': expected names or whole numbers for classes, got float64"
        ):
            data.from_arrays(images, [0.5, 1.5])
        kept = data.from_arrays({"image": images, "label": [0.5, 1.5]})
        assert (kept.column("label").tolist(), kept.classes) == ([0.5, 1.5], {})

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({}, "got no columns"),
            ({"a": np.zeros(3), "b": np.zeros(2)}, "got 3 in 'a', 2 in 'b'"),
            ({"a": np.zeros(0)}, "at least 1, got 0 in 'a'"),
            ({"a": 1.0}, "at least 1, got 0 in 'a'"),
            ({"a": [1, None]}, "column 'a': expected numbers, times or text of one type, got object"),
            ({"a": [[1, 2], [3]]}, "column 'a': expected rows of one shape, .* Pad sequences"),
            ({"a": np.zeros(2, [("x", int)])}, "column 'a': expected numbers, times or text"),
            (
                {"a": [0, 1, np.nan, np.inf]},
                "column 'a': expected finite numbers, got NaN or infinity in 2 of 4 examples, first at index 2",
            ),
            ({"a": np.array([[1, 1], [1, np.inf]])}, "got NaN or infinity in 1 of 2 examples, first at index 1"),
            (
                {"a": [1j, complex(0, np.nan)]},
                "expected finite numbers, got NaN or infinity in 1 of 2 examples, first at index 1",
            ),
            (
                {"a": np.array(["2001", "NaT"], "M8[Y]")},
                "column 'a': expected times, got NaT in 1 of 2 examples, first at index 1",
            ),
            (
                {"a": np.array([1, "NaT"], "m8[s]")},
                "column 'a': expected times, got NaT in 1 of 2 examples, first at index 1",
            ),
            ({"a": np.array(["é".encode()])}, "column 'a': expected text, got bytes .*Decode them"),
        ],
    )
    def test_bad_columns_are_refused(self, columns, message):
        with pytest.raises(ValueError, match=message):
            data.from_arrays(columns)

    def test_an_unknown_column_lists_the_known(self):
        with pytest.raises(ValueError, match="column: unknown value 'prize'; known: price"):
            paintings().column("prize")
        with pytest.raises(ValueError, match="unknown value 'b'; known: a"):
            data.from_arrays({"a": [1]}, classes=["b"])

    def test_labels_go_with_pictures_only(self):
        with pytest.raises(ValueError, match="name a column instead"):
            data.from_arrays({"a": [1]}, [1])
        with pytest.raises(ValueError, match="give the labels of pictures as `labels`"):
            data.from_arrays(np.zeros((2, 3), np.uint8), classes=["label"])
        with pytest.raises(ValueError, match=r"images: expected uint8 or float32 .* got float64 .2, 3."):
            data.from_arrays(np.zeros((2, 3)))


class TestClasses:
    def test_numbers_by_value_and_names_by_the_alphabet(self):
        made = data.from_arrays(
            {"a": [10, 9, 10], "b": ["10", "9", "10"], "c": ["x10", "x9", "x10"], "d": [[True], [False], [True]]}
        )
        for name in "abcd":
            made = data.as_classes(made, name)
        assert made.classes == {"a": ("9", "10"), "b": ("9", "10"), "c": ("x10", "x9"), "d": ("False", "True")}
        assert made.columns["a"].tolist() == made.columns["b"].tolist() == [1, 0, 1]
        assert made.columns["c"].tolist() == [0, 1, 0]
        assert made.columns["d"].tolist() == [[1], [0], [1]]
        assert data.as_classes(made, "a") is made

    def test_digits_in_text_keep_how_they_are_written(self):
        made = data.from_arrays(
            {"a": [["010", "7"], ["007", "10"]], "b": [["9" * 20, "8"], ["8", "10"]]}, classes=["a", "b"]
        )
        assert made.classes == {"a": ("007", "7", "010", "10"), "b": ("8", "10", "9" * 20)}
        assert made.columns["a"].tolist() == [[2, 1], [0, 3]]
        assert made.columns["b"].tolist() == [[2, 0], [0, 1]]
        named = data.as_classes(data.from_arrays({"a": ["010", "007"]}), "a", names=("007", "010"))
        assert (named.column("a").tolist(), named.classes["a"]) == ([1, 0], ("007", "010"))
        with pytest.raises(ValueError, match="column 'a': unknown value '007'; known: "):
            data.as_classes(data.from_arrays({"a": ["010", "007"]}), "a", names=("7", "10"))

    def test_held_out_data_can_be_given_the_classes_of_the_training_data(self):
        names = ("cat", "dog", "owl")
        held = data.as_classes(data.from_arrays({"label": ["owl", "cat", "owl"]}), "label", names=names)
        assert (held.column("label").tolist(), held.classes["label"]) == ([2, 0, 2], names)
        alone = data.from_arrays({"label": ["owl", "cat", "owl"]}, classes=["label"])
        assert data.digest(data.as_classes(alone, "label", names=names)) == data.digest(held)
        with pytest.raises(ValueError, match="column 'label': unknown value 'owl'; known: dog, cat"):
            data.as_classes(alone, "label", names=("cat", "dog"))


class TestTakeAndConcatenate:
    def test_take_keeps_columns_together(self):
        made = paintings()
        part = data.take(made, np.array([7, 2]))
        assert part.column("title").tolist() == ["no. 7", "no. 2"]
        np.testing.assert_array_equal(part.column("tokens"), made.column("tokens")[[7, 2]])
        assert part.classes == made.classes
        for wrong in ([], [12], [-1], [True, False], [0.5]):
            with pytest.raises(ValueError, match=r"indices: expected whole numbers .M. from 0 to 11"):
                data.take(made, wrong)

    def test_sources_are_told_by_a_column(self):
        made = paintings(5)
        both = data.concatenate({"north": made._replace(failures=("a.png: cut",)), "south": data.take(made, [4])})
        assert both.column("source").tolist() == [0] * 5 + [1]
        assert both.classes == {**made.classes, "source": ("north", "south")}
        assert both.column("title").tolist()[-2:] == ["no. 4", "no. 4"]
        assert both.failures == ("north: a.png: cut",)

    def test_what_does_not_fit_together_is_refused(self):
        made, other = paintings(3), data.from_arrays({"price": [1.0]})
        with pytest.raises(ValueError, match=r"expected all as 'a': .* got 'b': {'price': .'float64'"):
            data.concatenate({"a": made, "b": other})
        with pytest.raises(ValueError, match="expected all as 'a'"):
            data.concatenate({"a": made, "b": made._replace(classes={"artist": ("Ernst", "Goya", "Miro")})})
        with pytest.raises(ValueError, match="got 'price', which is one already"):
            data.concatenate({"a": made}, source="price")
        with pytest.raises(ValueError, match="at least one"):
            data.concatenate({})


class TestDigest:
    def test_it_tells_values_types_shapes_names_and_classes_apart(self):
        a = np.arange(4)
        others = [
            {"a": a},
            {"a": a[::-1]},
            {"b": a},
            {"a": a.astype(np.int32)},
            {"a": a.astype(np.float64)},
            {"a": a.reshape(2, 2)},
            {"a": a.astype(str)},
            {"a": a, "b": a},
        ]
        made = [data.from_arrays(columns) for columns in others]
        made += [data.as_classes(made[0], "a"), data.as_classes(made[0], "a", names=("0", "1", "2", "3", "4"))]
        assert len({data.digest(each) for each in made}) == len(made)

    def test_it_tells_times_from_their_text_and_units(self):
        days = np.array(["2001-01-01", "1969-07-20"], "M8[D]")
        spans = np.array([1, 2], "m8[D]")
        columns = [days, days.astype(str), days.astype("M8[s]"), spans, spans.astype(str), np.array([1, 2], "m8[s]")]
        assert len({data.digest(data.from_arrays({"a": each})) for each in columns}) == len(columns)
        swapped = days.astype(days.dtype.newbyteorder())
        assert data.digest(data.from_arrays({"a": swapped})) == data.digest(data.from_arrays({"a": days}))

    def test_it_depends_on_nothing_else(self):
        made = paintings()
        turned = made._replace(columns=dict(reversed(made.columns.items())), failures=("a: b",))
        assert data.digest(turned) == data.digest(made)
        big = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in made.columns.items()}
        assert data.digest(made._replace(columns=big)) == data.digest(made)
        strided = {name: np.repeat(array, 2, axis=0)[::2] for name, array in made.columns.items()}
        assert data.digest(made._replace(columns=strided)) == data.digest(made)
        wide = made.columns | {"title": made.column("title").astype("U99")}
        assert data.digest(made._replace(columns=wide)) == data.digest(made)

    def test_it_stays_what_it_was(self):
        made = data.from_arrays(
            {"x": np.arange(6, dtype=np.float32).reshape(3, 2), "name": ["a", "b", "a"]}, classes=["name"]
        )
        assert data.digest(made) == "22452cb0bc9c24ee3738f4814d95c0b36f25676f42fbc3487b10884d754bc49d"

    def test_that_of_version_0_1_can_still_be_taken(self):
        """The expected values were taken with that version."""
        images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
        known = {
            "e17020dc0a9e911f652ce046d706bc9f86adb032331cd3fe95da2b00c6b8a558": (images, ["b", "a"]),
            "cfdca0df35b14b4492714ec1569aae97cffae720c1b06c3a17d1d52694172a29": (images, None),
            "0ce7f1f8ce8e5c5dd62f31fb6e0a4a2024d3f39907120c492b9b099197d1778d": (images.astype(np.float32), [3, 10]),
        }
        for digest, (array, labels) in known.items():
            assert picture_digest(data.from_arrays(array, labels)) == digest


class State(NamedTuple):
    step: jax.Array
    weight: jax.Array


class Info(NamedTuple):
    loss: jax.Array


def appraise(key, state, batch, frozen):
    """Regress a price on the mean of tokens: a float target that no picture goes with."""
    del key, frozen
    assert {name: array.dtype.name for name, array in batch.items()} == {
        "artist": "int32",
        "price": "float32",
        "tokens": "uint16",
        "views": "int32",
    }

    def loss(weight):
        told = weight[0] * batch["tokens"].astype(jnp.float32).mean(1) / 99 + weight[1] + weight[2] * batch["artist"]
        return jnp.mean((told - batch["price"]) ** 2)

    value, slope = jax.value_and_grad(loss)(state.weight)
    return State(state.step + 1, state.weight - 0.05 * slope), Info(value)


RECIPE = Recipe(lambda key: State(jnp.int32(0), jnp.zeros(3)), appraise)


class TestThroughBatches:
    def test_dtypes_stay_and_text_and_times_are_left_out(self):
        made = paintings()
        batch = next(data.batches(KEY, made, 4))
        assert {name: array.dtype for name, array in batch.items()} == {
            name: made.column(name).dtype for name in ("tokens", "price", "artist", "views")
        }
        rows = batch["views"]
        for name, array in batch.items():
            np.testing.assert_array_equal(array, made.column(name)[rows])

    def test_columns_can_be_chosen(self):
        assert list(next(data.batches(KEY, paintings(), 4, columns=["price"]))) == ["price"]
        for columns, message in (
            (["prize"], "unknown value 'prize'"),
            (["title"], "column 'title': expected numbers, got <U6, which no device takes. Make classes of it"),
            ([], "at least one of numbers"),
        ):
            with pytest.raises(ValueError, match=message):
                data.batches(KEY, paintings(), 4, columns=columns)

    @pytest.mark.parametrize(("dtype", "value"), [(np.int64, 2**31), (np.int64, -(2**31) - 1), (np.uint64, 2**32)])
    def test_numbers_that_jax_would_cut_are_refused(self, dtype, value):
        made = data.from_arrays({"x": np.array([0, value], dtype)})
        with pytest.raises(ValueError, match=f"column 'x': expected .* {value}.* would cut them to 32 bits"):
            data.batches(KEY, made, 2)
        fits = data.from_arrays({"x": np.array([0, value - 1 if value > 0 else value + 1], dtype)})
        assert next(data.batches(KEY, fits, 2))["x"].dtype == dtype

    def test_fit_trains_on_them_resumes_and_shards(self):
        made = paintings()

        def batches(first):
            return data.batches(KEY, made, 8, first=first)

        whole, info = fit(RECIPE, batches, key=KEY, steps=200, batches_per_call=7)
        half, _ = fit(RECIPE, batches, key=KEY, steps=90, batches_per_call=7)
        resumed, _ = fit(RECIPE, batches, key=KEY, steps=200, state=half)
        np.testing.assert_array_equal(resumed.weight, whole.weight)
        assert float(info.loss) < 0.5 * np.mean(made.column("price") ** 2)
        sharded, _ = fit(RECIPE, batches, key=KEY, steps=20, mesh=data_mesh(jax.devices()[:2]))
        alone, _ = fit(RECIPE, batches, key=KEY, steps=20)
        np.testing.assert_allclose(sharded.weight, alone.weight, rtol=1e-5)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


class TestTables:
    def test_csv_columns_are_whole_numbers_numbers_or_text(self, tmp_path):
        path = write(
            tmp_path / "a.csv", '\ufeffid, year ,price,artist,empty\n007,1889, 1.5 ,"Gogh, van",\n8,1503,2e3,,\n'
        )
        read = data.load_table(path, classes=["artist"])
        assert {name: array.tolist() for name, array in read.columns.items()} == {
            "id": [7, 8],
            "year": [1889, 1503],
            "price": [1.5, 2000.0],
            "artist": [1, 0],
            "empty": ["", ""],
        }
        assert read.column("year").dtype == np.int64
        assert read.classes == {"artist": ("", "Gogh, van")}

    def test_digits_with_underscores_are_names(self, tmp_path):
        read = data.load_table(write(tmp_path / "a.csv", "a,b\n1_000,1_0.5\n2_000,2\n"))
        assert read.column("a").tolist() == ["1_000", "2_000"]
        assert read.column("b").tolist() == ["1_0.5", "2"]

    def test_npz_columns_stay_what_they_are(self, tmp_path):
        made = paintings()
        np.savez(tmp_path / "a.npz", **made.columns)
        read = data.load_table(tmp_path / "a.npz")
        assert data.digest(read) == data.digest(made._replace(classes={}))

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("a.csv", "price\n1\n\n2.5\n", None),
            (
                "a.csv",
                "id,price\n1,2.5\n2,\n3,\n",
                r"a.csv: column 'price': expected a number .* in row 2 and in 2 rows in all",
            ),
            ("a.csv", "a,b,a\n1,2,3\n", "a.csv: expected each column once .* got a, b, a"),
            ("a.csv", "a,b\n1,2\nGogh, van,3\n", "a.csv: expected 2 cells in row 2, got 3. Put quotes"),
            ("a.csv", "a,b\n", "a.csv: columns: expected one number of examples .* got 0 in 'a', 0 in 'b'"),
            ("a.csv", "", "a.csv: columns: .* got no columns"),
            (
                "a.csv",
                "a\n1\nnan\n",
                "a.csv: column 'a': expected finite numbers, got NaN or infinity in 1 of 2 examples",
            ),
            ("a.csv", "a\n99999999999999999999\n", None),
            ("a.npz", "no", "a.npz: cannot be read"),
            ("a.txt", "a\n1\n", "expected a table, .csv or .npz, got .txt"),
        ],
    )
    def test_damaged_tables_are_refused(self, tmp_path, name, text, message):
        path = write(tmp_path / name, text)
        if message is None:
            assert next(iter(data.load_table(path).columns.values())).dtype == np.float64
            return
        with pytest.raises(ValueError, match=message):
            data.load_table(path)
        with pytest.raises(ValueError, match="no such file"):
            data.load_table(tmp_path / "b.csv")


class TestColumnsOfPictures:
    @pytest.fixture(autouse=True)
    def pictures(self, tmp_path, monkeypatch):
        monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
        (tmp_path / "works").mkdir()
        for number in range(4):
            Image.fromarray(np.full((8, 8, 3), 60 * number, np.uint8)).save(tmp_path / "works" / f"{number}.png")
        (tmp_path / "works" / "1.png").write_text("no picture")
        write(
            tmp_path / "sold.csv", "file,price,artist\n3.png,3.5,Klee\n1.png,1.5,Goya\n0.png,0.5,Goya\n2.png,2.5,Klee\n"
        )

    def test_a_csv_brings_targets_without_labels(self, tmp_path):
        options = {"size": 8, "labels": tmp_path / "sold.csv", "columns": ("price", "artist")}
        reads = [data.load(tmp_path / "works", **options, cache=cache) for cache in (True, True, False)]
        for read in reads:  # decoded, from the cache, in memory
            assert read.column("price").tolist() == [0.5, 2.5, 3.5]  # by the names of the files; one is no picture
            assert read.column("image")[:, 0, 0, 0].tolist() == [0, 120, 180]
            assert read.column("artist").tolist() == ["Goya", "Klee", "Klee"]
            assert read.column("label").tolist() == [0, 0, 0]
            assert (len(read.failures), read.classes) == (1, {})
            assert data.digest(read) == data.digest(reads[0])

    def test_only_what_is_asked_for_is_read(self, tmp_path):
        write(
            tmp_path / "both.csv",
            "file,label,price\n0.png,a,1\n2.png,a,\n3.png,b,2\n",
        )
        with pytest.warns(UserWarning, match="single picture"):
            read = data.load(tmp_path / "works", size=8, labels=tmp_path / "both.csv")
        assert sorted(read.columns) == ["image", "label"]
        assert read.classes == {"label": ("a", "b")}
        with pytest.raises(
            ValueError, match=r"column 'price': expected a number in every row, got none for 2\.png and in 1 rows"
        ):
            data.load(tmp_path / "works", size=8, labels=tmp_path / "both.csv", columns=["price"])
        with pytest.raises(ValueError, match="expected columns file,prize in the first line, got file, price, artist"):
            data.load(tmp_path / "works", labels=tmp_path / "sold.csv", columns=["prize"])
        with pytest.raises(ValueError, match="columns: expected `labels` too, the CSV file that price are in"):
            data.load(tmp_path / "works", columns=["price"])

    @pytest.mark.parametrize(
        ("labels", "column", "classes"),
        [
            (("1.5", "9.0", "0.5", "1e3"), [1.5, 0.5, 1000], ()),
            (("1", "9", "0", "1"), [1, 0, 1], ("0", "1")),
            (("2.0", "9", "1", "2"), [2, 1, 2], ()),
            (("1.5", "9", "b", "1.5"), [0, 1, 0], ("1.5", "b")),
            (("nan", "9", "1", "1"), [1, 0, 0], ("1", "nan")),
            (("9" * 20, "9", "1", "1"), [1, 0, 0], ("1", "9" * 20)),
        ],
    )
    @pytest.mark.filterwarnings("ignore:.*single picture")
    def test_labels_of_a_csv_are_classes_unless_they_are_floats(self, tmp_path, labels, column, classes):
        table = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
        read = data.load(tmp_path / "works", size=8, labels=write(tmp_path / "labels.csv", "file,label\n" + table))
        assert read.column("label").tolist() == column  # of 0, 2 and 3: 1 is no picture
        assert read.column("label").dtype == (np.int32 if classes else np.float64)
        assert read.classes.get("label", ()) == classes

    @pytest.mark.parametrize("name", ["image", "label"])
    def test_a_csv_column_cannot_replace_pictures_or_labels(self, tmp_path, name):
        table = write(tmp_path / "labels.csv", f"file,{name}\n0.png,1\n2.png,2\n")
        with pytest.raises(ValueError, match=f"columns: '{name}' is read without being named"):
            data.load(tmp_path / "works", size=8, labels=table, columns=[name])

    def test_so_does_an_npz(self, tmp_path):
        path = tmp_path / "a.npz"
        images = np.zeros((3, 8, 8, 1), np.uint8)
        np.savez(
            path, images=images, labels=[0.5, 1.5, 2.5], year=[1, 2, 3], names=["a", "b"], odd=np.array([{}], object)
        )
        read = data.load(path)
        assert sorted(read.columns) == ["image", "label"]
        assert (read.column("label").tolist(), read.classes) == ([0.5, 1.5, 2.5], {})  # a target, not three classes
        assert data.load(path, columns=["year"]).column("year").tolist() == [1, 2, 3]
        for name, message in (
            ("years", "columns: unknown value 'years'; known: year"),
            ("names", "got 3 in 'image', 3 in 'label', 2 in 'names'"),
            ("odd", "cannot be read"),
        ):
            with pytest.raises(ValueError, match=message):
                data.load(path, columns=[name])
        np.save(tmp_path / "a.npy", images)
        with pytest.raises(ValueError, match=r"a\.npy holds no others"):
            data.load(tmp_path / "a.npy", columns=["year"])
