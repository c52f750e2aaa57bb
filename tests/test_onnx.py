"""Networks of instant style as files for other programs: ONNX and jax.export, from a network's file and from the command line."""

import json
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from jaxart import cli, models, runs, weights
from jaxart.tasks import stylize

BLANK = jnp.zeros((1, 16, 16, 3))


def untrained(network, second, about):
    """Return parameters whose styles differ, in numbers of half precision."""
    found = jax.jit(network.init)(jax.random.key(0), BLANK, second)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: np.float32(np.float16(leaf + rng.normal(0, 0.15, leaf.shape))), found), about


@pytest.fixture(scope="module")
def many():
    network = models.ManyStyleNet(styles=3, width=4, deep=6, blocks=1, coarse_blocks=0)
    return stylize.StyleModel(network, *untrained(network, jnp.zeros((1, 3)), {"names": ["a", "b", "ß"]}))


@pytest.fixture(scope="module")
def any_style():
    network = models.AnyStyleNet(width=4, deep=6, blocks=2, coarse_blocks=2, style_width=2, hidden=8, style=5)
    return stylize.AnyStyleModel(network, *untrained(network, BLANK, {"steps": 2}))


def seconds(model, rng):
    """Return what is handed in beside a picture: mixes, or paintings of several sizes."""
    if isinstance(model, stylize.StyleModel):
        return [np.asarray(mix, np.float32) for mix in ((0, 1, 0), (0.3, 0, 0.7))]
    return [np.asarray(rng.random((*size, 3)), np.float32) ** 2 for size in ((24, 32), (61, 17))]


def painted(model, image, second):
    return np.asarray(jax.jit(model.network.apply)(model.variables, image[None], second[None])[0])


@pytest.mark.parametrize("kind", ["many", "any_style"])
def test_a_file_of_onnx_paints_what_the_network_paints_at_any_size(kind, request, rng):
    model = request.getfixturevalue(kind)
    content = stylize.export_onnx(model)
    assert content == stylize.export_onnx(model)
    onnx.checker.check_model(content, full_check=True)
    session = onnxruntime.InferenceSession(content)
    name = {"many": "mix", "any_style": "painting"}[kind]
    assert [each.name for each in session.get_inputs()] == ["image", name]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("picture", ["height", "width", 3])]
    for size, second in zip(((32, 48), (33, 22)), seconds(model, rng), strict=True):
        image = np.asarray(rng.random((*size, 3)), np.float32)
        (made,) = session.run(["picture"], {"image": image, name: second})
        expected = painted(model, image, second)
        np.testing.assert_allclose(made, expected, atol=1e-4, rtol=0)
        assert expected.std() > 0.01
    told = {name: json.loads(value) for name, value in session.get_modelmeta().custom_metadata_map.items()}
    assert told == model.about


def test_the_networks_file_is_exported_without_a_run(any_style, tmp_path, rng):
    source, image = tmp_path / "any.safetensors", np.asarray(rng.random((32, 24, 3)), np.float32)
    source.write_bytes(weights.network_bytes(stylize.any_style_network(any_style)))
    content = runs.export_network(source, tmp_path / "any.jax", platforms=("cpu",)).read_bytes()
    program = jax.export.deserialize(bytearray(content))
    painting = seconds(any_style, rng)[1]
    np.testing.assert_allclose(program.call(image, painting), painted(any_style, image, painting), atol=1e-5)
    for output, message in (
        ("again.safetensors", "a file of this form already"),
        ("none/any.onnx", "no such folder"),
        ("any.jax", "expected at least one of cpu"),
    ):
        with pytest.raises(ValueError, match=message):
            runs.export_network(source, tmp_path / output, platforms=())
    with pytest.raises(weights.WeightsError, match="no such file"):
        runs.export_network(tmp_path / "none.safetensors", tmp_path / "any.onnx")
    assert not (tmp_path / "any.onnx").exists()


def test_the_command_line_exports_the_network_in_the_package(tmp_path, monkeypatch, photo):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    before = jax.config.jax_compilation_cache_dir
    assert cli.app()("export styles -o styles.onnx", exit_on_error=False, print_error=False) == 0
    jax.config.update("jax_compilation_cache_dir", before)
    model, session = stylize.load_network("styles"), onnxruntime.InferenceSession("styles.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["names"]) == list(model.names)
    mix = stylize.style_mix(model.names, model.names[2:4], (3, 1))
    (made,) = session.run(None, {"image": photo, "mix": mix})
    np.testing.assert_allclose(made, painted(model, photo, mix), atol=1e-4, rtol=0)


def test_without_the_package_onnx_the_extra_is_named(many, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxart\[onnx\]'"):
        stylize.export_onnx(many)
