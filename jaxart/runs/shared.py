"""Functions and optimizers of recipes: equal arguments give the same object, so that equal runs share their compiled programs."""

import functools
from collections.abc import Callable
from typing import Any

import optax


@functools.lru_cache(maxsize=64)
def partial(function: Callable, **values: Any) -> Callable:
    """Return `functools.partial` of hashable arguments.

    Args:
        function: to call later.
        values: some of its arguments.

    >>> partial(int, base=2) is partial(int, base=2)
    True
    """
    return functools.partial(function, **values)


@functools.lru_cache(maxsize=64)
def cosine_adam(
    rate: float,
    steps: int,
    *,
    warm_up: int = 0,
    first: float = 0.0,
    end: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
) -> optax.GradientTransformation:
    """Return Adam with a learning rate that falls by a cosine, after a rise on a line if there is a warm-up.

    Args:
        rate: the highest.
        steps: of the run.
        warm_up: steps of the rise.
        first: rate at which it begins.
        end: what the rate falls to, in parts of the highest.
        b1: of the mean of gradients.
        b2: of the mean of their squares.
    """
    if warm_up:
        schedule = optax.warmup_cosine_decay_schedule(first, rate, warm_up, max(steps, warm_up + 1), end * rate)
    else:
        schedule = optax.cosine_decay_schedule(rate, steps, alpha=end)
    return optax.adam(schedule, b1=b1, b2=b2)


@functools.lru_cache(maxsize=64)
def late_adam(rate: float, steps: int) -> optax.GradientTransformation:
    """Return Adam with a rate that stays for half of the steps and then falls to 0 on a line, as CycleGAN is trained.

    Args:
        rate: in the first half.
        steps: of the run.
    """
    half = steps // 2
    return optax.adam(optax.linear_schedule(rate, 0.0, max(1, steps - half), half), b1=0.5, b2=0.999)
