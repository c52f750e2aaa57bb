"""Steering generators: projection, inversion of flows, directions, edits, walks, files of latents, and their commands."""

import functools
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxart import cli, io, models, runs, training
from jaxart.arrays import key_words
from jaxart.runs.run import checkpoints_of, keys_of, recipe_of
from jaxart.tasks import generate

KEY = jax.random.key(3)
LATENT = 4
NETWORK = models.StyleGANGenerator(size=8, width=4)  # as the runs below have it, so that they share its programs
FEATURES = models.VGG(depth=16, layers=("relu1_1", "relu2_1"))


def varied(network):
    """Return variables in which no parameter is where training starts."""
    variables = jax.jit(network.init)(KEY, jnp.zeros((2, LATENT)))
    rng = np.random.default_rng(7)
    return jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.2 * rng.normal(size=leaf.shape)), variables)


@functools.cache
def styled():
    return generate.Styled(NETWORK, varied(NETWORK))


@functools.cache
def drawn():
    """Return styles and pictures of eight latents."""
    w = generate.styles_of(styled(), generate.draw_latents(KEY, 8, latent=LATENT), jnp.zeros(8, jnp.int32))
    return w, generate.paintings(styled(), w)


@pytest.fixture(scope="module")
def seen(variables):
    """Variables of what compares pictures."""
    return FEATURES.freeze(variables)


def searched(seen, space, steps=150):
    target = drawn()[1][3]
    recipe = generate.project_styles(styled(), FEATURES, seen, target, steps=steps, space=space, latent=LATENT, key=KEY)
    return recipe, target


class TestProjection:
    @pytest.mark.parametrize("space", ["w", "w+"])
    def test_a_picture_of_the_generator_is_found(self, space, seen):
        recipe, target = searched(seen, space)
        state, info = training.fit(recipe, key=KEY, steps=150)
        found = generate.projected(recipe, state, run="me")
        assert found.code.shape == (1 if space == "w" else NETWORK.layers, 256)
        assert (found.space, found.run) == (space, "me")
        made = generate.paintings(styled(), np.broadcast_to(found.code, (1, NETWORK.layers, 256)), noise=found.noise)
        distance, *others = generate.distances(FEATURES, seen, np.concatenate([made, drawn()[1][:3]]), target)
        assert distance < np.median(others) / 3
        assert float(info.features) < np.median(others) / 2  # of the picture before it is clipped
        for noise in found.noise:
            assert abs(noise.mean()) < 1e-5
            assert noise.std() == pytest.approx(1, abs=1e-4)

    def test_it_resumes_exactly(self, seen):
        recipe, _ = searched(seen, "w", steps=20)
        whole, _ = training.fit(recipe, key=KEY, steps=20)
        half, _ = training.fit(recipe, key=KEY, steps=7)
        half, _ = training.fit(recipe, key=KEY, steps=20, state=half)
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(half), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_latents_without_styles(self, seen):
        network = models.VAEDecoder(size=8, width=4)
        decoder = generate.decoder_of(network, varied(network)["params"])
        made = generate.pictures(decoder, generate.draw_latents(KEY, 8, latent=LATENT), jnp.zeros(8, jnp.int32))
        recipe = generate.project_latent(
            decoder, FEATURES, seen, made[0], steps=150, latent=LATENT, key=jax.random.key(9)
        )
        state, info = training.fit(recipe, key=KEY, steps=150)
        found = generate.projected(recipe, state)
        near = generate.pictures(decoder, jnp.asarray(found.code), jnp.zeros(1, jnp.int32))
        distance, *others = generate.distances(FEATURES, seen, np.concatenate([near, made[1:]]), made[0])
        assert distance < np.median(others) / 3
        assert (found.space, found.noise) == ("z", None)
        assert float(info.regularity) == pytest.approx((np.mean(found.code**2) - 1) ** 2, abs=0.1)

    def test_correlations_are_those_of_the_formula(self):
        rng = np.random.default_rng(0)
        white, smooth = rng.normal(size=(1, 16, 16, 1)), np.cumsum(rng.normal(size=(1, 16, 16, 1)), axis=1) / 3
        expected = 0.0
        for noise in (white[0, ..., 0], smooth[0, ..., 0]):
            half = noise.reshape(8, 2, 8, 2).sum((1, 3)) / 2
            for level in (noise, half):
                expected += np.mean(level * np.roll(level, 1, 0)) ** 2 + np.mean(level * np.roll(level, 1, 1)) ** 2
        found = generate.noise_correlation({"a": jnp.float32(white), "b": jnp.float32(smooth)})
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        one, other = (float(generate.noise_correlation(jnp.float32(each))) for each in (white, smooth))
        assert 20 * one < other

    def test_what_does_not_fit_is_refused(self, seen):
        known = {"steps": 5, "latent": LATENT, "key": KEY}
        for wrong, match in (({"steps": 0}, "steps"), ({"space": "x"}, "space")):
            with pytest.raises(ValueError, match=match):
                generate.project_styles(styled(), FEATURES, seen, drawn()[1][0], **{**known, **wrong})
        with pytest.raises(ValueError, match="picture: expected the generator's shape"):
            generate.project_styles(styled(), FEATURES, seen, np.zeros((16, 16, 3)), **known)


class Linear(NamedTuple):
    """The exact velocity of Gaussian pictures N(0, r^2)."""

    r: float

    def apply(self, variables, x, time, label):
        t = time.reshape(-1, 1, 1, 1)
        return (t * self.r**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * self.r**2) * x + 0 * variables["params"]


class TestInversion:
    Z = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    LABEL = np.zeros(4, np.int32)

    def test_noise_is_found_again(self):
        errors = []
        for steps, corrections in ((8, 0), (16, 0), (8, 4)):
            flow = generate.flow_of(generate.Solver(Linear(0.5), (4, 4, 1), steps=steps), jnp.float32(0))
            made = flow(jnp.asarray(self.Z), jnp.asarray(self.LABEL))
            errors.append(np.abs(generate.invert(flow, made, self.LABEL, corrections=corrections) - self.Z).max())
        assert errors[0] < 0.3
        assert errors[1] < errors[0] / 2
        assert errors[2] < 0.02

    def test_it_is_the_exact_path(self):
        flow = generate.flow_of(generate.Solver(Linear(0.5), (4, 4, 1), steps=40), jnp.float32(0))
        picture = (0.5 * self.Z.reshape(4, 4, 4, 1) + 1) / 2  # x(1) = r x(0)
        found = generate.invert(flow, picture, self.LABEL)
        np.testing.assert_allclose(found, self.Z, atol=0.02)
        np.testing.assert_allclose(flow(jnp.asarray(found), jnp.asarray(self.LABEL)), picture, atol=1e-3)

    def test_what_cannot_be_inverted_is_refused(self):
        solver = generate.Solver(Linear(0.5), (4, 4, 1))
        for wrong in (solver._replace(heun=False), solver._replace(repeats=2)):
            with pytest.raises(ValueError, match="invert"):
                generate.invert(generate.flow_of(wrong, jnp.float32(0)), np.zeros((1, 4, 4, 1)), self.LABEL[:1])


def aligned(found, expected):
    """Return how far directions ``[K, D]`` agree with others, up to their signs."""
    return np.abs(np.sum(np.asarray(found) * expected, axis=-1))


class TestDirections:
    def test_principal_ones_are_those_of_numpy(self, rng):
        codes = (
            rng.normal(size=(200, 6)).astype(np.float32)
            * [5, 3, 2, 1, 0.5, 0.1]
            @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
        )
        found = generate.principal_directions(jnp.float32(codes), 3)
        _, singular, vectors = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
        np.testing.assert_allclose(aligned(found.vectors, vectors[:3]), 1, atol=1e-4)
        np.testing.assert_allclose(found.values, singular[:3] ** 2 / 200, rtol=1e-4)
        assert (np.take_along_axis(found.vectors, np.abs(found.vectors).argmax(1)[:, None], 1) > 0).all()

    def test_visible_ones_are_found_behind_a_generator(self, rng):
        basis = np.linalg.qr(rng.normal(size=(6, 6)))[0].T
        z = rng.normal(size=(3000, 6)).astype(np.float32)
        scores = np.tanh(z @ basis.T) * [4, 2, 1, 0.5, 0.2, 0.1]
        pictures = (scores @ np.linalg.qr(rng.normal(size=(48, 6)))[0].T)[:300].reshape(300, 4, 4, 3)
        found = generate.visible_directions(jnp.asarray(z[:300]), jnp.float32(pictures), 3)
        assert (aligned(found.vectors, basis[:3]) > 0.97).all()
        np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(3), atol=1e-5)

    def test_factorized_ones_are_singular_vectors(self, rng):
        kernel = rng.normal(size=(6, 40)).astype(np.float32)  # of which two rows are a class's
        found = generate.factorized_directions({"dense": {"kernel": jnp.asarray(kernel)}}, 3, latent=4)
        left, singular, _ = np.linalg.svd(kernel[:4], full_matrices=False)
        np.testing.assert_allclose(aligned(found.vectors, left.T[:3]), 1, atol=1e-4)
        np.testing.assert_allclose(found.values, singular[:3] ** 2, rtol=1e-4)

    def test_layers_of_styles_are_the_networks(self):
        @jax.jit
        def answer(params, w):
            made = lambda w: NETWORK.apply({**styled().variables, "params": params}, w, method="paint")  # noqa: E731
            return jnp.abs(jax.grad(lambda w: jnp.sum(made(w) ** 2))(w)).sum((0, 2)) > 0

        params = styled().variables["params"]
        for name, number in (("layer4", 0), ("up8", 1), ("layer8", 2)):
            only = {
                key: {
                    **layer,
                    "style": {**layer["style"], "kernel": layer["style"]["kernel"] * (key == name)},
                }
                if "style" in layer
                else layer
                for key, layer in params["synthesis"].items()
                if key != "constant"
            }
            only = {**params, "synthesis": {**only, "constant": params["synthesis"]["constant"]}}
            np.testing.assert_array_equal(answer(only, drawn()[0][:1]), np.arange(NETWORK.layers) == number)
            kernel = params["synthesis"][name]["style"]["kernel"]
            found = generate.factorized_directions(params, 1, latent=256, layers=(number, number))
            assert aligned(found.vectors[0], np.linalg.svd(kernel)[0][:, 0]) == pytest.approx(1, abs=1e-4)
        with pytest.raises(ValueError, match="layers of styles"):
            generate.factorized_directions(params, 1, latent=256, layers=(9, 9))

    def test_labels_tell_the_direction(self, rng):
        normal = np.linalg.qr(rng.normal(size=(6, 1)))[0][:, 0]
        scale = np.array([3, 1, 1, 1, 1, 0.3])
        codes = rng.normal(size=(2000, 6)) * scale
        labels = (codes @ normal > 0.3).astype(int)
        found = generate.labeled_direction(jnp.float32(codes), labels)
        assert found @ normal > 0.97
        centered = codes - codes.mean(0)
        scatter = centered.T @ centered / 2000
        expected = np.linalg.solve(
            scatter + 0.01 * np.trace(scatter) / 6 * np.eye(6), centered.T @ (labels - labels.mean())
        )
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-4)
        with pytest.raises(ValueError, match="labels"):
            generate.labeled_direction(jnp.float32(codes), np.ones(2000))

    def test_more_than_there_are_are_refused(self):
        for count in (0, 7):
            with pytest.raises(ValueError, match="count: expected 1 to 6"):
                generate.principal_directions(jnp.ones((9, 6)), count)
        with pytest.raises(ValueError, match='"dense"'):
            generate.factorized_directions({"velocity": {}}, 1, latent=6)


class TestEdits:
    def test_only_the_layers_that_are_told_move(self):
        w, direction = drawn()[0], np.linspace(-1, 1, 256, dtype=np.float32)
        moved = generate.edited(jnp.asarray(w), direction, -2.0, layers=(1, 2))
        np.testing.assert_allclose(moved[:, 1:3], w[:, 1:3] - 2 * direction, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(np.delete(moved, [1, 2], 1), np.delete(w, [1, 2], 1))
        np.testing.assert_allclose(
            generate.edited(jnp.asarray(w[:, 0]), direction, 0.5), w[:, 0] + direction / 2, atol=1e-6
        )
        with pytest.raises(ValueError, match="layers: expected first and last of 0 to 3"):
            generate.edited(jnp.asarray(w), direction, 1.0, layers=(2, 4))

    def test_a_table_of_mixed_styles(self):
        w, made = drawn()
        table = generate.mixing_grid(styled(), w[:2], w[2:5], crossover=2).reshape(3, 4, 8, 8, 3)
        np.testing.assert_allclose(table[0, 1:], made[2:5], atol=1e-5)
        np.testing.assert_allclose(table[1:, 0], made[:2], atol=1e-5)
        assert (table[0, 0] == 1).all()
        one = generate.paintings(styled(), np.concatenate([w[1, :2], w[4, 2:]])[None])
        np.testing.assert_allclose(table[2, 3], one[0], atol=1e-5)

    def test_truncation_goes_to_the_average(self):
        w, made = drawn()
        swept = generate.truncation_sweep(styled(), jnp.asarray(w[:2]), (1.0, 0.5, 0.0)).reshape(2, 3, 8, 8, 3)
        np.testing.assert_allclose(swept[:, 0], made[:2], atol=1e-5)
        np.testing.assert_allclose(swept[0, 2], swept[1, 2], atol=1e-5)
        assert np.abs(swept[0, 1] - swept[0, 0]).max() > 1e-3

    def test_noise_of_each_picture_is_its_own(self):
        w = drawn()[0][:1].repeat(2, 0)
        rng = np.random.default_rng(1)
        maps = [
            rng.normal(size=(2, *each.shape[1:])).astype(np.float32)
            for each in jax.tree.leaves(styled().variables["noise"])
        ]
        both = generate.paintings(styled(), w, noise=maps)
        alone = generate.paintings(styled(), w[:1], noise=[each[1:] for each in maps])
        np.testing.assert_allclose(both[1], alone[0], atol=1e-5)
        assert np.abs(both[0] - both[1]).max() > 1e-3


class TestWalk:
    STOPS = jnp.float32([[1, 0], [0, 2], [-3, 0]])

    def test_open_and_closed(self):
        closed = generate.walk(self.STOPS, frames=4, between=generate.straight)
        opened = generate.walk(self.STOPS, frames=4, between=generate.straight, loop=False)
        assert closed.shape == (12, 2)
        np.testing.assert_allclose(closed[1], [0.75, 0.5])
        np.testing.assert_allclose(opened, np.concatenate([closed[:9]]), atol=1e-5)
        np.testing.assert_allclose(opened[-1], self.STOPS[-1])

    def test_eased_it_starts_and_ends_slowly(self):
        path = np.asarray(generate.walk(self.STOPS[:2], frames=10, between=generate.straight, loop=False, ease=True))
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert steps[0] < 0.4 * steps[5]
        np.testing.assert_allclose(steps, steps[::-1], rtol=1e-4)
        np.testing.assert_allclose(path[5], [0.5, 1.0], atol=1e-5)


TINY = {"size": 8, "width": 4, "latent": LATENT, "batch": 8, "steps": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("a", "b"):
        seed = ord(name)
        np.save(folder / f"{name}.npy", np.random.default_rng(seed).integers(0, 256, (16, 8, 8, 3), np.uint8))
    return folder


def begun(data, folder, kind, options):
    """Return a run with a checkpoint of what training starts from."""
    run = runs.begin(kind, data / "a.npy", folder, options=options)
    key = keys_of(run)[1]
    saved = checkpoints_of(run)
    state = jax.jit(recipe_of(run).init)(key)._replace(step=jnp.int32(1))
    saved.save(1, state, {"key": key_words(key), "rollbacks": 0})
    saved.close()
    return run, runs.steered_of(run)


@pytest.fixture(scope="module")
def styles_run(data, tmp_path_factory):
    options = runs.GanOptions(**TINY, model="stylegan2")
    return begun(data, tmp_path_factory.mktemp("gan") / "run", "gan", options)


@pytest.fixture(scope="module")
def plain_run(data, tmp_path_factory):
    return begun(data, tmp_path_factory.mktemp("vae") / "run", "vae", runs.VaeOptions(**TINY))


@pytest.fixture(scope="module")
def flow_run(data, tmp_path_factory):
    few = {name: value for name, value in TINY.items() if name != "latent"}
    options = runs.FlowOptions(**few, factors=(1,), attention=0, sampling_steps=4)
    return begun(data, tmp_path_factory.mktemp("flow") / "run", "flow", options)


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs a command in this process and returns its exit code and what it said."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["jaxart", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        told = capsys.readouterr()
        return stopped.value.code, " ".join((told.out + told.err).split())

    return run


class TestFiles:
    LATENT = generate.Latent(
        "w", np.ones((1, 8), np.float32), (np.zeros((1, 4, 4, 1), np.float32),), label=2, run="abc"
    )

    def test_they_come_back_as_they_went(self, tmp_path):
        path = runs.write_latent(tmp_path / "a.safetensors", self.LATENT)
        found = runs.read_latent(path)
        assert (found.space, found.label, found.run) == ("w", 2, "abc")
        np.testing.assert_array_equal(found.code, self.LATENT.code)
        np.testing.assert_array_equal(found.noise[0], self.LATENT.noise[0])
        assert runs.read_latent(runs.write_latent(path, self.LATENT._replace(noise=None))).noise is None

    def test_other_files_are_refused(self, tmp_path):
        path = tmp_path / "a.safetensors"
        with pytest.raises(ValueError, match="no such file"):
            runs.read_latent(path)
        path.write_bytes(b"what is this")
        with pytest.raises(ValueError, match="damaged"):
            runs.read_latent(path)
        save_file({"code": np.ones((1, 8), np.float32)}, path)
        with pytest.raises(ValueError, match="expected a file of the format"):
            runs.read_latent(path)
        good = {"format": "jaxart latent 1", "about": '{"space": "w", "label": 0, "run": ""}'}
        for array, about in (
            (np.ones(8, np.float32), good),
            (np.full((1, 8), np.nan, np.float32), good),
            (np.ones((1, 8), np.float32), {**good, "about": '{"space": "v"}'}),
            (np.ones((1, 8), np.float32), {**good, "about": "[" * 9}),
        ):
            save_file({"code": array}, path, metadata=about)
            with pytest.raises(ValueError, match="damaged"):
                runs.read_latent(path)
        with pytest.raises(io.ImageError, match="writable"):
            runs.write_latent(tmp_path / "a.png", self.LATENT)

    def test_those_of_another_run_are_refused(self, styles_run):
        mine = runs.latent_of_seed(styles_run[1], 3)
        with pytest.raises(ValueError, match="belongs to other weights"):
            runs.paint(styles_run[1], [mine._replace(run="abc")])
        for wrong in (mine._replace(code=mine.code[:, :5]), mine._replace(label=1), mine._replace(noise=())):
            with pytest.raises(ValueError, match="damaged"):
                runs.paint(styles_run[1], [wrong])


class TestCommands:
    @pytest.fixture(autouse=True)
    def shallow(self, monkeypatch):
        """Compare pictures by the first layers, whose programs other tests have."""
        monkeypatch.setattr(generate, "PROJECTION_LAYERS", FEATURES.layers)

    def test_project_edit_and_interpolate_with_styles(self, styles_run, vgg_file, photo, tmp_path, command):
        io.write(tmp_path / "photo.png", photo)
        latent, pair = tmp_path / "photo.safetensors", tmp_path / "pair.png"
        line = ("project", styles_run[0].folder, tmp_path / "photo.png", "--features", vgg_file, "--steps", 3)
        code, told = command(*line, "-o", latent, "--preview", pair)
        assert code == 0, told
        assert "48 x 40, brought to the run's 8 x 8" in told
        assert "of a random picture's" in told
        assert io.read(pair).shape == (8, 18, 3)
        found = runs.read_latent(latent)
        assert found.space == "w"
        np.testing.assert_allclose(runs.paint(styles_run[1], [found])[0], io.read(pair)[:, 10:], atol=0.003)

        edits, moved = tmp_path / "edits.png", tmp_path / "moved.safetensors"
        line = ("edit", styles_run[0].folder, latent, "--direction", 1, 2, "--strength", "-2", "0", "2")
        assert command(*line, "--layers", 0, 1, "-o", edits, "--save", moved)[0] == 0
        assert io.read(edits).shape == (18, 28, 3)
        assert runs.read_latent(moved).space == "w+"
        still = runs.edit(styles_run[1], found, 1, [0.0, 1.0], method="factorized")
        np.testing.assert_array_equal(still[0].code, found.code)
        assert still[1].space == "w"

        film = tmp_path / "walk.webp"
        line = (
            "interpolate",
            styles_run[0].folder,
            "--latents",
            latent,
            moved,
            "--seeds",
            5,
            "--frames",
            3,
            "--scale",
            1,
        )
        code, told = command(*line, "--no-loop", "--truncation", 0.5, "-o", film)
        assert (code, "7 frames" in told) == (0, True), told

    def test_frames_pass_the_key_frames(self, styles_run, plain_run):
        for opened, run in (styles_run, plain_run):
            frames = runs.walk(run, seeds=[4, 9], frames=3, loop=False)
            for place, seed in ((0, 4), (3, 9)):
                np.testing.assert_allclose(frames[place], runs.sample(opened, 1, seed=seed)[0], atol=1e-5)
            assert runs.walk(run, stops=2, frames=2).shape == (4, 8, 8, 3)

    def test_styles_mix(self, styles_run, plain_run, tmp_path, command):
        latents = [runs.latent_of_seed(styles_run[1], seed) for seed in (4, 5, 6)]
        table, path = runs.mix(styles_run[1], latents[:1], latents[1:], crossover=1), tmp_path / "table.png"
        assert table.shape == (6, 8, 8, 3)
        line = ("mix", styles_run[0].folder, "--rows", 4, "--columns", 5, 6, "--crossover", 1, "-o", path)
        assert command(*line)[0] == 0
        np.testing.assert_allclose(io.read(path), io.grid(table, columns=3), atol=0.003)
        assert command("mix", plain_run[0].folder, "-o", path)[0] == 2

    def test_sorted_pictures_teach_a_direction(self, styles_run, plain_run, tmp_path, command):
        for opened, run in (styles_run, plain_run):
            made = runs.sample(opened, 64, seed=3)
            found = runs.labeled_direction(run, dict(enumerate(made.mean((1, 2, 3)).tolist())), seed=3)
            dark, bright = runs.paint(run, runs.edit(run, runs.latent_of_seed(run, 99), found, [-2.0, 2.0]))
            assert bright.mean() > dark.mean()
        folder, sides = plain_run[0].folder, (tmp_path / "away", tmp_path / "toward")
        assert command("generate", folder, "-n", 8, "--separate", "-o", tmp_path / "all")[0] == 0
        for number in (2, 7, 5):
            side = sides[number % 2]
            side.mkdir(exist_ok=True)
            (tmp_path / "all" / f"{number:05d}.png").rename(side / f"{number:05d}.png")
        line = ("edit", folder, 1, "--strength", 1, 2, "-o", tmp_path / "edits.png")
        code, told = command(*line, "--away", sides[0], "--toward", sides[1])
        assert (code, "1 x 2 pictures" in told) == (0, True), told
        expected = runs.labeled_direction(plain_run[1], {2: 0, 5: 1, 7: 1})
        moved = runs.edit(plain_run[1], runs.latent_of_seed(plain_run[1], 1), expected, [1, 2])
        np.testing.assert_allclose(
            io.read(tmp_path / "edits.png")[:, 10:], runs.paint(plain_run[1], moved)[1], atol=0.003
        )
        for wrong, message in (
            (("--toward", sides[1]), "belong together"),
            (("--toward", sides[1], "--away", sides[1]), "in the other folder too"),
            (("--toward", sides[1], "--away", tmp_path), "expected pictures of"),
        ):
            code, told = command(*line, *wrong)
            assert (code, message in told) == (2, True), told

    def test_truncated_to_nothing_all_are_alike(self, styles_run, plain_run, tmp_path, command):
        made = runs.sample(styles_run[0], 3, truncation=0.0)
        np.testing.assert_allclose(made[0], made[2], atol=1e-5)
        line = ("generate", styles_run[0].folder, "-n", 2, "--truncation", 0, 0.7, 1, "-o", tmp_path / "a.png")
        assert command(*line)[0] == 0
        sweep = io.read(tmp_path / "a.png")
        assert sweep.shape == (18, 28, 3)
        np.testing.assert_array_equal(sweep[:8, :8], sweep[10:, :8])
        code, told = command("generate", plain_run[0].folder, "--truncation", 0.7, "-o", tmp_path / "a.png")
        assert (code, "no styles" in told) == (2, True)

    def test_a_run_without_styles(self, plain_run, vgg_file, photo, tmp_path, command):
        found = runs.project(plain_run[1], photo, steps=2, weights=str(vgg_file))
        assert found.latent.space == "z"
        assert found.picture.shape == found.target.shape == (8, 8, 3)
        assert found.error == pytest.approx(np.sqrt(np.mean((found.picture - found.target) ** 2)))
        for method in ("principal", "factorized"):
            vectors = runs.directions(plain_run[1], 3, method=method)
            np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-5)
        code, told = command("edit", plain_run[0].folder, 7, "--strength", 1, "-o", tmp_path / "a.png")
        assert (code, "1 x 1 pictures" in told) == (0, True), told
        code, told = command("edit", plain_run[0].folder, 7, "--layers", 0, 1, "-o", tmp_path / "a.png")
        assert (code, "has no styles" in told) == (2, True)
        with pytest.raises(ValueError, match="its space is z, got w"):
            runs.project(plain_run[1], photo, space="w", weights=str(vgg_file))

    def test_a_flow_is_run_backwards(self, flow_run, tmp_path, command):
        io.write(tmp_path / "own.png", runs.sample(flow_run[0], 1, seed=2)[0])
        code, told = command("project", flow_run[0].folder, tmp_path / "own.png", "-o", tmp_path / "own.safetensors")
        assert (code, "run backwards" in told) == (0, True), told
        latent = runs.read_latent(tmp_path / "own.safetensors")
        np.testing.assert_allclose(runs.paint(flow_run[1], [latent])[0], io.read(tmp_path / "own.png"), atol=0.02)
        with pytest.raises(ValueError, match="a flow's latent is noise"):
            runs.edit(flow_run[1], latent, 1, [1.0])

    def test_what_cannot_be_is_one_clear_line(self, styles_run, plain_run, data, photo, tmp_path, command):
        latent, out = tmp_path / "a.safetensors", tmp_path / "a.png"
        runs.write_latent(latent, runs.latent_of_seed(plain_run[1], 0))
        io.write(tmp_path / "photo.png", photo)
        other = runs.begin("translate", {name: data / f"{name}.npy" for name in ("a", "b")}, tmp_path / "other")
        for line, expected in (
            (("edit", styles_run[0].folder, latent, "-o", out), "belongs to other weights"),
            (("edit", plain_run[0].folder, latent, "--direction", 5, "-o", out), "this generator has 1 to 4, got 5"),
            (("edit", styles_run[0].folder, 1, "--direction", 0, "-o", out), "counted from 1"),
            (("interpolate", styles_run[0].folder, "--latents", latent, "-o", tmp_path / "a.gif"), "other weights"),
            (("interpolate", styles_run[0].folder, "-o", tmp_path / "a.avi"), "writable: .gif .webp .mp4"),
            (("project", other.folder, tmp_path / "photo.png", "-o", latent), "makes no pictures from latents"),
            (("project", styles_run[0].folder, tmp_path / "photo.png", "-o", out), "writable: .safetensors"),
            (("project", styles_run[0].folder, tmp_path / "none.png", "-o", latent), "no such file"),
        ):
            code, told = command(*line)
            assert (code, expected in told, "Traceback" in told) == (2, True, False), told


class TestFilms:
    def test_without_pyav_it_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(ValueError, match=r"pip install 'jaxart\[video\]'"):
            runs.check_film(tmp_path / "a.mp4")

    def test_an_mp4_holds_the_frames(self, tmp_path):
        av = pytest.importorskip("av")
        ramp = np.linspace(0, 1, 5)[:, None, None, None] * np.ones((5, 17, 32, 1))
        path = runs.write_film(tmp_path / "a.mp4", ramp, fps=10)
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert (len(frames), frames[0].shape) == (5, (18, 32, 3))
        np.testing.assert_allclose([each.mean() / 255 for each in frames], np.linspace(0, 1, 5), atol=0.03)
