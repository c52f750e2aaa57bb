"""GAN and VAE networks against NumPy, their normalizations over devices and in the limit, shapes, and lowering."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.lib.stride_tricks import sliding_window_view

from jaxart import models, ops
from jaxart.models.blocks import (
    BatchNorm,
    pooled_conv2d,
    spectrally_normalized,
    upsample,
    upsampled_conv2d,
)

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)
PAIRS = {
    "dcgan": (models.DCGANGenerator, models.DCGANDiscriminator),
    "sngan": (models.SNGANGenerator, models.SNGANDiscriminator),
}


@functools.cache
def program(network, **options):
    """Return the compiled `apply`, the same for all tests."""
    return jax.jit(functools.partial(network.apply, **options))


TRAIN = {"train": True, "mutable": ("batch_stats", "spectral")}


def run(network, variables, *inputs):
    """Apply in training; return the output and all variables after it."""
    output, new = program(network, **TRAIN)(variables, *inputs)
    return output, variables | new


def made(network, *inputs):
    """Return random variables of the network: no parameter is where it starts in training."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        name, noise = path[-1].key, rng.standard_normal(leaf.shape).astype(np.float32)
        if path[0].key == "spectral":
            return noise / np.linalg.norm(noise)
        if path[0].key == "batch_stats":
            return np.full_like(noise, name == "variance")
        scaled = noise / np.float32(np.sqrt(np.prod(leaf.shape[:-1]))) if name == "kernel" else 0.3 * noise
        return scaled + np.float32(name == "scale")

    shapes = jax.eval_shape(network.init, KEY, *inputs)
    return jax.tree.map(jnp.asarray, jax.tree_util.tree_map_with_path(draw, shapes))


def pair(kind, *, size=8, channels=1, width=4, classes=0, batch=4, **options):
    """Return generator, its variables, discriminator, its variables, z and labels."""
    options = {"width": width, "classes": classes, **options}
    generator, discriminator = PAIRS[kind][0](size=size, channels=channels, **options), PAIRS[kind][1](**options)
    z, label = jax.random.normal(KEY, (batch, 6)), jnp.arange(batch, dtype=jnp.int32) % max(classes, 1)
    images = jnp.zeros((batch, size, size, channels))
    return generator, made(generator, z, label), discriminator, made(discriminator, images, label), z, label


# NumPy


def conv(x, leaf, stride=1):
    kernel = np.asarray(leaf["kernel"], np.float64)
    pad = (kernel.shape[0] - 1) // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwcij,ijco->nhwo", windows, kernel) + np.asarray(leaf.get("bias", 0), np.float64)


def norm(x, leaf, label):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    scale, bias = (np.asarray(leaf[name], np.float64) for name in ("scale", "bias"))
    if scale.ndim == 2:
        scale, bias = scale[label][:, None, None], bias[label][:, None, None]
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + bias


def relu(x):
    return np.maximum(x, 0)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def repeated(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def blurred(x):
    for axis in (1, 2):
        size = x.shape[axis]
        below, above = np.maximum(np.arange(size) - 1, 0), np.minimum(np.arange(size) + 1, size - 1)
        x = (x.take(below, axis) + 2 * x + x.take(above, axis)) / 4
    return x


def pooled(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def divided(tree):
    """Divide every kernel and embedding by its largest singular value."""
    if hasattr(tree, "shape"):
        matrix = np.asarray(tree, np.float64)
        return matrix / np.linalg.norm(matrix.reshape(-1, matrix.shape[-1]), 2) if matrix.ndim > 1 else matrix
    return {name: divided(branch) for name, branch in tree.items()}


def logit(features, leaf, label):
    weights = np.asarray(leaf["kernel"], np.float64)[:, 0] + np.asarray(leaf.get("embedding", np.zeros((9, 1))))[label]
    return (features * weights).sum(1)


def dcgan_picture(p, z, label, after=blurred):
    if "class" in p:
        z = np.concatenate([z, np.asarray(p["class"]["embedding"])[label]], axis=1)
    x = relu(norm((z @ np.asarray(p["dense"]["kernel"])).reshape(len(z), 4, 4, -1), p["norm4"], None))
    for side in (8, 16):
        x = relu(norm(after(conv(repeated(x), p[f"conv{side}"])), p[f"norm{side}"], None))
    return np.tanh(conv(x, p["picture"]))


def dcgan_logit(p, x, label):
    for name in ("conv8", "conv4"):
        x = leaky(conv(x, p[name], stride=2))
    return logit(x.reshape(len(x), -1), p["logit"], label)


def sngan_picture(p, z, label, after=blurred):
    x = (z @ np.asarray(p["dense"]["kernel"])).reshape(len(z), 4, 4, -1)
    for block in (p["block8"], p["block16"]):
        y = after(conv(repeated(relu(norm(x, block["norm1"], label))), block["conv1"]))
        y = conv(relu(norm(y, block["norm2"], label)), block["conv2"])
        x = after(conv(repeated(x), block["direct"])) + y
    return np.tanh(conv(relu(norm(x, p["norm"], None)), p["picture"]))


def sngan_logit(p, x, label):
    p = divided(p)
    for index, name in enumerate(("block1", "block2", "block3", "block4")):
        y = conv(relu(conv(relu(x) if index else x, p[name]["conv1"])), p[name]["conv2"])
        x = pooled(y) + pooled(conv(x, p[name]["direct"])) if index < 2 else x + y
    return logit(relu(x).sum((1, 2)), p["logit"], label)


NUMPY = {"dcgan": (dcgan_picture, dcgan_logit), "sngan": (sngan_picture, sngan_logit)}


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("kind", PAIRS)
def test_pairs_equal_numpy(kind, classes):
    generator, g, discriminator, d, z, label = pair(kind, size=16, classes=classes)
    images, _ = run(generator, g, z, label)
    expected = NUMPY[kind][0](g["params"], np.asarray(z, np.float64), label)
    np.testing.assert_allclose(images, expected, atol=2e-5)
    for _ in range(60):  # until the power iteration has converged
        logits, d = run(discriminator, d, images, label)
    np.testing.assert_allclose(logits, NUMPY[kind][1](d["params"], expected, label), rtol=1e-3, atol=1e-4)


# Shapes, types, arguments


@pytest.mark.parametrize("classes", [0, 5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_shapes_and_types(size, channels, classes):
    z, label = jnp.zeros((2, 7)), jnp.zeros((2,), jnp.int32)
    for generator, discriminator in PAIRS.values():
        options = {"width": 4, "classes": classes, "dtype": jnp.bfloat16}
        networks = generator(size=size, channels=channels, **options), discriminator(**options)
        images = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
        for network, inputs, shape in ((networks[0], z, images.shape), (networks[1], images, (2,))):
            variables = jax.eval_shape(functools.partial(network.init, train=True), KEY, inputs, label)
            output = jax.eval_shape(network.apply, variables, inputs, label)
            assert (output.shape, output.dtype) == (shape, jnp.float32)
            assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_widths_are_those_of_the_papers():
    def outputs(network, *inputs):
        params = jax.eval_shape(network.init, KEY, *inputs)["params"]
        names = [name for name in params if name.startswith(("conv", "block"))]
        leaves = [
            params[name]
            for name in sorted(names, key=lambda name: int(name.removeprefix("conv").removeprefix("block")))
        ]
        return [leaf.get("conv2", leaf)["kernel"].shape[-1] for leaf in leaves]

    z = jnp.zeros((1, 128))
    assert outputs(models.DCGANGenerator(), z) == [256, 128, 64, 32]
    assert outputs(models.DCGANDiscriminator(), jnp.zeros((1, 64, 64, 3))) == [512, 256, 128, 64]  # by side, 4 to 32
    assert outputs(models.SNGANGenerator(), z) == [256, 256, 256]
    assert outputs(models.SNGANDiscriminator(), jnp.zeros((1, 32, 32, 3))) == [128, 128, 128, 128]
    assert outputs(models.SNGANGenerator(size=64), z) == [512, 256, 128, 64]
    assert outputs(models.SNGANDiscriminator(), jnp.zeros((1, 64, 64, 3))) == [64, 128, 256, 512, 1024]


def test_no_bias_is_followed_by_a_normalization():
    params = jax.eval_shape(models.SNGANGenerator(size=16, width=2).init, KEY, jnp.zeros((1, 3)))["params"]
    assert "bias" in params["picture"]
    assert "bias" not in params["dense"]
    assert all("bias" not in params["block8"][name] for name in ("conv1", "conv2", "direct"))


@pytest.mark.parametrize("kind", PAIRS)
def test_bfloat16_is_close(kind):
    generator, g, discriminator, d, z, label = pair(kind)
    images, logits = (run(generator, g, z, label)[0], run(discriminator, d, jnp.zeros((4, 8, 8, 1)) + 0.5, label)[0])
    half = [each.clone(dtype=jnp.bfloat16) for each in (generator, discriminator)]
    coarse = run(half[0], g, z, label)[0]
    assert 0 < float(jnp.mean(jnp.abs(coarse - images))) < 0.05
    close = run(half[1], d, jnp.zeros((4, 8, 8, 1)) + 0.5, label)[0]
    assert 0 < float(jnp.max(jnp.abs(close - logits))) < 0.05 * float(jnp.max(jnp.abs(logits)))


@pytest.mark.parametrize("kind", PAIRS)
def test_labels_matter_with_classes_only(kind):
    for classes in (0, 3):
        generator, g, discriminator, d, z, label = pair(kind, classes=classes)
        images = run(generator, g, z, label)[0]
        for network, variables, inputs in ((generator, g, z), (discriminator, d, images)):
            here, there = (run(network, variables, inputs, y)[0] for y in (label, (label + 1) % 3))
            assert np.array_equal(here, there) == (not classes)


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (models.DCGANGenerator(size=48), (jnp.zeros((2, 3)),), "power of two of at least 8, got 48"),
        (models.SNGANGenerator(size=4), (jnp.zeros((2, 3)),), "power of two of at least 8, got 4"),
        (models.SNGANGenerator(), (jnp.zeros((2, 1, 1, 3)),), r"latent vectors \[B, L\], got shape \(2, 1, 1, 3\)"),
        (models.DCGANDiscriminator(), (jnp.zeros((2, 8, 16, 3)),), "square pictures"),
        (models.SNGANDiscriminator(), (jnp.zeros((2, 28, 28, 1)),), "got 28. Resize or pad"),
        (models.DCGANGenerator(classes=3), (jnp.zeros((2, 3)),), r"expected a label \[B\] below 3"),
        (models.SNGANGenerator(classes=3, width=1), (jnp.zeros((2, 3)),), r"expected a label \[B\] below 3"),
        (models.SNGANDiscriminator(classes=3, width=1), (jnp.zeros((2, 8, 8, 3)),), r"expected a label \[B\] below 3"),
        (models.MLPGenerator(), (jnp.zeros(3),), "latent vectors"),
        (models.MLPDiscriminator(), (jnp.zeros((2, 8, 8, 3)),), r"vectors \[B, F\]"),
        (models.VAEEncoder(), (jnp.zeros((2, 28, 28, 1)),), "got 28"),
        (models.VAEDecoder(size=28), (jnp.zeros((2, 3)),), "got 28"),
    ],
)
def test_bad_arguments_say_what_was_expected(network, inputs, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, KEY, *inputs)


# Convolutions that double and halve


def test_joined_convolutions_equal_their_parts(rng):
    x = jnp.asarray(rng.standard_normal((2, 6, 4, 3)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 3, 5)), jnp.float32)
    for joined, parts in (
        (upsampled_conv2d, lambda x, k: ops.conv2d(upsample(x), k)),
        (pooled_conv2d, lambda x, k: ops.avg_pool(ops.conv2d(x, k))),
    ):
        got, expected = (
            jax.value_and_grad(lambda x, k, f=f: jnp.sum(jnp.sin(f(x, k))), (0, 1))(x, kernel) for f in (joined, parts)
        )
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, expected)
        np.testing.assert_allclose(joined(x, kernel), parts(x, kernel), atol=2e-5)


def test_the_low_pass_is_its_kernel_and_its_own_transpose(rng):
    x, y = (jnp.asarray(rng.standard_normal((2, 6, 5, 3)), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(ops.low_pass(x), blurred(np.asarray(x)), atol=1e-6)
    value, back = jax.vjp(ops.low_pass, x)
    np.testing.assert_allclose(back(y)[0], ops.low_pass(y), atol=1e-6)
    np.testing.assert_allclose(jax.jvp(ops.low_pass, (x,), (y,))[1], ops.low_pass(y), atol=1e-6)
    assert ops.low_pass(x[:, :1]).shape == (2, 1, 5, 3)
    np.testing.assert_allclose(jnp.sum(value), jnp.sum(x), rtol=1e-4)
    impulse = np.zeros((1, 8, 8, 1), np.float32)
    impulse[0, 3, 3] = 1
    line = np.array([1, 3, 3, 1]) / 4
    np.testing.assert_allclose(ops.low_pass(upsample(impulse))[0, 5:9, 5:9, 0], np.outer(line, line), atol=1e-6)


@pytest.mark.parametrize("kind", PAIRS)
def test_without_the_low_pass_it_is_the_network_of_before(kind):
    generator, g, *_, z, label = pair(kind, size=16)
    images, _ = run(generator.clone(smooth=False), g, z, label)
    expected = NUMPY[kind][0](g["params"], np.asarray(z, np.float64), label, after=np.asarray)
    np.testing.assert_allclose(images, expected, atol=3e-5)


# Batch normalization


def test_batch_norm_survives_a_large_mean_and_keeps_averages(rng):
    x = rng.standard_normal((16, 8, 8, 3)).astype(np.float32) * np.float32(0.5) + np.float32([3000, 0, -100])
    layer = BatchNorm()
    variables = layer.init(KEY, jnp.asarray(x), train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))  # init looks at no data
    y, new = layer.apply(variables, jnp.asarray(x), train=True, mutable=["batch_stats"])
    exact = x.astype(np.float64)
    # 6000 deviations from zero: an ulp of the mean in float32 is 5e-4 deviations, and a sum of 1024 values loses several.
    np.testing.assert_allclose(y, (exact - exact.mean((0, 1, 2))) / exact.std((0, 1, 2)), atol=1e-2)
    np.testing.assert_allclose(new["batch_stats"]["variance"], 0.9 + 0.1 * exact.var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.1 * exact.mean((0, 1, 2)), rtol=1e-5)
    unchanged = layer.apply(variables, jnp.asarray(x), train=True)
    np.testing.assert_array_equal(unchanged, y)
    np.testing.assert_allclose(layer.apply(variables, jnp.asarray(x)), x / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_batch_norm_has_the_derivatives_of_its_formula(rng):
    x = jnp.asarray(rng.standard_normal((3, 2, 2, 2)), jnp.float32)
    layer = BatchNorm()
    variables = layer.init(KEY, x)

    def plain(x):
        mean = jnp.mean(x, (0, 1, 2), keepdims=True)
        return (x - mean) * jax.lax.rsqrt(jnp.mean((x - mean) ** 2, (0, 1, 2), keepdims=True) + 1e-5)

    def curvature(f):
        return jax.hessian(lambda x: jnp.sum(jnp.sin(f(x)) * jnp.cos(x)))(x)

    got = curvature(lambda x: layer.apply(variables, x, train=True))
    np.testing.assert_allclose(got, curvature(plain), atol=1e-4)


def objective(generator, discriminator, g, d, z, label):
    """Return a loss, with the new statistics and the pictures."""
    images, new = generator.apply(g, z, label, train=True, mutable=["batch_stats"])
    return jnp.mean(jnp.sin(discriminator.apply(d, images, label))), (new, images)


def test_devices_do_not_change_the_batch():
    """The whole batch at once equals pmap, shard_map (with axis_name) and jit over a sharded batch (without), on 8 devices."""
    generator, g, discriminator, d, z, label = pair("sngan", classes=3, batch=16)
    discriminator, d = pair("dcgan", classes=3)[2:4]
    on_axis = generator.clone(axis_name="devices")

    def step(generator, g, z, label):
        gradient, (new, images) = jax.grad(
            lambda p: objective(generator, discriminator, g | {"params": p}, d, z, label), has_aux=True
        )(g["params"])
        return jax.lax.pmean(gradient, "devices") if generator.axis_name else gradient, new, images

    expected = jax.jit(functools.partial(step, generator))(g, z, label)
    mesh, rows, whole = Mesh(np.array(jax.devices()), ("devices",)), PartitionSpec("devices"), PartitionSpec()
    split = functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(whole, rows, rows), out_specs=(whole, whole, rows), check_vma=False
    )
    mapped = jax.pmap(functools.partial(step, on_axis), axis_name="devices", in_axes=(None, 0, 0))
    *means, images = mapped(g, z.reshape(8, 2, -1), label.reshape(8, 2))
    sharded = [jax.device_put(each, NamedSharding(mesh, rows)) for each in (z, label)]
    for got in (
        (*jax.tree.map(lambda leaf: leaf[0], means), images.reshape(expected[2].shape)),
        jax.jit(split(functools.partial(step, on_axis)))(g, z, label),
        jax.jit(functools.partial(step, generator))(jax.device_put(g, NamedSharding(mesh, whole)), *sharded),
    ):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-5), got, expected)


# Spectral normalization


class Kernel(nn.Module):
    """A normalized kernel by itself."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, *, train=False):
        kernel = self.param("kernel", nn.initializers.normal(1.0), self.shape)
        return spectrally_normalized(self, "kernel", kernel, train=train)


def test_kernels_tend_to_a_largest_singular_value_of_one():
    network = Kernel((3, 3, 5, 7))
    variables = network.init(KEY, train=True)
    start, _ = run(network, variables)
    np.testing.assert_allclose(np.linalg.norm(start.reshape(-1, 7), 2), 1, rtol=0.05)
    for _ in range(50):
        kernel, variables = run(network, variables)
    np.testing.assert_allclose(np.linalg.norm(kernel.reshape(-1, 7), 2), 1, rtol=1e-4)


def test_spectral_vectors_move_in_training_only():
    _, _, network, before, _, label = pair("sngan", classes=3)
    images = jax.random.normal(KEY, (4, 8, 8, 1))
    logits, after = run(network, before, images, label)
    changes = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), after["spectral"], before["spectral"])
    assert min(jax.tree.leaves(changes)) >= 0
    assert max(jax.tree.leaves(changes)) > 1e-3
    assert set(before["spectral"]["logit"]) == {"kernel", "embedding"}
    stored, same = program(network, mutable=("spectral",))(after, images, label)
    jax.tree.map(np.testing.assert_array_equal, same["spectral"], after["spectral"])
    np.testing.assert_allclose(stored, logits, rtol=1e-5)  # what is stored is what was just used
    np.testing.assert_allclose(program(network, train=True)(after, images, label), logits, rtol=1e-5)


def test_the_derivative_of_a_normalized_kernel_is_that_of_the_quotient(rng):
    network = Kernel((4, 3))
    variables = network.init(KEY)
    for _ in range(100):
        _, variables = run(network, variables)

    def loss(kernel):
        return jnp.sum(jnp.sin(network.apply(variables | {"params": {"kernel": kernel}})))

    def exact(matrix):
        return np.sin(matrix / np.linalg.norm(matrix, 2)).sum()

    kernel, direction = variables["params"]["kernel"], rng.standard_normal((4, 3))
    matrix, step = np.asarray(kernel, np.float64), 1e-5
    slope = (exact(matrix + step * direction) - exact(matrix - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.vdot(jax.grad(loss)(kernel), direction), slope, rtol=1e-3)


def test_a_kernel_of_zeros_has_finite_values_and_derivatives():
    network = Kernel((3, 2))
    variables = jax.tree.map(jnp.zeros_like, network.init(KEY))
    np.testing.assert_array_equal(network.apply(variables), np.zeros((3, 2)))
    gradient = jax.grad(lambda v: jnp.sum(network.apply(v)))(variables)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))


# The discriminator judges each picture by itself; the VAE too


@pytest.mark.parametrize("kind", PAIRS)
def test_a_logit_does_not_depend_on_the_rest_of_the_batch(kind):
    _, _, discriminator, d, _, label = pair(kind)
    images = jax.random.normal(KEY, (4, 8, 8, 1))
    changed = images.at[1:].multiply(9.0)
    first, again = (run(discriminator, d, x, label)[0][0] for x in (images, changed))
    np.testing.assert_allclose(again, first, rtol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
def test_vae_shapes_ranges_and_independence(classes):
    encoder = models.VAEEncoder(latent=5, width=4, classes=classes)
    decoder = models.VAEDecoder(size=16, channels=1, width=4, classes=classes)
    images, label = jax.random.uniform(KEY, (4, 16, 16, 1)), jnp.int32([0, 1, 2, 0])
    e, d = made(encoder, images, label), made(decoder, jnp.zeros((4, 5)), label)
    assert set(e) == set(d) == {"params"}
    mean, log_variance = program(encoder)(e, images, label)
    decoded = program(decoder)(d, mean, label)
    assert mean.shape == log_variance.shape == (4, 5)
    assert not np.allclose(mean, log_variance)
    assert decoded.shape == images.shape
    assert 0 < float(decoded.min()) < float(decoded.max()) < 1
    logits = program(decoder, method="logits")(d, mean, label)
    np.testing.assert_allclose(decoded, 1 / (1 + np.exp(-np.asarray(logits))), rtol=1e-5)
    for network, variables, inputs, output in ((encoder, e, images, mean), (decoder, d, mean, decoded)):
        first = jax.tree.leaves(program(network)(variables, inputs.at[1:].add(0.3), label))[0]
        np.testing.assert_allclose(first[0], output[0], rtol=1e-5)
        other = jax.tree.leaves(program(network)(variables, inputs, (label + 1) % 3))[0]
        assert np.array_equal(other, output) == (not classes)


def test_mlp_pair():
    generator, discriminator = models.MLPGenerator(features=3, width=8, depth=2), models.MLPDiscriminator(8, 2)
    z = jax.random.normal(KEY, (5, 4))
    g = generator.init(KEY, z)
    x = generator.apply(g, z, jnp.zeros(5, jnp.int32), train=True)
    assert x.shape == (5, 3)
    assert list(g["params"]) == ["dense1", "dense2", "vector"]
    np.testing.assert_allclose(
        x, np.maximum(hidden(g, np.maximum(hidden(g, z, 1), 0), 2), 0) @ g["params"]["vector"]["kernel"], rtol=1e-4
    )
    assert discriminator.apply(discriminator.init(KEY, x), x).shape == (5,)


def hidden(variables, x, index):
    return np.asarray(x) @ np.asarray(variables["params"][f"dense{index}"]["kernel"])


# Programs


def test_jit_equals_eager_and_compiles_once():
    generator, g, *_, z, label = pair("dcgan", classes=3)
    discriminator, d = pair("sngan", classes=3)[2:4]
    loss = functools.partial(objective, generator, discriminator)
    compiled = jax.jit(loss)
    got, expected = compiled(g, d, z, label), loss(g, d, z, label)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), got, expected)
    compiled(g | got[1][0], d, z + 1, (label + 1) % 3)
    assert compiled._cache_size() == 1


@pytest.mark.parametrize("kind", PAIRS)
def test_forward_and_backward_lower_for_accelerators(kind):
    generator, g, discriminator, d, z, label = pair(kind, width=2, classes=2, dtype=jnp.bfloat16)
    gradient = jax.jit(jax.grad(functools.partial(objective, generator, discriminator), argnums=(0, 1), has_aux=True))
    exported = jax.export.export(gradient, platforms=["cuda", "tpu"])(g, d, z, label)
    assert exported.platforms == ("cuda", "tpu")
    assert "bf16" in exported.mlir_module()
