"""Networks that translate pictures from one set to another, and what judges and compares their patches. Pictures are in [-1, 1] here.

References: Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016 (the residual network); Isola et al.,
Image-to-Image Translation with Conditional Adversarial Networks, 2017 (the discriminator of patches); Zhu et al., Unpaired Image-to-Image
Translation using Cycle-Consistent Adversarial Networks, 2017 (both as here); Park et al., Contrastive Learning for Unpaired
Image-to-Image Translation, 2020 (the heads).
"""

import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, Dense
from jaxart.models.stylenet import BorderConvolution, InstanceNorm, check_sizes, replicated

STRIDE = 4  # pixels from one of a translator's deepest features to the next
_NARROW = nn.initializers.normal(0.02)


class ChannelNorm(InstanceNorm):
    """Normalize each channel of each picture, then scale and shift it by numbers that are learned and begin at 1 and 0."""

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        shape = (x.shape[0], x.shape[-1])
        scale, shift = (
            jnp.broadcast_to(self.param(name, start, shape[1:])[None], shape)
            for name, start in (("scale", nn.initializers.ones_init()), ("shift", nn.initializers.zeros_init()))
        )
        return self.normalized(x, scale, shift)


class _Normed(nn.Module):
    """A convolution that repeats the border, the normalization, and ReLU."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    up: bool = False
    relu: bool = True
    winograd: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        convolution = BorderConvolution(
            self.features,
            kernel_size=self.kernel_size,
            stride=self.stride,
            up=self.up,
            initializer=_NARROW,
            winograd=self.winograd,
            dtype=self.dtype,
            name="convolution",
        )
        x = ChannelNorm(name="norm")(convolution(x))
        return jax.nn.relu(x) if self.relu else x


class _Block(nn.Module):
    """Two convolutions of 3 x 3, the second without ReLU; the input is added."""

    features: int
    winograd: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        normed = functools.partial(_Normed, self.features, winograd=self.winograd, dtype=self.dtype)
        return x + normed(relu=False, name="second")(normed(name="first")(x))


class Translator(nn.Module):
    """Translate pictures ``[B, H, W, 3]`` in [-1, 1] into pictures of the same size in [-1, 1], float32.

    A convolution of 7 x 7, two that halve, residual blocks, two that double, one of 7 x 7 and tanh; each but the last is followed by
    instance normalization. Sides that are no multiple of `stride` are continued below and right by their border, and cropped at the end.

    ``apply(variables, images, mutable=["statistics"])`` also returns the means and deviations of every channel, and
    ``apply({**variables, "statistics": ...}, tile)`` translates a part of a picture with those of the whole. A tile that begins at
    multiples of `stride` and has `halo` pixels around what is kept of it gives the pixels of the whole picture.

    Args:
        width: channels at the full size; twice and four times as many at a half and a quarter.
        blocks: residual blocks at a quarter; the paper takes 6 at 128 pixels and 9 at 256.
        winograd: see `ops.conv2d`.
        dtype: of the products of all convolutions but the first and the last.

    Raises:
        ValueError: no width, a negative number of blocks, or pictures of another shape.

    Reference: Zhu et al. 2017, appendix 7.2. Departures: borders are repeated instead of reflected, so that pictures of any size pass;
    what halves has kernels of 4 x 4, which a stride of 2 divides, so that no pixel counts more than its neighbor; what doubles is nearest
    neighbors and a convolution of 3 x 3 instead of a transposed one, which draws checkerboards; the normalization scales and shifts, and
    the convolutions before it have no bias, which it would subtract again.
    """

    width: int = 64
    blocks: int = 9
    winograd: bool = True
    dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Return the pixels from one of the deepest features to the next."""
        return STRIDE

    @property
    def halo(self) -> int:
        """Return the pixels that one of the result looks at around itself, statistics apart, as a multiple of `stride`."""
        return 16 + 8 * self.blocks

    def setup(self):
        """Build the layers."""
        check_sizes("Translator", (self.width,), (self.blocks, 0))
        form: dict[str, Any] = {"winograd": self.winograd, "dtype": self.dtype}
        self.first = _Normed(self.width, kernel_size=7, winograd=self.winograd)
        self.down1 = _Normed(2 * self.width, kernel_size=4, stride=2, **form)
        self.down2 = _Normed(4 * self.width, kernel_size=4, stride=2, **form)
        self.block = [_Block(4 * self.width, **form) for _ in range(self.blocks)]
        self.up1 = _Normed(2 * self.width, up=True, **form)
        self.up2 = _Normed(self.width, up=True, **form)
        self.last = BorderConvolution(3, kernel_size=7, bias=True, initializer=_NARROW, winograd=self.winograd)

    def __call__(self, images: Array) -> jax.Array:
        return self.features(images)["picture"]

    def features(self, images: Array) -> dict[str, jax.Array]:
        """Return the picture and the layers before it, by name: "image", "down1", "down2", "block1" ..., "picture".

        Args:
            images: ``[B, H, W, 3]`` in [-1, 1].
        """
        height, width = images.shape[1:3]
        first = self._encoded(images)
        second = self._decoded(first[next(reversed(first))])
        return {**first, **second, "picture": second["picture"][:, :height, :width]}

    def encode(self, images: Array) -> jax.Array:
        """Return the features in the middle of the residual blocks, ``[B, h, w, 4 width]``.

        Args:
            images: as in `features`.
        """
        found = self._encoded(images)
        return found[next(reversed(found))]

    def decode(self, latent: Array) -> jax.Array:
        """Return the pictures ``[B, 4 h, 4 w, 3]`` of what `encode` returns.

        Args:
            latent: ``[B, h, w, 4 width]``.
        """
        return self._decoded(latent)["picture"]

    def _encoded(self, images: Array) -> dict[str, jax.Array]:
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"Translator: expected pictures [B, H, W, 3], got shape {images.shape}.")
        height, width = images.shape[1:3]
        x: Any = replicated(jnp.asarray(images), 0, (-height % STRIDE, -width % STRIDE))
        found: dict[str, Any] = {"image": x}
        found["down1"] = x = self.down1(self.first(x))
        found["down2"] = x = self.down2(x)
        for number in range(self._half):
            found[f"block{number + 1}"] = x = self.block[number](x)
        return found

    def _decoded(self, x: jax.Array) -> dict[str, jax.Array]:
        found: dict[str, Any] = {}
        for number in range(self._half, self.blocks):
            found[f"block{number + 1}"] = x = self.block[number](x)
        x = self.up2(self.up1(x)).astype(jnp.float32)
        return {**found, "picture": jnp.tanh(self.last(x))}

    @property
    def _half(self) -> int:
        return (self.blocks + 1) // 2


class PatchDiscriminator(nn.Module):
    """Give each patch of pictures ``[B, H, W, C]`` a logit, ``[B, h, w, 1]``: the larger, the more real it looks.

    Convolutions of 4 x 4 and leaky ReLU 0.2: `halvings` of stride 2, one of stride 1, and one that says the logits. Three halvings look at
    patches of 70 x 70 pixels, two at 34, one at 16.

    Args:
        width: channels of the first; they double up to 8 times.
        halvings: of the size.
        norm: "instance" normalizes the features of all layers but the first and the last; "spectral" the kernels.
        dtype: of the products.

    Raises:
        ValueError: no width or halving, an unknown norm, or pictures too small for what is normalized.

    Reference: Isola et al. 2017, section 6.1.2; Zhu et al. 2017, appendix 7.2. Departures: the last two layers keep their size (the paper's
    lose a pixel each), and the normalization scales and shifts.
    """

    width: int = 64
    halvings: int = 3
    norm: Literal["instance", "spectral"] = "instance"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> jax.Array:
        self._check(x.shape)
        spectral = self.norm == "spectral"
        convolution = functools.partial(
            Convolution, kernel_size=4, spectral=spectral, initializer=_NARROW, dtype=self.dtype
        )
        for number in range(self.halvings + 1):
            features, stride = self.width * min(2**number, 8), 2 if number < self.halvings else 1
            normed = number > 0 and not spectral
            layer = convolution(features, stride=stride, bias=not normed, name=f"convolution{number + 1}")
            x = layer(x, train=train)
            x = ChannelNorm(name=f"norm{number + 1}")(x) if normed else x
            x = jax.nn.leaky_relu(x, 0.2)
        return convolution(1, name="logits")(x, train=train).astype(jnp.float32)

    def _check(self, shape: tuple[int, ...]) -> None:
        check_sizes("PatchDiscriminator", (self.width, self.halvings), (0, 0))
        if self.norm not in ("instance", "spectral"):
            raise ValueError(f"PatchDiscriminator: expected a norm of instance or spectral, got {self.norm!r}.")
        least = 2 ** (self.halvings + 1)  # one feature alone, normalized, is 0
        if len(shape) != 4 or min(shape[1:3]) < least:
            raise ValueError(
                f"PatchDiscriminator: expected pictures [B, H, W, C] of {least} pixels or more, got {shape}."
            )


class PatchHeads(nn.Module):
    """Project features of patches ``[B, P, C]``, by layer, to ``[B, P, features]`` by two dense layers with ReLU between, one pair a layer.

    Args:
        features: of the result.

    Reference: Park et al. 2020, section 3.2.
    """

    features: int = 256

    @nn.compact
    def __call__(self, layers: dict[str, Array]) -> dict[str, jax.Array]:
        made = {}
        for name, x in layers.items():
            inner = jax.nn.relu(Dense(self.features, name=f"{name}_1")(x.reshape(-1, x.shape[-1])))
            made[name] = Dense(self.features, name=f"{name}_2")(inner).reshape(*x.shape[:2], -1)
        return made
