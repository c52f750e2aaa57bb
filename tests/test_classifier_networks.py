"""Networks of classification against NumPy, at any size, in parts and whole, in training, and lowering."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, gelu, sigmoid
from numpy.lib.stride_tricks import sliding_window_view

from jaxart import models
from jaxart.models.dropout import DropBranch, Dropout
from jaxart.models.vit import TransformerBlock, position_waves

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)
SHAPE = (3, 9, 14, 3)  # neither square nor what halves or squares divide
RESIDUAL = models.ResidualClassifier(3, widths=(8, 16), blocks=1, groups=4, dropout=0.5)
VIT = models.VisionTransformer(3, patch=4, width=8, depth=2, heads=2, dropout=0.5)
ROWS = models.RowRecurrent(3, size=(9, 14), width=5, dropout=0.5)
LSTM = ROWS.clone(cell="lstm", both_ways=False)
NETWORKS = {"residual": RESIDUAL, "vit": VIT, "rows": ROWS}
IN_PARTS = {"residual": RESIDUAL, "vit": VIT}


@functools.cache
def program(network, **options):
    """Return the compiled `apply`, the same for all tests."""
    return jax.jit(functools.partial(network.apply, **options))


@functools.cache
def made(network, shape=SHAPE):
    """Return random variables of the network: no parameter is where it starts in training."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        name, noise = path[-1].key, rng.standard_normal(leaf.shape).astype(np.float32)
        scaled = noise / np.float32(np.sqrt(np.prod(leaf.shape[:-1]))) if name == "kernel" else 0.3 * noise
        return scaled + np.float32(name == "scale")

    shapes = jax.eval_shape(network.init, KEY, jax.ShapeDtypeStruct(shape, jnp.float32))
    return jax.tree.map(jnp.asarray, jax.tree_util.tree_map_with_path(draw, shapes))


@pytest.fixture
def images(rng):
    return jnp.asarray(rng.random(SHAPE, np.float32))


def results(network, images):
    return program(network)(made(network), images)


# NumPy


def conv(x, leaf):
    kernel = np.asarray(leaf["kernel"], np.float64)
    pad = (kernel.shape[0] - 1) // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return np.einsum("nhwcij,ijco->nhwo", sliding_window_view(padded, kernel.shape[:2], axis=(1, 2)), kernel)


def affine(x, leaf):
    return x @ np.asarray(leaf["kernel"], np.float64) + np.asarray(leaf["bias"], np.float64)


def halved(x):
    n, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def normalized(x, leaf, epsilon):
    """Normalize over the last two axes but one; scale and shift the last."""
    scale, bias = (np.asarray(leaf[name], np.float64) for name in ("scale", "bias"))
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * scale + bias


def group_normalized(x, leaf, groups=4):
    scale, bias = (np.asarray(leaf[name], np.float64) for name in ("scale", "bias"))
    parts = []
    for part in np.split(x, groups, axis=-1):
        mean, variance = (each(part, axis=(1, 2, 3), keepdims=True) for each in (np.mean, np.var))
        parts.append((part - mean) / np.sqrt(variance + 1e-5))
    return np.concatenate(parts, -1) * scale + bias


def residual_maps(p, x):
    x = conv(2 * x - 1, p["stem"])
    for name, halve in (("residual_0", False), ("residual_1", True)):
        block = p[name]
        y = gelu(group_normalized(x, block["norm1"]))
        if halve:
            x = conv(halved(y), block["direct"])
        y = conv(y, block["conv1"])
        y = halved(y) if halve else y
        x = x + conv(gelu(group_normalized(y, block["norm2"])), block["conv2"])
    return gelu(group_normalized(x, p["norm"]))


def attended(p, x, heads=2):
    batch, count, channels = x.shape
    query, key, value = np.split(affine(x, p["qkv"]).reshape(batch, count, 3 * heads, -1), 3, axis=2)
    weights = np.exp(np.einsum("bqhc,bkhc->bhqk", query, key) / np.sqrt(channels // heads))
    found = np.einsum("bhqk,bkhc->bqhc", weights / weights.sum(-1, keepdims=True), value)
    return affine(found.reshape(batch, count, channels), p["out"])


def vit_block(p, x):
    x = x + attended(p, normalized(x, p["attention_norm"], 1e-6))
    return x + affine(gelu(affine(normalized(x, p["mlp_norm"], 1e-6), p["mlp1"])), p["mlp2"])


def vit_maps(p, x):
    """Of pictures of 9 x 14 pixels as 3 x 4 tokens."""
    x = 2 * np.pad(x, ((0, 0), (0, 3), (0, 2), (0, 0)), mode="edge") - 1
    squares = [x[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].reshape(len(x), -1) for i in range(3) for j in range(4)]
    tokens = affine(np.stack(squares, 1), p["embedding"]) + np.asarray(waves(3, 4, 8)).reshape(12, 8)
    return vit_block(p["blocks_0"], tokens)


def waves(rows, columns, count):
    table = np.zeros((rows, columns, count))
    for index, turns in enumerate(np.geomspace(0.25, 8, count // 4)):
        down, across = (2 * np.pi * turns * (np.arange(n) + 0.5) / n for n in (rows, columns))
        for place, values in enumerate((np.sin(down), np.cos(down), np.sin(across), np.cos(across))):
            table[..., place * count // 4 + index] = values[:, None] if place < 2 else values[None]
    return table


def gru(p, rows, width=5):
    h, kernel = np.zeros((len(rows), width)), np.asarray(p["kernel"], np.float64)
    for index in range(rows.shape[1]):
        given, own = affine(rows[:, index], p["input"]), h @ kernel
        r, z = (sigmoid(given[:, n * width :][:, :width] + own[:, n * width :][:, :width]) for n in (0, 1))
        h = (1 - z) * np.tanh(given[:, 2 * width :] + r * own[:, 2 * width :]) + z * h
    return h


def lstm(p, rows, width=5):
    h = c = np.zeros((len(rows), width))
    for index in range(rows.shape[1]):
        i, f, g, o = np.split(affine(rows[:, index], p["input"]) + h @ np.asarray(p["kernel"], np.float64), 4, axis=1)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def row_features(p, x):
    rows = (2 * x - 1).reshape(len(x), x.shape[1], -1)
    if "up" in p:
        return np.concatenate([gru(p["down"], rows), gru(p["up"], rows[:, ::-1])], 1)
    return lstm(p["down"], rows)


def vit_features(p, x):
    return normalized(vit_block(p["blocks_1"], vit_maps(p, x)), p["norm"], 1e-6).mean(1)


FEATURES = {
    RESIDUAL: lambda p, x: residual_maps(p, x).mean((1, 2)),
    VIT: vit_features,
    ROWS: row_features,
    LSTM: row_features,
}


@pytest.mark.parametrize("network", FEATURES, ids=["residual", "vit", "gru", "lstm"])
def test_networks_are_numpys(network, images):
    params = made(network)["params"]
    features = FEATURES[network](params, np.asarray(images, np.float64))
    close(results(network, images), (affine(features, params["logits"]), features))


# Parts, sizes, precision


@pytest.mark.parametrize("kind", IN_PARTS)
def test_head_of_maps_is_the_network(kind, images):
    network, variables = IN_PARTS[kind], made(IN_PARTS[kind])
    maps = program(network, method="maps")(variables, images)
    assert maps.shape == {"residual": (3, 4, 7, 16), "vit": (3, 3, 4, 8)}[kind]
    assert maps.dtype == jnp.float32
    close(program(network, method="head")(variables, maps), results(network, images)[0], 1e-6)


def test_logits_are_linear_in_the_residual_networks_maps(images):
    variables = made(RESIDUAL)
    maps = program(RESIDUAL, method="maps")(variables, images)
    slope = jax.grad(lambda maps: RESIDUAL.apply(variables, maps, method="head")[:, 1].sum())(maps)
    close(slope, np.broadcast_to(variables["params"]["logits"]["kernel"][:, 1] / 28, maps.shape), 1e-6)


@pytest.mark.parametrize("kind", NETWORKS)
def test_any_size_with_the_same_params(kind):
    network = NETWORKS[kind]
    for size in ((16, 16), (31, 40), (4, 57)):
        given = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
        logits, features = jax.eval_shape(network.apply, made(network), given)
        assert (logits.shape, features.shape) == ((2, 3), (2, {"residual": 16, "vit": 8, "rows": 10}[kind]))
        assert logits.dtype == features.dtype == jnp.float32
    assert jax.tree.map(jnp.shape, made(network)) == jax.tree.map(jnp.shape, made(network, (1, 16, 16, 3)))


def test_larger_pictures_are_read_at_the_size_of_the_rows(images):
    doubled = jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)
    shrunk = jax.image.resize(doubled, SHAPE, "bilinear")
    close(results(ROWS, doubled), results(ROWS, shrunk))


@pytest.mark.parametrize("kind", NETWORKS)
def test_jit_equals_eager(kind, images):
    close(results(NETWORKS[kind], images), NETWORKS[kind].apply(made(NETWORKS[kind]), images))


@pytest.mark.parametrize("kind", NETWORKS)
def test_pictures_do_not_see_the_rest_of_the_batch(kind, images):
    alone = results(NETWORKS[kind], images.at[1:].set(0.5))
    both = results(NETWORKS[kind], images)
    for one, among in zip(alone, both, strict=True):
        np.testing.assert_array_equal(one[0], among[0])
        assert np.abs(one[1] - among[1]).max() > 1e-3


@pytest.mark.parametrize("kind", NETWORKS)
def test_bfloat16_products_are_close_and_results_float32(kind, images):
    network = NETWORKS[kind].clone(dtype=jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):  # JAX's attention asks for it
        got, expected = program(network)(made(NETWORKS[kind]), images), results(NETWORKS[kind], images)
    for half, full in zip(got, expected, strict=True):
        assert half.dtype == jnp.float32
        assert 0 < np.abs(half - full).max() < 0.05 * np.abs(full).max()


# Positions


def test_waves_are_those_of_places():
    np.testing.assert_allclose(position_waves(3, 5, 12), waves(3, 5, 12), atol=1e-5)


def test_learned_positions_are_as_they_are_at_their_size_and_between_at_others():
    network = VIT.clone(grid=(2, 3))
    variables = made(network)
    positions = np.asarray(variables["params"]["positions"])

    def places(height, width):
        return np.asarray(network.apply(variables, height, width, method="_places")).reshape(height, width, 8)

    np.testing.assert_array_equal(places(2, 3), positions)
    down = np.array(
        [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]], np.float32
    )  # middles of four rows between those of two
    close(places(4, 3), np.einsum("ij,jwc->iwc", down, positions), 1e-6)


# Training


def test_residual_branches_begin_at_zero(images):
    params = jax.jit(RESIDUAL.init)(KEY, images)["params"]
    other = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf + 1 if {"conv1", "conv2"} & {part.key for part in path} else leaf, params
    )
    close(program(RESIDUAL)({"params": other}, images), program(RESIDUAL)({"params": params}, images), 1e-6)
    tokens = images.reshape(3, -1, 6)
    np.testing.assert_array_equal(jax.jit(TransformerBlock(2).init_with_output)(KEY, tokens)[0], tokens)


@pytest.mark.parametrize("kind", NETWORKS)
def test_dropout_acts_in_training_alone(kind, images):
    network, variables = NETWORKS[kind], made(NETWORKS[kind])
    expected = results(network, images)

    def text(**options):  # what is compiled
        return jax.jit(lambda v, x: network.apply(v, x, **options)).lower(variables, images).as_text()

    assert text(train=False, rngs={"dropout": KEY}) == text(train=True) == text()
    train = program(network, train=True)
    logits = [train(variables, images, rngs={"dropout": jax.random.key(seed)})[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert np.abs(logits[0] - logits[2]).max() > 1e-3
    assert np.abs(logits[0] - expected[0]).max() > 1e-3


@pytest.mark.parametrize("layer", [Dropout, DropBranch])
def test_what_is_dropped_does_not_depend_on_the_number_of_devices(layer):
    x, rngs = jnp.ones((8, 50, 2)), {"dropout": KEY}
    whole = np.asarray(layer(0.25).apply({}, x, train=True, rngs=rngs))
    part = functools.partial(layer(0.25, axis_name="data").apply, {}, train=True, rngs=rngs)
    np.testing.assert_array_equal(jax.vmap(part, axis_name="data")(x.reshape(4, 2, 50, 2)).reshape(x.shape), whole)
    assert set(np.unique(whole)) == {0, np.float32(1 / 0.75)}
    if layer is Dropout:
        assert abs((whole == 0).mean() - 0.25) < 0.05
        assert len({row.tobytes() for row in whole}) == 8
    else:
        assert all(len(np.unique(example)) == 1 for example in whole)


def test_deeper_blocks_are_dropped_more_often():
    rates = [block.drop for block in VIT.clone(depth=3, drop_branch=0.4).bind({}).blocks]
    np.testing.assert_allclose(rates, [0, 0.2, 0.4])
    rates = [block.drop for block in RESIDUAL.clone(drop_branch=0.4).bind({}).residual]
    np.testing.assert_allclose(rates, [0, 0.4])


# Errors and accelerators


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (RESIDUAL, (1, 3, 16, 3), "at least 4 pixels a side"),
        (RESIDUAL, (16, 16, 3), r"\[B, H, W, C\]"),
        (RESIDUAL.clone(widths=(8, 18)), SHAPE, "multiple of 4, got 18"),
        (RESIDUAL.clone(dropout=1.0), SHAPE, r"rate in \[0, 1\), got 1.0"),
        (VIT, (1, 16, 3, 3), "at least 4 pixels a side"),
        (VIT.clone(width=10), SHAPE, "multiple of 4 and of heads=2, got 10"),
        (ROWS, (16, 16, 3), r"\[B, H, W, C\]"),
        (ROWS.clone(cell="rnn"), SHAPE, "gru, lstm, got 'rnn'"),
    ],
)
def test_what_does_not_fit_is_refused(network, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, KEY, jax.ShapeDtypeStruct(shape, jnp.float32))


@pytest.mark.parametrize("kind", NETWORKS)
def test_gradients_lower_for_accelerators(kind, images):
    network = NETWORKS[kind].clone(dtype=jnp.bfloat16)

    def objective(variables, images, key):
        logits, features = network.apply(variables, images, train=True, rngs={"dropout": key})
        return jnp.sum(jax.nn.log_softmax(logits)[:, 0]) + jnp.sum(features**2)

    gradient = jax.jit(jax.grad(objective))
    with jax.numpy_dtype_promotion("standard"):  # as above
        exported = jax.export.export(gradient, platforms=["cuda", "tpu"])(made(NETWORKS[kind]), images, KEY)
    assert exported.platforms == ("cuda", "tpu")
    assert "bf16" in exported.mlir_module()
