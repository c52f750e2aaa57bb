"""VGG-16 and VGG-19 as feature extractors.

Reference: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Features, check_choice
from jaxart.ops.convolution import conv2d
from jaxart.ops.native import native_in_use
from jaxart.ops.pooling import avg_pool, max_pool
from jaxart.ops.winograd import transform_kernel

CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # per block


def layer_names(depth: int) -> tuple[str, ...]:
    """Return the names of all layers in order: ``conv1_1, relu1_1, ..., pool1, conv2_1, ...``."""
    names = []
    for block, count in enumerate(CONVOLUTIONS[depth], start=1):
        names += [f"{kind}{block}_{i}" for i in range(1, count + 1) for kind in ("conv", "relu")]
        names.append(f"pool{block}")
    return tuple(names)


def vgg_depth(variables: Mapping[str, Any]) -> int:
    """Return 16 or 19, read off the names of the convolutions in `variables`.

    Raises:
        ValueError: the convolutions are those of neither.
    """
    names = set(variables["params"])
    for depth in CONVOLUTIONS:
        if names == {name for name in layer_names(depth) if name.startswith("conv")}:
            return depth
    raise ValueError(f"expected the convolutions of VGG-16 or VGG-19 (conv1_1 ... conv5_4), got {sorted(names)}.")


def vgg_block(name: str) -> int:
    """Return the block that a layer of VGG ends or lies in: relu4_2 -> 4, pool3 -> 3."""
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz")[0])


def vgg_stride(name: str) -> int:
    """Return the pixels from one feature of a layer to the next: image and relu1_2 -> 1, relu4_2 -> 8, pool4 -> 16."""
    return 1 if name == "image" else 2 ** (vgg_block(name) - 1 + name.startswith("pool"))


def vgg_halo(depth: int, layers: Sequence[str]) -> tuple[int, int]:
    """Return (halo, align) of layers for `ops.tiled_sum`, in pixels: the reach of their receptive fields, and the largest stride.

    The halo is rounded up to a multiple of `align`.

    Args:
        depth: 16 or 19.
        layers: names such as relu4_2; "image" is the picture itself.

    >>> vgg_halo(16, ("relu1_1", "relu5_1")), vgg_halo(19, ("relu5_1",))
    ((64, 16), (80, 16))
    """
    align = max(map(vgg_stride, layers))
    names = layer_names(depth)
    deepest = max((names.index(name) for name in layers if name != "image"), default=-1)
    halo = 0
    for name in names[: deepest + 1]:
        if name.startswith("conv"):
            halo += vgg_stride(name)
        if name.startswith("pool"):
            halo = -(-halo // vgg_stride(name)) * vgg_stride(name)  # a feature that sees a wrong pixel is wrong
    return max(1, -(-halo // align)) * align, align


class _Convolution(nn.Module):
    """A 3x3 convolution with bias; `replicate` repeats the border instead of padding zeros."""

    channels: int
    replicate: bool
    winograd: bool
    dtype: Any

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.he_normal(), (3, 3, x.shape[-1], self.channels))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.channels,))
        if self.replicate:
            x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        y = conv2d(
            x,
            kernel.astype(self.dtype),
            padding="valid" if self.replicate else "same",
            transformed=self.get_variable("transformed", "kernel"),
            winograd=self.winograd,
        )
        return y + bias.astype(self.dtype).reshape(1, 1, 1, -1)


@jax.custom_jvp
def _relu(x: jax.Array) -> jax.Array:
    return jax.lax.optimization_barrier(jnp.maximum(x, 0))


@_relu.defjvp
def _relu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Find where it passes by its result, so that only the result is stored and not the argument too."""
    y = _relu(*primals)
    return y, jnp.where(y > 0, *tangents, 0)


def _worth_keeping(shape: Sequence[int]) -> bool:
    return min(shape[2:]) >= 128 and shape[2] < 512


@jax.jit
def _transformed(kernels: Any) -> Any:
    return jax.tree.map(transform_kernel, kernels)


class VGG(nn.Module):
    """Extract named layers of VGG in one pass that stops at the deepest one asked for.

    ``VGG(depth=16, layers=("relu1_1", "relu4_2")).apply(variables, images) -> {"relu1_1": [N, H, W, 64], ...}``. The variables hold
    "params" (kernels HWIO and biases by layer name) and "preprocessing" (mean and std of RGB in [0, 1], which come with the weights).

    Args:
        depth: 16 or 19.
        layers: names such as relu4_2, conv1_1, pool3; "image" is the input itself.
        pooling: "max", or "average" as Gatys prefers; averages are multiplied by 1.5, which keeps the root mean square of relu2_1 to
            relu5_1 within 20 % of max pooling's on photographs with torchvision's VGG-16.
        first_padding: "replicate" repeats the border before the first convolution (no dark frame); "zeros" is the original.
        winograd: see `ops.conv2d`; False is slower on a CPU and rounds less.
        dtype: of the activations; statistics of bfloat16 features are taken in float32 by the losses.
        rematerialize: the derivative computes the first block's activations anew instead of keeping them: an eighth less memory. More
            blocks would not need less, because the peak is the derivative of that block.

    Calling it takes pictures ``[N, H, W, 3]`` and optionally ``tap(name, features)``: its result is returned for each layer instead of the
    features, and is computed in the layer's block. With `rematerialize`, what `tap` needs of the first block for its derivative is computed
    anew too.

    Raises:
        ValueError: an unknown layer, pooling or padding, or a picture too small for a layer (its message names the smallest size).
    """

    depth: int = 16
    layers: tuple[str, ...] = ("relu5_1",)
    pooling: Literal["max", "average"] = "max"
    first_padding: Literal["zeros", "replicate"] = "zeros"
    winograd: bool = True
    dtype: Any = jnp.float32
    rematerialize: bool = False

    AVERAGE_SCALE: ClassVar[float] = 1.5

    @nn.compact
    def __call__(self, images: Array, *, tap: Callable[[str, jax.Array], Any] = lambda name, layer: layer) -> Features:
        names = self._checked_layers()
        mean = self.variable("preprocessing", "mean", jnp.zeros, (3,)).value
        std = self.variable("preprocessing", "std", jnp.ones, (3,)).value
        found = {"image": tap("image", images)} if "image" in self.layers else {}
        x = ((images - mean.reshape(1, 1, 1, -1)) / std.reshape(1, 1, 1, -1)).astype(self.dtype)

        def run(network: VGG, x: jax.Array, *, names: tuple[str, ...]) -> tuple[jax.Array, Features]:
            found = {}
            for name in names:
                x = network._layer(name, x, images.shape)
                if name in network.layers:
                    # So its gradient, as large as the layer, is computed when the derivative reaches the layer and not stored until then.
                    x, found[name] = jax.lax.optimization_barrier((x, tap(name, x)))
            return x, found

        for number, block in itertools.groupby(names, key=vgg_block):
            part = functools.partial(run, names=tuple(block))
            x, features = (nn.remat(part) if self.rematerialize and number == 1 else part)(self, x)
            found |= features
        return {name: found[name] for name in self.layers}

    @nn.nowrap
    def freeze(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables of a network that is not trained: layers in use and, for the fast convolution on a CPU, transformed kernels.

        The latter are the collection "transformed", of the layers with 128 to 256 channels, at four times the size of the kernels. Those
        of 512 channels would take 38 MiB each; large pictures transform them in each step, small ones do without. They go stale when a
        kernel changes. Where the compiled kernel is in use (`ops.use_native`) there are none: it transforms as it goes.

        Args:
            variables: of this network, or of a deeper one.

        Returns:
            Variables for `apply`, on the device.
        """
        names = [name for name in self._checked_layers() if name.startswith("conv")]
        kept = {"params": {name: variables["params"][name] for name in names}}
        frozen: dict[str, Any] = jax.device_put({**kept, "preprocessing": variables["preprocessing"]})
        if not self.in_winograds_form:
            return frozen
        kernels = {name: {"kernel": leaves["kernel"]} for name, leaves in frozen["params"].items()}
        wide = {name: leaf for name, leaf in kernels.items() if _worth_keeping(leaf["kernel"].shape)}
        return {**frozen, "transformed": _transformed(wide)} if wide else frozen

    @property
    def in_winograds_form(self) -> bool:
        """Return whether wide layers are computed by Winograd's form in XLA: float32 on a CPU without the compiled kernel."""
        on_cpu = jax.default_backend() == "cpu" and not native_in_use()
        return on_cpu and self.winograd and self.dtype == jnp.float32

    def _layer(self, name: str, x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        kind, block = name.rstrip("0123456789_"), name.strip("abcdefghijklmnopqrstuvwxyz")
        if kind == "conv":
            replicate = name == "conv1_1" and self.first_padding == "replicate"
            return _Convolution(CHANNELS[int(block[0]) - 1], replicate, self.winograd, self.dtype, name=name)(x)
        if kind == "relu":
            return _relu(x)
        if min(x.shape[1:3]) < 2:
            raise ValueError(
                f"VGG: a picture of {shape[1]} x {shape[2]} is too small for {name}: {2 ** int(block)} pixels at least."
            )
        return max_pool(x) if self.pooling == "max" else avg_pool(x) * self.AVERAGE_SCALE

    def _checked_layers(self) -> tuple[str, ...]:
        if self.depth not in CONVOLUTIONS:
            raise ValueError(f"VGG: expected depth {' or '.join(map(str, CONVOLUTIONS))}, got {self.depth}.")
        check_choice("VGG pooling", self.pooling, ("max", "average"))
        check_choice("VGG first_padding", self.first_padding, ("zeros", "replicate"))
        known = layer_names(self.depth)
        for name in self.layers:
            check_choice("VGG layer", name, ("image", *known))
        deepest = max((known.index(name) for name in self.layers if name != "image"), default=-1)
        return known[: deepest + 1]
