"""Back-tests: by hand on a few lots, without a look ahead, on a market whose truth is planted, and in words."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart.tasks import appraise

FREE = appraise.Costs(0, 0)
KEY = jax.random.key(3)


def trade(dates, asked, margin, fetched, **options):
    """Back-test with resales in money."""
    options = {"costs": FREE, "holding": 2} | options
    return appraise.backtest(dates, asked, margin, np.log(np.asarray(fetched, float)), **options)


class TestByHand:
    def test_a_signal_is_what_is_left_after_both_fees(self):
        edge = 100 * 1.25 / 0.9  # a value at which nothing is left
        assert appraise.signals([np.log(edge)], [100]) == pytest.approx([0], abs=1e-12)
        found = appraise.signals(np.log([edge * 1.1, edge * 0.9]), [100, 100])
        np.testing.assert_allclose(found, np.log([1.1, 0.9]))
        held = appraise.signals([np.log(110)], [100], appraise.Costs(0, 0, 0.02), holding=5)
        assert held == pytest.approx([0], abs=1e-12)
        assert appraise.signals([-np.inf], [100]) == -np.inf

    def test_premium_fee_and_yearly_costs_are_paid(self):
        ledger = trade([2000], [100], [0.1], [200], costs=appraise.Costs(0.25, 0.1, 0.02), holding=3)
        paid, got = 125, 200 * 0.9 - 125 * 0.02 * 3
        trades = ledger.trades
        assert [each.tolist() for each in trades[:4]] == [[0], [2000], [125], [2003]]
        assert (trades.got[0], trades.returns[0]) == (pytest.approx(got), pytest.approx(got / paid - 1))

    def test_money_runs_out_and_comes_back(self):
        dates = [2000, 2000, 2001, 2002, 2003]
        ledger = trade(dates, [60, 50, 60, 70, 40], [0.1, 0.2, 0.3, 0.1, 0.1], [90, 70, 60, 90, 40], budget=100)
        # 2000: row 1 first (50 left), row 0 is too dear; 2001: row 2 too; 2002: 70 came back, 120; 2003: 50 left
        assert ledger.trades.rows.tolist() == [1, 3, 4]
        assert ledger.refused == 2
        report = appraise.summary(ledger)
        assert (report.trades, report.open, report.refused, report.hit_rate) == (3, 0, 2, 2 / 3)
        assert report.profit == pytest.approx(20 + 20 + 0)
        assert report.invested == pytest.approx((50 + 70 + 40) * 2 / 5)  # from 2000 to the last sale in 2005
        assert report.exposure == pytest.approx(0.64)
        assert report.yearly_return == pytest.approx(1.4 ** (1 / 5) - 1)

    def test_a_stake_bounds_what_one_lot_may_cost(self):
        ledger = trade([2000, 2000], [60, 40], [0.2, 0.1], [90, 90], budget=100, stake=0.5)
        assert ledger.trades.rows.tolist() == [1]

    def test_drawdown_is_the_fall_from_the_highest_and_sales_of_one_day_count_together(self):
        dates, fetched = [2000, 2001, 2002, 2002, 2003], [150, 70, 60, 130, 110]
        report = appraise.summary(trade(dates, [100] * 5, [1] * 5, fetched, budget=1000, holding=1))
        assert report.drawdown == pytest.approx(40 / 1050)  # 1050, 1020, 1010, 1020
        assert report.profit == pytest.approx(20)
        assert report.median_return == pytest.approx(0.1)
        assert report.mean_return == pytest.approx(0.04)

    def test_without_a_budget_capital_is_what_was_most_invested(self):
        report = appraise.summary(trade([2000, 2001, 2002], [100, 50, 30], [1, 1, 1], [110, 50, 30]))
        assert report.exposure == pytest.approx(180 * 2 / 4 / 150)
        assert report.yearly_return == pytest.approx((160 / 150) ** (1 / 4) - 1)

    def test_an_open_position_ties_up_money_and_is_in_no_return(self):
        ledger = trade([2000, 2001, 2005], [100, 50, 50], [1, 1, 1], [np.nan, 60, 70], budget=150)
        assert ledger.trades.rows.tolist() == [0, 1, 2]
        report = appraise.summary(ledger)
        assert (report.open, report.hit_rate, report.profit) == (1, 1, pytest.approx(30))
        assert report.invested == pytest.approx((100 * 7 + 50 * 2 * 2) / 7)
        assert trade([2000, 2001], [100, 100], [1, 1], [np.nan, 300], budget=150).refused == 1

    @pytest.mark.parametrize("budget", [None, 100])
    @pytest.mark.parametrize(("margin", "fetched"), [(-1, 200), (1, np.nan)])
    def test_no_trade_is_no_nan(self, budget, margin, fetched):
        report = appraise.summary(trade([2000], [100], [margin], [fetched], budget=budget))
        assert report[3:6] == (None, None, None)
        assert (report.profit, report.drawdown) == (0, 0)
        assert all(value is None or np.isfinite(value) for value in report)

    def test_what_a_lot_was_to_be_had_for(self):
        nan = np.nan
        price, estimate = [100, 300, nan, 50], [200, 250, 80, nan]
        assert appraise.asked_prices(price[:2]).tolist() == [100, 300]
        assert appraise.asked_prices(price, estimate).tolist() == [200, 300, 80, 50]
        assert appraise.asked_prices(price, estimate, at_least_price=False).tolist() == [200, 250, 80, 50]


def random_market(seed, count=40):
    rng = np.random.default_rng(seed)
    dates = 2000 + rng.integers(0, 12, count) / 2
    return dates, rng.uniform(10, 90, count), rng.normal(size=count), np.log(rng.uniform(10, 200, count))


class TestNoLookAhead:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.integers(0, 10**6), st.sampled_from([None, 120.0]), st.floats(2000.5, 2006))
    def test_later_rows_change_no_earlier_decision(self, seed, budget, now):
        dates, asked, margin, resale = random_market(seed)
        other = random_market(seed + 1)
        later = dates >= now
        changed = [np.where(later, new, old) for old, new in zip((asked, margin, resale), other[1:], strict=True)]
        ledgers = [
            appraise.backtest(dates, *each, holding=1.5, budget=budget) for each in ((asked, margin, resale), changed)
        ]
        rows = [ledger.trades.rows[ledger.trades.bought < now].tolist() for ledger in ledgers]
        assert rows[0] == rows[1]

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(st.integers(0, 10**6), st.floats(2000.5, 2006), st.booleans())
    def test_a_resale_is_not_known_before_its_day(self, seed, now, unknown):
        dates, asked, margin, resale = random_market(seed)
        other = np.full(len(dates), np.nan) if unknown else random_market(seed + 1)[3]
        changed = np.where(dates + 1.5 >= now, other, resale)
        ledgers = [
            appraise.backtest(dates, asked, margin, each, holding=1.5, budget=120.0) for each in (resale, changed)
        ]
        rows = [ledger.trades.rows[ledger.trades.bought < now].tolist() for ledger in ledgers]
        assert rows[0] == rows[1]

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(st.integers(0, 10**6))
    def test_the_order_of_rows_does_not_matter(self, seed):
        columns = random_market(seed)
        mixed = np.random.default_rng(seed).permutation(len(columns[0]))
        rows = appraise.backtest(*columns, holding=1.5, budget=120.0).trades.rows
        again = appraise.backtest(*(each[mixed] for each in columns), holding=1.5, budget=120.0).trades.rows
        assert mixed[again].tolist() == rows.tolist()

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.integers(0, 10**6), st.floats(0.1, 3), st.floats(0, 3))
    def test_periods_part_the_lots_and_each_learns_from_earlier_ones_alone(self, seed, period, holding):
        dates = random_market(seed)[0]
        found = list(appraise.walk_forward(dates, first=2001.1, period=period, holding=holding))
        assert (
            sorted(np.concatenate([each.test for each in found]).tolist()) == np.flatnonzero(dates >= 2001.1).tolist()
        )
        for each in found:
            assert each.train.tolist() == np.flatnonzero(dates < each.start).tolist()
            assert dates[each.test].min() >= each.start
            assert (dates[each.judge] >= each.start + holding).all()
            assert not set(each.judge) & (set(each.test) | set(each.train))

    def test_a_window_bounds_what_the_judge_sees(self):
        found = next(appraise.walk_forward(np.arange(2000.0, 2010), first=2001, holding=2, window=3))
        assert found.judge.tolist() == [3, 4, 5]


class TestResale:
    def test_the_market_lifts_all_and_persistence_keeps_a_discount(self):
        price, now, later = [80, 80, 80], np.log([100, 100, 100]), np.log([120, 120, np.nan])
        for persistence, fetched in ((0, 120), (1, 96)):
            found = np.exp(appraise.index_resale(price, now, later, persistence=persistence))
            assert found == pytest.approx([fetched, fetched, np.nan], nan_ok=True)

    def test_repeat_sales_have_their_own_holding_times(self):
        dates, price = [2000, 2002, 2003, 2009], [100, 40, 130, 50]
        resale, years = appraise.repeat_resale(dates, price, [[0, 2], [1, 3]])
        ledger = appraise.backtest(dates, price, [1, 1, 1, 1], resale, holding=years, costs=FREE)
        assert ledger.trades.sold.tolist() == [2003, 2009, 2008, 2014]
        assert ledger.trades.returns == pytest.approx([0.3, 0.25, np.nan, np.nan], nan_ok=True)
        assert appraise.repeat_resale(dates, price, np.zeros((0, 2), int))[1].tolist() == [5] * 4


def planted(count=800, seed=0):
    """Return a market in which what is asked scatters around the worth, and what is fetched later does too."""
    rng = np.random.default_rng(seed)
    worth = rng.normal(6, 1, count)
    asked = np.exp(worth + rng.normal(0, 0.6, count))
    return 2000 + np.sort(rng.uniform(0, 10, count)), asked, worth, worth + rng.normal(0, 0.2, count)


BOUND = 1.28 * 0.2  # of an 80 % interval, below the worth


class TestPlantedMarket:
    def compare(self, margin_of=lambda worth, noise: worth - BOUND, **options):
        dates, asked, worth, resale = planted()
        noise = np.random.default_rng(1).normal(size=len(worth))
        margin = appraise.signals(margin_of(worth, noise), asked)
        return appraise.compare_strategies(KEY, dates, asked, margin, resale, draws=200, holding=2, **options)

    def test_a_good_model_earns_and_dull_ones_lose_the_fees(self):
        found = self.compare()
        model, everything, lucky = found.strategies
        assert model.summary.mean_return > 0.2
        assert model.summary.hit_rate > 0.9
        assert everything.summary.trades == 800
        assert lucky.summary.trades == model.summary.trades
        assert lucky.summary.median_return == pytest.approx(0.9 / 1.25 - 1, abs=0.05)
        assert lucky.summary.mean_return == pytest.approx(everything.summary.mean_return, abs=0.03)
        assert found.random_range[0] < everything.summary.mean_return < found.random_range[1] < 0.2
        told = appraise.verdict(found)
        assert told.startswith("The model made money: ")
        assert "It beats buying all (" in told
        assert "It beats buying at random (" in told

    def test_a_model_without_knowledge_is_told_so(self):
        found = self.compare(lambda worth, noise: np.log(planted()[1]) + noise)  # its margins are noise
        told = appraise.verdict(found)
        assert "did not make money" in appraise.verdict(
            self.compare(lambda *_: np.log(planted()[1]) + 1, figure="median_return")
        )
        assert "It beats" not in told
        assert "beat buying at random" in told

    def test_a_better_one_beside_it_is_told(self):
        _, asked, worth, _ = planted()
        others = {"the ridge hedonic": appraise.signals(worth - BOUND, asked)}
        found = self.compare(lambda worth, noise: worth + noise, others=others)
        assert found.strategies[-1].difference < found.strategies[-1].low < 0
        assert "It does not beat the ridge hedonic (" in appraise.verdict(found)
        same = self.compare(others=others)
        assert same.strategies[-1].difference == 0
        assert "It does not beat the ridge hedonic" in appraise.verdict(same)
        assert "just as good" in appraise.verdict(same)

    def test_money_is_shared_by_the_same_rules(self):
        found = self.compare(budget=3000.0, stake=0.5, figure="profit")
        model, everything, lucky = (each.summary for each in found.strategies)
        assert model.refused > 0
        assert lucky.trades <= model.trades
        assert model.profit > 0 > everything.profit
        assert "% " not in appraise.verdict(found)

    def test_the_same_key_draws_the_same(self):
        assert self.compare() == self.compare()

    def test_only_lots_with_a_valuation_are_traded(self):
        dates, asked, worth, resale = planted()
        margin = np.where(dates < 2005, -np.inf, appraise.signals(worth, asked))
        found = appraise.compare_strategies(KEY, dates, asked, margin, resale, draws=100, holding=2)
        assert found.strategies[1].summary.trades == (dates >= 2005).sum()

    def test_nothing_bought_or_sold_is_said(self):
        none = self.compare(lambda worth, noise: worth - 50)
        assert appraise.verdict(none) == "The model bought nothing, so there is nothing to compare."
        dates, asked, *_ = planted()
        unsold = appraise.compare_strategies(KEY, dates, asked, np.ones(800), np.full(800, np.nan), draws=100)
        assert "sold none of the 800 lots" in appraise.verdict(unsold)

    def test_sale_probability(self):
        _, asked, worth, _ = planted()
        sold = np.random.default_rng(2).random(800) < 1 / (1 + np.exp(-3 * (worth - np.log(asked))))
        assert appraise.sale_probability_auc(worth, asked, sold) > 0.75
        assert 0.4 < appraise.sale_probability_auc(np.log(asked), asked, sold) < 0.6


GOOD = {"dates": [2000, 2001], "asked": [100, 100], "margin": [0.1, 0.1], "resale": [5, 5]}


class TestBadInput:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"dates": [2000, np.nan]}, "dates: expected finite numbers, got nan in row 1"),
            ({"dates": [2000, np.inf]}, "dates: expected finite numbers, got inf"),
            ({"dates": []}, r"dates: expected \[N\]"),
            ({"asked": [100, -1]}, "asked: expected numbers above 0, got -1 in row 1"),
            ({"asked": [100, np.nan]}, "asked: expected numbers above 0, got nan"),
            ({"asked": [100]}, r"asked: expected \[2\], .* got shape \(1,\)"),
            ({"margin": [0.1, np.nan]}, "margin: expected numbers, -inf where there is no valuation, got nan in row 1"),
            ({"margin": [0.1] * 3}, r"margin: expected \[2\]"),
            ({"resale": [5, np.inf]}, "resale: expected natural logarithms"),
            ({"resale": [5, -np.inf]}, "expected a resale that is a log price"),
            ({"resale": [5, 30000]}, "resale: expected natural logarithms of prices, got 30000. Take np.log"),
            ({"costs": appraise.Costs(fee=1)}, "a fee below 1"),
            ({"costs": appraise.Costs(premium=-0.1)}, "costs: expected shares"),
            ({"holding": -1}, "holding: expected years"),
            ({"holding": 0}, "a holding time above 0"),
            ({"holding": [1, 2, 3]}, "holding: expected years, one number or 2"),
            ({"budget": 0}, "budget: expected money above 0"),
            ({"budget": np.nan}, "budget: expected money above 0"),
            ({"budget": 10, "stake": 0}, "stake: expected a share"),
            ({"stake": 0.5}, "1 without a budget"),
        ],
    )
    def test_a_back_test(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            appraise.backtest(**(GOOD | wrong))

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: appraise.signals([5000.0], [5000]), "low: expected natural logarithms"),
            (lambda: appraise.signals([np.nan], [10]), "low: expected numbers"),
            (
                lambda: appraise.asked_prices([np.nan, 1]),
                "the price or the estimate: expected finite numbers, got nan",
            ),
            (lambda: appraise.asked_prices([1], [-2]), "estimate: expected finite numbers above 0"),
            (lambda: appraise.walk_forward([2000, 2001], first=2000), "first: expected a date after 2000"),
            (lambda: appraise.walk_forward([2000, 2001], first=np.nan), "first: expected a date after 2000"),
            (lambda: appraise.walk_forward([2000, 2001], first=2001, period=0), "expected a period"),
            (lambda: appraise.index_resale([1], [1], [1], persistence=2), "persistence: expected a share"),
            (lambda: appraise.index_resale([1], [1], [1, 2], persistence=0), r"later: expected log prices \[1\]"),
            (lambda: appraise.repeat_resale([1, 2], [1, 1], [[1, 0]]), "an earlier and a later sale"),
            (lambda: appraise.repeat_resale([1, 2], [1, 1], [[0, 2]]), "rows from 0 to 1, got 0 to 2"),
            (lambda: appraise.repeat_resale([1, 2], [1, 1], [0, 1]), r"expected rows \[P, 2\]"),
            (lambda: appraise.compare_strategies(KEY, **GOOD, figure="luck"), "figure: unknown value 'luck'"),
            (lambda: appraise.compare_strategies(KEY, **GOOD, draws=10), "draws: expected at least 100"),
            (lambda: appraise.sale_probability_auc([1, 2], [1, 0], [0, 1]), "estimate: expected numbers above 0"),
            (lambda: appraise.sale_probability_auc([1, 2], [1, 1], [1, 1]), "labels of both kinds"),
        ],
    )
    def test_the_others(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()
