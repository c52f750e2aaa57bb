"""The page of pictures before and after: it needs nothing else, shows what it was given, and says what it shows."""

import base64
import io as streams
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image as pillow

from jaxart import io


class Page(HTMLParser):
    """The elements of a page, and whether what is opened is closed."""

    VOID = ("meta", "img", "input")

    def __init__(self, path):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(path.read_text("utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for each, attrs in self.elements if each == tag]

    def pictures(self):
        """Return the embedded pictures, by what they are said to be, in order."""
        found = []
        for each in self.all("img"):
            kind, _, data = each["src"].partition(";base64,")
            assert kind in ("data:image/jpeg", "data:image/png")
            picture = np.asarray(pillow.open(streams.BytesIO(base64.b64decode(data))))
            assert picture.shape == (int(each["height"]), int(each["width"]), 3)
            found.append((each["alt"], picture))
        return found


@pytest.fixture
def before():
    y, x = np.mgrid[:60, :90].astype(np.float32)
    return np.stack([x / 90, y / 60, 0.5 + 0 * x], axis=-1)


def written(path, pairs, **options):
    assert io.write_report(path / "report.html", "Mended", pairs, **options) == path / "report.html"
    assert [each.name for each in path.iterdir()] == ["report.html"]
    return Page(path / "report.html")


def test_a_page_needs_nothing_else(before, tmp_path):
    page = written(tmp_path, [io.Pair("cat.jpg", before, before)], facts=[("Program", "jaxart")])
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"url\(|@import|<link|\bfetch\b", text)
    assert all(each["src"].startswith("data:") for each in page.all("img"))
    assert not any("src" in each for each in page.all("script"))
    policy = next(each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'")


def test_pictures_and_maps_are_embedded_as_they_are(before, tmp_path):
    after, hole = before.copy(), np.zeros((60, 90), bool)
    after[20:40, 30:70] = 0.1
    hole[20:40, 30:70] = True
    page = written(tmp_path, [io.Pair("cat.jpg", before, after, ["Holes were filled."], [("mask", hole)])])
    found = page.pictures()
    assert [name for name, _ in found] == ["cat.jpg, after", "cat.jpg, before", "difference, of 255", "mask"]
    for (_, picture), expected in zip(found[:2], (after, before), strict=True):
        assert np.abs(picture / 255 - expected).mean() < 0.01
    difference, mask = found[2][1], found[3][1]
    assert (difference[~hole] == (0, 0, 4)).all()
    assert (difference[hole] != (0, 0, 4)).any(axis=-1).all()
    assert mask[30, 50].min() > 250 > 5 > mask[5, 5].max()
    assert f"{hole.mean():.2%}" in page.text
    assert "Holes were filled." in page.text


def test_the_divider_is_moved_by_keys_and_says_what_it_is(before, tmp_path):
    page = written(tmp_path, [io.Pair("cat.jpg", before, before)])
    (slider,) = page.all("input")
    assert slider["type"] == "range"
    assert slider["aria-label"].startswith("cat.jpg")


def test_large_pictures_are_shrunk_and_the_part_that_changed_most_is_not(tmp_path, rng):
    before = rng.random((500, 700, 3), np.float32)
    after = before.copy()
    after[400, 600] = 1 - np.round(before[400, 600])  # one pixel
    page = written(tmp_path, [io.Pair("wall", before, after)], long_side=100)
    found = dict(page.pictures())
    assert found["wall, after"].shape == (71, 100, 3)
    assert found["wall, a part, after"].shape == (320, 320, 3)
    changed = np.argwhere((found["difference, of 255"] != (0, 0, 4)).any(axis=-1))
    np.testing.assert_array_equal(changed, [[400 // 8, 600 // 8]])  # blocks of 8 x 8 pixels; none is lost
    assert "shrunk from 700 × 500 to 100 × 71 pixels" in page.text
    x, y = map(int, re.search(r"320 × 320 pixels from \((\d+), (\d+)\)", page.text).groups())
    assert x <= 600 < x + 320
    assert y <= 400 < y + 320


def test_an_enlarged_picture_is_compared_at_its_size(before, tmp_path):
    after = before.repeat(2, axis=0).repeat(2, axis=1)
    page = written(tmp_path, [io.Pair("cat", np.rint(before * 255).astype(np.uint8), after)])
    assert {picture.shape for _, picture in page.pictures()} == {(120, 180, 3)}
    assert "90 × 60" in page.text
    assert "compared at the size after" in page.text


def test_text_is_escaped(before, tmp_path):
    bad = '<script>alert("1")</script>&'
    pair = io.Pair(bad, before, before, [bad], [(bad, before)], [(bad, bad)])
    page = written(tmp_path, [pair], facts=[(bad, 1.23456789)])
    assert page.text.count(bad) == 6
    assert len(page.all("script")) == 1
    assert page.all("img")[0]["alt"] == f"{bad}, after"
    assert "1.235" in page.text


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1)])
def test_any_size(shape, tmp_path):
    picture = np.full((*shape, 3), 0.5, np.float32)
    page = written(tmp_path, [io.Pair("dot", picture, picture)], long_side=50)
    assert "0.00%" in page.text


def test_what_cannot_be_written_is_said_and_leaves_nothing(before, tmp_path):
    pair = io.Pair("cat", before, before)
    with pytest.raises(io.ImageError, match=r"cannot write \.png; a report is \.html"):
        io.write_report(tmp_path / "report.png", "Mended", [pair])
    with pytest.raises(io.ImageError, match="expected a name in a folder that exists"):
        io.write_report(tmp_path / "none" / "report.html", "Mended", [pair])
    with pytest.raises(ValueError, match="at least one pair"):
        io.write_report(tmp_path / "report.html", "Mended", [])
    with pytest.raises(ValueError, match="cat: expected values in"):
        io.write_report(tmp_path / "report.html", "Mended", [pair, pair._replace(after=before * 300)])
    assert list(tmp_path.iterdir()) == []
