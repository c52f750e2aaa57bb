"""Translation between two sets of pictures, written from public pieces alone: CycleGAN (Zhu et al. 2017) as one recipe."""

import itertools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart.losses import LEAST_SQUARES, deinterleave, interleave
from jaxart.models import Convolution
from jaxart.training import Checkpoints, Recipe, apply_train, fit, gradient_update, image_pool, query_pool

KEY, SHAPE, ADAM = jax.random.key(7), (8, 8, 3), optax.adam(5e-3, b1=0.5)


class Translator(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return x + Convolution(3, name="out")(jax.nn.relu(Convolution(8, name="in")(x)))


class Patches(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):  # [B, 8, 8, 3] -> [B, 4, 4, 1]
        x = jax.nn.leaky_relu(Convolution(8, kernel_size=4, stride=2, spectral=True, name="in")(x, train=train), 0.2)
        return Convolution(1, name="logits")(x)


class State(NamedTuple):
    step: jax.Array
    translators: Any  # params of a to b, b to a
    discriminators: Any  # variables, of the pictures of b, of a
    opt_states: Any
    pools: Any


class Info(NamedTuple):
    translators: jax.Array
    discriminators: jax.Array
    cycle: jax.Array


def distance(x, y):
    return jnp.mean(jnp.abs(x - y))


def cyclegan(translator, discriminator, optimizer, *, cycle=5.0, identity=1.0, pool=20):
    def init(key):
        x, keys = jnp.zeros((2, *SHAPE)), jax.random.split(key, 4)
        translators = tuple(translator.init(each, x, train=True)["params"] for each in keys[:2])
        judges = tuple(discriminator.init(each, x, train=True) for each in keys[2:])
        opt_states = optimizer.init(translators), tuple(optimizer.init(each["params"]) for each in judges)
        return State(jnp.int32(0), translators, judges, opt_states, tuple(image_pool(pool, SHAPE) for _ in judges))

    def step(key, state, batch, frozen):
        targets = batch["b"], batch["a"]

        def objective(params):
            to_b, to_a = (lambda x, p=p: translator.apply({"params": p}, x, train=True) for p in params)
            fakes = to_b(batch["a"]), to_a(batch["b"])
            logits = [discriminator.apply(*pair, train=False) for pair in zip(state.discriminators, fakes, strict=True)]
            adversarial = sum(jnp.mean(LEAST_SQUARES.generator(each, each)) for each in logits)
            back = distance(to_a(fakes[0]), batch["a"]) + distance(to_b(fakes[1]), batch["b"])
            same = distance(to_b(batch["b"]), batch["b"]) + distance(to_a(batch["a"]), batch["a"])
            return adversarial + cycle * back + identity * same, (fakes, back)

        made = gradient_update(objective, optimizer, state.translators, state.opt_states[0])
        judges, opt_states, pools, told = [], [], [], jnp.float32(0)
        for index, (variables, real) in enumerate(zip(state.discriminators, targets, strict=True)):
            fake, drawn = query_pool(jax.random.fold_in(key, index), state.pools[index], made.aux[0][index])

            def judged(params, variables=variables, real=real, fake=fake):
                logits, new = apply_train(discriminator, {**variables, "params": params}, interleave(real, fake))
                return jnp.mean(LEAST_SQUARES.discriminator(*deinterleave(logits))) / 2, new

            done = gradient_update(judged, optimizer, variables["params"], state.opt_states[1][index])
            judges.append({**done.aux, "params": done.params})
            opt_states.append(done.opt_state)
            pools.append(drawn)
            told += done.loss
        opt_states = made.opt_state, tuple(opt_states)
        state = State(state.step + 1, made.params, tuple(judges), opt_states, tuple(pools))
        return state, Info(made.loss, told, made.aux[1])

    return Recipe(init, step)


def dark_and_bright(first):
    """Yield pictures in [-1, 1]: a is dark with a bright column, b bright and red."""
    for number in itertools.count(first):
        rng = np.random.default_rng(number)
        a, b = rng.normal(-0.5, 0.1, (2, 16, *SHAPE)).astype(np.float32)
        for image, column in zip((*a, *b), rng.integers(0, 8, 32), strict=True):
            image[:, column] += 0.4
        yield {"a": a, "b": b + np.float32([0.9, 0.5, 0.5])}


RECIPE = cyclegan(Translator(), Patches(), ADAM)


def train(steps, state=None):
    return fit(RECIPE, dark_and_bright, key=KEY, steps=steps, state=state, batches_per_call=10, every=50)


def test_it_learns_to_translate_and_keeps_what_is_in_the_picture():
    state, info = train(200)
    batch = next(dark_and_bright(5000))
    made = [
        np.asarray(Translator().apply({"params": params}, batch[name], train=False))
        for params, name in zip(state.translators, "ab", strict=True)
    ]
    for fake, source, target in zip(made, "ab", "ba", strict=True):
        before = np.abs(batch[source].mean((0, 1, 2)) - batch[target].mean((0, 1, 2)))
        after = np.abs(fake.mean((0, 1, 2)) - batch[target].mean((0, 1, 2)))
        assert (after < 0.3 * before).all()
        columns = (fake.mean((1, 3)).argmax(1), batch[source].mean((1, 3)).argmax(1))
        assert np.mean(columns[0] == columns[1]) > 0.9
    assert float(info.cycle) < 0.3


def test_it_resumes_with_the_same_bits_pools_included(tmp_path):
    expected, _ = train(5)
    half, _ = train(3)
    kept = Checkpoints(tmp_path)
    kept.save(3, half, {})
    restored = kept.restore(3, jax.eval_shape(RECIPE.init, KEY))
    kept.close()
    state, _ = train(5, restored)
    jax.tree.map(np.testing.assert_array_equal, state, expected)
    assert [int(pool.count) for pool in state.pools] == [20, 20]
    assert not np.array_equal(half.pools[0].images, state.pools[0].images)
