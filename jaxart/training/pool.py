"""A pool of past fakes: a discriminator that sees older ones too does not chase the generator's last step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key


class ImagePool(NamedTuple):
    """Past images, part of a state, so that a run that is resumed draws the same ones.

    Fields:
        images: ``[N, ...]``, zeros where there is none yet.
        count: int32, how many are there.
    """

    images: jax.Array
    count: jax.Array


def image_pool(size: int, shape: Sequence[int], *, dtype: Any = jnp.float32) -> ImagePool:
    """Return an empty pool.

    Args:
        size: images that it holds, 50 in CycleGAN.
        shape: of one image, such as (64, 64, 3).
        dtype: of the images.

    Raises:
        ValueError: a size below one.
    """
    if size < 1:
        raise ValueError(f"image_pool: expected a size of at least 1, got {size}. Without a pool, judge the new fakes.")
    return ImagePool(jnp.zeros((size, *shape), dtype), jnp.int32(0))


def query_pool(
    key: Key, pool: ImagePool, images: Array, *, axis_name: str | None = None
) -> tuple[jax.Array, ImagePool]:
    """Put new images into a pool and return as many, each new or, half the time, an older one in whose place the new one is kept.

    Images pass one after another. While the pool fills, each is kept and returned; then each either returns as it came, or is
    exchanged for one of the pool's, drawn at random.

    Args:
        key: typed key, the same on all devices.
        pool: the same on all devices.
        images: ``[B, ...]``, B on each device under `axis_name`; under `jax.lax.stop_gradient` where a gradient is taken around this.
        axis_name: of the mapped axis under `by_shard_map` and `by_pmap`: the devices' images are gathered, so that their pools stay equal.

    Returns:
        images ``[B, ...]`` for the discriminator, and the pool.

    Reference: Shrivastava et al., Learning from Simulated and Unsupervised Images through Adversarial Training, 2017, section 2.3; image
    by image, with N = 50: Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, 2017, section 4.
    """
    if axis_name is None:
        return _pass_through(key, pool, images)
    every = jax.lax.all_gather(images, axis_name, tiled=True)  # [D B, ...]
    returned, pool = _pass_through(key, pool, every)
    first = jax.lax.axis_index(axis_name) * len(images)
    return jax.lax.dynamic_slice_in_dim(returned, first, len(images)), pool


def _pass_through(key: Key, pool: ImagePool, images: Array) -> tuple[jax.Array, ImagePool]:
    size = len(pool.images)

    def pass_one(pool: ImagePool, given: tuple[Key, Array]) -> tuple[ImagePool, jax.Array]:
        (key_place, key_coin), new = jax.random.split(given[0]), given[1]
        filling = pool.count < size
        swapped = ~filling & jax.random.bernoulli(key_coin)
        place = jnp.where(filling, pool.count, jax.random.randint(key_place, (), 0, size))
        old = pool.images[place]
        kept = pool.images.at[place].set(jnp.where(filling | swapped, new, old))
        return ImagePool(kept, pool.count + filling), jnp.where(swapped, old, new)

    pool, returned = jax.lax.scan(pass_one, pool, (jax.random.split(key, len(images)), images))
    return returned, pool
