"""Scores of predicted numbers against scikit-learn, SciPy, numerical integration and slow sums."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import sklearn.metrics
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxart import metrics


@pytest.fixture
def prices(rng):
    """Logarithms of prices, and predictions in tenths, so that many are equal."""
    targets = 8 + rng.standard_normal(120)
    return targets, np.round(targets + 0.5 * rng.standard_normal(120), 1)


def integral(cdf, target):
    """Return the CRPS as the integral of the squared distance of the distribution from the step at the target."""
    below = scipy.integrate.quad(lambda x: cdf(x) ** 2, target - 60, target, limit=500, points=[target - 5, target - 1])
    above = scipy.integrate.quad(
        lambda x: (1 - cdf(x)) ** 2, target, target + 60, limit=500, points=[target + 1, target + 5]
    )
    return below[0] + above[0]


class TestErrors:
    def test_equal_scikit_learn(self, prices):
        assert metrics.r_squared(*prices) == pytest.approx(sklearn.metrics.r2_score(*prices), abs=1e-12)
        assert metrics.mean_absolute_error(*prices) == pytest.approx(sklearn.metrics.mean_absolute_error(*prices))
        errors = metrics.percentage_errors(*prices)
        np.testing.assert_allclose(errors, np.abs(np.exp(prices[1]) / np.exp(prices[0]) - 1))
        assert metrics.median_percentage_error(*prices) == np.median(errors)

    def test_baseline(self, prices):
        targets, predictions = prices
        assert metrics.r_squared(targets, np.full(120, 7.0), baseline=7.0) == 0
        assert metrics.r_squared(targets, predictions, baseline=7.0) > metrics.r_squared(targets, predictions)
        assert np.isnan(metrics.r_squared(np.full(3, 0.1), np.zeros(3)))
        assert np.isnan(metrics.r_squared(np.full(3, 7.0), np.zeros(3), baseline=7.0))

    def test_shares_by_hand(self):
        targets = np.log10([100.0] * 5)
        predictions = np.log10([75.0, 125.0, 126.0, 150.0, 20.0])
        assert metrics.share_within(targets, predictions, 0.25, base=10) == 0.4  # the edges count
        assert metrics.share_within(targets, predictions, 0.5, base=10) == 0.8
        assert metrics.median_percentage_error(targets, predictions, base=10) == pytest.approx(0.26)
        assert np.isinf(metrics.percentage_errors(np.zeros(1), np.full(1, 1e4))).all()


class TestDistributions:
    @pytest.mark.parametrize(("target", "mean", "spread"), [(0.3, 0.0, 1.0), (-4.0, 1.0, 0.5), (2.0, 2.0, 3.0)])
    def test_normal_equals_the_integral(self, target, mean, spread):
        found = metrics.crps_normal(*(np.array([each]) for each in (target, mean, spread)))
        expected = integral(lambda x: scipy.stats.norm.cdf(x, mean, spread), target)
        assert found.item() == pytest.approx(expected, abs=1e-6)

    def test_limits_of_normal(self):
        found = metrics.crps_normal(
            np.array([1.0, 1e9, 1.0, 1.0, 0.0]), np.zeros(5), np.array([0.0, 1.0, 1e-9, 5e-324, 0.0])
        )
        np.testing.assert_allclose(found, [1, 1e9 - 1 / np.sqrt(np.pi), 1, 1, 0])

    @pytest.mark.parametrize("target", [0.3, -2.0])
    def test_ensemble_equals_the_integral_and_pairs(self, rng, target):
        members = rng.standard_normal(7)
        found = metrics.crps_ensemble(np.array([target]), members[None]).item()
        ends = np.sort(np.append(members, target))
        exact = sum(
            (after - before) * (np.mean(members <= before) - (target <= before)) ** 2
            for before, after in itertools.pairwise(ends)
        )
        apart = np.abs(members[:, None] - members).sum()
        assert found == pytest.approx(exact)
        assert found == pytest.approx(np.abs(members - target).mean() - apart / 98)
        fair = metrics.crps_ensemble(np.array([target]), members[None], fair=True).item()
        assert fair == pytest.approx(np.abs(members - target).mean() - apart / 84)

    def test_all_three_agree(self, rng):
        targets, means, spreads = rng.standard_normal(40), rng.standard_normal(40), 0.5 + rng.random(40)
        exact = metrics.crps_normal(targets, means, spreads)
        levels = (np.arange(2000) + 0.5) / 2000
        quantiles = means[:, None] + spreads[:, None] * scipy.stats.norm.ppf(levels)
        np.testing.assert_allclose(metrics.crps_quantiles(targets, quantiles, levels), exact, atol=1e-3)
        draws = means[:, None] + spreads[:, None] * rng.standard_normal((40, 5))
        many = np.mean(
            [metrics.crps_ensemble(targets, draws[:, rng.permutation(5)], fair=True).mean() for _ in range(2)]
        )
        assert many == pytest.approx(exact.mean(), abs=0.1)
        np.testing.assert_allclose(metrics.crps_ensemble(targets, quantiles), exact, atol=2e-3)

    def test_pinball_equals_scikit_learn(self, prices):
        for level in (0.1, 0.5, 0.9):
            expected = sklearn.metrics.mean_pinball_loss(*prices, alpha=level)
            assert metrics.pinball_loss(*prices, level).mean() == pytest.approx(expected)
        both = metrics.pinball_loss(prices[0], np.stack([prices[1], prices[1]], axis=1), (0.1, 0.9))
        np.testing.assert_array_equal(both[:, 1], metrics.pinball_loss(*prices, 0.9))

    @settings(max_examples=50, deadline=None)
    @example(target=1.0, mean=0.0, spread=5e-324, shift=0.0, scale=1.0)
    @given(
        target=st.floats(-50, 50),
        mean=st.floats(-50, 50),
        spread=st.floats(0, 20),
        shift=st.floats(-9, 9),
        scale=st.floats(0.1, 9),
    )
    def test_moves_and_stretches_with_the_unit(self, target, mean, spread, shift, scale):
        one = metrics.crps_normal(np.array([target]), np.array([mean]), np.array([spread])).item()
        moved = np.array([[target], [mean]]) * scale + shift
        assert metrics.crps_normal(*moved, np.array([spread * scale])).item() == pytest.approx(one * scale, abs=1e-9)
        assert -1e-12 <= one <= abs(target - mean) + 1e-9 + spread


class TestRanks:
    def test_equals_scipy(self, prices):
        assert metrics.spearman(*prices) == pytest.approx(scipy.stats.spearmanr(*prices).statistic)
        assert np.isnan(metrics.spearman(np.ones(3), np.arange(3.0)))

    def test_inside_groups(self, prices, rng):
        targets, predictions = prices
        groups = np.concatenate([np.repeat(np.arange(20), 5), [50, 50, 51, *np.repeat(52, 17)]])
        rows = rng.permutation(120)
        predictions[groups == 3] = 1.0  # without a correlation
        expected = [
            scipy.stats.spearmanr(targets[groups == g], predictions[groups == g]).statistic
            for g in (*range(3), *range(4, 20), 52)
        ]
        found = metrics.spearman_within(targets[rows], predictions[rows], groups[rows])
        assert found == (pytest.approx(np.mean(expected)), 20, 112)
        none = metrics.spearman_within(targets, predictions, np.arange(120))
        assert np.isnan(none.mean)
        assert none[1:] == (0, 0)


def test_report_gathers_them(prices, rng):
    targets, predictions = prices
    groups, spreads = np.arange(120) % 7, np.full(120, 0.5)
    found = metrics.regression_report(targets, predictions, spreads=spreads, groups=groups, baseline=8.0, base=10)
    assert found == (
        120,
        metrics.r_squared(*prices, baseline=8.0),
        metrics.mean_absolute_error(*prices),
        metrics.median_percentage_error(*prices, base=10),
        metrics.share_within(*prices, 0.25, base=10),
        metrics.share_within(*prices, 0.5, base=10),
        metrics.spearman(*prices),
        metrics.crps_normal(*prices, spreads).mean(),
        metrics.spearman_within(*prices, groups),
    )
    assert metrics.regression_report(*prices)[-2:] == (None, None)


ROWS, TABLE = np.arange(3.0), np.ones((3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.r_squared(ROWS, ROWS[1:]), "one prediction per target"),
        (lambda: metrics.r_squared(ROWS, ROWS * np.nan), "predictions: .* not finite"),
        (lambda: metrics.r_squared(ROWS, ROWS, baseline=np.inf), "baseline: expected a finite"),
        (lambda: metrics.mean_absolute_error(ROWS[:0], ROWS[:0]), "at least 1"),
        (lambda: metrics.mean_absolute_error(TABLE, TABLE), r"numbers \[N\]"),
        (lambda: metrics.percentage_errors(ROWS, ROWS, base=1.0), "base: expected"),
        (lambda: metrics.share_within(ROWS, ROWS, -1.0), "tolerance: expected"),
        (lambda: metrics.crps_normal(ROWS, ROWS, ROWS - 1), "0 or more"),
        (lambda: metrics.crps_normal(ROWS, ROWS, ROWS[1:]), "expected 3 numbers"),
        (lambda: metrics.crps_quantiles(ROWS, ROWS, 0.5), r"\[N, Q\]"),
        (lambda: metrics.crps_quantiles(ROWS, TABLE, (0.5,)), "levels of shape"),
        (lambda: metrics.pinball_loss(ROWS, ROWS, 1.0), "share in"),
        (lambda: metrics.pinball_loss(ROWS[1:], TABLE, (0.1, 0.9)), "2 targets"),
        (lambda: metrics.crps_ensemble(ROWS, TABLE[1:]), "one row of members"),
        (lambda: metrics.crps_ensemble(ROWS, TABLE[:, :1], fair=True), "at least two"),
        (lambda: metrics.spearman_within(ROWS, ROWS, [1]), "one group per target"),
        (lambda: metrics.spearman_within(ROWS, ROWS, ROWS, least=1), "at least 2 rows"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
