"""The U-Net, flow matching, and drawing with flows: freely, from a picture, around one, toward a style."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import losses, models
from jaxart.tasks import generate
from jaxart.training import fit

KEY = jax.random.key(5)
TINY = models.VelocityNet(width=4, factors=(1, 2), attention=1, scale=0.7)


def varied(params, key=KEY):
    """Return params without zeros, so that every part of a network counts."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [leaf + 0.3 * jax.random.normal(each, leaf.shape) for leaf, each in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, drawn)


class Linear(NamedTuple):
    """The exact velocity of Gaussian pictures N(0, r^2), with a class that is `shift` brighter."""

    r: float
    shift: float = 0.0

    @property
    def scale(self):
        return self.r

    def apply(self, variables, x, time, label):
        t = time.reshape(-1, 1, 1, 1)
        mean = jnp.where(label == 1, self.shift, 0.0).reshape(-1, 1, 1, 1)
        d = (1 - t) ** 2 + t**2 * self.r**2
        return mean + (t * self.r**2 - (1 - t)) / d * (x - t * mean) + 0 * variables["params"]


def draw(solver, z, label=None, params=0.0, **arrays):
    label = np.zeros(len(z), np.int32) if label is None else np.asarray(label, np.int32)
    return 2 * np.asarray(generate.flow_of(solver, jnp.float32(params), **arrays)(jnp.asarray(z), label)) - 1


class TestUNet:
    @pytest.mark.parametrize("squares", [0, 1])
    def test_shape_and_zero_start(self, squares):
        network = models.UNet(5, width=4, factors=(1, 2), squares=squares)
        x = jax.random.normal(KEY, (2, 8, 12, 3))
        variables = jax.jit(network.init)(KEY, x)
        found = jax.jit(network.apply)(variables, x)
        assert found.shape == (2, 8, 12, 5)
        assert not np.any(found)

    def test_without_attention_far_pixels_do_not_matter(self):
        x = jax.random.normal(KEY, (1, 8, 64, 2))
        changed = x.at[:, :, -4:].add(1.0)
        for attention, local in {0: True, 1: False}.items():
            network = models.UNet(2, width=4, factors=(1, 2), attention=attention)
            params = varied(jax.jit(network.init)(KEY, x)["params"])
            one, other = (jax.jit(network.apply)({"params": params}, each) for each in (x, changed))
            assert np.array_equal(one[:, :, :16], other[:, :, :16]) == local
            assert not np.allclose(one[:, :, -8:], other[:, :, -8:])

    def test_attention_is_that_of_the_formula(self):
        module = models.unet.Attention(head=2)
        x = jax.random.normal(KEY, (1, 2, 3, 4))
        params = varied(jax.jit(module.init)(KEY, x)["params"])
        tokens = np.asarray(x).reshape(6, 4)
        unit = lambda each: each / np.sqrt(np.mean(each**2, -1, keepdims=True) + 1e-6)  # noqa: E731
        query, key, value = np.split((unit(tokens) @ params["qkv"]["kernel"]).reshape(6, 6, 2), 3, axis=1)
        heads = []
        for head in range(2):
            scores = unit(query[:, head]) @ unit(key[:, head]).T / np.sqrt(2)
            shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
            heads.append(shares @ value[:, head])
        expected = tokens + np.concatenate(heads, 1) @ params["out"]["kernel"]
        np.testing.assert_allclose(module.apply({"params": params}, x)[0].reshape(6, 4), expected, atol=1e-5)

    def test_sides_that_do_not_divide_are_said(self):
        with pytest.raises(ValueError, match="multiples of 8"):
            models.UNet(3, factors=(1, 2, 3)).init(KEY, jnp.zeros((1, 8, 12, 3)))


class TestVelocityNet:
    def test_it_begins_as_the_best_linear_guess(self):
        noise = jax.random.normal(KEY, (1, 200, 200, 1))
        images = 0.7 * jax.random.normal(jax.random.key(1), noise.shape)
        for t in (0.0, 0.3, 0.9, 1.0):
            time = jnp.full(1, t)
            x = generate.between(noise, images, time)
            found = jax.jit(TINY.apply)(jax.jit(TINY.init)(KEY, x, time), x, time)
            fitted = np.sum((images - noise) * x) / np.sum(x**2)  # least squares
            np.testing.assert_allclose(found, fitted * x, atol=0.05)
            d = (1 - t) ** 2 + t**2 * 0.49
            np.testing.assert_allclose(np.std(images - noise - found), 0.7 / np.sqrt(d), rtol=0.02)

    def test_labels_and_times_matter_and_none_is_a_class_more(self):
        network = models.VelocityNet(width=4, factors=(1,), classes=2)
        x, time = jax.random.normal(KEY, (3, 4, 4, 1)), jnp.full(3, 0.5)
        params = varied(jax.jit(network.init)(KEY, x, time, jnp.zeros(3, int))["params"])
        made = jax.jit(network.apply)({"params": params}, x[:1].repeat(3, 0), time, jnp.arange(3))
        assert not np.allclose(made[0], made[1])
        assert not np.allclose(made[1], made[2])
        with pytest.raises(ValueError, match="label"):
            jax.jit(network.apply)({"params": params}, x, time)

    def test_waves_repeat_as_told(self):
        waves = models.unet.time_waves(jnp.array([0.25]), 6)
        angles = 0.25 * np.array([1.0, 1000**0.5, 1000.0])
        np.testing.assert_allclose(waves[0], [*np.sin(angles), *np.cos(angles)], atol=1e-4)


def bars(first):
    """Yield pictures, bright above or below by their class."""
    for number in itertools.count(first):
        rng = np.random.default_rng([3, number])
        label = rng.integers(0, 2, 16).astype(np.int32)
        image = rng.integers(0, 60, (16, 8, 8, 1))
        image[label == 0, :4] += 150
        image[label == 1, 4:] += 150
        yield {"image": image.astype(np.uint8), "label": label}


class TestRecipe:
    def test_it_learns_classes_and_guidance_makes_them_clearer(self):
        network = models.VelocityNet(width=8, factors=(1, 2), classes=2, scale=0.7)
        recipe = generate.flow(network, shape=(8, 8, 1), classes=2, optimizer=optax.adam(3e-3), half_life=500)
        state, info = fit(recipe, bars, key=KEY, steps=300)
        assert float(info.loss) < 0.6
        label = np.repeat([0, 1], 8).astype(np.int32)
        z = generate.draw_latents(KEY, 16, latent=64)
        contrast = []
        for guidance in (1.0, 3.0):
            solver = generate.Solver(network, (8, 8, 1), steps=6, guidance=guidance, classes=2)
            made = generate.pictures(generate.flow_of(solver, state.average), z, label)
            halves = made[:, :4].mean((1, 2, 3)) - made[:, 4:].mean((1, 2, 3))
            right = np.where(label == 0, halves, -halves)
            assert np.sum(right > 0.3) >= (14 if guidance == 1 else 16)  # of 16
            contrast.append(right.mean())
        assert contrast[1] > contrast[0]

    def test_numbers_out_of_range_are_refused(self):
        for wrong in ({"drop_class": 1.5}, {"time_std": 0.0}, {"half_life": 0.0}, {"classes": -1}):
            with pytest.raises(ValueError, match="flow"):
                generate.flow(TINY, shape=(8, 8, 1), **wrong)


class TestStudent:
    FEATURES = models.VGG(depth=16, layers=("relu1_1",))

    def pairs(self, first):
        """Yield noise of one color a picture and what a teacher makes of it: half of it, turned around."""
        for number in itertools.count(first):
            noise = (
                np.random.default_rng(number).normal(size=(16, 1, 1, 3)).astype(np.float32).repeat(4, 1).repeat(4, 2)
            )
            yield {"image": -0.5 * noise, "noise": noise, "label": np.zeros(16, np.int32)}

    def test_it_reaches_in_two_looks_what_the_teacher_reaches(self, variables):
        network = models.VelocityNet(width=8, factors=(1,), attention=0, scale=0.9)
        start = jax.jit(network.init)(KEY, jnp.zeros((1, 4, 4, 3)), jnp.zeros(1))["params"]
        options = {"features": self.FEATURES, "shape": (4, 4, 3), "looks": 2, "half_life": 300}
        recipe = generate.student(network, optimizer=optax.adam(3e-3), start=lambda: start, **options)
        begun = recipe.begin(jax.jit(recipe.init)(KEY))
        for a, b in zip(jax.tree.leaves(begun.average), jax.tree.leaves(start), strict=True):
            np.testing.assert_array_equal(a, b)
        state, info = fit(recipe._replace(frozen=variables), self.pairs, key=KEY, steps=200)
        np.testing.assert_allclose(info.loss, info.features + info.pixels, rtol=1e-5)
        z = next(self.pairs(999))["noise"]
        made, missed = {}, {}
        for name, params in {"first": start, "taught": state.average}.items():
            solver = generate.Solver(network, (4, 4, 3), steps=2, heun=False)
            made[name] = (
                2 * generate.pictures(generate.flow_of(solver, params), z.reshape(16, -1), np.zeros(16, np.int32)) - 1
            )
            missed[name] = np.abs(made[name] - np.clip(-0.5 * z, -1, 1)).mean()
        assert missed["taught"] < 0.3 * missed["first"]

    def test_looks_are_told_apart(self, variables):
        seen = []

        class Spy(NamedTuple):
            def init(self, key, x, time, label):
                return {"params": jnp.zeros(())}

            def apply(self, variables, x, time, label):
                jax.debug.callback(lambda t: seen.extend(t.tolist()), time)
                return x + variables["params"]

        recipe = generate.student(Spy(), features=self.FEATURES, shape=(4, 4, 3), looks=4)
        fit(recipe._replace(frozen=variables), self.pairs, key=KEY, steps=6)
        assert set(seen) == {0.0, 0.25, 0.5, 0.75}

    def test_numbers_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match="looks of at least 1"):
            generate.student(TINY, features=self.FEATURES, shape=(4, 4, 3), looks=0)


class TestSolver:
    Z = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)

    def test_gaussian_noise_becomes_gaussian_pictures_to_second_order(self):
        errors = []
        for steps in (8, 16, 32):
            solver = generate.Solver(Linear(0.5), (4, 4, 1), steps=steps)
            errors.append(np.abs(draw(solver, self.Z).reshape(4, 16) - 0.5 * self.Z).max())  # x(1) = r x(0)
        assert errors[0] < 0.05
        assert 3 < errors[0] / errors[1] < 5
        assert 3 < errors[1] / errors[2] < 5

    def test_steps_of_a_student_lead_to_what_is_aimed_at(self):
        looked = []

        class Aims(NamedTuple):
            def apply(self, variables, x, time, label):
                looked.append(time)
                target = 1 + 0.5 * time.reshape(-1, 1, 1, 1)  # aims at 1, then at 1.25
                return (target - x) / (1 - time.reshape(-1, 1, 1, 1))

        solver = generate.Solver(Aims(), (4, 4, 1), steps=2, heun=False)
        np.testing.assert_allclose(draw(solver, self.Z), 1.25, atol=1e-5)
        assert len(looked) == 2

    def test_guidance_goes_beyond_the_class(self):
        for guidance in (0.0, 1.0, 3.0):
            solver = generate.Solver(Linear(1.0, shift=0.2), (4, 4, 1), 12, guidance=guidance, classes=2)
            made = draw(solver, self.Z, [1, 1, 0, 2])  # 2 stands for none, which Linear takes for class 0
            np.testing.assert_allclose(made[:2].mean() - self.Z[:2].mean(), 0.2 * guidance, atol=0.02)
            np.testing.assert_allclose(made[2:].reshape(2, 16), self.Z[2:], atol=0.03)

    def test_autoguidance_goes_beyond_the_linear_guess_in_the_second_half_of_the_way(self):
        network, noise, labels = Linear(0.5, shift=0.4), self.Z.reshape(4, 4, 4, 1), np.ones(4, np.int32)

        def velocity(x, time):
            return network.apply({"params": 0.0}, x, jnp.full(4, time), labels)

        half = noise + 0.5 * velocity(noise, 0.0)
        guess = models.linear_velocity(half, jnp.full(4, 0.5), scale=0.5)
        expected = half + 0.5 * (velocity(half, 0.5) + 0.7 * (velocity(half, 0.5) - guess))
        solver = generate.Solver(network, (4, 4, 1), steps=2, heun=False, autoguidance=0.7)
        np.testing.assert_allclose(draw(solver, self.Z, labels), expected, atol=1e-5)
        exact = solver._replace(autoguidance=0.0)
        np.testing.assert_allclose(draw(solver, self.Z), draw(exact, self.Z), atol=1e-5)  # nothing is missing in it

    def test_a_picture_depends_on_its_latent_alone(self):
        solver = generate.Solver(Linear(0.5), (4, 4, 1), 3, repeats=3, adjust=(generate.keep_outside,))
        arrays = {"adjust": ({"picture": jnp.ones((4, 4, 1)), "mask": jnp.ones((4, 4, 1))},)}
        np.testing.assert_allclose(draw(solver, self.Z, **arrays)[2:3], draw(solver, self.Z[2:3], **arrays), atol=1e-6)

    def test_begun_from_a_picture_it_stays_near_it(self):
        start = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4, 1)
        far = []
        for begin in (0.3, 0.9):
            solver = generate.Solver(Linear(1.0), (4, 4, 1), steps=6, start_time=begin)
            far.append(np.sqrt(np.mean((draw(solver, self.Z, start=start) - start) ** 2)))
        assert far[1] < 0.2 < far[0]

    def test_what_is_known_comes_out_as_it_went_in(self):
        picture = np.random.default_rng(1).integers(0, 256, (4, 4, 1)).astype(np.float32) / 127.5 - 1
        mask = np.zeros((4, 4, 1), np.float32)
        mask[1:3, 1:3] = 1
        arrays = {"adjust": ({"picture": jnp.asarray(picture), "mask": jnp.asarray(mask)},)}
        for repeats in (1, 3):
            solver = generate.Solver(Linear(0.5), (4, 4, 1), 5, adjust=(generate.keep_outside,), repeats=repeats)
            made = draw(solver, self.Z, **arrays)
            np.testing.assert_allclose(made * (1 - mask), np.broadcast_to(picture * (1 - mask), made.shape), atol=1e-6)
            assert np.std(made[:, 1:3, 1:3]) > 0.2

    def test_repeats_keep_the_spread_of_pictures(self):
        z = np.random.default_rng(2).normal(size=(2000, 4)).astype(np.float32)
        solver = generate.Solver(Linear(0.5), (2, 2, 1), steps=10, repeats=4)
        made = draw(solver, z)
        np.testing.assert_allclose(made.std(), 0.5, rtol=0.05)
        assert abs(np.corrcoef(made.ravel(), z.ravel())[0, 1]) < 0.9  # new noise came in

    def test_toward_a_style_the_distance_falls(self, variables):
        features = models.VGG(depth=16, layers=("relu1_1", "relu2_1"))
        painting = np.random.default_rng(3).uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)
        layers = jax.jit(features.apply)(variables, painting)
        targets = losses.targets_of_layers({name: layer[0] for name, layer in layers.items()})
        z = np.random.default_rng(4).normal(size=(2, 768)).astype(np.float32)
        arrays = {"adjust": ({"variables": variables, "targets": targets},)}
        distances = []
        for strength in (0.0, 0.5):
            toward = generate.TowardStyle(features, strength, (1.0, 1.0))
            solver = generate.Solver(Linear(0.2), (16, 16, 3), 4, adjust=(toward,))
            found = features.apply(variables, (draw(solver, z, **arrays) + 1) / 2)
            distances.append(losses.style_of_layers(found, targets, layer_weights=(1.0, 1.0)).mean())
        assert distances[1] < 0.8 * distances[0]

    def test_what_does_not_fit_the_solver_is_refused(self):
        solver = generate.Solver(Linear(1.0), (4, 4, 1))
        for given, arrays in (
            (solver, {"start": self.Z}),
            (solver._replace(start_time=0.5), {}),
            (solver, {"adjust": (1,)}),
        ):
            with pytest.raises(ValueError, match="flow_of: expected the arrays"):
                generate.flow_of(given, 0.0, **arrays)

    def test_no_path_is_refused(self):
        for wrong in ({"steps": 0}, {"start_time": 1.0}, {"repeats": 0}):
            with pytest.raises(ValueError, match="flow_of"):
                generate.flow_of(generate.Solver(Linear(1.0), (4, 4, 1))._replace(**wrong), 0.0)
