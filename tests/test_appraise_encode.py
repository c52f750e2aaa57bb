"""Lots as networks read them, and what prices of the training part say of them."""

import json

import numpy as np
import pytest

from jaxart import data
from jaxart.tasks import appraise

COUNT = 60


def _records(rng):
    """Lots of six sales; the price follows the artist, the area and a word."""
    artist = np.array(["Boucher", "Greuze", "Vernet"])[rng.integers(0, 3, COUNT)]
    height = rng.uniform(10, 50, COUNT)
    width = rng.uniform(10, 50, COUNT)
    signed = rng.random(COUNT) < 0.4
    level = {"Boucher": 1.0, "Greuze": 0.0, "Vernet": -1.0}
    price = np.exp(5 + np.array([level[name] for name in artist]) + np.log(height * width / 900) + 0.5 * signed)
    return {
        "sale": np.array([f"S{place // 10}" for place in range(COUNT)]),
        "lot": np.array([str(place // 2) for place in range(COUNT)]),
        "artist": artist,
        "height": np.array([f"{value:.1f}" if place % 7 else "" for place, value in enumerate(height)]),
        "width": np.array([f"{value:.1f}" for value in width]),
        "subject": np.array(["a landscape with cows" + (", signed" if each else "") for each in signed]),
        "price": np.array([f"{value:.2f}" for value in price]),
    }


@pytest.fixture
def lots(rng):
    records = _records(rng)
    columns = data.find_columns(
        records, target="price", group=["sale", "lot"], texts=["subject"], categories=["artist"]
    )
    encoder = appraise.learn_encoder(records, columns, np.arange(40), group=["sale", "lot"])
    return records, encoder, np.log(records["price"].astype(float))


def _rows(records, rows):
    return {name: cells[rows] for name, cells in records.items()}


def _told(lots, rows=slice(0, 40)):
    records, encoder, log_price = lots
    targets = log_price[rows] - 6.0
    folds = np.arange(40) // 2 % 5
    kinds = {"sizes": appraise.category_sizes(encoder), "words": len(encoder.words)}
    return (
        appraise.learn_statistics(appraise.encode(encoder, _rows(records, rows)), targets, folds, **kinds),
        folds,
        kinds,
    )


class TestEncoder:
    def test_shapes_and_codes(self, lots):
        records, encoder, _ = lots
        made = appraise.encode(encoder, records)
        assert made.numbers.shape == (COUNT, 5)  # height, width, area, shape, words
        assert made.missing.shape == (COUNT, 1)
        assert made.missing[:, 0].tolist() == [float(place % 7 == 0) for place in range(COUNT)]
        assert set(made.categories[:, 0].tolist()) == {2, 3, 4}
        assert made.tokens.max() == len(encoder.words) + 1
        assert np.isfinite(made.numbers).all()

    def test_is_json(self, lots):
        records, encoder, _ = lots
        again = appraise.Encoder(*json.loads(json.dumps(encoder)))
        for one, other in zip(appraise.encode(encoder, records), appraise.encode(again, records), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_row_is_the_same_alone(self, lots):
        records, encoder, _ = lots
        together = appraise.encode(encoder, records)
        alone = appraise.encode(encoder, _rows(records, [17]))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], other[17])

    def test_looks_at_training_alone(self, lots, rng):
        records, encoder, _ = lots
        changed = {name: np.concatenate([cells[:40], rng.permutation(cells[40:])]) for name, cells in records.items()}
        changed["height"] = np.concatenate([records["height"][:40], np.full(20, "999")])
        columns = data.find_columns(
            records, target="price", group=["sale", "lot"], texts=["subject"], categories=["artist"]
        )
        assert appraise.learn_encoder(changed, columns, np.arange(40), group=["sale", "lot"]) == encoder

    def test_groups(self, lots):
        records, encoder, _ = lots
        given = _rows(records, [0, 1, 2, 40, 41, 42])
        given["sale"][5] = ""
        groups = appraise.encode(encoder, given).groups
        assert groups[:, 0].tolist()[:3] == [1, 1, 1]
        assert groups[3, 0] == groups[4, 0] < 0
        assert groups[3, 1] == groups[4, 1] < 0
        assert (
            groups[5, 0] == 0
        )  # of no sale that is known, though lots of one number are one lot, as in `data.group_rows`

    def test_what_is_new_or_not_there(self, lots):
        records, encoder, _ = lots
        given = _rows(records, [0]) | {"artist": np.array(["Nobody"]), "subject": np.array(["?"])}
        del given["width"]
        made = appraise.encode(encoder, given)
        assert made.categories.tolist() == [[1]]
        assert made.tokens.sum() == 0
        assert np.isfinite(made.numbers).all()

    def test_how_numbers_are_written_is_learned(self):
        records = {
            "height": np.array(["12,5", "1.700", "20,25", "18", "22,5"]),
            "day": np.array(["12/25/1900", "03/04/1901", "01/02/1902", "05/06/1903", "07/08/1904"]),
        }
        columns = data.find_columns(
            records | {"price": np.array(list("12345"))}, target="price", numbers=["height"], date="day"
        )
        encoder = appraise.learn_encoder(records, columns, np.arange(5))
        together, alone = (appraise.encode(encoder, given).numbers for given in (records, _rows(records, [1])))
        np.testing.assert_array_equal(alone[0], together[1])

    def test_missing_texts_are_no_words(self, lots):
        records, encoder, _ = lots
        made = appraise.encode(encoder, _rows(records, [0, 1]) | {"subject": np.array(["n/a", "cows"])})
        assert made.tokens[0].sum() == 0
        assert made.tokens[1].sum() > 0

    def test_pictures_are_there_where_they_have_features(self, lots):
        records, encoder, _ = lots
        assert appraise.encode(encoder, records, picture=np.ones((COUNT, 3))).pictured.all()
        assert not appraise.encode(encoder, records).pictured.any()

    def test_a_number_that_cannot_be_is_missing(self, lots):
        records, encoder, _ = lots
        given = _rows(records, [1, 2])
        given["height"] = np.array(["1e101", given["height"][1]])
        made = appraise.encode(encoder, given)
        assert made.missing[:, 0].tolist() == [1, 0]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"rows": []}, "expected some lots to learn from"),
            ({"group": ["sael"]}, "sale"),
            ({"missing": "interpolate"}, "along the date"),
            ({"missing": "mode"}, "regress"),
        ],
    )
    def test_what_cannot_be_learned(self, lots, given, message):
        records, _, _ = lots
        columns = data.find_columns(records, target="price", group=["sale", "lot"])
        options = {"rows": np.arange(40)} | given
        with pytest.raises(ValueError, match=message):
            appraise.learn_encoder(records, columns, options.pop("rows"), **options)

    def test_one_far_number_is_bent_back(self, lots):
        records, encoder, _ = lots
        made = appraise.encode(encoder, _rows(records, [1]) | {"height": np.array(["1e9"])})
        assert abs(made.numbers).max() <= 3

    def test_nothing_to_look_at(self):
        records = {"price": np.array(["1", "2", "3"]), "sale": np.array(["a", "a", "b"])}
        columns = data.find_columns(records, target="price", group=["sale"])
        with pytest.raises(ValueError, match="expected a number, a category, a date or a text"):
            appraise.learn_encoder(records, columns, [0, 1, 2], group=["sale"])


class TestStatistics:
    def test_hedonic_value_is_near_the_price(self, lots):
        records, encoder, log_price = lots
        (found, _), _, kinds = _told(lots)
        told = appraise.price_statistics(found, appraise.encode(encoder, _rows(records, slice(40, None))), **kinds)
        assert np.corrcoef(told[:, :, 0].mean(0), log_price[40:])[0, 1] > 0.8

    @pytest.mark.parametrize("member", [0, 3])
    def test_nothing_comes_from_the_fold_of_the_member_or_of_the_lot(self, lots, member):
        records, encoder, log_price = lots
        (_, before), folds, _ = _told(lots)
        for gone in (member, 2):
            changed = np.where(np.isin(np.arange(COUNT), np.flatnonzero(folds == gone)), 9.0, log_price)
            after = _told((records, encoder, changed))[0][1]
            rows = np.flatnonzero(folds == gone) if gone != member else np.arange(40)
            np.testing.assert_array_equal(after[member][rows], before[member][rows])
            assert not np.array_equal(after[4][folds == 1], before[4][folds == 1])

    def test_means_of_artists_leave_both_folds_out(self, rng):
        codes, folds, targets = rng.integers(2, 27, 200).astype(np.int32), np.arange(200) % 4, rng.normal(size=200)
        none = np.zeros((200, 0), np.float32)
        lots = appraise.Lots(
            none,
            none,
            codes[:, None],
            np.zeros((200, 0), np.int32),
            none,
            np.zeros(200, bool),
            np.zeros((200, 0), np.int32),
        )
        _, told = appraise.learn_statistics(lots, targets, folds, sizes=(27,), words=0)
        for member, row in ((0, 1), (2, 2), (3, 57)):
            left = (folds != member) & (folds != folds[row])
            same = left & (codes == codes[row])
            expected = (targets[same].sum() + 10 * targets[left].mean()) / (same.sum() + 10)
            np.testing.assert_allclose(told[member, row, 1:], [expected, np.log1p(same.sum())], rtol=1e-5)

    def test_equals_a_ridge_without_both_folds(self, rng):
        inputs = np.c_[rng.normal(size=(30, 3)), np.ones(30)]
        targets, folds = rng.normal(size=30), np.arange(30) % 3
        found = appraise.fit_hedonic(inputs, targets, folds, ridge=2.0)
        left = folds == 2
        penalty = np.diag([2.0, 2.0, 2.0, 1e-6])
        by_hand = np.linalg.solve(inputs[left].T @ inputs[left] + penalty, inputs[left].T @ targets[left])
        np.testing.assert_allclose(found[0, 1], by_hand, rtol=1e-10)
        np.testing.assert_array_equal(found[1, 0], found[0, 1])
        np.testing.assert_array_equal(found[2, 3], found[2, 2])

    def test_group_means_by_hand(self):
        values = np.array([[1.0, 3.0, 5.0, 7.0]])[:, :, None]
        means, counts = appraise.group_means(values, np.array([4, 4, 0, 0]))
        base = 4.0
        assert means[0, :, 0].tolist() == [(4 + 3 * base) / 5] * 2 + [(5 + 3 * base) / 4, (7 + 3 * base) / 4]
        np.testing.assert_allclose(counts[0, :, 0], np.log([2, 2, 1, 1]))

    def test_lots_of_training_are_counted_in(self):
        known = (np.array([[2.0, 4.0]])[:, :, None], np.array([1, 1]))
        means, counts = appraise.group_means(np.array([[9.0]])[:, :, None], np.array([1]), known=known)
        assert means[0, 0, 0] == (15 + 3 * 3.0) / 6
        assert counts[0, 0, 0] == np.log(3)
