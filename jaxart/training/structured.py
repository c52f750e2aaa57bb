"""Structured pruning: whole channels are dropped and the arrays become smaller, which is what makes a network faster on any machine.

Which arrays share their channels is said by `ChannelGroup`; the network that uses the result must be built with the smaller widths.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxart.arrays import PyTree


class Place(NamedTuple):
    """An axis of an array on which the channels of a group lie.

    An axis that is r times as long holds the channels r times, as pictures do that are flattened before a dense layer.

    Fields:
        path: of the array, such as "block1/conv1/kernel".
        axis: its number.
    """

    path: str
    axis: int


class ChannelGroup(NamedTuple):
    """Channels that are dropped together.

    Fields:
        producers: kernels that make the channels, by the axis of their outputs.
        followers: what else goes along with the channels: biases, scales and shifts of normalizations.
        consumers: kernels that read the channels, by the axis of their inputs. The L2 norms of what makes a channel and of what reads it,
            multiplied, say which channels stay.
        divisions: groups of neighboring channels that are normalized together. Each keeps the same number of channels, so that what is left
            of it is still normalized together, and the number of channels stays a multiple of `divisions`.
    """

    producers: tuple[Place, ...]
    followers: tuple[Place, ...] = ()
    consumers: tuple[Place, ...] = ()
    divisions: int = 1


def residual_groups(
    params: PyTree, *, first: str = "conv1", norm: str | None = "norm2", second: str = "conv2", divisions: int = 8
) -> tuple[ChannelGroup, ...]:
    """Return the channels inside the blocks of a residual network, which may shrink while the residual stream keeps its width.

    A block is a dict with the layers `first` and `second`, at any depth: the channels go from the one through a normalization to the other.

    Args:
        params: dicts in dicts, kernels ``[..., I, O]``.
        first: name of the layer that makes the channels.
        norm: name of the normalization between the two; None if there is none.
        second: name of the layer that reads them.
        divisions: groups of that normalization.

    Raises:
        ValueError: no block, or one that lacks a layer.
    """
    blocks = [path for path, node in _dicts(params) if first in node and second in node]
    if not blocks:
        raise ValueError(f"residual_groups: expected blocks with layers {first!r} and {second!r}, found none.")
    found = []
    for block in blocks:
        node, prefix = _at(params, block), f"{block}/" if block else ""
        missing = [name for name in (first, norm, second) if name is not None and name not in node]
        if missing:
            raise ValueError(f"residual_groups: expected a layer {missing[0]!r} in {block}, found {', '.join(node)}.")
        followers = [(layer, name) for layer in (first, norm) if layer for name in node[layer] if name != "kernel"]
        found.append(
            ChannelGroup(
                (Place(f"{prefix}{first}/kernel", -1),),
                tuple(Place(f"{prefix}{layer}/{name}", -1) for layer, name in sorted(followers)),
                (Place(f"{prefix}{second}/kernel", -2),),
                divisions if norm else 1,
            )
        )
    return tuple(found)


def channels_to_keep(params: PyTree, groups: Sequence[ChannelGroup], *, keep: float = 0.5) -> tuple[np.ndarray, ...]:
    """Return which channels of each group stay: those whose kernels are the longest vectors, as `ChannelGroup` says.

    Args:
        params: dicts in dicts.
        groups: such as `residual_groups` finds.
        keep: share of the channels, in (0, 1]; at least one of each division stays.

    Returns:
        The numbers of the channels of each group, in their order.

    Raises:
        ValueError: a share outside of (0, 1], or channels that the divisions do not divide.

    Reference: Li et al., Pruning Filters for Efficient ConvNets, 2017, section 3.1. Departures: L2 norms, of both sides, within divisions.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"channels_to_keep: expected a share keep in (0, 1], got {keep}.")
    return tuple(_strongest(_lengths(params, group), group, keep) for group in groups)


def take_channels(tree: PyTree, groups: Sequence[ChannelGroup], kept: Sequence[np.ndarray]) -> PyTree:
    """Return a tree with smaller arrays.

    Args:
        tree: params, or what has the same arrays, such as their average or an optimizer's moments.
        groups: as in `channels_to_keep`.
        kept: from there.

    Raises:
        ValueError: a place that is not there, or an axis that does not hold the channels.
    """
    arrays = {path: np.asarray(leaf) for path, leaf in _arrays(tree)}
    for group, numbers in zip(groups, kept, strict=True):
        count = _channels(tree, group)
        for place in (*group.producers, *group.followers, *group.consumers):
            if place.path not in arrays:
                raise ValueError(f"take_channels: expected an array {place.path}; known: {', '.join(sorted(arrays))}.")
            arrays[place.path] = _taken(arrays[place.path], place, numbers, count)
    leaves = [arrays[path] for path, _ in _arrays(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


def drop_channels(params: PyTree, groups: Sequence[ChannelGroup], *, keep: float = 0.5) -> PyTree:
    """Drop the channels with the shortest kernels: `channels_to_keep`, then `take_channels`.

    Args:
        params: dicts in dicts.
        groups: such as `residual_groups` finds.
        keep: share of the channels that stay.

    Returns:
        params with smaller NumPy arrays.
    """
    return take_channels(params, groups, channels_to_keep(params, groups, keep=keep))


def _taken(array: np.ndarray, place: Place, numbers: np.ndarray, count: int) -> np.ndarray:
    index = np.arange(_repeats(array, place, count))[:, None] * count + numbers[None]  # channels vary fastest
    return np.take(array, index.reshape(-1), axis=place.axis)


def _repeats(array: np.ndarray, place: Place, count: int) -> int:
    """Return how many times an axis holds the channels."""
    length = array.shape[place.axis]
    if length % count:
        raise ValueError(
            f"channels: expected a multiple of {count} channels on axis {place.axis} of {place.path}, got shape "
            f"{list(array.shape)}."
        )
    return length // count


def _strongest(lengths: np.ndarray, group: ChannelGroup, keep: float) -> np.ndarray:
    if len(lengths) % group.divisions:
        raise ValueError(
            f"channels_to_keep: expected a multiple of {group.divisions} channels of {group.producers[0].path}, got "
            f"{len(lengths)}."
        )
    each = len(lengths) // group.divisions
    count = max(1, round(keep * each))
    order = np.argsort(-lengths.reshape(group.divisions, each), axis=1, kind="stable")[:, :count]
    return np.sort((order + np.arange(group.divisions)[:, None] * each).reshape(-1))


def _lengths(params: PyTree, group: ChannelGroup) -> np.ndarray:
    """Return the L2 norms ``[C]`` of all that makes each channel, times those of all that reads it."""
    count = _channels(params, group)
    made = _norms(params, group.producers, count)
    return made * _norms(params, group.consumers, count) if group.consumers else made


def _norms(params: PyTree, places: Sequence[Place], count: int) -> np.ndarray:
    squares = np.zeros(count)
    for place in places:
        kernel = np.asarray(_at(params, place.path), np.float64)
        parts = np.moveaxis(kernel, place.axis, 0).reshape(_repeats(kernel, place, count), count, -1)
        squares += (parts**2).sum(axis=(0, 2))
    return np.sqrt(squares)


def _channels(tree: PyTree, group: ChannelGroup) -> int:
    place = group.producers[0]
    return _at(tree, place.path).shape[place.axis]


def _arrays(tree: PyTree) -> list[tuple[str, np.ndarray]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def _dicts(tree: PyTree, path: str = "") -> list[tuple[str, dict]]:
    """Return all dicts of a tree with their paths."""
    if not isinstance(tree, dict):
        return []
    inner = [found for name, node in tree.items() for found in _dicts(node, f"{path}/{name}" if path else str(name))]
    return [(path, tree), *inner]


def _at(tree: PyTree, path: str) -> PyTree:
    for name in path.split("/") if path else ():
        if not isinstance(tree, dict) or name not in tree:
            raise ValueError(f"expected an array {path} in the params; {name!r} is not there.")
        tree = tree[name]
    return tree
