"""What the columns of a table of lots are, which rows repeat others, and which columns give the price away."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart import data

ROWS = 300
SUBJECTS = "landscape river figures cattle portrait lady dog flowers vase fruit ruins soldiers storm harbor moonlight"


def lots(seed=0, rows=ROWS):
    """A table such as an auction house keeps it, of which the price depends on artist and height."""
    rng = np.random.default_rng(seed)
    artist, height = rng.integers(0, 12, rows), rng.uniform(5, 80, rows)
    price = np.exp(3 + 0.1 * artist + 0.02 * height + rng.normal(0, 0.7, rows))
    some = rng.uniform(size=rows)
    return {
        "name": np.array([f"R{1764 + row % 15}-{row}" for row in range(rows)]),
        "id": np.array([str(1000 + row) for row in rng.permutation(rows)]),
        "sale": np.array([f"R{1764 + row % 15}" for row in range(rows)]),
        "lot": np.array([str(row // 3) for row in range(rows)]),
        "artist": np.array([f"Painter {number}" for number in artist]),
        "school": np.array(list("FDI"))[artist % 3],
        "subject": np.array([" ".join(rng.choice(SUBJECTS.split(), 5)) for _ in range(rows)]),
        "height": np.array([f"{value:.1f}" if part > 0.08 else "" for value, part in zip(height, some, strict=True)]),
        "diameter": np.array(
            [f"{value:.1f}" if part > 0.99 else "n/a" for value, part in zip(height, some, strict=True)]
        ),
        "signed": rng.integers(0, 2, rows).astype(str),
        "stamp": np.where(some > 0.6, "yes", ""),
        "made": np.array(["c. 1650", "1640-45", "1651", "12 March 1652"])[rng.integers(0, 4, rows)],
        "picture": np.array([f"pictures/{row}.JPG" for row in range(rows)]),
        "count": np.full(rows, "1"),
        "notes": np.full(rows, ""),
        "price": np.array([f"{value:,.2f}" for value in price]),
    }


def kinds(columns):
    return {column.name: column.kind for column in columns}


def test_columns_are_what_a_specialist_would_say():
    columns = data.find_columns(lots(), target="price", group=["sale", "lot"])
    assert kinds(columns) == {
        "name": "left out",
        "id": "left out",
        "sale": "left out",
        "lot": "left out",
        "artist": "category",
        "school": "category",
        "subject": "text",
        "height": "number",
        "diameter": "left out",
        "signed": "number",
        "stamp": "category",
        "made": "date",
        "picture": "picture",
        "count": "left out",
        "notes": "left out",
        "price": "left out",
    }
    assert {column.kind for column in columns} <= set(data.COLUMN_KINDS)
    why = {column.name: column.why for column in columns}
    assert why["name"] == "one value a row: a name"
    assert why["id"] == "one value a row: a running number"
    assert why["sale"] == why["lot"] == "groups rows"
    assert why["artist"] == "12 values"
    assert why["stamp"] == "1 value"
    assert why["count"] == "one value only"
    assert why["notes"] == "empty in all rows"
    assert why["price"] == "the target"
    assert why["made"] == "dates in 100 % of the rows"
    assert why["subject"].endswith("different texts of 5.0 words")
    of = {column.name: column for column in columns}
    assert of["height"].missing == pytest.approx(np.mean(lots()["height"] == ""))
    assert of["height"].why == f"numbers in {100 - round(100 * of['height'].missing)} % of the rows"
    assert (of["school"].distinct, of["school"].missing, of["diameter"].missing > 0.98) == (3, 0, True)


def test_what_the_caller_says_overrules():
    columns = data.find_columns(
        lots(),
        target="price",
        date="made",
        group=["sale", "lot"],
        after_sale=["stamp"],
        numbers="diameter",
        categories=["sale", "signed"],
        texts=["artist"],
        pictures=["name"],
        leave_out=["school"],
        most_missing=1,
    )
    told = {column.name: (column.kind, column.why) for column in columns}
    assert told["made"] == ("date", "the date")
    assert told["stamp"] == ("left out", "known only after the sale")
    assert told["school"] == ("left out", "as told")
    assert told["lot"] == ("left out", "groups rows")
    assert [told[name][0] for name in ("sale", "signed", "artist", "name", "diameter")] == [
        "category",
        "category",
        "text",
        "picture",
        "number",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "prise"}, "unknown value 'prise'; known: price"),
        ({"target": "price", "group": ["slae"]}, "group: unknown value 'slae'; known: sale"),
        ({"target": "price", "numbers": ["heigth"]}, "numbers: unknown value 'heigth'; known: height"),
        ({"target": "price", "numbers": ["price"]}, "'price' to be told once"),
        ({"target": "price", "texts": ["artist"], "categories": ["artist"]}, "'artist' to be told once"),
        ({"target": "price", "numbers": ["artist"]}, "column 'artist': expected numbers, got 'Painter"),
        ({"target": "price", "numbers": ["notes"]}, "got empty cells"),
        ({"target": "price", "date": "subject"}, "column 'subject': expected dates"),
        ({"target": "price", "most_missing": 0}, "most_missing"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.find_columns(lots(), **options)


def test_records_without_rows_or_of_two_lengths_are_refused():
    for records in ({}, {"a": np.array([], "U1")}, {"a": np.array(["1"]), "b": np.array(["1", "2"])}):
        with pytest.raises(ValueError, match="columns of one length"):
            data.find_columns(records, target="a")
        with pytest.raises(ValueError, match="columns of one length"):
            data.group_rows(records, [])


def test_two_hundred_columns_are_quick():
    rng = np.random.default_rng(0)
    records = {f"empty {number}": np.full(3000, "") for number in range(190)}
    records |= {
        f"number {number}": np.array([f"{value:.3f}" for value in rng.normal(size=3000)]) for number in range(10)
    }
    start = time.perf_counter()
    columns = data.find_columns(records, target="number 0")
    assert time.perf_counter() - start < 4  # 0.2 s on an idle machine
    assert [column.kind for column in columns] == ["left out"] * 191 + ["number"] * 9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.text(max_size=4)] * 3), min_size=1, max_size=30))
def test_any_table_has_a_kind_for_each_column(rows):
    records = {name: np.array(cells) for name, cells in zip("abc", zip(*rows, strict=True), strict=True)}
    columns = data.find_columns(records, target="a")
    assert [column.name for column in columns] == ["a", "b", "c"]
    assert all(column.kind in data.COLUMN_KINDS and 0 <= column.missing <= 1 for column in columns)
    data.suspicious_columns(records, columns, np.arange(float(len(rows))))


def test_groups_are_numbered_as_they_appear():
    records = {"sale": np.array(["b", "a", "b", "", "?", "a"]), "lot": np.array(["1", "1", "1", "", "", ""])}
    assert data.group_rows(records, ["sale", "lot"]).tolist() == [0, 1, 0, 2, 3, 4]
    assert data.group_rows(records, "sale").tolist() == [0, 1, 0, 2, 3, 1]
    assert data.group_rows(records, ()).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="known: lot"):
        data.group_rows(records, ["lto"])


def test_duplicates_are_counted():
    records = {
        "lot": np.array(["1", "1", "2", "2", "2", "3", "4", "4", "5", "5"]),
        "part": np.array(["a", "b", "a", "a", "c", "a", "a", "b", "a", "b"]),
        "price": np.array(["6", "6.00", "9", "9", "8", "1", "", "", "", "2"]),
    }
    counted = data.count_duplicates(records, target="price", group=["lot"])
    assert counted == data.Duplicates(rows=10, equal=1, shared=9, groups=4, one_price=1)
    assert data.count_duplicates(records, target="price") == data.Duplicates(10, 1, 0, 0, 0)
    with pytest.raises(ValueError, match="known: price"):
        data.count_duplicates(records, target="prize")


def suspicions(records, groups=None, **options):
    columns = data.find_columns(records, target="price", group=["sale", "lot"])
    prices = np.log(data.parse_numbers(records["price"]))
    return {each.name: each for each in data.suspicious_columns(records, columns, prices, groups, **options)}


def test_columns_that_tell_the_price_are_found():
    records = lots()
    prices = data.parse_numbers(records["price"])
    records["fee"] = np.array([f"{0.2 * price:.3f}" for price in prices])
    records["band"] = np.array([f"band {number}" for number in np.digitize(np.log(prices), np.linspace(3, 6, 9))])
    records["rank"] = np.where(prices > np.median(prices), "", (-prices).astype(str))
    found = suspicions(records, data.group_rows(records, ["sale", "lot"]), share=0.7)
    assert set(found) == {"fee", "band", "rank"}
    assert next(iter(found)) == "fee"
    assert found["fee"].r2 > 0.9
    assert found["fee"].why.endswith("% of the prices alone")
    assert suspicions(lots()) == {}


def test_parts_of_a_lot_do_not_tell_the_price_when_groups_are_kept_together():
    records = lots()
    place = np.arange(ROWS) // 30
    records["lot"] = place.astype(str)
    records["owner"] = np.array([f"owner {number}" for number in place])
    prices = np.random.default_rng(1).normal(size=10)[place]
    columns = [data.Column("owner", "category", "", 10, 0.0)]
    assert data.suspicious_columns(records, columns, prices, share=0.6)[0].r2 > 0.8
    assert data.suspicious_columns(records, columns, prices, data.group_rows(records, ["lot"]), share=0.6) == []


def test_the_order_of_rows_changes_little():
    records = lots()
    records["fee"] = records["price"].copy()
    order = np.random.default_rng(2).permutation(ROWS)
    first = suspicions(records, np.arange(ROWS))["fee"].r2
    second = suspicions({name: cells[order] for name, cells in records.items()}, np.arange(ROWS)[order])["fee"].r2
    assert first == pytest.approx(second, abs=1e-9)


LATE = (
    "winningbidder endbuyer Interm type_intermed winningbiddertype logprice hammer_price soldTo Sold realized_usd price purchaser acheteur "
    "Käufer prix_adjuge Zuschlag buyers_premium AmountPaid intermediary is_unsold winning_bid"
)


@pytest.mark.parametrize("name", LATE.split())
def test_names_of_what_is_known_late(name):
    assert data.is_late_name(name)


EARLY = (
    "height width estimate low_estimate price_estimate estimated_price Schätzpreis starting_price previous_price soldiers caprice internal "
    "realism artist prevcoll position surrealist interior prix_de_rome"
)


@pytest.mark.parametrize("name", EARLY.split())
def test_names_of_what_is_known_before(name):
    assert not data.is_late_name(name)


def test_suspicious_names_are_found_whatever_they_tell():
    records = lots()
    records["endbuyer"] = np.array(["C", "D", ""])[np.arange(ROWS) % 3]
    found = suspicions(records)
    assert list(found) == ["endbuyer"]
    assert found["endbuyer"].r2 < 0.1
    assert found["endbuyer"].why == "by its name known only after the sale"


def test_prices_that_are_missing_do_not_count_and_bad_ones_are_refused():
    records = lots()
    columns = data.find_columns(records, target="price")
    prices = np.log(data.parse_numbers(records["price"]))
    prices[::7] = np.nan
    assert data.suspicious_columns(records, columns, prices) == []
    assert data.suspicious_columns(records, columns, np.ones(ROWS)) == []
    for values, groups, share, message in (
        (prices[1:], None, 0.8, "one a row"),
        (np.full(ROWS, np.nan), None, 0.8, "some that are finite"),
        (prices, np.zeros(3, int), 0.8, "one a row"),
        (prices, None, 0.0, "share"),
    ):
        with pytest.raises(ValueError, match=message):
            data.suspicious_columns(records, columns, values, groups, share=share)
    with pytest.raises(ValueError, match="columns: unknown value"):
        data.suspicious_columns(records, [data.Column("nothing", "number", "", 1, 0.0)], prices)


def test_dates_and_numbers_as_values():
    cells = np.array(["03/04/1900", "1900"])
    assert data.column_values(cells, "date")[0] == pytest.approx(1900 + 92 / 365)
    assert np.isnan(data.column_values(cells, "number")[0])
    with pytest.raises(ValueError, match="kind"):
        data.column_values(cells, "text")
