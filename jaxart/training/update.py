"""One update of one network: the gradient of an objective and a step of its optimizer.

A step that trains several networks calls `gradient_update` once for each; what a network keeps beside its params, such as statistics of
batches, comes back from `training.apply_train` through `aux`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from jaxart.arrays import PyTree
from jaxart.training.sharding import mean_over


class Update(NamedTuple):
    """What an update leaves behind.

    Fields:
        params: after it.
        opt_state: after it.
        loss: the objective before it, averaged over the devices.
        aux: what the objective returned beside the loss, as it is on this device.
        gradient: averaged over the devices, of the shape of `params`; take its norm with ``optax.tree.norm``.
    """

    params: PyTree
    opt_state: Any
    loss: jax.Array
    aux: Any
    gradient: PyTree


def gradient_update(
    objective: Callable[[PyTree], tuple[jax.Array, Any]],
    optimizer: optax.GradientTransformation,
    params: PyTree,
    opt_state: Any,
    *,
    axis_name: str | None = None,
) -> Update:
    """Take one step down the gradient of an objective: the same on all devices.

    Args:
        objective: ``params -> (loss, aux)``; the loss is a scalar, the mean over the examples of this device, aux anything.
        optimizer: any Optax transformation.
        params: what is trained: of one network, or a tuple or dict of several that share a loss.
        opt_state: of the optimizer, begun by ``optimizer.init(params)``.
        axis_name: of the mapped axis under `by_shard_map` and `by_pmap`; None for the global batch.

    >>> rule = optax.sgd(0.5)
    >>> done = gradient_update(lambda x: (x**2, None), rule, 1.0, rule.init(1.0))
    >>> float(done.params), float(done.loss)
    (0.0, 1.0)
    """
    (loss, aux), gradient = jax.value_and_grad(objective, has_aux=True)(params)
    loss, gradient = mean_over((loss, gradient), axis_name)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    return Update(optax.apply_updates(params, updates), opt_state, loss, aux, gradient)


def lazy_adam(
    learning_rate: float | Callable[[Any], Any], *, b1: float = 0.0, b2: float = 0.99, eps: float = 1e-8, every: int
) -> optax.GradientTransformation:
    """Return Adam for a network that takes an update more every k-th step, for a lazy term, and is to learn as fast as without.

    With ``c = k / (k + 1)`` the learning rate is multiplied by c and the moments keep ``b^c``: k + 1 updates do what k did. A term that is
    added to the loss of a step, as in `generate.gan`, is no update more and asks for plain Adam.

    Args:
        learning_rate: a number, or a schedule of the count of updates.
        b1: of the first moment.
        b2: of the second.
        eps: added to the root of the second.
        every: k, steps between updates for the term.

    Raises:
        ValueError: `every` below one.

    Reference: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, appendix B.

    >>> rule = lazy_adam(0.1, every=4)
    >>> updates, _ = rule.update(5.0, rule.init(1.0))
    >>> round(float(updates), 3)
    -0.08
    """
    if every < 1:
        raise ValueError(f"lazy_adam: expected every of at least 1 step, got {every}.")
    share = every / (every + 1)
    rate = (lambda count: share * learning_rate(count)) if callable(learning_rate) else share * learning_rate
    return optax.adam(rate, b1=b1**share, b2=b2**share, eps=eps)
