"""Warps against SciPy, augmentation against what it says, the probability that adapts, and the recipe with all of it."""

import functools
import itertools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads
from scipy import ndimage

from jaxart import data, losses, models
from jaxart.data import adaptive
from jaxart.ops import affine_warp
from jaxart.tasks import generate
from jaxart.training import AXIS, Checkpoints, Recipe, by_shard_map, data_mesh, fit

KEY = jax.random.key(6)
KEYS = jax.random.split(KEY, 400)


def random_matrices(rng, count):
    return np.concatenate([rng.normal(size=(count, 2, 2)), 3 * rng.normal(size=(count, 2, 1))], axis=2)


@pytest.mark.parametrize(("border", "mode"), [("reflect", "mirror"), ("zero", "grid-constant")])
def test_a_warp_is_that_of_scipy(border, mode, rng):
    images, matrices = rng.normal(size=(5, 7, 6, 2)), random_matrices(rng, 5)
    got = affine_warp(jnp.float32(images), jnp.float32(matrices), border=border)
    middle = np.array([3.0, 2.5])
    for image, matrix, mine in zip(images, matrices, got, strict=True):
        offset = matrix[:, 2] + middle - matrix[:, :2] @ middle
        for channel in range(2):
            told = ndimage.affine_transform(image[..., channel], matrix[:, :2], offset, order=1, mode=mode)
            np.testing.assert_allclose(mine[..., channel], told, atol=2e-5)


MOVES = {
    "nothing": ([[1, 0, 0], [0, 1, 0]], lambda x: x),
    "left and right": ([[1, 0, 0], [0, -1, 0]], lambda x: x[:, :, ::-1]),
    "a quarter": ([[0, 1, 0], [-1, 0, 0]], lambda x: np.rot90(x, 1, (1, 2))),
    "down by two": ([[1, 0, -2], [0, 1, 0]], lambda x: np.pad(x, [(0, 0), (2, 0), (0, 0), (0, 0)], mode="reflect")[:, :-2]),
}  # fmt: skip


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("move", MOVES)
def test_whole_pixels_stay_whole(move, sharp, rng):
    matrix, expected = MOVES[move]
    images = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(affine_warp(images, jnp.float32([matrix, matrix]), sharp=sharp), expected(images))


def test_a_sharp_warp_keeps_waves_that_a_plain_one_fades():
    """A shift by half a pixel multiplies a wave of f cycles a pixel by cos(pi f), a sharp one by the filter's response."""
    wave = np.cos(2 * np.pi * np.arange(-16, 16) / 4).astype(np.float32)  # f = 1/4
    images = jnp.broadcast_to(wave[None, None, :, None], (1, 4, 32, 1))
    half = jnp.float32([[[1, 0, 0], [0, 1, 0.5]]])
    moved = np.cos(2 * np.pi * np.arange(-15.5, 16) / 4)[8:-8]
    lanczos = np.sinc([0.5, 1.5, 2.5]) * np.sinc(np.array([0.5, 1.5, 2.5]) / 3)
    response = (lanczos / lanczos.sum()) @ np.cos(np.pi * np.array([0.5, 1.5, 2.5]) / 2)
    assert response > 0.96
    for sharp, share in ((False, np.cos(np.pi / 4)), (True, response)):
        got = affine_warp(images, half, sharp=sharp)[0, 0, 8:-8, 0]
        np.testing.assert_allclose(got, share * moved, atol=1e-5)


def test_what_a_warp_does_not_take_is_refused():
    with pytest.raises(ValueError, match=r"expected images \[B, H, W, C\] and matrices"):
        affine_warp(jnp.zeros((2, 4, 4, 1)), jnp.zeros((1, 2, 3)))


@pytest.mark.parametrize(("border", "sharp"), [("reflect", True), ("zero", False)])
def test_a_warp_has_a_transpose_and_second_derivatives(border, sharp, rng):
    """<A x, y> = <x, A^T y>, and first and second derivatives, in pictures and matrices, are differences of float64."""
    with jax.enable_x64(True):
        x, y = jnp.asarray(rng.normal(size=(2, 2, 4, 5, 2)))
        matrices = jnp.asarray(random_matrices(rng, 2))
        moved, transpose = jax.vjp(lambda x: affine_warp(x, matrices, border=border, sharp=sharp), x)
        np.testing.assert_allclose(jnp.vdot(moved, y), jnp.vdot(x, transpose(y)[0]), rtol=1e-12)
        check_grads(
            lambda *a: jnp.sin(affine_warp(*a, border=border, sharp=sharp)), (x, matrices), order=2, modes=["rev"]
        )


# Augmentation

ALL = jax.jit(lambda keys, x, p: data.adaptive_augment(keys, x, p, groups=data.ADAPTIVE_GROUPS))


@pytest.mark.parametrize("channels", [1, 3])
def test_at_zero_nothing_changes_and_an_example_is_its_own(channels, rng):
    x = jnp.asarray(rng.uniform(-1, 1, (32, 8, 8, channels)), jnp.float32)
    np.testing.assert_array_equal(ALL(KEYS[:32], x, 0.0), x)
    half = ALL(KEYS[:32], x, 0.5)
    assert np.isfinite(half).all()
    assert (np.asarray(half) != x).any((1, 2, 3)).mean() > 0.9
    np.testing.assert_allclose(ALL(KEYS[:32][::-1], x[::-1], 0.5)[::-1], half, atol=1e-5)


@pytest.mark.parametrize(("group", "changes"), [("geometric", 4), ("color", 5), ("noise", 1), ("cutout", 1)])
def test_each_change_has_the_probability(group, changes, rng):
    """Both turns by an angle together count for one change; a picture is left as it was by chance (1 - p)^changes."""
    x = jnp.broadcast_to(jnp.asarray(rng.uniform(0.1, 1, (1, 4, 4, 3)), jnp.float32), (400, 4, 4, 3))
    made = np.asarray(jax.jit(lambda p: data.adaptive_augment(KEYS, x, p, groups=(group,)))(0.3))
    share, left = (made == x).all((1, 2, 3)).mean(), 0.7**changes
    assert abs(share - left) < 4 * (left * (1 - left) / 400) ** 0.5 + (0.02 if group == "color" else 0)  # a luma kept


def test_blits_are_the_sixteen_and_their_shifts():
    x = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    blit = jax.jit(functools.partial(data.adaptive_augment, groups=("blit",)))
    made = np.asarray(blit(KEYS, jnp.broadcast_to(x, (400, 8, 8, 1)), 1.0))
    grid = [np.rot90(y, k, (1, 2)) for y in (x, x[:, :, ::-1]) for k in range(4)]
    padded = [np.pad(y, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")[0] for y in grid]
    known = {p[i : i + 8, j : j + 8].tobytes() for p in padded for i in range(3) for j in range(3)}
    seen = {each.tobytes() for each in made}
    assert seen <= known
    assert len(seen) > 60


def test_scales_shifts_and_colors_have_the_spread_of_the_paper(rng):
    moves = adaptive._geometric(jax.random.uniform(KEY, (7, 400)), jax.random.normal(KEY, (4, 400)), jnp.float32(1), 16)
    matrix, taken = adaptive._composed(moves, identity=jnp.eye(3))
    assert taken.all()
    spread = 1 / np.sqrt(2 * 400)  # of a deviation, relative
    assert np.log2(np.linalg.det(np.asarray(matrix))).std() == pytest.approx(0.4, rel=4 * spread)  # of one side 0.2
    assert np.asarray(moves[-1][0][:, :2, 2]).std() == pytest.approx(16 / 8, rel=4 * spread)
    colors = jnp.asarray(rng.uniform(-1, 1, (1, 2, 2, 3)), jnp.float32)
    made = data.adaptive_augment(KEYS, jnp.broadcast_to(colors, (400, 2, 2, 3)), 1.0, groups=("color",))
    away = [np.asarray(x - x.mean(-1, keepdims=True)) for x in (made, colors)]
    grown = np.log2(np.linalg.norm(away[0], axis=-1) / np.linalg.norm(away[1], axis=-1))
    assert grown.std(0).mean() == pytest.approx((0.5**2 + 1) ** 0.5, rel=4 * spread)  # contrast and saturation
    gray = colors[..., :1]
    whole = data.adaptive_augment(KEYS, jnp.broadcast_to(gray, (400, 2, 2, 3)), 0.5, groups=("color",))
    assert np.ptp(np.asarray(whole), axis=-1).max() < 1e-4  # grays stay gray
    alone = data.adaptive_augment(KEYS, jnp.broadcast_to(gray, (400, 2, 2, 1)), 0.5, groups=("color",))
    np.testing.assert_allclose(alone[..., 0], whole.mean(-1), atol=1e-4)


def test_it_can_be_differentiated_twice(rng):
    """It is affine, f(x + d) - f(x) = J d, so the Hessian of |f|^2 / 2 is J^T J."""
    x, d = jnp.asarray(rng.normal(size=(2, 32, 8, 8, 3)), jnp.float32)

    @jax.jit
    def products(x, d):
        along = ALL(KEYS[:32], x + d, 0.8) - ALL(KEYS[:32], x, 0.8)
        first = jax.grad(lambda x: jnp.vdot(ALL(KEYS[:32], x, 0.8), along))(x)
        half_square = lambda x: jnp.sum(ALL(KEYS[:32], x, 0.8) ** 2) / 2  # noqa: E731
        return along, first, jax.grad(lambda x: jnp.vdot(jax.grad(half_square)(x), d))(x)

    along, first, second = products(x, d)
    np.testing.assert_allclose(jnp.vdot(first, d), jnp.vdot(along, along), rtol=1e-4)
    np.testing.assert_allclose(second, first, atol=2e-4 * float(jnp.abs(first).max()))


@pytest.mark.parametrize(
    ("x", "options", "told"),
    [
        (jnp.zeros((2, 4, 4, 1)), {"groups": ("colors",)}, "color"),
        (jnp.zeros((2, 4, 6, 3)), {}, r"expected pictures \[B, S, S, 1 or 3\]"),
        (jnp.zeros((2, 4, 4, 2)), {}, r"expected pictures \[B, S, S, 1 or 3\]"),
    ],
)
def test_what_cannot_be_augmented_is_refused(x, options, told):
    with pytest.raises(ValueError, match=told):
        data.adaptive_augment(KEYS[:2], x, 0.5, **options)


# The probability


def test_the_probability_follows_the_mean_sign_and_is_clipped():
    state = data.start_adaptive(probability=0.5)
    for sign in (1.0, 1.0, 0.0):  # mean 0.5 of examples in all, 0.625 with the fourth
        state = data.update_adaptive(state, jnp.float32(sign), jnp.float32(10), jnp.bool_(False), span=400)
        assert float(state.probability) == 0.5
    up = data.update_adaptive(state, jnp.float32(0.5), jnp.float32(10), jnp.bool_(True), span=400)
    assert [float(each) for each in up] == pytest.approx([0.6, 0, 0])
    down = data.update_adaptive(state, jnp.float32(0.0), jnp.float32(10), jnp.bool_(True), span=400)
    assert float(down.probability) == pytest.approx(0.4)
    for sign, end in ((1.0, 1.0), (-1.0, 0.0)):
        assert (
            float(data.update_adaptive(state, jnp.float32(sign), jnp.float32(1000), jnp.bool_(True), span=400)[0])
            == end
        )
    with pytest.raises(ValueError, match=r"probability in \[0, 1\], got 2"):
        data.start_adaptive(probability=2)


def test_the_sign_is_of_zero_or_of_the_middle_of_both():
    real, means = jnp.float32([3, 1, -1, 0.2]), (jnp.float32(0.8), jnp.float32(2.0))
    assert float(generate.overfitting(losses.NON_SATURATING, real, means)) == 0.5
    assert float(generate.overfitting(losses.RELATIVISTIC, real, means)) == -0.5  # of 1.4


# The recipe


class Painter(nn.Module):
    """A generator with styles of two layers."""

    def setup(self):
        self.mapping, self.picture = nn.Dense(6), nn.Dense(64)

    def styles(self, z, label, *, train):
        return jnp.tanh(self.mapping(z))[:, None] * jnp.float32([1, 2])[None, :, None]  # [B, 2, 6]

    def paint(self, w):
        return jnp.tanh(self.picture(w[:, 0] * (1 + w[:, 1]))).reshape(-1, 8, 8, 1)

    def __call__(self, z, label, *, train=False):
        return self.paint(self.styles(z, label, train=train))


class Says(nn.Module):
    """A discriminator that says a number, or the scalar product with weights that it learns."""

    number: float | None = None

    @nn.compact
    def __call__(self, x, label, *, train=False):
        weights = self.param("weights", nn.initializers.normal(0.3), (x[0].size,))
        product = x.reshape(len(x), -1) @ weights
        return product if self.number is None else 0 * product + self.number


def stretched(keys, x, probability):
    return x * (1 + probability)


def pictures(first, size=16):
    for number in itertools.count(first):
        image = np.random.default_rng(number).integers(0, 255, (size, 8, 8, 1), np.uint8)
        yield {"image": image, "label": np.arange(size, dtype=np.int32) % 2}


def points(first):
    for number in itertools.count(first):
        yield {
            "image": np.random.default_rng(number).normal(size=(8, 2)).astype(np.float32),
            "label": np.zeros(8, np.int32),
        }


def game(discriminator=None, generator=None, shape=(2,), **options) -> Recipe:
    rules: dict[str, Any] = dict.fromkeys(("generator_optimizer", "discriminator_optimizer"), optax.sgd(0.1))
    networks = generator or models.MLPGenerator(width=4), discriminator or Says()
    return generate.gan(*networks, shape=shape, latent=4, **rules | options)


@pytest.mark.parametrize(
    ("loss", "says", "end"),
    [(losses.NON_SATURATING, 1.0, 0.82), (losses.NON_SATURATING, -1.0, 0.18), (losses.RELATIVISTIC, 1.0, 0.18)],
    ids=["it knows all", "it knows none", "it tells none apart"],
)
def test_the_probability_rises_where_it_overfits_and_falls_elsewhere(loss, says, end):
    adapt = generate.Adapt(span=100, every=4, probability=0.5, augment=stretched)
    told = []
    state, info = fit(
        game(Says(says), loss=loss, adapt=adapt), points, key=KEY, steps=5, every=1, hooks=(lambda s, i: told.append(i),)
    )  # fmt: skip
    assert [float(each.augment_probability) for each in told] == pytest.approx([0.5] * 3 + [end] * 2)
    assert float(state.adaptive.count) == 8  # the fifth step's
    assert float(info.overfitting) == (0 if loss.paired else says)


def test_penalties_are_of_the_pictures_before_they_are_changed_and_jit_equals_eager():
    """For D(x) = w x of x (1 + p), the slope is w (1 + p)."""
    small = models.MLPGenerator(width=2, depth=1)
    recipe = game(None, small, r1=0.6, r2=0.2, adapt=generate.Adapt(probability=0.5, augment=stretched, every=1))
    state = jax.jit(recipe.init)(KEY)
    step = recipe.lazy[0][1]
    eager, (after, info) = step(KEY, state, next(points(0)), None), jax.jit(step)(KEY, state, next(points(0)), None)
    for mine, theirs in zip(jax.tree.leaves((after, info)), jax.tree.leaves(eager), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    weights = state.discriminator["params"]["weights"]
    np.testing.assert_allclose(info.penalty, 0.4 * jnp.sum((1.5 * weights) ** 2), rtol=1e-5)


class Linear(nn.Module):
    """A generator whose pictures are linear in its styles, with their matrices as its only weights."""

    @nn.compact
    def paint(self, w):
        matrices = self.param("matrices", nn.initializers.normal(1.0), (2, 3, 4))
        return jnp.einsum("bld,ldp->bp", w, matrices).reshape(-1, 2, 2, 1)

    def styles(self, z, label, *, train):
        return jnp.broadcast_to(z[:, None], (len(z), 2, 3))


def test_path_lengths_of_a_linear_painter_are_those_of_numpy(rng):
    z = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    variables: Any = Linear().init(KEY, jnp.zeros((1, 2, 3)), method="paint")
    penalty, mean = generate.path_penalty(Linear(), variables, z, jnp.zeros(5, jnp.int32), KEYS[:5], jnp.float32(2))
    noise = np.stack([jax.random.normal(key, (2, 2, 1)).reshape(4) for key in KEYS[:5]]) / 2
    slopes = np.einsum("ldp,bp->bld", variables["params"]["matrices"], noise)
    lengths = np.sqrt((slopes**2).sum(2).mean(1))
    np.testing.assert_allclose(mean, 0.99 * 2 + 0.01 * lengths.mean(), rtol=1e-5)
    np.testing.assert_allclose(penalty, ((lengths - mean) ** 2).mean(), rtol=1e-4)


def turned(keys, x, probability):
    """Turn by an angle of the example's own."""
    angle = probability * jax.vmap(jax.random.normal)(keys)
    cos, sin, zero = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle)
    return affine_warp(x, jnp.stack([cos, -sin, zero, sin, cos, zero], axis=-1).reshape(-1, 2, 3))


def test_devices_agree_on_gradients_probability_and_path_lengths():
    options: dict[str, Any] = {
        "generator": Painter(),
        "shape": (8, 8, 1),
        "r1": 0.1,
        "path_length": 0.5,
        "path_length_every": 1,
        "loss": losses.NON_SATURATING,
        "adapt": generate.Adapt(every=1, span=100, probability=0.7, augment=turned),
    }
    whole, parts = game(**options), game(**options, axis_name=AXIS)
    batch, first = next(pictures(0)), jax.random.fold_in(KEY, 0)
    start = jax.jit(whole.init)(KEY)
    expected, told = jax.jit(whole.lazy[0][1])(first, start, batch, None)
    assert len(whole.lazy) == 1
    assert 0 < float(expected.path_length) < 1
    assert float(expected.adaptive.probability) != pytest.approx(0.7)
    assert min(float(told.generator_gradient), float(told.discriminator_gradient)) > 1e-2
    two, eight = (data_mesh(jax.devices()[:count]) for count in (2, 8))
    mapped = by_shard_map(parts.lazy[0][1], two)
    found = [
        fit(whole, pictures, key=KEY, steps=1, state=start, mesh=eight),
        jax.jit(mapped)(first, start, batch, None),
    ]
    for state, info in found:
        pairs = zip(*(jax.tree.leaves(each) for each in ((state, info), (expected, told))), strict=True)
        for mine, theirs in pairs:
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_steps_of_two_lazy_terms_come_together_where_both_are_due():
    def names(options, steps):
        recipe = game(Says(), Painter(), (8, 8, 1), r1=1.0, path_length=1.0, **options)
        known = {id(step): every for every, step in recipe.lazy} | {id(recipe.step): 0}
        done, found = 0, []
        while done < steps:
            step, until = recipe.step_at(done)
            found += [known[id(step)]] * (min(until, steps) - done)
            done = until
        return found

    assert names({"penalty_every": 4, "path_length_every": 6}, 12) == [0, 0, 0, 4, 0, 6, 0, 4, 0, 0, 0, 12]
    assert names({"penalty_every": 1, "path_length_every": 3}, 7) == [1, 1, 3, 1, 1, 3, 1]
    assert names({"penalty_every": 2, "path_length_every": 2}, 4) == [0, 2, 0, 2]


class OldState(NamedTuple):
    """The state of adversarial recipes before they could adapt."""

    step: Any
    images: Any
    generator: Any
    discriminator: Any
    generator_opt_state: Any
    discriminator_opt_state: Any
    average: Any


def test_a_state_that_does_not_adapt_is_what_it_was_and_old_checkpoints_are_read(tmp_path):
    recipe = game(r1=0.1)
    state, info = fit(recipe, points, key=KEY, steps=2)
    old = OldState(*state[: len(OldState._fields)])
    assert isinstance(info, generate.Info)
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [leaf.shape for leaf in jax.tree.leaves(old)]
    kept = Checkpoints(tmp_path)
    kept.save(2, old, {})
    restored = kept.restore(2, jax.eval_shape(recipe.init, KEY))
    kept.close()
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"adapt": generate.Adapt(target=1.0)}, "target between -1 and 1"),
        ({"adapt": generate.Adapt(every=0)}, "every of at least 1"),
        ({"adapt": generate.Adapt(), "augment": data.diff_augment}, "augment or adapt, got both"),
        ({"path_length": -1.0}, "penalties of at least 0"),
        ({"path_length_every": 0}, "path_length_every of at least 1"),
    ],
)
def test_bad_numbers_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        game(**options)
