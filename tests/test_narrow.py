"""Residual networks with fewer channels: those that do nothing can go, and what is left fits the smaller network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import models
from jaxart.tasks import classify

NETWORK = models.ResidualClassifier(3, widths=(8, 16), blocks=2, groups=2, dropout=0.0)
SHAPE = (2, 8, 8, 3)


@functools.cache
def params():
    """Return random params, none where it starts in training."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(0), jax.ShapeDtypeStruct(SHAPE, jnp.float32))["params"]
    return jax.tree.map(lambda leaf: drawn(rng, leaf.shape), shapes)


def drawn(rng, shape):
    """Return a kernel that keeps sizes about as they are, or scales and biases."""
    noise = rng.standard_normal(shape).astype(np.float32)
    return 1 + 0.3 * noise if len(shape) == 1 else noise / np.float32(np.prod(shape[:-1]) ** 0.5)


def outputs(network, params):
    images = jnp.asarray(np.random.default_rng(1).random(SHAPE, np.float32))
    return np.asarray(jax.jit(network.apply)({"params": params}, images)[0])


def doubled(tree, axis, *, silent=False):
    """Return a kernel whose odd channels are copies of the even ones; or, of what reads them, zero."""
    axis = axis % tree.ndim
    even = np.arange(tree.shape[axis]) // 2 * 2
    if not silent:
        return np.take(tree, even, axis)
    odd = (np.arange(tree.shape[axis]) % 2 == 0).reshape([-1 if each == axis else 1 for each in range(tree.ndim)])
    return tree * odd


def with_idle_channels(tree):
    """Return params in which every other channel inside a block is a copy that nothing reads."""
    changed = jax.tree.map(np.copy, tree)
    for name, block in changed.items():
        if name.startswith("residual"):
            block["conv1"]["kernel"] = doubled(block["conv1"]["kernel"], -1)
            block["conv2"]["kernel"] = doubled(block["conv2"]["kernel"], -2, silent=True)
    return changed


def test_channels_that_nothing_reads_can_go_and_the_outputs_stay():
    idle = with_idle_channels(params())
    small = classify.narrow(classify.Classifier(NETWORK, idle))
    assert small.network.inner == (4, 8)
    assert small.network.widths == (8, 16)
    assert small.params["residual_3"]["conv1"]["kernel"].shape == (3, 3, 16, 8)
    np.testing.assert_allclose(outputs(*small), outputs(NETWORK, idle), atol=1e-5)
    assert np.abs(outputs(*small) - outputs(NETWORK, params())).max() > 1e-2


def test_channels_of_a_stage_go_in_all_of_its_blocks():
    whole = params()
    small = classify.narrow(classify.Classifier(NETWORK, whole), stages=True)
    assert (small.network.widths, small.network.inner) == ((4, 8), (4, 8))
    shapes = jax.eval_shape(small.network.init, jax.random.key(0), jax.ShapeDtypeStruct(SHAPE, jnp.float32))["params"]
    assert jax.tree.map(lambda leaf: leaf.shape, small.params) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    kept = [
        next(each for each in range(16) if np.array_equal(whole["norm"]["scale"][each], value))
        for value in np.asarray(small.params["norm"]["scale"])
    ]
    assert sorted(each // 8 for each in kept) == [0] * 4 + [1] * 4  # of each group the same number
    np.testing.assert_array_equal(small.params["logits"]["kernel"], whole["logits"]["kernel"][kept])
    inner = whole["residual_3"]["conv2"]["kernel"][..., kept]
    assert set(np.asarray(small.params["residual_3"]["conv2"]["kernel"]).ravel()) <= set(inner.ravel())
    assert np.isfinite(outputs(*small)).all()


def test_by_default_the_inner_channels_are_the_stages_own():
    plain, same = NETWORK, NETWORK.clone(inner=(8, 16))
    first, second = (jax.jit(each.init)(jax.random.key(3), jnp.zeros(SHAPE)) for each in (plain, same))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    with pytest.raises(ValueError, match="channels for 2 stages, got 1"):
        NETWORK.clone(inner=(8,)).init(jax.random.key(0), jnp.zeros(SHAPE))
