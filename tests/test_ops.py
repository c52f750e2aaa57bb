"""Pooling and functions of symmetric matrices against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import ops


def close(a, b, tolerance=1e-5):
    scale = max(float(jnp.abs(b).max()), 1e-6)
    np.testing.assert_allclose(np.asarray(a) / scale, np.asarray(b) / scale, atol=tolerance, rtol=0)


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 2)])
def test_pooling_equals_numpy_and_shares_ties(size, rng):
    x = rng.standard_normal((2, *size, 3)).astype(np.float32)
    h, w = size[0] // 2, size[1] // 2
    blocks = x[:, : 2 * h, : 2 * w].reshape(2, h, 2, w, 2, 3)
    np.testing.assert_array_equal(ops.max_pool(jnp.asarray(x)), blocks.max(axis=(2, 4)))
    np.testing.assert_allclose(ops.avg_pool(jnp.asarray(x)), blocks.mean(axis=(2, 4)), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(ops.max_pool(x)))(jnp.zeros((1, 4, 4, 1)))
    assert float(gradient.sum()) == 4
    assert float(gradient.min()) > 0


def psd(rng, c, rank=None):
    f = rng.standard_normal((rank or 2 * c, c)).astype(np.float32)
    return f.T @ f / len(f)


@pytest.mark.parametrize("rank", [None, 3])
def test_trace_sqrt_equals_numpy_in_float64(rank, rng):
    a = psd(rng, 12, rank) + 1e-3 * np.eye(12, dtype=np.float32)
    values, vectors = np.linalg.eigh(a.astype(np.float64))
    value, slope = jax.value_and_grad(ops.trace_sqrt)(jnp.asarray(a))
    np.testing.assert_allclose(value, np.sqrt(values).sum(), rtol=1e-3 if rank else 1e-5)
    close(
        slope, vectors / (2 * np.sqrt(values)) @ vectors.T, 5e-2 if rank else 1e-4
    )  # float32 knows the small eigenvalues of a rank-deficient matrix to a few per cent


def test_trace_sqrt_of_12_steps_is_the_truncated_newton_schulz_iteration(rng):
    a = jnp.asarray(
        psd(rng, 16) * np.exp(-np.arange(16, dtype=np.float32))[:, None] * np.exp(-np.arange(16, dtype=np.float32))
        + 1e-4 * np.eye(16, dtype=np.float32)
    )

    def iterated(a):
        return jnp.trace(ops.newton_schulz(a, steps=12)[0])

    value, slope = jax.value_and_grad(lambda a: ops.trace_sqrt(a, 12))(a)
    expected = jax.jvp(iterated, (a,), (jnp.eye(16),))
    np.testing.assert_allclose(value, expected[0], rtol=1e-4)
    np.testing.assert_allclose(jnp.trace(slope), expected[1], rtol=1e-3)
    assert abs(float(value) - float(ops.trace_sqrt(a))) > 1e-3  # truncation shows


@pytest.mark.parametrize("steps", [None, 12])
def test_trace_sqrt_has_a_finite_derivative_at_hard_points(steps):
    for hard in (jnp.zeros((4, 4)), jnp.eye(4), jnp.diag(jnp.array([1.0, 0, 0, 0]))):
        value, slope = jax.value_and_grad(lambda a: ops.trace_sqrt(a, steps))(hard)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_newton_schulz_roots(rng):
    a = jnp.asarray(psd(rng, 8) + 0.1 * np.eye(8, dtype=np.float32))
    root, inverse = ops.newton_schulz(a)
    close(root @ root, a, 1e-5)
    close(root @ inverse, jnp.eye(8), 1e-3)


def test_a_batch_of_matrices_is_taken_one_by_one_on_a_cpu(rng):
    """LAPACK's batched form hangs in jaxlib 0.10 where several run at once."""
    matrices = jnp.asarray(np.stack([psd(rng, 6) for _ in range(3)]))
    program = jax.jit(jax.vmap(jax.value_and_grad(ops.trace_sqrt)))
    values, slopes = program(matrices)
    for matrix, value, slope in zip(matrices, values, slopes, strict=True):
        alone, expected = jax.value_and_grad(ops.trace_sqrt)(matrix)
        np.testing.assert_allclose(value, alone, rtol=1e-5)
        np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)
    calls = [line for line in program.lower(matrices).as_text().splitlines() if "lapack_ssyevd" in line]
    assert calls
    assert not any("3x6x6" in line for line in calls)
    roots = ops.spectral_map(jnp.sqrt, matrices.reshape(1, 3, 6, 6))[0]
    np.testing.assert_allclose(roots @ roots, matrices, rtol=1e-4, atol=1e-5)
