"""The network of auction lots against NumPy; what padding, gaps, chance and the rest of a batch change; losses of numbers with a spread."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, gelu, sigmoid

from jaxart import losses, metrics, models
from jaxart.models.lots import Reading

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)
B, F, M, P, L, V, H = 6, 4, 3, 5, 7, 11, 4
NET = models.LotNet(
    2, (0, 2), (9, 300), V, 3, frequencies=3, number_width=2, word_width=5, text_width=H, picture_width=6, width=8
)
NAMES = ("numbers", "missing", "categories", "tokens", "picture", "pictured", "group")


def lots(**changes):
    """Return the inputs of six lots, as a tuple: one has no word, one no picture, two no known group."""
    rng = np.random.default_rng(0)
    words = np.array([7, 4, 0, 1, 5, 3])[:, None]
    given = {
        "numbers": rng.standard_normal((B, F), np.float32),
        "missing": (rng.random((B, M)) < 0.5).astype(np.float32),
        "categories": np.stack([rng.integers(0, size, B) for size in NET.sizes], 1).astype(np.int32),
        "tokens": np.where(np.arange(L)[None] < words, rng.integers(1, V, (B, L)), 0).astype(np.int32),
        "picture": rng.standard_normal((B, P), np.float32),
        "pictured": np.array([True, True, True, False, True, True]),
        "group": np.array([0, 1, 2, 2, 0, 1], np.int32),
    }
    return tuple(jnp.asarray({**given, **changes}[name]) for name in NAMES)


@functools.cache
def made():
    """Return random variables, none of which is where it starts in training."""
    shapes = jax.eval_shape(NET.init, KEY, *lots())
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.standard_normal(leaf.shape, np.float32)), shapes)


@functools.cache
def program(**options):
    return jax.jit(functools.partial(NET.apply, **options))


@functools.cache
def slopes():
    """Return the compiled gradient of a loss in training."""

    def objective(variables, *inputs):
        outputs, _ = NET.apply(variables, *inputs, train=True, rngs={"dropout": KEY})
        return jnp.mean(losses.gaussian_nll(outputs[:, 0], outputs[:, 1], jnp.zeros(B)))

    return jax.jit(jax.grad(objective))


@functools.cache
def members():
    """Return the variables of three networks, as training begins, and their keys."""
    keys = jax.random.split(KEY, 3)
    return jax.jit(jax.vmap(lambda key: NET.init(key, *lots())))(keys), keys


def results(inputs):
    return program()(made(), *inputs)


# NumPy


def affine(x, leaf):
    return x @ leaf["kernel"] + leaf["bias"]


def slow_text(p, ids):
    """Return the vector of one text, of which the zeros are left out first."""
    words = p["words"][ids[ids > 0]]
    if not len(words):
        return p["missing"]
    h, c, outputs = np.zeros(H), np.zeros(H), []
    for word in words:
        i, f, g, o = np.split(affine(word, p["reading"]["input"]) + h @ p["reading"]["kernel"], 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.concatenate([words.sum(0) / np.sqrt(len(words)), np.mean(outputs, 0), h])


def slow_waves(p, x):
    found = []
    for column, values in enumerate(x.T):
        angles = 2 * np.pi * values[:, None] * p["frequencies"][column]
        seen = np.concatenate([np.sin(angles), np.cos(angles), values[:, None]], 1)
        found.append(np.maximum(seen @ p["kernel"][column] + p["bias"][column], 0))
    return np.concatenate(found, 1)


def slow(p, numbers, missing, categories, tokens, picture, pictured, group):
    kinds = [p["categories"][f"column_{column}"][ids] for column, ids in enumerate(categories.T)]
    text = np.stack([slow_text(p["text"], ids) for ids in tokens])
    seen = np.where(pictured[:, None], gelu(affine(picture, p["picture"]["narrow"])), p["picture"]["missing"])
    waves = slow_waves(p["numbers"], numbers[:, list(NET.continuous)])
    x = np.concatenate([numbers, missing, *kinds, waves, text, seen], 1)
    for layer in range(NET.depth):
        x = gelu(affine(x, p[f"fuse_{layer}"]))
    outputs = affine(x, p["outputs"])
    outputs[:, 0] += np.where(group > 0, p["groups"][group], 0)
    return outputs, x


def test_network_is_numpys():
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), made()["params"])
    outputs, features = results(lots())
    assert outputs.dtype == features.dtype == jnp.float32
    assert (outputs.shape, features.shape) == ((B, 2), (B, 8))
    close((outputs, features), slow(params, *map(np.asarray, lots())))


def test_jit_equals_eager():
    close(results(lots()), NET.apply(made(), *lots()))


def test_vectors_of_categories_are_as_long_as_columns_are_rich():
    assert [made()["params"]["categories"][f"column_{n}"].shape for n in (0, 1)] == [(9, 4), (300, 16)]


# What changes nothing


def test_padding_and_gaps_change_nothing():
    tokens = np.asarray(lots()[3])
    padded = np.zeros((B, 3 * L), np.int32)
    padded[:, :L] = tokens
    apart = np.zeros((B, 3 * L), np.int32)
    apart[:, ::3] = tokens
    for other in (padded, apart):
        close(results(lots(tokens=other)), results(lots()), 1e-6)
    turned = results(lots(tokens=tokens[:, ::-1]))
    assert np.abs(turned[0] - results(lots())[0])[[0, 1, 4, 5]].min() > 1e-5  # order does count


def test_a_padded_text_has_the_same_gradients():
    reader = Reading(H)
    rng = np.random.default_rng(3)
    x, present = jnp.asarray(rng.standard_normal((B, L, 3), np.float32)), lots()[3] > 0
    variables = jax.jit(reader.init)(KEY, x, present)
    slopes = jax.jit(jax.grad(lambda v, x, present: jnp.sum(reader.apply(v, x, present) ** 2)))
    padded = (jnp.pad(x, ((0, 0), (0, 5), (0, 0)), constant_values=9), jnp.pad(present, ((0, 0), (0, 5))))
    close(slopes(variables, *padded), slopes(variables, x, present), 1e-5)


def test_lots_do_not_see_the_rest_of_the_batch():
    among = results(lots())
    order = np.array([3, 1, 5, 0, 2, 4])
    moved = results(tuple(each[order] for each in lots()))
    close(moved, tuple(each[order] for each in among), 1e-6)
    others = tuple(jnp.concatenate([each[:1], each[:0:-1] * 0]) for each in lots(pictured=np.ones(B, np.int32)))
    close(results((*others[:5], others[5] > 0, others[6]))[0][0], among[0][0], 1e-6)


def test_what_a_missing_picture_holds_does_not_count():
    picture = lots()[4].at[3].set(jnp.nan)
    close(results(lots(picture=picture)), results(lots()), 0)
    close(slopes()(made(), *lots(picture=picture)), slopes()(made(), *lots()), 0)


def test_groups_move_the_location_alone_and_nothing_where_unknown():
    outputs, features = results(lots())
    without, same = results(lots(group=np.zeros(B, np.int32)))
    np.testing.assert_array_equal(features, same)
    added = np.asarray(made()["params"]["groups"])[[0, 1, 2, 2, 0, 1]] * [0, 1, 1, 1, 0, 1]
    close(outputs - without, np.stack([added, np.zeros(B)], 1), 1e-5)
    assert not members()[0]["params"]["groups"].any()  # at first


# Missing altogether, training, ensembles


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": np.zeros((B, L), np.int32)},
        {"pictured": np.zeros(B, bool), "picture": np.zeros((B, P), np.float32)},
        {"missing": np.ones((B, M), np.float32), "categories": np.zeros((B, 2), np.int32)},
    ],
    ids=["words", "pictures", "table"],
)
def test_gradients_are_finite_without(changes):
    found = jax.tree.leaves(slopes()(made(), *lots(**changes)))
    assert all(np.isfinite(leaf).all() for leaf in found)
    assert sum(float(np.abs(leaf).sum()) for leaf in found) > 0


def test_parts_can_be_left_out():
    bare = models.LotNet(3, width=8, located=(1,), groups=2)
    inputs = lots(categories=np.zeros((B, 0), np.int32), picture=np.zeros((B, 0), np.float32))
    variables = jax.eval_shape(bare.init, KEY, *inputs)
    assert set(variables["params"]) == {"fuse_0", "fuse_1", "outputs", "groups"}
    unordered = jax.eval_shape(NET.clone(text_width=0, groups=0).init, KEY, *lots())["params"]
    assert set(unordered["text"]) == {"words", "missing"}
    assert "groups" not in unordered


def test_chance_acts_in_training_alone():
    expected, train = results(lots()), program(train=True)
    close(train(made(), *lots()), expected, 0)  # no key
    drawn = [train(made(), *lots(), rngs={"dropout": jax.random.key(seed)})[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-3


def test_modalities_and_groups_are_taken_away_as_often_as_said():
    net = NET.clone(dropout=0.0, word_dropout=0.0, width=32)
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(net.init, KEY, *lots())
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape, np.float32)), shapes)
    count = 2000
    many = tuple(jnp.repeat(each[1:2], count, axis=0) for each in lots())  # one lot that has everything
    outputs, features = jax.jit(functools.partial(net.apply, train=True))(variables, *many, rngs={"dropout": KEY})
    kinds, often = np.unique(np.round(features, 2), axis=0, return_counts=True)
    assert len(kinds) == 4  # both, text alone, picture alone, neither
    np.testing.assert_allclose(np.sort(often) / count, [0.0225, 0.1275, 0.1275, 0.7225], atol=0.03)
    _, given = np.unique(np.round(outputs, 2), axis=0, return_counts=True)
    np.testing.assert_allclose(np.sort(given)[-1] / count, 0.7 * 0.7225, atol=0.04)  # with its group


def test_ensembles_are_their_members():
    many, keys = members()

    def trained(variables, key, *inputs):
        return NET.apply(variables, *inputs, train=True, rngs={"dropout": key})

    got = jax.jit(jax.vmap(trained, in_axes=(0, 0, *(None,) * 7)))(many, keys, *lots())
    assert got[0].shape == (3, B, 2)
    for member in range(3):
        one = jax.tree.map(lambda leaf, member=member: leaf[member], many)
        expected = program(train=True)(one, *lots(), rngs={"dropout": keys[member]})
        close(tuple(each[member] for each in got), expected)


def test_what_is_drawn_does_not_depend_on_the_number_of_devices():
    whole = program(train=True)(made(), *lots(), rngs={"dropout": KEY})
    parted = NET.clone(axis_name="data")
    halves = tuple(each.reshape(2, B // 2, *each.shape[1:]) for each in lots())
    part = jax.vmap(lambda *given: parted.apply(made(), *given, train=True, rngs={"dropout": KEY}), axis_name="data")
    close(tuple(each.reshape(B, -1) for each in jax.jit(part)(*halves)), whole)


def test_gradients_lower_for_accelerators():
    exported = jax.export.export(slopes(), platforms=["cuda", "tpu"])(made(), *lots())
    assert exported.platforms == ("cuda", "tpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"continuous": (0, 4)}, r"continuous below 4, got \(0, 4\)"),
        ({"located": (2,)}, r"located below 2, got \(2,\)"),
        ({"sizes": (9,)}, r"categories \[B, 1\], one for each of the sizes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(NET.clone(**changes).init, KEY, *lots())


# Losses

LEVELS = (0.1, 0.5, 0.8)


def test_gaussian_nll_is_the_likelihoods_where_nothing_is_clipped(rng):
    mean, spread, target = rng.standard_normal((3, B)).astype(np.float32)
    expected = -losses.gaussian_log_likelihood(target[:, None], mean[:, None], spread[:, None])
    close(losses.gaussian_nll(mean, spread, target), expected, 1e-5)


def test_gaussian_nll_is_bounded():
    found = losses.gaussian_nll(jnp.zeros(2), jnp.array([-90.0, 90.0]), jnp.zeros(2))
    close(found, (np.array([-5, 5]) + np.log(2 * np.pi)) / 2, 1e-6)
    assert np.isfinite(jax.grad(lambda v: losses.gaussian_nll(jnp.ones(2), v, jnp.zeros(2)).sum())(found * 50)).all()


def test_pinball_is_that_of_the_metrics(rng):
    quantiles, target = rng.standard_normal((B, 3), np.float32), rng.standard_normal(B, np.float32)
    found = losses.pinball(quantiles, LEVELS, target)
    close(found, metrics.pinball_loss(target, quantiles, LEVELS).mean(1), 1e-6)
    close(jax.jit(losses.pinball)(quantiles, jnp.array(LEVELS), target), found, 1e-6)
    with pytest.raises(ValueError, match="a level for each of 3 quantiles"):
        losses.pinball(quantiles, LEVELS[:2], target)


@pytest.mark.parametrize("center", [0, 1, 3])
def test_rising_quantiles_rise_and_move_with_their_center(center, rng):
    raw = 9 * rng.standard_normal((50, 4), np.float32)
    found = np.asarray(losses.rising_quantiles(raw, center=center))
    assert (np.diff(found) >= 0).all()
    np.testing.assert_array_equal(found[:, center], raw[:, center])
    steps = np.logaddexp(0, np.delete(raw, center, axis=1))
    close(np.diff(found), steps, 1e-4)
    moved = raw + np.eye(4, dtype=np.float32)[center]
    close(losses.rising_quantiles(moved, center=center), found + 1, 1e-4)


def test_rising_quantiles_have_a_center():
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        losses.rising_quantiles(jnp.zeros((1, 3)), center=3)


def shares(**changes):
    """Return shares of all that is known of the six lots, all 1."""
    whole = models.LotShares(jnp.ones((B, 2)), jnp.ones((B, L)), jnp.ones(B), jnp.ones(B), jnp.ones(B))
    return whole._replace(**changes)


def test_what_counts_wholly_is_as_it_is():
    inputs = lots()
    soft = jax.jit(NET.apply)(made(), *inputs, shares=shares())
    close(soft, results(inputs), 1e-6)


def test_what_counts_for_nothing_is_missing():
    given = dict(zip(NAMES, lots(), strict=True))
    words = jnp.ones((B, L)).at[:, 2].set(0).at[5].set(0)
    some = shares(
        categories=jnp.zeros((B, 2)),
        words=words,
        text=jnp.ones(B).at[5].set(0),
        picture=jnp.zeros(B),
        group=jnp.zeros(B),
    )
    hard = lots(
        categories=jnp.zeros((B, 2), jnp.int32),
        tokens=jnp.where(words > 0, given["tokens"], 0),
        pictured=jnp.zeros(B, bool),
        group=jnp.zeros(B, jnp.int32),
    )
    close(jax.jit(NET.apply)(made(), *given.values(), shares=some), results(hard), 1e-6)


def test_no_shares_in_training():
    with pytest.raises(ValueError, match="expected no shares in training"):
        NET.apply(made(), *lots(), shares=shares(), train=True, rngs={"dropout": KEY})
