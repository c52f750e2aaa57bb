"""Convolutions, their derivatives and their algorithms against XLA's."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxart import ops
from jaxart.ops import winograd

pytestmark = pytest.mark.usefixtures("pure_jax")

WINOGRAD = 5e-5  # promised, relative to the largest result; measured: 2e-6


def xla(x, k, stride, padding):
    if not isinstance(padding, str):  # padded beforehand: XLA itself errs with negative padding on a CPU (jax 0.10.2)
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)))
        padding = "valid"
    return jax.lax.conv_general_dilated(
        x, k, (stride, stride), padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def normal(rng, *shape):
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def close(a, b, tolerance=1e-5, without_cancellation=None):
    """Compare relative to the largest of b, or of what b is without cancellation: single results may cancel out."""
    scale = max(float(jnp.abs(b if without_cancellation is None else without_cancellation).max()), 1e-6)
    np.testing.assert_allclose(np.asarray(a) / scale, np.asarray(b) / scale, atol=tolerance, rtol=0)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 2), st.integers(3, 9), st.integers(3, 8), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3),
    st.sampled_from(["same", "valid", ((1, 0), (2, 1))]),
)  # fmt: skip
def test_convolution_and_both_gradients_equal_xla(n, h, w, c, o, taps, stride, padding):
    taps = min(taps, h, w)
    rng = np.random.default_rng(h * 100 + w)
    x = jnp.asarray(rng.standard_normal((n, h, w, c)), jnp.float32)
    k = jnp.asarray(rng.standard_normal((taps, taps, c, o)), jnp.float32)

    def ours(x, k):
        return ops.conv2d(x, k, stride=stride, padding=padding)

    def theirs(x, k, cotangent):
        y, pull = jax.vjp(lambda x, k: xla(x, k, stride, padding), x, k)
        return y, *pull(cotangent)

    got, pull = jax.vjp(ours, x, k)
    cotangent = normal(rng, *got.shape)
    bounds = theirs(jnp.abs(x), jnp.abs(k), jnp.abs(cotangent))
    for mine, other, bound in zip((got, *pull(cotangent)), theirs(x, k, cotangent), bounds, strict=True):
        close(mine, other, without_cancellation=bound)


@pytest.mark.parametrize("stride", [1, 2])
def test_second_derivative_of_convolution_equals_xla(stride, rng):
    x = jnp.asarray(rng.standard_normal((2, 7, 6, 3)), jnp.float32)
    k = jnp.asarray(rng.standard_normal((3, 3, 3, 4)), jnp.float32)

    def penalty(convolve):
        def energy(x, k):
            return jnp.sum(jnp.tanh(convolve(x, k)) ** 2)

        return lambda x, k: jnp.sum(jax.grad(energy)(x, k) ** 2)

    ours = jax.grad(penalty(lambda x, k: ops.conv2d(x, k, stride=stride)), argnums=(0, 1))(x, k)
    theirs = jax.grad(penalty(lambda x, k: xla(x, k, stride, "same")), argnums=(0, 1))(x, k)
    for mine, other in zip(ours, theirs, strict=True):
        close(mine, other, 2e-5)


def test_convolution_under_vmap_scan_and_jit(rng):
    x = jnp.asarray(rng.standard_normal((3, 1, 6, 6, 2)), jnp.float32)
    k = jnp.asarray(rng.standard_normal((3, 3, 2, 2)), jnp.float32)

    def energy(x):
        return jnp.sum(ops.conv2d(x, k) ** 2)

    one_by_one = jnp.stack([jax.grad(energy)(each) for each in x])
    close(jax.jit(jax.vmap(jax.grad(energy)))(x), one_by_one)
    close(jax.lax.map(jax.grad(energy), x), one_by_one)


def test_convolution_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"expected \[N, H, W, C\]"):
        ops.conv2d(jnp.ones((4, 4, 2)), jnp.ones((3, 3, 2, 2)))
    with pytest.raises(ValueError, match="padding"):
        ops.conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 2)), padding="reflect")
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: ops.conv2d(x, jnp.ones((3, 3, 2, 2))), (jnp.ones((1, 4, 4, 2)),), (jnp.ones((1, 4, 4, 2)),))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", [((3, 1), (3, 2)), ((-1, 1), (0, -1)), ((0, -2), (-1, 4))])
def test_padding_that_crops_forwards_or_backwards(pads, stride, rng):
    x, k = normal(rng, 2, 11, 8, 3), normal(rng, 3, 3, 3, 2)
    expected, pull = jax.vjp(lambda x, k: xla(x, k, stride, pads), x, k)
    got, ours = jax.vjp(jax.jit(lambda x, k: ops.conv2d(x, k, stride=stride, padding=pads)), x, k)
    close(got, expected)
    for mine, other in zip(ours(expected), pull(expected), strict=True):
        close(mine, other)


@example(1, 1, 1, 1, 1, (1, 1), (3, -1))  # all that is left is zeros, but the tile has the pixel
@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 13), st.integers(1, 14), st.integers(1, 5), st.integers(1, 4),
    st.tuples(st.integers(-1, 3), st.integers(0, 2)), st.tuples(st.integers(0, 3), st.integers(-1, 2)),
)  # fmt: skip
def test_winograd_equals_xla_for_any_shape(n, h, w, c, o, rows, columns):
    pads = (rows, columns)
    if h + sum(rows) < 3 or w + sum(columns) < 3:
        return
    rng = np.random.default_rng(h * 100 + w)
    x, k = normal(rng, n, h, w, c), normal(rng, 3, 3, c, o)
    cotangent = normal(rng, *jax.eval_shape(lambda: xla(x, k, 1, pads)).shape)

    @jax.jit
    def theirs(x, k, cotangent):
        y, pull = jax.vjp(lambda x, k: xla(x, k, 1, pads), x, k)
        return y, *pull(cotangent)

    @jax.jit
    def ours(x, k, cotangent):
        transformed = ops.transform_kernel(k)
        y = winograd.convolve(x, transformed, pads)
        to_images = winograd.input_gradient(cotangent, transformed, (h, w), pads)
        return y, to_images, winograd.kernel_gradient(x, cotangent, pads)

    bounds = theirs(jnp.abs(x), jnp.abs(k), jnp.abs(cotangent))
    pixel, tap, error = (jnp.abs(each).max() for each in (x, k, cotangent))
    products = (
        pixel * tap,
        error * tap,
        pixel * error,
    )  # where the padding crops, a tile has more in it than the bound says
    for mine, other, bound, product in zip(
        ours(x, k, cotangent), theirs(x, k, cotangent), bounds, products, strict=True
    ):
        close(mine, other, WINOGRAD, jnp.maximum(bound, product))


WIDE = [
    (1, 33, 35, 128, 160, 3, 1, "same"),
    (4, 18, 17, 64, 64, 3, 1, "valid"),
    (2, 30, 31, 32, 48, 3, 1, ((2, 0), (1, 3))),
    (2, 17, 16, 16, 24, 4, 2, ((1, 1), (1, 1))),
    (2, 13, 12, 3, 24, 5, 3, "same"),
    (1, 20, 20, 3, 64, 3, 1, "same"),
    (2, 9, 9, 24, 8, 1, 2, "valid"),
    (2, 14, 15, 20, 24, 5, 2, "same"),
    (2, 12, 9, 24, 3, 3, 1, ((0, 1), (1, 2))),
    (1, 9, 8, 24, 3, 3, 1, ((3, 2), (2, 3))),
]


VARIANTS = [(case, *choice) for case in WIDE for choice in itertools.product((False, True), repeat=2)]


@pytest.mark.parametrize(
    ("case", "allowed", "transformed"),
    [
        variant for variant in VARIANTS if not variant[2] or variant[0][5:7] == (3, 1)
    ],  # only such kernels are transformed
)
def test_every_algorithm_and_its_gradients_equal_xla(case, allowed, transformed, rng):
    n, h, w, c, o, taps, stride, padding = case
    x, k = normal(rng, n, h, w, c), normal(rng, taps, taps, c, o)
    ready = ops.transform_kernel(k) if transformed else None

    def ours(x, k):
        return ops.conv2d(x, k, stride=stride, padding=padding, transformed=ready, winograd=allowed)

    expected, pull = jax.vjp(lambda x, k: xla(x, k, stride, padding), x, k)
    got, ours_pull = jax.vjp(jax.jit(ours), x, k)
    tolerance = WINOGRAD if allowed else 1e-5
    close(got, expected, tolerance)
    cotangent = normal(rng, *expected.shape)
    for mine, theirs in zip(ours_pull(cotangent), pull(cotangent), strict=True):
        close(mine, theirs, tolerance)


def test_winograd_is_taken_where_it_pays_and_nowhere_else():
    def works(h, channels, n=1, **options):
        x, k = jnp.ones((n, h, h, channels)), jnp.ones((3, 3, channels, channels))
        text = jax.jit(functools.partial(ops.conv2d, **options)).lower(x, k).as_text()
        assert ("stablehlo.convolution" in text) != ("dot_general" in text)
        return "dot_general" in text

    assert works(64, 128)
    assert not works(64, 128, winograd=False)
    assert not works(64, 128, stride=2)
    assert not works(64, 64)
    assert works(32, 32, n=4)
    assert not works(32, 16, n=4)
    assert not works(8, 128)


def compiled_step(*channels):
    """Return XLA's text of a convolution between each pair of channels after another, with all gradients."""
    kernels = [jnp.ones((3, 3, *pair)) for pair in itertools.pairwise(channels)]

    def loss(x, kernels):
        for k in kernels:
            x = ops.conv2d(x, k)
        return jnp.sum(x**2)

    step = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return step.lower(jnp.ones((1, 32, 32, channels[0])), kernels).compile(ops.compiler_options()).as_text()


def bodies(text):
    """Return the distinct loops that XLA generates code for, their names and origins taken out."""
    parts = re.findall(r"^%[\w.-]*(?:computation|region)[\w.-]* \(.*?\n(.*?)^}", text, re.M | re.S)
    return {re.sub(r"%[\w.-]+|, metadata=\{.*?\}", "", part) for part in parts if " dot(" not in part}


def test_a_second_layer_of_the_same_shape_adds_no_loops():
    one, three = (len(bodies(compiled_step(*[128] * count))) for count in (2, 4))
    assert three <= one + 1  # the last layer's loss may be fused otherwise


def test_sums_of_winograd_are_not_left_to_a_library():
    text = compiled_step(128, 128)
    custom = re.findall(r"kind=kCustom, calls=(%[\w.-]+)", text)
    for name in custom:
        body = text[text.index(f"\n{name} (") :]
        assert " reduce(" not in body[: body.index("\n}")]
    assert " reduce(" in text


def test_derivatives_of_wide_layers_under_vmap_scan_and_checkpoint(rng):
    x, k = normal(rng, 2, 1, 32, 32, 128), normal(rng, 3, 3, 128, 128) / 34

    def penalty(convolve):
        return lambda x, k: jnp.sum(jax.grad(lambda x, k: jnp.sum(jnp.tanh(convolve(x, k))))(x, k) ** 2)

    theirs = jax.grad(penalty(lambda x, k: xla(x, k, 1, "same")), argnums=(0, 1))
    second = jax.grad(penalty(jax.checkpoint(ops.conv2d)), argnums=(0, 1))
    one_by_one = [theirs(each, k) for each in x]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_by_one)
    for got in (jax.vmap(second, (0, None))(x, k), jax.lax.map(lambda each: second(each, k), x)):
        for mine, other in zip(got, expected, strict=True):
            close(mine, other, 2e-4)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("stride", [1, 2])
def test_other_platforms_get_the_plain_convolution(platform, stride):
    def energy(x, k):
        return jnp.sum(ops.conv2d(x, k, stride=stride, padding=((1, 1), (1, 1))) ** 2)

    x, k = jnp.ones((1, 64, 64, 128)), jnp.ones((3, 3, 128, 128))
    exported = jax.export.export(jax.jit(jax.grad(energy, argnums=(0, 1))), platforms=[platform])(x, k)
    text = exported.mlir_module()
    assert text.count("stablehlo.convolution") == 3  # itself, input gradient, kernel gradient
    for foreign in ("dot_general", "optimization_barrier", "concatenate"):
        assert foreign not in text


@pytest.mark.parametrize(
    ("padding", "taps", "stride"), [("same", 4, 2), ("valid", 3, 2), ("same", 3, 1), (((1, 1), (0, 2)), 5, 3)]
)
def test_transposed_convolution_is_the_transpose(padding, taps, stride, rng):
    y, k = normal(rng, 2, 6, 5, 4), normal(rng, taps, taps, 3, 4)
    x = ops.conv_transpose2d(y, k, stride=stride, padding=padding)
    assert xla(x, k, stride, padding).shape == y.shape
    (expected,) = jax.vjp(lambda x: xla(x, k, stride, padding), x)[1](y)
    close(x, expected)
    other = normal(rng, *x.shape)
    slope = jax.grad(lambda y, k: jnp.vdot(ops.conv_transpose2d(y, k, stride=stride, padding=padding), other), (0, 1))(
        y, k
    )
    forward, pull = jax.vjp(lambda x, k: xla(x, k, stride, padding), other, k)
    close(slope[0], forward)
    close(slope[1], pull(y)[1])


@pytest.mark.parametrize(("padding", "stride"), [("same", 1), ("valid", 2), (((2, 0), (1, 1)), 1)])
def test_depthwise_equals_grouped(padding, stride, rng):
    x, k = normal(rng, 2, 9, 8, 5), normal(rng, 3, 3, 5)

    def grouped(x, k):
        pad = padding.upper() if isinstance(padding, str) else padding
        return jax.lax.conv_general_dilated(
            x, k[:, :, None], (stride, stride), pad, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=5
        )

    def ours(x, k):
        return ops.depthwise_conv2d(x, k, stride=stride, padding=padding)

    close(ours(x, k), grouped(x, k))
    mine, theirs = (jax.grad(lambda x, k, f=f: jnp.sum(f(x, k) ** 3), (0, 1))(x, k) for f in (ours, grouped))
    close(mine[0], theirs[0])
    close(mine[1], theirs[1])


def test_modulated_convolution_equals_a_kernel_for_each_example(rng):
    x, k, s = normal(rng, 3, 7, 6, 4), normal(rng, 3, 3, 4, 5), normal(rng, 3, 4)
    expected = []
    for image, style in zip(x, s, strict=True):
        kernel = k * style.reshape(1, 1, -1, 1)
        kernel = kernel / jnp.sqrt(jnp.sum(kernel**2, axis=(0, 1, 2)) + 1e-8).reshape(1, 1, 1, -1)
        expected.append(xla(image[None], kernel, 1, "same")[0])
    close(ops.modulated_conv2d(x, k, s), jnp.stack(expected))
    close(ops.modulated_conv2d(x, k, jnp.ones((3, 4)), demodulate=False), xla(x, k, 1, "same"))
    with pytest.raises(ValueError, match="styles"):
        ops.modulated_conv2d(x, k, s[:2])


def test_relatives_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="conv_transpose2d: expected"):
        ops.conv_transpose2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 5)))
    with pytest.raises(ValueError, match="depthwise_conv2d: expected"):
        ops.depthwise_conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 1)))
    with pytest.raises(ValueError, match="depthwise_conv2d: expected padding"):
        ops.depthwise_conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2)), padding="reflect")
