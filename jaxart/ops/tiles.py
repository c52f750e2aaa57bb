"""Sums over a picture whose activations do not fit into memory at once: tile by tile, exact, differentiable.

A tile is read with a halo, as a window of the picture. Windows begin at multiples of `align`, so that pooling grids agree, and the last one
ends where the picture ends: a network meets the true borders, and pads them, just as on the whole picture. All windows have one shape, so
that one loop runs over them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxart.arrays import Array, PyTree

Summand = Callable[[jax.Array, jax.Array, PyTree, PyTree], PyTree]


class _Axis(NamedTuple):
    """How an axis is cut: `count` tiles of `core` pixels (the last may have fewer), read as windows of `window` pixels."""

    length: int
    count: int
    core: int
    window: int


class _Grid(NamedTuple):
    rows: _Axis
    columns: _Axis
    halo: int
    align: int


def tiled_sum(
    function: Summand,
    image: Array,
    aligned: PyTree,
    extra: PyTree,
    *,
    tile: int | None,
    halo: int,
    align: int,
) -> PyTree:
    """Sum `function` over the tiles of a picture: the same as `function` of the whole picture, if that is a sum over pixels.

    The derivative, in all arguments and of any order, computes each tile anew: only one tile's activations are in memory at a time. As
    the gradients of overlapping windows add up, both passes need only the halo of the first.

    Args:
        function: ``function(window, valid, aligned, extra)`` -> pytree of sums. `window` is ``[h, w, ...]`` of the image; ``valid
            [h, w]`` is 1 where a pixel is the tile's own and 0 in its halo. A feature of stride s counts where its first pixel does:
            ``valid[::s, ::s]``.
        image: ``[H, W, ...]``.
        aligned: arrays that are cut into the same tiles as the image, of its size or that of features of stride s:
            ``[H // s, W // s, ...]``.
        extra: passed to `function` unchanged, such as the variables of a network.
        tile: largest side of a tile in pixels; None takes the whole picture as one.
        halo: how far beyond a tile's border its summands look, in pixels; a multiple of `align` (`models.vgg_halo`).
        align: windows begin at multiples of it: the largest stride of the features, a power of two.

    Returns:
        The sum, a pytree of the function's shapes.

    Raises:
        ValueError: a tile below one pixel, a halo that is no multiple of `align`, or an aligned array of another size.

    >>> tiled_sum(lambda x, valid, *_: jnp.sum(x * valid[..., None]), jnp.ones((19, 7, 3)), None, None, tile=4, halo=2, align=2)
    Array(399., dtype=float32)
    """
    grid = _grid(image.shape, tile, halo, align)
    if _tiles(grid) == 1:
        return function(image, jnp.ones(image.shape[:2]), aligned, extra)  # the ones are folded away by XLA

    def one(image: Array, aligned: PyTree, extra: PyTree, index: Array) -> PyTree:
        window, valid, windows = _cut(grid, image, aligned, index)
        return function(window, valid, windows, extra)

    def body(total: PyTree, index: jax.Array) -> tuple[PyTree, None]:
        part = jax.checkpoint(one, prevent_cse=False)(image, aligned, extra, index)
        return jax.tree.map(jnp.add, total, part), None

    shapes = jax.eval_shape(one, image, aligned, extra, jnp.int32(0))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(body, start, jnp.arange(_tiles(grid)))[0]


def tiled_map(
    function: Callable[[jax.Array, PyTree], PyTree],
    image: Array,
    extra: PyTree,
    *,
    tile: int | None,
    halo: int,
    align: int,
) -> PyTree:
    """Compute feature maps of a picture tile by tile, in the memory of one tile and the result: the same as `function` of the whole.

    Args:
        function: ``function(window, extra)`` -> pytree of features ``[h // s, w // s, ...]`` of a window ``[h, w, ...]``.
        image: ``[H, W, ...]``.
        extra: passed to `function` unchanged.
        tile: as in `tiled_sum`.
        halo: as in `tiled_sum`.
        align: as in `tiled_sum`.

    Returns:
        The features ``[H // s, W // s, ...]``.

    Raises:
        ValueError: as `tiled_sum`.
    """
    grid = _grid(image.shape, tile, halo, align)
    if _tiles(grid) == 1:
        return function(image, extra)

    def whole(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        stride = _stride(leaf.shape, (grid.rows.window, grid.columns.window), align)
        return jnp.zeros((grid.rows.length // stride, grid.columns.length // stride, *leaf.shape[2:]), leaf.dtype)

    def body(index: jax.Array, maps: PyTree) -> PyTree:
        origins, valid = _place(grid, index)
        found = function(_window(grid, image, origins), extra)
        return jax.tree.map(lambda whole, part: _placed(grid, whole, part, origins, valid), maps, found)

    first = jax.eval_shape(lambda: function(_window(grid, image, _place(grid, jnp.int32(0))[0]), extra))
    return jax.lax.fori_loop(0, _tiles(grid), body, jax.tree.map(whole, first))


def tiled_pixels(size: tuple[int, int], *, tile: int | None, halo: int, align: int) -> int:
    """Return the number of pixels in the windows of all tiles, halos included: the work of `tiled_sum`.

    Args:
        size: (height, width) of the picture, pixels.
        tile: as in `tiled_sum`.
        halo: as in `tiled_sum`.
        align: as in `tiled_sum`.

    Raises:
        ValueError: as `tiled_sum`.

    >>> tiled_pixels((2048, 2048), tile=1024, halo=64, align=16) / 2048**2
    1.12890625
    """
    grid = _grid(size, tile, halo, align)
    return _tiles(grid) * grid.rows.window * grid.columns.window


def tile_window(size: tuple[int, int], *, tile: int | None, halo: int, align: int) -> tuple[int, int]:
    """Return (height, width) of the windows that `tiled_sum` works on, halos included; all have one size.

    Args:
        size: as in `tiled_pixels`.
        tile: as in `tiled_sum`.
        halo: as in `tiled_sum`.
        align: as in `tiled_sum`.

    >>> tile_window((2048, 2048), tile=1024, halo=64, align=16)
    (1088, 1088)
    """
    grid = _grid(size, tile, halo, align)
    return grid.rows.window, grid.columns.window


def _grid(shape: tuple[int, ...], tile: int | None, halo: int, align: int) -> _Grid:
    if (tile is not None and tile < 1) or halo % align:
        raise ValueError(
            f"tiles: expected a tile of at least 1 and a halo that is a multiple of {align}, got {tile} and {halo}."
        )
    rows, columns = (_axis(length, tile or length, halo, align) for length in shape[:2])
    return _Grid(rows, columns, halo, align)


def _axis(length: int, tile: int, halo: int, align: int) -> _Axis:
    """Cut an axis into tiles of nearly equal size."""
    core = align * -(-length // (align * -(-length // tile)))
    count = -(-length // core)
    window = core + halo * min(count - 1, 2)
    window += (length - window) % align
    return _Axis(length, count, core, window) if window < length else _Axis(length, 1, length, length)


def _tiles(grid: _Grid) -> int:
    return grid.rows.count * grid.columns.count


def _place(grid: _Grid, index: Array) -> tuple[list[jax.Array], jax.Array]:
    """Return where the window of a tile begins, and which of its pixels ``[h, w]`` are the tile's own."""
    origins, own = [], []
    numbers = (index // grid.columns.count, index % grid.columns.count)
    for axis, number in zip((grid.rows, grid.columns), numbers, strict=True):
        start = number * axis.core
        origins.append(jnp.clip(start - grid.halo, 0, axis.length - axis.window))
        pixels = origins[-1] + jnp.arange(axis.window)
        own.append((pixels >= start) & (pixels < start + axis.core))
    return origins, (own[0][:, None] & own[1][None]).astype(jnp.float32)


def _cut(grid: _Grid, image: Array, aligned: PyTree, index: Array) -> tuple[jax.Array, jax.Array, PyTree]:
    origins, valid = _place(grid, index)
    windows = jax.tree.map(lambda array: _window(grid, array, origins), aligned)
    return _window(grid, image, origins), valid, windows  # [h, w, ...], [h, w], [h // s, w // s, ...]


def _window(grid: _Grid, array: Array, origins: list[jax.Array]) -> jax.Array:
    stride = _stride(array.shape, (grid.rows.length, grid.columns.length), grid.align)
    starts = [origin // stride for origin in origins] + [0] * (array.ndim - 2)
    sizes = (grid.rows.window // stride, grid.columns.window // stride)
    return jax.lax.dynamic_slice(array, starts, (*sizes, *array.shape[2:]))


def _placed(grid: _Grid, whole: Array, part: Array, origins: list[jax.Array], valid: Array) -> jax.Array:
    """Write the tile's own part of a window's features into the map."""
    stride = _stride(whole.shape, (grid.rows.length, grid.columns.length), grid.align)
    starts = [origin // stride for origin in origins] + [0] * (whole.ndim - 2)
    own = valid[::stride, ::stride][: part.shape[0], : part.shape[1]]
    before = jax.lax.dynamic_slice(whole, starts, part.shape)
    part = jnp.where(own.reshape(*own.shape, *[1] * (part.ndim - 2)) > 0, part, before)
    return jax.lax.dynamic_update_slice(whole, part, starts)


def _stride(shape: tuple[int, ...], size: tuple[int, int], align: int) -> int:
    """Return by how much an array ``[H // s, W // s, ...]`` is coarser than a picture."""
    for stride in (1 << power for power in range(align.bit_length())):
        if shape[:2] == (size[0] // stride, size[1] // stride):
            return stride
    raise ValueError(
        f"tiles: expected arrays of the picture's {size[0]} x {size[1]}, or of that divided by 2 ... {align}, got {shape}."
    )


def sharded_sum(
    function: Summand,
    image: Array,
    aligned: PyTree,
    extra: PyTree,
    *,
    mesh: Mesh,
    height: int,
    tile: int | None,
    halo: int,
    align: int,
) -> PyTree:
    """Sum `function` over a picture whose rows are split over devices; each device sums its part in tiles.

    A device fetches the rows around its own from its neighbors, once, and returns their part of the gradient; no device ever holds
    the whole picture. The derivative is that of `tiled_sum`.

    Args:
        function: as in `tiled_sum`.
        image: ``[r, W, ...]``, r as many rows as all devices together have by `sharded_rows`; those beyond `height` are ignored.
        aligned: ``[r // s, W // s, ...]``.
        extra: as in `tiled_sum`.
        mesh: of one axis, over which the rows are split.
        height: of the picture.
        tile: as in `tiled_sum`.
        halo: as in `tiled_sum`.
        align: as in `tiled_sum`.

    Returns:
        The sum, the same on all devices.

    Raises:
        ValueError: another number of rows, and as `tiled_sum`.
    """
    (axis_name,) = mesh.axis_names
    strip = _strip(height, mesh.size, halo, align)
    if image.shape[0] != strip.own * mesh.size:
        raise ValueError(
            f"sharded_sum: expected the {height} rows of the picture padded to {mesh.size} x {strip.own}, got {image.shape[0]}."
        )

    def part(image: jax.Array, aligned: PyTree, extra: PyTree) -> PyTree:
        first = jax.lax.axis_index(axis_name) * strip.own
        origin = jnp.clip(first - halo, 0, height - strip.window)
        window, windows = jax.tree.map(lambda each: _fetched(each, strip, first, origin, axis_name), (image, aligned))
        places = origin + jnp.arange(strip.window)
        own = jnp.broadcast_to(((places >= first) & (places < first + strip.own))[:, None], window.shape[:2])

        def summand(window: jax.Array, valid: jax.Array, aligned: PyTree, extra: PyTree) -> PyTree:
            own, aligned = aligned
            return function(window, valid * own, aligned, extra)

        windows = (own.astype(jnp.float32), windows)
        return jax.lax.psum(tiled_sum(summand, window, windows, extra, tile=tile, halo=halo, align=align), axis_name)

    split, whole = PartitionSpec(axis_name), PartitionSpec()
    return jax.shard_map(part, mesh=mesh, in_specs=(split, split, whole), out_specs=whole, check_vma=False)(
        image, aligned, extra
    )


def sharded_rows(height: int, devices: int, *, halo: int, align: int) -> tuple[int, int]:
    """Return how many rows of a picture each device holds in `sharded_sum`, and how many it reads.

    Args:
        height: of the picture, pixels.
        devices: their number, at least 1.
        halo: as in `tiled_sum`.
        align: as in `tiled_sum`.

    >>> sharded_rows(1080, 4, halo=64, align=16)
    (272, 408)
    """
    strip = _strip(height, devices, halo, align)
    return strip.own, strip.window


class _Strip(NamedTuple):
    """The rows that a device reads: `window` of them, from up to `above` devices before it to `below` after it."""

    own: int
    window: int
    above: int
    below: int


def _strip(height: int, devices: int, halo: int, align: int) -> _Strip:
    own = align * -(-height // (align * devices))
    window = own + halo * min(devices - 1, 2)
    window = min(window + (height - window) % align, height)
    firsts = [own * device for device in range(devices)]
    origins = [min(max(first - halo, 0), height - window) for first in firsts]
    above = max(first - origin for first, origin in zip(firsts, origins, strict=True))
    below = max(origin + window - first - own for first, origin in zip(firsts, origins, strict=True))
    return _Strip(own, window, -(-above // own), -(-max(below, 0) // own))


def _fetched(array: Array, strip: _Strip, first: Array, origin: Array, axis_name: str) -> jax.Array:
    """Return the strip's window of an array ``[own // s, ...]`` that is split over the devices."""
    stride, devices = strip.own // array.shape[0], jax.lax.axis_size(axis_name)
    blocks = []
    for shift in range(-strip.above, strip.below + 1):
        pairs = [(source, source - shift) for source in range(devices) if 0 <= source - shift < devices]
        blocks.append(jax.lax.ppermute(array, axis_name, pairs) if shift else array)
    start = (origin - first + strip.above * strip.own) // stride
    return jax.lax.dynamic_slice_in_dim(jnp.concatenate(blocks), start, strip.window // stride)
