"""Missing values: what is filled in is what the formulas say, comes of the training part alone, and is the same for a row alone."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import Ridge

from jaxart import data

KEY = jax.random.key(3)
NAN = float("nan")


def fit(columns, method, **options):
    """Return a filling; "interpolate" is along the year within the artist."""
    along = {"date": "year", "group": "artist"} if method == "interpolate" else {}
    return data.fit_filling(columns, method, **(along | options))


def normal(count=200, gaps=0.15, seed=0):
    """Return a table of numbers that depend on each other, and of an artist, with gaps."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, 3)) @ random.normal(size=(3, 5)) + 0.3 * random.normal(size=(count, 5))
    columns = dict(zip(("year", "width", "height", "price", "age"), (mixed * [9, 30, 20, 4, 1] + 100).T, strict=True))
    columns["artist"] = random.choice(["Klee", "Macke", "Marc", "Münter"], size=count, p=[0.4, 0.3, 0.28, 0.02])
    columns["price"] += 5.0 * (columns["artist"] == "Klee")
    return data.delete_at_random(KEY, columns, gaps)


def assert_same(table, other):
    assert list(table) == list(other)
    for name, values in table.items():
        np.testing.assert_array_equal(values, other[name])


def assert_complete(filled, table):
    """Assert that nothing is missing and that known values are as they were, bit for bit."""
    for name, values in filled.items():
        text = values.dtype.kind == "U"
        assert (values != "").all() if text else np.isfinite(values).all()
        known = ~data.missing_flags(table)[name]
        assert values[known].tolist() == table[name][known].tolist()
        assert text or values[known].tobytes() == table[name][known].tobytes()


def one(table, row):
    return {name: values[row : row + 1] for name, values in table.items()}


@pytest.mark.parametrize("method", data.FILLING_METHODS)
def test_every_method_is_complete_json_row_by_row_and_blind_to_what_is_held_out(method):
    table, rows = normal(), np.arange(0, 200, 2)
    filling = fit(table, method, rows=rows)
    assert data.Filling(*json.loads(json.dumps(filling))) == filling
    filled = data.apply_filling(filling, table)
    assert list(filled) == list(table)
    assert_complete(filled, table)
    for row in range(0, 200, 7):
        assert_same(data.apply_filling(filling, one(table, row)), one(filled, row))
    assert_same(data.apply_filling(data.Filling(*json.loads(json.dumps(filling))), table), filled)
    others = {name: np.where(np.arange(200) % 2, values[::-1], values) for name, values in table.items()}
    others["year"][1::2] = 7e7
    assert fit(others, method, rows=rows) == filling
    assert fit({name: values[rows] for name, values in table.items()}, method) == filling


@pytest.mark.parametrize(("method", "name"), [("mean", "mean"), ("median", "median"), ("frequent", "most_frequent")])
def test_simple_values_are_those_of_scikit_learn(method, name):
    table = normal()
    table["price"], table["width"] = np.round(table["price"]), np.round(table["width"] / 10)
    filled = data.apply_filling(fit(table, method), table)
    numbers = np.stack([values for name, values in table.items() if name != "artist"], axis=1)
    expected = SimpleImputer(strategy=name).fit_transform(numbers)
    ours = np.stack([values for name, values in filled.items() if name != "artist"], axis=1)
    np.testing.assert_allclose(ours, expected, rtol=1e-14)
    artists = SimpleImputer(missing_values="", strategy="most_frequent").fit_transform(
        table["artist"][:, None].astype(object)
    )
    assert filled["artist"].tolist() == artists[:, 0].tolist()


def test_a_category_of_its_own():
    table = {"artist": ["", "Klee", "Klee"], "year": [1900.0, 1910.0, NAN]}
    filled = data.apply_filling(fit(table, "own"), table)
    assert filled["artist"].tolist() == ["missing", "Klee", "Klee"]
    assert filled["year"].tolist() == [1900, 1910, 1905]
    assert data.apply_filling(fit(table, "mean", categories="own"), table)["artist"][0] == "missing"
    assert data.apply_filling(fit(table, "own", categories="frequent"), table)["artist"][0] == "Klee"
    assert fit({"artist": ["b", "a", ""]}, "median").values == {"artist": "a"}


def test_dropping():
    table = {
        "year": [1900, NAN, 1910, 1920],
        "mark": ["", "", "", "x"],
        "artist": ["a", "b", "", "c"],
        "width": [1, 2, 3, 4],
    }
    filling = fit(table, "drop")
    assert filling.columns == ["year", "artist", "width"]
    assert filling.dropped == ["mark"]
    assert filling.shares["mark"] == 0.75
    assert data.kept_rows(filling, table).tolist() == [0, 3]
    assert data.kept_rows(fit(table, "mean"), table).tolist() == [0, 1, 2, 3]
    assert data.apply_filling(filling, table)["year"].tolist() == [1900, 1910, 1910, 1920]
    assert fit(table, "drop", max_missing=0.2).columns == ["width"]
    assert fit(table, "mean", max_missing=0.2).columns == ["width"]
    assert data.kept_rows(fit(table, "drop", max_missing=0.9), table).tolist() == [3]
    with pytest.raises(ValueError, match=r"expected rows without a gap, got none of 2 rows\. Take another max_missing"):
        fit({"a": [NAN, 1], "b": [1, NAN]}, "drop")
    with pytest.raises(ValueError, match=r"expected a column missing in at most 0\.5 of the rows, got none"):
        fit({"a": [NAN, NAN]}, "drop")


def test_interpolation_by_hand():
    table = {
        "artist": ["a", "a", "a", "a", "b", "b", "c", "a", "a", "", "a"],
        "year": [1900, 1910, 1904, 1880, 1930, 1920, 1920, NAN, 1910, 1905, 1990],
        "price": [10, 30, NAN, NAN, 100, NAN, NAN, NAN, 50, NAN, NAN],
        "size": [NAN] * 11,
    }
    filling = fit(table, "interpolate")
    assert filling.points["price"]["a"] == [[1900, 1910], [10, 40]]  # at 1910 the mean of 30 and 50
    assert filling.empty == ["size"]
    price = data.apply_filling(filling, table)["price"]
    # within a; before it; b has one point; c has none: between 40 in 1910 and 100 in 1930; no year: the median; no artist; after a
    np.testing.assert_allclose(price, [10, 30, 22, 10, 100, 100, 70, 40, 50, 25, 40])
    new = {"artist": ["a", "Klee", "b"], "year": [1902.0, 1902, NAN]}
    filled = data.apply_filling(filling, new)
    np.testing.assert_allclose(filled["price"], [16, 16, 40])
    assert filled["size"].tolist() == [0, 0, 0]
    assert filled["year"][2] == 1910
    table["None"] = table["artist"]  # a name as any other
    whole = data.fit_filling(table, "interpolate", date="year")
    assert list(whole.points["price"]) == [""]
    assert data.apply_filling(whole, table)["price"][3] == 10
    np.testing.assert_allclose(data.apply_filling(whole, table)["price"][5], 70)


def test_regress_regains_a_linear_relation():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 120)) * [[5], [300]] + 1000
    artist = random.choice(["Klee", "Marc"], 120)
    table = {"a": a, "b": b, "c": 2 * a - 0.1 * b + 7 + 30 * (artist == "Klee"), "artist": artist}
    gaps = table | {"c": np.where(np.arange(120) % 4 == 0, NAN, table["c"])}
    filling = fit(gaps, "regress", ridge=1e-8)
    np.testing.assert_allclose(data.apply_filling(filling, gaps)["c"], table["c"], rtol=1e-6)
    for name in "abc":  # also the columns that had no gap
        filled = data.apply_filling(filling, {other: values for other, values in table.items() if other != name})
        np.testing.assert_allclose(filled[name], table[name], rtol=1e-6)


def standardized(table):
    numbers = np.stack([values for name, values in table.items() if name != "artist"], axis=1)
    return numbers, (numbers - np.nanmean(numbers, axis=0)) / np.nanstd(numbers, axis=0)


@pytest.mark.parametrize(("gaps", "tolerance"), [("price", 1e-10), ("all", 5e-3)])
def test_regress_is_ridge_of_scikit_learn_in_rounds(gaps, tolerance):
    table = normal(gaps=0.1)
    del table["artist"]
    if gaps == "price":
        table = {
            name: np.where(name == "price", values, np.nan_to_num(values, nan=100)) for name, values in table.items()
        }
    numbers, scaled = standardized(table)
    oracle = IterativeImputer(Ridge(alpha=1.0), max_iter=50, tol=1e-4, imputation_order="ascending")
    filled = data.apply_filling(fit(table, "regress"), table)
    expected, missing = oracle.fit_transform(scaled), np.isnan(numbers)
    means, deviations = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
    ours = (np.stack(list(filled.values()), axis=1) - means) / deviations
    assert missing.sum() > 10
    np.testing.assert_allclose(ours[missing], expected[missing], atol=tolerance)


def test_regress_beats_the_mean_and_uses_categories():
    whole, gaps = normal(400, 0.0, seed=2), normal(400, seed=2)
    flags = data.missing_flags(gaps)
    errors = {}
    for method in ("mean", "regress"):
        filled = data.apply_filling(fit(gaps, method), gaps)
        errors[method] = {
            name: np.abs(filled[name] - whole[name])[flags[name]].mean() for name in whole if name != "artist"
        }
    assert all(errors["regress"][name] < 0.7 * errors["mean"][name] for name in errors["mean"])
    filling = fit(gaps, "regress")
    assert filling.regressions["levels"] == [["artist", "Klee"], ["artist", "Macke"], ["artist", "Marc"]]


def test_guesses_stay_near_what_is_known():
    table = {"a": [0.0, 1, 2, 3], "b": [0.0, 10, 20, 30]}
    filled = data.apply_filling(fit(table, "regress", ridge=1e-9), {"a": [1e90, 1.5, -1e90], "b": [NAN, NAN, NAN]})
    np.testing.assert_allclose(filled["b"], [60, 15, -30], rtol=1e-6)


@pytest.mark.parametrize("method", data.FILLING_METHODS)
def test_columns_without_a_value_or_without_variety(method):
    table = {
        "year": [NAN] * 3,
        "same": [0.1, NAN, 0.1],
        "artist": [""] * 3,
        "town": ["Bern", "", "Bern"],
        "one": [1.0, 2, 3],
    }
    options = {"max_missing": 0.5} if method == "drop" else {}
    filling = fit(table, method, **options)
    filled = data.apply_filling(filling, table)
    assert_complete(filled, {name: np.array(values) for name, values in table.items()})
    assert filling.empty == ["year", "artist"]
    np.testing.assert_allclose(filled["same"], 0.1)
    if method != "drop":
        assert filled["year"].tolist() == [0] * 3
        assert filled["artist"].tolist() == ["missing"] * 3
    assert filled["town"][1] == ("missing" if method == "own" else "Bern")


@pytest.mark.parametrize("method", data.FILLING_METHODS[1:])
def test_one_row_and_nothing_at_all(method):
    alone = {"year": [1900.0], "artist": ["Klee"], "width": [NAN]}
    filled = data.apply_filling(fit(alone, method), {"year": [NAN, 1950.0]})
    assert filled["year"].tolist() == [1900, 1950]
    assert filled["width"].tolist() == [0, 0]
    nothing = {"year": [NAN], "artist": [""]}
    filled = data.apply_filling(fit(nothing, method), nothing)
    assert (filled["year"][0], filled["artist"][0]) == (0, "missing")


def test_a_column_of_nothing_fits_either_kind():
    filling = fit({"year": [1900.0, 1910], "artist": ["Klee", "Marc"]}, "mean")
    filled = data.apply_filling(filling, {"year": ["", ""], "artist": [NAN, NAN]})
    assert filled["year"].tolist() == [1905, 1905]
    assert filled["artist"].tolist() == ["Klee", "Klee"]
    assert len(data.apply_filling(filling, {"year": np.zeros(0)})["artist"]) == 0


def test_flags():
    flags = data.missing_flags({"a": [1, NAN], "b": ["", "x"]}, names=("b", "c"))
    assert list(flags) == ["b", "c"]
    assert flags["b"].tolist() == [True, False]
    assert flags["c"].tolist() == [True, True]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_deleting_takes_exactly_a_share_of_what_is_known(share):
    table = normal(gaps=0.1)
    before = sum((~flags).sum() for flags in data.missing_flags(table).values())
    taken = data.delete_at_random(KEY, table, share)
    after = sum((~flags).sum() for flags in data.missing_flags(taken).values())
    assert before - after == round(share * before)
    assert_same(taken, data.delete_at_random(KEY, table, share))
    if share == 0.25:
        other = data.delete_at_random(jax.random.key(4), table, share)
        assert (np.isnan(other["year"]) != np.isnan(taken["year"])).any()
        for flags in data.missing_flags(data.delete_at_random(KEY, normal(gaps=0), share)).values():
            assert 0.15 < flags.mean() < 0.35


TABLE = {"year": [1900.0, NAN], "artist": ["Klee", ""], "width": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (TABLE, {"method": "medain"}, r"method: unknown value 'medain'; known: median, mean"),
        (TABLE, {"method": "mean", "categories": "owned"}, r"categories: unknown value 'owned'; known: own"),
        (
            {"a": [1.0, float("inf")]},
            {"method": "mean"},
            r"column 'a': expected numbers up to 1e\+100 .* got inf in row 1",
        ),
        (
            {"a": np.array([1.0, "x"], object)},
            {"method": "mean"},
            r"column 'a': expected numbers or text \[N\], got object",
        ),
        ({"a": np.zeros((2, 2))}, {"method": "mean"}, r"column 'a': .* got float64 \[2, 2\]"),
        ({"a": [1.0], "b": [1.0, 2.0]}, {"method": "mean"}, r"all as long, got \{'a': 1, 'b': 2\}"),
        ({}, {"method": "mean"}, r"expected at least one"),
        (TABLE, {"method": "mean", "rows": []}, r"rows: expected whole numbers \[M\] from 0 to 1, got float64 \[0\]"),
        (TABLE, {"method": "mean", "rows": [0, 2]}, r"got int64 \[2\] from 0 to 2"),
        (TABLE, {"method": "mean", "max_missing": 1.5}, r"max_missing: expected a share from 0 to 1, got 1\.5"),
        (TABLE, {"method": "regress", "ridge": 0}, r"ridge: expected a number above 0, got 0"),
        (TABLE, {"method": "interpolate"}, r"date: expected a column of numbers for the method 'interpolate'"),
        (TABLE, {"method": "mean", "date": "year"}, r"that one only, got method 'mean', date 'year'"),
        (TABLE, {"method": "interpolate", "date": "artist"}, r"date \(a column of numbers\): unknown value 'artist'"),
        (TABLE, {"method": "interpolate", "date": "year", "group": "artits"}, r"unknown value 'artits'; known: artist"),
    ],
)
def test_what_is_refused(columns, options, message):
    with pytest.raises(ValueError, match=message):
        data.fit_filling(columns, **options)


def test_what_is_refused_of_new_rows():
    filling = fit(TABLE, "median")
    with pytest.raises(ValueError, match=r"column: unknown value 'widht'; known: width"):
        data.apply_filling(filling, {"widht": [1.0]})
    with pytest.raises(ValueError, match=r"column 'year': expected numbers as in the training part, got 'c\. 1900'"):
        data.apply_filling(filling, {"year": ["", "c. 1900"]})
    with pytest.raises(ValueError, match=r"column 'artist': expected text as in the training part, got 3\.0"):
        data.kept_rows(filling, {"artist": [3]})
    with pytest.raises(ValueError, match=r"share: expected a share from 0 to 1, got 2"):
        data.delete_at_random(KEY, TABLE, 2)


NUMBERS = st.one_of(st.just(NAN), st.floats(-1e100, 1e100), st.sampled_from([0.0, -0.0, 1.0, 2.0]))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["", "a", "b"])), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS, st.sampled_from(data.FILLING_METHODS), st.sampled_from(["frequent", "own"]))
def test_whatever_comes_the_result_is_complete_and_known_values_stay(train, new, method, categories):
    named = [
        {
            name: np.array(values)
            for name, values in zip(("year", "width", "price", "artist"), zip(*rows, strict=True), strict=True)
        }
        for rows in (train, new)
    ]
    try:
        filling = fit(named[0], method, categories=categories)
    except ValueError as error:
        if method != "drop" or "Take another max_missing" not in str(error):
            raise
        return
    assert data.Filling(*json.loads(json.dumps(filling, allow_nan=False))) == filling
    for table in named:
        filled = data.apply_filling(filling, table)
        assert_complete(filled, table)
        assert_same(data.apply_filling(filling, one(table, 0)), one(filled, 0))
