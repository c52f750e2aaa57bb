"""Functions of symmetric matrices, with derivatives that stay finite where eigenvalues meet or vanish."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


def spectral_map(function: Callable[[jax.Array], jax.Array], matrix: Array) -> jax.Array:
    """Apply `function` to the eigenvalues of a symmetric matrix: ``V f(diag) V^T``. Negative eigenvalues (rounding) are set to zero.

    Not meant to be differentiated: the derivative of `eigh` is infinite at equal eigenvalues. See `trace_sqrt`.

    Args:
        function: maps eigenvalues ``[..., C]`` to ``[..., C]``.
        matrix: ``[..., C, C]``, symmetric, positive semi-definite.

    Returns:
        ``[..., C, C]``.

    >>> bool(jnp.allclose(spectral_map(jnp.sqrt, jnp.diag(jnp.array([4.0, 9.0]))), jnp.diag(jnp.array([2.0, 3.0])), atol=1e-5))
    True
    """
    values, vectors = _eigh(matrix)
    mapped = function(jnp.maximum(values, 0))
    return _recompose(vectors, mapped)


def _one_by_one(function: Callable) -> Callable:
    """Take matrices ``[..., C, C]`` one after another on a CPU.

    LAPACK does so anyway, and with jaxlib 0.10.2 its batched form hangs: each call holds a thread of XLA's pool while it waits for the
    other threads of that pool, so as many calls at once as there are threads wait for ever.
    """
    single = jax.custom_batching.sequential_vmap(function)

    def cpu(matrix: jax.Array) -> Any:
        mapped = single
        for _ in matrix.shape[:-2]:
            mapped = jax.vmap(mapped)
        return mapped(matrix)

    return lambda matrix: jax.lax.platform_dependent(matrix, cpu=cpu, default=function)


_eigh = _one_by_one(lambda matrix: tuple(jnp.linalg.eigh(matrix)))
_eigvalsh = _one_by_one(lambda matrix: jnp.linalg.eigvalsh(matrix))


def _recompose(vectors, values):
    highest = jax.lax.Precision.HIGHEST
    return jnp.matmul(vectors * values[..., None, :], jnp.swapaxes(vectors, -1, -2), precision=highest)


@jax.custom_jvp
def symmetric_sqrt(matrix: Array) -> jax.Array:
    """Return the root of a symmetric matrix ``[..., C, C]``; its derivative is finite where eigenvalues meet, not where they vanish."""
    return spectral_map(jnp.sqrt, matrix)


@symmetric_sqrt.defjvp
def _symmetric_sqrt_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Solve ``R dR + dR R = dA`` in the basis of the eigenvectors."""
    values, vectors = _eigh(primals[0])
    roots = jnp.sqrt(jnp.maximum(values, 0))
    times, turned = functools.partial(jnp.matmul, precision="highest"), jnp.swapaxes(vectors, -1, -2)
    inner = times(times(turned, tangents[0]), vectors) / (roots[..., :, None] + roots[..., None, :])
    return _recompose(vectors, roots), times(times(vectors, inner), turned)


def newton_schulz(matrix: Array, *, steps: int = 20) -> tuple[jax.Array, jax.Array]:
    """Approximate ``A^(1/2)`` and ``A^(-1/2)`` by the coupled Newton-Schulz iteration.

    ``Y0 = A / |A|_F, Z0 = I; T = (3 I - Z Y) / 2; Y <- Y T, Z <- T Z``. Eigenvalues below about ``2.25^-steps |A|_F`` are not
    converged. Matrix products only: the reference that `trace_sqrt` is tested against, and an alternative where `eigh` is not available.

    Args:
        matrix: ``[C, C]``, symmetric, positive definite.
        steps: iterations.

    Returns:
        (``A^(1/2)``, ``A^(-1/2)``), each ``[C, C]``.

    Reference: Higham, Functions of Matrices, 2008, section 6.7.
    """
    norm = jnp.linalg.norm(matrix)
    eye = jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
    times = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

    def body(_, pair):
        y, z = pair
        t = (3 * eye - times(z, y)) / 2
        return times(y, t), times(t, z)

    y, z = jax.lax.fori_loop(0, steps, body, (matrix / norm, eye))
    return y * jnp.sqrt(norm), z / jnp.sqrt(norm)


def _trace_of_values(values: jax.Array, steps: int | None) -> jax.Array:
    """Return the sum of (iterated) square roots of eigenvalues; Newton-Schulz acts on each eigenvalue by itself."""
    values = jnp.maximum(values, 0)
    norm = jnp.sqrt(jnp.sum(values**2) + 1e-30)  # the zero matrix has a finite derivative too
    scaled = values / norm
    if steps is None:
        floor = 10 * jnp.finfo(values.dtype).eps  # below rounding error an eigenvalue is not known
        return jnp.sqrt(norm) * jnp.sum(jnp.sqrt(scaled + floor))

    def step(pair, _):
        y, z = pair
        t = (3 - z * y) / 2
        return (y * t, t * z), None

    (y, _), _ = jax.lax.scan(step, (scaled, jnp.ones_like(scaled)), length=steps)  # unrolled, it takes long to trace
    return jnp.sqrt(norm) * jnp.sum(y)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def trace_sqrt(matrix: Array, steps: int | None = None) -> jax.Array:
    """Return ``tr(A^(1/2))`` of a symmetric positive semi-definite matrix, with a derivative that is finite everywhere.

    The trace is a function of the eigenvalues alone, so ``d tr f(A) / dA = V f'(diag) V^T``: one `eigh` and one matrix product
    serve value and derivative. At C = 512 on a CPU that is less than half the time of 12 Newton-Schulz steps
    (docs/performance.md). The matrix is assumed to be symmetric. Reverse mode once; no forward mode, no second derivative.

    Args:
        matrix: ``[C, C]``.
        steps: None for the converged root (eigenvalues below 10 float32 epsilons of the norm are blurred), or the number of coupled
            Newton-Schulz steps whose truncated result is wanted: the regularized root of style transfer is 12.

    Returns:
        A scalar.

    >>> round(float(trace_sqrt(jnp.diag(jnp.array([4.0, 9.0])))), 3)
    5.0
    """
    return _trace_of_values(_eigvalsh(matrix), steps)


def _trace_forward(matrix, steps):
    values, vectors = _eigh(matrix)
    trace, slopes = jax.value_and_grad(_trace_of_values)(values, steps)
    return trace, _recompose(vectors, slopes)


def _trace_backward(steps, slope, cotangent):
    return (cotangent * slope,)


trace_sqrt.defvjp(_trace_forward, _trace_backward)
