"""A rival of classifier_step.py: `models.ResidualClassifier` in PyTorch, and one step of training.

Layers bear the names of ours, so that `gan_torch.load` copies our variables into them. Run by itself, it does so and prints the largest
differences of logits and gradients, relative to the largest of each.
"""

import itertools
from typing import Any

import gan_torch
import numpy as np
import torch
from torch import nn
from torch.nn import functional

Tensor = Any  # torch.Tensor, where it is installed


class _Block(nn.Module):
    """A residual block; dropping whole branches is left out on both sides."""

    def __init__(self, channels: int, features: int, halve: bool, groups: int) -> None:
        super().__init__()
        self.halve = halve
        self.norm1, self.norm2 = nn.GroupNorm(groups, channels), nn.GroupNorm(groups, features)
        self.conv1 = nn.Conv2d(channels, features, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.direct = nn.Conv2d(channels, features, 1, bias=False) if halve or channels != features else None

    def forward(self, x: Tensor) -> Tensor:
        y = _active(self.norm1(x))
        if self.direct is not None:
            x = self.direct(functional.avg_pool2d(y, 2) if self.halve else y)
        y = _halving(y, self.conv1.weight) if self.halve else self.conv1(y)
        return x + self.conv2(_active(self.norm2(y)))


def _active(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


def _halving(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve and average 2 x 2 pixels as one 4 x 4 convolution of stride 2: as in ours, faster than one after the other."""
    padded = functional.pad(kernel, (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return functional.conv2d(x, (rows[..., 1:] + rows[..., :-1]) / 4, stride=2, padding=1)


class ResidualClassifier(nn.Module):
    """Pictures ``[B, 3, H, W]`` in [0, 1] to logits ``[B, classes]``."""

    def __init__(
        self,
        classes: int,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        blocks: int = 2,
        groups: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        every = [width for width in widths for _ in range(blocks)]
        for index, (channels, features) in enumerate(itertools.pairwise([widths[0], *every])):
            halve = index > 0 and index % blocks == 0
            self.add_module(f"residual_{index}", _Block(channels, features, halve, groups))
        self.count = len(every)
        self.norm, self.thinned = nn.GroupNorm(groups, widths[-1]), nn.Dropout(dropout)
        self.logits = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(2 * x - 1)
        for index in range(self.count):
            x = self.get_submodule(f"residual_{index}")(x)
        return self.logits(self.thinned(_active(self.norm(x)).mean((2, 3))))


class Trainer:
    """One step of training by cross-entropy with AdamW, fused, the fastest that PyTorch has on a CPU.

    Args:
        network: of this file.
        compiled: send the loss through `torch.compile`.
        learning_rate, decay: of AdamW; kernels alone decay.
    """

    def __init__(
        self, network: nn.Module, *, compiled: bool = False, learning_rate: float = 1e-3, decay: float = 0.05
    ) -> None:
        self.network = network.train()
        kernels = [each for each in network.parameters() if each.ndim > 1]
        others = [each for each in network.parameters() if each.ndim == 1]
        groups: Any = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), fused=True)
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Step on pictures ``[B, 3, H, W]`` with labels ``[B]``; return the loss."""
        loss = self.loss(images, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self.network(images), labels)


def channels_first(images: np.ndarray) -> Tensor:
    """Return pictures ``[B, H, W, C]`` as ``[B, C, H, W]``."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def _started(params: Any, rng: np.random.Generator) -> Any:
    """Return params of which none is where it starts: scales that begin at zero would hide what is behind them."""
    import jax

    return jax.tree.map(lambda leaf: np.asarray(leaf + rng.uniform(-0.1, 0.1, leaf.shape), np.float32), params)


def differences(size: tuple[int, int] = (64, 64), batch: int = 4, classes: int = 10) -> tuple[float, float]:
    """Return the largest differences of logits and of gradients between PyTorch's network and ours, relative to the largest.

    Args:
        size: of the pictures.
        batch: how many.
        classes: how many.
    """
    import jax
    import optax

    from jaxart import models

    rng = np.random.default_rng(0)
    images, labels = rng.random((batch, *size, 3), np.float32), np.arange(batch) % classes
    ours = models.ResidualClassifier(classes, dropout=0.0)
    params = _started(jax.jit(ours.init)(jax.random.key(0), images)["params"], rng)

    def loss(params):
        logits, _ = ours.apply({"params": params}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

    (_, mine), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    theirs, moved = ResidualClassifier(classes), ResidualClassifier(classes)
    gan_torch.load(theirs, {"params": params})
    logits = theirs(channels_first(images))
    functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
    gan_torch.load(moved, {"params": gradient})  # our gradient in PyTorch's order
    pairs = zip(theirs.parameters(), (each.detach() for each in moved.parameters()), strict=True)
    off = [float((torch.as_tensor(each.grad) - other).abs().max() / other.abs().max()) for each, other in pairs]
    mine = np.asarray(mine)
    return float(np.abs(logits.detach().numpy() - mine).max() / np.abs(mine).max()), max(off)


def main() -> None:
    """Load our variables into PyTorch's network and print the largest differences."""
    for size in ((64, 64), (33, 50)):
        logits, gradients = differences(size)
        print(f"{size[0]} x {size[1]}: logits differ by {logits:.1e}, gradients by {gradients:.1e}")


if __name__ == "__main__":
    main()
