"""The classifier by a kernel: what conjugate gradients come to, and what is read off it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import models
from jaxart.tasks import classify
from jaxart.training import fit

RIDGE = 0.1
LABELS = {
    "label of unequal frequency": (
        classify.one_class(3, offset=(-0.2, -1.5, -2.5)),
        lambda rng: rng.integers(0, 3, 40).astype(np.int32),
    ),
    "label": (classify.one_class(3), lambda rng: rng.integers(0, 3, 40).astype(np.int32)),
    "labels": (classify.several_labels(3), lambda rng: rng.integers(0, 2, (40, 3)).astype(np.float32)),
    "numbers": (classify.numbers((5.0, 1.0), (2.0, 0.5)), lambda rng: rng.normal(5, 2, (40, 2)).astype(np.float32)),
}


def batches(first):
    while True:
        yield {"row": np.zeros(2, np.int32)}


@pytest.mark.parametrize("about", LABELS)
def test_it_comes_to_the_solution_of_its_equations_and_stays(about, rng):
    target, draw = LABELS[about]
    features, label, weight = rng.normal(size=(40, 10)).astype(np.float32), draw(rng), rng.uniform(0.5, 2, 40)
    scaling = classify.block_scaling(features, (4, 6))
    network = models.KernelHead(target.outputs, 40)
    recipe = classify.kernel_classifier(network, length=10, target=target, ridge=RIDGE)
    known = classify.known_examples(network, features, label, scaling, weight=weight)
    state, _ = fit(recipe._replace(frozen=known), batches, key=jax.random.key(0), steps=60)
    later, info = fit(recipe._replace(frozen=known), batches, key=jax.random.key(0), steps=64, state=state)
    jax.tree.map(np.testing.assert_array_equal, later.average, state.average)

    wanted = np.asarray(target.aim(jnp.asarray(label)), np.float64)
    bias = (weight @ wanted) / weight.sum()
    shift = np.zeros(target.outputs) if target.offset is None else np.asarray(target.offset)
    system = np.asarray(known.kernel, np.float64) + RIDGE * np.diag(1 / weight)
    expected = np.linalg.solve(system, wanted - bias)
    np.testing.assert_allclose(state.average["coefficients"], expected, atol=2e-3 * np.abs(expected).max())

    others = rng.normal(size=(5, 10)).astype(np.float32)
    scaled = np.asarray(scaling(others), np.float64)
    squares = ((scaled[:, None] - np.asarray(known.support, np.float64)[None]) ** 2).sum(-1)
    outputs = classify.predict(classify.Classifier(network, state.average), scaling(others), pictures=False)[0]
    np.testing.assert_allclose(outputs, np.exp(-network.width * squares) @ expected + bias - shift, atol=2e-2)
    own = classify.predict(classify.Classifier(network, state.average), scaling(features), pictures=False)[0]
    reported = target.info(jnp.mean(target.loss(own, label)), jnp.mean(target.measure(own, label)))
    np.testing.assert_allclose(info, reported, rtol=0.02, atol=0.01)


def test_blocks_add_to_a_distance_in_proportion_to_the_roots_of_their_lengths(rng):
    features = rng.normal(size=(4000, 20)) * rng.uniform(0.1, 9, 20)
    scaled = np.asarray(classify.block_scaling(features, (4, 16))(features))
    parts = [2 * part.var(0).sum() for part in (scaled[:, :4], scaled[:, 4:])]
    np.testing.assert_allclose(parts, [2 / 3, 4 / 3], rtol=0.01)
    with pytest.raises(ValueError, match="expected 20 features in all, got 7"):
        classify.block_scaling(features, (3, 4))


def test_the_blocks_are_those_of_the_features(variables, photo):
    image = np.asarray(photo)[None, :32, :32, :3]
    assert classify.picture_features(variables, image).shape == (1, sum(classify.feature_blocks()))


def test_features_are_those_of_a_picture_and_its_mirror_image_alike(variables, photo):
    image = np.asarray(photo)[None, :32, :32, :3]
    one, other = (classify.picture_features(variables, each) for each in (image, image[:, :, ::-1]))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_does_not_serve_is_refused():
    network = models.KernelHead(3, 4)
    with pytest.raises(ValueError, match="take a network"):
        classify.kernel_classifier(network, length=2, target=classify.one_class(3, scheme="one-vs-one"))
    with pytest.raises(ValueError, match="ridge: expected a number above 0"):
        classify.kernel_classifier(network, length=2, target=classify.one_class(3), ridge=0.0)
