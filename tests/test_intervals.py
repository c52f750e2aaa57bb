"""Intervals of numbers: thresholds by hand, how often they hold on simulated rows, nesting, drift, few rows, and records as JSON."""

import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart import metrics

LEVELS = (0.5, 0.8, 0.9)


def drawn(rng, rows, *, levels=0):
    """Targets whose noise grows with x, and what each method is told: guesses that are off on purpose."""
    x = rng.random(rows)
    targets = x + (0.2 + x) * rng.standard_normal(rows)
    lows = x[:, None] - 0.3 * np.arange(1, levels + 1) if levels else x - 0.4
    return targets, {
        "absolute": x,
        "normalized": (x, 0.1 + x),
        "quantile": (lows, 2 * (x[:, None] if levels else x) - lows + 0.1),
        "asymmetric": (lows, 2 * (x[:, None] if levels else x) - lows + 0.1),
    }


def share(bounds, targets):
    return ((bounds.low <= targets[:, None]) & (targets[:, None] <= bounds.high)).mean(axis=0)


class TestThresholds:
    def test_by_hand(self):
        targets, means = np.arange(1.0, 10), np.zeros(9)
        one = metrics.calibrate_intervals(targets, means, (0.5, 0.9, 0.95))
        assert one == ("absolute", (0.5, 0.9, 0.95), ((5, 9, np.inf),), ((5, 9, np.inf),), 0, (9,))
        scaled = metrics.calibrate_intervals(targets, (means, targets / 2), 0.8, method="normalized")
        assert scaled.floor == pytest.approx(np.quantile(targets / 2, 0.05))
        assert scaled.above[0][0] == pytest.approx(2)
        found = metrics.apply_intervals(scaled, (np.array([1.0, 1.0]), np.array([3.0, 0.0])))
        np.testing.assert_allclose(found.high[:, 0], [7, 1 + 2 * scaled.floor])

    def test_quantiles_by_hand(self):
        targets = np.array([-3.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
        pair = (np.zeros(9), np.ones(9))
        both = metrics.calibrate_intervals(targets, pair, 0.7, method="quantile")
        assert both.below == both.above == ((3.0,),)  # of the scores -0.5 0 0 1 2 3 3 5 7 the seventh
        sides = metrics.calibrate_intervals(targets, pair, 0.6, method="asymmetric")
        assert (sides.below, sides.above) == (((0.0,),), ((5.0,),))  # the eighth of each side's
        found = metrics.apply_intervals(sides, (np.zeros(1), np.ones(1)))
        assert (found.low.item(), found.high.item()) == (0, 6)

    def test_ends_that_cross_meet_in_the_middle(self):
        targets, wide = np.zeros(9), (np.full(9, -5.0), np.full(9, 7.0))
        narrow = metrics.calibrate_intervals(targets, wide, (0.5, 0.8), method="quantile")
        assert narrow.below == ((-5.0, -5.0),)
        found = metrics.apply_intervals(narrow, (np.array([-1.0, -6.0]), np.array([2.0, 6.0])))
        assert found.low.tolist() == [[0.5, 0.5], [-1, -1]]
        assert found.high.tolist() == [[0.5, 0.5], [1, 1]]

    def test_categories_have_their_own(self, rng):
        kinds = np.repeat([0, 1, 2], [300, 150, 50])
        targets = rng.standard_normal(500) * np.array([1, 5, 1])[kinds]
        found = metrics.calibrate_intervals(targets, np.zeros(500), LEVELS, categories=kinds)
        for row, rows in enumerate((slice(None), kinds == 0, kinds == 1)):
            assert found.above[row] == metrics.calibrate_intervals(targets[rows], np.zeros(500)[rows], LEVELS).above[0]
        assert found.above[3] == found.above[0]  # fewer than 100
        assert found.rows == (500, 300, 150, 50)
        high = metrics.apply_intervals(found, np.zeros(6), categories=np.array([0, 1, 2, 3, -1, 99])).high
        assert high.tolist() == [list(found.above[row]) for row in (1, 2, 0, 0, 0, 0)]


class TestCoverage:
    @pytest.mark.parametrize("method", ["absolute", "normalized", "quantile", "asymmetric"])
    @pytest.mark.parametrize("rows", [39, 50])
    def test_is_as_promised(self, rng, method, rows):
        held = []
        for _ in range(400):
            targets, known = drawn(rng, rows)
            found = metrics.calibrate_intervals(targets, known[method], LEVELS, method=method)
            targets, new = drawn(rng, 100)
            held.append(share(metrics.apply_intervals(found, new[method]), targets))
        error = 3.5 * np.std(held, axis=0) / 20
        sides = 2 if method == "asymmetric" else 1  # each side is rounded up
        assert (np.mean(held, axis=0) >= np.array(LEVELS) - error).all()
        assert (np.mean(held, axis=0) <= np.array(LEVELS) + sides / (rows + 1) + error).all()

    def test_in_each_category(self, rng):
        held = []
        for _ in range(100):
            kinds = rng.integers(2, size=300)
            targets = rng.standard_normal(300) * np.array([1, 4])[kinds]
            found = metrics.calibrate_intervals(targets, np.zeros(300), 0.8, categories=kinds)
            new = rng.standard_normal(300) * np.array([1, 4])[kinds]
            bounds = metrics.apply_intervals(found, np.zeros(300), categories=kinds)
            held.append(
                [share(metrics.Bounds(*(end[kinds == k] for end in bounds)), new[kinds == k])[0] for k in (0, 1)]
            )
        np.testing.assert_allclose(np.mean(held, axis=0), 0.805, atol=0.015)

    @pytest.mark.parametrize("scaled", [False, True])
    def test_of_networks_that_each_lack_a_fold(self, rng, scaled):
        held = []
        for _ in range(100):
            x, new = rng.standard_normal((30, 3)), rng.standard_normal((50, 3))
            targets, truth = x.sum(axis=1) + rng.standard_normal(30), new.sum(axis=1) + rng.standard_normal(50)
            folds = np.arange(30) % 5
            fits = [np.linalg.lstsq(x[folds != k], targets[folds != k], rcond=None)[0] for k in range(5)]
            own, others = np.array([x[i] @ fits[folds[i]] for i in range(30)]), np.array([new @ fit for fit in fits])
            method, told = (
                ("normalized", ((own, np.ones(30)), (others, np.ones((5, 50)))))
                if scaled
                else ("absolute", (own, others))
            )
            bounds = metrics.cross_intervals(targets, told[0], folds, told[1], LEVELS, method=method)
            assert (np.diff(bounds.low, axis=1) <= 0).all()
            assert (np.diff(bounds.high, axis=1) >= 0).all()
            held.append(share(bounds, truth))
        np.testing.assert_allclose(np.mean(held, axis=0), LEVELS, atol=0.05)

    def test_cross_intervals_by_slow_counts(self, rng, monkeypatch):
        targets, own, others = rng.standard_normal(23), rng.standard_normal(23), rng.standard_normal((4, 7))
        folds = rng.integers(4, size=23)
        monkeypatch.setattr("jaxart.metrics.intervals._ENTRIES", 50)  # in parts of two rows
        found = metrics.cross_intervals(targets, own, folds, others, (0.8, 0.99))
        reach = np.abs(targets - own)
        for row in range(7):
            assert found.high[row, 0] == sorted(others[folds, row] + reach)[19]  # ceil(24 x 0.8) = 20
            assert found.low[row, 0] == sorted(others[folds, row] - reach)[3]  # floor(24 x 0.2) = 4
        assert np.isinf(found.high[:, 1]).all()
        assert np.isinf(found.low[:, 1]).all()


class TestNesting:
    @settings(max_examples=60, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        method=st.sampled_from(["absolute", "normalized", "quantile", "asymmetric"]),
        rows=st.integers(1, 60),
        crossed=st.booleans(),
    )
    def test_wider_holds_narrower(self, seed, method, rows, crossed):
        rng = np.random.default_rng(seed)
        targets, known = drawn(rng, rows, levels=3)
        new = drawn(rng, 20, levels=3)[1]
        for told in (known, new):  # quantiles of networks that do not fit one another
            for name in ("quantile", "asymmetric"):
                told[name] = tuple(end + rng.standard_normal(end.shape) for end in told[name])
        if crossed and method in ("quantile", "asymmetric"):
            known[method] = known[method][::-1]
        found = metrics.calibrate_intervals(targets, known[method], LEVELS, method=method)
        bounds = metrics.apply_intervals(found, new[method])
        assert bounds.low.shape == bounds.high.shape == (20, 3)
        assert (bounds.low <= bounds.high).all()
        assert (bounds.low[:, 1:] <= bounds.low[:, :-1]).all()
        assert (bounds.high[:, 1:] >= bounds.high[:, :-1]).all()

    @settings(max_examples=60, deadline=None)
    @given(scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), level=st.floats(0.01, 0.98))
    def test_thresholds_rise_with_levels(self, scores, level):
        found = metrics.calibrate_intervals(np.array(scores), np.zeros(len(scores)), (level, level + 0.01))
        assert found.above[0][0] <= found.above[0][1]
        assert found.above[0][0] in [*np.abs(scores), np.inf]


class TestDrift:
    def test_coverage_recovers_after_a_shift(self, rng):
        known = (rng.standard_normal(500), np.zeros(500))
        steps = np.repeat(np.arange(400), 5)
        targets = rng.standard_normal(2000) * np.where(steps < 100, 1, 2.5)
        fixed = metrics.apply_intervals(metrics.calibrate_intervals(*known, (0.8, 0.9)), np.zeros(2000))
        late = steps >= 200
        assert (share(metrics.Bounds(*(end[late] for end in fixed)), targets[late]) < [0.5, 0.6]).all()
        for window in (None, 300):
            found = metrics.adaptive_intervals(
                targets, np.zeros(2000), steps, (0.8, 0.9), known=known, rate=0.05, window=window
            )
            held = share(metrics.Bounds(found.low[late], found.high[late]), targets[late])
            np.testing.assert_allclose(held, [0.8, 0.9], atol=0.025)
            assert (found.high[:, 0] <= found.high[:, 1]).all()
            whole = share(metrics.Bounds(found.low, found.high), targets)
            assert (np.abs(whole - [0.8, 0.9]) <= 1.05 / (400 * 0.05)).all()  # the bound of the paper

    @pytest.mark.parametrize("method", ["normalized", "quantile", "asymmetric"])
    def test_all_methods_follow(self, rng, method):
        targets, known = drawn(rng, 300)
        later, new = drawn(rng, 1000)
        found = metrics.adaptive_intervals(
            later + 1.0, new[method], np.arange(1000), 0.8, known=(targets, known[method]), method=method, window=200
        )
        assert share(metrics.Bounds(found.low[300:], found.high[300:]), later[300:] + 1)[0] == pytest.approx(
            0.8, abs=0.03
        )

    def test_order_of_rows_and_the_next_step(self, rng):
        targets, means, days = rng.standard_normal(60), rng.standard_normal(60), rng.integers(20, size=60)
        dates = np.datetime64("2001-01-01") + days
        known = (rng.standard_normal(50), np.zeros(50))
        found = metrics.adaptive_intervals(targets, means, dates, LEVELS, known=known)
        order = rng.permutation(60)
        again = metrics.adaptive_intervals(targets[order], means[order], days[order], LEVELS, known=known)
        np.testing.assert_array_equal(found.low[order], again.low)
        assert found.misses.shape == (len(np.unique(days)) + 1, 3)
        longer = metrics.adaptive_intervals(
            np.append(targets, 0.0), np.append(means, 0.3), np.append(days, 99), LEVELS, known=known
        )
        np.testing.assert_array_equal(
            metrics.apply_intervals(found.calibration, np.array([0.3])).high[0], longer.high[-1]
        )

    def test_window_holds_the_latest_scores(self):
        known, new = np.array([50.0, 60.0, 1.0, 2.0, 3.0]), np.array([7.0, 8.0, 9.0])
        found = metrics.adaptive_intervals(
            new, np.zeros(3), np.arange(3), 0.4, known=(known, np.zeros(5)), rate=1e-6, window=3
        )
        assert found.high[:, 0].tolist() == [2, 3, 7]  # of 1 2 3, of 2 3 7, of 3 7 8
        assert found.calibration.above == ((8.0,),)
        assert found.calibration.rows == (3,)

    def test_extremes(self):
        known = (np.arange(1.0, 10), np.zeros(9))
        far = metrics.adaptive_intervals(np.full(9, 99.0), np.zeros(9), np.arange(9), 0.8, known=known, rate=0.5)
        assert far.high[0] == 8
        assert np.isinf(far.high[1])
        near = metrics.adaptive_intervals(np.zeros(99), np.zeros(99), np.arange(99), 0.5, known=known, rate=0.5)
        assert near.high.min() == 1  # the smallest score, where all are covered
        assert near.misses.max() > 1


class TestRecords:
    def test_json_and_back(self, rng):
        targets, known = drawn(rng, 30)
        for method, told in known.items():
            found = metrics.calibrate_intervals(
                targets, told, (0.5, 0.99), method=method, categories=np.arange(30) % 2, least=10
            )
            text = json.dumps(metrics.interval_record(found), allow_nan=False)
            assert metrics.read_intervals(json.loads(text)) == found
            assert np.isinf(found.above[0][1])

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "magic"},
            {"levels": [0.9, 0.8]},
            {"levels": []},
            {"levels": 1.5},
            {"below": [[1.0, 2.0]]},
            {"below": [["a"]]},
            {"above": [[float("nan")]]},
            {"above": 3},
            {"above": [[1.0], [2.0, 3.0]]},
            {"floor": 1.0},
            {"floor": "a"},
            {"method": "normalized"},
            {"rows": [-1]},
            {"rows": None},
            {"more": 1},
        ],
    )
    def test_others_are_refused(self, change):
        record = metrics.interval_record(metrics.calibrate_intervals(np.arange(9.0), np.zeros(9), 0.8))
        with pytest.raises(ValueError):
            metrics.read_intervals({**record, **change})


class TestHolding:
    def test_numbers_and_bands(self):
        found = metrics.interval_coverage(np.zeros(4), np.array([1, 2, 3, np.inf]), np.array([1.0, 2.5, 0.0, -1]), 0.8)
        assert found[:3] == (0.5, np.inf, 2.5)
        assert found[3:5] == tuple(scipy.stats.binom.ppf([0.025, 0.975], 4, 0.8) / 4)
        low, high, targets = np.zeros(200), np.ones(200), np.full(200, 0.5)
        known = metrics.interval_coverage(low, high, targets, 0.9, calibration=50)
        assert known[3:5] == tuple(scipy.stats.betabinom.ppf([0.025, 0.975], 200, 46, 5) / 200)
        lots = metrics.interval_coverage(low, high, targets, 0.9, groups=np.arange(200) // 10)
        assert lots.effective == 20
        assert lots[3:5] == tuple(scipy.stats.binom.ppf([0.025, 0.975], 20, 0.9) / 20)
        loose = metrics.interval_coverage(low, high, targets, 0.9, groups=np.arange(200) // 10, correlation=0.0)
        assert loose == metrics.interval_coverage(low, high, targets, 0.9)

    def test_effective_rows(self, rng):
        sizes = np.array([1, 2, 3, 10])
        groups = rng.permutation(np.repeat(["a", "b", "c", "d"], sizes))
        assert metrics.effective_rows(groups) == pytest.approx(16**2 / np.sum(sizes**2))
        # the variance of a mean of rows that are equal within groups
        draws = np.repeat(rng.standard_normal((20000, 4)), sizes, axis=1).mean(axis=1)
        assert 1 / draws.var() == pytest.approx(metrics.effective_rows(groups), rel=0.05)

    def test_band_holds_what_groups_give(self, rng):
        groups, inside = np.arange(400) // 4, 0
        low, high, _, effective = 0.0, 0.0, 0, 0
        for _ in range(300):
            targets = np.repeat(rng.random(100), 4)
            *_, low, high, effective = metrics.interval_coverage(
                np.zeros(400), np.full(400, 0.8), targets, 0.8, groups=groups
            )
            inside += low <= (targets <= 0.8).mean() <= high
        assert effective == 100
        assert 0.92 <= inside / 300 <= 0.99

    def test_by_category(self):
        names = ["oil", "print", "oil", "oil"]
        targets, groups = np.array([0.5, 0.5, 3.0, 0.5]), np.array([1, 1, 2, 2])
        table = metrics.coverage_by_category(np.zeros(4), np.array([1.0, 2, 1, 3]), targets, names, 0.8, groups=groups)
        assert [row[:4] for row in table] == [("oil", 3, 2 / 3, 1.0), ("print", 1, 1.0, 2.0)]
        assert table[0][4:] == tuple(scipy.stats.binom.ppf([0.025, 0.975], 2, 0.8) / 2)  # 9 / 5 rows, rounded


ROWS, PAIR = np.arange(9.0), (np.zeros(9), np.ones(9))
ABSOLUTE = metrics.calibrate_intervals(ROWS, ROWS, 0.8)
OF_KINDS = metrics.calibrate_intervals(ROWS, ROWS, 0.8, categories=np.zeros(9, int))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, (0.9, 0.8)), "rising shares"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, ()), "rising shares"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, (0.8, np.nan)), "share in"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, 1.0), "share in"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS[1:], 0.8), "one target per row"),
        (lambda: metrics.calibrate_intervals(np.append(ROWS[1:], np.nan), ROWS, 0.8), "not finite"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, 0.8, method="normal"), "known: normalized"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, 0.8, method="normalized"), r"pair \(means, spreads\)"),
        (lambda: metrics.calibrate_intervals(ROWS, (ROWS, -ROWS), 0.8, method="normalized"), "0 or more"),
        (lambda: metrics.calibrate_intervals(ROWS, (ROWS, 0 * ROWS), 0.8, method="normalized"), "more than 95 %"),
        (lambda: metrics.calibrate_intervals(ROWS, (ROWS, ROWS[1:]), 0.8, method="quantile"), "one shape"),
        (lambda: metrics.calibrate_intervals(ROWS, (np.ones((9, 2)),) * 2, 0.8, method="quantile"), r"\[N, 1\]"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, 0.8, categories=ROWS), "integers"),
        (lambda: metrics.calibrate_intervals(ROWS, ROWS, 0.8, categories=np.zeros(8, int)), "one per row"),
        (lambda: metrics.apply_intervals(ABSOLUTE, ROWS, categories=np.zeros(9, int)), "expected none"),
        (lambda: metrics.apply_intervals(OF_KINDS, ROWS), "expected one per row, got none"),
        (lambda: metrics.apply_intervals(OF_KINDS, ROWS, categories=ROWS), "expected integers"),
        (lambda: metrics.adaptive_intervals(ROWS, ROWS, ROWS[1:], 0.8, known=(ROWS, ROWS)), "one per row"),
        (lambda: metrics.adaptive_intervals(ROWS, ROWS, ROWS, 0.8, known=(ROWS, ROWS), rate=0.0), "a rate in"),
        (lambda: metrics.adaptive_intervals(ROWS, ROWS, ROWS, 0.8, known=(ROWS, ROWS), window=0), "a window of"),
        (lambda: metrics.cross_intervals(ROWS, ROWS, np.zeros(9, int), np.ones(3), 0.8), r"\[N, D\]"),
        (lambda: metrics.cross_intervals(ROWS, ROWS, np.full(9, 2), np.ones((2, 3)), 0.8), "0 to 1"),
        (lambda: metrics.cross_intervals(ROWS, ROWS, np.zeros(8, int), np.ones((2, 3)), 0.8), "one fold per row"),
        (lambda: metrics.cross_intervals(ROWS, PAIR, np.zeros(9, int), PAIR, 0.8, method="quantile"), "unknown value"),
        (lambda: metrics.interval_coverage(ROWS, ROWS[1:], ROWS, 0.8), "low at most high"),
        (lambda: metrics.interval_coverage(ROWS + 1, ROWS, ROWS, 0.8), "low at most high"),
        (lambda: metrics.interval_coverage(ROWS * np.nan, ROWS, ROWS, 0.8), "low at most high"),
        (lambda: metrics.interval_coverage(ROWS, ROWS, ROWS, 0.8, groups=[1]), "one per row"),
        (lambda: metrics.interval_coverage(ROWS, ROWS, ROWS, 0.8, calibration=0), "at least one row"),
        (lambda: metrics.interval_coverage(ROWS, ROWS, ROWS, 80), "share in"),
        (lambda: metrics.coverage_by_category(ROWS, ROWS, ROWS, ["a"], 0.8), "one name"),
        (lambda: metrics.effective_rows(ROWS, correlation=2.0), "correlation in"),
        (lambda: metrics.effective_rows([]), "at least one row"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
