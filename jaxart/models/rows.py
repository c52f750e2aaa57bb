"""A recurrent network that reads a picture row by row."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.image import resize
from jaxart.models.blocks import Dense
from jaxart.models.dropout import Dropout

_LINEAR = nn.initializers.lecun_normal()


def gru_step(state: tuple[jax.Array], terms: jax.Array, recurrent: Callable) -> tuple[jax.Array]:
    """Return the next state (h,) of a gated recurrent unit.

    With reset r, update z and ``n = tanh(x_n + r h_n)``: ``h' = (1 - z) n + z h``.

    Args:
        state: (h ``[B, F]``,).
        terms: what the input says of r, z and n, biases included, ``[B, 3 F]``.
        recurrent: what h says of them, ``[B, F] -> [B, 3 F]``.

    Reference: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014, section 2.3. Departure: r acts after the
        product,
    so that one product serves all three.
    """
    (h,) = state
    x_r, x_z, x_n = jnp.split(terms, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(recurrent(h), 3, axis=-1)
    z = jax.nn.sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * h,)


def lstm_step(state: tuple[jax.Array, jax.Array], terms: jax.Array, recurrent: Callable) -> tuple[jax.Array, jax.Array]:
    """Return the next state (h, c) of a long short-term memory: ``c' = f c + i g``, ``h' = o tanh(c')``.

    Args:
        state: (h ``[B, F]``, c ``[B, F]``).
        terms: what the input says of i, f, g and o, biases included, ``[B, 4 F]``.
        recurrent: what h says of them, ``[B, F] -> [B, 4 F]``.

    Reference: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; with forget gates: Gers et al., Learning to Forget, 2000.
    """
    h, c = state
    i, f, g, o = jnp.split(terms + recurrent(h), 4, axis=-1)
    c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)  # memories are kept at first
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


CELLS: dict[str, tuple[Callable, int, int]] = {
    "gru": (gru_step, 3, 1),
    "lstm": (lstm_step, 4, 2),
}  # gates, arrays of a state


class Recurrence(nn.Module):
    """Read a sequence ``[B, T, C]`` and return the last hidden state ``[B, features]``, float32.

    What the inputs say is one product for all steps; the states are float32.

    Args:
        features: length of the state.
        cell: "gru" or "lstm".
        backward: read from the last to the first.
        dtype: of the products.

    Raises:
        ValueError: an unknown cell.
    """

    features: int
    cell: Literal["gru", "lstm"] = "gru"
    backward: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        if self.cell not in CELLS:
            raise ValueError(f"Recurrence: expected a cell of {', '.join(CELLS)}, got {self.cell!r}.")
        step, gates, arrays = CELLS[self.cell]
        batch, count, channels = x.shape
        dense = Dense(gates * self.features, initializer=_LINEAR, dtype=self.dtype, name="input")
        terms = dense(x.reshape(-1, channels)).astype(jnp.float32).reshape(batch, count, -1)
        shape = (self.features, gates * self.features)
        kernel = self.param("kernel", nn.initializers.orthogonal(), shape).astype(self.dtype)

        def advance(state, terms):
            return step(state, terms, lambda h: (h.astype(self.dtype) @ kernel).astype(jnp.float32)), None

        start = (jnp.zeros((batch, self.features)),) * arrays
        last, _ = jax.lax.scan(advance, start, terms.swapaxes(0, 1), reverse=self.backward)
        return last[0]


class RowRecurrent(nn.Module):
    """Classify pictures ``[B, H, W, C]`` in [0, 1] by reading their rows: (logits ``[B, classes]``, features ``[B, F]``), float32.

    Pictures are resized to `size`; a row of pixels is a step. The features are the last hidden states, going down and, with `both_ways`,
    going up. Small and simple, and blind to what convolutions see at once: what is a little to the left is another input altogether.

    Args:
        classes: number of classes.
        size: rows and columns that are read.
        width: length of a hidden state; F is this, or twice with `both_ways`.
        cell: "gru" or "lstm".
        both_ways: read from the bottom too.
        dropout: probability with which a feature is dropped, in training.
        axis_name: the mapped axis over which the batch is divided (`jax.pmap`, `jax.shard_map`), for what is drawn per example.
        dtype: of the products.

    Raises:
        ValueError: pictures of another rank, an unknown cell, or a rate outside of [0, 1).

    Reference: Graves and Schmidhuber, Framewise Phoneme Classification with Bidirectional LSTM, 2005; rows as steps: Le et al., A Simple
        Way to
    Initialize Recurrent Networks of Rectified Linear Units, 2015, section 4.2 (there pixels).
    """

    classes: int
    size: tuple[int, int] = (32, 32)
    width: int = 128
    cell: Literal["gru", "lstm"] = "gru"
    both_ways: bool = True
    dropout: float = 0.2
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        if x.ndim != 4:
            raise ValueError(f"RowRecurrent: expected pictures [B, H, W, C], got shape {x.shape}.")
        x = x if x.shape[1:3] == self.size else resize(x, self.size, method="bilinear")
        rows = (2 * x - 1).reshape(x.shape[0], x.shape[1], -1)  # [B, H, W C]
        features = Recurrence(self.width, self.cell, dtype=self.dtype, name="down")(rows)
        if self.both_ways:
            up = Recurrence(self.width, self.cell, backward=True, dtype=self.dtype, name="up")(rows)
            features = jnp.concatenate([features, up], axis=-1)
        thinned = Dropout(self.dropout, self.axis_name, name="thinned")(features, train=train)
        return Dense(self.classes, initializer=_LINEAR, name="logits")(thinned), features
