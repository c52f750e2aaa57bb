"""A rival of generator_step.py: the pairs of `models.gan` in PyTorch, without classes, and one step of training.

Layers bear the names of ours, so `load` copies our variables into them. Run by itself, it does so and prints the largest differences
of pictures and logits.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

Tensor = Any  # torch.Tensor, where it is installed


def _sides(low: int, high: int) -> list[int]:
    return [low << i for i in range(1, (high // low).bit_length())]


def _up(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def _low_pass(x: Tensor) -> Tensor:
    """Blur by [1, 2, 1] / 4 along rows and columns, as one depthwise convolution: of five ways the fastest on a CPU."""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])


class DCGANGenerator(nn.Module):
    """Latent vectors ``[B, L]`` to pictures ``[B, 3, size, size]``."""

    def __init__(self, size: int = 64, width: int = 64, latent: int = 128) -> None:
        super().__init__()
        self.sides = _sides(4, size)
        widths = {side: width * min(size // side, 16) // 2 for side in (4, *self.sides)}
        self.dense, self.norm4 = nn.Linear(latent, 16 * widths[4], bias=False), nn.BatchNorm2d(widths[4])
        for low, high in itertools.pairwise((4, *self.sides)):
            self.add_module(f"conv{high}", nn.Conv2d(widths[low], widths[high], 3, padding=1, bias=False))
            self.add_module(f"norm{high}", nn.BatchNorm2d(widths[high]))
        self.picture = nn.Conv2d(widths[size], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = functional.relu(self.norm4(self.dense(z).unflatten(1, (-1, 4, 4))))
        for side in self.sides:
            x = _low_pass(self.get_submodule(f"conv{side}")(_up(x)))
            x = functional.relu(self.get_submodule(f"norm{side}")(x))
        return torch.tanh(self.picture(x))


class DCGANDiscriminator(nn.Module):
    """Pictures ``[B, 3, size, size]`` to logits ``[B]``."""

    def __init__(self, size: int = 64, width: int = 64) -> None:
        super().__init__()
        self.sides = [*reversed(_sides(4, size // 2)), 4]
        channels = 3
        for side in self.sides:
            features = width * min(size // side, 16) // 2
            self.add_module(f"conv{side}", nn.Conv2d(channels, features, 4, stride=2, padding=1))
            channels = features
        self.logit = nn.Linear(16 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for side in self.sides:
            x = functional.leaky_relu(self.get_submodule(f"conv{side}")(x), 0.2)
        return self.logit(x.flatten(1)).squeeze(1)


class _GeneratorBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.direct = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = _low_pass(self.conv1(_up(functional.relu(self.norm1(x)))))
        direct = functional.interpolate(self.direct(x), scale_factor=2, mode="bilinear", align_corners=False)
        return direct + self.conv2(functional.relu(self.norm2(y)))


class SNGANGenerator(nn.Module):
    """Latent vectors ``[B, L]`` to pictures ``[B, 3, size, size]``, up to 32 pixels."""

    def __init__(self, size: int = 32, width: int = 64, latent: int = 128) -> None:
        super().__init__()
        self.sides = _sides(4, size)
        self.dense, self.norm = nn.Linear(latent, 16 * 4 * width, bias=False), nn.BatchNorm2d(4 * width)
        for side in self.sides:
            self.add_module(f"block{side}", _GeneratorBlock(4 * width))
        self.picture = nn.Conv2d(4 * width, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).unflatten(1, (-1, 4, 4))
        for side in self.sides:
            x = self.get_submodule(f"block{side}")(x)
        return torch.tanh(self.picture(functional.relu(self.norm(x))))


class _DiscriminatorBlock(nn.Module):
    def __init__(self, channels: int, features: int, first: bool, halve: bool) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1 = spectral_norm(nn.Conv2d(channels, features, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(features, features, 3, padding=1))
        self.direct = spectral_norm(nn.Conv2d(channels, features, 1)) if halve else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(functional.relu(self.conv1(x if self.first else functional.relu(x))))
        if self.direct is None:
            return x + y
        return self.direct(functional.avg_pool2d(x, 2)) + functional.avg_pool2d(y, 2)


class SNGANDiscriminator(nn.Module):
    """Pictures ``[B, 3, size, size]`` to logits ``[B]``, up to 32 pixels. Spectral normalization is PyTorch's own."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        for index in range(4):
            channels = 2 * width if index else 3
            self.add_module(f"block{index + 1}", _DiscriminatorBlock(channels, 2 * width, index == 0, index < 2))
        self.logit = spectral_norm(nn.Linear(2 * width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        for index in range(4):
            x = self.get_submodule(f"block{index + 1}")(x)
        return self.logit(functional.relu(x).sum((2, 3))).squeeze(1)


NAMES = {"kernel": "weight", "scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}


@torch.no_grad()
def load(module: nn.Module, variables: Mapping[str, Any]) -> None:
    """Copy the variables of our network into PyTorch's layers of the same names.

    Args:
        module: of this file, or of another whose layers bear our names.
        variables: "params" and, where there are, "batch_stats", "noise", "average" and "spectral", of our network.
    """
    for collection in ("params", "batch_stats", "noise", "average"):
        for path, leaf in _leaves(variables.get(collection, {})):
            layer: Any = module.get_submodule(".".join(path[:-1]))
            value = torch.from_numpy(_turned(path, np.asarray(leaf), module))
            if hasattr(layer, "parametrizations") and path[-1] == "kernel":
                layer.parametrizations.weight.original.copy_(value)
            else:
                getattr(layer, NAMES[path[-1]] if path[-1] in NAMES else path[-1]).copy_(value)
    for path, leaf in _leaves(variables.get("spectral", {})):
        layer = module.get_submodule(".".join(path[:-1]))
        weight = layer.parametrizations.weight
        weight[0]._u.copy_(torch.from_numpy(np.asarray(leaf).copy()))
        weight[0]._v.copy_(functional.normalize(weight.original.flatten(1).T @ weight[0]._u, dim=0))


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Any:
    for name, branch in tree.items():
        yield from _leaves(branch, (*path, name)) if isinstance(branch, Mapping) else [((*path, name), branch)]


def _turned(path: tuple[str, ...], array: np.ndarray, module: nn.Module) -> np.ndarray:
    """Return a copy in PyTorch's order: outputs of kernels first, channels before rows and columns."""
    if path[-1] != "kernel":
        return (array.transpose(0, 3, 1, 2) if array.ndim == 4 else array).copy()
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1).copy()
    if isinstance(module, DCGANGenerator | SNGANGenerator):  # the outputs of its dense layer are 4 x 4 x C
        array = array.reshape(len(array), 4, 4, -1).transpose(0, 3, 1, 2).reshape(array.shape)
    elif isinstance(module, DCGANDiscriminator):  # so are the inputs of its logit
        array = array.reshape(4, 4, -1, 1).transpose(2, 0, 1, 3).reshape(array.shape)
    return array.T.copy()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return (functional.relu(1 - real) + functional.relu(1 + fake)).mean()


def _hinge_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


def _logistic(real: Tensor, fake: Tensor) -> Tensor:
    return (functional.softplus(-real) + functional.softplus(fake)).mean()


def _logistic_generator(fake: Tensor) -> Tensor:
    return functional.softplus(-fake).mean()


HINGE, NON_SATURATING = (_hinge, _hinge_generator), (_logistic, _logistic_generator)


def squared_slope(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return the mean of ``|grad_x D(x)|^2``. What `torch.compile` makes of it refuses a second derivative."""
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def squared_slope_compiled(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return the same by `torch.func.grad`, inside of which `torch.compile` sees both derivatives."""
    gradient = torch.func.grad(lambda images: discriminator(images).sum())(real)
    return gradient.square().sum((1, 2, 3)).mean()


class Trainer:
    """One step of both networks as `tasks.generate.gan` takes it: the discriminator's, on reals and fakes in turn, then the generator's,
    then the generator's average. Adam is fused, the fastest that PyTorch has on a CPU.

    Args:
        generator, discriminator: of this file or of `stylegan_torch`.
        loss: HINGE or NON_SATURATING.
        compiled: send the networks and the losses through `torch.compile`.
        r1: weight gamma of R1, ``gamma/2 |grad_x D(x)|^2`` on reals.
        learning_rate, betas: of both Adams.
        decay: of the average.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        loss: tuple[Callable, Callable] = HINGE,
        compiled: bool = False,
        r1: float = 0.0,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.0, 0.99),
        decay: float = 0.999,
    ) -> None:
        self.generator, self.discriminator, self.loss, self.decay = generator, discriminator, loss, decay
        self.r1, self.slope = r1, squared_slope_compiled if compiled else squared_slope
        settings: Any = {"lr": learning_rate, "betas": betas, "fused": True}
        self.optimizers = [torch.optim.Adam(each.parameters(), **settings) for each in (generator, discriminator)]
        self.average = [parameter.detach().clone() for parameter in generator.parameters()]
        wrap = torch.compile if compiled else lambda function: function
        self.draw, self.judge, self.fool = wrap(self._draw), wrap(self._judge), wrap(self._fool)

    def __call__(self, real: Tensor, z: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Step on reals ``[B, 3, S, S]`` with latent vectors ``[B, L]`` for each network; return both losses."""
        of_generator, of_discriminator = self.optimizers
        with torch.no_grad():
            fake = self.draw(z[0])
        self.discriminator.train().requires_grad_(True)
        judged = self.judge(real, fake)
        of_discriminator.zero_grad()
        judged.backward()
        of_discriminator.step()
        self.discriminator.eval().requires_grad_(False)  # no power iteration, no gradient of its parameters
        fooled = self.fool(z[1])
        of_generator.zero_grad()
        fooled.backward()
        of_generator.step()
        with torch.no_grad():
            for average, parameter in zip(self.average, self.generator.parameters(), strict=True):
                average.lerp_(parameter, 1 - self.decay)
        return judged.detach(), fooled.detach()

    def _draw(self, z: Tensor) -> Tensor:
        return self.generator(z)

    def _judge(self, real: Tensor, fake: Tensor) -> Tensor:
        both = torch.stack([real, fake], 1).flatten(0, 1)
        loss = self.loss[0](*self.discriminator(both).unflatten(0, (-1, 2)).unbind(1))
        return loss + self.r1 / 2 * self.slope(self.discriminator, real) if self.r1 else loss

    def _fool(self, z: Tensor) -> Tensor:
        return self.loss[1](self.discriminator(self.generator(z)))


def pairs() -> dict[str, tuple[int, nn.Module, nn.Module, Any, Any]]:
    """Return by name the size, PyTorch's generator and discriminator, and ours."""
    from jaxart import models

    return {
        "DCGAN": (64, DCGANGenerator(), DCGANDiscriminator(), models.DCGANGenerator(), models.DCGANDiscriminator()),
        "SNGAN": (32, SNGANGenerator(), SNGANDiscriminator(), models.SNGANGenerator(), models.SNGANDiscriminator()),
    }


def main() -> None:
    """Load our variables into PyTorch's networks and print the largest differences."""
    import jax

    z = np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32)
    for name, (size, generator, discriminator, *ours) in pairs().items():
        images = np.zeros((1, size, size, 3), np.float32)
        variables = [jax.jit(each.init)(jax.random.key(0), x) for each, x in zip(ours, (z, images), strict=True)]
        load(generator, variables[0])
        load(discriminator, variables[1])
        for train in (False, True):
            kept = {"mutable": ("batch_stats", "spectral")} if train else {}
            drawn = jax.jit(lambda v, z, o=ours[0], t=train, k=kept: o.apply(v, z, train=t, **k))(variables[0], z)
            drawn = np.asarray(drawn[0] if train else drawn)
            logits = jax.jit(lambda v, x, o=ours[1], t=train, k=kept: o.apply(v, x, train=t, **k))(variables[1], drawn)
            logits = np.asarray(logits[0] if train else logits)
            with torch.no_grad():
                pictures = generator.train(train)(torch.from_numpy(z))
                judged = discriminator.train(train)(torch.from_numpy(drawn.transpose(0, 3, 1, 2).copy())).numpy()
            differences = np.abs(pictures.numpy().transpose(0, 2, 3, 1) - drawn).max(), np.abs(judged - logits).max()
            scales = np.abs(drawn).max(), np.abs(logits).max()
            print(
                f"{name}, {'training' if train else 'inference'}: pictures differ by {differences[0]:.1e} of {scales[0]:.2g}, "
                f"logits by {differences[1]:.1e} of {scales[1]:.2g}"
            )


if __name__ == "__main__":
    main()
