"""The lots that examples/lots.py makes up: their prices follow the law that it states, and their mess is that of real tables."""

import re

import numpy as np
import pytest
from helpers import example

from jaxart import data, io, metrics

lots = example("lots")
COUNT = 1600


@pytest.fixture(scope="module")
def clean():
    return lots.make_lots(0, COUNT, clean=True)


@pytest.fixture(scope="module")
def inputs(clean):
    return table(clean[0])


@pytest.fixture(scope="module")
def messy():
    return lots.make_lots(0, COUNT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lots")
    lots.write_lots(path, *lots.make_lots(3, 80))
    return path


def log_prices(records):
    return np.log(data.parse_numbers(records["price"]))


def one_hot(cells):
    return (cells[:, None] == np.unique(cells)[None]).astype(float)


def first_of(groups):
    """The first row of each row's group [N]."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return first[number]


def table(records):
    """What the table and the words say, as numbers [N, F]."""
    names = ("artist", "school", "medium", "condition", "sale", "dealer")
    sizes = [np.log(data.parse_numbers(records[name])) for name in ("height", "width")]
    texts = [set(re.findall(r"[\w']+", text.lower())) for text in records["description"].tolist()]
    words = [[word in text for word in sorted(set.union(*texts))] for text in texts]
    years = data.parse_dates(records["date"]) - 1770
    return np.column_stack([*(one_hot(records[name]) for name in names), *sizes, years, np.array(words, float)])


def ridge_r2(inputs, targets, penalty=1.0):
    """R2 in every second row of a ridge that learned from the others."""
    learned, held = slice(0, None, 2), slice(1, None, 2)
    center, level = inputs[learned].mean(0), targets[learned].mean()
    x = inputs - center[None]
    gram = x[learned].T @ x[learned] + penalty * np.eye(x.shape[1])
    slopes = np.linalg.solve(gram, x[learned].T @ (targets[learned] - level))
    return metrics.r_squared(targets[held], level + x[held] @ slopes)


def test_same_seed_same_bytes(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["lots.py", str(tmp_path), "--count", "80", "--seed", "3"])
    lots.main()
    told = capsys.readouterr().out
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert all((folder / file).read_bytes() == (tmp_path / file).read_bytes() for file in files)
    assert f"80 rows in {len(set(zip(*rows_of(folder, 'sale', 'lot'), strict=True)))} lots" in told
    assert f"{len(files) - 1} pictures of 48 px" in told
    other, _ = lots.make_lots(4, 80)
    assert (other["price"] != lots.make_lots(3, 80)[0]["price"]).mean() > 0.7


def rows_of(folder, *names):
    records = data.read_records(folder / "lots.csv")
    return [records[name].tolist() for name in names]


@pytest.mark.parametrize("which", ["clean", "messy"])
def test_noise_and_shares_are_as_stated(which, request):
    records, truth = request.getfixturevalue(which)
    prices, known = log_prices(records), truth.sold
    np.testing.assert_array_equal(known, np.isfinite(prices))
    np.testing.assert_allclose(prices[known], (truth.log_price + truth.noise)[known], atol=0.02)  # a tenth of a livre
    np.testing.assert_allclose(truth.log_price, lots.LEVEL + sum(truth.parts.values()))
    assert truth.deviation == 0.5
    lot = data.group_rows(records, ["sale", "lot"])
    _, first = np.unique(lot, return_index=True)
    first = first[known[first]]
    assert truth.noise[first].std() == pytest.approx(truth.deviation, rel=0.05)
    assert abs(truth.noise[first].mean()) < 0.03
    assert metrics.r_squared(prices[known], truth.log_price[known]) == pytest.approx(lots.best_r2(truth), abs=0.015)
    shares = lots.variance_shares(truth)
    assert sum(shares.values()) == pytest.approx(1, abs=0.08)
    assert 1 - shares["noise"] == pytest.approx(lots.best_r2(truth))
    assert shares["table"] > 0.4
    assert min(shares.values()) > 0.1
    assert lots.best_r2(truth, new_sales=True) == pytest.approx(1 - shares["noise"] * (0.25 + 0.04) / 0.25)
    np.testing.assert_array_equal(np.round(prices, 12)[known], np.round(prices, 12)[first_of(lot)][known])


def test_the_best_r2_is_nearly_reached_by_who_sees_all_and_not_without_the_picture(clean, inputs):
    records, truth = clean
    prices = log_prices(records)
    looks = np.column_stack([truth.color, truth.contrast])
    everything = np.column_stack([inputs, looks / looks.std(0)[None]])
    seen = ridge_r2(everything, prices)
    assert lots.best_r2(truth) - 0.05 < seen < lots.best_r2(truth) + 0.02
    assert seen - ridge_r2(inputs, prices) > 0.1


def test_only_the_picture_tells_its_part(clean, inputs):
    _, truth = clean
    _, alone = np.unique(truth.color, return_index=True)  # pendants look alike
    part = truth.parts["picture"]
    assert ridge_r2(inputs[alone], part[alone]) < 0.05
    rows = alone[:100]
    seen = np.array([lots.picture_statistics(lots.paint(truth, row)) for row in rows])
    assert ridge_r2(seen / seen.std(0)[None], part[rows], 1e-3) > 0.99
    np.testing.assert_allclose(seen, np.column_stack([truth.color, truth.contrast])[rows], atol=0.01)


def test_pendants_and_works_that_come_up_again(messy, clean):
    records, truth = messy
    found = data.count_duplicates(records, target="price", group=["sale", "lot"])
    assert 0.1 < found.shared / COUNT < 0.35
    lot = data.group_rows(records, ["sale", "lot"])
    for values in (truth.log_price, truth.noise, truth.color, truth.sold):
        np.testing.assert_array_equal(values, values[first_of(lot)])
    works, when = records["work"], data.parse_dates(records["date"])
    names, counts = np.unique(works, return_counts=True)
    assert 0.03 < (counts - 1).sum() / COUNT < 0.12
    for name in names[counts > 1]:
        rows = np.flatnonzero(works == name)
        assert np.diff(when[rows]).sum() > 1.9 or len(rows) > 2
        assert len(np.unique(truth.brush[rows])) == len(np.unique(truth.parts["text"][rows])) == 1
        assert len(np.unique(truth.noise[rows])) == len(rows)
    assert len(np.unique(clean[0]["work"])) == COUNT


def test_the_table_is_read_and_its_columns_are_found(folder):
    records = data.read_records(folder / "lots.csv")
    made, truth = lots.make_lots(3, 80)
    assert {name: cells.tolist() for name, cells in records.items()} == {
        name: cells.tolist() for name, cells in made.items()
    }
    columns = data.find_columns(records, target="price", group=["sale", "lot"], leave_out=["work"])
    assert {column.name: column.kind for column in columns} == {
        **dict.fromkeys(("sale", "lot", "work", "price", "diameter"), "left out"),
        **dict.fromkeys(("dealer", "artist", "school", "medium", "condition", "buyer"), "category"),
        **dict.fromkeys(("height", "width", "sold", "estimate", "duty"), "number"),
        "date": "date",
        "description": "text",
        "picture": "picture",
    }
    missing = {column.name: column.missing for column in columns}
    assert min(missing[name] for name in ("height", "condition", "medium", "price", "buyer")) > 0
    assert any("," in price for price in records["price"])
    assert any("n/a" in cells for cells in records.values())
    there = [bool(name) and (folder / name).is_file() for name in records["picture"]]
    assert there == truth.kept.tolist()
    assert 0 < there.count(False) < 20
    assert any(name and not kept for name, kept in zip(records["picture"], there, strict=True))
    picture = io.read(folder / str(records["picture"][there.index(True)]))
    assert picture.shape == (48, 48, 3)


def test_columns_that_give_the_price_away_are_named(messy, clean):
    for records, names in ((messy[0], {"buyer", "duty", "sold"}), (clean[0], set())):
        columns = data.find_columns(records, target="price", group=["sale", "lot"], leave_out=["work"])
        groups = data.group_rows(records, ["sale", "lot"])
        found = data.suspicious_columns(records, columns, log_prices(records), groups)
        assert {each.name for each in found} == names
        assert all(each.r2 > 0.8 for each in found if each.name in ("buyer", "duty"))


def test_unsold_lots_are_those_estimated_above_their_value(messy):
    records, truth = messy
    assert 0.05 < np.mean(~truth.sold) < 0.2
    assert ((records["sold"] == "1") == truth.sold).all()
    assert (records["price"][~truth.sold] == "").all()
    estimate = data.parse_numbers(records["estimate"])
    there = np.isfinite(estimate)
    over = np.log(estimate[there]) - truth.log_price[there]
    assert over[~truth.sold[there]].mean() - over[truth.sold[there]].mean() > 0.3
