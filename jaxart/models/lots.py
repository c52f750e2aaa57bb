"""A network that values lots of auctions from a table, a text and a picture, each of which may be missing.

What is drawn in training comes from the key "dropout" folded with the index of the example, as in `models.dropout`.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Dense
from jaxart.models.dropout import Dropout, kept
from jaxart.models.rows import lstm_step

_LINEAR = nn.initializers.lecun_normal()
_EMBEDDED = nn.initializers.normal(0.1)  # what is seen too seldom to learn much of stays small
_UNKNOWN = 1  # of words and categories; 0 is none


class LotShares(NamedTuple):
    """How much of what is known of B lots counts, from 0 (as if it were missing) to 1 (as it is): what attributions walk along.

    Fields:
        categories: ``[B, C]``.
        words: ``[B, L]``; all 0 is a text without words, and none if `text` is 0 too.
        text: whether there is a text, whatever its words, ``[B]``.
        picture: ``[B]``.
        group: ``[B]``.
    """

    categories: Array
    words: Array
    text: Array
    picture: Array
    group: Array


def _between(share: Array, one: Array, other: Array) -> jax.Array:
    """Return one where the share is true, else the other; of shares that are numbers the mean that they weigh."""
    return jnp.where(share, one, other) if share.dtype == bool else share * one + (1 - share) * other


def _counted(present: jax.Array, share: Array | None) -> jax.Array:
    """Return what is present, bool, or how much of it counts, float32."""
    return present if share is None else jnp.where(present, share, 0)


def _at_random(module: nn.Module, present: jax.Array, rate: float, axis_name: str | None, *, train: bool) -> jax.Array:
    """Return ``[B, ...]``, bool: what is present, less what is taken away in training with probability `rate`."""
    factors = kept(module, present.shape[0], present.shape[1:], rate, axis_name, train=train)
    return present if factors is None else present & (factors > 0)


def _or_learned(module: nn.Module, name: str, x: jax.Array, present: jax.Array) -> jax.Array:
    """Return features ``[B, F]``, and for examples that have none a vector that is learned."""
    vector = module.param(name, _EMBEDDED, (x.shape[-1],))
    return _between(present[:, None], x, vector[None])


class PeriodicNumbers(nn.Module):
    """Embed numbers by waves of learned frequencies, each column for itself: ``[B, F] -> [B, F width]``.

    ``ReLU(A_f [sin 2 pi w_f x, cos 2 pi w_f x, x] + b_f)``, with w_f of column f from ``N(0, sigma^2)``.

    Args:
        frequencies: waves of a column.
        width: numbers that a column becomes.
        sigma: standard deviation of the frequencies at first. The larger, the finer are the steps that prices can have.

    Reference: Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning, 2022, section 3.3 (PLR). Departure: x itself
    goes along, so that what is linear need not be put together from waves.
    """

    frequencies: int = 16
    width: int = 8
    sigma: float = 0.3

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        count, waves = x.shape[1], 2 * self.frequencies + 1
        frequencies = self.param("frequencies", nn.initializers.normal(self.sigma), (count, self.frequencies))
        kernel = self.param("kernel", nn.initializers.he_normal(batch_axis=(0,)), (count, waves, self.width))
        bias = self.param("bias", nn.initializers.zeros_init(), (count, self.width))
        angles = 2 * math.pi * x[:, :, None] * frequencies[None]  # [B, F, k]
        seen = jnp.concatenate([jnp.sin(angles), jnp.cos(angles), x[:, :, None]], axis=-1)  # [B, F, 2 k + 1]
        return jax.nn.relu(jnp.einsum("bfk,fkd->bfd", seen, kernel) + bias[None]).reshape(x.shape[0], -1)


class CategoryVectors(nn.Module):
    """Embed numbers of categories, each column by a table of its own, and put the vectors side by side: ``[B, C] -> [B, F]``.

    A column of n categories has vectors of ``min(16, ceil(0.8 n^0.56) + 1)`` numbers.

    Args:
        sizes: categories of each column, those that stand for missing and unknown included.
    """

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, categories: Array, shares: Array | None = None) -> jax.Array:
        found = [jnp.zeros((categories.shape[0], 0))]
        for column, size in enumerate(self.sizes):
            shape = (size, min(16, math.ceil(0.8 * size**0.56) + 1))
            vectors = self.param(f"column_{column}", _EMBEDDED, shape)
            own = vectors[categories[:, column]]
            found.append(own if shares is None else _between(shares[:, column, None], own, vectors[:1]))
        return jnp.concatenate(found, axis=-1)


class Reading(nn.Module):
    """Read sequences with gaps by an LSTM: ``[B, L, C] -> [B, 2 features]``, the mean of its outputs and its last state.

    Where there is no word, the state stays as it is, so that padding changes nothing; a word that counts by a share moves it so far.
    What the words say is one product before the recurrence; a step at which no example has a word is skipped.

    Args:
        features: length of the state.
    """

    features: int

    @nn.compact
    def __call__(self, x: Array, present: Array) -> jax.Array:
        batch, length, channels = x.shape
        terms = Dense(4 * self.features, initializer=_LINEAR, name="input")(x.reshape(-1, channels))
        terms = terms.reshape(batch, length, 4 * self.features).swapaxes(0, 1)  # [L, B, 4 F]
        kernel = self.param("kernel", nn.initializers.orthogonal(), (self.features, 4 * self.features))

        def read(state, terms, here):
            h, c = lstm_step(state[:2], terms, lambda h: h @ kernel)
            return tuple(_between(here, new, old) for new, old in zip((h, c, state[2] + h), state, strict=True))

        def advance(state, now):
            return jax.lax.cond(now[2], read, lambda state, *_: state, state, *now[:2]), None

        steps = (terms, present.T[:, :, None], jnp.any(present, axis=0))
        advance = jax.checkpoint(advance, prevent_cse=False)  # gates kept for the derivative take longer than new ones
        (last, _, total), _ = jax.lax.scan(advance, (jnp.zeros((batch, self.features)),) * 3, steps)
        return jnp.concatenate([total / _counts(present), last], axis=-1)


def _counts(present: Array) -> jax.Array:
    """Return the words of each text, at least 1: ``[B, L] -> [B, 1]``, float32."""
    return jnp.maximum(jnp.sum(present.astype(jnp.float32), axis=1, keepdims=True), 1)


class TextVector(nn.Module):
    """Make one vector of each text ``[B, L]``: the sum of its words' vectors over sqrt(n), and what `Reading` finds.

    A text without words is a learned vector.

    Args:
        vocabulary: words, 0 (none) and 1 (unknown) included.
        word_width: length of a word's vector.
        width: of the state that reads; 0 takes words in no order.
        word_dropout: probability with which a word is taken as unknown, in training.
        text_dropout: probability with which a text is taken as missing, in training.
        axis_name: as in `Dropout`.
    """

    vocabulary: int
    word_width: int = 32
    width: int = 32
    word_dropout: float = 0.1
    text_dropout: float = 0.15
    axis_name: str | None = None

    @nn.compact
    def __call__(self, tokens: Array, shares: LotShares | None = None, *, train: bool = False) -> jax.Array:
        present = jnp.asarray(tokens) > 0  # [B, L]
        known = _at_random(self, present, self.word_dropout, self.axis_name, train=train)
        ids = jnp.where(present & ~known, _UNKNOWN, tokens)
        words = self.param("words", _EMBEDDED, (self.vocabulary, self.word_width))[ids]  # [B, L, E]
        counted = _counted(present, shares.words if shares else None)
        found = [jnp.sum(_between(counted[:, :, None], words, jnp.zeros(())), axis=1) / jnp.sqrt(_counts(counted))]
        if self.width:
            found.append(Reading(self.width, name="reading")(words, counted))
        there = _counted(jnp.any(present, axis=1), shares.text if shares else None)
        shown = _at_random(self, there, self.text_dropout, self.axis_name, train=train)
        return _or_learned(self, "missing", jnp.concatenate(found, axis=-1), shown)


class PictureVector(nn.Module):
    """Narrow the features ``[B, P]`` that another network has of a picture to ``[B, width]``; without a picture, a learned vector.

    Args:
        width: of the result.
        dropout: probability with which a number of the result is dropped, in training.
        picture_dropout: probability with which a picture is taken as missing, in training.
        axis_name: as in `Dropout`.
    """

    width: int = 64
    dropout: float = 0.3
    picture_dropout: float = 0.15
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, picture: Array, pictured: Array, share: Array | None = None, *, train: bool = False
    ) -> jax.Array:
        pictured = jnp.asarray(pictured)
        x = jnp.where(pictured[:, None], picture, 0)  # what stands for no picture may be no number
        x = Dropout(self.dropout, self.axis_name)(jax.nn.gelu(Dense(self.width, name="narrow")(x)), train=train)
        shown = _at_random(self, _counted(pictured, share), self.picture_dropout, self.axis_name, train=train)
        return _or_learned(self, "missing", x, shown)


class LotNet(nn.Module):
    """Value lots from what is known of them: (outputs ``[B, outputs]``, fused features ``[B, width]``), float32.

    Numbers, as they are and as waves, marks of what is missing, categories, a text and a picture become one vector, which `depth` layers
    fuse. In training a text, a picture or a sale is at times taken away, so that none of them is relied on alone. Examples do not see each
    other, and `jax.vmap` over variables and keys makes an ensemble.

    Called with:
        numbers: ``[B, F]``, float32, scaled to about 1, gaps filled.
        missing: ``[B, M]``, 1 where a number was not there, else 0.
        categories: ``[B, C]``, integers below `sizes`; 0 stands for missing, 1 for rare and unknown ones.
        tokens: ``[B, L]``, integers below `vocabulary`; 0 is no word, wherever it stands, and 1 an unknown one.
        picture: ``[B, P]``, float32, features of a picture; P = 0 for none.
        pictured: ``[B]``, bool: whether there is a picture.
        group: ``[B]``, integers below `groups`, such as a sale; 0 is an unknown one.
        shares: how much of these counts; by default all. Not in training.

    Integers that are not below their bound cannot be detected under jit: JAX takes the nearest that are.

    Args:
        outputs: of the last layer; what they mean is up to the loss (`losses.gaussian_nll`, `losses.rising_quantiles`).
        continuous: columns of numbers that are seen as waves too; those that are 0 or 1 need not be.
        sizes: categories of each column.
        vocabulary: words; 0 for no text at all.
        groups: each known group adds a number of its own, at first 0, to the outputs `located`; 0 for none.
        located: outputs that say where a value lies, rather than how sure it is.
        frequencies, number_width, sigma: as in `PeriodicNumbers`.
        word_width, text_width: as `word_width` and `width` of `TextVector`.
        picture_width: as `width` of `PictureVector`.
        width: of the layers that fuse.
        depth: how many there are, at least 1.
        dropout: probability with which a feature is dropped, of these layers and of the picture.
        word_dropout: probability with which a word is taken as unknown.
        modality_dropout: probability with which a text, and likewise a picture, is taken as missing.
        group_dropout: probability with which a group is taken as unknown, so that the rest learns what holds in new ones.
        axis_name: the mapped axis over which the batch is divided (`jax.pmap`, `jax.shard_map`), for what is drawn per example.

    Raises:
        ValueError: inputs whose shapes do not fit, columns or outputs that there are not, a rate outside of [0, 1), shares in training.

    Reference: Gorishniy et al., as in `PeriodicNumbers`; missing modalities in training: Neverova et al., ModDrop, 2016, section 3.3.
    """

    outputs: int
    continuous: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    vocabulary: int = 0
    groups: int = 0
    located: tuple[int, ...] = (0,)
    frequencies: int = 16
    number_width: int = 8
    sigma: float = 0.3
    word_width: int = 32
    text_width: int = 32
    picture_width: int = 64
    width: int = 256
    depth: int = 2
    dropout: float = 0.3
    word_dropout: float = 0.1
    modality_dropout: float = 0.15
    group_dropout: float = 0.3
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        numbers: Array,
        missing: Array,
        categories: Array,
        tokens: Array,
        picture: Array,
        pictured: Array,
        group: Array,
        *,
        shares: LotShares | None = None,
        train: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        self._check(numbers, categories)
        if train and shares is not None:
            raise ValueError("LotNet: expected no shares in training, where all that is known counts.")
        table = self._of_table(jnp.asarray(numbers, jnp.float32), missing, categories, shares)
        seen = self._of_picture(picture, pictured, shares, train)
        x = jnp.concatenate([*table, *self._of_text(tokens, shares, train), *seen], axis=-1)
        for layer in range(self.depth):
            x = jax.nn.gelu(Dense(self.width, name=f"fuse_{layer}")(x))
            x = Dropout(self.dropout, self.axis_name)(x, train=train)
        return self._with_group(Dense(self.outputs, initializer=_LINEAR, name="outputs")(x), group, shares, train), x

    def _check(self, numbers: Array, categories: Array) -> None:
        if numbers.ndim != 2 or categories.ndim != 2 or categories.shape[1] != len(self.sizes):
            raise ValueError(
                f"LotNet: expected numbers [B, F] and categories [B, {len(self.sizes)}], one for each of the sizes, "
                f"got {numbers.shape} and {categories.shape}."
            )
        for name, indices, count in (
            ("continuous", self.continuous, numbers.shape[1]),
            ("located", self.located, self.outputs),
        ):
            if any(not 0 <= index < count for index in indices):
                raise ValueError(f"LotNet: expected {name} below {count}, got {indices}.")

    def _of_table(
        self, numbers: jax.Array, missing: Array, categories: Array, shares: LotShares | None
    ) -> list[jax.Array]:
        found = [
            numbers,
            jnp.asarray(missing).astype(jnp.float32),
            CategoryVectors(self.sizes, name="categories")(categories, shares.categories if shares else None),
        ]
        if self.continuous:
            waves = PeriodicNumbers(self.frequencies, self.number_width, self.sigma, name="numbers")
            found.append(waves(numbers[:, jnp.array(self.continuous)]))
        return found

    def _of_text(self, tokens: Array, shares: LotShares | None, train: bool) -> list[jax.Array]:
        if not self.vocabulary:
            return []
        rates = (self.word_dropout, self.modality_dropout)
        text = TextVector(self.vocabulary, self.word_width, self.text_width, *rates, self.axis_name, name="text")
        return [text(tokens, shares, train=train)]

    def _of_picture(self, picture: Array, pictured: Array, shares: LotShares | None, train: bool) -> list[jax.Array]:
        if not picture.shape[1]:
            return []
        rates = (self.dropout, self.modality_dropout)
        narrow = PictureVector(self.picture_width, *rates, self.axis_name, name="picture")
        return [narrow(picture, pictured, shares.picture if shares else None, train=train)]

    def _with_group(self, outputs: jax.Array, group: Array, shares: LotShares | None, train: bool) -> jax.Array:
        if not self.groups:
            return outputs
        added = self.param("groups", nn.initializers.zeros_init(), (self.groups,))[group]
        there = _counted(jnp.asarray(group) > 0, shares.group if shares else None)
        known = _at_random(self, there, self.group_dropout, self.axis_name, train=train)
        located = jnp.zeros((self.outputs,)).at[jnp.array(self.located)].set(1)
        return outputs + _between(known, added, jnp.zeros(()))[:, None] * located[None]
