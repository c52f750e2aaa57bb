"""The Gaussian process that values lots: its covariances, what it predicts and what it says of its certainty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from jaxart.tasks import appraise
from jaxart.training import fit

SIZE, SALES, CODES = 12, 6, 5
# Compiled programs, shared by the tests: most of their time is compiling.
condition, predict, covariance = jax.jit(appraise.condition), jax.jit(appraise.predict), jax.jit(appraise.covariance)
features_of, draw = jax.jit(appraise.lot_features), jax.jit(appraise.draw_together, static_argnums=2)
loss_and_slope = jax.jit(jax.value_and_grad(appraise.negative_log_likelihood))


def draw_lots(rng, count, pictures=3):
    return appraise.Lots(
        rng.normal(size=(count, 3)).astype(np.float32),
        rng.integers(0, 2, (count, 1)).astype(np.float32),
        rng.integers(0, CODES, (count, 2)).astype(np.int32),
        rng.integers(0, SIZE, (count, 4)).astype(np.int32),
        rng.normal(size=(count, pictures)).astype(np.float32),
        rng.integers(0, 2, count).astype(bool),
        np.stack([rng.integers(0, SALES, count), np.arange(count) // 2 + 1], axis=1).astype(np.int32),
    )


def raw(value):
    return jnp.log(jnp.expm1(jnp.asarray(value, jnp.float32)))


def only(params, **values):
    """Return params of which all but some are nothing."""
    nothing = {name: jnp.full_like(value, -40.0) for name, value in params.items()}
    return nothing | {name: jnp.broadcast_to(raw(value), params[name].shape) for name, value in values.items()}


def large(params):
    """Return params of which each counts."""
    return {name: value + 1.5 for name, value in params.items()}


@pytest.fixture
def case(rng):
    """Return features of 24 lots, their targets, and params."""
    lots = draw_lots(rng, 24)
    features = features_of(lots, appraise.word_weights(lots.tokens, SIZE))
    return features, rng.normal(size=24).astype(np.float32), large(appraise.process_params(features))


def solved(params, known, targets, new):
    """Return the mean and variance of new lots by the formula, in float64."""
    noise = float(appraise.noise_variance(params))
    matrix = np.array(covariance(params, known, known), np.float64)
    np.fill_diagonal(matrix, np.asarray(appraise.variance_alone(params, known)) + noise)
    across = np.asarray(covariance(params, new, known), np.float64)
    alone = np.asarray(appraise.variance_alone(params, new)) + noise
    weights = np.linalg.solve(matrix, across.T).T
    return weights @ targets, alone - (weights * across).sum(1)


def test_covariances_are_what_the_formula_says(case):
    features, _, params = case
    at = {name: np.asarray(jax.nn.softplus(value), np.float64) for name, value in params.items()}
    for i, j in ((0, 1), (3, 17), (5, 4), (2, 2)):
        one, other = (appraise.rows_of(features, row) for row in (i, j))
        apart = np.concatenate(
            [(one.numbers - other.numbers) * at["scales"], (one.picture - other.picture) * at["picture"]]
        )
        distance = np.linalg.norm(apart)
        near = np.exp(-(((one.numbers - other.numbers) * at["crossed_scales"]) ** 2).sum())
        same = (one.categories == other.categories) & (one.categories > 1)
        expected = at["similar"] * (1 + distance) * np.exp(-distance)
        expected += (one.numbers * other.numbers * at["slopes"] ** 2).sum() + at["words"] * (one.words @ other.words)
        expected += (same * (at["categories"] + at["crossed"] * near)).sum()
        expected += (((one.groups == other.groups) & (one.groups > 0)) * at["groups"]).sum()
        np.testing.assert_allclose(covariance(params, features, features)[i, j], expected, rtol=2e-5)


def test_covariances_are_positive_definite_and_symmetric(case):
    features, _, params = case
    matrix = np.array(covariance(params, features, features), np.float64)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-5
    assert np.all(np.asarray(appraise.variance_alone(params, features)) > np.diag(matrix) - 1e-5)


def test_words_weigh_by_how_rare_they_are():
    tokens = np.array([[2, 3, 1, 0], [2, 2, 0, 0], [2, 4, 1, 0], [0, 0, 0, 0]], np.int32)
    weights = appraise.word_weights(tokens, 6)
    np.testing.assert_allclose(weights, [0, 0, 0, np.log(2), np.log(2), np.log(4)], atol=1e-6)
    lots = draw_lots(np.random.default_rng(0), 4)._replace(tokens=tokens)
    bags = features_of(lots, jnp.array([0, 0, 3.0, 4, 1, 1])).words
    np.testing.assert_allclose(bags[:2], [[0, 0, 0.6, 0.8, 0, 0], [0, 0, 1, 0, 0, 0]], atol=1e-6)
    assert not bags[3].any()


def test_a_process_of_numbers_is_scikit_learns(case, rng):
    features, targets, params = case
    params = only(params, similar=0.7, scales=3**0.5 / 1.5, noise=0.1)
    new = features_of(draw_lots(rng, 24), jnp.zeros(SIZE))
    kernel = ConstantKernel(0.7) * Matern(1.5, nu=1.5) + WhiteKernel(0.1 + appraise.NOISE_FLOOR)
    other = GaussianProcessRegressor(kernel, optimizer=None).fit(features.numbers, targets)
    mean, deviation = other.predict(np.asarray(new.numbers), return_std=True)
    conditioned = condition(params, features, targets)
    ours = predict(params, conditioned, features, new)
    np.testing.assert_allclose(ours, (mean, deviation**2), rtol=1e-4, atol=1e-5)
    loss, _ = loss_and_slope(params, features, targets)
    penalty = 1e-4 * len(params["scales"]) * 3**0.5 / 1.5
    expected = -other.log_marginal_likelihood() / 24 - np.log(2 * np.pi) / 2 + penalty
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_predictions_are_the_formulas_in_chunks_and_not_jitted(case, rng):
    features, targets, params = case
    new = features_of(draw_lots(rng, 24), jnp.ones(SIZE))
    conditioned = condition(params, features, targets)
    eager = appraise.condition(params, features, targets)
    np.testing.assert_allclose(conditioned.coefficients, eager.coefficients, rtol=1e-4, atol=1e-4)
    expected = solved(params, features, targets, new)
    np.testing.assert_allclose(predict(params, conditioned, features, new), expected, rtol=1e-3, atol=1e-4)
    chunked = jax.jit(lambda new: appraise.predict(params, conditioned, features, new, chunk=10))(new)
    np.testing.assert_allclose(chunked, expected, rtol=1e-3, atol=1e-4)


def test_members_are_told_different_things_and_kept_from_different_lots(case, rng):
    _, targets, _ = case
    known, new = draw_lots(rng, 24), draw_lots(rng, 7)
    told, told_new = (rng.normal(size=(3, count, 2)).astype(np.float32) for count in (24, 7))
    words = appraise.word_weights(known.tokens, SIZE)
    own, other = appraise.member_features(known, told, words), appraise.member_features(new, told_new, words)
    weights = (np.arange(24)[None] % 3 != np.arange(3)[:, None]).astype(np.float32)
    params = large(appraise.process_params(own._replace(numbers=own.numbers[0])))
    conditioned = appraise.condition_members(params, own, targets, weights)
    found = appraise.predict_members(params, conditioned, own, other, chunk=4)
    for member in range(3):
        one, two = (
            features_of(appraise.with_told(lots, said[member]), words)
            for lots, said in ((known, told), (new, told_new))
        )
        alone = condition(params, one, targets, weights=weights[member])
        expected = predict(params, alone, one, two)
        np.testing.assert_allclose(conditioned.coefficients[member], alone.coefficients, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose([each[member] for each in found], expected, rtol=1e-4, atol=1e-5)


def test_leaving_folds_out_is_fitting_without_them(case):
    features, targets, params = case
    folds = np.arange(24) % 5 % 4 + 7
    mean, variance = appraise.leave_groups_out(params, features, targets, folds)
    for fold in range(7, 11):
        out = folds == fold
        conditioned = condition(params, features, targets, weights=(~out).astype(np.float32))
        expected = np.asarray(predict(params, conditioned, features, features))[:, out]
        np.testing.assert_allclose((mean[out], variance[out]), expected, rtol=1e-3, atol=1e-4)
    whole = appraise.leave_groups_out(params, features, targets, np.zeros(24, int))
    prior = appraise.variance_alone(params, features) + appraise.noise_variance(params)
    np.testing.assert_allclose(whole, (np.zeros(24), prior), rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing_and_weights_divide_the_noise(case):
    features, targets, params = case
    weights = np.where(np.arange(24) < 20, 1, 0).astype(np.float32)
    few, some = appraise.rows_of(features, slice(20)), np.where(weights, targets, np.nan)
    padded, alone = loss_and_slope(params, features, some, weights=weights), loss_and_slope(params, few, targets[:20])
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5), padded, alone)
    conditioned = condition(params, features, some, weights=weights)
    expected = solved(params, few, targets[:20], features)
    np.testing.assert_allclose(predict(params, conditioned, features, features), expected, rtol=1e-3, atol=1e-4)
    noise = appraise.noise_variance(params)
    heavy = condition(params, features, some, weights=4 * weights)
    quarter = params | {"noise": raw(noise / 4 - appraise.NOISE_FLOOR)}
    expected = condition(quarter, features, some, weights=weights)
    np.testing.assert_allclose(heavy.coefficients, expected.coefficients, rtol=1e-3, atol=1e-3)


def test_slopes_are_those_of_differences_and_finite_at_equal_rows(case):
    features, targets, params = case
    towards = {name: jnp.cos(jnp.arange(value.size) + 1.0).reshape(value.shape) for name, value in params.items()}
    ahead, behind = (
        loss_and_slope(jax.tree.map(lambda one, other, far=far: one + far * other, params, towards), features, targets)[
            0
        ]
        for far in (0.01, -0.01)
    )
    _, slope = loss_and_slope(params, features, targets)
    along = sum(np.sum(slope[name] * towards[name]) for name in params)
    np.testing.assert_allclose(along, (ahead - behind) / 0.02, rtol=2e-3)
    equal = appraise.rows_of(features, np.zeros(24, int))
    assert all(np.isfinite(value).all() for value in jax.tree.leaves(loss_and_slope(params, equal, targets)))


def test_a_prediction_has_slopes_in_what_is_told_of_a_lot(case):
    features, targets, params = case
    conditioned = condition(params, features, targets)
    new = appraise.rows_of(features, slice(3, 4))
    soft = new._replace(categories=jax.nn.one_hot(new.categories, CODES))
    hard = np.asarray(predict(params, conditioned, features, features))[:, 3:4]
    np.testing.assert_allclose(predict(params, conditioned, features, soft), hard, rtol=1e-4)

    def mean(share, lot):
        moved = jax.tree.map(lambda value: value * share if value.dtype == np.float32 else value, lot)
        return predict(params, conditioned, features, moved)[0][0]

    steps = (np.arange(200) + 0.5) / 200
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(mean), (0, None)))(
        jnp.asarray([0, *steps, 1], jnp.float32), soft
    )
    np.testing.assert_allclose(np.mean(slope[1:-1]), value[-1] - value[0], atol=2e-3)


def test_what_stands_for_a_picture_that_is_not_there_is_not_looked_at(rng):
    lots = draw_lots(rng, 24)
    other = lots._replace(picture=np.where(lots.pictured[:, None], lots.picture, np.nan))
    jax.tree.map(np.testing.assert_array_equal, *(features_of(each, jnp.ones(SIZE)) for each in (lots, other)))


def test_variance_shrinks_near_what_is_known(case):
    features, targets, params = case
    params = only(params, similar=1.0, scales=1.0, noise=0.01)
    conditioned = condition(params, features, targets)
    far = features._replace(numbers=features.numbers + 30)
    near, away = (predict(params, conditioned, features, each) for each in (features, far))
    assert np.all(near[1] < 0.1)
    np.testing.assert_allclose(away, (np.zeros(24), np.full(24, 1.01 + appraise.NOISE_FLOOR)), atol=1e-4)


def test_one_row_and_equal_rows(case):
    features, targets, params = case
    noise = float(appraise.noise_variance(params))
    total = float(appraise.variance_alone(params, appraise.rows_of(features, slice(1)))[0])
    one = appraise.rows_of(features, slice(1))
    conditioned = condition(params, one, targets[:1])
    np.testing.assert_allclose(conditioned.coefficients, targets[:1] / (total + noise), rtol=1e-5)
    assert predict(params, conditioned, one, one)[1].shape == (1,)
    params = only(params, similar=1.0, scales=1.0, noise=0.01)
    equal = appraise.rows_of(features, np.zeros(24, int))
    mean, variance = predict(params, condition(params, equal, targets), equal, equal)
    noise = 0.01 + appraise.NOISE_FLOOR
    np.testing.assert_allclose(mean, np.full(24, targets.sum() / (24 + noise)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(variance, np.full(24, noise + noise / (24 + noise)), rtol=1e-2)


@pytest.fixture(scope="module")
def planted():
    """Return lots whose prices have an effect of their sale, and the params that are found from them."""
    rng = np.random.default_rng(3)
    lots = draw_lots(rng, 240, pictures=0)
    groups = np.stack([np.arange(240) % 12 + 1, np.arange(240) // 2 + 1], axis=1).astype(np.int32)
    lots = lots._replace(groups=groups)
    effects = np.linspace(-1.2, 1.2, 12)
    targets = effects[groups[:, 0] - 1] + 0.5 * np.sin(2 * lots.numbers[:, 0]) + rng.normal(0, 0.3, 240)
    features = features_of(lots, appraise.word_weights(lots.tokens, SIZE))
    targets = targets.astype(np.float32)
    recipe = appraise.price_process(features, targets, groups[:, 1], rows=120)
    state, info = fit(recipe, key=jax.random.key(0), steps=30)
    return features, targets, effects, state.params, info


def test_an_effect_of_sales_is_found(planted):
    features, targets, effects, params, info = planted
    found = {name: np.asarray(jax.nn.softplus(value)) for name, value in params.items()}
    assert found["groups"][0] > 0.25 > 0.1 > found["words"]
    assert float(info.loss) < 0
    lot = appraise.rows_of(features, slice(12))
    conditioned = condition(params, features, targets)
    apart = lot._replace(groups=lot.groups.at[:, 1].set(0))
    new = apart._replace(groups=jnp.zeros_like(lot.groups))
    known, unknown = (predict(params, conditioned, features, each) for each in (apart, new))
    assert np.corrcoef(known[0] - unknown[0], effects)[0, 1] > 0.95
    assert np.abs(unknown[0]).max() < np.abs(known[0]).max()
    assert np.all(unknown[1] > known[1] + 0.15)
    far = new._replace(groups=new.groups + 1000)
    np.testing.assert_array_equal(predict(params, conditioned, features, far), unknown)


def test_what_belongs_together_is_drawn_together():
    together = np.repeat(np.arange(40), 3).astype(np.int32)
    rows = np.asarray(draw(jax.random.key(1), together, 30))
    counts = np.bincount(together[rows][together[rows] > 0])
    assert len(set(rows)) == 30
    assert np.sum((counts > 0) & (counts < 3)) <= 1
    alone = np.asarray(draw(jax.random.key(1), np.zeros(120, np.int32), 300))
    assert sorted(alone) == list(range(120))
    assert not np.array_equal(alone, np.arange(120))


def test_targets_must_be_as_many_as_lots(case):
    features, targets, _ = case
    with pytest.raises(ValueError, match="targets: expected 24, one for each lot, got 23"):
        appraise.price_process(features, targets[1:], features.groups[1:, 1])
