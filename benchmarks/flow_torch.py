"""A rival of generator_step.py: `models.VelocityNet` in PyTorch, without classes, and one step of flow matching.

Layers bear the names of ours, so that `gan_torch.load` copies our variables into them. Run by itself, it does so and prints the largest
difference of the velocities.
"""

import math
from typing import Any

import gan_torch
import numpy as np
import torch
from torch import nn
from torch.nn import functional

Tensor = Any  # torch.Tensor, where it is installed


def _normalized(x: Tensor, dim: int = 1) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim, keepdim=True) + 1e-6)


class _Block(nn.Module):
    def __init__(self, channels: int, features: int, condition: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, padding=1, bias=False)
        self.condition = nn.Linear(condition, 2 * features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)
        self.direct = nn.Conv2d(channels, features, 1, bias=False) if channels != features else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.conv1(functional.silu(_normalized(x)))
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        y = self.conv2(functional.silu(_normalized(y) * (1 + scale) + shift))
        return (x if self.direct is None else self.direct(x)) + y


class _Attention(nn.Module):
    def __init__(self, channels: int, head: int = 32) -> None:
        super().__init__()
        self.head, self.heads = head, max(1, channels // head)
        self.qkv = nn.Linear(channels, 3 * self.heads * head, bias=False)
        self.out = nn.Linear(self.heads * head, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = _normalized(x.flatten(2).transpose(1, 2), -1)  # [B, T, C]
        qkv = self.qkv(tokens).unflatten(2, (3 * self.heads, self.head)).transpose(1, 2)
        query, key, value = qkv.chunk(3, dim=1)  # [B, heads, T, head]
        found = functional.scaled_dot_product_attention(_normalized(query, -1), _normalized(key, -1), value)
        return x + self.out(found.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    """The U-Net of one block a level, attention at the smallest, computed at half the size."""

    def __init__(self, width: int, factors: tuple[int, ...], condition: int) -> None:
        super().__init__()
        widths = [width * factor for factor in factors]
        self.levels = len(widths)
        self.first, self.last = nn.Conv2d(12, width, 3, padding=1), nn.Conv2d(2 * width, 12, 3, padding=1)
        for level, features in enumerate(widths):
            if level:
                self.add_module(f"down{level}", nn.Conv2d(widths[level - 1], features, 3, padding=1))
                self.add_module(f"up{level}", nn.Conv2d(features, widths[level - 1], 3, padding=1))
            self.add_module(f"down{level}_0_block", _Block(features, features, condition))
            self.add_module(f"up{level}_0_block", _Block(2 * features, features, condition))
        self.middle_block = _Block(widths[-1], widths[-1], condition)
        for name in (f"down{self.levels - 1}_0", "middle", f"up{self.levels - 1}_0"):
            self.add_module(f"{name}_attention", _Attention(widths[-1]))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = self.first(_halved(x))
        made = [x]
        for level in range(self.levels):
            if level:
                x = functional.avg_pool2d(self.get_submodule(f"down{level}")(x), 2)
            x = self._block(f"down{level}_0", x, condition)
            made.append(x)
        x = self._block("middle", x, condition)
        for level in reversed(range(self.levels)):
            x = self._block(f"up{level}_0", torch.cat([x, made.pop()], 1), condition)
            if level:
                x = self.get_submodule(f"up{level}")(functional.interpolate(x, scale_factor=2, mode="nearest"))
        return _doubled(self.last(functional.silu(_normalized(torch.cat([x, made.pop()], 1)))))

    def _block(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        x = self.get_submodule(f"{name}_block")(x, condition)
        attention = getattr(self, f"{name}_attention", None)
        return x if attention is None else attention(x)


def _halved(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(batch, 4 * channels, height // 2, width // 2)


def _doubled(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.reshape(batch, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(batch, channels // 4, 2 * height, 2 * width)


class VelocityNet(nn.Module):
    """``(x [B, 3, S, S], time [B]) -> velocity``; scales as ours."""

    def __init__(self, width: int = 32, factors: tuple[int, ...] = (1, 2, 4, 6), scale: float = 0.5) -> None:
        super().__init__()
        self.width, self.scale = width, scale
        self.time1, self.time2 = nn.Linear(2 * width, 4 * width), nn.Linear(4 * width, 4 * width)
        self.unet = UNet(width, factors, 4 * width)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        frequencies = torch.logspace(0, 3, self.width)
        angles = time[:, None] * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        condition = functional.silu(self.time2(functional.silu(self.time1(waves))))
        t, power = time[:, None, None, None], self.scale**2
        noise = torch.rsqrt((1 - t) ** 2 + t**2 * power)
        return (t * power - (1 - t)) * noise**2 * x + self.scale * noise * self.unet(x * noise, condition)


class Trainer:
    """One step of flow matching: loss, gradient, fused Adam, average.

    Args:
        network: of this file.
        compiled: send the loss through `torch.compile`.
        learning_rate: of Adam.
        decay: of the average.
    """

    def __init__(
        self, network: VelocityNet, *, compiled: bool = False, learning_rate: float = 1e-3, decay: float = 0.999
    ) -> None:
        self.network, self.decay = network, decay
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.9, 0.99), fused=True)
        self.average = [parameter.detach().clone() for parameter in network.parameters()]
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def __call__(self, images: Tensor) -> Tensor:
        """Step on pictures ``[B, 3, S, S]``; return the loss."""
        loss = self.loss(images, torch.randn_like(images), torch.sigmoid(torch.randn(len(images))))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for average, parameter in zip(self.average, self.network.parameters(), strict=True):
                average.lerp_(parameter, 1 - self.decay)
        return loss.detach()

    def _loss(self, images: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        t = time[:, None, None, None]
        return functional.mse_loss(self.network((1 - t) * noise + t * images, time), images - noise)


def main() -> None:
    """Load our variables into PyTorch's network and print the largest difference of the velocities."""
    import jax

    from jaxart import models

    rng = np.random.default_rng(0)
    x, time = rng.standard_normal((2, 64, 64, 3)).astype(np.float32), np.array([0.2, 0.8], np.float32)
    ours = models.VelocityNet(width=32, factors=(1, 2, 4, 6))
    params = jax.jit(ours.init)(jax.random.key(0), x, time)["params"]
    drawn = [rng.standard_normal(leaf.shape) / math.sqrt(leaf.size) for leaf in jax.tree.leaves(params)]
    params = jax.tree.map(
        lambda leaf, more: np.float32(leaf + more), params, jax.tree.unflatten(jax.tree.structure(params), drawn)
    )
    theirs = VelocityNet()
    gan_torch.load(theirs, {"params": params})
    mine = np.asarray(jax.jit(ours.apply)({"params": params}, x, time))
    with torch.no_grad():
        found = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(time)).numpy()
    print(f"velocities differ by {np.abs(found.transpose(0, 2, 3, 1) - mine).max():.1e} of {np.abs(mine).max():.2g}")


if __name__ == "__main__":
    main()
