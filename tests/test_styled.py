"""Generators under a style term, and generators adapted to a painting: as recipes and as runs."""

import dataclasses
import itertools
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import io, losses, models, runs
from jaxart.tasks import generate
from jaxart.training import data_mesh, fit

KEY = jax.random.key(3)
LAYERS = ("relu1_1", "relu2_1")
SGD, ADAM = optax.sgd(0.1), optax.adam(0.02)
NETWORK = models.DCGANGenerator(size=8, width=2)
TINY: Any = {"size": 8, "width": 2, "latent": 4, "batch": 2, "save_every": 4, "sample_every": 4}
ADAPT: Any = {"batch": 2, "steps": 8, "save_every": 4, "sample_every": 4}


def term(weight: float = 1.0) -> generate.StyleTerm:
    return generate.StyleTerm(models.VGG(layers=LAYERS), LAYERS, (4.0, 1.0), weight)


@pytest.fixture(scope="module")
def frozen(variables, painting):
    return generate.style_arrays(term(), variables, painting[:16, :16])


@pytest.fixture(scope="module")
def made():
    """An untrained generator, with weights large enough that its pictures differ."""
    found = NETWORK.init(KEY, jnp.zeros((2, 4)), train=False)
    return generate.generator_of(NETWORK, jax.tree.map(lambda leaf: 3 * leaf if leaf.ndim > 1 else leaf, found))


def numbers(first):
    while True:
        yield {"number": np.arange(8, dtype=np.int32)}


def noise(first):
    for number in itertools.count(first):
        image = np.random.default_rng(number).integers(0, 256, (8, 8, 8, 3), np.uint8)
        yield {"image": image, "label": np.zeros(8, np.int32)}


def history(recipe, batches, steps):
    """Return the last state and the infos of all steps, as arrays by field."""
    told = []
    state, _ = fit(recipe, batches, key=KEY, steps=steps, every=1, hooks=(lambda state, info: told.append(info),))
    return state, {name: np.array([float(getattr(info, name)) for info in told]) for name in told[0]._fields}


def test_the_distance_is_0_for_the_painting_alone_and_gray_is_three_equal_channels(variables, painting, rng):
    gray = painting[:8, :8, :1]
    arrays = generate.style_arrays(term(), variables, gray)
    pictures: Any = np.stack([gray, rng.random(gray.shape, np.float32)])
    found = generate.style_distance(term(), arrays, pictures)
    assert float(found[0]) < 0.05 * float(found[1])  # the root of a matrix is rounded
    features: Any = models.VGG(layers=LAYERS).apply(variables, pictures.repeat(3, axis=-1))
    expected = 0.0
    for name, weight in zip(LAYERS, (4.0, 1.0), strict=True):  # the distance of each layer, one after another
        moments = [losses.moments(layer) for layer in features[name]]
        expected += weight * losses.WASSERSTEIN.distance(moments[1], losses.WASSERSTEIN.target(moments[0]))
    np.testing.assert_allclose(found[1], expected, rtol=1e-4)


class TestTerms:
    """A style term in the loss of a GAN's generator and of a VAE's decoder, by one step of SGD."""

    @staticmethod
    def gan(style, optimizer=SGD):
        return generate.gan(
            NETWORK, models.DCGANDiscriminator(width=2), shape=(8, 8, 3), latent=4, generator_optimizer=optimizer,
            discriminator_optimizer=SGD, style=style,
        )  # fmt: skip

    @staticmethod
    def vae(style):
        networks = models.VAEEncoder(latent=4, width=2), models.VAEDecoder(size=8, width=2)
        return generate.vae(*networks, shape=(8, 8, 3), latent=4, optimizer=optax.sgd(1e-4), style=style)

    @pytest.mark.parametrize("kind", ["gan", "vae"])
    def test_it_acts_by_its_weight_and_on_what_draws_alone(self, kind, frozen):
        make = getattr(self, kind)
        plain, _ = fit(make(None), noise, key=KEY, steps=1)
        none, told = fit(make(term(0.0))._replace(frozen=frozen), noise, key=KEY, steps=1)
        some, _ = fit(make(term(0.5))._replace(frozen=frozen), noise, key=KEY, steps=1)
        assert float(told.style) > 0
        for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(none), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        moved, kept = ("decoder", "encoder") if kind == "vae" else ("generator", "discriminator")
        parts = [state.params if kind == "vae" else state._asdict() for state in (none, some)]
        for a, b in zip(*(jax.tree.leaves(part[kept]) for part in parts), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        changes = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), *(part[moved] for part in parts))
        assert max(jax.tree.leaves(changes)) > 1e-4

    def test_under_it_pictures_come_nearer_to_the_painting(self, frozen):
        _, told = history(self.gan(term(10.0), ADAM)._replace(frozen=frozen), noise, 12)
        assert told["style"][-1] < 0.8 * told["style"][0]

    @pytest.mark.parametrize(
        ("change", "said"),
        [({"weight": -1.0}, "weight of at least 0"), ({"layer_weights": (1.0,)}, "a weight for each of the layers")],
    )
    def test_terms_that_cannot_serve_are_refused(self, change, said, made):
        for make in (self.gan, self.vae):
            with pytest.raises(ValueError, match=said):
                make(term()._replace(**change))
        with pytest.raises(ValueError, match=said):
            generate.adapted_generator(made, latent=4, style=term()._replace(**change), content_layers=LAYERS)


class TestAdaptation:
    @staticmethod
    def recipe(made, frozen, content_weight=4.0, optimizer=ADAM):
        found = generate.adapted_generator(
            made, latent=4, style=term(), content_layers=("relu2_1",), content_weight=content_weight,
            optimizer=optimizer,
        )  # fmt: skip
        return found._replace(frozen=frozen)

    def test_the_style_comes_and_the_content_stays(self, made, frozen):
        state, told = history(self.recipe(made, frozen), numbers, 12)
        _, free = history(self.recipe(made, frozen, 0.0), numbers, 12)
        assert told["content"][0] < 1e-6  # it begins as the original
        assert told["style"][-1] < 0.9 * told["style"][0]
        assert told["content"][-1] < 0.75 * free["content"][-1]
        for a, b in zip(*map(jax.tree.leaves, (state.original, made.variables)), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_two_devices_take_the_step_of_one(self, made, frozen):
        recipe = self.recipe(made, frozen, optimizer=SGD)
        alone, told = fit(recipe, numbers, key=KEY, steps=1)
        both, also = fit(recipe, numbers, key=KEY, steps=1, mesh=data_mesh(jax.devices()[:2]))
        np.testing.assert_allclose(told, also, rtol=1e-4, atol=1e-6)
        for start, a, b in zip(
            *map(jax.tree.leaves, (made.variables["params"], alone.params, both.params)), strict=True
        ):
            change = np.asarray(a) - start, np.asarray(b) - start
            np.testing.assert_allclose(*change, rtol=0, atol=2e-4 * np.abs(change[0]).max() + 1e-7)

    def test_numbers_out_of_range_are_refused(self, made, frozen):
        with pytest.raises(ValueError, match="expected latent of at least 1"):
            self.recipe(made, frozen, -1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, painting):
    """Pictures to learn, a painting, and one of a single color."""
    where, rng = tmp_path_factory.mktemp("styled"), np.random.default_rng(0)
    images = rng.integers(0, 200, (24, 8, 8, 3), np.uint8)
    np.savez(where / "seen.npz", images=images)
    np.savez(where / "other.npz", images=255 - images)
    io.write(where / "painting.png", painting)
    io.write(where / "flat.png", np.full((20, 20, 3), 0.5, np.float32))
    return where


def saved_leaves(run):
    return jax.tree.leaves(runs.newest_state(run))


def stopped_and_resumed(kind, data, where, options):
    """Train with an end after the first call to the device, and on from there."""
    run = runs.begin(kind, data, where, options=options)
    runs.train(run, stop=lambda: True)
    assert max(runs.saved_steps(run.folder)) < options.steps
    runs.train(runs.open_run(where))
    return run


@pytest.fixture(scope="module")
def gan(folder, vgg_file):
    options = runs.GanOptions(**TINY, steps=8, style=folder / "painting.png", weights=vgg_file, penalty_every=1000)
    run = runs.begin("gan", folder / "seen.npz", folder / "gan", options=options)
    runs.train(run)
    return run


@pytest.fixture(scope="module")
def adapted(folder, gan, vgg_file):
    options = runs.AdaptOptions(generator=gan.folder, weights=vgg_file, **ADAPT)
    run = runs.begin("adapt", folder / "painting.png", folder / "adapted", options=options)
    runs.train(run)
    return run


def test_a_styled_gan_resumes_and_knows_its_painting(gan, folder, tmp_path):
    again = stopped_and_resumed("gan", folder / "seen.npz", tmp_path / "run", gan.options)
    for a, b in zip(saved_leaves(gan), saved_leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    shutil.copy(folder / "painting.png", tmp_path / "copy.png")
    options = dataclasses.replace(gan.options, style=tmp_path / "copy.png")
    moved = runs.begin("gan", folder / "seen.npz", tmp_path / "moved", options=options)
    io.write(tmp_path / "copy.png", np.random.default_rng(1).random((9, 9, 3), np.float32))
    with pytest.raises(ValueError, match=r"copy\.png is not the file that the run began with"):
        runs.train(runs.open_run(moved.folder))


def test_an_adaptation_resumes_and_draws_without_the_generators_folder(gan, adapted, folder, tmp_path):
    again = stopped_and_resumed("adapt", folder / "painting.png", tmp_path / "run", adapted.options)
    for a, b in zip(saved_leaves(adapted), saved_leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert io.read(adapted.folder / "samples" / "step0000008.png").shape == (78, 78, 3)
    before, gan_folder = runs.sample(gan, 2), gan.folder.rename(folder / "elsewhere")
    try:
        drawn = runs.sample(runs.open_run(adapted.folder), 2)
    finally:
        gan_folder.rename(gan.folder)
    assert drawn.shape == before.shape
    assert 1e-4 < np.abs(drawn - before).mean() < 0.3
    exported = jax.export.deserialize(bytearray(runs.export(adapted, tmp_path / "it.bin").read_bytes()))
    z, label = jnp.ones((3, 4)), jnp.zeros(3, jnp.int32)
    np.testing.assert_allclose(exported.call(z, label), runs.generator(adapted).generate(z, label), atol=1e-4)


def test_an_adaptation_is_scored_as_its_generator(adapted, folder, monkeypatch):
    scored = {}
    monkeypatch.setattr("jaxart.runs.pictures.score_generator", lambda *sets, **more: scored.update(sets=sets) or [])
    runs.score(adapted, folder / "other.npz")
    _, seen, held_out = scored["sets"]
    assert int(held_out.column("image")[0, 0, 0, 0]) == 255 - int(seen.column("image")[0, 0, 0, 0])
    with pytest.raises(ValueError, match="learned from these pictures"):
        runs.score(adapted, folder / "seen.npz")


@pytest.mark.parametrize(
    ("kind", "data", "change", "said"),
    [
        ("adapt", "painting.png", {"generator": None}, "generator: expected the folder of a trained run"),
        ("adapt", "flat.png", {}, "single color"),
        ("adapt", "seen.npz", {}, "expected the file of one picture, got 24"),
        ("adapt", "painting.png", {"weights": "gone.safetensors"}, "weights: no such file"),
        ("adapt", "painting.png", {"style_weight": 0.0}, "style_weight: expected a number above 0"),
        ("adapt", "painting.png", {"content_weight": -1.0}, "content_weight of at least 0"),
        ("gan", "seen.npz", {"style": "flat.png"}, "single color"),
        ("gan", "seen.npz", {"style": "gone.png"}, "no such file"),
        ("gan", "seen.npz", {"style_weight": float("nan")}, "style_weight: expected a number above 0"),
        ("vae", "seen.npz", {"weights": "gone.safetensors"}, "weights: no such file"),
    ],
)
def test_what_cannot_serve_is_refused(gan, adapted, folder, vgg_file, tmp_path, kind, data, change, said):
    vae = runs.VaeOptions(**TINY, style=folder / "painting.png", weights=vgg_file)
    options = {"gan": gan.options, "adapt": adapted.options, "vae": vae}[kind]
    paths = {name: folder / value if isinstance(value, str) else value for name, value in change.items()}
    with pytest.raises(ValueError, match=said):
        runs.begin(kind, folder / data, tmp_path / "run", options=dataclasses.replace(options, **paths))
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_kind_cannot_be_adapted(adapted, folder, tmp_path):
    few: Any = {name: value for name, value in TINY.items() if name != "latent"}
    flow = runs.begin("flow", folder / "seen.npz", tmp_path / "flow", options=runs.FlowOptions(**few, factors=(1, 2)))
    options = dataclasses.replace(adapted.options, generator=flow.folder)
    with pytest.raises(ValueError, match="flow takes too many steps"):
        runs.begin("adapt", folder / "painting.png", tmp_path / "run", options=options)
    vae = runs.begin("vae", folder / "seen.npz", tmp_path / "vae", options=runs.VaeOptions(**TINY))
    options = dataclasses.replace(options, generator=vae.folder)
    with pytest.raises(ValueError, match="no checkpoint yet"):
        runs.begin("adapt", folder / "painting.png", tmp_path / "run", options=options)


def test_a_styled_vae_trains_and_is_adapted(folder, vgg_file, tmp_path):
    options = runs.VaeOptions(**TINY, steps=4, style=folder / "painting.png", weights=vgg_file)
    run = runs.begin("vae", folder / "seen.npz", tmp_path / "vae", options=options)
    runs.train(run)
    few = runs.AdaptOptions(generator=run.folder, weights=vgg_file, **ADAPT)
    first = runs.begin("adapt", folder / "painting.png", tmp_path / "first", options=few)
    runs.train(first)
    second = runs.prepare(
        "adapt", folder / "painting.png", tmp_path / "2", options=dataclasses.replace(few, generator=first.folder)
    )
    assert second.facts["facts"]["kind"] == "vae"
    assert runs.sample(first, 2).shape == (2, 8, 8, 3)
