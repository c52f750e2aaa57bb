"""The style-based generator and its discriminator (StyleGAN2). Pictures are in [-1, 1] here, and those of the generator may exceed it.

Trained weights start from N(0, 1) and are scaled where they are used (equalized learning rate), so Adam's rate is about 0.002 for them.
All that is random beside z is drawn from the bits of z, so a picture is a function of the variables, z and the label, in training too,
and a batch may be divided at will. Collections of the generator beside "params": "average" (of w, moved in training) and "noise" (what is
added where ``train=False``, never trained).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key, keys_of_bits
from jaxart.models.blocks import WithClass, check_latent, check_pictures, check_size, sides_between, width_at
from jaxart.ops.convolution import conv2d, modulated_conv2d
from jaxart.ops.resample import downsample_low_pass, upsample_low_pass

_DECAY = 0.995  # of the average of w, per step
_MAPPING_RATE = 0.01  # learning rate of the mapping network, relative to the others
_STYLES, _NOISE = 0, 1  # what an example's numbers are for
_NORMAL = nn.initializers.normal(1.0)


def truncated(w: Array, average: Array, *, amount: float | Array, layers: int | None = None) -> jax.Array:
    """Pull styles toward their average: ``a + amount (w - a)``, which trades variety for likelihood.

    Args:
        w: ``[B, layers, D]``, from `StyleGANGenerator.styles`.
        average: of w, ``[D]``: ``variables["average"]["w"]``.
        amount: 1 changes nothing, 0 gives the average, negative numbers its opposite.
        layers: the number of first (coarsest) layers that are pulled; None for all.

    Returns:
        ``[B, layers, D]``.

    Reference: Karras et al., A Style-Based Generator Architecture for Generative Adversarial Networks, 2019, appendix B.
    """
    center = average.reshape(1, 1, -1)
    pulled = center + amount * (w - center)
    if layers is None:
        return pulled
    return jnp.where(jnp.arange(w.shape[1]).reshape(1, -1, 1) < layers, pulled, w)


def _activated(x: jax.Array) -> jax.Array:
    """Return leaky ReLU 0.2 with the gain that keeps the second moment."""
    return jnp.where(x > 0, x, 0.2 * x) * 2**0.5


def _normalized(x: jax.Array) -> jax.Array:
    """Scale vectors to a second moment of 1."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-8)


class _Dense(nn.Module):
    """A matrix product ``[B, F] -> [B, features]`` in float32 with equalized learning rate.

    Args:
        features: length of the result.
        start: of the bias.
        rate: learning rate relative to the optimizer's.
    """

    features: int
    start: float = 0.0
    rate: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.normal(1 / self.rate), (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.constant(self.start), (self.features,))
        return x @ (kernel * (self.rate / x.shape[-1] ** 0.5)) + (bias * self.rate).reshape(1, -1)


def _kernel(module: nn.Module, size: int, x: jax.Array, features: int) -> jax.Array:
    """Return the kernel of a module's convolution, scaled to unit gain."""
    kernel = module.param("kernel", _NORMAL, (size, size, x.shape[-1], features))
    return (kernel * (size**2 * x.shape[-1]) ** -0.5).astype(x.dtype)


def _bias(module: nn.Module, y: jax.Array) -> jax.Array:
    bias = module.param("bias", nn.initializers.zeros_init(), (y.shape[-1],))
    return bias.astype(y.dtype).reshape(1, 1, 1, -1)


class _Convolution(nn.Module):
    """A convolution with equalized learning rate; a bias and leaky ReLU follow, where asked for."""

    features: int
    size: int = 3
    active: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = conv2d(x, _kernel(self, self.size, x, self.features))
        return _activated(y + _bias(self, y)) if self.active else y


class _Mapping(nn.Module):
    """Map vectors and classes to styles: ``[B, L]``, ``[B]`` -> ``[B, dimensions]``."""

    dimensions: int
    depth: int
    classes: int

    @nn.compact
    def __call__(self, z: jax.Array, label: Array | None) -> jax.Array:
        length = z.shape[-1]
        x = WithClass(self.classes, length, name="class")(_normalized(z), label)
        x = jnp.concatenate([x[:, :length], _normalized(x[:, length:])], axis=-1) if self.classes else x
        for number in range(self.depth):
            x = _activated(_Dense(self.dimensions, rate=_MAPPING_RATE, name=f"dense{number + 1}")(x))
        return x


class _StyledLayer(nn.Module):
    """Modulated 3 x 3 convolution, doubling if asked for, noise of one strength for all channels, bias, leaky ReLU."""

    features: int
    number: int
    double: bool

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array, keys: Key | None) -> jax.Array:
        style = _Dense(x.shape[-1], start=1.0, name="style")(w[:, self.number])
        y = modulated_conv2d(x, _kernel(self, 3, x, self.features), style.astype(x.dtype))
        y = upsample_low_pass(y) if self.double else y
        strength = self.param("strength", nn.initializers.zeros_init(), (1, 1, 1, 1))
        noise = strength * self._noise(y.shape[1], keys)
        return _activated(y + noise.astype(y.dtype) + _bias(self, y))

    def _noise(self, side: int, keys: Key | None) -> jax.Array:
        """Return ``[B, H, W, 1]`` from the examples' keys, or what is stored, ``[1, H, W, 1]``."""

        def draw(key: Key) -> jax.Array:
            return jax.random.normal(jax.random.fold_in(key, self.number), (side, side, 1))

        stored = self.variable("noise", "pixels", lambda: draw(self.make_rng("params"))[None])
        return stored.value if keys is None else jax.vmap(draw)(keys)


class _ToPicture(nn.Module):
    """Modulated 1 x 1 convolution to the channels of the picture, not demodulated, in float32."""

    channels: int
    number: int

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array) -> jax.Array:
        style = _Dense(x.shape[-1], start=1.0, name="style")(w[:, self.number])
        y = modulated_conv2d(x, _kernel(self, 1, x, self.channels), style.astype(x.dtype), demodulate=False)
        return (y + _bias(self, y)).astype(jnp.float32)


class _Synthesis(nn.Module):
    """Paint styles ``[B, layers, D]`` from a learned constant: two layers and a picture at every side but 4, which has one layer."""

    size: int
    channels: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, w: jax.Array, keys: Key | None) -> jax.Array:
        features = width_at(self.width, self.size, 4)
        x = self.param("constant", _NORMAL, (1, 4, 4, features)).astype(self.dtype)
        x = jnp.broadcast_to(x, (w.shape[0], 4, 4, features))
        x = _StyledLayer(features, 0, False, name="layer4")(x, w, keys)
        picture = _ToPicture(self.channels, 1, name="picture4")(x, w)
        for index, side in enumerate(sides_between(4, self.size)):
            features, number = width_at(self.width, self.size, side), 2 * index + 1
            x = _StyledLayer(features, number, True, name=f"up{side}")(x, w, keys)
            x = _StyledLayer(features, number + 1, False, name=f"layer{side}")(x, w, keys)
            now = _ToPicture(self.channels, number + 2, name=f"picture{side}")(x, w)
            picture = upsample_low_pass(picture) + now
        return picture


class StyleGANGenerator(nn.Module):
    """Turn latent vectors into pictures by styles: ``[B, L] -> [B, size, size, channels]``, about [-1, 1], float32.

    A mapping network makes a style w of z and the class; each convolution scales its inputs by numbers that are linear in w, and its
    outputs to unit deviation. Pictures of all sides are added up. Beside a call there are two methods, for
    ``network.apply(variables, ..., method="styles")``: `styles` and `paint`.

    Args:
        size: side of the pictures, a power of two, at least 8.
        channels: of the pictures.
        width: channels at half the size; they double toward 4 x 4, up to 8 times, as DCGAN's.
        dimensions: D, length of w.
        depth: layers of the mapping network; 8 in the paper.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        mixing: probability that the layers from a random one on get the style of another z, in training.
        axis_name: the mapped axis over which the average of w is taken (`jax.pmap`, `jax.shard_map`).
        dtype: of the products; the mapping network and the sum of pictures are float32.

    Raises:
        ValueError: a size that is not a power of two or below 8, z or w of another shape, or no label for classes.

    Reference: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, section 2 and fig. 7 (skip outputs); sizes and
    mapping of Karras et al., Training Generative Adversarial Networks with Limited Data, 2020. Departures: a layer that doubles
    convolves first and then interpolates, instead of a strided transposed convolution before the filter, which costs more on a CPU; style
    mixing has a place for each example, not for the batch.
    """

    size: int = 64
    channels: int = 3
    width: int = 64
    dimensions: int = 256
    depth: int = 2
    classes: int = 0
    mixing: float = 0.9
    axis_name: str | None = None
    dtype: Any = jnp.float32

    def setup(self) -> None:
        check_size("StyleGANGenerator", self.size)
        self.mapping = _Mapping(self.dimensions, self.depth, self.classes)
        self.synthesis = _Synthesis(self.size, self.channels, self.width, self.dtype)
        self.average = self.variable("average", "w", jnp.zeros, (self.dimensions,))

    @property
    def layers(self) -> int:
        """Return how many styles a picture takes: ``2 log2(size) - 2``."""
        return 2 * self.size.bit_length() - 4

    def __call__(self, z: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        w = self.styles(z, label, train=train)
        return self.paint(w, _keys_of(z, _NOISE) if train else None)

    def styles(
        self, z: Array, label: Array | None = None, *, train: bool = False, truncation: float | Array = 1.0
    ) -> jax.Array:
        """Return the styles of latent vectors.

        Args:
            z: ``[B, L]``.
            label: ``[B]`` int32, where there are classes.
            train: mix styles, and move the average of w where its collection is mutable.
            truncation: as the `amount` of `truncated`.

        Returns:
            w, ``[B, layers, D]``.

        Raises:
            ValueError: z of another rank, or no label for classes.
        """
        check_latent("StyleGANGenerator", z)
        w = self.mapping(z.astype(jnp.float32), label)  # [B, D]
        if train and self.is_mutable_collection("average") and not self.is_initializing():
            mean = jnp.mean(jax.lax.stop_gradient(w), axis=0)
            mean = mean if self.axis_name is None else jax.lax.pmean(mean, self.axis_name)
            self.average.value = _DECAY * self.average.value + (1 - _DECAY) * mean
        all_layers = jnp.broadcast_to(w[:, None], (w.shape[0], self.layers, self.dimensions))
        if train and self.mixing > 0:
            all_layers = self._mixed(all_layers, _keys_of(z, _STYLES), label, z.shape[-1])
        return truncated(all_layers, self.average.value, amount=truncation)

    def paint(self, w: Array, keys: Key | None = None) -> jax.Array:
        """Return the pictures of styles.

        Args:
            w: ``[B, layers, D]``.
            keys: ``[B]``, of the noise; None for the noise that is stored, the same for all pictures.

        Returns:
            ``[B, S, S, C]``.

        Raises:
            ValueError: w of another shape.
        """
        if w.ndim != 3 or w.shape[1:] != (self.layers, self.dimensions):
            raise ValueError(
                f"StyleGANGenerator: expected styles [B, {self.layers}, {self.dimensions}], got shape {w.shape}."
            )
        return self.synthesis(w, keys)

    def _mixed(self, w: jax.Array, keys: Key, label: Array | None, latent: int) -> jax.Array:
        """Give the layers from a random one on another style, with the probability `mixing`."""

        def draw(key: Key) -> tuple[jax.Array, jax.Array]:
            key_z, key_place, key_chance = jax.random.split(key, 3)
            place = jax.random.randint(key_place, (), 1, self.layers)
            mixes = jax.random.uniform(key_chance) < self.mixing
            return jax.random.normal(key_z, (latent,)), jnp.where(mixes, place, self.layers)

        z, place = jax.vmap(draw)(keys)
        other = self.mapping(z, label)[:, None]
        return jnp.where(jnp.arange(self.layers).reshape(1, -1, 1) < place.reshape(-1, 1, 1), w, other)


def _keys_of(z: Array, purpose: int) -> Key:
    return jax.vmap(functools.partial(jax.random.fold_in, data=purpose))(keys_of_bits(z))


class _ResidualBlock(nn.Module):
    """Convolve, halve, convolve; the input, halved and convolved 1 x 1, is added, and the sum scaled to the old deviation."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        direct = _Convolution(self.features, size=1, active=False, name="direct")(downsample_low_pass(x))
        y = downsample_low_pass(_Convolution(x.shape[-1], name="conv1")(x))
        return (_Convolution(self.features, name="conv2")(y) + direct) * 0.5**0.5


def with_deviation(x: Array, *, group: int) -> jax.Array:
    """Append a channel with the mean deviation of the features over a group of examples: ``[N, H, W, C]`` -> ``[N, H, W, C + 1]``.

    A group is every second example of a block: i, i + 2, i + 4, ... Where reals and fakes alternate, it holds one kind only. It has as many
    examples as divide the batch, at most `group`; every example of an odd batch, which holds one kind, has its neighbors.

    Args:
        x: ``[N, H, W, C]``.
        group: examples of a group, at most.

    Reference: Karras et al., Progressive Growing of GANs, 2018, section 3; groups: Karras et al. 2020.
    """
    count, height, wide, _ = x.shape
    kinds = 1 if count % 2 else 2
    members = next(g for g in range(min(group, count), 0, -1) if count % (kinds * g) == 0)
    blocks = x.astype(jnp.float32).reshape(-1, members, kinds, *x.shape[1:])  # [blocks, members, kinds, H, W, C]
    variance = jnp.mean((blocks - jnp.mean(blocks, axis=1, keepdims=True)) ** 2, axis=1)
    deviation = jnp.mean(jnp.sqrt(variance + 1e-8), axis=(2, 3, 4))  # [blocks, kinds]
    channel = jnp.broadcast_to(deviation[:, None, :, None, None], (*blocks.shape[:3], height, wide))
    return jnp.concatenate([x, channel.reshape(count, height, wide, 1).astype(x.dtype)], axis=-1)


class StyleGANDiscriminator(nn.Module):
    """Give pictures ``[B, S, S, C]`` in [-1, 1] a logit each, ``[B]``, by residual blocks down to 4 x 4 and the deviation within groups.

    With classes the logit is the scalar product of the features with a vector that a mapping network makes of the class.

    Args:
        width: channels at half the size; they double toward 4 x 4, up to 8 times.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        group: examples over which the deviation is taken, at most: every second one of a block of ``2 group``, because reals and fakes
            alternate. With devices of their own batches, ``2 group`` must divide a device's batch for the same result as on one.
        dtype: of the products; deviations and logits are float32.

    Raises:
        ValueError: pictures that are not square or whose side is not a power of two of at least 8, or no label for classes.

    Reference: Karras et al. 2020, fig. 7 (residual); classes: Karras et al., Limited Data, 2020. Departures: a block halves before its
    second convolution instead of in it; two layers map a class instead of eight.
    """

    width: int = 64
    classes: int = 0
    group: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        del train
        size = check_pictures("StyleGANDiscriminator", x)
        x = _Convolution(width_at(self.width, size, size), size=1, name="picture")(x.astype(self.dtype))
        for side in reversed([4, *sides_between(4, size // 2)]):
            x = _ResidualBlock(width_at(self.width, size, side), name=f"block{side}")(x)
        features = x.shape[-1]
        x = _Convolution(features, name="conv4")(with_deviation(x, group=self.group)).astype(jnp.float32)
        x = _activated(_Dense(features, name="dense")(x.reshape(x.shape[0], -1)))
        if not self.classes:
            return _Dense(1, name="logit")(x)[:, 0]
        embedded = WithClass(self.classes, features, name="class")(jnp.zeros((x.shape[0], 0)), label)
        mapped = _Mapping(features, 2, 0, name="mapping")(embedded, None)
        return jnp.sum(_Dense(features, name="logit")(x) * _normalized(mapped), axis=-1) * features**-0.5
