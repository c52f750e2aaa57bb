"""An appraiser trained in one call, on lots that are made up by a known law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import example

from jaxart import data, metrics
from jaxart.tasks import appraise

KEY = jax.random.key(0)
GROUP = ("sale", "lot")
TRAIN, TEST = slice(0, 400), slice(400, 600)


def _part(records, rows):
    return {name: cells[rows] for name, cells in records.items()}


@pytest.fixture(scope="module")
def lots():
    records, truth = example("lots").make_lots(0, 600, clean=True)
    columns = data.find_columns(records, target="price", group=GROUP, leave_out=["work", "picture"])
    order = np.random.default_rng(0).permutation(600)
    return _part(records, order), columns, np.log(data.parse_numbers(records["price"]))[order], truth


@pytest.fixture(scope="module")
def trained(lots):
    records, columns, prices, _ = lots
    return appraise.train_appraiser(
        KEY, _part(records, TRAIN), columns, prices[TRAIN], group=GROUP, members=3, epochs=24, batch=32, width=32
    )


def test_new_lots_are_valued(lots, trained):
    records, _, prices, _ = lots
    worth = appraise.value_lots(trained, _part(records, TEST))
    assert metrics.r_squared(prices[TEST], worth.mean) > 0.5
    assert (worth.spread > 0).all()
    assert (np.diff(worth.quantiles, axis=1) > 0).all()


@pytest.mark.parametrize("method", ["absolute", "normalized", "quantile"])
def test_intervals_hold(lots, trained, method):
    records, _, prices, _ = lots
    calibration = appraise.calibrate(trained, prices[TRAIN], method=method)
    worth = appraise.value_lots(trained, _part(records, TEST))
    bounds = metrics.apply_intervals(calibration, appraise.predicted_of(worth, method, (0.8, 0.9)))
    for place, level in enumerate((0.8, 0.9)):
        found = metrics.interval_coverage(
            bounds.low[:, place], bounds.high[:, place], prices[TEST], level, calibration=400
        )
        assert found.low <= found.share
        assert found.mean_width < 4 * prices[TRAIN].std()


def test_own_lots_are_valued_as_if_they_were_new(lots, trained):
    before = appraise.value_own_lots(trained)
    assert 0.4 < metrics.r_squared(lots[2][TRAIN], before.mean) < 0.8
    known = trained.known
    own = (
        np.asarray(known.folds) == 1
    )  # the network's part: tests/test_appraise_recipe.py, what is told: test_appraise_encode.py
    turned = trained._replace(known=known._replace(targets=jnp.where(own, 9.0, known.targets)))
    after = appraise.value_own_lots(turned)
    np.testing.assert_allclose(after.mean[own], before.mean[own], atol=1e-5)
    assert np.abs(after.mean - before.mean)[~own].max() > 0.1


def test_a_lot_does_not_depend_on_lots_of_other_sales(lots, trained):
    records, _, _, _ = lots
    two = [400, int(np.flatnonzero(records["sale"][TEST] != records["sale"][400])[0]) + 400]
    together = appraise.value_lots(trained, _part(records, two))
    alone = appraise.value_lots(trained, _part(records, two[:1]))
    np.testing.assert_allclose(alone.mean, together.mean[:1], atol=1e-4)


def test_a_table_that_says_nothing_of_a_lot(trained):
    worth = appraise.value_lots(trained, {"artist": np.array(["somebody new", ""])})
    assert np.isfinite(worth.mean).all()
    assert np.isfinite(worth.quantiles).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prices": np.full(400, 2.0)}, "expected prices that differ"),
        ({"prices": np.array([np.nan] * 400)}, "400 of 400 that are not; leave rows without a price out"),
        ({"members": 1}, "expected at least 2"),
        ({"group": ("dealer",), "members": 40}, "expected at least 40 groups of rows"),
    ],
)
def test_what_cannot_be_learned(lots, change, message):
    records, columns, prices, _ = lots
    given = {"prices": prices[TRAIN], "members": 3, "group": GROUP} | change
    with pytest.raises(ValueError, match=message):
        appraise.train_appraiser(
            KEY, _part(records, TRAIN), columns, given["prices"], group=given["group"], members=given["members"]
        )
