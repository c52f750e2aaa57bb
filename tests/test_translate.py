"""Translation between two sets of pictures: networks, losses, recipes, tiles, the kind of run and its command."""

import dataclasses
import functools
import itertools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import data, io, losses, metrics, models, runs, weights
from jaxart.runs import shared
from jaxart.runs import translate as kind
from jaxart.tasks import generate
from jaxart.tasks import translate as task
from jaxart.tasks.translate import adversary, apply, contrastive, latent, paired
from jaxart.training import AXIS, by_shard_map, data_mesh, fit, image_pool, query_pool

KEY, SHAPE, SGD = jax.random.key(3), (8, 8, 3), optax.sgd(0.01)
NETWORK = models.Translator(width=2, blocks=0)
JUDGE = models.PatchDiscriminator(width=2, halvings=1)
HEADS = models.PatchHeads(8)


class Small(nn.Module):
    """A translator that compiles in a third of the time."""

    @nn.compact
    def __call__(self, x):
        return jnp.tanh(models.Convolution(3, name="last")(jax.nn.relu(models.Convolution(4, name="first")(x))))


def pictures(first):
    """Yield batches of eight pictures of two sets in [0, 1], dark ones and bright ones."""
    for number in itertools.count(first):
        drawn = np.random.default_rng(number).random((2, 8, *SHAPE), np.float32) / 2
        yield {"a": drawn[0], "b": drawn[1] + np.float32(0.5)}


def flipped(keys, images):
    return data.augment(keys, images, (data.horizontal_flip,))


def cyclegan(axis_name=None):
    return task.cyclegan(
        Small(), JUDGE, shape=SHAPE, pool=5, translator_optimizer=SGD, discriminator_optimizer=SGD, axis_name=axis_name
    )


@pytest.fixture(scope="module")
def variables():
    """A translator whose scales and shifts differ, as after training."""
    found = NETWORK.init(KEY, jnp.zeros((1, *SHAPE)))
    assert set(found) == {"params"}
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.2, leaf.shape).astype(np.float32), found)


# The networks


def test_the_norm_is_that_of_its_definition(rng):
    x = rng.normal(2, 3, (2, 6, 5, 4)).astype(np.float32)
    params = {name: rng.normal(0, 1, 4).astype(np.float32) for name in ("scale", "shift")}
    found = jax.jit(models.translator.ChannelNorm().apply)({"params": params}, x)
    unit = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, unit * params["scale"] + params["shift"], atol=1e-4)


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_part_with_the_halo_and_the_whole_statistics_is_that_part_of_the_picture(blocks, rng):
    network, image = NETWORK.clone(blocks=blocks), jnp.asarray(rng.random((1, 96, 12, 3), np.float32))
    variables = network.init(KEY, image[:, :8, :8])
    variables = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.2, leaf.shape).astype(np.float32), variables)
    whole, found = jax.jit(lambda v, x: network.apply(v, x, mutable=["statistics"]))(variables, image)
    assert len(jax.tree.leaves(found)) == 2 * (5 + 2 * blocks)
    window = slice(40 - network.halo, 48 + network.halo)
    part = jax.jit(network.apply)({**variables, **found}, image[:, window])
    np.testing.assert_allclose(part[:, network.halo : -network.halo], whole[:, 40:48], atol=1e-5)
    assert network.halo % network.stride == 0
    beyond = jnp.abs(part - whole[:, window])[:, : network.halo - network.stride]
    assert float(beyond.max()) > 1e-5  # less would not have been enough


@pytest.mark.parametrize("size", [(10, 7), (1, 5)])
def test_any_size_comes_out_as_it_went_in(size, variables, rng):
    image = jnp.asarray(rng.random((1, *size, 3), np.float32))
    apply_network = jax.jit(NETWORK.apply)
    made = apply_network(variables, image)
    assert (made.shape, made.dtype) == (image.shape, jnp.float32)
    assert float(jnp.abs(made).max()) <= 1
    continued = jnp.pad(image, ((0, 0), (0, -size[0] % 4), (0, -size[1] % 4), (0, 0)), mode="edge")
    np.testing.assert_array_equal(apply_network(variables, continued)[:, : size[0], : size[1]], made)


@pytest.mark.parametrize(("halvings", "field"), [(3, 70), (1, 16)])
def test_a_logit_looks_at_a_patch_of_the_papers_size(halvings, field):
    judge = models.PatchDiscriminator(width=1, halvings=halvings, norm="spectral")
    picture = jnp.asarray(np.random.default_rng(0).random((1, 96, 96, 1), np.float32))
    variables = jax.tree.map(lambda leaf: jnp.abs(leaf) + 0.01, jax.jit(judge.init)(KEY, picture))
    place = 48 >> halvings
    one = lambda x: judge.apply(variables, x, train=False)[0, place, place, 0]  # noqa: E731
    rows = np.flatnonzero(np.abs(jax.jit(jax.grad(one))(picture)).max((0, 2, 3)))
    assert rows[-1] - rows[0] + 1 == field


def test_the_discriminators_normalize_features_or_kernels():
    picture = jnp.zeros((2, *SHAPE))
    instance, spectral = (
        jax.eval_shape(JUDGE.clone(norm=norm).init, KEY, picture) for norm in ("instance", "spectral")
    )
    assert set(instance) == {"params"}
    assert set(instance["params"]) == {"convolution1", "convolution2", "norm2", "logits"}
    assert set(instance["params"]["convolution2"]) == {"kernel"}  # the normalization would subtract a bias again
    assert set(spectral) == {"params", "spectral"}
    assert set(spectral["params"]["convolution2"]) == {"kernel", "bias"}


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (NETWORK, (8, 8, 3), "expected pictures"),
        (NETWORK.clone(width=0), (1, 8, 8, 3), "sizes of at least 1"),
        (NETWORK.clone(blocks=-1), (1, 8, 8, 3), "blocks of at least 0"),
        (JUDGE, (1, 8, 3, 3), "4 pixels or more"),
        (JUDGE.clone(halvings=0), (1, 8, 8, 3), "sizes of at least 1"),
        (JUDGE.clone(norm="batch"), (1, 8, 8, 3), "instance or spectral"),
    ],
)
def test_networks_that_cannot_be_are_refused(network, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, KEY, jnp.zeros(shape))


# The contrast


def slow_contrast(queries, keys, temperature):
    total = 0.0
    for i, query in enumerate(queries.astype(np.float64)):
        length = np.linalg.norm(query) * np.linalg.norm(keys, axis=1)
        cosines = keys.astype(np.float64) @ query / np.maximum(length, 1e-6) / temperature
        total += np.log(np.exp(cosines).sum()) - cosines[i]
    return total / len(queries)


@pytest.mark.usefixtures("strict")
def test_the_contrast_is_that_of_its_formula(rng):
    queries, keys = rng.normal(0, 1, (2, 3, 6, 5)).astype(np.float32)
    expected = [slow_contrast(*pair, 0.3) for pair in zip(queries, keys, strict=True)]
    np.testing.assert_allclose(losses.patch_contrast(queries, keys, temperature=0.3), expected, rtol=1e-5)
    gradient = jax.grad(lambda x: losses.patch_contrast(x, x))(jnp.zeros((3, 2)))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(
        losses.patch_contrast(10 * jnp.eye(4), jnp.eye(4)), np.log1p(3 * np.exp(-1 / 0.07)), atol=1e-6
    )


def test_a_contrast_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        losses.patch_contrast(jnp.ones((4, 2)), jnp.ones((3, 2)))
    with pytest.raises(ValueError, match="temperature above 0"):
        losses.patch_contrast(jnp.ones((4, 2)), jnp.ones((4, 2)), temperature=0)


# The recipes


@pytest.fixture(scope="module")
def single():
    """A recipe, a state, and that state and what was told after one step on one device."""
    recipe = cyclegan()
    state = jax.jit(recipe.init)(KEY)
    return recipe, state, fit(recipe, pictures, key=KEY, steps=1, state=state)


def assert_same_step(given, mine, expected):
    """Compare what one step of SGD changed, that is the gradients, relative to the largest change of each array."""
    for start, a, b in zip(*map(jax.tree.leaves, (given, mine, expected)), strict=True):
        change = np.asarray(a, np.float64) - np.asarray(start), np.asarray(b, np.float64) - np.asarray(start)
        np.testing.assert_allclose(change[0], change[1], rtol=0, atol=2e-3 * np.abs(change[1]).max() + 1e-6)


def test_devices_do_not_change_the_gradients(single):
    recipe, state, alone = single
    mine = fit(recipe, pictures, key=KEY, steps=1, state=state, mesh=data_mesh(jax.devices()))
    assert_same_step(state, mine[0], alone[0])


def test_a_step_per_device_gathers_the_pools(single):
    _, state, alone = single
    step = by_shard_map(cyclegan(AXIS).step, data_mesh(jax.devices()[:2]))
    mine = jax.jit(step)(jax.random.fold_in(KEY, 0), state, next(pictures(0)), None)
    assert_same_step(state, mine[0], alone[0])


def test_the_places_of_a_picture_do_not_depend_on_its_device():
    features, mesh = jnp.zeros((4, 4, 4, 1)), data_mesh(jax.devices()[:2])
    game = cyclegan().init.args[0]
    split = jax.sharding.PartitionSpec(AXIS)
    place = lambda game: lambda x: contrastive._places(game, 5, KEY, x)  # noqa: E731
    mapped = jax.shard_map(place(game._replace(axis_name=AXIS)), mesh=mesh, in_specs=split, out_specs=split)
    found = np.asarray(place(game)(features))
    np.testing.assert_array_equal(jax.jit(mapped)(features), found)
    assert [len(set(row)) for row in found.tolist()] == [5] * 4
    assert len(np.unique(found, axis=0)) > 1
    picked = contrastive._at(jnp.arange(4 * 16.0).reshape(4, 4, 4, 1), found)[..., 0]
    np.testing.assert_array_equal(picked, found + 16 * np.arange(4)[:, None])


def plain_terms(state, pools, batch):
    """Return the terms of CycleGAN written out, each picture through its own network, and what the discriminators are shown."""
    a, b = 2 * batch["a"] - 1, 2 * batch["b"] - 1
    run = lambda name, x: Small().apply({"params": state.params[name]}, x)  # noqa: E731
    judge = lambda name, x: JUDGE.apply(state.discriminators[name], x)  # noqa: E731
    fakes = {"a": run("to_a", b), "b": run("to_b", a)}
    gap = lambda x, y: jnp.abs(x - y).mean()  # noqa: E731
    adversarial = sum(((judge(name, x) - 1) ** 2).mean() for name, x in fakes.items())
    cycle = 10 * (gap(run("to_a", fakes["b"]), a) + gap(run("to_b", fakes["a"]), b))
    identity = 5 * (gap(run("to_b", b), b) + gap(run("to_a", a), a))
    shown = {name: jnp.where(pools[name][:, None, None, None] < 0, x, x[pools[name]]) for name, x in fakes.items()}
    judged = sum(
        ((judge(name, real) - 1) ** 2).mean() / 2 + (judge(name, shown[name]) ** 2).mean() / 2
        for name, real in (("a", a), ("b", b))
    )
    return {"adversarial": adversarial, "cycle": cycle, "identity": identity, "discriminator": judged}


def drawn(key):
    """Return which of a batch of eight an empty pool of five gives back at each place: its number, or -1 for the new one."""
    numbers, _ = query_pool(key, image_pool(5, ()), jnp.arange(8, dtype=jnp.float32))
    return jnp.where(numbers == jnp.arange(8), -1, numbers).astype(jnp.int32)


def test_the_terms_of_the_cycle_are_those_of_the_paper(single):
    _, state, (after, told) = single
    _, *keys = jax.random.split(jax.random.fold_in(KEY, 0), 3)
    pools = {name: drawn(key) for name, key in zip(("a", "b"), keys, strict=True)}
    assert any(int(rows.max()) >= 0 for rows in pools.values())  # an older one is shown again
    for name, value in jax.jit(plain_terms)(state, pools, next(pictures(0))).items():
        np.testing.assert_allclose(getattr(told, name), value, rtol=1e-5)
    np.testing.assert_allclose(told.loss, told.adversarial + told.cycle + told.identity, rtol=1e-6)
    assert [int(pool.count) for pool in after.pools.values()] == [5, 5]
    assert float(after.images) == 8


def test_the_terms_of_the_contrast_are_those_of_all_places():
    recipe = task.cut(NETWORK, JUDGE, shape=SHAPE, patches=64, heads=HEADS)  # as many as there are, or more
    state, batch = jax.jit(recipe.init)(KEY), next(pictures(0))
    a, b = 2 * batch["a"] - 1, 2 * batch["b"] - 1
    layers = task.contrast_layers(0)
    assert layers == ("image", "down1", "down2")
    game, contrast = recipe.init.args[:2]
    objective = functools.partial(contrastive._objective, game, contrast, KEY, state, a, b)
    _, (told, _) = jax.jit(objective)(state.params)
    features = jax.jit(lambda x: NETWORK.apply({"params": state.params["to_b"]}, x, method="features"))
    heads = jax.jit(lambda x: HEADS.apply({"params": state.params["heads"]}, x))
    for name, source in (("contrast", a), ("identity", b)):
        before = features(source)
        flat = [
            heads({layer: found[layer].reshape(8, -1, found[layer].shape[-1]) for layer in layers})
            for found in (features(before["picture"]), before)
        ]
        each = [
            np.mean([slow_contrast(np.asarray(q), np.asarray(k), 0.07) for q, k in zip(*pair, strict=True)])
            for pair in ((flat[0][layer], flat[1][layer]) for layer in layers)
        ]
        np.testing.assert_allclose(told[name], np.mean(each) / 2, rtol=1e-3)


def test_a_pair_is_judged_with_what_it_was_made_from_and_mirrored_alike():
    recipe = task.pix2pix(NETWORK, JUDGE, shape=SHAPE, pixel_weight=3.0, transform=flipped)
    state, batch, game = jax.jit(recipe.init)(KEY), next(pictures(0)), recipe.init.args[0]
    assert state.discriminators["b"]["params"]["convolution1"]["kernel"].shape == (4, 4, 6, 2)
    a, b = adversary.seen(game, KEY, batch, alike=True)
    mirrored = [np.allclose(x, 2 * given[:, ::-1] - 1) for x, given in zip(a, batch["a"], strict=True)]
    assert mirrored == [np.allclose(x, 2 * given[:, ::-1] - 1) for x, given in zip(b, batch["b"], strict=True)]
    assert 0 < sum(mirrored) < 8
    _, (told, fake) = jax.jit(functools.partial(paired._objective, game, 3.0, state, a, b))(state.params)
    np.testing.assert_allclose(fake, jax.jit(NETWORK.apply)({"params": state.params["to_b"]}, a), atol=1e-5)
    said = jax.jit(JUDGE.apply)(state.discriminators["b"], jnp.concatenate([a, fake], axis=-1))
    np.testing.assert_allclose(told["adversarial"], np.log1p(np.exp(-np.asarray(said))).mean(), rtol=1e-5)
    np.testing.assert_allclose(told["pixels"], 3 * np.abs(fake - b).mean(), rtol=1e-5)


def test_each_decoder_draws_what_both_encoders_found(monkeypatch):
    network = NETWORK.clone(blocks=1)
    recipe = task.cyclic_vae(network, JUDGE, shape=SHAPE, cycle_weight=7.0, divergence_weight=0.5)
    state, batch, game = jax.jit(recipe.init)(KEY), next(pictures(0)), recipe.init.args[0]
    noisy = np.asarray(latent._noisy(game, KEY, 0, jnp.ones((8, 16, 16, 4))))
    assert abs(noisy.mean() - 1) < 0.05
    assert abs(noisy.std() - 1) < 0.05
    assert len({row.tobytes() for row in noisy}) == 8
    monkeypatch.setattr(latent, "_noisy", lambda game, key, turn, mean: mean)
    real = {name: 2 * x - 1 for name, x in batch.items()}
    weights = latent._Weights(10.0, 7.0, 0.5)
    _, (told, fakes) = jax.jit(functools.partial(latent._objective, game, weights, KEY, state, real))(state.params)
    run = jax.jit(lambda params, x: network.apply({"params": params}, x, method="features"))
    found = {pair: run(latent._between(state.params, *pair), real[pair[0]]) for pair in ("aa", "bb", "ab", "ba")}
    back = {pair: run(latent._between(state.params, *pair[::-1]), found[pair]["picture"]) for pair in ("ab", "ba")}
    for pair in ("ab", "ba"):
        np.testing.assert_allclose(fakes[pair[1]], found[pair]["picture"], atol=1e-5)
        for name in ("first", "block_0", "last"):  # what is averaged is what translates
            params = latent._between(state.params, *pair)[name]
            jax.tree.map(np.testing.assert_array_equal, state.average[f"to_{pair[1]}"][name], params)
    gap = lambda made: np.mean([np.abs(x - real[name]).mean() for name, x in made.items()]) * 2  # noqa: E731
    np.testing.assert_allclose(
        told["reconstruction"], 10 * gap({name: found[2 * name]["picture"] for name in "ab"}), rtol=1e-5
    )
    np.testing.assert_allclose(told["cycle"], 7 * gap({pair[0]: back[pair]["picture"] for pair in back}), rtol=1e-5)
    squares = [np.square(x["block1"]).mean() for x in (found["aa"], found["bb"], *back.values())]
    np.testing.assert_allclose(told["divergence"], 0.5 * np.sum(squares), rtol=1e-5)


def test_numbers_that_cannot_serve_are_refused():
    for options, message in (({"cycle_weight": -1}, "cycle_weight of at least 0"), ({"pool": 0}, "pool above 0")):
        with pytest.raises(ValueError, match=message):
            task.cyclegan(NETWORK, JUDGE, shape=SHAPE, **options)
    with pytest.raises(ValueError, match="temperature above 0"):
        task.cut(NETWORK, JUDGE, shape=SHAPE, temperature=0.0)
    with pytest.raises(ValueError, match="multiples of 4"):
        task.cyclic_vae(NETWORK, JUDGE, shape=(10, 8, 3))
    with pytest.raises(ValueError, match="half_life above 0"):
        task.pix2pix(NETWORK, JUDGE, shape=SHAPE, half_life=0)


# Pictures of any size


@pytest.fixture
def model(variables):
    return task.Translation(NETWORK, {"to_b": variables["params"]}, {"steps": 1})


def test_tiles_are_the_parts_of_the_whole_picture(model, rng, monkeypatch):
    picture = rng.random((150, 70, 3), np.float32)
    whole = task.translate(model, picture)
    assert (whole.shape, whole.dtype) == (picture.shape, np.float32)
    tiled = task.translate(model, picture, tile=44)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    monkeypatch.setattr(apply, "MEASURED", 96)  # as of a large picture: the statistics of it shrunk
    large = task.translate(model, picture)
    np.testing.assert_allclose(task.translate(model, picture, tile=44), large, atol=1e-5)
    assert np.abs(large - whole).max() > 1e-4
    every = task.translate_batch(model, np.stack([picture[:64, :64], picture[64:128, :64]]), batch=1)
    np.testing.assert_allclose(every[1], task.translate(model, picture[64:128, :64]), atol=1e-5)


def test_what_cannot_be_translated_is_refused(model, rng):
    picture = rng.random((8, 8, 3), np.float32)
    for given, options, message in (
        (picture[..., 0], {}, "expected an RGB picture"),
        (np.full((8, 8, 3), 0.5), {}, "single color"),
        (picture, {"tile": 0}, "at least 1 pixel"),
        (picture, {"back": True}, "from a to b alone"),
    ):
        with pytest.raises(ValueError, match=message):
            task.translate(model, given, **options)


def test_the_largest_tile_that_fits_is_taken():
    network, size = models.Translator(width=32, blocks=6), (3000, 2000)
    whole = task.needed_memory(network, size, None)
    assert task.fitting_tile(network, size, None) is None
    assert task.fitting_tile(network, size, whole) is None
    tile = task.fitting_tile(network, size, whole - 1)
    assert tile in (1024, 2048)
    smaller = task.fitting_tile(network, size, task.needed_memory(network, size, 256))
    assert smaller == 256 or task.needed_memory(network, size, 2 * smaller) > task.needed_memory(network, size, 256)
    with pytest.raises(ValueError, match="in tiles of 64 pixels"):
        task.fitting_tile(network, size, 1000)


def test_a_file_holds_what_was_learned(model, tmp_path, rng):
    (tmp_path / "kept.safetensors").write_bytes(weights.network_bytes(task.as_network(model)))
    found = task.load_translation(tmp_path / "kept.safetensors")
    assert found.network == NETWORK
    assert found.about["steps"] == 1
    picture = rng.random((64, 64, 3), np.float32)
    expected = task.translate(found, picture)
    np.testing.assert_allclose(expected, task.translate(model, picture), atol=1e-2)  # half precision
    program = jax.export.deserialize(bytearray(task.export_translation(found, platforms=["cpu", "tpu"])))
    np.testing.assert_allclose(program.call(picture), expected, atol=1e-4)
    other = weights.Network({"to_c": model.params["to_b"]}, task.as_network(model).about)
    (tmp_path / "other.safetensors").write_bytes(weights.network_bytes(other))
    with pytest.raises(weights.WeightsError, match="layers are not those"):
        task.load_translation(tmp_path / "other.safetensors")
    wide = task.as_network(model)
    (tmp_path / "wide.safetensors").write_bytes(weights.network_bytes(wide._replace(about=wide.about | {"width": "2"})))
    with pytest.raises(weights.WeightsError, match="sensible width"):
        task.load_translation(tmp_path / "wide.safetensors")


# Scores


class Negative(NamedTuple):
    """A translator that inverts a picture, and a little more on its way to b."""

    def apply(self, variables, images):
        return variables["params"] - images


def test_scores_tell_translated_pictures_from_those_of_a(rng):
    a = rng.integers(0, 100, (12, 8, 8, 3), np.uint8)
    held_out = {"a": data.from_arrays(a), "b": data.from_arrays(255 - a[::-1])}
    judge = generate.Judge("colors", "0", lambda images: (None, np.asarray(images, np.float32).mean((1, 2)) / 255))
    model = task.Translation(Negative(), {"to_b": jnp.float32(0.0), "to_a": jnp.float32(0.25)}, {})
    cards = {card.score: card for card in kind.score_translation(model, judge, held_out, paired=True)}
    assert cards["kernel distance"].value < 0.1 * cards["kernel distance of the input"].value
    assert cards["kernel distance"].features == "colors"
    back = 0.125 * np.ones_like(a) + a / 255
    np.testing.assert_allclose(cards["cycle error of a"].value, np.abs(np.clip(back, 0, 1) - a / 255).mean(), atol=1e-5)
    np.testing.assert_allclose(cards["pixel error"].value, np.abs(a - a[::-1].astype(float)).mean() / 255, atol=1e-5)
    alone = task.Translation(Negative(), {"to_b": jnp.float32(0.0)}, {})
    assert len(kind.score_translation(alone, judge, held_out)) == 2
    few = {name: data.take(each, [0, 1, 2]) for name, each in held_out.items()}
    with pytest.raises(ValueError, match="at least 4 pictures"):
        kind.score_translation(alone, judge, few)


# The kind of run


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Dark and bright pictures of several proportions, and what is wrong."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("sets")
    for name, low in (("dark", 0.0), ("bright", 0.5)):
        (root / name).mkdir()
        for number in range(5):
            shape = (40 + 8 * number, 90 - 9 * number, 3)
            io.write(root / name / f"{number}.png", low + 0.5 * rng.random(shape, np.float32))
    for name in ("empty", "mixed", "renamed", "unlike"):
        (root / name).mkdir()
    for number in range(5):
        source = root / ("dark" if number < 3 else "bright") / f"{number}.png"
        (root / "mixed" / f"{number}x.png").write_bytes(source.read_bytes())
        (root / "renamed" / f"{number + 1}.png").write_bytes((root / "bright" / f"{number}.png").read_bytes())
        if number < 4:
            (root / "unlike" / f"{number}.png").write_bytes((root / "bright" / f"{number}.png").read_bytes())
    return root


OPTIONS = runs.TranslateOptions(
    batch=2, steps=4, save_every=2, sample_every=4, size=32, width=2, blocks=0, halvings=1, pool=3
)


def sets(folders, a="dark", b="bright"):
    return {"a": folders / a, "b": folders / b}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path_factory.getbasetemp() / "translate-cache"))


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """A run that was interrupted and one that was not, and the states in which they ended."""
    states, root = {}, tmp_path_factory.mktemp("runs")
    for name in ("whole", "halves"):
        run = runs.begin("translate", sets(folders), root / name, options=OPTIONS)
        if name == "halves":
            runs.train(run, stop=lambda: True)
            assert 0 < runs.saved_steps(run.folder)[0] < 4
        states[name] = runs.train(runs.open_run(run.folder))
    return root, states


def test_a_run_that_was_interrupted_ends_with_the_same_bits_pools_included(finished):
    root, states = finished
    for mine, expected in zip(jax.tree.leaves(states["halves"]), jax.tree.leaves(states["whole"]), strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert runs.open_run(root / "whole").facts == {"a": 5, "b": 5}
    assert float(jnp.abs(states["whole"].pools["a"].images).max()) > 0
    sheet = io.read(root / "whole" / "samples" / "step0000004.png")
    assert sheet.shape == (8 * 38 - 2, 3 * 38 - 2, 3)  # four pictures of each set, there and back
    shown = [sheet[row * 38 : row * 38 + 36, :36].mean() for row in range(8)]
    assert max(shown[:4]) < 0.4 < 0.6 < min(shown[4:])


def test_what_was_learned_can_be_taken_out(finished, tmp_path, rng):
    root, states = finished
    run, picture = runs.open_run(root / "whole"), rng.random((64, 64, 3), np.float32)
    model = kind.model_of(runs.Trained(run.options, run.facts, states["whole"]))
    assert set(model.params) == {"to_a", "to_b"}
    kept = task.load_translation(runs.export(run, tmp_path / "kept.safetensors"))
    assert kept.about["method"] == "cyclegan"
    program = jax.export.deserialize(
        bytearray(runs.export(run, tmp_path / "kept.jax", platforms=("cpu",)).read_bytes())
    )
    expected = task.translate(model, picture)
    np.testing.assert_allclose(program.call(picture), expected, atol=1e-4)
    np.testing.assert_allclose(task.translate(kept, picture), expected, atol=1e-2)
    assert set(kind.parameters(states["whole"])) == {
        "translator from a to b", "translator from b to a", "discriminator of a", "discriminator of b",
    }  # fmt: skip


def test_the_two_sets_come_in_orders_of_their_own_and_pairs_in_one(folders):
    for method in ("cyclegan", "pix2pix"):
        run = runs.prepare(
            "translate", sets(folders), folders / "none", options=dataclasses.replace(OPTIONS, method=method)
        )
        stream: Any = kind.batches(KEY, run.options, run.data, 0, (0, 1))
        found = [next(stream) for _ in range(10)]
        stream.close()
        rows = {
            source: [
                int(np.abs(run.data[source].column("image").astype(int) - image).sum((1, 2, 3)).argmin())
                for batch in found
                for image in batch[source]
            ]
            for source in "ab"
        }
        assert sorted(rows["a"]) == sorted(rows["b"]) == sorted(4 * list(range(5)))
        assert (rows["a"] == rows["b"]) == (method == "pix2pix")


def test_pairs_stand_side_by_side_on_the_sheet(folders, tmp_path):
    options = dataclasses.replace(OPTIONS, method="pix2pix")
    run = runs.begin("translate", sets(folders), tmp_path / "run", options=options)
    state = jax.jit(kind.recipe(options, run.facts).init)(KEY)
    (tmp_path / "run" / "samples").mkdir()
    kind.sample(runs.Trained(options, run.facts, state, run.data), tmp_path / "run" / "samples" / "step0000000")
    sheet = io.read(tmp_path / "run" / "samples" / "step0000000.png")
    assert sheet.shape == (4 * 38 - 2, 3 * 38 - 2, 3)
    assert sheet[:36, :36].mean() < 0.4 < 0.6 < sheet[:36, 76:].mean()


@pytest.mark.parametrize(
    ("b", "options", "message"),
    [
        ("empty", {}, "no pictures inside"),
        ("dark", {}, "5 pictures are in both sets"),
        ("mixed", {}, "3 pictures are in both sets, of 5 and 5"),
        ("unlike", {"batch": 5}, "b: 4 pictures are fewer than a batch of 5"),
        ("unlike", {"method": "pix2pix"}, "needs pairs, got 5 and 4"),
        ("renamed", {"method": "pix2pix"}, "'0' is in one alone"),
        ("bright", {"method": "pix2pix", "identity_weight": 1.0}, "no meaning for pix2pix"),
        ("bright", {"method": "cyclic-vae", "reconstruction_weight": -1.0}, "reconstruction_weight of at least 0"),
        ("bright", {"size": 16}, "at least 32 pixels"),
        ("bright", {"learning_rate": 0.0}, "above 0"),
        ("bright", {"method": "cut", "patches": 0}, "patches above 0"),
        ("bright", {"halvings": 5}, "64 pixels or more"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(b, options, message, folders, tmp_path):
    with pytest.raises(ValueError, match=message):
        runs.begin("translate", sets(folders, b=b), tmp_path / "run", options=dataclasses.replace(OPTIONS, **options))
    assert not (tmp_path / "run").exists()


def test_a_pair_that_cannot_be_read_is_named(folders, tmp_path):
    for number in range(5):
        content = (folders / "bright" / f"{number}.png").read_bytes()
        (tmp_path / f"{number}.png").write_bytes(content[:100] if number == 2 else content)
    options = dataclasses.replace(OPTIONS, method="pix2pix")
    with pytest.raises(ValueError, match=r"b: pairs must be whole, .* 2\.png"):
        runs.prepare("translate", {"a": folders / "dark", "b": tmp_path}, tmp_path / "run", options=options)


def test_the_rate_stays_and_then_falls_to_nothing():
    adam, params = shared.late_adam(0.5, 10), jnp.zeros(())
    state, steps = adam.init(params), []
    for _ in range(11):
        update, state = adam.update(jnp.ones(()), state)
        steps.append(float(-update))
    np.testing.assert_allclose(steps, [0.5] * 6 + [0.4, 0.3, 0.2, 0.1, 0.0], atol=1e-5)


# The command


def test_the_command_translates_a_picture_a_folder_and_back(finished, folders, jaxart, tmp_path, rng):
    root, states = finished
    picture = rng.random((50, 40, 3), np.float32)
    io.write(tmp_path / "deep.png", picture, alpha=np.linspace(0, 1, 2000).reshape(50, 40), bits=16)
    assert jaxart("translate", root / "whole", "deep.png", "-o", "made.png", "--bits", "16")[0] == 0
    made = io.read_picture(tmp_path / "made.png")
    np.testing.assert_allclose(made.alpha, np.linspace(0, 1, 2000).reshape(50, 40), atol=1e-4)
    run = runs.open_run(root / "whole")
    model = kind.model_of(runs.Trained(run.options, run.facts, states["whole"]))
    given = io.read(tmp_path / "deep.png")
    np.testing.assert_allclose(made.rgb, task.translate(model, given), atol=1e-4)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.jpg").write_bytes((folders / "dark" / "0.png").read_bytes())
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    code, _, told = jaxart("translate", root / "whole", "in", "-o", "out", "--back", "--size", "32")
    assert (code, [path.name for path in (tmp_path / "out").iterdir()]) == (2, ["good.jpg"])
    assert "1 of 2 pictures done, 1 failed" in told
    assert io.read(tmp_path / "out" / "good.jpg").shape == (14, 32, 3)


def test_the_command_refuses_what_it_cannot_do(finished, jaxart, tmp_path, rng):
    root, _ = finished
    io.write(tmp_path / "photo.png", rng.random((40, 40, 3), np.float32))
    runs.begin(
        "gan", _arrays(tmp_path, rng), tmp_path / "gan", options=runs.GanOptions(size=8, width=2, latent=2, batch=2)
    )
    for arguments, message in (
        (("gan", "photo.png", "-o", "out.png"), "of the kind gan, which translates no pictures"),
        ((tmp_path, "photo.png", "-o", "out.png"), "no run there"),
        ((root / "whole", "none.png", "-o", "out.png"), "no such file"),
        ((root / "whole", "photo.png", "-o", "out.xyz"), "cannot write .xyz"),
        ((root / "whole", "photo.png", "-o", "out.png", "--max-memory", "1MB"), "allow more"),
        ((root / "whole", "photo.png", "-o", "out.png", "--size", "0"), "at least 1 pixel"),
    ):
        code, _, told = jaxart("translate", *arguments)
        assert code == 2
        assert message in " ".join(told.split())
    assert not (tmp_path / "out.png").exists()


def _arrays(folder, rng):
    np.savez(folder / "pictures.npz", images=rng.integers(0, 255, (8, 8, 8, 3), np.uint8))
    return folder / "pictures.npz"


def test_digests_of_pictures_tell_equal_ones(folders):
    found = kind.load(OPTIONS, "a", folders / "dark")
    assert len(kind._hashes(found)) == 5
    assert metrics.content_hash(found.column("image")[0]) in kind._hashes(found)
