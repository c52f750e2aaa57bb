"""The style-based networks and R3GAN's against NumPy; what a picture and a logit depend on; resampling and its derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from jaxart import losses, models, ops
from jaxart.models.stylegan import with_deviation

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)
GENERATORS = {
    "stylegan": models.StyleGANGenerator(size=8, channels=2, width=4, dimensions=6, classes=3),
    "r3gan": models.R3GANGenerator(size=8, channels=2, width=4, classes=3),
}
DISCRIMINATORS = {
    "stylegan": models.StyleGANDiscriminator(width=4, classes=3, group=2),
    "r3gan": models.R3GANDiscriminator(width=4, classes=3),
}
Z, LABEL = jax.random.normal(KEY, (4, 5)), jnp.int32([0, 1, 2, 0])
IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 2))


@functools.cache
def made(network):
    """Return variables in which no parameter is where training starts."""
    inputs = (IMAGES if network in DISCRIMINATORS.values() else Z, LABEL)
    variables = jax.jit(network.init)(KEY, *inputs)
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(KEY, len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, moved)


@functools.cache
def _program(network, **options):
    return jax.jit(functools.partial(network.apply, **options))


def program(network, *, train=False, **options):
    return _program(network, train=train, **options)


def styles_of(network, variables, *, train=False, **options):
    return jax.jit(functools.partial(network.apply, method="styles", train=train, **options))(variables, Z, LABEL)


# Resampling


def filtered(x, kernel, axis):
    """Correlate along an axis with four taps, the pixels at the border repeated by one and a half filters."""
    x = np.moveaxis(np.asarray(x, np.float64), axis, -1)
    padded = np.concatenate([x[..., :1], x, x[..., -1:]], -1)
    y = np.stack([(padded[..., i : i + 4] * kernel).sum(-1) for i in range(padded.shape[-1] - 3)], -1)
    return np.moveaxis(y, -1, axis)


def slow_halved(x):
    for axis in (1, 2):
        x = filtered(x, np.array([1, 3, 3, 1]) / 8, axis).take(np.arange(0, x.shape[axis], 2), axis)
    return x


def slow_doubled(x):
    """Zeros between the pixels, then the filter; at the border the pixels there once more."""
    for axis in (1, 2):
        x = np.moveaxis(np.asarray(x, np.float64), axis, -1)
        padded = np.concatenate([x[..., :1], x, x[..., -1:]], -1)
        spread = np.zeros((*padded.shape[:-1], 2 * padded.shape[-1]))
        spread[..., ::2] = padded
        kernel, count = np.array([1, 3, 3, 1]) / 4, 2 * x.shape[-1]
        y = np.stack([(spread[..., i : i + 4] * kernel).sum(-1) for i in range(count)], -1)
        x = np.moveaxis(y, -1, axis)
    return x


def test_doubling_and_halving_equal_numpy_and_are_adjoint(rng):
    x, y = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((2, 4, 6, 3), (2, 8, 12, 3)))
    up, down = jax.jit(ops.upsample_low_pass), jax.jit(ops.downsample_low_pass)
    np.testing.assert_allclose(up(x), slow_doubled(x), atol=1e-6)
    np.testing.assert_allclose(down(y), slow_halved(y), atol=1e-6)
    np.testing.assert_allclose(jnp.vdot(up(x), y), 4 * jnp.vdot(x, down(y)), rtol=1e-4)
    for each in (up, down):
        np.testing.assert_allclose(each(jnp.full((1, 4, 4, 1), 0.7)), 0.7, rtol=1e-6)
        assert each(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"downsample_low_pass: expected \[N, 2 H, 2 W, C\]"):
        down(x[:, 1:])
    with pytest.raises(ValueError, match="upsample_low_pass: expected"):
        up(x[0])


@pytest.mark.parametrize("function", [ops.upsample_low_pass, ops.downsample_low_pass])
def test_derivatives_of_resampling_are_those_of_its_matrix(function, rng):
    x = jnp.asarray(rng.standard_normal((1, 2, 4, 1)), jnp.float32)
    matrix = jax.vmap(function)(jnp.eye(8).reshape(8, 1, 2, 4, 1)).reshape(8, -1)

    def squared_gradient(f):
        return lambda x: jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(f(x)) ** 2))(x) ** 2)

    got = jax.jit(jax.grad(squared_gradient(function)))(x)
    expected = jax.jit(jax.grad(squared_gradient(lambda x: x.reshape(-1) @ matrix)))(x)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


# NumPy


def array(leaf):
    return np.asarray(leaf, np.float64)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def active(x):
    return leaky(x) * np.sqrt(2)


def unit(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)


def correlate(x, kernel):
    pad, size = kernel.shape[0] // 2, x.shape[1]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return sum(
        padded[:, a : a + size, b : b + size] @ kernel[a, b]
        for a in range(kernel.shape[0])
        for b in range(kernel.shape[1])
    )


def equalized(leaf, rate=1.0):
    kernel = array(leaf["kernel"])
    return kernel * rate / np.sqrt(kernel[..., 0].size)


def dense(x, leaf, rate=1.0):
    return x @ equalized(leaf, rate) + rate * array(leaf["bias"])


def mapped(p, x):
    for name in sorted(name for name in p if name.startswith("dense")):
        x = active(dense(x, p[name], 0.01))
    return x


def styled(p, x, w, *, demodulate=True):
    """Convolve each example with a kernel of its own."""
    rows = []
    for image, style in zip(x, dense(w, p["style"]), strict=True):
        kernel = equalized(p) * style[:, None]
        if demodulate:
            kernel = kernel / np.sqrt((kernel**2).sum((0, 1, 2)) + 1e-8)
        rows.append(correlate(image[None], kernel)[0])
    return np.stack(rows)


def slow_style_picture(variables, z, label):
    p, noise = variables["params"]["synthesis"], variables["noise"]["synthesis"]
    mapping = variables["params"]["mapping"]
    w = mapped(mapping, np.concatenate([unit(array(z)), unit(array(mapping["class"]["embedding"])[label])], 1))

    def layer(name, x):
        y = styled(p[name], x, w)
        y = slow_doubled(y) if name.startswith("up") else y
        return active(y + array(p[name]["strength"]) * array(noise[name]["pixels"]) + array(p[name]["bias"]))

    def shown(name, x):
        return styled(p[name], x, w, demodulate=False) + array(p[name]["bias"])

    x = layer("layer4", array(p["constant"]).repeat(len(w), 0))
    y = layer("layer8", layer("up8", x))
    return slow_doubled(shown("picture4", x)) + shown("picture8", y)


def slow_style_logit(variables, images, label, group=2):
    p = variables["params"]
    x = active(correlate(array(images), equalized(p["picture"])) + array(p["picture"]["bias"]))
    block = p["block4"]
    y = slow_halved(active(correlate(x, equalized(block["conv1"])) + array(block["conv1"]["bias"])))
    y = active(correlate(y, equalized(block["conv2"])) + array(block["conv2"]["bias"]))
    x = (y + correlate(slow_halved(x), equalized(block["direct"]))) / np.sqrt(2)
    deviation = np.zeros((*x.shape[:3], 1))
    for first in range(0, len(x), 2 * group):
        for kind in (0, 1):
            chosen = slice(first + kind, first + 2 * group, 2)
            deviation[chosen] = np.sqrt(x[chosen].var(0) + 1e-8).mean()
    x = active(correlate(np.concatenate([x, deviation], -1), equalized(p["conv4"])) + array(p["conv4"]["bias"]))
    x = dense(active(dense(x.reshape(len(x), -1), p["dense"])), p["logit"])
    wanted = unit(mapped(p["mapping"], unit(array(p["class"]["embedding"])[label])))
    return (x * wanted).sum(1) / np.sqrt(x.shape[1])


def stage(p, x):
    block = p["block1"]
    y = leaky(correlate(x, array(block["conv1"]["kernel"])) + array(block["conv1"]["bias"]))
    y = leaky(correlate(y, array(block["conv2"]["kernel"])) + array(block["conv2"]["bias"]))
    return x + correlate(y, array(block["conv3"]["kernel"]))


def slow_r3_picture(variables, z, label):
    p = variables["params"]
    z = np.concatenate([array(z), array(p["class"]["embedding"])[label]], 1)
    scale = z @ array(p["dense"]["kernel"]) + array(p["dense"]["bias"])
    x = stage(p["stage4"], array(p["basis"]) * scale[:, None, None])
    x = stage(p["stage8"], correlate(slow_doubled(x), array(p["direct8"]["kernel"])))
    return correlate(x, array(p["picture"]["kernel"])) + array(p["picture"]["bias"])


def slow_r3_logit(variables, images, label):
    p = variables["params"]
    x = correlate(array(images), array(p["picture"]["kernel"])) + array(p["picture"]["bias"])
    x = correlate(slow_halved(stage(p["stage8"], x)), array(p["direct4"]["kernel"]))
    features = (stage(p["stage4"], x) * array(p["basis"])).sum((1, 2))
    return (features * (array(p["logit"]["kernel"])[:, 0] + array(p["logit"]["embedding"])[label])).sum(1)


@pytest.mark.parametrize(
    ("network", "inputs", "slow"),
    [
        (GENERATORS["stylegan"], Z, slow_style_picture),
        (DISCRIMINATORS["stylegan"], IMAGES, slow_style_logit),
        (GENERATORS["r3gan"], Z, slow_r3_picture),
        (DISCRIMINATORS["r3gan"], IMAGES, slow_r3_logit),
    ],
)
def test_networks_equal_numpy(network, inputs, slow):
    """With a kernel for each example, where styles modulate it; jit and not."""
    variables = made(network)
    expected = slow(variables, inputs, LABEL)
    assert expected.std() > 0.05
    np.testing.assert_allclose(program(network)(variables, inputs, LABEL), expected, rtol=1e-4, atol=1e-4)


def test_jit_equals_eager():
    network, variables = GENERATORS["stylegan"], made(GENERATORS["stylegan"])
    eager = network.apply(variables, Z, LABEL)
    np.testing.assert_allclose(program(network)(variables, Z, LABEL), eager, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", GENERATORS)
def test_bfloat16_is_close(kind):
    for network, inputs in ((GENERATORS[kind], Z), (DISCRIMINATORS[kind], IMAGES)):
        fine, coarse = (
            program(each)(made(network), inputs, LABEL) for each in (network, network.clone(dtype=jnp.bfloat16))
        )
        assert coarse.dtype == jnp.float32
        assert 0 < float(jnp.std(coarse - fine)) < 0.1 * float(jnp.std(fine))


def test_demodulation_takes_the_scale_of_styles_away():
    network, variables = GENERATORS["stylegan"], made(GENERATORS["stylegan"])
    params = dict(variables["params"])
    layer = dict(params["synthesis"]["up8"])
    layer["style"] = jax.tree.map(lambda leaf: 7 * leaf, layer["style"])
    scaled = {**variables, "params": {**params, "synthesis": {**params["synthesis"], "up8": layer}}}
    pictures = [program(network)(each, Z, LABEL) for each in (variables, scaled)]
    np.testing.assert_allclose(pictures[1], pictures[0], rtol=1e-3, atol=1e-4)


def test_blocks_of_r3gan_begin_as_identity():
    network = GENERATORS["r3gan"]
    start = jax.jit(network.init)(KEY, Z, LABEL)
    other = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * (3 if path[-2].key in ("conv1", "conv2") else 1), start
    )
    np.testing.assert_array_equal(*(program(network)(each, Z, LABEL) for each in (start, other)))


# What a picture depends on


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", GENERATORS)
def test_a_picture_depends_on_its_latent_alone(kind, train):
    network = GENERATORS[kind]
    variables, apply = made(network), program(network, train=train)
    together = apply(variables, Z, LABEL)
    moved = apply(variables, Z.at[1:].add(1.0), LABEL)
    np.testing.assert_allclose(moved[0], together[0], rtol=1e-4, atol=1e-5)
    assert float(jnp.min(jnp.max(jnp.abs(moved - together)[1:], axis=(1, 2, 3)))) > 1e-2
    alone = apply(variables, Z[2:3], LABEL[2:3])
    np.testing.assert_allclose(alone[0], together[2], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(apply(variables, Z, LABEL), together)


def test_noise_is_stored_in_use_and_of_each_example_in_training():
    network, variables = GENERATORS["stylegan"].clone(mixing=0.0), made(GENERATORS["stylegan"])
    same = jnp.broadcast_to(Z[:1], Z.shape).at[1, 0].add(1e-6)  # nearly the same z, so other noise only
    label = jnp.zeros_like(LABEL)
    used, trained = (program(network, train=train)(variables, same, label) for train in (False, True))
    np.testing.assert_allclose(used[1], used[0], atol=1e-4)
    np.testing.assert_array_equal(trained[2], trained[0])
    assert float(jnp.std(trained[1] - trained[0])) > 0.05
    assert float(jnp.std(trained[0] - used[0])) > 0.05
    still = {**variables, "noise": jax.tree.map(jnp.zeros_like, variables["noise"])}
    assert float(jnp.std(program(network, train=False)(still, same, label) - used)) > 0.05


def test_styles_mix_from_a_random_layer_on():
    network = GENERATORS["stylegan"].clone(size=16, mixing=1.0)
    z, label = jax.random.normal(KEY, (64, 5)), jnp.zeros(64, jnp.int32)
    variables = jax.jit(functools.partial(network.init, method="styles"))(KEY, z, label)
    plain, mixed = (program(network, train=train, method="styles")(variables, z, label) for train in (False, True))
    assert plain.shape == (64, network.layers, 6) == (64, 6, 6)
    np.testing.assert_array_equal(plain, jnp.broadcast_to(plain[:, :1], plain.shape))
    kept = np.asarray(jnp.all(mixed == plain, axis=-1))
    places = kept.sum(1)
    np.testing.assert_array_equal(
        kept, np.arange(6) < places[:, None]
    )  # kept up to a place, another's style from there
    assert set(places) == set(range(1, 6))
    rest = np.asarray(mixed[:, -1])
    assert len(np.unique(rest.round(5), axis=0)) == 64  # each from a latent of its own
    sometimes = program(network.clone(mixing=0.5), train=True, method="styles")(variables, z, label)
    assert 16 < int(jnp.sum(jnp.all(sometimes == plain, axis=(1, 2)))) < 48


def test_styles_are_truncated_toward_their_average_and_painted():
    network, variables = GENERATORS["stylegan"], made(GENERATORS["stylegan"])
    w, average = styles_of(network, variables), variables["average"]["w"]
    none = styles_of(network, variables, truncation=0.0)
    np.testing.assert_allclose(none, jnp.broadcast_to(average.reshape(1, 1, -1), w.shape), atol=1e-6)
    half = models.truncated(w, average, amount=0.5, layers=2)
    np.testing.assert_allclose(half[:, :2], (np.asarray(w) + np.asarray(average))[:, :2] / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(half[:, 2:], w[:, 2:])
    np.testing.assert_allclose(
        jax.jit(functools.partial(network.apply, method="paint"))(variables, w),
        program(network)(variables, Z, LABEL),
        atol=1e-5,
    )
    with pytest.raises(ValueError, match=r"expected styles \[B, 4, 6\], got shape \(4, 6\)"):
        network.apply(variables, w[:, 0], method="paint")


def test_the_average_of_styles_moves_in_training_only():
    network, variables = GENERATORS["stylegan"], made(GENERATORS["stylegan"])
    w = styles_of(network, variables)[:, 0]
    before = variables["average"]["w"]
    for train in (False, True):
        moves = program(network, train=train, mutable=("average", "noise"), method="styles")
        _, after = moves(variables, Z, LABEL)
        expected = 0.995 * before + 0.005 * jnp.mean(w, 0) if train else before
        np.testing.assert_allclose(after["average"]["w"], expected, rtol=1e-6)
    started = jax.jit(functools.partial(network.init, train=True, method="styles"))(KEY, Z, LABEL)
    np.testing.assert_array_equal(started["average"]["w"], 0)


def test_devices_do_not_change_the_batch():
    """The gradient, the average and the pictures of a batch at once equal those of its halves on two devices."""
    generator = GENERATORS["stylegan"]
    variables = made(generator)

    def step(network, variables, z, label):
        def objective(params):
            images, new = network.apply({**variables, "params": params}, z, label, train=True, mutable=["average"])
            return jnp.mean(jnp.sin(images)), (new, images)

        gradient, (new, images) = jax.grad(objective, has_aux=True)(variables["params"])
        return jax.lax.pmean(gradient, "devices") if network.axis_name else gradient, new, images

    z, label = jnp.concatenate([Z, Z + 1]), jnp.concatenate([LABEL, LABEL])
    rows, whole = PartitionSpec("devices"), PartitionSpec()
    split = jax.shard_map(
        functools.partial(step, generator.clone(axis_name="devices")), mesh=Mesh(np.array(jax.devices()[:2]), ("devices",)),
        in_specs=(whole, rows, rows), out_specs=(whole, whole, rows), check_vma=False,
    )  # fmt: skip
    expected, got = (
        jax.jit(functools.partial(step, generator))(variables, z, label),
        jax.jit(split)(variables, z, label),
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), got, expected)


# What a logit depends on


@pytest.mark.parametrize(
    ("count", "group", "members"), [(8, 2, 2), (12, 4, 3), (2, 4, 1), (3, 4, 3), (5, 4, 1), (1, 4, 1)]
)
def test_groups_take_every_second_example(count, group, members, rng):
    x = rng.standard_normal((count, 2, 2, 3)).astype(np.float32)
    kinds = 1 if count % 2 else 2
    expected = np.zeros(count)
    for first in range(0, count, kinds * members):
        for kind in range(kinds):
            chosen = slice(first + kind, first + kinds * members, kinds)
            expected[chosen] = np.sqrt(x[chosen].astype(np.float64).var(0) + 1e-8).mean()
    y = with_deviation(jnp.asarray(x), group=group)
    np.testing.assert_array_equal(y[..., :3], x)
    np.testing.assert_allclose(y[..., 3], np.broadcast_to(expected[:, None, None], (count, 2, 2)), rtol=1e-4)


def test_groups_never_hold_both_reals_and_fakes():
    network, variables = DISCRIMINATORS["stylegan"], made(DISCRIMINATORS["stylegan"])
    both, label = losses.interleave(IMAGES, IMAGES[::-1] + 1), losses.interleave(LABEL, LABEL)
    before, after = (program(network)(variables, x, label) for x in (both, both.at[1].multiply(-2.0)))
    moved = np.abs(np.asarray(after - before)) > 1e-4
    np.testing.assert_array_equal(moved, [False, True, False, True, False, False, False, False])


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_the_derivative_of_r1_equals_differences(kind):
    network, variables = DISCRIMINATORS[kind], made(DISCRIMINATORS[kind])

    @jax.jit
    def penalty(variables):
        judge = functools.partial(network.apply, variables, label=LABEL)
        return jnp.mean(losses.gradient_norm_penalty(judge, IMAGES))

    gradient = jax.jit(jax.grad(penalty))(variables)
    length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    moved = [jax.tree.map(lambda a, b, s=s: a + s / length * b, variables, gradient) for s in (3e-4, -3e-4)]
    assert float(penalty(variables)) > 0.01
    np.testing.assert_allclose((penalty(moved[0]) - penalty(moved[1])) / 6e-4, length, rtol=0.01)


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (models.StyleGANGenerator(size=48), (Z,), "power of two of at least 8, got 48"),
        (models.R3GANGenerator(size=4), (Z,), "power of two of at least 8, got 4"),
        (models.StyleGANGenerator(), (Z[None],), r"latent vectors \[B, L\], got shape \(1, 4, 5\)"),
        (models.R3GANGenerator(), (Z[None],), "latent vectors"),
        (models.StyleGANGenerator(classes=3), (Z,), r"expected a label \[B\] below 3"),
        (models.StyleGANDiscriminator(), (jnp.zeros((2, 8, 16, 3)),), "square pictures"),
        (models.R3GANDiscriminator(), (jnp.zeros((2, 28, 28, 1)),), "got 28. Resize or pad"),
        (
            models.StyleGANDiscriminator(classes=3, width=1),
            (jnp.zeros((2, 8, 8, 3)),),
            r"expected a label \[B\] below 3",
        ),
    ],
)
def test_bad_arguments_say_what_was_expected(network, inputs, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, KEY, *inputs)


@pytest.mark.parametrize("size", [8, 64])
def test_any_power_of_two_is_made_and_judged(size):
    for generator, discriminator in (
        (models.StyleGANGenerator(size=size, width=8), models.StyleGANDiscriminator(width=8)),
        (models.R3GANGenerator(size=size, width=8, blocks=2), models.R3GANDiscriminator(width=8, blocks=2)),
    ):
        images = jax.eval_shape(lambda z, g=generator: g.init_with_output(KEY, z, train=True)[0], Z)
        assert (images.shape, images.dtype) == ((4, size, size, 3), jnp.float32)
        logits = jax.eval_shape(lambda x, d=discriminator: d.init_with_output(KEY, x)[0], images)
        assert (logits.shape, logits.dtype) == ((4,), jnp.float32)
