"""What a step needs, by arithmetic: bytes and work from layers, pixels and the memory mode. Nothing is traced or compiled.

A step's memory is what is kept of the layers for the derivative, and the widest layer's gradients on top. The coefficients below were
read off what some hundred compiled programs say of themselves; docs/performance.md has the residuals.
"""

import jax
import jax.numpy as jnp

from jaxart import losses
from jaxart.arrays import PyTree
from jaxart.image import fit_within
from jaxart.models import VGG, vgg_stride
from jaxart.models.vgg import CHANNELS, layer_names, vgg_block
from jaxart.ops import tiled_pixels
from jaxart.ops.tiles import tile_window
from jaxart.ops.winograd import tile_count
from jaxart.tasks.stylize.job import Scale, objective_terms
from jaxart.tasks.stylize.terms import terms_halo

# Arrays as large as a layer's result that its derivative works on, beside what is kept.
_DIRECT, _WINOGRAD = 3.0, 5.0  # by the compiled kernel or XLA's convolution, and by Winograd's form in XLA
# bfloat16 on a CPU, which XLA widens to float32, and where block 1 is computed anew; for the default layers, a fifth too much for few ones
_WIDENED, _WIDENED_ANEW = 6.25, 3.2
_MEASURED = 1.25  # more where the widest layer's statistics are measured
_MASKED = 1.9  # widest layers that each masked region takes
_WHOLE_FEATURES = {
    losses.PATCH: 4000,
    losses.HISTOGRAM: 740,
    losses.SLICED: 740,
}  # bytes a pixel that such a loss takes
_PICTURE = 12  # bytes a pixel: the picture's gradient
_FIXED = 4 << 20

# Work in passes of the network.
FIXED_PIXELS = 15_000  # what a step costs beside its pixels, the roots of covariances above all, expressed in pixels
_REMATERIALIZED, _CONTENT = 0.13, 0.84  # of a forward pass: block 1, and all up to relu4_2


def step_bytes(scale: Scale, *, pictures: int = 1) -> int:
    """Return the bytes that the arrays of a scale's step take beside the network: its state, its targets and what it works on.

    Args:
        scale: from `scale_of`.
        pictures: of a sheet, at once.
    """
    job, rows, sharing = scale.job, scale.rows, devices_sharing(scale)
    height = scale.size[0]
    devices = 1 if rows is None else rows.mesh.size
    own = height if rows is None else rows.padded // devices  # rows of a device
    state = state_bytes(scale) * own // height
    taken = pictures * (state + _working_bytes(scale, own)) + _aligned_bytes(scale) * own // height
    taken += pictures * _target_bytes(scale)
    return sharing * taken + (sharing - 1) * tree_bytes(job.variables)


def state_bytes(scale: Scale) -> int:
    """Return the bytes of a scale's state, on all devices together."""
    image = jax.ShapeDtypeStruct((*scale.size, 3), jnp.float32)
    return 2 * 4 * image.size + tree_bytes(jax.eval_shape(scale.job.optimizer.transformation.init, image))


def tree_bytes(tree: PyTree) -> int:
    """Return the bytes of all arrays of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def devices_sharing(scale: Scale) -> int:
    """Return how many devices take part in a scale and share the memory and the cores of one CPU."""
    rows = scale.rows
    return rows.mesh.size if rows is not None and jax.devices()[0].platform == "cpu" else 1


def activation_bytes(network: VGG, size: tuple[int, int], *, regions: int = 0) -> int:
    """Return the most bytes that a network's layers take at once while a picture's gradient is computed.

    It is the largest, over the layers, of the results kept up to there with the arrays that the layer's derivative works on.

    Args:
        network: whose `rematerialize` says whether block 1 is kept.
        size: (height, width) of the picture, or of a tile's window, pixels.
        regions: of masks; 0 without.
    """
    kept = peak = 0.0
    item, transformed, before = jnp.dtype(network.dtype).itemsize, _transformed_bytes(network, size), 3
    for name in _results(network):
        stride, block = vgg_stride(name), vgg_block(name)
        layer = (size[0] // stride) * (size[1] // stride) * CHANNELS[block - 1]
        kept += layer * item
        if name.startswith("pool"):
            kept = layer * item if network.rematerialize and block == 1 else kept
            continue
        arrays = _arrays(network, min(before, CHANNELS[block - 1]))
        if (
            name in network.layers and name != "relu1_1"
        ):  # whose statistics' gradient is taken when nothing else is left
            arrays = max(arrays, _DIRECT + _MEASURED)
        arrays += regions * _MASKED
        peak = max(peak, kept + arrays * layer * 4 + transformed * (CHANNELS[block - 1] == 512))
        before = CHANNELS[block - 1]
    return int(peak)


def scale_work(scale: Scale) -> float:
    """Return the work of a step as the number of pixels for which a step on the whole picture, two passes, costs the same.

    Of several devices it is that of one; simulated devices take turns.

    Args:
        scale: from `scale_of`.
    """
    height, width = scale.size
    mode, read = scale.memory_mode, height if scale.rows is None else scale.rows.read
    halo, align = terms_halo(objective_terms(scale.job), scale.job.network)
    pixels = tiled_pixels((read, width), tile=mode.tile, halo=halo, align=align)
    tiled = pixels > read * width
    passes = 2 + tiled + mode.rematerialize * _REMATERIALIZED + mode.recompute * _CONTENT * (1 + tiled)
    return pixels * devices_sharing(scale) * passes / 2


def multiplications(network: VGG) -> dict[bool, float]:
    """Return the multiplications a pixel of the network's forward pass: in convolutions of few channels (False), of 128 and more (True)."""
    found, before = {False: 0.0, True: 0.0}, 3
    for name in (name for name in _results(network) if name.startswith("relu")):
        channels = CHANNELS[vgg_block(name) - 1]
        found[min(before, channels) >= 128] += 9 * before * channels / vgg_stride(name) ** 2
        before = channels
    return found


def _working_bytes(scale: Scale, own: int) -> int:
    """Return what a step works on, on one device, whose own rows these are."""
    job, mode, width = scale.job, scale.memory_mode, scale.size[1]
    read = scale.size[0] if scale.rows is None else scale.rows.read
    halo, align = terms_halo(objective_terms(job), job.network)
    window = tile_window((read, width), tile=mode.tile, halo=halo, align=align)
    network = job.network.clone(rematerialize=mode.rematerialize)
    regions = 0 if job.masks is None else len(job.styles)
    layers = activation_bytes(network, window, regions=regions)
    layers += _WHOLE_FEATURES.get(job.style_loss, 0) * window[0] * window[1]
    searched = max(0, state_bytes(scale) - 48 * scale.size[0] * width)  # a line search works on more than Adam's state
    return layers + _PICTURE * own * width + searched * own // scale.size[0] + _FIXED


def _aligned_bytes(scale: Scale) -> int:
    """Return the bytes of the content's features or picture, the masks and the pictures of added terms."""
    job, (height, width) = scale.job, scale.size
    each = [] if scale.memory_mode.recompute else list(job.content_layers)
    total = 0 if each else 3 * 4 * height * width
    for name in each:
        positions = (height // vgg_stride(name)) * (width // vgg_stride(name))
        total += positions * CHANNELS[vgg_block(name) - 1] * jnp.dtype(job.network.dtype).itemsize
    if job.masks is not None:
        total += 4 * len(job.masks) * sum(height * width // vgg_stride(name) ** 2 for name in job.style_layers)
    for leaf in jax.tree.leaves([term.pictures for term in job.terms]):
        total += 4 * height * width * leaf.shape[-1]
    return total


def _target_bytes(scale: Scale) -> int:
    """Return the bytes of the style targets: matrices of channels, or whole feature maps."""
    job, total = scale.job, tree_bytes([term.targets for term in scale.job.terms])
    for style in job.styles if job.masks is not None or not job.style_loss.additive else job.styles[:1]:
        side = min(max(1, round(max(scale.size) * job.style_scale)), max(style.shape[:2]))
        height, width = fit_within(style.shape[:2], side)
        for name in job.style_layers:
            channels, stride = CHANNELS[vgg_block(name) - 1], vgg_stride(name)
            rows = channels if job.style_loss.additive else (height // stride) * (width // stride)
            total += 4 * rows * channels
    return total


def _results(network: VGG) -> list[str]:
    """Return the layers whose results are kept: all of relu and pooling up to the deepest that is asked for."""
    names = layer_names(network.depth)
    deepest = max((names.index(name) for name in network.layers if name != "image"), default=-1)
    return [name for name in names[: deepest + 1] if not name.startswith("conv")]


def _arrays(network: VGG, channels: int) -> float:
    """Return how many arrays of a layer's size in float32 its derivative works on."""
    if jax.default_backend() == "cpu" and network.dtype == jnp.bfloat16:
        return _WIDENED_ANEW if network.rematerialize else _WIDENED
    if channels >= 128 and network.in_winograds_form:
        return _WINOGRAD
    return _DIRECT * jnp.dtype(network.dtype).itemsize / 4


def _transformed_bytes(network: VGG, size: tuple[int, int]) -> int:
    """Return the bytes of the kernels of 512 channels that Winograd's form transforms in each step (`VGG.freeze` keeps the others)."""
    if not network.in_winograds_form:
        return 0
    total, before = 0, 256
    for name in (name for name in _results(network) if name.startswith("relu") and vgg_block(name) >= 4):
        if tile_count((size[0] // vgg_stride(name), size[1] // vgg_stride(name))) >= 64:
            total += 36 * before * 512 * 4
        before = 512
    return total
