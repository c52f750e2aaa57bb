"""Tables as people keep them: reading and writing, and the numbers and dates in their cells."""

import builtins
import codecs
import datetime
import importlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart import data


def written(folder, content, name="table.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_lists(records):
    return {name: cells.tolist() for name, cells in records.items()}


TITLES = ("Vue de l'église", "Nature morte; pêches", 'Dit "Le Grand"\nou non')


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16", b""), ("utf-16-be", codecs.BOM_UTF16_BE), ("cp1252", b"")],
)
def test_delimiters_and_encodings_are_found(tmp_path, delimiter, encoding, mark):
    quoted = ['"' + title.replace('"', '""') + '"' for title in TITLES]
    lines = [delimiter.join(row) for row in [("title", "price"), *zip(quoted, ("1,5", "NA", " 3 "), strict=True)]]
    lines[1] = f'{quoted[0]}{delimiter}"1,5"'
    path = written(tmp_path, mark + "\r\n".join(lines).encode(encoding), "table.txt")
    assert as_lists(data.read_records(path)) == {"title": list(TITLES), "price": ["1,5", "NA", "3"]}


def test_what_is_told_overrules(tmp_path):
    path = written(tmp_path, "a;b,c\n1;2,3\n4;5,6\n")
    assert list(data.read_records(path)) == ["a", "b,c"]
    assert as_lists(data.read_records(path, delimiter=",")) == {"a;b": ["1;2", "4;5"], "c": ["3", "6"]}
    path = written(tmp_path, "name\nDvořák\n".encode("cp1250"))
    assert data.read_records(path, encoding="cp1250")["name"].tolist() == ["Dvořák"]
    assert data.read_records(path)["name"].tolist() != ["Dvořák"]
    latin = written(tmp_path, b"name\n\x81\xe9\n")  # no Windows-1252
    assert data.read_records(latin)["name"].tolist() == ["\x81é"]


def test_short_rows_blank_lines_and_one_column(tmp_path):
    path = written(tmp_path, "a,b,c\n1\n\n2,3\n")
    assert as_lists(data.read_records(path)) == {"a": ["1", "2"], "b": ["", "3"], "c": ["", ""]}
    assert data.read_records(written(tmp_path, "title\none; two\nthree\n"))["title"].tolist() == ["one; two", "three"]


def test_long_cells_are_cut(tmp_path):
    path = written(tmp_path, f"text\n{'x' * 3000}\nshort\n")
    assert data.read_records(path)["text"].dtype == np.dtype("<U2000")
    assert data.read_records(path, longest=4)["text"].tolist() == ["xxxx", "shor"]
    longer = written(tmp_path, f"a,b\n{'x' * 200_000},1\n")  # than Python's reader takes
    assert data.read_records(longer)["b"].tolist() == ["1"]


def test_parquet(tmp_path):
    pandas = importlib.import_module("pandas")
    frame = pandas.DataFrame(
        {
            "title": ["Vue", None, " NA "],
            "price": [1.5, np.nan, 300.0],
            "lot": pandas.array([1, None, 3], dtype="Int64"),
            "signed": [True, False, True],
            "day": [datetime.date(1764, 3, 12), None, datetime.date(1900, 1, 1)],
        }
    )
    frame.to_parquet(tmp_path / "table.parquet")
    assert as_lists(data.read_records(tmp_path / "table.parquet")) == {
        "title": ["Vue", "", "NA"],
        "price": ["1.5", "", "300"],
        "lot": ["1", "", "3"],
        "signed": ["1", "0", "1"],
        "day": ["1764-03-12", "", "1900-01-01"],
    }
    pandas.DataFrame({"a": [[1], [2]]}).to_parquet(tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match="column 'a'"):
        data.read_records(tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match="not a readable"):
        data.read_records(written(tmp_path, "a,b\n", "text.parquet"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "an empty file"),
        ("\n\n", "an empty file"),
        ("a,b\n", "rows below the names"),
        ("a,b,a\n1,2,3\n", "'a' more than once"),
        ("a,,c\n1,2,3\n", "none for column 2"),
        ('a,b\n"1\n2",3\n4,5,6\n', "expected 2 cells in row 2, got 3"),
        ('a,b\n1,"2\n', "not a readable table"),
        (b"a,b\n1,\0\n", "binary"),
        (b"PK\x03\x04\0\0\0", "binary"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        data.read_records(written(tmp_path, content))


def test_bad_arguments_of_reading(tmp_path):
    path = written(tmp_path, "a,b\n1,2\n")
    with pytest.raises(ValueError, match="no such file"):
        data.read_records(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"\.csv \.tsv \.txt \.parquet"):
        data.read_records(written(tmp_path, "a,b\n1,2\n", "table.xlsx"))
    with pytest.raises(ValueError, match="encoding: expected one"):
        data.read_records(path, encoding="utf-9")
    with pytest.raises(ValueError, match="expected text in ascii"):
        data.read_records(written(tmp_path, "a\né\n"), encoding="ascii")
    for delimiter in ("", ", ", '"', "\n"):
        with pytest.raises(ValueError, match="delimiter"):
            data.read_records(path, delimiter=delimiter)
    with pytest.raises(ValueError, match="longest"):
        data.read_records(path, longest=0)


def test_without_pandas(tmp_path, monkeypatch):
    path = written(tmp_path, "a,b\n1,2\n")
    monkeypatch.setattr(importlib, "import_module", lambda name: builtins.__import__(f"no_{name}"))
    with pytest.raises(ValueError, match=r"pip install 'jaxart\[tables\]'"):
        data.read_records(path)


def numbers(*cells, decimal=None):
    return data.parse_numbers(list(cells), decimal=decimal).tolist()


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,700.0", 1700),
        ("1.700,50", 1700.5),
        ("1 700,5", 1700.5),
        ("1\u202f700\u202f000", 1_700_000),
        ("1'700", 1700),
        ("£1,200", 1200),
        ("US$ 1,234,567.89", 1234567.89),
        ("12 500 €", 12500),
        ("USD 300", 300),
        ("300usd", 300),
        ("(300)", -300),
        ("-£3", -3),
        ("£-3", -3),
        ("−3", -3),
        ("+3", 3),
        ("1e3", 1000),
        ("2.5E-1", 0.25),
        (".5", 0.5),
        ("007", 7),
    ],
)
def test_numbers(cell, value):
    assert numbers(cell) == [value]


def test_what_is_no_number():
    cells = (
        "45%|1_000|12 5|1764 1770|--3|(-3)|(3|3)|1,70,0|1.2.3|1e|1e999|inf|12th|3 x 4|٣|$|1'7000|0,500,000|" + "1" * 61
    )
    assert np.isnan(numbers(*cells.split("|"))).all()
    assert np.isnan(numbers("", "n/a", "NA", "NaN", "none", "null", "-", "--", "?", "Unknown")).all()


def test_the_column_decides_what_a_comma_is():
    assert numbers("1,700") == [1700]
    assert numbers("1.700") == [1.7]
    assert numbers("1,700", "2,5") == [1.7, 2.5]
    assert numbers("1,700", "1.700,5") == [1.7, 1700.5]
    assert numbers("1,700", "0,125") == [1.7, 0.125]
    assert numbers("1.700", "2,5", "4") == [1700, 2.5, 4]
    assert numbers("1,700", "2.5", "3,5", "4.5") == [1700, 2.5, 3.5, 4.5]
    assert numbers("1,700", decimal=",") == [1.7]
    assert numbers("1,700", "2.5", decimal=".") == [1700, 2.5]
    assert np.isnan(numbers("2,5", decimal="."))
    with pytest.raises(ValueError, match="decimal"):
        numbers("1", decimal="'")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=20),
    st.sampled_from([",.", ".,", " ,", " .", "'.", "\u202f,"]),
)
def test_formatted_numbers_come_back(cents, marks):
    values = [cent / 100 for cent in cents]
    swapped = str.maketrans({",": marks[0], ".": marks[1]})
    assert numbers(*(f"{value:,.2f}".translate(swapped) for value in values)) == values
    assert numbers(*(f"€ {value:,.2f}".translate(swapped) for value in values), decimal=marks[1]) == values


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=12))
def test_any_text_is_a_number_or_none(cells):
    assert data.parse_numbers(cells).shape == (len(cells),)
    assert 0 <= data.number_share(cells) <= 1
    assert 0 <= data.date_share(cells) <= 1
    data.parse_dates(cells, day_first=True)


def test_shares_and_missing():
    assert data.are_missing(["", " ", "N/A", "?", "0", "nobody"]).tolist() == [True, True, True, True, False, False]
    assert data.number_share(["1", "2", "x", "", "n/a"]) == pytest.approx(2 / 3)
    assert data.number_share(["", "?"]) == 0
    assert data.date_share(["03/04/1900", "13/13/1900"]) == 0.5
    for wrong in (np.zeros(3), "1764", [1, 2], np.array([["a"]])):
        with pytest.raises(ValueError, match=r"expected text \[N\]"):
            data.parse_numbers(wrong)


def test_many_numbers_are_read_quickly():
    cells = np.array([f"{value:.3f}" for value in np.random.default_rng(0).normal(size=20_000)])
    start = time.perf_counter()
    data.parse_numbers(cells)
    assert time.perf_counter() - start < 1  # 0.03 s on an idle machine


MARCH = 1764 + 71 / 366  # the 12th


@pytest.mark.parametrize(
    ("cell", "year"),
    [
        ("1764", 1764),
        ("1764.37", 1764.37),
        ("850", 850),
        ("1764-03-12", MARCH),
        ("1764-03-12 00:00:00", MARCH),
        ("1764-03-12T10:30:00Z", MARCH),
        ("12.03.1764", MARCH),
        ("12. 3. 1764", MARCH),
        ("March 12, 1764", MARCH),
        ("Mar. 12th 1764", MARCH),
        ("12 March 1764", MARCH),
        ("12. März 1764", MARCH),
        ("12 mars 1764", MARCH),
        ("March 1764", 1764 + 60 / 366),
        ("1901-05", 1901 + 120 / 365),
        ("13/03/1764", 1764 + 72 / 366),
        ("03/13/1764", 1764 + 72 / 366),
        ("01/01/1900", 1900),
        ("c. 1890", 1890),
        ("ca.1890", 1890),
        ("[1890?]", 1890),
        ("1890s", 1895),
        ("1890-95", 1892.5),
        ("1901–05", 1903),
        ("1890 - 1896", 1893),
        ("c. 1890/91", 1890.5),
    ],
)
def test_dates(cell, year):
    assert data.parse_dates([cell]).tolist() == [pytest.approx(year, abs=1e-12)]


def test_what_is_no_date():
    cells = "|undated|12|12345|31.02.1900|1890-80|Foo 1900|32 May 1900|18th century|1764-13-45|45/45/1900|n/a"
    assert np.isnan(data.parse_dates(cells.split("|"))).all()


def test_the_column_decides_what_comes_first():
    assert data.parse_dates(["03/04/1900", "13/04/1900"])[0] == pytest.approx(1900 + 92 / 365)
    assert data.parse_dates(["03/04/1900", "04/13/1900"])[0] == pytest.approx(1900 + 62 / 365)
    assert data.parse_dates(["03-04-1900"], day_first=False)[0] == pytest.approx(1900 + 62 / 365)
    assert np.isnan(data.parse_dates(["13/04/1900"], day_first=False))[0]
    assert data.parse_dates(["03/03/1900", "1900"]).tolist() == [pytest.approx(1900 + 61 / 365), 1900]
    for cells in (["03/04/1900"], ["03/04/1900", "13/04/1900", "04/13/1900"]):
        with pytest.raises(ValueError, match=r"'03/04/1900'.*day_first"):
            data.parse_dates(cells)


def test_tables_are_written_shortly_and_come_back(tmp_path):
    columns = {
        "title": np.array(['a "b", c', "line\r\nbreak", "é"]),
        "price": np.array([1 / 3, np.nan, 1e6]),
        "low": [0.123456, 2.0, 3.0],
        "lot": np.array([1, 2, 3]),
        "signed": np.array([True, False, True]),
    }
    path = data.write_table(tmp_path / "out.csv", columns, digits={"low": 3})
    assert as_lists(data.read_records(path)) == {
        "title": ['a "b", c', "line\r\nbreak", "é"],
        "price": ["0.3333333333", "", "1000000"],
        "low": ["0.123", "2", "3"],
        "lot": ["1", "2", "3"],
        "signed": ["1", "0", "1"],
    }
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_formulas_are_written_as_text(tmp_path):
    cells = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\tx", "\r=x", "-5", "+1.5e3", "-1,5", "a=b", "-5+1", ""]
    path = data.write_table(tmp_path / "out.csv", {"=name": np.array(cells)})
    with open(path, encoding="utf-8", newline="") as stream:
        text = stream.read()
    assert text.startswith("'=name\r\n'=1+1\r\n'+cmd\r\n'-x\r\n'@SUM(A1)\r\n'\tx\r\n")
    assert '"\'\r=x"' in text
    assert '\r\n-5\r\n+1.5e3\r\n"-1,5"\r\na=b\r\n\'-5+1\r\n' in text


def test_bad_tables_are_not_written(tmp_path):
    good = {"a": np.array(["x"])}
    for path, columns, digits, message in (
        (tmp_path / "out.txt", good, 10, "ends in .csv"),
        (tmp_path / "none" / "out.csv", good, 10, "a folder that exists"),
        (tmp_path / "out.csv", {}, 10, "of one length"),
        (tmp_path / "out.csv", {"a": ["x"], "b": ["x", "y"]}, 10, "of one length"),
        (tmp_path / "out.csv", {"a": np.zeros((2, 2))}, 10, "of one length"),
        (tmp_path / "out.csv", {"a": np.array([None])}, 10, "object in column 'a'"),
        (tmp_path / "out.csv", {"a": np.array([1.5])}, 0, "1 to 17"),
    ):
        with pytest.raises(ValueError, match=message):
            data.write_table(path, columns, digits=digits)
    assert list(tmp_path.iterdir()) == []
