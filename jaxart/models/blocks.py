"""Layers of the generative networks, on `ops.conv2d`: convolutions that also double or halve the picture, batch and spectral
normalization, class embeddings.

Parameters and statistics are float32; `dtype` is that of the products. Two collections beside "params": "batch_stats" (batch
normalization) and "spectral" (vectors of the power iteration). With ``train=True`` they are updated where `apply` has them mutable.
"""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.ops.convolution import conv2d, conv_transpose2d

_HIGHEST = jax.lax.Precision.HIGHEST
_SPECTRAL_START = 15  # power iterations when the network is initialized; one a step keeps up from there


def check_size(name: str, size: int) -> None:
    """Raise unless `size` is a power of two of at least 8.

    Args:
        name: of the network, for the message.
        size: side of the pictures, pixels.

    Raises:
        ValueError: it is not.
    """
    if size < 8 or size & (size - 1):
        raise ValueError(f"{name}: expected a size that is a power of two of at least 8, got {size}. Resize or pad.")


def check_pictures(name: str, images: Array) -> int:
    """Return the side of square pictures.

    Args:
        name: of the network, for the message.
        images: ``[B, S, S, C]``.

    Raises:
        ValueError: another rank, not square, or a side that `check_size` refuses.
    """
    if images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise ValueError(f"{name}: expected square pictures [B, S, S, C], got shape {images.shape}.")
    check_size(name, images.shape[1])
    return images.shape[1]


def check_latent(name: str, z: Array) -> None:
    """Raise unless `z` is a batch of vectors.

    Args:
        name: of the network, for the message.
        z: ``[B, L]``.

    Raises:
        ValueError: another rank.
    """
    if z.ndim != 2:
        raise ValueError(f"{name}: expected latent vectors [B, L], got shape {z.shape}.")


def width_at(width: int, size: int, side: int) -> int:
    """Return DCGAN's channels at one resolution: `width` at half the size, doubled at every halving up to 8 times.

    Args:
        width: channels at half the size.
        size: side of the pictures, pixels, a power of two.
        side: of the features, pixels, from 4 to `size`.

    >>> [width_at(64, 64, side) for side in (64, 32, 16, 8, 4)]
    [32, 64, 128, 256, 512]
    """
    return max(1, width * min(size // side, 16) // 2)


def sides_between(low: int, high: int) -> list[int]:
    """Return the powers of two above `low`, up to `high`.

    Args:
        low: a power of two.
        high: a power of two.

    >>> sides_between(4, 32)
    [8, 16, 32]
    """
    return [low << i for i in range(1, (high // low).bit_length())]


def upsample(images: Array) -> jax.Array:
    """Double the size of pictures by nearest neighbors: ``[N, H, W, C]`` -> ``[N, 2 H, 2 W, C]``."""
    n, h, w, c = images.shape
    pixels = jnp.broadcast_to(images[:, :, None, :, None], (n, h, 2, w, 2, c))  # [N, H, 2, W, 2, C]
    return pixels.reshape(n, 2 * h, 2 * w, c)


def space_to_depth(x: Array) -> jax.Array:
    """Make squares of 2 x 2 pixels the channels of one: ``[B, 2 h, 2 w, C] -> [B, h, w, 4 C]``."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // 2, width // 2, 4 * channels)


def depth_to_space(x: Array, factor: int = 2) -> jax.Array:
    """Undo `space_to_depth`, of squares of any side: ``[B, h, w, f f C] -> [B, f h, f w, C]``.

    Args:
        x: features.
        factor: f.
    """
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, factor, factor, channels // factor**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, factor * height, factor * width, channels // factor**2)


def _with_box(kernel: Array) -> jax.Array:
    """Convolve a kernel with a 2 x 2 box of ones: 3 x 3 become 4 x 4."""
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    rows = padded[1:] + padded[:-1]
    return rows[:, 1:] + rows[:, :-1]


def upsampled_conv2d(images: Array, kernel: Array, *, winograd: bool = True) -> jax.Array:
    """Return ``conv2d(upsample(images), kernel)`` for 3 x 3 kernels, without computing the large picture.

    Nearest neighbors and a 3 x 3 kernel are together a transposed convolution with a 4 x 4 kernel, of 4/9 the multiplications.

    Args:
        images: ``[N, H, W, C]``.
        kernel: ``[3, 3, C, O]``, float32; cast to the dtype of `images` at the end.
        winograd: as in `conv_transpose2d`.

    Returns:
        ``[N, 2 H, 2 W, O]``.
    """
    turned = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    large = _with_box(turned).astype(images.dtype)
    return conv_transpose2d(images, large, stride=2, padding=((1, 1), (1, 1)), winograd=winograd)


def pooled_conv2d(images: Array, kernel: Array) -> jax.Array:
    """Return ``avg_pool(conv2d(images, kernel))`` for 3 x 3 kernels and even sides, without computing the large features.

    Args:
        images: ``[N, 2 H, 2 W, C]``.
        kernel: ``[3, 3, C, O]``, float32; cast to the dtype of `images` at the end.

    Returns:
        ``[N, H, W, O]``.
    """
    return conv2d(images, (_with_box(kernel) / 4).astype(images.dtype), stride=2, padding=((1, 1), (1, 1)))


def _unit(vector: jax.Array) -> jax.Array:
    return vector * jax.lax.rsqrt(jnp.sum(vector**2) + 1e-12)


def _power_step(matrix: jax.Array, u: jax.Array) -> jax.Array:
    """Return the next ``u`` toward the first right singular vector: the unit vector along ``W^T W u``."""
    return _unit(jnp.matmul(_unit(jnp.matmul(matrix, u, precision=_HIGHEST)), matrix, precision=_HIGHEST))


def spectrally_normalized(module: nn.Module, name: str, kernel: jax.Array, *, train: bool) -> jax.Array:
    """Divide a kernel by its largest singular value, as found by power iteration.

    The kernel is a matrix W ``[everything else, O]``. sigma = v^T W u with v = W u / |W u|, and u, v held constant: differentiable in W.
    u is kept in the collection "spectral" of `module` under `name`; training moves it one step, toward W^T W u.

    Args:
        module: the layer, whose collection is read and updated.
        name: of the kernel.
        kernel: ``[..., O]``.
        train: take one step of the power iteration, if the collection is mutable.

    Returns:
        The kernel divided by sigma.

    Reference: Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018, algorithm 1.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fixed = jax.lax.stop_gradient(matrix)

    def start():
        u = _unit(jax.random.normal(module.make_rng("params"), (matrix.shape[1],), matrix.dtype))
        return jax.lax.fori_loop(0, _SPECTRAL_START, lambda _, u: _power_step(fixed, u), u)

    stored = module.variable("spectral", name, start)
    if train and module.is_mutable_collection("spectral") and not module.is_initializing():
        stored.value = _power_step(fixed, stored.value)
    u = jax.lax.stop_gradient(stored.value)
    v = _unit(jnp.matmul(fixed, u, precision=_HIGHEST))
    sigma = jnp.sum(v * jnp.matmul(matrix, u, precision=_HIGHEST))
    return kernel / jnp.maximum(sigma, 1e-12)


class Convolution(nn.Module):
    """A convolution, kernel HWIO in "params", zeros around the picture.

    Args:
        features: channels of the result.
        kernel_size: side of the kernel.
        stride: step.
        scale: "up" doubles the picture before (nearest neighbors), "down" halves it after (averages); 3 x 3 kernels, stride 1.
        bias: False before a normalization, which would subtract it again.
        spectral: divide the kernel by its largest singular value.
        initializer: of the kernel.
        dtype: of the products.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    scale: Literal["up", "down"] | None = None
    bias: bool = True
    spectral: bool = False
    initializer: Callable = nn.initializers.he_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> jax.Array:
        kernel = self.param(
            "kernel", self.initializer, (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        )
        if self.spectral:
            kernel = spectrally_normalized(self, "kernel", kernel, train=train)
        x = x.astype(self.dtype)
        if self.scale is None:
            y = conv2d(x, kernel.astype(self.dtype), stride=self.stride)
        else:
            y = (upsampled_conv2d if self.scale == "up" else pooled_conv2d)(x, kernel)
        if not self.bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return y + bias.astype(y.dtype).reshape(1, 1, 1, -1)


class Dense(nn.Module):
    """A matrix product ``[B, F] -> [B, features]``.

    Args:
        features: length of the result.
        bias: as in `Convolution`.
        initializer: of the kernel.
        dtype: of the product.
    """

    features: int
    bias: bool = True
    initializer: Callable = nn.initializers.he_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        kernel = self.param("kernel", self.initializer, (x.shape[-1], self.features))
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if not self.bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return y + bias.astype(y.dtype).reshape(1, -1)


class WithClass(nn.Module):
    """Append to each vector ``[B, F]`` the embedding of its class: ``[B, F + length]``.

    Embeddings start from N(0, 1), as latent vectors are drawn. With ``classes=0`` the vectors are returned as they are and the label is
    ignored. A label that is not below `classes` cannot be detected under jit: JAX takes the nearest that is.

    Args:
        classes: number of classes; 0 for none.
        length: of an embedding.

    Raises:
        ValueError: there are classes and no label.

    Reference: Mirza and Osindero, Conditional Generative Adversarial Nets, 2014 (one-hot labels; here embedded).
    """

    classes: int
    length: int

    @nn.compact
    def __call__(self, x: Array, label: Array | None) -> jax.Array:
        if not self.classes:
            return x
        embedding = self.param("embedding", nn.initializers.normal(1.0), (self.classes, self.length))
        return jnp.concatenate([x, embedding[_given(label, self.classes)].astype(x.dtype)], axis=-1)


class Projection(nn.Module):
    """Reduce features ``[B, F]`` to logits ``[B]``: ``(w + e_label) . f``, in float32.

    There is no bias: relative and Wasserstein losses do not depend on one. Labels are treated as in `WithClass`.

    Args:
        classes: number of classes; 0 for none.
        spectral: divide each kernel by its largest singular value.

    Raises:
        ValueError: there are classes and no label.

    Reference: Miyato and Koyama, cGANs with Projection Discriminator, 2018, eq. 3.
    """

    classes: int = 0
    spectral: bool = False

    @nn.compact
    def __call__(self, features: Array, label: Array | None, *, train: bool = False) -> jax.Array:
        features = features.astype(jnp.float32)
        weights = self._kernel("kernel", (features.shape[-1], 1), "fan_in", train).reshape(1, -1)
        if self.classes:
            table = self._kernel("embedding", (self.classes, features.shape[-1]), "fan_out", train)
            weights = weights + table[_given(label, self.classes)]
        return jnp.sum(features * weights, axis=-1)

    def _kernel(self, name: str, shape: tuple[int, int], fan: Literal["fan_in", "fan_out"], train: bool) -> jax.Array:
        kernel = self.param(name, nn.initializers.variance_scaling(1.0, fan, "normal"), shape)
        return spectrally_normalized(self, name, kernel, train=train) if self.spectral else kernel


class BatchNorm(nn.Module):
    """Normalize channels by mean and variance over the global batch, then scale and shift, per class if there are any.

    Under jit the means of a sharded batch are global; under `jax.pmap` and `jax.shard_map`, `axis_name` makes them so.
    The variance is taken about the mean, ``E[(x - c)^2] - (m - c)^2`` with c = m held constant, so that it neither cancels nor costs a
    second pass in the derivative. ``train=False`` uses the stored averages. Labels are treated as in `WithClass`.

    Args:
        classes: number of classes, each with a scale and shift of its own; 0 for one pair.
        axis_name: the mapped axis over which the statistics are averaged (`jax.pmap`, `jax.shard_map`).
        momentum: decay of the stored averages per step, in [0, 1).
        epsilon: added to the variance.

    Raises:
        ValueError: there are classes and no label.

    Reference: Ioffe and Szegedy, Batch Normalization, 2015, algorithm 1; per class: Dumoulin et al., A Learned Representation for
    Artistic Style, 2017, eq. 5. Departure: the stored variance is the biased one too.
    """

    classes: int = 0
    axis_name: str | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        channels = x.shape[-1]
        stored = (
            self.variable("batch_stats", "mean", jnp.zeros, (channels,)),
            self.variable("batch_stats", "variance", jnp.ones, (channels,)),
        )
        wide = x.astype(jnp.float32)
        mean, variance = (each.value for each in stored)
        if train and not self.is_initializing():
            mean, variance = self._of_batch(wide)
            if self.is_mutable_collection("batch_stats"):
                for each, now in zip(stored, (mean, variance), strict=True):
                    each.value = self.momentum * each.value + (1 - self.momentum) * now
        scale = self._per_class("scale", nn.initializers.ones_init(), channels, label)
        bias = self._per_class("bias", nn.initializers.zeros_init(), channels, label)
        scale = scale * jax.lax.rsqrt(variance + self.epsilon).reshape(1, 1, 1, -1)
        return (wide * scale + (bias - mean.reshape(1, 1, 1, -1) * scale)).astype(x.dtype)

    def _of_batch(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def average(values):
            means = jnp.mean(values, axis=(0, 1, 2))
            return means if self.axis_name is None else jax.lax.pmean(means, self.axis_name)

        mean = average(x)
        center = jax.lax.stop_gradient(mean)
        return mean, average((x - center.reshape(1, 1, 1, -1)) ** 2) - (mean - center) ** 2

    def _per_class(self, name: str, init: Callable, channels: int, label: Array | None) -> jax.Array:
        if not self.classes:
            return self.param(name, init, (channels,)).reshape(1, 1, 1, -1)
        return self.param(name, init, (self.classes, channels))[_given(label, self.classes)][:, None, None]


def _given(label: Array | None, classes: int) -> Array:
    if label is None:
        raise ValueError(f"expected a label [B] below {classes}, for the network has classes={classes}; got none.")
    return label
