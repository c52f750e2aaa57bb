"""Smaller networks: pruned on a schedule, with fewer channels, with fewer bits, and averages of several trainings."""

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load, save

from jaxart import training, weights
from jaxart.training import CubicSchedule, PruningState, Recipe, data_mesh, fit
from jaxart.training.masks import smallest

SCHEDULE = CubicSchedule(begin=2, every=3, count=4, final=0.75)


def network(rng, inside=16):
    """Return params of two inner kernels, and what is not to be pruned."""

    def array(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "stem": {"kernel": array(3, 3, 3, 8)},
        "block": {
            "conv1": {"kernel": array(3, 3, 8, inside), "bias": array(inside)},
            "conv2": {"kernel": array(inside, 12)},
        },
        "norm": {"scale": array(8, 8)},
        "logits": {"kernel": array(12, 7)},
    }


def masks_of(params, share, **options):
    """Return masks by one small program instead of many."""
    return jax.jit(lambda params: training.magnitude_masks(params, share, **options))(params)


def inner(tree):
    return {"conv1": tree["block"]["conv1"]["kernel"], "conv2": tree["block"]["conv2"]["kernel"]}


def zeros(tree):
    return {name: int((np.asarray(leaf) == 0).sum()) for name, leaf in inner(tree).items()}


def gradients(rng, params):
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), params)


def by_hand(schedule, step, size):
    """Return how many of so many weights are zero after update number `step`, from the formula of the paper."""
    if step < schedule.begin:
        return 0
    t0, n, dt = schedule.begin, schedule.count, schedule.every
    t = min(t0 + (step - t0) // dt * dt, t0 + n * dt)
    return round((schedule.final + (schedule.initial - schedule.final) * (1 - (t - t0) / (n * dt)) ** 3) * size)


@pytest.mark.parametrize("scope", ["tensor", "global"])
def test_every_update_has_the_sparsity_of_the_schedule_to_one_weight(rng, scope):
    params = jax.tree.map(jnp.asarray, network(rng))
    rule = training.magnitude_pruning(optax.adamw(0.1), SCHEDULE, scope=scope)
    state, update = rule.init(params), jax.jit(rule.update)
    sizes, gone = {name: leaf.size for name, leaf in inner(params).items()}, None
    for step in range(20):
        updates, state = update(gradients(rng, params), state, params)
        before, params = params, optax.apply_updates(params, updates)
        if scope == "tensor":
            assert zeros(params) == {name: by_hand(SCHEDULE, step, size) for name, size in sizes.items()}
        else:
            assert sum(zeros(params).values()) == by_hand(SCHEDULE, step, sum(sizes.values()))
        now = {name: np.asarray(leaf) == 0 for name, leaf in inner(params).items()}
        if gone is not None:
            assert all((now[name] >= gone[name]).all() for name in now)  # none comes back
            for name in now:  # the newly pruned were the smallest of those that were left, in their array
                fresh, left = now[name] & ~gone[name], ~now[name]
                if scope == "tensor" and fresh.any():
                    old = np.abs(inner(before)[name])
                    assert old[fresh].max() <= old[left].min()
        gone = now
    assert training.sparsity(params) == pytest.approx(0.75, abs=1e-3)
    assert not any(
        (leaf == 0).any() for leaf in (params["stem"]["kernel"], params["norm"]["scale"], params["logits"]["kernel"])
    )
    adam = state.inner[0]
    for moments in (adam.mu, adam.nu):  # what Adam remembers of a pruned weight is zero too, and nothing else is
        for name, leaf in inner(moments).items():
            np.testing.assert_array_equal(np.asarray(leaf) == 0, now[name])
        assert (moments["stem"]["kernel"] != 0).all()


def test_other_weights_are_trained_as_without_pruning(rng):
    params, rule = jax.tree.map(jnp.asarray, network(rng)), optax.adam(0.1)
    pruned = training.magnitude_pruning(rule, CubicSchedule(0, 1, 1, 0.5, initial=0.5))
    update = jax.jit(lambda g, s, t: (rule.update(g, s), pruned.update(g, t, params)))
    (plain, _), (made, after) = update(gradients(rng, params), rule.init(params), pruned.init(params))
    for name, mask in inner(after.masks).items():
        np.testing.assert_array_equal(inner(made)[name], np.where(mask, inner(plain)[name], -inner(params)[name]))
    np.testing.assert_array_equal(made["stem"]["kernel"], plain["stem"]["kernel"])
    assert optax.apply_updates(params, made)["block"]["conv2"]["kernel"].dtype == jnp.float32


def test_moments_are_found_within_any_optimizer(rng):
    params = jax.tree.map(jnp.asarray, network(rng))
    labels = {"stem": "slow", "block": "fast", "norm": "slow", "logits": "fast"}
    rule = optax.multi_transform(
        {"slow": optax.sgd(0.1), "fast": optax.chain(optax.trace(0.9), optax.adam(0.1))}, labels
    )
    rule = training.magnitude_pruning(rule, CubicSchedule(0, 1, 1, 0.5, initial=0.5))
    _, state = jax.jit(rule.update)(gradients(rng, params), rule.init(params), params)
    masked = [leaf for leaf in jax.tree.leaves(state.inner) if leaf.shape == (16, 12)]
    assert len(masked) == 3  # a trace and two moments
    for leaf in masked:
        np.testing.assert_array_equal(leaf != 0, state.masks["block"]["conv2"]["kernel"])


def test_a_pattern_leaves_two_of_four_neighbors_along_the_inputs(rng):
    params = jax.tree.map(jnp.asarray, network(rng))
    masks = masks_of(params, 0.5, pattern=(2, 4))
    for name, leaf in inner(params).items():
        groups = np.moveaxis(np.abs(leaf), -2, -1).reshape(-1, 4)
        kept = np.moveaxis(np.asarray(inner(masks)[name]), -2, -1).reshape(-1, 4)
        np.testing.assert_array_equal(np.sort(np.argsort(groups)[:, 2:]), np.nonzero(kept)[1].reshape(-1, 2))
    rule = training.magnitude_pruning(optax.sgd(0.1), CubicSchedule(0, 1, 3, 0.5), pattern=(2, 4))
    state, update = rule.init(params), jax.jit(rule.update)
    for step in range(5):
        updates, state = update(jax.tree.map(jnp.zeros_like, params), state, params)
        params = optax.apply_updates(params, updates)
        assert zeros(params)["conv2"] == by_hand(CubicSchedule(0, 1, 3, 0.5), step, 16 * 12)
    jax.tree.map(np.testing.assert_array_equal, inner(state.masks), inner(masks))


def test_no_array_is_pruned_by_more_than_98_percent_and_small_ones_first():
    params = {"a": {"kernel": jnp.ones((20, 20))}, "b": {"kernel": 1e-3 * jnp.ones((20, 20))}}
    masks = masks_of(params, 0.6, scope="global")
    assert [int((~masks[name]["kernel"]).sum()) for name in "ab"] == [480 - 392, 392]
    applied = training.apply_masks(params, masks)
    assert training.sparsity(applied) == 0.6
    assert (applied["b"]["kernel"] == 0).sum() == 392


def test_the_smallest_are_those_of_a_stable_sort(rng):
    scores = rng.choice([-1, 0, 1e-40, 0.25, 0.5, 3e38, np.inf], 200).astype(np.float32)
    order = np.argsort(scores, kind="stable")
    chosen = jax.jit(smallest)
    for count in (0, 1, 50, 51, 199, 200):
        np.testing.assert_array_equal(np.flatnonzero(chosen(scores, count)), np.sort(order[:count]))


class State(NamedTuple):
    step: jax.Array
    params: dict
    opt_state: PruningState


class Info(NamedTuple):
    loss: jax.Array


def pruned_recipe():
    rule = training.magnitude_pruning(optax.sgd(0.25, momentum=0.5), CubicSchedule(1, 2, 2, 0.75))

    def init(key):
        params = {"dense": {"kernel": jnp.round(8 * jax.random.normal(key, (8, 8))) / 8}}
        return State(jnp.int32(0), params, rule.init(params))

    def step(key, state, batch, frozen):
        del key, frozen

        def objective(params):
            return jnp.mean(jnp.sum(batch["x"] @ params["dense"]["kernel"], -1)), None

        done = training.gradient_update(objective, rule, state.params, state.opt_state)
        return State(state.step + 1, done.params, done.opt_state), Info(done.loss)

    return Recipe(init, step)


def whole_numbers(first):
    while True:  # sums of eighths are exact in any order
        yield {"x": np.random.default_rng(first).integers(-4, 5, (8, 8)).astype(np.float32)}
        first += 1


def test_devices_agree_and_a_resumed_training_goes_on_the_same(tmp_path):
    recipe, key = pruned_recipe(), jax.random.key(3)
    alone, _ = fit(recipe, whole_numbers, key=key, steps=8)
    shared, _ = fit(recipe, whole_numbers, key=key, steps=8, mesh=data_mesh(jax.devices()[:4]))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(shared), jax.device_get(alone))
    assert (alone.params["dense"]["kernel"] == 0).sum() == 48
    saved = training.Checkpoints(tmp_path)
    fit(recipe, whole_numbers, key=key, steps=4, checkpoints=saved)
    resumed, _ = fit(recipe, whole_numbers, key=key, steps=8, checkpoints=saved)
    saved.close()
    jax.tree.map(np.testing.assert_array_equal, resumed, alone)


def test_what_is_zero_at_the_beginning_stays_zero_without_a_schedule(rng):
    params = jax.tree.map(jnp.asarray, network(rng))
    masks = masks_of(params, 0.5)
    params = training.apply_masks(params, masks)
    rule = training.magnitude_pruning(optax.adam(0.1), None)
    state = rule.init(params)
    jax.tree.map(np.testing.assert_array_equal, training.masks_in({"optimizer": (state, None)}), masks)
    updates, _ = jax.jit(rule.update)(gradients(rng, params), state, params)
    assert zeros(optax.apply_updates(params, updates)) == zeros(params) == {"conv1": 576, "conv2": 96}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": CubicSchedule(0, 0, 1)}, "every >= 1"),
        ({"schedule": CubicSchedule(0, 1, 1, 0.99)}, r"final <= 0\.98"),
        ({"schedule": SCHEDULE, "scope": "layer"}, "unknown value 'layer'"),
        ({"schedule": SCHEDULE, "pattern": (2, 4)}, "a sparsity that ends at 0.5, got 0.75"),
        ({"schedule": SCHEDULE, "pattern": (4, 4)}, "1 <= n < m"),
        ({"schedule": SCHEDULE, "prunable": lambda path, leaf: False}, "at least one array"),
        ({"schedule": CubicSchedule(0, 1, 1, 0.6), "pattern": (2, 5)}, r"multiples of 5, got block/conv1/kernel"),
    ],
)
def test_pruning_that_cannot_be_is_refused(rng, options, message):
    with pytest.raises(ValueError, match=message):
        training.magnitude_pruning(optax.sgd(0.1), **options).init(network(rng))


def test_pruning_asks_for_what_it_needs(rng):
    params = network(rng)
    rule = training.magnitude_pruning(optax.sgd(0.1), SCHEDULE)
    with pytest.raises(ValueError, match="needs the params"):
        rule.update(params, rule.init(params))
    with pytest.raises(ValueError, match="found no masks"):
        training.masks_in(optax.sgd(0.1).init(params))
    with pytest.raises(ValueError, match="at least 4 steps"):
        training.schedule_for(3)
    last = training.schedule_for(10_000)
    assert training.sparsity_at(last, 1499) == 0
    assert training.sparsity_at(last, 7500) == 0.8


# Channels


def group_norm(x, scale, bias, groups):
    """Normalize groups of channels of ``[N, C]``, in float64, group by group."""
    parts = []
    for part in np.split(x, groups, axis=1):
        parts.append((part - part.mean(1, keepdims=True)) / np.sqrt(part.var(1, keepdims=True) + 1e-5))
    return np.concatenate(parts, 1) * scale + bias


def block(params, x, divisions):
    """Apply a residual block of two dense layers."""
    y = x @ params["conv1"]["kernel"] + params["conv1"]["bias"]
    y = np.maximum(group_norm(y, params["norm2"]["scale"], params["norm2"]["bias"], divisions), 0)
    return x + y @ params["conv2"]["kernel"]


def block_params(rng, channels=12):
    def array(*shape):
        return rng.standard_normal(shape)

    return {
        "conv1": {"kernel": array(5, channels), "bias": array(channels)},
        "norm2": {"scale": array(channels), "bias": array(channels)},
        "conv2": {"kernel": array(channels, 5)},
    }


def test_a_block_with_half_the_channels_is_the_block_of_those_that_stay(rng):
    params = {
        "stage": {"block0": block_params(rng), "block1": block_params(rng)},
        "logits": {"kernel": rng.random((5, 2))},
    }
    groups = training.residual_groups(params, divisions=3)
    assert [group.producers[0].path for group in groups] == ["stage/block0/conv1/kernel", "stage/block1/conv1/kernel"]
    kept = training.channels_to_keep(params, groups, keep=0.5)
    small = training.drop_channels(params, groups, keep=0.5)
    x = rng.standard_normal((4, 5))
    for name, numbers in zip(("block0", "block1"), kept, strict=True):
        old, new = params["stage"][name], small["stage"][name]
        lengths = np.linalg.norm(old["conv1"]["kernel"], axis=0) * np.linalg.norm(old["conv2"]["kernel"], axis=1)
        expected = [first + each for first in (0, 4, 8) for each in sorted(np.argsort(lengths[first : first + 4])[2:])]
        assert numbers.tolist() == expected  # the two longest of each division
        assert new["conv1"]["kernel"].shape == (5, 6)
        assert new["conv2"]["kernel"].shape == (6, 5)
        y = x @ old["conv1"]["kernel"][:, numbers] + old["conv1"]["bias"][numbers]
        y = np.maximum(group_norm(y, old["norm2"]["scale"][numbers], old["norm2"]["bias"][numbers], 3), 0)
        np.testing.assert_allclose(block(new, x, 3), x + y @ old["conv2"]["kernel"][numbers], rtol=1e-12)
    assert small["logits"]["kernel"].shape == (5, 2)
    moments = training.take_channels(jax.tree.map(np.ones_like, params), groups, kept)
    assert jax.tree.map(np.shape, moments) == jax.tree.map(np.shape, small)


def test_channels_that_do_nothing_can_go_and_flattened_pictures_are_read_right(rng):
    conv, dense = rng.standard_normal((3, 3, 2, 6)), rng.standard_normal((4 * 6, 3))
    conv[..., [1, 4, 5]] = 0
    params = {"a": {"kernel": conv}, "b": {"kernel": dense}}
    groups = [training.ChannelGroup((training.Place("a/kernel", -1),), (), (training.Place("b/kernel", 0),))]
    small = training.drop_channels(params, groups)
    assert small["a"]["kernel"].shape == (3, 3, 2, 3)

    def apply(params, x):
        made = np.einsum("npabi,abio->npo", x, params["a"]["kernel"])  # four positions of 3 x 3 pixels
        return made.reshape(len(x), -1) @ params["b"]["kernel"]

    x = rng.standard_normal((2, 4, 3, 3, 2))
    np.testing.assert_allclose(apply(small, x), apply(params, x), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep": 0.0}, r"keep in \(0, 1\]"),
        ({"divisions": 5}, "multiple of 5 channels of conv1/kernel, got 12"),
        ({"norm": "norm9"}, "expected a layer 'norm9'"),
        ({"first": "conv9"}, "found none"),
    ],
)
def test_channels_that_cannot_be_dropped_are_refused(rng, change, message):
    params = block_params(rng)
    options = {name: value for name, value in change.items() if name != "keep"}
    with pytest.raises(ValueError, match=message):
        training.drop_channels(params, training.residual_groups(params, **options), keep=change.get("keep", 0.5))


def test_places_that_are_not_there_are_named(rng):
    params, place = block_params(rng), training.Place("conv1/kernel", -1)
    for other, message in (
        ("conv3/kernel", "an array conv3/kernel; known: conv1/bias"),
        ("conv1/kernel", "multiple of 12"),
    ):
        group = training.ChannelGroup((place,), (training.Place(other, 0),))
        with pytest.raises(ValueError, match=message):
            training.drop_channels(params, [group])
    with pytest.raises(ValueError, match="multiple of 12"):
        training.channels_to_keep(params, [training.ChannelGroup((place,), (), (training.Place("conv1/kernel", 0),))])


# Fewer bits

FLOATS = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FLOATS))
def test_whole_numbers_are_within_half_a_scale(values):
    kept = weights.quantize(values)
    error = np.abs(weights.restore(kept).astype(np.float64) - values)
    assert kept.values.dtype == np.int8
    assert (error <= kept.scale / 2 * 1.00002).all()
    assert (weights.restore(kept)[values == 0] == 0).all()
    again = weights.quantize(weights.restore(kept))
    np.testing.assert_array_equal(again.values, kept.values)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FLOATS),
    st.sampled_from(("int8", "codebook", "float")),
    st.sampled_from((2, 5, 16, 17, 256)),
)
def test_a_file_gives_back_what_was_kept(tmp_path_factory, values, method, count):
    kept = weights.compress(
        {"a": {"kernel": values}, "b": np.float32(3)},
        method=method,
        chosen=lambda name, leaf: leaf.ndim > 0,
        values=count,
    )
    path = tmp_path_factory.mktemp("files") / "a.safetensors"
    path.write_bytes(weights.compressed_bytes(kept, {"kind": "any"}))
    read = weights.read_network(path, kind="any")
    assert read.about == {"kind": "any"}
    jax.tree.map(np.testing.assert_array_equal, read.params, weights.restored(kept))
    assert {leaf.dtype for leaf in jax.tree.leaves(read.params)} == {np.dtype(np.float32)}


def test_the_search_makes_the_error_smaller(rng):
    values = rng.standard_normal((20_000, 2)).astype(np.float32)
    values[0] = 5

    def error(kept):
        return ((weights.restore(kept) - values) ** 2).sum(0)

    plain, searched = weights.quantize(values), weights.quantize(values, search=True)
    tried = np.stack([error(weights.Int8(np.clip(np.rint(values / s), -127, 127).astype(np.int8), s)) for s in
                      (plain.scale * ratio for ratio in np.linspace(0.5, 1, 20).astype(np.float32))])  # fmt: skip
    np.testing.assert_allclose(error(searched), tried.min(0), rtol=1e-3)
    assert (error(searched) <= error(plain)).all()
    assert (error(searched) < 0.97 * error(plain)).any()


def large(rng):
    return network(rng, inside=256) | {"wide": {"kernel": rng.standard_normal((3, 3, 64, 128)).astype(np.float32)}}


def test_files_have_the_size_they_should(rng):
    params = large(rng)
    floats = 4 * sum(leaf.size for leaf in jax.tree.leaves(params))
    int8 = weights.compress(params)
    assert len(weights.compressed_bytes(int8, {})) <= 0.27 * floats
    assert len(weights.compressed_bytes(weights.compress(params, method="codebook", values=16), {})) <= 0.15 * floats
    few = weights.compression(params, weights.compress(params, method="codebook", values=32))[0]
    assert few.bytes_after == 73728 * 5 // 8 + 4 * 32  # N log2 k bits and the book
    sparse = training.apply_masks(params, masks_of(params, 0.8))
    assert len(weights.compressed_bytes(weights.compress(sparse), {})) <= 0.12 * floats
    assert len(weights.compressed_bytes(weights.compress(sparse, method="float"), {})) <= 0.27 * floats
    rows = weights.compression(params, int8)
    assert rows[0].name == "wide.kernel"
    assert [(row.method, row.bytes_after) for row in rows if row.name == "wide.kernel"] == [("int8", 73728 + 4 * 128)]
    assert {row.method for row in rows if row.name in ("norm.scale", "block.conv1.bias")} == {"float"}
    assert sum(row.bytes_before for row in rows) == floats
    bound = np.abs(params["wide"]["kernel"]).max() / 127 / 2
    assert next(row.largest_error for row in rows if row.name == "wide.kernel") <= bound * 1.00002
    half = weights.compression(sparse, weights.compress(sparse))
    assert next(row.zeros for row in half if row.name == "wide.kernel") == pytest.approx(0.8, abs=1e-4)


def lloyd(values, count, steps):
    """Return k-means of numbers, by comparing each with all centers."""
    centers = np.linspace(values.min(), values.max(), count)
    for _ in range(steps):
        nearest = np.abs(values[:, None] - centers).argmin(1)
        centers = np.array([values[nearest == k].mean() if (nearest == k).any() else centers[k] for k in range(count)])
    return centers


def test_shared_values_are_those_of_k_means_and_zeros_stay(rng):
    values = rng.standard_normal((40, 30)).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = 0
    kept = weights.share(values, values=17)
    centers = lloyd(values[values != 0].astype(np.float64), 16, 20)
    np.testing.assert_allclose(kept.book, [0, *centers], rtol=1e-6)
    np.testing.assert_array_equal(weights.restore(kept) == 0, values == 0)
    chosen = values[values != 0]
    nearest = kept.book[1:][np.abs(chosen[:, None] - kept.book[1:]).argmin(1)]
    np.testing.assert_array_equal(weights.restore(kept)[values != 0], nearest)
    again = weights.share(weights.restore(kept), values=17)
    np.testing.assert_array_equal(weights.restore(again), weights.restore(kept))
    with pytest.raises(ValueError, match="2 to 256 values, got 257"):
        weights.share(values, values=257)


def test_the_gradient_of_a_book_is_the_sum_over_those_that_share_a_value(rng):
    values = rng.standard_normal((6, 5)).astype(np.float32)
    values[0] = 0
    kept, target = weights.share(values, values=5), rng.standard_normal((6, 5)).astype(np.float32)

    def loss(book):
        return jnp.sum((book[kept.values] - target) ** 2)

    gradient = weights.book_gradient(kept, 2 * (weights.restore(kept) - target))
    np.testing.assert_allclose(gradient[1:], jax.grad(loss)(jnp.asarray(kept.book))[1:], rtol=1e-4)
    assert gradient[0] == 0


def written(path, contents, about='{"kind": "any"}', **facts):
    path.write_bytes(save(contents, metadata={"format": "jaxart compressed network 1", "about": about, **facts}))
    return path


def strange_files():
    good = {"method": "int8", "shape": [2, 3]}
    values, scale = {"a:values": np.zeros(6, np.int8)}, {"a:scale": np.ones(3, np.float32)}
    book = {"a:values": np.array([7], np.uint8), "a:book": np.ones(3, np.float32)}

    def table(**forms):
        return {"arrays": json.dumps(forms)}

    return [
        (values | scale, {}, "no JSON"),
        (values | scale, {"arrays": "[]"}, "table of arrays, got list"),
        (values | scale, table(a=3), "expected a shape"),
        (values | scale, table(a=good | {"shape": [2, 0]}), "expected a shape"),
        (values | scale, table(a=good | {"shape": [True, 6]}), "expected a shape"),
        (values | scale, table(a=good | {"method": "pickle"}), "expected a shape and a method of"),
        (values | scale, table(a=good | {"shape": [10**12, 3]}), "lacks its values"),
        (values, table(a=good), "lacks its scale"),
        (values | scale, table(a=good, b=good), "b lacks its scale"),
        (values | scale | {"c": np.ones(1)}, table(a=good), "c belongs to no array"),
        (values | {"a:scale": np.float32([1, -1, 1])}, table(a=good), "negative scale"),
        (values | {"a:scale": np.float32([1, np.nan, 1])}, table(a=good), "finite"),
        ({"a:values": np.full(6, -128, np.int8)} | scale, table(a=good), "below -127"),
        (
            values | scale | {"a:where": np.full(1, 255, np.uint8)},
            table(a=good | {"shape": [1, 3]}),
            "lacks its values",
        ),
        (values | scale | {"a:where": np.ones(1, np.uint8)}, table(a=good | {"shape": [10**9, 3]}), "lacks its where"),
        (book, table(a={"method": "codebook", "shape": [4]}), "not in its book of 3"),
        (
            book | {"a:book": np.ones(257, np.float32)},
            table(a={"method": "codebook", "shape": [1]}),
            "of 1 to 256 values",
        ),
        (
            book | {"a:book": np.ones(0, np.float32)},
            table(a={"method": "codebook", "shape": [1]}),
            "of 1 to 256 values",
        ),
        ({"a:values": np.float32([np.inf])}, table(a={"method": "float", "shape": [1]}), "finite"),
        ({"a:values": np.float64([1])}, table(a={"method": "float", "shape": [1]}), "of another type"),
    ]


@pytest.mark.parametrize("number", range(len(strange_files())))
def test_strange_files_are_refused_before_anything_is_made_of_them(tmp_path, number):
    arrays, facts, message = strange_files()[number]
    with pytest.raises(weights.WeightsError, match=message):
        weights.read_network(written(tmp_path / "a.safetensors", arrays, **facts), kind="any")


def test_kinds_are_told_and_other_formats_refused(tmp_path):
    kept = weights.compress({"a": {"kernel": np.ones((9, 9))}})
    path = tmp_path / "a.safetensors"
    path.write_bytes(weights.compressed_bytes(kept, {"kind": "classifier"}))
    assert weights.network_kind(path) == "classifier"
    assert set(load(path.read_bytes())) == {"a.kernel:values", "a.kernel:scale"}
    with pytest.raises(weights.WeightsError, match="of the kind 'flow', got 'classifier'"):
        weights.read_network(path, kind="flow")
    with pytest.raises(weights.WeightsError, match="without a colon"):
        weights.compressed_bytes(weights.compress({"a:b": np.ones(3)}), {})
    with pytest.raises(weights.WeightsError, match="finite numbers"):
        weights.compress({"a": np.float32([np.nan])})
    with pytest.raises(ValueError, match="unknown value 'int4'"):
        weights.compress({"a": np.ones(3)}, method="int4")


# Averages of several trainings


def test_a_soup_is_the_mean_and_keeps_dtypes(rng):
    trees = [network(rng) | {"half": np.float16(rng.random(3))} for _ in range(3)]
    soup = training.uniform_soup(trees)
    expected = jax.tree.map(lambda *leaves: np.mean(np.float64(leaves), 0).astype(leaves[0].dtype), *trees)
    jax.tree.map(np.testing.assert_array_equal, soup, expected)
    assert soup["half"].dtype == np.float16


def test_a_greedy_soup_takes_what_does_not_harm():
    trees = [{"w": np.float32([value])} for value in (0.0, 3.0, -1.0, 9.0, np.nan)]
    soup = training.greedy_soup(trees, lambda params: float(-abs(params["w"][0] - 1)))
    # alone: -1, -2, -2, -8, nan; then the means of 0 and 3 (-0.5), of 0, 3 and -1 (-1/3), of 0, 3, -1 and 9 (-1.75)
    assert soup.members == (0, 1, 2)
    np.testing.assert_allclose(soup.params["w"], [2 / 3], rtol=1e-6)
    assert soup.score == pytest.approx(-1 / 3)
    assert soup.scores[:4] == (-1, -2, -2, -8)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (None, "at least one training, got none"),
        ({"w": np.ones(2, np.float32)}, "params 0 and 1 are not of the same network: b is in one alone"),
        ({"w": np.ones(3, np.float32), "b": np.ones(1)}, r"w is float32 \[2\] in params 0 and float32 \[3\] in 1"),
        ({"w": np.ones(2), "b": np.ones(1)}, r"w is float32 \[2\] in params 0 and float64 \[2\] in 1"),
    ],
)
def test_soups_of_different_networks_are_refused(other, message):
    first = {"w": np.ones(2, np.float32), "b": np.ones(1)}
    with pytest.raises(ValueError, match=message):
        training.uniform_soup([] if other is None else [first, other])


def test_soups_of_what_is_no_params_are_refused():
    with pytest.raises(ValueError, match="floating-point arrays, got step of int32"):
        training.uniform_soup([{"step": np.int32(3)}])
    with pytest.raises(ValueError, match="a finite score"):
        training.greedy_soup([{"w": np.ones(2)}], lambda params: float("nan"))
