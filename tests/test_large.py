"""Stylizing in tiles: the same gradient as on the whole picture, chosen by memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import losses, ops
from jaxart.tasks import stylize
from jaxart.tasks.stylize import paint
from jaxart.training import fit

KEY = jax.random.key(0)
TILED = stylize.MemoryMode(rematerialize=True, tile=32)
SHALLOW = {
    "style_layers": ("relu1_1", "relu2_1"),
    "style_layer_weights": (4.0, 1.0),
    "content_layers": ("relu2_2",),
    "content_weight": 0.1,
    "init": "uniform",
}


@pytest.fixture(scope="module")
def large():
    rng = np.random.default_rng(3)
    return rng.random((75, 101, 3), np.float32), [
        rng.random((40, 52, 3), np.float32),
        rng.random((64, 80, 3), np.float32),
    ]


def job(variables, large, **options):
    content, styles = large
    return stylize.prepare(content, styles, variables=variables, size=101, min_size=101, **SHALLOW | options)


def gradient(made):
    """Return the loss and the gradient of the first step, read off Adam's first moment."""
    state, info = fit(stylize.scale_recipe(made, 0), key=KEY, steps=1)
    return info.loss, state.opt_state[0].mu


def relative(found, expected):
    return float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))


def masks_of(size):
    left = np.linspace(0, 1, size[1], dtype=np.float32)[None] * np.ones((size[0], 1), np.float32)
    return np.stack([left, 1 - left])


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-5),
        ({"style_loss": losses.GRAM, "masks": masks_of((75, 101))}, 1e-5),
        ({"style_loss": losses.ADAIN, "pooling": "average", "style_layers": ("image", "relu2_1")}, 1e-5),
        # Its root magnifies rounding.
        ({"style_loss": losses.WASSERSTEIN_CONVERGED, "content_layers": ("relu1_2", "relu2_1")}, 5e-5),
    ],
)
def test_every_memory_mode_has_the_gradient_of_the_whole(variables, large, options, tolerance):
    with ops.use_native(False):
        check_memory_modes(variables, large, options, tolerance)


def test_every_memory_mode_has_the_gradient_of_the_whole_with_the_compiled_kernel(variables, large):
    with ops.use_native():
        check_memory_modes(variables, large, {}, 3e-5)  # Winograd's rounding: tiles end at other pixels


def check_memory_modes(variables, large, options, tolerance):
    loss, expected = gradient(job(variables, large, **options))
    for memory_mode in (TILED, TILED._replace(recompute=True)):
        found_loss, found = gradient(job(variables, large, memory_mode=memory_mode, **options))
        assert abs(float(found_loss / loss) - 1) < 1e-5
        assert relative(found, expected) < tolerance, memory_mode


def test_tiles_leave_no_seams(variables, large):
    """The gradient's error along tile borders is that of rounding, as everywhere."""
    (_, expected), (_, found) = (
        gradient(job(variables, large, memory_mode=memory_mode)) for memory_mode in (stylize.WHOLE, TILED)
    )
    error = np.abs(np.asarray(found - expected)).mean((1, 2))
    borders = np.isin(np.arange(75) // 2 * 2, (30, 32, 62, 64))
    assert error.max() < 1e-4 * np.abs(expected).max()
    assert error[borders].mean() < 3 * error[~borders].mean() + 1e-9


def test_resume_with_tiles_is_exact(variables, large, tmp_path):
    made = job(variables, large, memory_mode=TILED, steps=2)
    expected = stylize.run(made, key=KEY)
    stylize.run(made, key=KEY, checkpoints=tmp_path, save_every=1, every=1, on_step=lambda _: None, stop=lambda: True)
    np.testing.assert_array_equal(stylize.run(made, key=KEY, checkpoints=tmp_path, save_every=1, resume=True), expected)


def test_memory_chooses_the_mode(variables, large):
    made = stylize.prepare(*large, variables=variables, size=1024, min_size=512, **SHALLOW)
    rows = {row.memory_mode: row.bytes for row in stylize.compare_memory_modes(made, key=KEY)}
    sizes = [rows[memory_mode] for memory_mode in stylize.MEMORY_MODES]
    assert sizes[0] > sizes[1] > sizes[3] > sizes[4]
    assert stylize.choose_memory_modes(made, key=KEY, max_memory=1 << 50).memory_modes == (stylize.WHOLE,) * len(
        made.sizes
    )
    between = stylize.choose_memory_modes(made, key=KEY, max_memory=(sizes[3] + sizes[1]) // 2)
    assert between.memory_modes[-1] == stylize.MEMORY_MODES[3]
    assert between.memory_modes[0] in stylize.MEMORY_MODES[:4]
    with pytest.raises(ValueError, match=r"needs \d\.\d\d GiB \(tiled 256.*, but 0\.00 GiB may be used"):
        stylize.choose_memory_modes(made, key=KEY, max_memory=1000)


_MODEL = """
import jax, jax.numpy as jnp, json, numpy as np
from helpers import random_torchvision
from jaxart.tasks import stylize
from jaxart.tasks.stylize.job import scale_of
from jaxart.tasks.stylize.needs import step_bytes, tree_bytes
from jaxart.tasks.stylize.predict import program_bytes
from jaxart.tasks.stylize.recipe import recipe_of
from jaxart.weights.layouts import from_arrays

variables = jax.device_put(from_arrays(random_torchvision(16), "random"))
picture = np.random.default_rng(0).random((320, 384, 3), np.float32)
few = {"style_layers": ("relu1_1", "relu3_1"), "style_layer_weights": (1, 1), "content_layers": ("relu2_2",)}
cases = ((stylize.WHOLE, "float32", few), (stylize.MemoryMode(True, 128), "float32", few), (stylize.WHOLE, "bfloat16", {}))
for mode, dtype, layers in cases:
    layers = layers | {"memory_mode": mode, "dtype": jnp.dtype(dtype)}
    job = stylize.prepare(picture, picture[:64, :64], variables=variables, size=384, min_size=384, **layers)
    scale, key = scale_of(job, 0), jax.random.key(0)
    recipe = recipe_of(scale)
    taken = program_bytes(recipe, jax.eval_shape(recipe.init, key), key) - tree_bytes(job.variables)
    print(json.dumps([mode.name, dtype, step_bytes(scale) / taken]))
"""


def test_the_arithmetic_of_memory_is_within_15_percent_of_the_compilers_account():
    """In a process of its own, as users have it: programs compiled as quickly as these tests' take other temporaries."""
    flags = {"XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", _MODEL], capture_output=True, text=True, env=os.environ | flags)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 3
    assert all(0.85 < ratio < 1.15 for *_, ratio in rows), rows


def test_a_program_that_says_it_does_not_fit_gives_way_to_the_next_mode(variables, large, monkeypatch):
    made = job(variables, large, steps=1)
    needs, told = iter([2 << 30, 1 << 30]), []
    monkeypatch.setattr(paint, "compiled_bytes", lambda *_: next(needs))
    found = stylize.run(made, key=KEY, max_memory=3 << 29, tell=told.append)
    height, width = made.sizes[-1]
    assert told == [f"{width} x {height} needs 2.00 of 1.50 GiB (whole): whole, rematerialized instead."]
    np.testing.assert_allclose(found, stylize.run(made, key=KEY), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_loss": losses.nearest_patches}, "expected a losses.StyleLoss"),
        (
            {"style_loss": losses.PATCH, "memory_mode": TILED},
            "the term 'style' .* expected a memory mode without tiles",
        ),
        (
            {"style_loss": losses.PATCH, "masks": masks_of((75, 101))},
            r"masks: the style loss patch\(size=3, .*\) .* no regions",
        ),
        ({"memory_mode": stylize.MemoryMode(tile=0)}, "at least 1 pixel"),
    ],
)
def test_errors(variables, large, options, message):
    with pytest.raises(ValueError, match=message):
        job(variables, large, **options)
