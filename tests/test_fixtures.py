"""What the tests themselves rest on."""

import numpy as np
import pytest


@pytest.mark.parametrize("draws", [1, 3])
def test_random_inputs_do_not_depend_on_the_tests_before(rng, draws):
    np.testing.assert_array_equal(rng.random(draws), np.random.default_rng(0).random(draws))
