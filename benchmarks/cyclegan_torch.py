"""A rival of generator_step.py: `models.Translator` and `models.PatchDiscriminator` in PyTorch, and one step of CycleGAN.

Layers bear the names of ours, so that `gan_torch.load` copies our variables into them. Run by itself, it does so and prints the largest
differences of pictures and logits, and of the losses of a step.
"""

import random
from typing import Any

import gan_torch
import numpy as np
import torch
from torch import nn
from torch.nn import functional

Tensor = Any  # torch.Tensor, where it is installed


class _Normed(nn.Module):
    """A convolution that repeats the border, the normalization of each channel of each picture, and ReLU."""

    def __init__(self, channels: int, features: int, size: int = 3, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.relu = relu
        self.convolution = nn.Conv2d(
            channels, features, size, stride, (size - 1) // 2, padding_mode="replicate", bias=False
        )
        self.norm = nn.InstanceNorm2d(features, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x))
        return functional.relu(x) if self.relu else x


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _Normed(channels, channels), _Normed(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Translator(nn.Module):
    """Pictures ``[B, 3, H, W]`` to pictures of the same size, whose sides are multiples of 4."""

    def __init__(self, width: int = 32, blocks: int = 6) -> None:
        super().__init__()
        self.blocks = blocks
        self.first = _Normed(3, width, 7)
        self.down1, self.down2 = _Normed(width, 2 * width, 4, 2), _Normed(2 * width, 4 * width, 4, 2)
        for number in range(blocks):
            self.add_module(f"block_{number}", _Block(4 * width))
        self.up1, self.up2 = _Normed(4 * width, 2 * width), _Normed(2 * width, width)
        self.last = nn.Conv2d(width, 3, 7, padding=3, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        x = self.down2(self.down1(self.first(x)))
        for number in range(self.blocks):
            x = self.get_submodule(f"block_{number}")(x)
        for up in (self.up1, self.up2):
            x = up(functional.interpolate(x, scale_factor=2, mode="nearest"))
        return torch.tanh(self.last(x))


class PatchDiscriminator(nn.Module):
    """Pictures ``[B, 3, H, W]`` to a logit of each patch, ``[B, 1, h, w]``."""

    def __init__(self, width: int = 32, halvings: int = 3) -> None:
        super().__init__()
        self.halvings, channels = halvings, 3
        for number in range(halvings + 1):
            features, stride = width * min(2**number, 8), 2 if number < halvings else 1
            layer = nn.Conv2d(channels, features, 4, stride, padding=1 if stride == 2 else 0, bias=number == 0)
            self.add_module(f"convolution{number + 1}", layer)
            if number:
                self.add_module(f"norm{number + 1}", nn.InstanceNorm2d(features, affine=True))
            channels = features
        self.logits = nn.Conv2d(channels, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(self.halvings + 1):
            x = x if number < self.halvings else functional.pad(x, (1, 2, 1, 2))  # an even kernel keeps the size
            x = self.get_submodule(f"convolution{number + 1}")(x)
            x = self.get_submodule(f"norm{number + 1}")(x) if number else x
            x = functional.leaky_relu(x, 0.2)
        return self.logits(functional.pad(x, (1, 2, 1, 2)))


class Pool:
    """Past fakes: each new one is returned, or, half the time, exchanged for an older one."""

    def __init__(self, size: int = 50) -> None:
        self.size, self.images = size, []

    def __call__(self, images: Tensor) -> Tensor:
        """Pass pictures ``[B, ...]`` through."""
        return torch.stack([self._passed(image) for image in images])

    def _passed(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image)
        elif random.random() < 0.5:
            place = random.randrange(self.size)
            image, self.images[place] = self.images[place], image
        return image


class Trainer:
    """One step as `tasks.translate.cyclegan` takes it: both translators', then both discriminators', then the averages. Adam is fused.

    Args:
        translators: to b, to a.
        discriminators: of a, of b.
        compiled: send the losses through `torch.compile`.
        cycle_weight, identity_weight: of these terms.
        learning_rate, betas: of both Adams.
        decay: of the averages.
    """

    def __init__(
        self,
        translators: tuple[nn.Module, nn.Module],
        discriminators: tuple[nn.Module, nn.Module],
        *,
        compiled: bool = False,
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        decay: float = 0.999,
    ) -> None:
        self.translators, self.discriminators = nn.ModuleList(translators), nn.ModuleList(discriminators)
        self.weights, self.decay, self.pools = (cycle_weight, identity_weight), decay, (Pool(), Pool())
        settings: Any = {"lr": learning_rate, "betas": betas, "fused": True}
        networks = self.translators, self.discriminators
        self.optimizers = [torch.optim.Adam(each.parameters(), **settings) for each in networks]
        self.average = [parameter.detach().clone() for parameter in self.translators.parameters()]
        wrap = torch.compile if compiled else lambda function: function
        self.fool, self.judge = wrap(self._fool), wrap(self._judge)

    def __call__(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Step on pictures ``[B, 3, H, W]`` of both sets; return both losses."""
        of_translators, of_discriminators = self.optimizers
        self.discriminators.requires_grad_(False)
        fooled, *fakes = self.fool(a, b)
        of_translators.zero_grad()
        fooled.backward()
        of_translators.step()
        self.discriminators.requires_grad_(True)
        drawn = [pool(fake.detach()) for pool, fake in zip(self.pools, fakes, strict=True)]
        judged = self.judge(a, b, *drawn)
        of_discriminators.zero_grad()
        judged.backward()
        of_discriminators.step()
        with torch.no_grad():
            for average, parameter in zip(self.average, self.translators.parameters(), strict=True):
                average.lerp_(parameter, 1 - self.decay)
        return fooled.detach(), judged.detach()

    def _fool(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the translators' loss and the fakes of a and b."""
        to_b, to_a = self.translators
        fake_b, same_b = to_b(torch.cat([a, b])).chunk(2)
        fake_a, same_a = to_a(torch.cat([b, a])).chunk(2)
        fooling = sum((judge(fake) - 1).square().mean() for judge, fake in self._pairs(fake_a, fake_b))
        cycle = functional.l1_loss(to_a(fake_b), a) + functional.l1_loss(to_b(fake_a), b)
        identity = functional.l1_loss(same_b, b) + functional.l1_loss(same_a, a)
        return fooling + self.weights[0] * cycle + self.weights[1] * identity, fake_a, fake_b

    def _judge(self, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> Tensor:
        """Return half the sum of the discriminators' losses."""
        loss = 0
        for judge, both in self._pairs(torch.cat([a, fake_a]), torch.cat([b, fake_b])):
            real, fake = judge(both).chunk(2)
            loss = loss + ((real - 1).square().mean() + fake.square().mean()) / 2
        return loss

    def _pairs(self, of_a: Tensor, of_b: Tensor) -> Any:
        return zip(self.discriminators, (of_a, of_b), strict=True)


def trainer_of(state: Any, *, compiled: bool = False) -> Trainer:
    """Return a trainer that begins with the variables of our state."""
    translators, discriminators = (Translator(), Translator()), (PatchDiscriminator(), PatchDiscriminator())
    for network, name in zip(translators, ("to_b", "to_a"), strict=True):
        gan_torch.load(network, {"params": state.params[name]})
    for network, name in zip(discriminators, ("a", "b"), strict=True):
        gan_torch.load(network, state.discriminators[name])
    return Trainer(translators, discriminators, compiled=compiled)


def main() -> None:
    """Load our variables into PyTorch's networks and print the largest differences, and both sides' losses of one step."""
    import jax

    from jaxart import models
    from jaxart.tasks import translate

    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, (2, 1, 128, 128, 3)).astype(np.float32)
    ours = models.Translator(width=32, blocks=6), models.PatchDiscriminator(width=32)
    recipe = translate.cyclegan(*ours, shape=(128, 128, 3))
    key = jax.random.key(0)
    state = jax.jit(recipe.init)(key)
    moved = [
        jax.tree.map(lambda leaf: leaf + 0.05 * rng.standard_normal(leaf.shape, np.float32), tree)
        for tree in (state.params, state.discriminators)  # shifts begin at 0
    ]
    state: Any = state._replace(params=moved[0], discriminators=moved[1])
    trainer = trainer_of(state)
    turned = [torch.from_numpy((2 * x - 1).transpose(0, 3, 1, 2).copy()) for x in (a, b)]
    drawn = np.asarray(jax.jit(ours[0].apply)({"params": state.params["to_b"]}, 2 * a - 1))
    logits = np.asarray(jax.jit(ours[1].apply)(state.discriminators["b"], drawn))
    with torch.no_grad():
        pictures = trainer.translators[0](turned[0]).numpy().transpose(0, 2, 3, 1)
        judged = trainer.discriminators[1](torch.from_numpy(drawn.transpose(0, 3, 1, 2).copy()))
    pairs = ("pictures", pictures, drawn), ("logits", judged.numpy().transpose(0, 2, 3, 1), logits)
    for name, found, expected in pairs:
        print(f"CycleGAN: {name} differ by {np.abs(found - expected).max():.1e} of {np.abs(expected).max():.2g}")
    _, info = jax.jit(recipe.step)(key, state, {"a": a, "b": b}, None)
    theirs = trainer(*turned)
    print(
        f"losses of a step: ours {info.loss:.5f} and {info.discriminator:.5f}, PyTorch {theirs[0]:.5f} and {theirs[1]:.5f}"
    )


if __name__ == "__main__":
    main()
