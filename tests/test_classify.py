"""The classifier's training and what it predicts."""

from typing import ClassVar

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxart import metrics, models
from jaxart.tasks import classify
from jaxart.tasks.classify import trained as module
from jaxart.training import apply_in_batches
from jaxart.training import compile as compile_module

KEY = jax.random.key(4)


def bars(seed, size=120):
    """Return pictures, bright above or below by their class."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, size).astype(np.int32)
    image = rng.integers(0, 60, (size, 8, 8, 1))
    image[label == 0, :4] += 150
    image[label == 1, 4:] += 150
    return {"image": image.astype(np.uint8), "label": label}


def test_the_small_classifier_learns_and_predicts(monkeypatch):
    monkeypatch.setattr(module, "_STEPS", (40, 40))
    train, test = bars(0), bars(1)
    trained = classify.train_small_classifier(KEY, train["image"], train["label"], classes=2)
    compiled = compile_module._compiled.cache_info().misses
    again = classify.train_small_classifier(KEY, train["image"], train["label"], classes=2)
    assert compile_module._compiled.cache_info().misses == compiled
    jax.tree.map(np.testing.assert_array_equal, trained.params, again.params)
    logits, features = classify.predict(trained, test["image"], batch=50)
    assert metrics.accuracy(logits, test["label"]) > 0.95
    assert (logits.shape, features.shape) == ((120, 2), (120, 64))
    expected = trained.network.apply({"params": trained.params}, test["image"].astype(np.float32) / 255)
    np.testing.assert_allclose(logits, expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(classify.predict(trained, test["image"][:7], batch=50)[0], logits[:7])


class Counted(nn.Module):
    """A classifier that counts how often it is traced."""

    traced: ClassVar[list] = []

    @nn.compact
    def __call__(self, x):
        self.traced.append(x.shape)
        features = nn.Dense(5)(x.reshape(len(x), -1))
        return nn.Dense(2)(features), features


def test_other_weights_of_the_same_network_trace_nothing():
    images = bars(2)["image"]
    sets = [Counted().init(key, images[:1] / 255)["params"] for key in jax.random.split(KEY, 3)]
    Counted.traced.clear()
    told = [classify.predict(classify.Classifier(Counted(), params), images, batch=50) for params in sets]
    assert Counted.traced == [(50, 8, 8, 1)]
    assert not np.array_equal(told[0][0], told[1][0])


def test_nothing_to_predict_is_refused():
    network = models.SmallClassifier(classes=2)
    with pytest.raises(ValueError, match="expected at least one example, got none"):
        apply_in_batches(module._apply, network, {}, np.zeros((0, 8, 8, 1), np.uint8))
