"""A contact sheet: every picture is what a run of its own gives."""

import jax
import numpy as np
import optax
import pytest
from rich.console import Console

from jaxart import cli, io, ops
from jaxart.tasks import stylize
from jaxart.training import NotFiniteError

KEY = jax.random.key(0)
WEIGHTS = (0.003, 0.3)


@pytest.fixture(scope="module")
def job(variables, photo, painting):
    return stylize.prepare(
        photo,
        painting,
        variables=variables,
        size=48,
        min_size=34,
        steps=2,
        init="style",
        style_layers=("relu1_1", "relu2_1"),
        style_layer_weights=(4.0, 1.0),
        content_layers=("relu2_2",),
        optimizer=optax.adam(0.02, eps=1e-4),  # whose steps do not magnify the rounding of small gradients
    )


@pytest.fixture(scope="module")
def jobs(job, photo, painting):
    return stylize.variations(job, [painting, photo[:30, ::-1]], WEIGHTS)


@pytest.fixture(scope="module")
def alone(jobs):
    return np.stack([stylize.run(each, key=KEY) for each in jobs])


@pytest.mark.parametrize("group", [None, 3])
def test_every_picture_is_that_of_a_run_of_its_own(jobs, alone, group):
    seen = []
    found = stylize.run_sheet(jobs, key=KEY, group=group, on_step=lambda progress: seen.append(progress.step))
    print(np.abs(found - alone).max())
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 0.01  # by weight
    assert np.abs(alone[0] - alone[2]).max() > 0.01  # by style
    assert max(seen) == 4 * (1 if group is None else 2)
