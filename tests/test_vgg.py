"""VGG against a NumPy reference on small pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from jaxart import io, ops, samples
from jaxart.image import resize
from jaxart.models import VGG, vgg_depth
from jaxart.models.vgg import CONVOLUTIONS


def reference(variables, image, depth, pooling, replicate):
    """Yield (name, features) of one picture [H, W, 3] in float64."""
    x = (image.astype(np.float64) - np.asarray(variables["preprocessing"]["mean"])) / np.asarray(
        variables["preprocessing"]["std"]
    )
    for block, count in enumerate(CONVOLUTIONS[depth], 1):
        for i in range(1, count + 1):
            leaves = variables["params"][f"conv{block}_{i}"]
            kernel, bias = np.asarray(leaves["kernel"], np.float64), np.asarray(leaves["bias"], np.float64)
            mode = "edge" if replicate and (block, i) == (1, 1) else "constant"
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode=mode)
            maps = [
                correlate(padded, kernel[..., o], mode="valid", method="direct")[..., 0]
                for o in range(kernel.shape[-1])
            ]
            x = np.maximum(np.stack(maps, axis=-1) + bias, 0)
            yield f"relu{block}_{i}", x
            if block == 2:
                return
        h, w = x.shape[0] // 2, x.shape[1] // 2
        blocks = x[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1)
        x = blocks.max(axis=(1, 3)) if pooling == "max" else blocks.mean(axis=(1, 3)) * VGG.AVERAGE_SCALE


@pytest.mark.parametrize(("pooling", "padding"), [("max", "zeros"), ("average", "replicate")])
def test_features_equal_numpy(variables, pooling, padding):
    image = np.random.default_rng(3).random((7, 9, 3), np.float32)
    expected = dict(reference(variables, image, 16, pooling, padding == "replicate"))
    network = VGG(depth=16, layers=tuple(expected), pooling=pooling, first_padding=padding)
    got = network.apply(variables, jnp.asarray(image)[None])
    assert set(expected) == {"relu1_1", "relu1_2", "relu2_1"}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name][0], value, atol=1e-4 * np.abs(value).max(), rtol=1e-4)


@pytest.mark.parametrize("depth", [16, 19])
def test_all_layers_have_their_shapes_and_jit_equals_eager(variables, variables19, depth):
    weights = variables if depth == 16 else variables19
    assert vgg_depth(weights) == depth
    layers = ("image", "conv1_1", "relu2_2", f"relu4_{CONVOLUTIONS[depth][3]}", "pool4", "relu5_1")
    network = VGG(depth=depth, layers=layers)
    image = jnp.asarray(np.random.default_rng(3).random((1, 33, 47, 3), np.float32))
    features = network.apply(weights, image)
    shapes = [features[name].shape[1:] for name in layers]
    assert shapes == [(33, 47, 3), (33, 47, 64), (16, 23, 128), (4, 5, 512), (2, 2, 512), (2, 2, 512)]
    compiled = jax.jit(network.apply)(weights, image)
    for name in layers:
        np.testing.assert_allclose(
            compiled[name], features[name], rtol=1e-4, atol=1e-4 * float(jnp.abs(features[name]).max())
        )


def test_it_stops_at_the_deepest_layer_asked_for(variables):
    network = VGG(layers=("relu2_1",))
    needed = {"params": {name: variables["params"][name] for name in ("conv1_1", "conv1_2", "conv2_1")}}
    network.apply(needed | {"preprocessing": variables["preprocessing"]}, jnp.zeros((1, 8, 8, 3)))
    made = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert set(made["params"]) == {"conv1_1", "conv1_2", "conv2_1"}


def test_bfloat16_is_close_and_keeps_its_type(variables):
    image = jnp.asarray(np.random.default_rng(3).random((1, 32, 32, 3), np.float32))
    full = VGG(layers=("relu4_1",)).apply(variables, image)["relu4_1"]
    half = VGG(layers=("relu4_1",), dtype=jnp.bfloat16).apply(variables, image)["relu4_1"]
    assert half.dtype == jnp.bfloat16
    assert float(jnp.mean(jnp.abs(half - full))) < 0.05 * float(jnp.mean(full))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": ("relu4_9",)}, "relu4_3"),
        ({"depth": 18}, "16 or 19"),
        ({"pooling": "mean"}, "max, average"),
        ({"first_padding": "reflect"}, "known: replicate, zeros"),
    ],
)
def test_bad_arguments_name_what_is_known(variables, arguments, message):
    with pytest.raises(ValueError, match=message):
        VGG(**arguments).apply(variables, jnp.zeros((1, 32, 32, 3)))


def test_a_picture_that_is_too_small_says_so(variables):
    with pytest.raises(ValueError, match="too small for pool4: 16 pixels"):
        VGG().apply(variables, jnp.zeros((1, 8, 40, 3)))


def test_depth_of_foreign_variables_is_refused():
    with pytest.raises(ValueError, match="VGG-16 or VGG-19"):
        vgg_depth({"params": {"conv1_1": 0}})


@pytest.mark.usefixtures("pure_jax")
def test_frozen_kernels_change_features_and_gradient_by_rounding_only(variables):
    network = VGG(layers=("relu3_3", "relu4_2"))
    picture = io.read(samples.path("coffee"))  # on noise, rounding moves the maximum of many a pooling block
    image = jnp.clip(resize(picture, (64, 96)), 0, 1)[None]
    with ops.use_native():
        assert "transformed" not in network.freeze(variables) or not ops.native_in_use()
    frozen = network.freeze(variables)
    assert set(frozen["transformed"]) == {f"conv{name}" for name in ("2_2", "3_1", "3_2", "3_3", "4_1")}
    assert max(frozen["params"]) == "conv4_2"  # what lies deeper is not held

    def energy(network, variables, image):
        return sum(jnp.mean(layer**2) for layer in network.apply(variables, image).values())

    exact = jax.jit(jax.value_and_grad(lambda image: energy(network.clone(winograd=False), variables, image)))(image)
    fast = jax.jit(jax.value_and_grad(lambda image: energy(network, frozen, image)))(image)
    np.testing.assert_allclose(fast[0], exact[0], rtol=5e-5)
    distance = jnp.linalg.norm(fast[1] - exact[1]) / jnp.linalg.norm(exact[1])
    assert 0 < float(distance) < 3e-4


def test_freezing_does_nothing_where_it_would_not_be_used(variables):
    assert "transformed" not in VGG(winograd=False).freeze(variables)
    assert "transformed" not in VGG(dtype=jnp.bfloat16).freeze(variables)
    assert "transformed" not in VGG(layers=("relu2_1",)).freeze(variables)
