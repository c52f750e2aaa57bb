"""Back-tests of appraisers over a table: nothing of later sales is seen, lots are bought once, and the command that prints them."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers import example

from jaxart import cli, data, runs
from jaxart.runs import lot_table
from jaxart.tasks import appraise
from jaxart.tasks.appraise import forward

KEY = jax.random.key(0)
GROUP = ("sale", "lot")
SETTINGS = {
    "date": "date",
    "group": GROUP,
    "estimate": "estimate",
    "period": 2.5,
    "holding": 3,
    "members": 2,
    "epochs": 3,
    "width": 16,
    "level": 0.3,
    "costs": appraise.Costs(0.02, 0.02),
}


@pytest.fixture(scope="module")
def lots():
    records, _ = example("lots").make_lots(0, 300)
    columns = data.find_columns(
        records,
        target="price",
        date="date",
        group=GROUP,
        after_sale=["buyer", "duty", "sold"],
        leave_out=["work", "picture", "description"],
    )
    prices = data.parse_numbers(records["price"])
    return records, columns, np.where(prices > 0, prices, np.nan)


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def found(lots, told):
    return appraise.backtest_appraiser(KEY, *lots, **SETTINGS, report=lambda *done: told.append(done))


def test_each_period_is_told_and_lots_are_traded_by_their_signal(lots, found, told):
    _, _, prices = lots
    assert told == [(done, len(found.starts)) for done in range(1, len(found.starts) + 1)]
    assert len(found.starts) == 2
    assert (found.dates >= found.starts[0]).all()
    assert np.isfinite(prices[found.rows]).all()
    assert (found.asked >= prices[found.rows]).all()
    bought = found.rows[found.margin > 0]
    assert len(bought) > 5
    assert set(found.ledger.trades.rows.tolist()) == set(bought.tolist())
    np.testing.assert_allclose(
        found.margin, appraise.signals(found.low, found.asked, SETTINGS["costs"], holding=3), rtol=1e-12
    )


def test_later_prices_change_no_earlier_signal(lots, found):
    records, columns, prices = lots
    dates = data.column_values(records["date"], "date")
    later = dates >= found.starts[1]
    changed = appraise.backtest_appraiser(KEY, records, columns, np.where(later, prices**0.5 + 1, prices), **SETTINGS)
    earlier = found.dates < found.starts[1]
    assert earlier.sum() > 20
    assert changed.rows[changed.dates < found.starts[1]].tolist() == found.rows[earlier].tolist()
    for name in ("value", "low", "margin"):
        assert (getattr(changed, name)[: earlier.sum()] == getattr(found, name)[earlier]).all()
    assert (changed.resale[: earlier.sum()] != found.resale[earlier]).any()


def test_a_lot_of_several_rows_is_bought_once(lots, found):
    records, _, prices = lots
    names = data.group_names({name: records[name][found.rows] for name in GROUP}, GROUP)
    assert len(set(names)) == len(names)
    everything = found.comparisons[0.5].strategies[1].summary.trades
    assert everything == len(names)
    known = np.isin(data.group_names(records, GROUP), names) & ~np.isnan(prices)
    assert known.sum() > len(names)  # pendants


def test_rows_of_one_group_at_different_prices_are_lots_of_their_own():
    records = {"sale": np.array(["a", "a", "b", "b", "b"])}
    prices = np.array([5.0, 6, 7, 7, np.nan])
    table = forward._Table(np.arange(5), records, np.zeros(5), prices, prices)
    said = forward._Said(*np.array([[1.0, 2, 3, 5, 9]] * 5))
    lots, means = forward._as_lots(table, said, ("sale",))
    assert lots.tolist() == [0, 1, 2]
    assert means.low.tolist() == [1, 2, 4]


def test_the_verdict_is_told_for_each_persistence(found):
    lines = found.verdict.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["Persistence 0", "Persistence 0.5", "Persistence 1"]
    for line, each in zip(lines, found.comparisons.values(), strict=False):
        assert line.endswith(appraise.verdict(each))
        assert [strategy.name for strategy in each.strategies] == [
            "the model",
            "buying all",
            "buying at random",
            "the ridge hedonic",
        ]


def comparison(profit, gain):
    dates = np.arange(200) / 100
    margin = np.where(np.arange(200) % 2, 1.0, -1.0)
    resale = np.log(100 + profit + gain * margin)
    others = {"the ridge hedonic": -margin}
    return appraise.compare_strategies(
        KEY, dates, np.full(200, 100.0), margin, resale, others=others, draws=100, costs=appraise.Costs(0, 0)
    )


def test_what_the_verdicts_come_to():
    good, bad, losing = comparison(20, 10), comparison(20, -10), comparison(-30, 10)
    assert forward._in_words({0.0: good, 1.0: good}).endswith("more than luck gives, whatever the persistence is.")
    some = forward._in_words({0.0: good, 1.0: bad})
    assert some.endswith("more than luck gives if the persistence is 0, and not else; nobody knows what it is.")
    for worse in (bad, losing):
        assert "In all, the model does not beat the dull strategies" in forward._in_words({0.0: worse, 1.0: worse})


def test_unsold_lots_tell_whether_values_say_what_sells(lots, found):
    records, _, prices = lots
    assert np.isnan(prices).sum() > 5
    assert 0 < found.auc < 1
    estimates = data.parse_numbers(records["estimate"])
    table = forward._Table(np.arange(len(prices)), records, prices, prices, estimates)
    assert forward._auc(table, np.where(np.isnan(prices), 0.0, 50.0)) == 1
    assert forward._auc(table._replace(prices=np.where(np.isnan(prices), 1.0, prices)), estimates) is None


def test_a_date_is_written_so_that_it_is_read_again():
    moved = forward._dated(
        {"date": np.array(["x", "x"]), "a": np.array(["b", "c"])}, "date", np.array([1767.0, 1770.5])
    )
    np.testing.assert_allclose(data.parse_dates(moved["date"]), [1767, 1770.5], atol=0.01)


class TestBadInput:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"date": "dat"}, "date: unknown value 'dat'"),
            ({"estimate": "guess"}, "estimate: unknown value 'guess'"),
            ({"first": 1700.0}, "first: expected a date after"),
            ({"first": 1764.9}, "first: expected at least 20 sold lots before 1764.9"),
            ({"holding": 40}, "holding: expected at least 20 lots sold 40 years after"),
            ({"holding": 0}, "a holding time above 0"),
            ({"period": 0}, "expected a period"),
            ({"level": 1.0}, r"a level in \(0, 1\)"),
            ({"persistence": 2}, r"a persistence in \[0, 1\]"),
            ({"stake": 0.5}, "stake: expected a share"),
            ({"costs": appraise.Costs(fee=1)}, "a fee below 1"),
        ],
    )
    def test_settings(self, lots, wrong, message):
        with pytest.raises(ValueError, match=message):
            appraise.backtest_appraiser(KEY, *lots, **(SETTINGS | wrong))

    def test_tables(self, lots):
        records, columns, prices = lots
        for changed, paid, message in (
            (
                {"date": np.full(len(prices), "undated")},
                prices,
                "date: expected sold lots with dates in 'date', got 0 of 300",
            ),
            ({"date": np.full(len(prices), "1770")}, prices, "date: expected sales at several dates"),
            ({}, np.full(len(prices), np.nan), "none with a price"),
            ({}, np.where(prices > 0, -prices, 1), "prices: expected money above 0"),
            ({}, prices[1:], "for each of 300 rows"),
        ):
            with pytest.raises(ValueError, match=message):
                appraise.backtest_appraiser(KEY, {**records, **changed}, columns, paid, **SETTINGS)


@pytest.fixture
def command(lots, found, monkeypatch):
    """Give the command a run, a table, and what a back-test of it found; return what it was asked for."""
    options = SimpleNamespace(date="date", group=GROUP, missing="drop", members=2, width=16)
    asked = {}
    monkeypatch.setattr(lot_table, "appraiser_table", lambda *_: lots)
    monkeypatch.setattr(
        runs, "open_run", lambda folder: SimpleNamespace(kind="appraiser", folder=folder, options=options)
    )
    monkeypatch.setattr(appraise, "backtest_appraiser", lambda *_, **settings: asked.update(settings) or found)
    return options, asked


def test_the_command_prints_trades_strategies_and_verdict(command, found, tmp_path, capsys):
    output = tmp_path / "trades.csv"
    words = [
        "backtest",
        "run",
        "lots.csv",
        "-o",
        str(output),
        "--first",
        "1769-07-02",
        "--fee",
        "0.05",
        "--estimate",
        "estimate",
    ]
    assert cli.app()(words) == 0
    shown = capsys.readouterr()
    assert found.verdict.splitlines()[-1] in shown.out
    for part in ("buying", "drawdown", "This is no advice", "AUC"):
        assert part in shown.out
    assert "filled by regression here" in shown.err
    _, asked = command
    assert asked["first"] == pytest.approx(1769.5, abs=0.01)
    assert (asked["costs"].fee, asked["estimate"], asked["missing"]) == (0.05, "estimate", "regress")
    written = data.read_records(output)
    assert data.parse_numbers(written["row"]).tolist() == (found.ledger.trades.rows + 1).tolist()
    paid, got, share = (data.parse_numbers(written[name]) for name in ("paid", "got", "return"))
    np.testing.assert_allclose(share, got / paid - 1, rtol=1e-6, atol=1e-9)


def test_the_command_refuses_before_it_trains(command, tmp_path):
    options, asked = command
    for words, message in (
        (["-o", str(tmp_path / "trades.txt")], "cannot write .txt"),
        (["--first", "soon"], "--first: expected a year or a date"),
    ):
        with pytest.raises(ValueError, match=message):
            cli.app()(["backtest", "run", "lots.csv", *words])
    options.date = None
    with pytest.raises(ValueError, match="knows no column of dates"):
        cli.app()(["backtest", "run", "lots.csv"])
    assert not asked
