"""Attributions against closed forms and slow loops, their checks on functions whose truth is known, and chunks that change nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxart import explain, ops
from jaxart.color import luminance

pytestmark = pytest.mark.usefixtures("strict")
SHAPE, CLASSES = (2, 8, 8, 3), 3
TARGET = np.array([2, 0])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random(SHAPE, np.float32)


def numbers(*shape, scale=1.0):
    return (scale * np.random.default_rng(2).standard_normal(shape)).astype(np.float32)


NET = {
    "conv": {"kernel": numbers(3, 3, 3, 4, scale=0.5), "bias": numbers(4, scale=0.1)},
    "logits": {"kernel": numbers(4, CLASSES), "bias": numbers(CLASSES)},
}


def maps(params, x):
    return jnp.tanh(ops.conv2d(x, params["conv"]["kernel"], stride=2) + params["conv"]["bias"].reshape(1, 1, 1, -1))


def head(params, features):
    return jnp.mean(features, axis=(1, 2)) @ params["logits"]["kernel"] + params["logits"]["bias"].reshape(1, -1)


def net(params, x):
    return head(params, maps(params, x))


def linear(params, x):
    return jnp.einsum("bhwc,hwck->bk", x, params)


WEIGHTS = numbers(*SHAPE[1:], CLASSES)
CHOSEN = np.moveaxis(WEIGHTS, -1, 0)[TARGET]  # of each example's class, [B, H, W, C]


def compiled(function, *arrays):
    """Call a function as one program, which compiles faster than its operations one by one; the results as NumPy arrays."""
    return jax.tree.map(np.asarray, jax.jit(function)(*arrays))


# Gradients


def test_integrated_gradients_of_a_linear_function_are_exact_at_one_step(images):
    baseline = numbers(*SHAPE[1:])

    def explained(x, baseline):
        several = [baseline, explain.black(x)]
        one, two = (
            explain.integrated_gradients(linear, WEIGHTS, x, each, TARGET, steps=1) for each in (baseline, several)
        )
        return one, two, explain.completeness_gap(linear, WEIGHTS, x, several, TARGET, two)

    one, two, gap = compiled(explained, images, baseline)
    np.testing.assert_allclose(one, CHOSEN * (images - baseline), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two, CHOSEN * (images - baseline / 2), rtol=1e-5, atol=1e-6)
    assert gap.shape == (2,)
    assert gap.max() < 1e-4


def test_integrated_gradients_follow_the_midpoint_rule_in_chunks_of_any_size():
    def cubic(params, x):
        return jnp.stack([jnp.zeros_like(x[:, 0]), jnp.sum(x**3, axis=1)], axis=1)

    x, low = numbers(2, 5), numbers(5)[::-1].copy()
    sizes = ((4, 8), (5, 2), (7, 1))
    found = compiled(
        lambda x, low: [
            explain.integrated_gradients(cubic, None, x, low, 1, steps=steps, chunk=chunk) for steps, chunk in sizes
        ],
        x,
        low,
    )
    for (steps, _), each in zip(sizes, found, strict=True):
        alphas = (np.arange(steps).reshape(-1, 1, 1) + 0.5) / steps
        expected = (x - low) * np.mean(3 * (low + alphas * (x - low)) ** 2, axis=0)
        np.testing.assert_allclose(each, expected, rtol=1e-5, atol=1e-6)


def test_attributions_of_a_network_are_complete(images):
    def gaps(x):
        many, one = (explain.integrated_gradients(net, NET, x, 0.0, TARGET, steps=steps) for steps in (64, 1))
        gaps = [explain.completeness_gap(net, NET, x, 0.0, TARGET, each) for each in (many, one, 2 * many)]
        return gaps, explain.completeness_gap(net, NET, x, x, TARGET, jnp.zeros_like(x))

    (many, one, doubled), still = compiled(gaps, images)
    assert many.max() < 0.01
    assert one.min() > 0.01  # it can be seen
    np.testing.assert_allclose(doubled, 1, atol=0.02)
    assert still.tolist() == [0, 0]


def test_trees_hold_integers_and_flags_fixed():
    x = {
        "picture": numbers(2, 2, 2, 1),
        "table": {
            "year": np.array([3.0, -1.0], np.float32),
            "missing": np.array([False, True]),
            "artist": np.arange(2),
        },
    }
    baseline = {
        "picture": np.zeros((1, 1, 1), np.float32),
        "table": {"year": np.float32(1), "missing": np.array([True, True]), "artist": np.array(7)},
    }

    def model(params, x):
        known = jnp.where(x["table"]["missing"], 0.0, x["table"]["year"])
        score = 5 * known + jnp.sum(x["picture"], axis=(1, 2, 3)) * (1 + x["table"]["artist"].astype(jnp.float32))
        return score[:, None]

    def explained(x, baseline):
        found = explain.integrated_gradients(model, None, x, baseline, 0, steps=3, chunk=2)
        gap = explain.completeness_gap(model, None, x, baseline, 0, found)
        return found, gap, explain.shares(found), explain.saliency(model, None, x, 0)

    found, gap, shares, slope = compiled(explained, x, baseline)
    assert jax.tree.structure(found) == jax.tree.structure(x)
    np.testing.assert_allclose(found["picture"], x["picture"] * np.array([1, 2]).reshape(2, 1, 1, 1), rtol=1e-5)
    np.testing.assert_allclose(found["table"]["year"], [10, 0], rtol=1e-5)
    assert found["table"]["missing"].tolist() == found["table"]["artist"].tolist() == [0, 0]
    assert gap.max() < 1e-5
    picture = np.abs(np.sum(found["picture"], axis=(1, 2, 3)))
    np.testing.assert_allclose(shares["picture"], picture / (picture + np.array([10, 0])), rtol=1e-5)
    np.testing.assert_allclose(shares["picture"] + shares["table"], 1, rtol=1e-5)
    assert slope["table"]["year"].tolist() == [5, 0]


def test_tokens_are_summed_over_channels():
    table, weights = numbers(6, 4), numbers(3, 4, 2)
    tokens = np.array([[1, 5, 0], [2, 2, 3]])
    found = explain.integrated_gradients_of_tokens(
        lambda params, tokens: params[0][tokens],
        lambda params, x: jnp.einsum("btd,tdc->bc", x, params[1]),
        (jnp.asarray(table), weights),
        tokens,
        0,
        1,
        steps=2,
    )
    expected = np.einsum("btd,td->bt", table[tokens] - table[0], weights[..., 1])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found[0, 2] == 0


def test_smooth_grad_averages_slopes_at_noisy_copies():
    def squares(weights, x):
        return jnp.sum(weights[None] * x**2, axis=1, keepdims=True) / 2

    weights, x, key = numbers(5), numbers(2, 5)[:, ::-1].copy(), jax.random.key(3)
    noise = [
        [np.asarray(jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, i), s), (5,))) for i in range(2)]
        for s in range(3)
    ]
    spread = 0.1 * (x.max(axis=1) - x.min(axis=1))[:, None]
    expected = weights * (x + spread * np.mean(noise, axis=0))
    found = compiled(
        lambda key, x: {
            "one": explain.smooth_grad(key, squares, weights, x, 0, samples=3, chunk=1),
            "two": explain.smooth_grad(key, squares, weights, x, 0, samples=3, chunk=2),
            "part": explain.smooth_grad(key, squares, weights, x[1:], 0, samples=3, first=1),
            "still": explain.smooth_grad(key, squares, weights, x, 0, deviation=0.0),
        },
        key,
        x,
    )
    np.testing.assert_allclose(found["one"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["two"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["part"], expected[1:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["still"], weights * x, atol=1e-6)


# Activations


def test_class_activation_maps_of_pooled_features_and_a_linear_head(images):
    def explained(x):
        grad = explain.grad_cam(maps, head, NET, x, TARGET)
        hires, layer = (
            method(maps, head, NET, x, TARGET, raw=True) for method in (explain.hires_cam, explain.layer_cam)
        )
        return grad, hires, layer, maps(NET, x), net(NET, x)

    grad, hires, layer, features, scores = compiled(explained, images)
    weights = NET["logits"]["kernel"][:, TARGET]  # [K, B]
    cam = np.einsum("bhwk,kb->bhw", features, weights)
    assert (cam.max(axis=(1, 2)) > 0).tolist() == [True, False]
    shown = np.maximum(cam, 0) / np.maximum(cam.max(axis=(1, 2), keepdims=True), 1e-9)
    np.testing.assert_allclose(grad, shown, rtol=1e-4, atol=1e-5)
    without_bias = scores[np.arange(2), TARGET] - NET["logits"]["bias"][TARGET]
    np.testing.assert_allclose(hires.sum(axis=(1, 2)), without_bias, rtol=1e-4, atol=1e-5)
    slope = np.maximum(weights.T, 0)[:, None, None] / 16
    np.testing.assert_allclose(layer, np.sum(slope * features, axis=-1), rtol=1e-4, atol=1e-6)


def test_grad_cam_averages_the_slopes_that_hires_cam_keeps():
    features, weights = numbers(1, 3, 2, 2), numbers(3, 2, 2, 1, scale=2.0)

    def explained(x):
        split = (lambda params, x: x, linear, weights, x, 0)
        return (
            explain.grad_cam(*split, raw=True),
            explain.hires_cam(*split, raw=True),
            explain.grad_cam(*split, size=(6, 4)),
        )

    grad, hires, larger = compiled(explained, features)
    np.testing.assert_allclose(grad[0], features[0] @ weights[..., 0].mean(axis=(0, 1)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(hires[0], np.sum(features[0] * weights[..., 0], axis=-1), rtol=1e-5, atol=1e-6)
    assert larger.shape == (1, 6, 4)
    assert 0 <= larger.min() < larger.max() <= 1


def test_where_there_is_nothing_to_explain_maps_are_zero_and_finite():
    weights = numbers(3, 2, 2, 1)

    def explained(key, black, flat):
        cams = [
            method(lambda params, x: x, linear, weights, black, 0)
            for method in (explain.grad_cam, explain.hires_cam, explain.layer_cam)
        ]
        mean = explain.mean_color(flat)
        found = explain.integrated_gradients(linear, weights, flat, mean, 0, steps=1)
        gap = explain.completeness_gap(linear, weights, flat, mean, 0, found)
        shares = explain.shares({"a": found, "b": found[:, 0]})
        smooth = explain.smooth_grad(key, linear, weights, flat, 0, samples=2)
        return [*cams, explain.pixel_map(found), gap, shares], smooth

    nothing, smooth = compiled(
        explained, jax.random.key(0), np.zeros((1, 3, 2, 2), np.float32), np.full((1, 3, 2, 2), 0.5, np.float32)
    )
    for each in jax.tree.leaves(nothing):
        assert np.all(each == 0)
    np.testing.assert_allclose(smooth[0], weights[..., 0], rtol=1e-5)


# Occlusion and curves


def test_occlusion_of_a_sum_over_pixels_is_exact(images):
    value = images.mean(axis=(1, 2), keepdims=True)
    found = compiled(
        lambda x, value: explain.occlusion(linear, WEIGHTS, x, TARGET, value=value, window=1, stride=1), images, value
    )
    np.testing.assert_allclose(found, np.sum(CHOSEN * (images - value), axis=-1), atol=1e-4)


def test_occlusion_is_the_mean_over_the_windows_that_cover_a_pixel(images):
    value = np.float32([0.1, 0.5, 0.9])
    total, count = np.zeros(SHAPE[:3]), np.zeros((8, 8))
    score = jax.jit(net)
    whole = np.asarray(score(NET, images))[np.arange(2), TARGET]
    for i in (0, 3, 5):
        for j in (0, 3, 5):
            covered = images.copy()
            covered[:, i : i + 3, j : j + 3] = value
            total[:, i : i + 3, j : j + 3] += (whole - score(NET, covered)[np.arange(2), TARGET])[:, None, None]
            count[i : i + 3, j : j + 3] += 1
    found = compiled(
        lambda x: [
            explain.occlusion(net, NET, x, TARGET, value=value, window=3, stride=3, chunk=chunk) for chunk in (2, 9)
        ],
        images,
    )
    for each in found:
        np.testing.assert_allclose(each, total / count, atol=2e-6)


def slow_curve(begin, end, attribution, steps):
    """Replace positions of one picture one by one in NumPy and score with WEIGHTS' first class."""
    order = np.argsort(-attribution.ravel(), kind="stable")
    scores = []
    for step in range(steps + 1):
        picture = begin.reshape(-1, 3).copy()
        taken = order[: step * len(order) // steps]
        picture[taken] = end.reshape(-1, 3)[taken]
        scores.append(np.sum(picture.reshape(begin.shape) * WEIGHTS[..., 0]))
    return np.array(scores)


def test_curves_replace_the_most_attributed_first(images):
    truth = np.round(np.sum(images * WEIGHTS[None, ..., 0], axis=-1), 1)  # with ties
    names = ("deletion_curve", 3), ("deletion_curve", 7), ("insertion_curve", 3)
    curves = compiled(
        lambda x: [getattr(explain, n)(linear, WEIGHTS, x, 0, truth, 0.0, steps=6, chunk=chunk) for n, chunk in names],
        images,
    )
    for (name, _), found in zip(names, curves, strict=True):
        pairs = [(picture, 0 * picture) for picture in images]
        pairs = pairs if name == "deletion_curve" else [pair[::-1] for pair in pairs]
        expected = np.stack([slow_curve(*pair, each, 6) for pair, each in zip(pairs, truth, strict=True)])
        np.testing.assert_allclose(found.scores, expected, atol=1e-4)
        np.testing.assert_allclose(found.area, np.trapezoid(expected, dx=1 / 6, axis=1), atol=1e-4)
        np.testing.assert_allclose(found.fractions, np.arange(7) / 6, rtol=1e-6)


def test_the_true_order_is_better_than_random_ones(images):
    truth = np.sum(images * CHOSEN, axis=-1)

    @functools.partial(jax.jit, static_argnames="first")
    def compare(key, x, target, attribution, first):
        return [
            explain.compare_with_random(key, curve, linear, WEIGHTS, x, target, attribution, 0.0, steps=6, first=first)
            for curve in (explain.deletion_curve, explain.insertion_curve)
        ]

    key = jax.random.key(0)
    right, wrong = (compare(key, images, TARGET, each, 0) for each in (truth, -truth))
    for each, sign in zip(zip(right, wrong, strict=True), (-1, 1), strict=True):
        assert np.all(sign * (each[0].area - each[0].random) > 1)
        assert np.all(sign * (each[1].area - each[1].random) < -1)
        np.testing.assert_array_equal(each[0].random, each[1].random)
    assert not np.allclose(compare(jax.random.key(1), images, TARGET, truth, 0)[0].random, right[0].random)
    part = compare(key, images[1:], TARGET[1:], truth[1:], 1)
    np.testing.assert_allclose(part[0].random, right[0].random[1:], rtol=1e-5)


# Parameters at random


def test_parameters_are_randomized_layer_after_layer():
    params = {"a": {"kernel": numbers(50, 40) + 3, "steps": np.arange(3)}, "b": numbers(30, 30), "c": numbers(4)}
    first, second = explain.randomized_parameters(jax.random.key(0), params, layers=["b", "a/kernel"])
    assert np.all(first["a"]["kernel"] == params["a"]["kernel"])
    assert first["b"] is second["b"]
    assert second["c"] is params["c"]
    for old, new in ((params["b"], first["b"]), (params["a"]["kernel"], second["a"]["kernel"])):
        assert abs(np.corrcoef(old.ravel(), np.ravel(new))[0, 1]) < 0.1
        np.testing.assert_allclose([np.mean(new), np.std(new)], [old.mean(), old.std()], atol=0.15)
    swapped = explain.randomized_parameters(jax.random.key(0), params, layers=["a", "b"])[-1]
    assert np.all(swapped["b"] == second["b"])
    assert np.all(swapped["a"]["steps"] == np.arange(3))
    with pytest.raises(ValueError, match="layers: unknown value 'kernl'; known: kernel"):
        explain.randomized_parameters(jax.random.key(0), params, layers=["kernl"])


def test_randomization_destroys_the_map_of_a_fitted_network(rng):
    template = np.linspace(-1, 1, 144).astype(np.float32)
    x = rng.standard_normal((256, 144)).astype(np.float32)
    labels = (x @ template > 0).astype(np.int32)
    begin = {"hidden": numbers(144, 8, scale=0.05), "logits": numbers(8, 2, scale=0.3)}

    def apply(params, x):
        return jnp.tanh(x @ params["hidden"]) @ params["logits"]

    def loss(params):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(apply(params, x)), labels[:, None], axis=1))

    def fit(params):
        return jax.lax.fori_loop(
            0, 200, lambda _, p: jax.tree.map(lambda w, g: w - 0.3 * g, p, jax.grad(loss)(p)), params
        )

    fitted = jax.jit(fit)(begin)
    right = np.argmax(np.tanh(x @ np.asarray(fitted["hidden"])) @ np.asarray(fitted["logits"]), axis=1) == labels
    assert np.mean(right) > 0.95

    def maps_of(params):
        return explain.saliency(apply, params, x[:8], 1)

    @jax.jit
    def curves(key, params):
        own = maps_of(params)
        likeness = explain.rank_correlation(own, jnp.broadcast_to(template, own.shape))
        return likeness, explain.randomization_curve(key, maps_of, params, layers=["logits", "hidden"])

    likeness, curve = curves(jax.random.key(0), fitted)
    assert likeness.min() > 0.6
    assert curve.shape == (2, 8)
    assert np.abs(curve[1]).mean() < 0.2


def test_rank_correlation_equals_spearmans(rng):
    first = rng.integers(0, 5, (3, 4, 6)).astype(np.float32)  # with ties
    second = first + rng.integers(0, 6, (3, 4, 6)).astype(np.float32)
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    call = jax.jit(explain.rank_correlation)
    np.testing.assert_allclose(call(first, second), expected, atol=1e-6)
    np.testing.assert_allclose(call(first, first), 1, atol=1e-6)
    assert call(first, np.zeros_like(first)).tolist() == [0, 0, 0]


# Pictures and examples


def test_colors_of_maps_are_as_light_as_values_are_large():
    call = jax.jit(explain.map_colors)
    colors = np.asarray(call(np.linspace(0, 1, 101, dtype=np.float32)))
    shades = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(shades > 0.008856, 116 * np.cbrt(shades) - 16, 903.3 * shades)
    steps = np.diff(lightness)
    assert steps.min() > 0.6
    assert steps.max() < 1.1
    assert colors.min() >= 0
    assert colors.max() <= 1
    outside = np.asarray(call(np.linspace(-1, 2, 101, dtype=np.float32)))
    np.testing.assert_array_equal(outside[[0, -1]], colors[[0, -1]])


def test_overlays_and_sheets(images):
    maps = np.zeros((2, 4, 4), np.float32)
    maps[1] = 1
    light, opacities = np.float32([0.99, 0.95, 0.78]), (0.0, 0.6, 1.0)

    def drawn(x, maps):
        return (
            [explain.overlay(x[1], maps[1], opacity=opacity) for opacity in opacities],
            explain.sheet(x, [maps, maps[:, :2]], gap=2),
            luminance(x[1]),
        )

    overlays, whole, gray = compiled(drawn, images, maps)
    for opacity, found in zip(opacities, overlays, strict=True):
        np.testing.assert_allclose(found, (1 - opacity) * gray + opacity * light, atol=1e-6)
    assert whole.shape == (18, 48, 3)
    np.testing.assert_array_equal(whole[:8, :8], images[0])
    np.testing.assert_array_equal(whole[10:, :8], images[1])
    np.testing.assert_allclose(whole[10:, 30:38], np.broadcast_to(light, (8, 8, 3)), atol=1e-6)
    np.testing.assert_allclose(whole[10:, 40:], overlays[1], atol=1e-6)
    assert np.all(whole[8:10] == 1)
    assert np.all(whole[:, 8:10] == 1)


def test_pixel_maps_cut_off_the_few_largest():
    attributions = np.zeros((1, 10, 10, 2), np.float32)
    attributions[0, ..., 0] = np.arange(100).reshape(10, 10) - 40
    attributions[0, ..., 1] = -10
    total = np.arange(100).reshape(1, 10, 10) - 50.0
    one = np.zeros((1, 20, 20, 1), np.float32)
    one[0, 3, 4] = -0.25
    whole, cut, one = compiled(
        lambda x, one: (
            explain.pixel_map(x, percentile=100),
            explain.pixel_map(x, positive=True, percentile=90),
            explain.pixel_map(one),
        ),
        attributions,
        one,
    )
    np.testing.assert_allclose(whole, np.abs(total) / 50, rtol=1e-6)
    np.testing.assert_allclose(cut, np.clip(total / np.percentile(np.maximum(total, 0), 90), 0, 1), rtol=1e-5)
    assert one[0, 3, 4] == one.sum() == 1


def test_baselines(images):
    blur = np.exp(-0.5 * ((np.arange(8)[:, None] - np.arange(8)) / 2) ** 2)
    blur /= blur.sum(axis=1, keepdims=True)
    expected = np.einsum("bhwc,ih,jw->bijc", images, blur, blur)
    np.testing.assert_allclose(explain.blurred(images, sigma=2), expected, atol=1e-6)
    np.testing.assert_allclose(explain.blurred(np.full_like(images, 0.3)), 0.3, atol=1e-6)
    assert np.all(explain.black(images) == 0)
    assert np.all(explain.gray(images) == 0.5)
    np.testing.assert_allclose(explain.mean_color(images)[1, 4, 3], images[1].mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(explain.mean_color(images, of=images)[1, 4, 3], images.mean(axis=(0, 1, 2)), atol=1e-6)


def test_nearest_examples_equal_a_sort_whatever_the_chunk(rng):
    queries, collection = rng.standard_normal((3, 5)).astype(np.float32), rng.standard_normal((23, 5))
    collection[20], collection[7] = 3 * collection[4], 0
    collection = collection.astype(np.float32)
    queries[0] = collection[4]
    lengths = np.linalg.norm(collection, axis=1)
    cosines = queries @ collection.T / np.linalg.norm(queries, axis=1)[:, None] / np.where(lengths > 0, lengths, 1)
    found = compiled(
        lambda queries, collection: (
            [explain.nearest_examples(queries, collection, count=23, chunk=chunk) for chunk in (4, 8, 100)],
            explain.nearest_examples(jnp.ones((1, 2)), jnp.ones((9, 2)), count=3, chunk=2),
        ),
        queries,
        collection,
    )
    for each in found[0]:
        np.testing.assert_allclose(each.similarities, -np.sort(-cosines, axis=1), atol=1e-6)
        np.testing.assert_allclose(each.similarities, np.take_along_axis(cosines, each.indices, axis=1), atol=1e-6)
        assert sorted(each.indices[0].tolist()) == list(range(23))
        assert set(each.indices[0, :2].tolist()) == {4, 20}
    assert found[1].indices.tolist() == [[0, 1, 2]]  # of equals, whatever the chunk


# All of them


def test_compiled_equals_eager(images):
    key = jax.random.key(0)
    calls = {
        "integrated": lambda x: explain.integrated_gradients(net, NET, x, [0.0, 1.0], TARGET, steps=4, chunk=2),
        "smooth": lambda x: explain.smooth_grad(key, linear, WEIGHTS, x, TARGET, samples=2, chunk=1),
        "cam": lambda x: explain.grad_cam(maps, head, NET, x, TARGET),
        "occlusion": lambda x: explain.occlusion(linear, WEIGHTS, x, TARGET, window=4, stride=4, chunk=2),
        "curve": lambda x: explain.deletion_curve(linear, WEIGHTS, x, TARGET, x[..., 0], 0.0, steps=3, chunk=2).scores,
    }
    found = compiled(lambda x: {name: call(x) for name, call in calls.items()}, images)
    for name, call in calls.items():
        np.testing.assert_allclose(found[name], call(images), rtol=1e-4, atol=1e-5, err_msg=name)


FLAT = np.zeros((2, 4), np.float32)
ONES = np.ones(SHAPE, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain.grad_cam(lambda p, x: FLAT, head, NET, ONES, 0), r"features \[B, h, w, K\].*\(2, 4\)"),
        (lambda: explain.hires_cam(lambda p, x: x[:, :1, :1], head, NET, ONES, 0), "Take a layer before"),
        (lambda: explain.saliency(linear, WEIGHTS, ONES, 3), "classes from 0 to 2, got 3"),
        (lambda: explain.saliency(linear, WEIGHTS, ONES, np.array([0])), "class for each of 2 examples"),
        (lambda: explain.saliency(linear, WEIGHTS, ONES, 0.0), "integer class"),
        (lambda: explain.saliency(linear, WEIGHTS, ONES.astype(np.uint8), 0), "expected an array of floats"),
        (lambda: explain.saliency(linear, WEIGHTS, {"a": ONES, "b": ONES[:1]}, 0), "the same examples"),
        (lambda: explain.saliency(lambda p, x: x[:, 0, 0, 0], None, ONES, 0), r"scores \[2, C\]"),
        (lambda: explain.integrated_gradients(linear, WEIGHTS, ONES, {"a": 0.0}, 0), "baseline like the input"),
        (lambda: explain.integrated_gradients(linear, WEIGHTS, ONES, FLAT, 0), r"broadcast to \(2, 8, 8, 3\)"),
        (lambda: explain.integrated_gradients(linear, WEIGHTS, ONES, 0.0, 0, steps=0), "at least 1"),
        (lambda: explain.smooth_grad(jax.random.key(0), linear, WEIGHTS, [ONES, ONES], 0), "one array"),
        (lambda: explain.occlusion(linear, WEIGHTS, ONES, 0, window=9), "<= 8 pixels"),
        (lambda: explain.occlusion(linear, WEIGHTS, FLAT, 0), "expected pictures"),
        (lambda: explain.deletion_curve(linear, WEIGHTS, ONES, 0, ONES, 0.0), "Sum attributions over channels"),
        (lambda: explain.insertion_curve(linear, WEIGHTS, ONES, 0, ONES[..., 0], 0.0, steps=0), "at least 1 step"),
        (lambda: explain.rank_correlation(ONES, FLAT), "two sets of maps"),
        (lambda: explain.overlay(ONES, FLAT), "maps"),
        (lambda: explain.sheet(FLAT, []), "expected pictures"),
        (lambda: explain.nearest_examples(FLAT, FLAT, count=3), "count from 1 to 2"),
        (lambda: explain.blurred(ONES, sigma=0), "sigma above 0"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
