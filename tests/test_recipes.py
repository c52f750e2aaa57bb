"""The table: what holds for every recipe."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import losses, models
from jaxart.tasks import appraise, classify, generate, restore, segment, stylize, translate
from jaxart.training import Checkpoints, Recipe, fit

KEY = jax.random.key(0)
SHALLOW = {
    "style_layers": ("relu1_1", "relu2_1"),
    "style_layer_weights": (4.0, 1.0),
    "content_layers": ("relu2_2",),
}


class Case(NamedTuple):
    """A recipe on tiny shapes, its data, a loss that must fall (none: two losses against each other), and what is made."""

    recipe: Recipe
    batches: Callable | None
    loss: str | None
    made: Callable[[Any], Any]
    eager: bool = True


def bars(first):
    """Yield pictures of two classes, bright above or below."""
    for number in itertools.count(first):
        rng = np.random.default_rng(number)
        label = np.arange(8, dtype=np.int32) % 2
        image = rng.integers(0, 60, (8, 8, 8, 1))
        image[label == 0, :4] += 150
        image[label == 1, 4:] += 150
        yield {"image": image.astype(np.uint8), "label": label}


def points(first):
    for number in itertools.count(first):
        drawn = np.random.default_rng(number).normal((1, -1), 0.2, (16, 2))
        yield {"image": drawn.astype(np.float32), "label": np.zeros(16, np.int32)}


def stylization(**options) -> Callable[..., Case]:
    def make(variables, photo, painting):
        job = stylize.prepare(photo, painting, variables=variables, size=32, min_size=32, steps=4, **options)
        return Case(stylize.scale_recipe(job, 0), None, "loss", lambda state: state.image)

    return make


def adversarial(networks, batches, shape, *, eager: bool = False, **options) -> Callable[..., Case]:
    def make(*unused):
        recipe = generate.gan(*networks, shape=shape, latent=4, **options)
        return Case(recipe, batches, None, lambda state: state.average, eager)

    return make


def variational(*unused) -> Case:
    networks = models.VAEEncoder(latent=2, width=4), models.VAEDecoder(size=8, channels=1, width=4)
    recipe = generate.vae(*networks, shape=(8, 8, 1), latent=2, optimizer=optax.sgd(1e-5))
    return Case(recipe, bars, "bound", lambda state: state.params, eager=False)


def flowing(*unused) -> Case:
    network = models.VelocityNet(width=4, factors=(1, 2), classes=2)
    recipe = generate.flow(network, shape=(8, 8, 1), classes=2, optimizer=optax.adam(0.01))
    return Case(recipe, bars, "loss", lambda state: state.params, eager=False)


def drawings(first):
    """Yield the same noise and what a teacher might make of it."""
    noise = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    while True:
        yield {"image": np.tanh(noise[:, ::-1]), "noise": noise, "label": np.zeros(4, np.int32)}


def student(variables, *unused) -> Case:
    network, features = models.VelocityNet(width=4, factors=(1, 2)), models.VGG(depth=16, layers=("relu1_1",))
    recipe = generate.student(network, features=features, shape=(8, 8, 3), optimizer=optax.adam(0.01))
    return Case(recipe._replace(frozen=variables), drawings, "loss", lambda state: state.params, eager=False)


def photographs(first):
    """Yield the same two pictures of noise, so that a few steps on them lower the loss."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 18, 3), np.uint8)
    while True:
        yield {"image": pixels}


def many_styles(variables, photo, painting) -> Case:
    layers = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1", "relu2_1")}
    aims = stylize.network_aims([painting], variables=variables, style_layer_weights=(4.0, 1.0), **layers)
    network = models.ManyStyleNet(styles=1, width=4, deep=6, blocks=1)
    recipe = stylize.many_styles(network, aims=aims, optimizer=optax.adam(0.01), **layers)
    return Case(recipe, photographs, "loss", lambda state: state.params, eager=False)


def pairs(first):
    """Yield the same photographs and paintings of noise."""
    for batch in photographs(first):
        yield batch | {"painting": 255 - batch["image"][:, ::-1, :16] // 2}


def any_style(variables, photo, painting) -> Case:
    layers = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1", "relu2_1")}
    aims = stylize.any_style_aims(variables, style_layer_weights=(4.0, 1.0), **layers)
    network = models.AnyStyleNet(width=4, deep=6, blocks=1, style_width=2, hidden=4, style=3)
    chance = {"identity_chance": 0.0, "flicker_side": 8}
    recipe = stylize.any_style(network, aims=aims, optimizer=optax.adam(0.01), **chance, **layers)
    return Case(recipe, pairs, "loss", lambda state: state.params, eager=False)


def style_of(variables, painting, weight: float):
    """Return a style term of two layers and its arrays."""
    layers = "relu1_1", "relu2_1"
    term = generate.StyleTerm(models.VGG(layers=layers), layers, (4.0, 1.0), weight)
    return term, generate.style_arrays(term, variables, painting)


def styled_gan(variables, photo, painting) -> Case:
    networks = models.DCGANGenerator(size=8, channels=1, width=4), models.DCGANDiscriminator(width=4)
    term, frozen = style_of(variables, painting, 10.0)
    recipe = generate.gan(*networks, shape=GRAY, latent=4, style=term)
    return Case(recipe._replace(frozen=frozen), bars, None, lambda state: state.average, eager=False)


def styled_vae(variables, photo, painting) -> Case:
    networks = models.VAEEncoder(latent=2, width=4), models.VAEDecoder(size=8, channels=1, width=4)
    term, frozen = style_of(variables, painting, 0.1)
    recipe = generate.vae(*networks, shape=GRAY, latent=2, optimizer=optax.sgd(1e-5), style=term)
    return Case(recipe._replace(frozen=frozen), bars, "bound", lambda state: state.params, eager=False)


def numbers(first):
    while True:
        yield {"number": np.arange(8, dtype=np.int32)}


def adapting(variables, photo, painting) -> Case:
    network = models.DCGANGenerator(size=8, width=4, classes=2)
    made = generate.generator_of(network, network.init(KEY, jnp.zeros((2, 4)), jnp.zeros(2, jnp.int32)))
    term, frozen = style_of(variables, painting, 1.0)
    recipe = generate.adapted_generator(made, latent=4, classes=2, style=term, content_layers=term.layers[1:])
    return Case(recipe._replace(frozen=frozen), numbers, "style", lambda state: state.params, eager=False)


def classifying(*unused) -> Case:
    recipe = classify.classifier(models.SmallClassifier(classes=2, width=4), shape=(8, 8, 1), optimizer=optax.sgd(0.1))
    return Case(recipe, bars, "loss", lambda state: state.params)


def by_kernel(*unused) -> Case:
    rng = np.random.default_rng(0)
    label = np.arange(12, dtype=np.int32) % 2
    features = rng.normal(size=(12, 6)).astype(np.float32) + label[:, None]
    network = models.KernelHead(2, 12)
    recipe = classify.kernel_classifier(network, length=6, target=classify.one_class(2), ridge=0.5)
    known = classify.known_examples(network, features, label, classify.block_scaling(features, (2, 4)))
    return Case(recipe._replace(frozen=known), points, "loss", lambda state: state.average)


def valuing(*unused) -> Case:
    rng, code = np.random.default_rng(0), np.arange(12, dtype=np.int32)
    lots = appraise.Lots(
        rng.normal(size=(12, 3)).astype(np.float32),
        np.zeros((12, 1), np.float32),
        code[:, None] % 4,
        code[:, None] % 5,
        np.zeros((12, 0), np.float32),
        code < 0,
        code[:, None] // 2,
    )
    features = appraise.lot_features(lots, appraise.word_weights(lots.tokens, 5))
    recipe = appraise.price_process(features, np.asarray(lots.numbers[:, 0]), code // 2, rows=12)
    return Case(recipe, points, "loss", lambda state: state.params, eager=False)


def segmenting(*unused) -> Case:
    def batches(first):
        for batch in bars(first):
            image = np.repeat(batch["image"], 3, axis=-1)
            yield {"image": image, "mask": (image[..., 0] > 100).astype(np.uint8)}

    network = models.Segmenter(2, width=2, depth=2)
    recipe = segment.segmenter(network, shape=(8, 8, 3), optimizer=optax.adam(0.02))
    return Case(recipe, batches, "loss", lambda state: state.average, eager=False)


def restoring(*unused) -> Case:
    def batches(first):
        while True:
            yield {"image": np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)}

    network = models.Restorer(width=4, depth=2, blocks=1)
    recipe = restore.restorer(
        network, shape=(16, 16, 3), damage=restore.noisy, loss=restore.pixel_loss, optimizer=optax.adam(0.02)
    )
    return Case(recipe, batches, "loss", lambda state: state.average, eager=False)


def appraising(*unused) -> Case:
    numbers = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    none = np.zeros((32, 0), np.float32)
    lots = appraise.Lots(
        numbers,
        none,
        np.zeros((32, 0), np.int32),
        np.zeros((32, 0), np.int32),
        none,
        np.zeros(32, bool),
        none.astype(np.int32),
    )
    known = appraise.Known(lots, np.zeros((2, 32, 1), np.float32), numbers[:, 0], np.arange(32, dtype=np.int32) % 2)

    def batches(first):
        for number in itertools.count(first):
            yield {"row": np.random.default_rng(number).integers(0, 32, 16).astype(np.int32)}

    network = models.LotNet(appraise.OUTPUTS, (0, 1), width=8, depth=1, frequencies=2, number_width=2)
    example = appraise.with_told(lots, known.told[0])
    recipe = appraise.appraiser(network, example=example, members=2, optimizer=optax.adam(0.02))
    return Case(recipe._replace(frozen=known), batches, "loss", lambda state: state.average, eager=False)


def two_sets(first):
    """Yield pictures of noise, dark ones and bright ones."""
    for number in itertools.count(first):
        drawn = np.random.default_rng(number).integers(0, 128, (2, 2, 8, 8, 3), np.uint8)
        yield {"a": drawn[0], "b": drawn[1] + np.uint8(127)}


def translation(recipe, loss: str, **options) -> Callable[..., Case]:
    def make(*unused):
        networks = models.Translator(width=2, blocks=0), models.PatchDiscriminator(width=2, halvings=1)
        made = recipe(*networks, shape=(8, 8, 3), translator_optimizer=optax.adam(0.01), **options)
        return Case(made, two_sets, loss, lambda state: state.average, eager=False)

    return make


GRAY, MIXED = (8, 8, 1), {"r1": 0.1, "r2": 0.1, "penalty_every": 2}
CASES = {
    "stylize adam": stylization(**SHALLOW),
    "stylize lbfgs": stylization(**SHALLOW, optimizer=stylize.LBFGS),
    "stylize gram sgd": stylization(
        optimizer=optax.sgd(0.1), style_loss=losses.GRAM, style_layers=("relu1_1", "relu2_1"),
        style_layer_weights=(1.0, 1.0), content_layers=("relu2_2",),
    ),
    "gan of points": adversarial(
        (models.MLPGenerator(width=8), models.MLPDiscriminator(width=8)), points, (2,), eager=True, **MIXED
    ),
    "gan dcgan": adversarial(
        (models.DCGANGenerator(size=8, channels=1, width=4, classes=2), models.DCGANDiscriminator(width=4, classes=2)),
        bars, GRAY, **MIXED,
    ),
    "gan sngan": adversarial(
        (models.SNGANGenerator(size=8, channels=1, width=4), models.SNGANDiscriminator(width=4)), bars, GRAY,
        loss=losses.HINGE, discriminator_steps=2,
    ),
    "flow": flowing,
    "student": student,
    "gan stylegan": adversarial(
        (models.StyleGANGenerator(size=8, channels=1, width=4, dimensions=4, classes=2),
         models.StyleGANDiscriminator(width=4, classes=2)), bars, GRAY, r1=0.1, penalty_every=2, path_length=1.0,
        path_length_every=2, adapt=generate.Adapt(every=2, span=100),
    ),
    "gan r3gan": adversarial(
        (models.R3GANGenerator(size=8, channels=1, width=4), models.R3GANDiscriminator(width=4)), bars, GRAY, r1=0.1, r2=0.1,
    ),
    "gan styled": styled_gan,
    "vae": variational,
    "vae styled": styled_vae,
    "adapted": adapting,
    "classifier": classifying,
    "classifier by kernel": by_kernel,
    "segmenter": segmenting,
    "restorer": restoring,
    "appraiser": appraising,
    "process": valuing,
    "many styles": many_styles,
    "any style": any_style,
    "translation cyclegan": translation(translate.cyclegan, "cycle", pool=3),
    "translation cut": translation(translate.cut, "contrast", patches=8, heads=models.PatchHeads(4)),
    "translation cyclic vae": translation(translate.cyclic_vae, "reconstruction"),
    "translation pix2pix": translation(translate.pix2pix, "pixels"),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def case(request, variables, photo, painting):
    """Every recipe, on tiny shapes."""
    return CASES[request.param](variables, photo, painting)


def first_batch(case: Case):
    return None if case.batches is None else next(iter(case.batches(0)))


def test_the_state_keeps_its_tree_and_types(case):
    state = jax.eval_shape(case.recipe.init, KEY)
    for step in (case.recipe.step, *(step for _, step in case.recipe.lazy)):
        after, info = jax.eval_shape(step, KEY, state, first_batch(case), case.recipe.frozen)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
            assert (old.shape, old.dtype) == (new.shape, new.dtype)
        assert all(leaf.shape == () and leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(info))


def test_loss_falls_and_the_same_key_gives_the_same_bits(case):
    history = []
    first, _ = fit(
        case.recipe, case.batches, key=KEY, steps=6, every=1, hooks=(lambda state, info: history.append(info),)
    )
    again, _ = fit(case.recipe, case.batches, key=KEY, steps=6, every=4)
    assert np.isfinite(jax.tree.leaves(history)).all()
    if case.loss is not None:
        values = [float(getattr(info, case.loss)) for info in history]
        assert values[-1] > values[0] if case.loss == "bound" else values[-1] < values[0]
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_saved_restored_and_continued_equals_uninterrupted(case, tmp_path):
    expected, _ = fit(case.recipe, case.batches, key=KEY, steps=5)
    half, _ = fit(case.recipe, case.batches, key=KEY, steps=3)
    kept = Checkpoints(tmp_path)
    kept.save(3, half, {})
    restored = kept.restore(3, jax.eval_shape(case.recipe.init, KEY))
    kept.close()
    state, _ = fit(case.recipe, case.batches, key=KEY, steps=5, state=restored)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_jit_equals_eager(case):
    if not case.eager:
        pytest.skip("hundreds of small programs; the other recipes show it")
    state = case.recipe.init(KEY)
    after, info = fit(case.recipe, case.batches, key=KEY, steps=1, state=state)
    step = case.recipe.step_at(0)[0]
    eager, eager_info = step(jax.random.fold_in(KEY, 0), state, first_batch(case), case.recipe.frozen)
    for mine, expected in zip(info, eager_info, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=1e-5)
    # Adam's first step is the sign of the gradient: values whose gradient is rounding noise may differ, nearly all must not.
    for mine, expected in zip(*(jax.tree.leaves(case.made(each)) for each in (after, eager)), strict=True):
        assert float(jnp.mean(jnp.abs(mine - expected) > 1e-3)) < 0.01


def test_it_lowers_for_gpu_and_tpu(case):
    state = jax.eval_shape(case.recipe.init, KEY)
    if any(leaf.ndim and leaf.shape[0] == 10 for leaf in jax.tree.leaves(state)):
        pytest.skip("a line search inside: lowered like the others, but slow to trace twice")
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (state, first_batch(case), case.recipe.frozen)
    )
    for step in (case.recipe.step, *(step for _, step in case.recipe.lazy)):
        whole = jax.jit(lambda s, b, f, step=step: jax.tree.leaves(step(KEY, s, b, f)))
        exported = jax.export.export(whole, platforms=["cuda", "tpu"])(*shapes)
        assert "convolution" in exported.mlir_module() or case.batches is points or "row" in (first_batch(case) or ())
