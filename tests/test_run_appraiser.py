"""Appraisers as a kind of run: a table in, values and ranges out, the same bits after an interruption."""

import csv
import json

import jax
import numpy as np
import pytest
from helpers import example

from jaxart import data, runs

OPTIONS = {
    "date": "date",
    "group": ("sale", "lot"),
    "after_sale": ("buyer", "duty", "sold"),
    "leave_out": ("work", "description"),  # words take long to compile
    "members": 2,
    "width": 16,
    "steps": 24,
    "save_every": 8,
    "sample_every": 8,
    "batch": 32,
}


pytestmark = pytest.mark.filterwarnings("ignore:.*share sale and lot")


def _write(path, records):
    with open(path, "w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(records)
        rows.writerows(zip(*records.values(), strict=True))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    records, _ = example("lots").make_lots(0, 240)
    return _write(tmp_path_factory.mktemp("lots") / "lots.csv", {n: c for n, c in records.items() if n != "picture"})


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    begun = runs.begin("appraiser", table, tmp_path_factory.mktemp("runs") / "run", options=_options())
    runs.train(begun)
    return begun


def _options(**changed):
    return runs.AppraiserOptions(**(OPTIONS | changed))


def _state(run):
    return jax.tree.leaves(runs.newest_state(run))


def test_a_resumed_run_equals_an_uninterrupted_one(run, table, tmp_path):
    other = runs.begin("appraiser", table, tmp_path / "other", options=_options())
    asked = iter([False, True])
    assert int(runs.train(other, stop=lambda: next(asked, True)).step) < OPTIONS["steps"]
    table_then = table.read_bytes()
    table.write_text("price\n1\n", encoding="utf-8")  # the folder has a copy
    runs.train(runs.open_run(tmp_path / "other"))
    table.write_bytes(table_then)
    for one, same in zip(_state(run), _state(other), strict=True):
        np.testing.assert_array_equal(one, same)
    measured = [json.loads((each.folder / "calibration.json").read_text()) for each in (run, other)]
    assert measured[0] == measured[1]


def test_the_newest_sales_are_the_test(run):
    found = runs.lot_appraiser(runs.open_run(run.folder))
    checked = runs.checked_of(found)
    parts = found.facts["parts"]
    assert parts["final"] == found.facts["lots"]
    assert len(checked.targets) == parts["final"] - parts["checked"]
    dates = data.column_values(found.records["date"], "date")
    rows = np.array(found.measured["test"]["rows"])
    assert np.nanmin(dates[rows]) > np.nanmax(np.delete(dates, rows))
    assert [each.share for each in checked.coverage] == sorted(each.share for each in checked.coverage)


def test_lots_are_valued(jaxart, run, table, tmp_path):
    records = data.read_records(table)
    sold = np.flatnonzero(data.parse_numbers(records["price"]) > 0)[:3]
    new = {"height": np.array(["44", records["height"][sold[1]], "55"])}  # the second is as in training
    few = _write(
        tmp_path / "few.csv", {n: c[sold] for n, c in records.items()} | new | {"note": np.array(["=1+1", "", "x"])}
    )
    valued, page = tmp_path / "valued.csv", tmp_path / "valued.html"
    assert jaxart("appraise", run.folder, few, "-o", valued, "--report", page, "--reasons", "1")[0] == 0
    found = data.read_records(valued)
    low, value, high = (data.parse_numbers(found[name]) for name in ("low_90", "value", "high_90"))
    assert ((low < value) & (value < high)).all()
    assert found["note"][0] == "'=1+1"
    assert [bool(cell) for cell in found["reasons"]] == [True, False, False]
    assert all(found["comparables"])
    assert ["learned from this lot" in cell for cell in found["flags"]] == [False, True, False]
    assert "http" not in page.read_text(encoding="utf-8").replace("http-equiv", "")
    assert "multiply to that within" in jaxart("explain", run.folder, few, "--row", "1")[1]
    assert "row: expected 1 to 3" in jaxart("explain", run.folder, few, "--row", "9")[2]


def _broken(path, table, **changed):
    return _write(path, data.read_records(table) | changed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "prise"}, "price"),
        ({"test": 1.0}, "share in"),
        ({"date": None, "split": "time"}, "dates"),
        ({"date": None, "missing": "interpolate"}, "date"),
        ({"members": 1}, "at least 2"),
        ({"group": ("sael",)}, "sale"),
        ({"date": "artist"}, "expected dates"),
    ],
)
def test_what_cannot_be_trained_is_said(table, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        runs.prepare("appraiser", table, tmp_path / "run", options=_options(**options))


@pytest.mark.filterwarnings("ignore")
def test_prices_that_are_none(table, tmp_path):
    prices = np.array(["0", "-5", "on request", "", *data.read_records(table)["price"][4:]])
    begun = runs.prepare("appraiser", _broken(tmp_path / "a.csv", table, price=prices), tmp_path, options=_options())
    told = " ".join(begun.data["lots"].failures)
    for words in ("above 0 (row 1: '0', row 2: '-5')", "no number (row 3: 'on request')", "rows with no price (row 4"):
        assert words in told
    for cells, message in ((["x"] * len(prices), "prices above 0"), (["7"] * len(prices), "prices that differ")):
        broken = _broken(tmp_path / "b.csv", table, price=np.array(cells))
        with pytest.raises(ValueError, match=message):
            runs.prepare("appraiser", broken, tmp_path / "run", options=_options())


def test_what_gives_the_price_away_is_pointed_out(table, tmp_path):
    with pytest.warns(UserWarning, match="after-sale"):
        runs.prepare("appraiser", table, tmp_path, options=_options(after_sale=()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("missing", ["drop", "interpolate"])
def test_gaps(table, tmp_path, missing):
    begun = runs.prepare("appraiser", table, tmp_path, options=_options(missing=missing))
    assert (begun.data["lots"].count < 200) == (missing == "drop")
