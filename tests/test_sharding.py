"""One step, four ways: a single device, the global view, shard_map and pmap give the same gradients."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import data, losses, models, training
from jaxart.tasks import generate
from jaxart.training import AXIS, by_pmap, by_shard_map, data_mesh, example_keys, fit, shard_batch

# Second derivatives magnify the kernel's rounding; tests/test_native.py divides its convolutions over devices.
pytestmark = pytest.mark.usefixtures("pure_jax")

KEY = jax.random.key(5)
FIRST = jax.random.fold_in(KEY, 0)  # the key of the first step of `fit`
SGD = optax.sgd(0.1)


def batches(first, size=32):
    for number in itertools.count(first):
        rng = np.random.default_rng([1, number])
        yield {
            "image": rng.integers(0, 255, (size, 8, 8, 1), np.uint8),
            "label": rng.integers(0, 3, size).astype(np.int32),
        }


def adversarial(axis_name=None) -> training.Recipe:
    """Batch statistics, spectral norms, classes, a penalty, augmentation: all that could depend on devices."""
    return generate.gan(
        models.DCGANGenerator(size=8, channels=1, width=8, classes=3, axis_name=axis_name),
        models.SNGANDiscriminator(width=8, classes=3),
        shape=(8, 8, 1),
        latent=8,
        loss=losses.RELATIVISTIC,
        r1=0.1,
        generator_optimizer=SGD,
        discriminator_optimizer=SGD,
        augment=DIFF_AUGMENT,
        axis_name=axis_name,
    )


DIFF_AUGMENT = functools.partial(data.diff_augment, policy=("color", "translation", "cutout"))


def variational(axis_name=None) -> training.Recipe:
    network = {"width": 4, "classes": 3}
    encoder, decoder = models.VAEEncoder(latent=4, **network), models.VAEDecoder(size=8, channels=1, **network)
    return generate.vae(encoder, decoder, shape=(8, 8, 1), latent=4, optimizer=optax.sgd(1e-4), axis_name=axis_name)


def flowing(axis_name=None) -> training.Recipe:
    """A flow with classes that are left out now and then, begun without zeros, so that every gradient counts."""
    network = models.VelocityNet(width=4, factors=(1, 2), classes=3)
    options = {"shape": (8, 8, 1), "classes": 3, "drop_class": 0.5, "optimizer": SGD, "axis_name": axis_name}
    recipe = generate.flow(network, **options)

    def init(key):
        state = recipe.init(key)
        return state._replace(params=jax.tree.map(lambda leaf: leaf + 0.1, state.params))

    return recipe._replace(init=init)


def step_of(recipe: training.Recipe):
    return recipe.lazy[0][1] if recipe.lazy else recipe.step


@pytest.fixture(scope="module", params=[adversarial, variational, flowing])
def single(request):
    """A recipe's maker, a state, and that state after one step on one device."""
    recipe = request.param()
    state = jax.jit(recipe.init)(KEY)
    return request.param, state, fit(recipe, batches, key=KEY, steps=1, state=state)


def assert_same_step(given, mine, expected):
    """Compare what one step of SGD changed, that is the gradients, relative to the largest change of each array."""
    for start, a, b in zip(*map(jax.tree.leaves, (given, mine, expected)), strict=True):
        change = np.asarray(a, np.float64) - np.asarray(start), np.asarray(b, np.float64) - np.asarray(start)
        np.testing.assert_allclose(change[0], change[1], rtol=0, atol=2e-4 * np.abs(change[1]).max() + 1e-6)


# The adversarial step takes half a minute to compile; 8 devices show it.
@pytest.mark.parametrize(
    ("single", "count"),
    [(adversarial, 8), (variational, 2), (variational, 4), (variational, 8), (flowing, 2), (flowing, 8)],
    indirect=["single"],
)
def test_the_global_view_equals_one_device(single, count):
    make, state, alone = single
    sharded = fit(make(), batches, key=KEY, steps=1, state=state, mesh=data_mesh(jax.devices()[:count]))
    assert_same_step(state, sharded[0], alone[0])
    for mine, expected in zip(sharded[1], alone[1], strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=1e-5)


def test_shard_map_equals_one_device(single):
    make, state, alone = single
    step = by_shard_map(step_of(make(AXIS)), data_mesh(jax.devices()[:4]))
    assert_same_step(state, jax.jit(step)(FIRST, state, next(batches(0)), None)[0], alone[0])


def test_pmap_equals_one_device(single):
    make, state, alone = single
    step = by_pmap(step_of(make(AXIS)), devices=jax.devices()[:4])
    assert_same_step(state, step(FIRST, state, next(batches(0)), None)[0], alone[0])


def test_fit_runs_a_step_per_device_too():
    mesh, recipe = data_mesh(jax.devices()[:2]), variational(AXIS)
    state = jax.jit(recipe.init)(KEY)
    per_device = training.Recipe(recipe.init, by_shard_map(recipe.step, mesh))
    mine, _ = fit(per_device, batches, key=KEY, steps=1, state=state, mesh=mesh)
    alone, _ = fit(variational(), batches, key=KEY, steps=1, state=state)
    assert_same_step(state, mine, alone)


def test_two_hundred_steps_on_eight_devices_end_with_the_same_loss():
    network = (models.MLPGenerator(width=16), models.MLPDiscriminator(width=16))
    recipe = generate.gan(*network, shape=(2,), latent=2, r1=0.1, r2=0.1, discriminator_steps=2)

    def points(first):
        for number in itertools.count(first):
            rng = np.random.default_rng(number)
            yield {"image": rng.standard_normal((32, 2)).astype(np.float32), "label": np.zeros(32, np.int32)}

    told = [
        fit(recipe, points, key=KEY, steps=200, mesh=mesh, batches_per_call=50, every=50)[1].discriminator
        for mesh in (None, data_mesh())
    ]
    assert float(told[1]) == pytest.approx(float(told[0]), abs=1e-3)


def test_examples_draw_from_their_number_in_the_global_batch():
    mesh = data_mesh(jax.devices()[:4])

    def draw(keys_of):
        return jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys_of)

    whole = draw(example_keys(KEY, 8))
    spec = jax.sharding.PartitionSpec
    part = jax.shard_map(
        lambda _: draw(example_keys(KEY, 2, axis_name=AXIS)), mesh=mesh, in_specs=spec(AXIS), out_specs=spec(AXIS), check_vma=False
    )  # fmt: skip
    np.testing.assert_array_equal(part(jnp.zeros(4)), whole)
    assert len(np.unique(np.asarray(whole))) == 24


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="a batch of 9 does not divide among 8 devices: take a multiple of 8"):
        shard_batch(np.zeros((9, 2)), data_mesh())
    step = by_pmap(lambda key, state, batch, frozen: (state, batch))
    with pytest.raises(ValueError, match="a batch of 9 does not divide"):
        step(KEY, jnp.zeros(()), np.zeros((9, 2)), None)


def test_the_sharded_program_only_reduces():
    recipe, mesh = adversarial()._replace(lazy=()), data_mesh()
    stack = jax.tree.map(lambda leaf: leaf[None], next(batches(0)))
    state = jax.eval_shape(recipe.init, KEY)
    text = training.compile_steps(recipe, key=KEY, state=state, batches=stack, mesh=mesh).as_text()
    assert "all-reduce" in text
    assert "all-to-all" not in text
    assert "all-gather" not in text
    per_device = re.findall(r"f32\[(\d+),8,8,\d+\]", text)  # pictures and features at full size
    assert per_device
    assert max(map(int, per_device)) <= 2 * 32 // 8  # reals and fakes of this device, never the whole batch
