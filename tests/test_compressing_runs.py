"""Smaller files of runs: averaged, narrowed, pruned, with fewer bits; killed on the way, and carried on."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tunable_kind
from helpers import environment

from jaxart import models, runs, weights
from jaxart.cli import app
from jaxart.runs import classifier, classifier_parts, segmenter_parts
from jaxart.runs.segmenter import network as segmenter_file
from jaxart.runs.segmenter import recipe as segmenter_recipe
from jaxart.tasks import classify as task

OPTIONS = tunable_kind.Options(batch=8, steps=12, save_every=12, sample_every=12)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a folder with a table and two runs that began alike."""
    folder, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    x = rng.standard_normal((48, 6)).astype(np.float32)
    np.savez(folder / "table.npz", x=x, y=np.tanh(x[:, :1] * x[:, 1:2]))
    for name, rate in (("run", 0.01), ("other", 0.02)):
        options = dataclasses.replace(OPTIONS, learning_rate=rate)
        runs.train(runs.begin("tunable", folder / "table.npz", folder / name, options=options))
    return folder


def zeros(network):
    return float((network.params["inside"]["kernel"] == 0).mean())


def test_a_pruned_file_has_the_zeros_and_what_it_costs_is_measured(study, tmp_path, capsys):
    small = tmp_path / "small.safetensors"
    words = ["compress", str(study / "run"), "-o", str(small), "--prune", "0.75", "--steps", "8", "--int8"]
    assert app()(words, exit_on_error=False) == 0
    network = weights.read_network(small, kind="tunable")
    assert zeros(network) == 0.75
    assert not (tmp_path / "small.work").exists()
    told = capsys.readouterr().out
    assert f"{small.stat().st_size:,}" in told
    x, y = (np.load(study / "table.npz")[name][:16] for name in ("x", "y"))
    error = float(np.mean((tunable_kind.outputs("tanh", network.params, x) - y) ** 2))
    assert f"{error:.4f}" in told
    assert network.about["validation"]["error"] == pytest.approx(error, rel=1e-5)


def test_compressing_that_was_killed_carries_on_to_the_same_file(study, tmp_path):
    words = ["compress", str(study / "run"), "--prune", "0.75", "--pattern", "1:4", "--steps", "8", "-o"]
    program = [sys.executable, str(Path(tunable_kind.__file__)), *words, str(tmp_path / "cut.safetensors")]
    done = subprocess.run(program, env=environment(KILL_STEP="4"), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "cut.work" / "checkpoints").is_dir()
    run, asked = runs.open_run(study / "run"), {"prune": runs.Pruning(0.75, (1, 4)), "tuning": runs.FineTuning(8)}
    with pytest.raises(ValueError, match=r"the work of another call \(steps differs\)"):
        runs.compress(run, tmp_path / "cut.safetensors", **{**asked, "tuning": runs.FineTuning(9)})
    for name in ("cut", "whole"):
        runs.compress(run, tmp_path / f"{name}.safetensors", **asked)
    assert (tmp_path / "cut.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    kernel = weights.read_network(tmp_path / "cut.safetensors", kind="tunable").params["inside"]["kernel"]
    np.testing.assert_array_equal((kernel != 0).reshape(-1, 4, tunable_kind.INSIDE).sum(1), 1)


def test_fewer_values_and_averages_need_no_training(study, tmp_path):
    run, other = runs.open_run(study / "run"), runs.open_run(study / "other")
    shared = runs.compress(run, tmp_path / "shared.safetensors", method="codebook", values=8, soup=[other])
    assert shared.soup.members[0] == int(np.argmax(shared.soup.scores))
    assert shared.soup.score >= max(shared.soup.scores)
    assert shared.after.bytes == (tmp_path / "shared.safetensors").stat().st_size < shared.before.bytes
    assert len(np.unique(weights.read_network(shared.path, kind="tunable").params["inside"]["kernel"])) <= 8
    at_once = runs.compress(run, tmp_path / "at_once.safetensors", prune=runs.Pruning(0.5), tuning=runs.FineTuning(0))
    assert at_once.after.zeros == 0.5
    assert at_once.before.zeros == 0
    assert at_once.after.milliseconds > 0


def test_what_cannot_be_is_refused(study, tmp_path):
    run = runs.open_run(study / "run")
    for wanted, message in (
        ({}, "expected something to do"),
        ({"channels": 0.5}, "a run of the kind tunable has no channels that can be left out"),
        ({"prune": runs.Pruning(0.8, (2, 4))}, "expected a sparsity that ends at 0.5"),
        ({"prune": runs.Pruning(0.5), "tuning": runs.FineTuning(2)}, "steps: expected 0 or at least 4"),
        ({"method": "int8", "score": study / "table.npz"}, "has no scores"),
    ):
        with pytest.raises(ValueError, match=message):
            runs.compress(run, tmp_path / "small.safetensors", **wanted)
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        runs.compress(run, tmp_path / "small.npz", method="int8")
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_narrower_head_is_the_head_without_the_units_that_were_dropped():
    options = runs.ClassifierOptions(features="vgg16", hidden=6)
    head = models.FeatureHead(2, hidden=6)
    average = head.init(jax.random.key(0), jnp.zeros((1, 5)))["params"]
    average["hidden"]["kernel"] = average["hidden"]["kernel"].at[:, jnp.array([1, 4, 5])].set(0.0)
    average["outputs"]["kernel"] = jax.random.normal(jax.random.key(1), (6, 2))
    trained = runs.Trained(options, {}, task.State(jnp.int32(1), average, None, average))
    found = classifier_parts.narrowed(trained, 0.5)
    assert found.options.hidden == 3
    x = jax.random.normal(jax.random.key(2), (4, 5))
    narrow = models.FeatureHead(2, hidden=3).apply({"params": found.state.average}, x)[0]
    np.testing.assert_allclose(narrow, head.apply({"params": average}, x)[0], rtol=1e-6)
    with pytest.raises(ValueError, match="network vit has none that can be left out"):
        classifier_parts.narrowed(trained._replace(options=runs.ClassifierOptions(model="vit")), 0.5)


def test_a_residual_network_with_fewer_channels_is_the_one_its_options_describe():
    options = runs.ClassifierOptions(size=16, width=16)
    facts = {"classes": ["a", "b"], "counts": [4, 4], "train": 8}
    whole = classifier.network_of(options, facts)
    average = whole.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    found = classifier_parts.narrowed(
        runs.Trained(options, facts, task.State(jnp.int32(1), average, None, average)), 0.5
    )
    small = classifier.network_of(found.options, facts)
    expected = jax.eval_shape(small.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    assert jax.tree.map(jnp.shape, found.state.average) == jax.tree.map(jnp.shape, expected)
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(each)) for each in (found.state.average, average)]
    assert sizes[0] < 0.7 * sizes[1]


def test_a_kernel_is_not_pruned():
    facts = {"classes": ["a", "b"], "counts": [4, 4], "train": 8}
    with pytest.raises(ValueError, match="a kernel is not trained"):
        classifier_parts.wrapped(runs.ClassifierOptions(features="vgg16"), facts, lambda optimizer: optimizer)


def test_a_segmenter_with_other_params_has_them_at_any_step():
    options = runs.SegmenterOptions(width=2, depth=1, size=8)
    facts = {"classes": ["a", "b"], "colors": ["#000000", "#ffffff"]}
    state = segmenter_recipe(options, facts).init(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 1, state.params)
    for step in (0, 7):
        trained = runs.Trained(options, facts, state._replace(step=jnp.int32(step)))
        renewed = segmenter_parts.renewed(trained, params)
        found = segmenter_file(renewed).params
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, params)
