"""The step of a scale as a pure function: the pixels are the parameters."""

import collections
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Features, Key, PyTree
from jaxart.image import resize
from jaxart.models import VGG, vgg_stride
from jaxart.ops import sharded_sum, tiled_sum
from jaxart.tasks.stylize.job import check_additive
from jaxart.tasks.stylize.rows import Rows
from jaxart.tasks.stylize.terms import Term, TermInputs, terms_halo
from jaxart.training import debias, exponential_average

DECAY = 0.99  # of the averaged iterate


class State(NamedTuple):
    """What one step hands to the next: ``image`` and ``average`` are ``[H, W, 3]``."""

    step: jax.Array
    image: jax.Array
    opt_state: Any
    average: jax.Array


@functools.lru_cache(maxsize=64)
def info_type(names: tuple[str, ...]) -> Any:
    """Return the NamedTuple of float32 scalars ``(loss, *names)``: the loss, and its weighted terms by name."""
    return collections.namedtuple("Info", ("loss", *names))


Info = Any  # of `info_type`: info.loss, info.content, info.style, info.smoothness, and the terms that were added


class Frozen(NamedTuple):
    """What a scale uses and never trains.

    Fields:
        variables: of the network.
        aligned: by term, arrays that are cut into tiles like the picture, ``[H // s, W // s, C]``. Those of "content" are its features by
            layer, or the content itself ``[H, W, 3]``, whose features are then computed in each step.
        targets: by term, what does not depend on the place in the picture.
        weights: by term.
    """

    variables: PyTree
    aligned: dict[str, PyTree]
    targets: dict[str, PyTree]
    weights: dict[str, jax.Array]


def _averaged(state: State) -> jax.Array:
    return jnp.clip(debias(state.average, decay=DECAY, count=state.step + 1), 0, 1)


@jax.jit
def picture(state: State) -> jax.Array:
    """Return the averaged iterate ``[H, W, 3]`` in [0, 1], which is the picture to show."""
    return _averaged(state)


def initial_state(image: Array, optimizer: optax.GradientTransformation) -> State:
    """Start from an image; the average has seen it once.

    Args:
        image: ``[H, W, 3]``, clipped to [0, 1].
        optimizer: whose state starts afresh.
    """
    image = jnp.clip(jnp.asarray(image, jnp.float32), 0, 1)
    average = exponential_average(jnp.zeros_like(image), image, decay=DECAY)
    return State(step=jnp.int32(0), image=image, opt_state=optimizer.init(image), average=average)


@functools.partial(jax.jit, static_argnames=("size", "optimizer"))
def carry_over(state: State, size: tuple[int, int], optimizer: optax.GradientTransformation) -> State:
    """Start the next scale from the picture of the last; Adam keeps its resized moments and its count.

    Args:
        state: the last scale's.
        size: (height, width) of the next.
        optimizer: the same at both scales. What is not Adam's state starts afresh.
    """
    fresh = initial_state(resize(_averaged(state), size), optimizer)

    def moments_of(new, old):
        if not isinstance(old, optax.ScaleByAdamState):
            return new
        return old._replace(mu=resize(old.mu, size), nu=jnp.maximum(resize(old.nu, size, method="bilinear"), 0))

    def adams(node):
        return isinstance(node, optax.ScaleByAdamState)

    return fresh._replace(opt_state=jax.tree.map(moments_of, fresh.opt_state, state.opt_state, is_leaf=adams))


@functools.lru_cache(maxsize=32)
def make_step(
    network: VGG,
    terms: tuple[Term, ...],
    optimizer: optax.GradientTransformation,
    tile: int | None = None,
    rows: Rows | None = None,
) -> Callable[[Key, State, None, Frozen], tuple[State, Info]]:
    """Return the step that all scales share, so that equal shapes share one compiled program.

    The loss is a small function of sums, so that it and its gradient are exact however the picture is cut into tiles or split over
    devices. Only the sums know of either.

    Args:
        network: its layers are those of all terms.
        terms: of the objective, added up in this order.
        optimizer: of the pixels.
        tile: largest side of a tile in pixels; None takes the picture whole.
        rows: how the picture is split over devices; None for one.

    Raises:
        ValueError: tiles or rows with a term that does not add up over them.
    """
    check_additive(terms, tile, rows is not None)
    update = optax.with_extra_args_support(optimizer).update
    halo, align = terms_halo(terms, network)
    measure, info_of = functools.partial(measured, network, terms), info_type(tuple(term.name for term in terms))
    summed = tiled_sum if rows is None else functools.partial(sharded_sum, mesh=rows.mesh, height=rows.height)

    def objective(image: jax.Array, frozen: Frozen) -> tuple[jax.Array, Info]:
        size = (image.shape[0] if rows is None else rows.height, image.shape[1])
        sums: Any = summed(measure, image, frozen.aligned, frozen.variables, tile=tile, halo=halo, align=align)
        values = {term.name: term.value(sums[term.name], _inputs(term, size, frozen)) for term in terms}
        loss = functools.reduce(operator.add, values.values())
        return loss, info_of(loss, **values)

    def step(key: Key, state: State, batch: None, frozen: Frozen) -> tuple[State, Info]:
        del key, batch
        (loss, info), gradient = jax.value_and_grad(objective, has_aux=True)(state.image, frozen)
        updates: Any
        updates, opt_state = update(
            gradient,
            state.opt_state,
            state.image,
            value=loss,
            grad=gradient,
            value_fn=lambda image: objective(image, frozen)[0],
        )
        if rows is not None:  # an optimizer that looks at neighbors would reach into the padding
            updates = jnp.where(jnp.arange(rows.padded)[:, None, None] < rows.height, updates, 0)
        image = jnp.clip(state.image + updates, 0, 1)
        average = exponential_average(state.average, image, decay=DECAY)
        return State(step=state.step + 1, image=image, opt_state=opt_state, average=average), info

    return step


def _inputs(term: Term, size: tuple[int, int], frozen: Frozen) -> TermInputs:
    return TermInputs(
        size=size,
        aligned=frozen.aligned.get(term.name),
        targets=frozen.targets.get(term.name),
        weight=frozen.weights[term.name],
    )


def measured(
    network: VGG,
    terms: tuple[Term, ...],
    window: jax.Array,
    valid: jax.Array,
    aligned: dict[str, PyTree],
    variables: PyTree,
) -> dict[str, dict[str, PyTree]]:
    """Measure a window of the picture for every term; the summand of `tiled_sum`.

    Args:
        network: its layers are those of all terms.
        terms: of the objective.
        window: ``[h, w, 3]``.
        valid: ``[h, w]``, 1 where a pixel counts.
        aligned: by term, the window of its arrays.
        variables: of the network.

    Returns:
        By term and layer, what `Term.measure` returns.
    """
    content = aligned.get("content")
    if content is not None and not isinstance(content, dict):
        layers = next(term.layers for term in terms if term.name == "content")
        aligned = aligned | {"content": extract(network.clone(layers=layers), variables, content)}

    def tap(name: str, layer: jax.Array) -> dict[str, PyTree]:
        own = valid_at(valid, name, layer)
        concerned = [term for term in reversed(terms) if name in term.layers]  # the order in which gradients add up
        return {term.name: term.measure(name, layer, own, aligned.get(term.name)) for term in concerned}

    deep: Any = network.clone(layers=tuple(name for name in network.layers if name != "image"))
    found: Any = deep.apply(variables, window[None], tap=tap) | {"image": tap("image", window[None])}
    return {term.name: {name: found[name][term.name] for name in term.layers} for term in terms}


def valid_at(valid: jax.Array, name: str, layer: jax.Array) -> jax.Array:
    """Return which pixels of a layer count: those whose first pixel in the picture does.

    Args:
        valid: ``[H, W]``, of the picture.
        name: of the layer.
        layer: ``[1, h, w, C]``.

    Returns:
        ``[h, w]``.
    """
    stride = vgg_stride(name)
    return valid[::stride, ::stride][: layer.shape[1], : layer.shape[2]]


def extract(network: VGG, variables: PyTree, image: Array) -> Features:
    """Return the features of one picture by layer, ``[h, w, C]``.

    Args:
        network: its layers are extracted.
        variables: of the network.
        image: ``[H, W, 3]`` in [0, 1].
    """
    features: Any = network.apply(variables, image[None])
    return {name: layer[0] for name, layer in features.items()}
