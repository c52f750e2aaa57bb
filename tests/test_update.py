"""What steps are made of: one network's update, its run in training, pools of past images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import models
from jaxart.training import AXIS, ImagePool, apply_train, data_mesh, gradient_update, image_pool, query_pool

KEY = jax.random.key(3)


def test_an_update_is_a_step_of_the_optimizer_down_the_gradient():
    params, data = {"w": jnp.float32([1.0, -2.0]), "b": jnp.float32(0.5)}, jnp.float32([[1, 2], [3, 4], [5, 6]])

    def objective(params):
        values = data @ params["w"] + params["b"]
        return jnp.mean(values**2), values

    rule = optax.adam(0.1)
    done = gradient_update(objective, rule, params, rule.init(params))
    values = np.asarray(data) @ [1, -2] + 0.5
    expected = {"w": 2 * np.mean(values[:, None] * np.asarray(data), 0), "b": 2 * values.mean()}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), done.gradient, expected)
    np.testing.assert_allclose(done.loss, np.mean(values**2), rtol=1e-6)
    np.testing.assert_allclose(done.aux, values, rtol=1e-6)
    np.testing.assert_allclose(done.params["w"], [1.1, -1.9], rtol=1e-4)  # Adam's first step is the sign
    assert int(done.opt_state[0].count) == 1


def test_an_update_is_the_same_on_all_devices():
    data, rule = jnp.arange(8, dtype=jnp.float32), optax.sgd(0.1)

    def step(part, axis_name=None):
        done = gradient_update(
            lambda x: (jnp.mean((x - part) ** 2), None), rule, 1.0, rule.init(1.0), axis_name=axis_name
        )
        return done.params, done.loss, done.gradient

    spec = jax.sharding.PartitionSpec
    mapped = jax.shard_map(
        lambda part: step(part, AXIS), mesh=data_mesh(jax.devices()[:4]), in_specs=spec(AXIS), out_specs=spec(), check_vma=False
    )  # fmt: skip
    np.testing.assert_allclose(mapped(data), step(data), rtol=1e-6)


def test_training_changes_what_a_network_keeps_and_no_param():
    network = models.SNGANDiscriminator(width=2)
    x = jax.random.normal(KEY, (2, 8, 8, 1))
    variables = jax.jit(network.init)(KEY, x)
    logits, after = apply_train(network, variables, x)
    assert logits.shape == (2,)
    assert jax.tree.structure(after) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, after["params"], variables["params"])
    kept = [name for name in variables if name != "params"]
    assert kept
    for name in kept:
        pairs = zip(jax.tree.leaves(after[name]), jax.tree.leaves(variables[name]), strict=True)
        assert any(not np.array_equal(a, b) for a, b in pairs)


def numbered(first, count):
    """Return images that hold their number."""
    return jnp.arange(first, first + count, dtype=jnp.float32)[:, None, None] + jnp.zeros((1, 2, 2))


def by_hand(draws, pool, images, size):
    """Pass images one after another, as the paper's program does, with the draws (place, coin) of each."""
    returned = []
    for (place, coin), image in zip(draws, images, strict=True):
        if len(pool) < size:
            pool.append(image)
        elif coin:
            image, pool[place] = pool[place], image
        returned.append(image)
    return returned


def test_a_pool_is_the_list_of_the_paper():
    pool, listed, size = image_pool(3, (2, 2)), [], 3
    query = jax.jit(query_pool)
    for call in range(20):
        key, images = jax.random.fold_in(KEY, call), numbered(4 * call, 4)
        draws = []
        for each in jax.random.split(key, 4):
            key_place, key_coin = jax.random.split(each)
            draws.append((int(jax.random.randint(key_place, (), 0, size)), bool(jax.random.bernoulli(key_coin))))
        expected = by_hand(draws, listed, images[:, 0, 0].tolist(), size)
        returned, pool = query(key, pool, images)
        assert returned[:, 1, 1].tolist() == expected
        assert pool.images[: len(listed), 0, 1].tolist() == listed
        assert int(pool.count) == len(listed) == 3


def test_half_of_what_a_full_pool_returns_is_old_and_all_of_what_fills_it_is_new():
    first, pool = query_pool(KEY, image_pool(50, (2, 2)), numbered(0, 50))
    np.testing.assert_array_equal(first, numbered(0, 50))
    returned, pool = query_pool(KEY, pool, numbered(1000, 400))
    old = np.asarray(returned[:, 0, 0]) != np.arange(1000, 1400)
    assert 160 < old.sum() < 240
    everything = np.concatenate([returned[:, 0, 0], pool.images[:, 0, 0]])
    assert sorted(everything) == [*range(50), *range(1000, 1400)]  # none is lost, none is there twice


def test_devices_keep_the_same_pool_and_their_own_images():
    pool, images = query_pool(KEY, image_pool(4, (2, 2)), numbered(0, 4))[1], numbered(100, 8)
    spec = jax.sharding.PartitionSpec
    mapped = jax.shard_map(
        lambda pool, part: query_pool(KEY, pool, part, axis_name=AXIS), mesh=data_mesh(jax.devices()[:4]),
        in_specs=(spec(), spec(AXIS)), out_specs=(spec(AXIS), spec()), check_vma=False,
    )  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, mapped(pool, images), query_pool(KEY, pool, images))


def test_a_pool_keeps_its_type_and_needs_a_size():
    pool = image_pool(2, (4, 4, 3), dtype=jnp.uint8)
    after = jax.eval_shape(query_pool, KEY, pool, jnp.zeros((3, 4, 4, 3), jnp.uint8))[1]
    assert isinstance(after, ImagePool)
    assert [(leaf.shape, leaf.dtype) for leaf in after] == [(leaf.shape, leaf.dtype) for leaf in pool]
    with pytest.raises(ValueError, match="size of at least 1, got 0"):
        image_pool(0, (4, 4, 3))
