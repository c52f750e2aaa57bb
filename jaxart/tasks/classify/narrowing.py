"""A residual network with fewer channels, made of a trained one: what makes it faster on any machine."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxart.arrays import PyTree
from jaxart.tasks.classify.trained import Classifier
from jaxart.training import ChannelGroup, Place, channels_to_keep, residual_groups, take_channels


def narrow(trained: Classifier, *, keep: float = 0.5, stages: bool = False) -> Classifier:
    """Drop the least important channels of a `models.ResidualClassifier`: the smaller network, and its smaller arrays.

    Channels between the two convolutions of a block are chosen block by block; those of a stage, to which all of its blocks add, once for
    all of them. What is left of a group that is normalized together is normalized without the rest, so a little training should follow.

    Args:
        trained: a `models.ResidualClassifier` and its params.
        keep: share of the channels that stay, in (0, 1], of each group that is normalized together.
        stages: drop channels of the stages as well; else the channels inside the blocks alone.

    Raises:
        ValueError: a share out of its range, or params of another network.

    Reference: Li et al., Pruning Filters for Efficient ConvNets, 2017, section 3.1, and for the stages section 3.3. Departure: the channels
    of a stage are chosen by all of its blocks, not by the projection.
    """
    network, params = trained
    inside = residual_groups(params, divisions=network.groups)
    groups = (*inside, *(_stages(network) if stages else ()))
    small = take_channels(params, groups, channels_to_keep(params, groups, keep=keep))
    inner, widths = (_outputs(network, small, layer) for layer in ("conv1", "conv2"))
    return Classifier(network.clone(inner=inner, widths=widths), jax.tree.map(jnp.asarray, small))


def _outputs(network: Any, params: PyTree, layer: str) -> tuple[int, ...]:
    """Return how many channels a layer of the blocks makes, by stage."""
    first = range(0, len(network.widths) * network.blocks, network.blocks)
    return tuple(params[f"residual_{block}"][layer]["kernel"].shape[-1] for block in first)


def _stages(network: Any) -> list[ChannelGroup]:
    """Return the channels of each stage: what makes them, what they are normalized by, what reads them."""
    count, found = network.blocks, []
    for stage in range(len(network.widths)):
        blocks = [f"residual_{number}" for number in range(stage * count, (stage + 1) * count)]
        following, last = f"residual_{(stage + 1) * count}", stage == len(network.widths) - 1
        begins = f"{blocks[0]}/direct/kernel" if stage else "stem/kernel"
        readers = blocks[1:] if stage else blocks  # the first block of a later stage reads the stage before
        ends = ["logits/kernel"] if last else [f"{following}/conv1/kernel", f"{following}/direct/kernel"]
        norms = [f"{block}/norm1" for block in readers] + (["norm"] if last else [f"{following}/norm1"])
        found.append(
            ChannelGroup(
                tuple(Place(path, -1) for path in (begins, *(f"{block}/conv2/kernel" for block in blocks))),
                tuple(Place(f"{norm}/{name}", -1) for norm in norms for name in ("scale", "bias")),
                tuple(Place(path, -2) for path in (*(f"{block}/conv1/kernel" for block in readers), *ends)),
                network.groups,
            )
        )
    return found
