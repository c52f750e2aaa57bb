"""The ensemble that learns prices: what each member sees, and what it says of lots."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import models
from jaxart.tasks import appraise
from jaxart.training import fit

COUNT, MEMBERS, KEY = 200, 3, jax.random.key(0)
NETWORK = models.LotNet(
    appraise.OUTPUTS,
    (0,),
    (4,),
    groups=5,
    located=(0, 5),
    width=32,
    depth=1,
    frequencies=4,
    number_width=4,
    dropout=0.0,
)


def _known(seed: int, count: int = COUNT) -> appraise.Known:
    """Lots whose price follows a number, a category and the sale, with noise that grows with another number."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, 2)).astype(np.float32)
    categories = rng.integers(2, 4, (count, 1)).astype(np.int32)
    groups = rng.integers(1, 5, (count, 1)).astype(np.int32)
    noise = np.where(numbers[:, 1] > 0, 0.5, 0.05) * rng.normal(size=count)
    targets = 0.6 * numbers[:, 0] + 0.8 * (categories[:, 0] - 2.5) + 0.3 * (groups[:, 0] - 2.5) + noise
    lots = appraise.Lots(
        numbers=numbers,
        missing=np.zeros((count, 0), np.float32),
        categories=categories,
        tokens=np.zeros((count, 0), np.int32),
        picture=np.zeros((count, 0), np.float32),
        pictured=np.zeros(count, bool),
        groups=groups,
    )
    told = np.zeros((MEMBERS, count, 1), np.float32)
    return appraise.Known(lots, told, targets.astype(np.float32), (np.arange(count) % MEMBERS).astype(np.int32))


def _recipe(known, steps=400):
    example = appraise.with_told(known.lots, known.told[0])
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    return appraise.appraiser(NETWORK, example=example, members=MEMBERS, optimizer=optimizer)._replace(frozen=known)


def _batches(first):
    for number in itertools.count(first):
        yield {"row": np.random.default_rng(number).integers(0, COUNT, 64).astype(np.int32)}


@pytest.fixture(scope="module")
def trained():
    known = _known(0)
    state, _ = fit(_recipe(known), _batches, key=KEY, steps=400)
    return known, state


def _said(state, known):
    lots = appraise.Lots(*map(jnp.asarray, known.lots))
    return jax.jit(appraise.guess, static_argnums=0)(NETWORK, state.average, lots, jnp.asarray(known.told))


def test_it_learns_what_lots_are_worth_and_how_sure_that_is(trained):
    _, state = trained
    new = _known(1)
    made = _said(state, new)
    left = np.asarray(made.mean).mean(0) - np.asarray(new.targets)
    assert np.var(left) < 0.25 * np.var(new.targets)
    unsure = np.asarray(new.lots.numbers[:, 1]) > 0.2
    sure = np.asarray(new.lots.numbers[:, 1]) < -0.2
    spread = np.asarray(made.log_variance).mean(0)
    width = np.asarray(made.quantiles[:, :, -1] - made.quantiles[:, :, 0]).mean(0)
    assert spread[unsure].mean() > spread[sure].mean() + 1
    assert width[unsure].mean() > 2 * width[sure].mean()
    assert (np.diff(made.quantiles, axis=-1) >= 0).all()


def test_a_member_learns_nothing_from_its_fold(trained):
    known, _ = trained
    changed = known._replace(targets=np.where(known.folds == 1, 9, known.targets).astype(np.float32))
    after, _ = fit(_recipe(changed), _batches, key=KEY, steps=3)
    before, _ = fit(_recipe(known), _batches, key=KEY, steps=3)
    for one, other in zip(jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True):
        np.testing.assert_array_equal(one[1], other[1])
    assert not np.array_equal(after.params["outputs"]["kernel"][0], before.params["outputs"]["kernel"][0])


def test_a_sale_that_is_new_adds_nothing(trained):
    known, state = trained
    lots = known.lots._replace(groups=np.full((COUNT, 1), -3, np.int32))
    none = known.lots._replace(groups=np.zeros((COUNT, 1), np.int32))
    new, without = (_said(state, known._replace(lots=each)) for each in (lots, none))
    np.testing.assert_array_equal(new.mean, without.mean)
    assert not np.array_equal(new.mean, _said(state, known).mean)
