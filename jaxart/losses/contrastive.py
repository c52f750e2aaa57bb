"""Contrastive losses: what belongs together should be more alike than what does not."""

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


def patch_contrast(queries: Array, keys: Array, *, temperature: float = 0.07) -> jax.Array:
    """Tell which of an example's patches each query is: the cross-entropy of their cosines.

    With q and k of length one, ``mean_i -log(exp(q_i . k_i / t) / sum_j exp(q_i . k_j / t))``, i and j over the patches of one example: the
    patch at the same place is the positive, those at other places are the negatives. It is log P where the queries tell nothing.

    Args:
        queries: ``[..., P, C]``, features of patches of what was made.
        keys: as `queries`, of what it was made from, at the same places; under `jax.lax.stop_gradient` where they are to lead.
        temperature: t, above 0.

    Returns:
        ``[...]``, float32.

    Raises:
        ValueError: shapes that differ, or a temperature that is not above 0.

    Reference: Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, 2020, eq. 2 and 3; van den Oord et al.,
    Representation Learning with Contrastive Predictive Coding, 2018, eq. 4.

    >>> round(float(patch_contrast(jnp.ones((4, 2)), jnp.ones((4, 2)))), 4) == round(float(jnp.log(4.0)), 4)
    True
    """
    if queries.ndim < 2 or queries.shape != keys.shape:
        raise ValueError(
            f"patch_contrast: expected queries and keys of one shape [..., P, C], got {queries.shape} and {keys.shape}."
        )
    if not temperature > 0:
        raise ValueError(f"patch_contrast: expected a temperature above 0, got {temperature}.")
    q, k = _unit_length(queries), _unit_length(keys)
    logits = jnp.einsum("...ic,...jc->...ij", q, k, precision=jax.lax.Precision.HIGHEST) / temperature
    positive = jnp.diagonal(logits, axis1=-2, axis2=-1)
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - positive, axis=-1)


def _unit_length(x: Array) -> jax.Array:
    wide = x.astype(jnp.float32)
    return wide * jax.lax.rsqrt(jnp.sum(wide**2, axis=-1, keepdims=True) + 1e-12)
