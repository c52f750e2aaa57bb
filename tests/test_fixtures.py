"""What the tests themselves rest on."""

import subprocess
import sys

import numpy as np
import pytest


@pytest.mark.parametrize("draws", [1, 3])
def test_random_inputs_do_not_depend_on_the_tests_before(rng, draws):
    np.testing.assert_array_equal(rng.random(draws), np.random.default_rng(0).random(draws))


def test_compiled_programs_are_shared_and_give_the_same_bits():
    """A second process finds the program of the first, and computes the same."""
    code = """
import jax, jax.numpy as jnp, jax.monitoring, numpy as np
events = []
jax.monitoring.register_event_listener(lambda name, **more: events.append(name))
x = jnp.linspace(0, 1, 4096).reshape(64, 64)
gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.tanh(x @ x) ** 2)))(x)
print(events.count("/jax/compilation_cache/cache_hits") > 0, np.asarray(gradient).tobytes().hex())
"""
    processes = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200) for _ in range(2)
    ]
    (_, bits), (found, again) = (done.stdout.split() for done in processes)
    assert found == "True"
    assert again == bits
