"""Tiled sums: the value and the derivative of the whole, at sizes that divide nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxart import ops
from jaxart.models import VGG, vgg_halo, vgg_stride

REACH = {"halo": 8, "align": 4}


def picture(height, width, seed=0):
    return jax.random.uniform(jax.random.key(seed), (height, width, 3))


def pyramid(window, kernels):
    """Two 3 x 3 convolutions and two poolings: features of stride 1, 2 and 4 that look 3 pixels and a pooling block far."""
    fine = jax.nn.relu(ops.conv2d(window[None], kernels[0]))
    middle = jax.nn.relu(ops.conv2d(ops.max_pool(fine), kernels[1]))
    return {1: fine[0], 2: middle[0], 4: ops.avg_pool(middle)[0]}


def summand(window, valid, aligned, kernels):
    found = {}
    for stride, layer in pyramid(window, kernels).items():
        own = valid[::stride, ::stride][: layer.shape[0], : layer.shape[1], None]
        found[stride] = jnp.einsum("hwc,hwd->cd", layer * own, layer), jnp.sum(own * (layer - aligned[stride]) ** 2)
    return found


def loss(image, aligned, kernels, tile):
    sums = ops.tiled_sum(summand, image, aligned, kernels, tile=tile, **REACH)
    return sum(jnp.sum(jnp.sqrt(1 + second**2)) + error for second, error in sums.values())


@pytest.fixture(scope="module")
def kernels():
    first, second = jax.random.split(jax.random.key(1))
    return 0.3 * jax.random.normal(first, (3, 3, 3, 4)), 0.3 * jax.random.normal(second, (3, 3, 4, 5))


def relative(found, expected):
    return float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))


@pytest.mark.parametrize(("size", "tile"), [((64, 64), 32), ((45, 67), 16), ((21, 101), 7), ((33, 50), 48)])
def test_value_and_derivative_are_those_of_the_whole(kernels, size, tile):
    image = picture(*size)
    targets = pyramid(picture(*size, seed=2), kernels)
    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 2)), static_argnums=3)
    (expected, slopes), (found, tiled) = both(image, targets, kernels, None), both(image, targets, kernels, tile)
    assert relative(found, expected) < 1e-5
    assert relative(tiled[0], slopes[0]) < 1e-5
    assert all(relative(a, b) < 1e-5 for a, b in zip(tiled[1], slopes[1], strict=True))


def test_jit_equals_eager_and_it_runs_inside_a_loop(kernels):
    image, targets = picture(45, 35), pyramid(picture(45, 35, seed=2), kernels)
    slope = functools.partial(jax.grad(loss), aligned=targets, kernels=kernels, tile=16)
    expected = slope(image)
    assert relative(jax.jit(slope)(image), expected) < 1e-6
    in_loop = jax.jit(lambda x: jax.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, slope(c[1])), (0, x)))
    assert relative(in_loop(image)[1], expected) < 1e-6


def test_second_derivatives_too():
    def square(image, tile):
        def total(x):
            return ops.tiled_sum(
                lambda window, valid, *_: jnp.sum(valid[..., None] * jnp.sin(window)),
                x, None, None, tile=tile, **REACH,
            )  # fmt: skip

        return jnp.sum(jax.grad(total)(image) ** 2)

    slope = jax.jit(jax.grad(square), static_argnums=1)
    np.testing.assert_allclose(slope(picture(37, 29), 16), slope(picture(37, 29), None), rtol=1e-5, atol=1e-6)


def test_maps_are_put_together_without_seams(kernels):
    image = picture(75, 58)
    expected = pyramid(image, kernels)
    found = ops.tiled_map(pyramid, image, kernels, tile=16, **REACH)
    for stride, layer in expected.items():
        np.testing.assert_allclose(found[stride], layer, atol=1e-5)


def test_memory_does_not_grow_with_the_picture():
    def summand(window, valid, *_):
        features = jnp.sin(window[..., None] * jnp.arange(64.0).reshape(1, 1, 1, -1))
        return jnp.sum(valid[..., None, None] * jnp.cos(features) ** 2, axis=(0, 1))

    def temporaries(height, tile):
        slope = jax.grad(lambda x: jnp.sum(ops.tiled_sum(summand, x, None, None, tile=tile, **REACH) ** 2))
        shape = jax.ShapeDtypeStruct((height, 64, 3), jnp.float32)
        return jax.jit(slope).lower(shape).compile().memory_analysis().temp_size_in_bytes

    image = 64 * 64 * 3 * 4
    assert temporaries(1024, None) > 14 * temporaries(64, None)
    assert temporaries(1024, 32) - temporaries(256, 32) < 3 * 12 * image  # a few buffers of the picture's size


@pytest.mark.parametrize("layers", [("relu1_2",), ("relu2_2", "pool1"), ("relu3_1", "relu1_1")])
def test_reach_is_as_far_as_features_look(variables, layers):
    halo, align = vgg_halo(16, layers)
    deepest = max(layers, key=vgg_stride)
    network = VGG(depth=16, layers=(deepest,), winograd=False)  # its tiles would spread the NaN
    start, size = halo + align, 2 * halo + 3 * align

    @jax.jit
    def sees(row):
        image = jnp.where(jnp.arange(size)[:, None, None] == row, jnp.nan, 0.0)
        layer = network.apply(variables, jnp.broadcast_to(image, (size, 8, 3))[None])[deepest][0]
        own = jnp.arange(layer.shape[0]) * vgg_stride(deepest) // align * align == start
        return jnp.isnan(layer).any((1, 2)) & own

    assert not sees(align - 1).any()
    assert sees(start - 1).any()
    assert sees(start + align).any()
    assert not sees(start + align + halo).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0, "halo": 4, "align": 4}, "a tile of at least 1"),
        ({"tile": 8, "halo": 6, "align": 4}, "a multiple of 4"),
        ({"tile": 8, "halo": 4, "align": 2}, r"divided by 2 ... 2, got \(10, 10, 1\)"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        ops.tiled_sum(lambda *_: 0.0, picture(40, 40), jnp.ones((10, 10, 1)), None, **options)


def sharded(image, targets, kernels, devices, tile):
    """Return loss and gradients with the rows split over devices, and the program's text."""
    height = image.shape[0]
    rows = devices * ops.sharded_rows(height, devices, **REACH)[0]
    mesh = jax.make_mesh((devices,), ("rows",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])

    def split(array):
        stride = height // array.shape[0]
        array = jnp.pad(array, ((0, rows // stride - array.shape[0]), *[(0, 0)] * (array.ndim - 1)))
        return jax.device_put(array, NamedSharding(mesh, P("rows")))

    def objective(image, targets, kernels):
        sums = ops.sharded_sum(summand, image, targets, kernels, mesh=mesh, height=height, tile=tile, **REACH)
        return sum(jnp.sum(jnp.sqrt(1 + second**2)) + error for second, error in sums.values())

    arguments = split(image), jax.tree.map(split, targets), jax.device_put(kernels, NamedSharding(mesh, P()))
    compiled = jax.jit(jax.value_and_grad(objective, argnums=(0, 2))).lower(*arguments).compile()
    value, (slope, inner) = compiled(*arguments)
    assert not slope[height:].any()
    return value, (slope[:height], inner), compiled.as_text()


@pytest.mark.parametrize(
    ("size", "devices", "tile"), [((64, 33), 2, None), ((75, 40), 4, None), ((45, 35), 8, None), ((101, 37), 2, 16)]
)
def test_rows_over_devices_give_the_same_without_gathering(kernels, size, devices, tile):
    image, targets = picture(*size), pyramid(picture(*size, seed=2), kernels)
    expected, slopes = jax.jit(jax.value_and_grad(loss, argnums=(0, 2)), static_argnums=3)(
        image, targets, kernels, None
    )
    found, (slope, inner), text = sharded(image, targets, kernels, devices, tile)
    assert relative(found, expected) < 1e-5
    assert relative(slope, slopes[0]) < 1e-5
    assert all(relative(a, b) < 1e-5 for a, b in zip(inner, slopes[1], strict=True))
    assert "all-gather" not in text
    assert "collective-permute" in text
