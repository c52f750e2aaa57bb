"""A rival of generator_step.py: the pair of `models.stylegan` in PyTorch, without classes; `gan_torch.Trainer` takes its steps.

Layers bear the names of ours, so that `gan_torch.load` copies our variables into them. Where PyTorch offers several ways, the fastest on
a CPU was taken: inputs scaled instead of kernels, bilinear interpolation to double, its transpose to halve. Run by itself, it loads our
variables and prints the largest differences of styles, pictures and logits.
"""

from typing import Any

import gan_torch
import numpy as np
import torch
from torch import nn
from torch.nn import functional

Tensor = Any  # torch.Tensor, where it is installed


def _sides(low: int, high: int) -> list[int]:
    return [low << i for i in range(1, (high // low).bit_length())]


def _width_at(width: int, size: int, side: int) -> int:
    return width * min(size // side, 16) // 2


def _activated(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2) * 2**0.5


def _up(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _down(x: Tensor) -> Tensor:
    """Halve by [1, 3, 3, 1] / 8 with repeated borders: a quarter of the transpose of `_up`."""
    batch, channels, height, width = x.shape
    small = [batch, channels, height // 2, width // 2]
    return torch.ops.aten.upsample_bilinear2d_backward(x, [height, width], small, False, None, None) / 4


class _Dense(nn.Module):
    def __init__(self, inputs: int, features: int, rate: float = 1.0) -> None:
        super().__init__()
        self.rate, self.gain = rate, rate * inputs**-0.5
        self.weight, self.bias = nn.Parameter(torch.randn(features, inputs)), nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self.gain, self.bias * self.rate)


class _Convolution(nn.Module):
    bias: Any

    def __init__(self, channels: int, features: int, size: int = 3, active: bool = True) -> None:
        super().__init__()
        self.gain, self.padding = (size**2 * channels) ** -0.5, size // 2
        self.weight = nn.Parameter(torch.randn(features, channels, size, size))
        self.bias = nn.Parameter(torch.zeros(features)) if active else None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.conv2d(x, self.weight * self.gain, self.bias, padding=self.padding)
        return y if self.bias is None else _activated(y)


class _Modulated(_Convolution):
    """Inputs scaled by styles; outputs divided by the norm of the scaled kernel, if asked for."""

    def __init__(self, channels: int, features: int, dimensions: int, size: int = 3) -> None:
        super().__init__(channels, features, size)
        self.style = _Dense(dimensions, channels)

    def modulated(self, x: Tensor, w: Tensor, *, demodulate: bool = True) -> Tensor:
        style, kernel = self.style(w), self.weight * self.gain
        y = functional.conv2d(x * style[:, :, None, None], kernel, padding=self.padding)
        if not demodulate:
            return y
        norms = style.square() @ kernel.square().sum((2, 3)).T
        return y * torch.rsqrt(norms + 1e-8)[:, :, None, None]


class _StyledLayer(_Modulated):
    pixels: Any

    def __init__(self, channels: int, features: int, dimensions: int, side: int, double: bool) -> None:
        super().__init__(channels, features, dimensions)
        self.doubles, self.strength = double, nn.Parameter(torch.zeros(1, 1, 1, 1))
        self.register_buffer("pixels", torch.randn(1, 1, side, side))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = self.modulated(x, w)
        y = _up(y) if self.doubles else y
        noise = torch.randn(len(y), 1, *y.shape[2:]) if self.training else self.pixels
        return _activated(y + self.strength * noise + self.bias[:, None, None])


class _ToPicture(_Modulated):
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.modulated(x, w, demodulate=False) + self.bias[:, None, None]


class _Mapping(nn.Module):
    def __init__(self, latent: int, dimensions: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for number in range(1, depth + 1):
            self.add_module(f"dense{number}", _Dense(latent if number == 1 else dimensions, dimensions, rate=0.01))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for number in range(1, self.depth + 1):
            x = _activated(self.get_submodule(f"dense{number}")(x))
        return x


class _Synthesis(nn.Module):
    def __init__(self, size: int, width: int, dimensions: int) -> None:
        super().__init__()
        self.sides, features = _sides(4, size), _width_at(width, size, 4)
        self.constant = nn.Parameter(torch.randn(1, features, 4, 4))
        self.layer4 = _StyledLayer(features, features, dimensions, 4, False)
        self.picture4 = _ToPicture(features, 3, dimensions, 1)
        for side in self.sides:
            channels, features = features, _width_at(width, size, side)
            self.add_module(f"up{side}", _StyledLayer(channels, features, dimensions, side, True))
            self.add_module(f"layer{side}", _StyledLayer(features, features, dimensions, side, False))
            self.add_module(f"picture{side}", _ToPicture(features, 3, dimensions, 1))

    def forward(self, w: Tensor) -> Tensor:
        styles = w.unbind(1)
        x = self.layer4(self.constant.expand(len(w), -1, -1, -1), styles[0])
        picture = self.picture4(x, styles[1])
        for index, side in enumerate(self.sides):
            x = self.get_submodule(f"up{side}")(x, styles[2 * index + 1])
            x = self.get_submodule(f"layer{side}")(x, styles[2 * index + 2])
            picture = _up(picture) + self.get_submodule(f"picture{side}")(x, styles[2 * index + 3])
        return picture


class StyleGANGenerator(nn.Module):
    """Latent vectors ``[B, L]`` to pictures ``[B, 3, size, size]``; in training, styles are mixed and the average of w moves."""

    def __init__(
        self,
        size: int = 64,
        width: int = 32,
        latent: int = 128,
        dimensions: int = 256,
        depth: int = 2,
        mixing: float = 0.9,
    ) -> None:
        super().__init__()
        self.w: Any
        self.layers, self.mixing = 2 * size.bit_length() - 4, mixing
        self.mapping, self.synthesis = _Mapping(latent, dimensions, depth), _Synthesis(size, width, dimensions)
        self.register_buffer("w", torch.zeros(dimensions))

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z)
        if self.training:
            with torch.no_grad():
                self.w.lerp_(w.mean(0), 1 - 0.995)
        return self.synthesis(self._mixed(w, z) if self.training else w[:, None].expand(-1, self.layers, -1))

    def _mixed(self, w: Tensor, z: Tensor) -> Tensor:
        """Give the layers from a random one on another style, with the probability `mixing`."""
        other, count = self.mapping(torch.randn_like(z)), len(z)
        place = torch.where(torch.rand(count) < self.mixing, torch.randint(1, self.layers, (count,)), self.layers)
        return torch.where((torch.arange(self.layers) < place[:, None])[:, :, None], w[:, None], other[:, None])


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.direct = _Convolution(channels, features, 1, active=False)
        self.conv1, self.conv2 = _Convolution(channels, channels), _Convolution(channels, features)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(_down(self.conv1(x))) + self.direct(_down(x))) * 0.5**0.5


def with_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Append a channel with the mean deviation over every second example of a block of ``2 group``, which must divide the batch."""
    blocks = x.unflatten(0, (-1, group, 2))  # [blocks, group, kinds, C, H, W]
    deviation = torch.sqrt(blocks.var(1, correction=0) + 1e-8).mean((2, 3, 4))  # [blocks, kinds]
    channel = deviation[:, None, :].expand(-1, group, -1).reshape(-1, 1, 1, 1)
    return torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], 1)


class StyleGANDiscriminator(nn.Module):
    """Pictures ``[B, 3, size, size]`` to logits ``[B]``."""

    def __init__(self, size: int = 64, width: int = 32) -> None:
        super().__init__()
        self.sides = [*reversed(_sides(4, size // 2)), 4]
        features = _width_at(width, size, size)
        self.picture = _Convolution(3, features, 1)
        for side in self.sides:
            channels, features = features, _width_at(width, size, side)
            self.add_module(f"block{side}", _ResidualBlock(channels, features))
        self.conv4, self.dense = _Convolution(features + 1, features), _Dense(16 * features, features)
        self.logit = _Dense(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.picture(x)
        for side in self.sides:
            x = self.get_submodule(f"block{side}")(x)
        x = self.conv4(with_deviation(x)).permute(0, 2, 3, 1).flatten(1)  # in the order of ours
        return self.logit(_activated(self.dense(x))).squeeze(1)


def main() -> None:
    """Load our variables into PyTorch's networks and print the largest differences of pictures (inference) and logits."""
    import jax

    from jaxart import models

    rng = np.random.default_rng(0)
    z = rng.standard_normal((16, 128)).astype(np.float32)
    ours = models.StyleGANGenerator(size=64, width=32), models.StyleGANDiscriminator(width=32)
    theirs = StyleGANGenerator().eval(), StyleGANDiscriminator()
    variables = []
    for network, mine, like in zip(theirs, ours, (z, np.zeros((8, 64, 64, 3), np.float32)), strict=True):
        begun = jax.jit(mine.init)(jax.random.key(0), like)
        moved = jax.tree.map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape, np.float32), begun)
        variables.append(moved)  # biases and strengths begin at 0
        gan_torch.load(network, moved)
    drawn = np.asarray(jax.jit(ours[0].apply)(variables[0], z))
    logits = np.asarray(jax.jit(ours[1].apply)(variables[1], drawn))
    with torch.no_grad():
        pictures = theirs[0](torch.from_numpy(z)).numpy().transpose(0, 2, 3, 1)
        judged = theirs[1](torch.from_numpy(drawn.transpose(0, 3, 1, 2).copy())).numpy()
    for name, found, expected in (("pictures", pictures, drawn), ("logits", judged, logits)):
        print(f"StyleGAN: {name} differ by {np.abs(found - expected).max():.1e} of {np.abs(expected).max():.2g}")


if __name__ == "__main__":
    main()
