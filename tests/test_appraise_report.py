"""Answers of valuations as columns, and their report: nothing of a stranger's text runs, nothing is fetched, nothing is left out."""

import html.parser
import math
import re

import numpy as np
import pytest

from jaxart import io, metrics
from jaxart.data import read_records, write_table
from jaxart.tasks import appraise
from jaxart.tasks.appraise import charts
from jaxart.tasks.appraise.answers import factor_text, level_text, price_text

EVIL = "<script>alert(\"1\")</script> & 'quoted' \u202egnp.exe"


class Page(html.parser.HTMLParser):
    """Elements of a page, and whether each was closed in its turn."""

    EMPTY = ("meta", "img", "line", "rect", "circle")

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, kind):
        return [attrs for _, attrs in self.found if attrs.get("class") == kind]


def valuations(count=3, **changes):
    value = np.geomspace(80, 12345, count)
    widths = np.log([3.0, 5.0])
    sold = appraise.Comparable(7, 1234.0, 1776.5, 0.91, "Landscape with cows")
    made = appraise.Valued(
        value=value,
        levels=(0.8, 0.9),
        low=value[:, None] / np.exp(widths),
        high=value[:, None] * np.exp(widths),
        flags=[("no picture",)] * count,
        reasons=[(("artist", math.log(1.8)), ("width", math.log(0.5)), ("rest", math.log(each / 90)))for each in value],
        base=math.log(100),
        shares=[{"text": 0.5, "table": 0.5}] * count,
        comparables=[(sold, sold._replace(date=math.nan, price=20.0))] * count,
    )  # fmt: skip
    return made._replace(**changes)


def table(count=3):
    return {"subject": np.array([f"Subject {row}." for row in range(count)]), "year": np.arange(1770, 1770 + count)}


def kept_back(rng, count=60, **changes):
    targets = rng.normal(5, 1.5, count)
    predictions = targets + rng.normal(0, 0.5, count)
    low, high = (predictions[:, None] + sign * np.array([0.64, 0.82]) for sign in (-1, 1))
    coverage = tuple(
        metrics.interval_coverage(low[:, at], high[:, at], targets, level) for at, level in enumerate((0.8, 0.9))
    )
    made = appraise.Checked(
        targets, predictions, low, high, (0.8, 0.9), rng.uniform(1760, 1780, count), ["Boucher", "Greuze", ""] * (count // 3),
        ["oil", "print"] * (count // 2), metrics.regression_report(targets, predictions), coverage,
    )  # fmt: skip
    return made._replace(**changes)


def page_of(valued, checked=None, records=None, **options):
    records = table(len(valued.value)) if records is None else records
    return appraise.appraisal_report(valued, checked, records, title="Trial", **options)


class TestColumns:
    def test_the_table_comes_first_and_answers_follow(self):
        found = appraise.valued_columns(valuations(), table())
        answers = ["value", "low_80", "high_80", "low_90", "high_90", "flags", "reasons", "comparables"]
        assert list(found) == ["subject", "year", *answers]
        assert found["value"].tolist() == [80, 994, 12300]
        assert found["reasons"][0] == "artist x1.8; width x0.50; rest x0.89"
        assert found["comparables"][0] == "1230 (1776) Landscape with cows; 20 Landscape with cows"
        assert found["flags"].tolist() == ["no picture"] * 3

    def test_names_that_are_there_get_a_number(self):
        records = {"value": np.arange(3), "value_2": np.arange(3), "flags": np.array(["a", "b", "c"])}
        found = appraise.valued_columns(valuations(), records)
        assert found["value"].tolist() == [0, 1, 2]
        assert {"value_3", "flags_2"} <= set(found)

    def test_five_reasons_at_most(self):
        many = tuple((f"word {number}", 1 / number) for number in range(1, 9))
        found = appraise.valued_columns(valuations(reasons=[many] * 3), table())
        assert found["reasons"][0].count("x") == 5

    def test_through_a_file(self, tmp_path):
        pytest.importorskip("pandas")
        evil = valuations(flags=[("=cmd|' /C calc'!A0",), (), ("a; b", 'c,"d"')])
        columns = appraise.valued_columns(evil, table())
        found = read_records(write_table(tmp_path / "values.csv", columns))
        assert list(found) == list(columns)
        assert found["value"].tolist() == ["80", "994", "12300"]
        assert found["flags"].tolist() == ["'=cmd|' /C calc'!A0", "", 'a; b; c,"d"']

    def test_parts_of_other_lengths_are_refused(self):
        with pytest.raises(ValueError, match="'flags': 1"):
            appraise.valued_columns(valuations(flags=[()]), table())
        with pytest.raises(ValueError, match="expected 3 rows"):
            appraise.valued_columns(valuations(), table(4))
        with pytest.raises(ValueError, match="low and high"):
            appraise.valued_columns(valuations(low=np.ones(3)), table())
        with pytest.raises(ValueError, match="base"):
            appraise.valued_columns(valuations(base=np.ones(2)), table())

    @pytest.mark.parametrize(
        ("price", "text"),
        [(0.4567, "0.457"), (12.34, "12.3"), (20.0, "20"), (999.9, "1 000"), (1234567, "1 230 000"), (math.nan, ""), (0, "0")],
    )  # fmt: skip
    def test_prices_have_three_digits(self, price, text):
        assert price_text(price, separator=" ") == text

    def test_factors_have_two_digits(self):
        factors = [0.0123, 0.5, 1.0, 1.83, 9.96, 12.4, 1234]
        assert [factor_text(math.log(each)) for each in factors] == [
            "x0.012",
            "x0.50",
            "x1.0",
            "x1.8",
            "x10",
            "x12",
            "x1200",
        ]
        assert [level_text(each) for each in (0.8, 0.975, 0.57)] == ["80", "97.5", "57"]


class TestPage:
    def test_nothing_of_a_strangers_text_runs(self, rng):
        sold = appraise.Comparable(0, 10.0, 1776.0, 0.5, EVIL)
        valued = valuations(
            flags=[(EVIL,)] * 3, reasons=[((EVIL, 0.5),)] * 3, comparables=[(sold,)] * 3, shares=[{EVIL: 1.0}] * 3
        )
        checked = kept_back(rng, artists=[EVIL] * 60, groups=[EVIL] * 60)
        records = {EVIL: np.array([EVIL] * 3), "more": np.array([EVIL] * 3)}
        text = appraise.appraisal_report(valued, checked, records, title=EVIL, notes=[EVIL], unit=EVIL)
        page = Page(text)
        assert "script" not in {tag for tag, _ in page.found}
        assert not any(name.startswith("on") for _, attrs in page.found for name in attrs)
        assert text.count("<script") == 0
        assert text.count("&lt;script&gt;") > 20
        assert "\u202e" not in text

    def test_nothing_is_fetched(self, rng):
        picture = rng.uniform(size=(400, 300, 3))
        text = page_of(valuations(), kept_back(rng), pictures=[picture, None, None])
        for word in ("http:", "https:", "//", "url(", "@import", "xmlns", "<link", "<script", "<iframe"):
            assert word not in re.sub(r'src="data:image/jpeg;base64,[^"]*"', "", text), word
        sources = [attrs["src"] for tag, attrs in Page(text).found if tag == "img"]
        assert len(sources) == 1
        assert sources[0].startswith("data:image/jpeg;base64,")
        assert "default-src 'none'" in text

    def test_every_lot_is_there(self, rng):
        text = page_of(valuations(), kept_back(rng), unit="EUR", notes=["Learned from 5 lots."])
        page = Page(text)
        assert len(page.of("lot")) == 3
        words = "".join(page.texts)
        for part in (
            "Subject 0.",
            "Subject 2.",
            "12\u202f300",
            "EUR",
            "no picture",
            "×1.8",
            "×0.50",
            "Landscape with cows",
            "Learned from",
        ):
            assert part in words
        assert "From 100\u00a0EUR, multiplied by each factor, to 80\u00a0EUR" in words
        assert "Values and prices" in words
        assert "Boucher (20)" in words

    def test_ranges_are_drawn_in_order(self):
        page = Page(page_of(valuations()))
        bands = page.of("band")
        assert [band["data-level"] for band in bands] == ["90", "80"] * 3
        for wide, narrow, at in zip(bands[::2], bands[1::2], page.of("at"), strict=True):
            edges = [[float(band[name][:-1]) for name in ("x", "width")] for band in (wide, narrow)]
            (begin, length), (start, inner) = edges
            assert 0 < begin < start < float(at["x1"][:-1]) < start + inner < begin + length < 100

    def test_lots_of_which_little_is_known(self):
        nothing = valuations(
            reasons=[()] * 3, comparables=[()] * 3, flags=[()] * 3, shares=[{}] * 3,
            value=np.array([math.nan, 10, 0.0]), low=np.zeros((3, 2)), high=np.full((3, 2), math.inf),
        )  # fmt: skip
        words = "".join(Page(page_of(nothing, records={})).texts)
        assert "no value" in words
        assert "any price" in words
        assert "Lot 3" in words
        assert "Nothing was measured" in words
        assert "Comparable lots" not in words
        assert "nan" not in words
        bare = valuations(levels=(), low=np.zeros((3, 0)), high=np.zeros((3, 0)))
        assert Page(page_of(bare)).of("band") == []

    def test_one_lot_and_a_thousand(self):
        one = Page(page_of(valuations(1)))
        assert len(one.of("lot")) == 1
        assert "1 lot is valued" in "".join(one.texts)
        many = page_of(valuations(1000))
        assert len(Page(many).of("lot")) == 200
        assert "the other 800 are in the table of values" in many
        assert len(many) < 4_000_000

    def test_checks_with_little_in_them(self, rng):
        unknown = np.full(60, math.nan)
        unknown[:20] = 1776
        assert "Errors by time" in page_of(valuations(), kept_back(rng, dates=unknown))
        none = page_of(valuations(), kept_back(rng, dates=np.full(60, math.nan), artists=None, groups=None))
        assert "Errors by" not in none
        assert "Held by group" not in none
        assert "Values and prices" in page_of(valuations(), kept_back(rng, count=6))

    @pytest.mark.parametrize(
        ("share", "words"), [(0.5, "fewer than chance"), (0.8, "The promise holds"), (0.99, "wider than they need")]
    )
    def test_promises_are_judged(self, rng, share, words):
        coverage = tuple(each._replace(share=share, low=0.7, high=0.9) for each in kept_back(rng).coverage)
        assert page_of(valuations(), kept_back(rng, coverage=coverage)).count(words) == 2

    def test_wrong_arguments_are_refused(self, rng):
        with pytest.raises(ValueError, match="columns: expected some of subject, year, got price"):
            page_of(valuations(), columns=["price"])
        with pytest.raises(ValueError, match="pictures"):
            page_of(valuations(), pictures=[None])
        with pytest.raises(ValueError, match="checked"):
            page_of(valuations(), kept_back(rng, artists=["one"]))

    def test_writing(self, tmp_path):
        path = appraise.write_appraisal(tmp_path / "values.html", page_of(valuations()) + "\ud800")
        assert path.read_text("utf-8").startswith("<!doctype html>")
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(io.ImageError, match="cannot write"):
            appraise.write_appraisal(tmp_path / "values.pdf", "")


class TestAxes:
    def test_ticks_are_round(self):
        assert [text for _, text in charts.price_axis(np.log10([12, 9000])).ticks] == [
            "10",
            "100",
            "1\u202f000",
            "10\u202f000",
        ]
        assert [text for _, text in charts.price_axis([2.0, math.inf, math.nan]).ticks] == ["50", "100", "200"]
        assert [text for _, text in charts.even_axis([1764, 1779]).ticks] == ["1760", "1765", "1770", "1775", "1780"]
        assert [text for _, text in charts.even_axis([0.74, 0.97], unit=0.01, after=" %", most=1.0).ticks][
            -1
        ] == "100 %"

    def test_factors_are_as_long_to_both_sides(self):
        axis = charts.factor_axis([-1.2, 0.3])
        assert axis.low == -axis.high
        assert [text for _, text in sorted(axis.ticks)] == ["÷2", "×1", "×2"]
        assert [text for _, text in sorted(charts.factor_axis([]).ticks)] == ["÷2", "×1", "×2"]
        assert [text for _, text in sorted(charts.factor_axis([9.5]).ticks)] == [
            "÷10000",
            "÷100",
            "×1",
            "×100",
            "×10000",
        ]

    @pytest.mark.parametrize("span", [0.0, 0.5, 1.5, 2.0, 3.0, 6.0, 15.0])
    def test_there_are_a_few_ticks_whatever_the_span(self, span):
        ticks = charts.price_axis([1.3, 1.3 + span]).ticks
        assert 2 <= len(ticks) <= 9


def test_a_thumbnail_is_small_and_a_jpeg(rng):
    address = io.thumbnail("lot", rng.uniform(size=(640, 320, 3)), long_side=64)
    assert address.startswith("data:image/jpeg;base64,/9j/")
    assert len(address) < 20_000
    with pytest.raises(ValueError, match="lot: expected an RGB"):
        io.thumbnail("lot", np.zeros((4, 4)))
