"""GAN and VAE recipes, what is made with a trained generator, and how it is scored."""

import functools
import itertools
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from jaxart import data, losses, metrics, models, tasks
from jaxart.runs import pictures
from jaxart.tasks import classify, generate
from jaxart.training import fit

KEY = jax.random.key(2)


def points(first):
    """Yield batches of a Gaussian at (1, -1)."""
    for number in itertools.count(first):
        drawn = np.random.default_rng(number).normal((1, -1), 0.2, (64, 2))
        yield {"image": drawn.astype(np.float32), "label": np.zeros(64, np.int32)}


def bars(first, size=16):
    """Yield pictures, bright above or below by their class."""
    for number in itertools.count(first):
        rng = np.random.default_rng([9, number])
        label = rng.integers(0, 2, size).astype(np.int32)
        image = rng.integers(0, 60, (size, 8, 8, 1))
        image[label == 0, :4] += 150
        image[label == 1, 4:] += 150
        yield {"image": image.astype(np.uint8), "label": label}


MLPS = models.MLPGenerator(width=32), models.MLPDiscriminator(width=32)


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (losses.RELATIVISTIC, {"r1": 0.1, "r2": 0.1}),
        (losses.NON_SATURATING, {"r1": 0.1, "penalty_every": 4}),
        (losses.HINGE, {"r1": 0.1}),
        (losses.LEAST_SQUARES, {"r1": 0.1}),
        (losses.WASSERSTEIN_CRITIC, {"gradient_penalty": 1.0}),
    ],
    ids=["relativistic", "non-saturating", "hinge", "least squares", "wasserstein"],
)
def test_every_loss_moves_the_points_to_their_place(loss, options):
    adam = optax.adam(2e-3, b1=0.0, b2=0.99)
    recipe = generate.gan(
        *MLPS, shape=(2,), latent=2, loss=loss, generator_optimizer=adam, discriminator_optimizer=adam, **options
    )
    state, _ = fit(recipe, points, key=KEY, steps=600, batches_per_call=50, every=100)
    z = generate.draw_latents(KEY, 500, latent=2)
    made = np.asarray(MLPS[0].apply({"params": state.average}, z))
    assert np.linalg.norm(made.mean(0) - (1, -1)) < 0.25
    assert 0.08 < made.std(0).mean() < 0.4
    assert float(state.images) == 600 * 64


def test_the_discriminator_step_is_the_gradient_of_its_loss():
    """One step of SGD against the loss written out: fakes of the same latents, R1 and R2 with their halves."""
    rate, gamma = 0.1, 0.3
    still, sgd = optax.set_to_zero(), optax.sgd(rate)
    recipe = generate.gan(
        *MLPS, shape=(2,), latent=2, r1=gamma, r2=gamma, generator_optimizer=still, discriminator_optimizer=sgd
    )
    state, batch = recipe.init(KEY), next(points(0))
    after, info = recipe.lazy[0][1](KEY, state, batch, None)
    key_latent, *_ = jax.random.split(jax.random.split(KEY, 3)[0], 3)
    fake = MLPS[0].apply(state.generator, generate.draw_latents(key_latent, 64, latent=2))

    def objective(params):
        def logit(x):
            return MLPS[1].apply({"params": params}, x[None])[0]

        real_logit, fake_logit = (jax.vmap(logit)(x) for x in (jnp.asarray(batch["image"]), fake))
        slopes = [jnp.sum(jax.vmap(jax.grad(logit))(x) ** 2, 1) for x in (jnp.asarray(batch["image"]), fake)]
        return jnp.mean(jnp.log1p(jnp.exp(fake_logit - real_logit)) + gamma / 2 * (slopes[0] + slopes[1]))

    gradient = jax.grad(objective)(state.discriminator["params"])
    expected = jax.tree.map(lambda p, g: p - rate * g, state.discriminator["params"], gradient)
    for mine, theirs in zip(jax.tree.leaves(after.discriminator["params"]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(info.discriminator + info.penalty, objective(state.discriminator["params"]), rtol=1e-5)
    for mine, theirs in zip(jax.tree.leaves(after.generator), jax.tree.leaves(state.generator), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("option", [{"penalty_every": 0}, {"r1": -1.0}, {"half_life": 0.0}, {"discriminator_steps": 0}])
def test_bad_numbers_are_refused(option):
    with pytest.raises(ValueError, match="gan: expected"):
        generate.gan(*MLPS, shape=(2,), **option)


def test_a_conditional_gan_learns_its_classes():
    network = models.DCGANGenerator(size=8, channels=1, width=16, classes=2)
    adam = optax.adam(1e-3, b1=0.0, b2=0.99)
    recipe = generate.gan(
        network,
        models.DCGANDiscriminator(width=16, classes=2),
        shape=(8, 8, 1),
        latent=4,
        r1=0.1,
        r2=0.1,
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        half_life=500,
    )
    state, _ = fit(recipe, bars, key=KEY, steps=250, batches_per_call=10, every=50)
    draw = generate.generator_of(network, {**state.generator, "params": state.average})
    label = np.arange(20, dtype=np.int32) % 2
    images = generate.pictures(draw, generate.draw_latents(KEY, 20, latent=4), label, batch=8)
    above = images[:, :4].mean((1, 2, 3)) > images[:, 4:].mean((1, 2, 3))
    assert np.mean(above == (label == 0)) > 0.9


def vae_parts(latent=2):
    return models.VAEEncoder(latent=latent, width=4), models.VAEDecoder(size=8, channels=1, width=4)


def test_the_evidence_bound_is_below_the_likelihood_and_rises():
    """The bound of one draw, averaged, must not exceed an importance-weighted estimate of log p(x) from many draws."""
    encoder, decoder = vae_parts()
    recipe = generate.vae(encoder, decoder, shape=(8, 8, 1), latent=2, optimizer=optax.adam(1e-2))
    seen = []
    state, info = fit(
        recipe, bars, key=KEY, steps=150, batches_per_call=10, every=10, hooks=(lambda s, info: seen.append(float(info.bound)),)
    )  # fmt: skip
    assert seen[-1] > seen[0] + 10
    assert float(info.bound) == pytest.approx(float(info.log_likelihood - info.divergence), rel=1e-5)
    images = np.asarray(next(bars(1000))["image"][:4], np.float32) / 255
    label = np.zeros(4, np.int32)
    draws = 400
    many = [np.repeat(each, draws, axis=0) for each in (images, label)]
    keys = jax.random.split(KEY, 4 * draws)
    likelihood, divergence = generate.evidence(encoder, decoder, state.params, keys, *many)
    bound = np.asarray(likelihood - divergence).reshape(4, draws).mean(1)
    noise = jax.vmap(lambda key: jax.random.split(key)[1])(keys)
    draw = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (2,)))(noise))
    mean, log_variance = (np.asarray(each) for each in encoder.apply({"params": state.params["encoder"]}, *many))
    z = mean + np.exp(log_variance / 2) * draw
    ratio = stats.norm.logpdf(z).sum(1) - stats.norm.logpdf(z, mean, np.exp(log_variance / 2)).sum(1)
    weights = (np.asarray(likelihood, np.float64) + ratio).reshape(4, draws)
    estimate = np.logaddexp.reduce(weights, axis=1) - np.log(draws)
    assert (bound <= estimate + 0.05).all()
    assert (estimate - bound < 5).all()


def test_pixels_of_8_bits_are_spread_over_their_256th():
    encoder, decoder = vae_parts()
    params = generate.vae(encoder, decoder, shape=(8, 8, 1), latent=2).init(KEY).params
    images = next(bars(0))["image"]
    keys = jax.random.split(KEY, len(images))
    spread = jax.vmap(lambda key: jax.random.uniform(jax.random.split(key)[0], images.shape[1:]))(keys)
    exact = generate.evidence(encoder, decoder, params, keys, (images + spread) / 256, np.zeros(16, np.int32))
    mine = generate.evidence(encoder, decoder, params, keys, images, np.zeros(16, np.int32))
    np.testing.assert_allclose(mine[0], exact[0], rtol=1e-5)


def test_probabilistic_pca_is_the_gaussian_it_says():
    rng = np.random.default_rng(0)
    basis, noise = rng.standard_normal((5, 2)), 0.3
    train = rng.standard_normal((20_000, 2)) @ basis.T + noise * rng.standard_normal((20_000, 5)) + 1
    mine = generate.pca_log_likelihood(train, train[:50], latent=2)
    expected = stats.multivariate_normal(np.ones(5), basis @ basis.T + noise**2 * np.eye(5)).logpdf(train[:50])
    np.testing.assert_allclose(mine, expected, atol=0.15)


def test_slerp_stays_on_the_circle_and_meets_its_ends():
    a, b = np.random.default_rng(1).standard_normal((2, 7, 16)).astype(np.float32)
    np.testing.assert_allclose(generate.slerp(a, b, jnp.zeros(7)), a, atol=1e-5)
    np.testing.assert_allclose(generate.slerp(a, b, jnp.ones(7)), b, atol=1e-5)
    unit = a / np.linalg.norm(a, axis=-1, keepdims=True), b / np.linalg.norm(b, axis=-1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(generate.slerp(*unit, jnp.full(7, 0.3)), axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(generate.slerp(a, 2 * a, jnp.full(7, 0.5)), 1.5 * a, rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(generate.slerp(x, a, jnp.full(7, 0.5))))(jnp.asarray(a))
    assert np.isfinite(gradient).all()


def test_a_walk_closes_and_passes_its_stops():
    stops = generate.draw_latents(KEY, 3, latent=4)
    path = generate.walk(stops, frames=5)
    assert path.shape == (15, 4)
    np.testing.assert_allclose(path[::5], stops, atol=1e-5)


def test_more_latents_change_none_and_batches_change_no_picture():
    few, many = (generate.draw_latents(KEY, count, latent=3) for count in (4, 9))
    np.testing.assert_array_equal(few, many[:4])
    np.testing.assert_array_equal(generate.draw_latents(KEY, 3, latent=3, first=2), many[2:5])
    network = models.DCGANGenerator(size=8, channels=1, width=4)
    draw = generate.generator_of(network, network.init(KEY, few, None, train=True))
    images = generate.pictures(draw, many, np.zeros(9, np.int32), batch=4)
    assert images.shape == (9, 8, 8, 1)
    assert images.min() >= 0
    assert images.max() <= 1
    np.testing.assert_allclose(images[8], draw(many, np.zeros(9, np.int32))[8], atol=1e-5)


def test_an_exported_generator_draws_the_same():
    network = models.DCGANGenerator(size=8, channels=3, width=4)
    z = generate.draw_latents(KEY, 3, latent=5)
    draw = generate.generator_of(network, network.init(KEY, z, None, train=True))
    loaded = jax.export.deserialize(bytearray(generate.export(draw, latent=5)))
    assert loaded.platforms == ("cpu", "cuda", "tpu")
    label = np.zeros(3, np.int32)
    np.testing.assert_allclose(loaded.call(z, label), draw(z, label), atol=1e-5)


class Counted(nn.Module):
    """A generator that counts how often it is traced."""

    traced: ClassVar[list] = []

    @nn.compact
    def __call__(self, z, label, *, train=False):
        self.traced.append(z.shape)
        return jnp.tanh(nn.Dense(64)(z)).reshape(-1, 8, 8, 1)


def test_other_weights_of_the_same_network_trace_nothing():
    z, label = generate.draw_latents(KEY, 9, latent=3), np.zeros(9, np.int32)
    sets = [Counted().init(key, z, label) for key in jax.random.split(KEY, 3)]
    Counted.traced.clear()
    made = [generate.pictures(generate.generator_of(Counted(), each), z, label, batch=4) for each in sets]
    assert Counted.traced == [(4, 3)]
    for images, variables in zip(made, sets, strict=True):
        expected = (Counted().apply(variables, z, label) + 1) / 2
        np.testing.assert_allclose(images, expected, atol=1e-6)


class FourPatches(nn.Module):
    """Say the same of each of four patches."""

    @nn.compact
    def __call__(self, x, label, *, train=False):
        logits = models.MLPDiscriminator(width=8, name="whole")(x, label)
        return jnp.broadcast_to(logits[:, None, None, None], (len(x), 2, 2, 1))


@pytest.mark.parametrize("loss", [losses.RELATIVISTIC, losses.HINGE], ids=["relativistic", "hinge"])
def test_a_discriminator_of_patches_plays_as_one_that_says_their_mean(loss):
    states = []
    for discriminator in (models.MLPDiscriminator(width=8, name="whole"), FourPatches()):
        sgd = optax.sgd(0.1)
        recipe = generate.gan(
            MLPS[0], discriminator, shape=(2,), latent=2, loss=loss, r1=0.1, gradient_penalty=0.1,
            generator_optimizer=sgd, discriminator_optimizer=sgd,
        )  # fmt: skip
        state = jax.jit(recipe.init)(KEY)
        if states:  # the same params, one level deeper
            params = {"whole": states[0][0].discriminator["params"]}
            state = state._replace(discriminator={"params": params}, generator=states[0][0].generator)
        states.append((state, *jax.jit(recipe.lazy[0][1])(KEY, state, next(points(0)), None)))
    (_, one, one_info), (_, four, four_info) = states
    np.testing.assert_allclose(one_info, four_info, rtol=1e-4, atol=1e-6)
    assert float(one_info.penalty) > 1e-3
    pairs = one.discriminator["params"], four.discriminator["params"]["whole"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *pairs)


def examples_of(number, count=120):
    return next(bars(number, count))


def judge_of(key, examples):
    """Return a judge by a classifier that was trained a little on one batch of examples."""
    network = models.SmallClassifier(classes=2, width=4, features=8)
    stream = lambda first: itertools.repeat(examples)  # noqa: E731
    trained = classify.train_classifier(key, network, stream, shape=(8, 8, 1), steps=60)
    describe = functools.partial(classify.predict, trained, batch=50)
    return generate.Judge("small classifier", metrics.content_hash(trained.params), describe, judge_of)


@pytest.fixture(scope="module")
def judge():
    return judge_of(KEY, examples_of(1))


def values(cards):
    return {card.score: card.value for card in cards}


def test_scores_tell_good_from_bad_and_copies(judge):
    real, same, train = (examples_of(seed) for seed in (500, 501, 502))
    noise = np.random.default_rng(0).integers(0, 255, (120, 8, 8, 1)).astype(np.uint8)
    good, worse, copied = (
        values(generate.score_pictures(KEY, judge, real=real, fake={"image": fake}, train=train, data_hash="x"))
        for fake in (same["image"], noise, train["image"])
    )
    assert good["kernel distance"] < worse["kernel distance"]
    assert good["coverage"] > 0.5 > worse["coverage"]
    assert copied["p-value of copying"] < 0.05 <= good["p-value of copying"]
    assert good["largest deviation of the spectrum"] < 0.3 < worse["largest deviation of the spectrum"]
    assert "classification accuracy score" not in good


def test_scores_of_classes_tell_right_labels_from_wrong(judge):
    real, fake, train = examples_of(600, 200), examples_of(601), examples_of(602)
    wrong = {"image": fake["image"], "label": 1 - fake["label"]}
    right, swapped = (
        generate.score_pictures(
            KEY, judge, real=real, fake=made, train=train, data_hash="digest", resize="area", seed=3
        )
        for made in (fake, wrong)
    )
    for name in ("accuracy on made pictures", "classification accuracy score"):
        assert values(right)[name] > 0.95
        assert values(swapped)[name] < 0.05
    assert values(swapped)["accuracy after real pictures"] > 0.95
    for card in [each for each in right if "spectrum" not in each.score]:
        assert (card.features, card.features_hash, card.data_hash) == ("small classifier", judge.digest, "digest")
        assert (card.resize, card.seed, card.n_fake) == ("area", 3, 120)
        assert card.n_real == (200 if "accuracy" in card.score else 120)


def test_cards_of_the_spectrum_and_of_other_judges(judge):
    real, train = examples_of(700), examples_of(701)
    y, x = np.indices((8, 8))
    board = ((y + x) % 2 * 40).astype(np.uint8)[None, ..., None]
    fake = {"image": real["image"] + board}
    blind = judge._replace(
        name="blind", digest="b", describe=lambda images: (None, np.asarray(images).mean((1, 2)) / 255)
    )
    cards = generate.score_pictures(
        KEY, judge, real=real, fake=fake, train=train, data_hash="digest", others=[blind], resize="area"
    )
    assert [card.name for card in cards if card.score == "kernel distance"] == [
        "kernel distance on small classifier",
        "kernel distance on blind",
    ]
    spectrum = {card.name: card for card in cards if "spectrum" in card.score}
    assert list(spectrum) == [
        "spectrum, octave at 1/2 of the sampling rate",
        "spectrum, octave at 1/4 of the sampling rate",
        "spectrum, checkerboard of 2 pixels",
        "spectrum, checkerboard of 4 pixels",
        "largest deviation of the spectrum",
    ]
    ratio = metrics.spectrum_ratio(KEY, real["image"], fake["image"])
    assert spectrum["spectrum, octave at 1/2 of the sampling rate"].value == ratio.octaves[0].value
    assert spectrum["spectrum, checkerboard of 2 pixels"].value == ratio.checkerboards[0].value > 1.1
    card = spectrum["largest deviation of the spectrum"]
    assert card.value == ratio.deviation.value
    assert card.low < card.value < card.high
    assert (card.features, card.features_hash, card.data_hash, card.n_real, card.n_fake) == ("", "", "digest", 120, 120)


def test_labels_ask_for_a_judge_that_knows_classes(judge):
    fake = examples_of(0)
    described = []
    blind = judge._replace(name="blind", retrain=None, describe=described.append)
    with pytest.raises(ValueError, match="expected one that knows classes, with `retrain`, got 'blind'"):
        generate.score_pictures(KEY, blind, real=fake, fake=fake, train=fake, data_hash="x")
    assert described == []


def test_made_examples_are_the_pictures_as_bytes():
    network = models.DCGANGenerator(size=8, channels=1, width=4, classes=2)
    z = generate.draw_latents(KEY, 5, latent=3)
    draw = generate.generator_of(network, network.init(KEY, z, jnp.zeros(5, jnp.int32), train=True))
    made = generate.draw_examples(KEY, draw, 5, latent=3, classes=2)
    assert made["label"].tolist() == [0, 1, 0, 1, 0]
    assert made["image"].dtype == np.uint8
    np.testing.assert_array_equal(made["image"], np.rint(255 * generate.pictures(draw, z, made["label"])))
    assert set(generate.draw_examples(KEY, draw, 2, latent=3)) == {"image"}


def test_the_judge_of_vgg_averages_layers(variables):
    images = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 1)).astype(np.uint8)
    layers = ("relu1_2", "relu2_1")
    judge = generate.vgg_judge(variables, layers=layers)
    assert judge.name == "vgg16 relu1_2 relu2_1 mean"
    assert judge.digest == metrics.content_hash(variables)
    logits, features = judge.describe(images)
    assert logits is None
    colored = jnp.asarray(images, jnp.float32).repeat(3, axis=-1) / 255
    maps = models.VGG(layers=layers).apply(variables, colored)
    expected = np.concatenate([maps[layer].mean((1, 2)) for layer in layers], axis=1)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def labeled(seed):
    columns = examples_of(seed)
    return data.Dataset(columns, {"label": ("a", "b")})


def test_vgg_judges_beside_the_classifier_where_its_weights_are(variables, monkeypatch):
    class Drawn(NamedTuple):
        latent: int = 3
        classes: tuple = ()
        generate: object = None

    given = {}
    monkeypatch.setattr(
        pictures.classify, "train_small_classifier", lambda *_, **__: SimpleNamespace(params={"a": np.ones(1)})
    )
    monkeypatch.setattr(pictures.task, "draw_examples", lambda *_, **__: examples_of(1))
    monkeypatch.setattr(pictures.task, "score_pictures", lambda key, judge, **more: given.update(judge=judge, **more))
    monkeypatch.setattr(pictures.weights, "load", lambda name: variables)
    monkeypatch.setattr(pictures.weights, "at_hand", lambda name: name == "vgg16")
    score = functools.partial(pictures.score_generator, Drawn(), count=100, seed=0)
    score(labeled(2), labeled(3))
    assert given["judge"].name == "small classifier"
    assert [each.name for each in given["others"]] == ["vgg16 relu2_2 relu3_3 relu4_3 mean"]
    score(data.Dataset(examples_of(2), {}), labeled(3))
    assert given["judge"].name == "vgg16 relu2_2 relu3_3 relu4_3 mean"
    assert given["others"] == []
    monkeypatch.setattr(pictures.weights, "at_hand", lambda name: False)
    with pytest.warns(UserWarning, match=r"no weights of VGG-16 at hand: .* left out\. pip install 'jaxart\[vgg\]'"):
        score(labeled(2), labeled(3))
    assert given["others"] == []


def test_tasks_load_when_used_and_no_function_hides_its_module():
    code = """
import pkgutil, sys, jaxart
assert not [name for name in sys.modules if name.startswith("jaxart.tasks.")]
assert jaxart.tasks.generate.gan and jaxart.tasks.classify.classifier and jaxart.tasks.stylize.stylize
for package in (jaxart.tasks.generate, jaxart.tasks.classify, jaxart.training):
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__), package
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match=r"no attribute 'paint'; known: appraise, classify, .*, translate"):
        _ = tasks.paint
