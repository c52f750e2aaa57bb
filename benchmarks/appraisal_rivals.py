"""Rivals that value works of art, for `appraisal.py`: what they see of a table, a ridge hedonic, boosted trees and a network of others.

A rival is a function ``(table, proper) -> fit``: it may look at the rows `proper` to choose settings. The fit is a function ``(train, rows,
quantiles) -> Guess``, which learns from `train` and values `rows`. Neither reads a price of other rows.
"""

import functools
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import Ridge

LEVELS = (0.8, 0.9)
CRPS_QUANTILES = tuple((i - 0.5) / 10 for i in range(1, 11))
QUANTILES = tuple(sorted({*CRPS_QUANTILES, 0.1, 0.9}))  # what intervals of both levels and the CRPS need

_PRIOR, _MANY = (
    10.0,
    40,
)  # rows that the mean of all counts for in the mean of a category; values from which on it is known by means alone
_TRIALS, _INNER, _MOST_ITERATIONS = 15, 3, 600
_AVERAGED = ("nfigures", "engraved", "prevcoll", "lrgfont", "finished")

Rows = np.ndarray


class Table(NamedTuple):
    """A table of lots: numbers ``[N]`` with NaN and categories ``[N]`` with "" where nothing is known, texts, numbered sales and lots
    within sales, years, and logarithms of prices."""

    numbers: dict[str, np.ndarray]
    categories: dict[str, np.ndarray]
    text: np.ndarray
    sale: np.ndarray
    lot: np.ndarray
    year: np.ndarray
    target: np.ndarray


class Guess(NamedTuple):
    """Means ``[M]``, and quantiles ``[M, Q]`` at `QUANTILES` where a rival was asked for them and has them."""

    mean: np.ndarray
    quantiles: np.ndarray | None = None


Fit = Callable[[Rows, Rows, bool], Guess]
Rival = Callable[[Table, Rows], Fit]


def folds_of(lot: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return a fold ``[N]`` for each row, the same for all rows of a lot."""
    known, place = np.unique(lot, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(known)) % count)[place]


def shrunk_means(table: Table, cells: np.ndarray, train: Rows) -> np.ndarray:
    """Return ``(n mean + 10 mean of all) / (n + 10)`` of the prices of equal cells ``[N]``: of a training row without its own fifth."""
    codes = np.unique(cells, return_inverse=True)[1]

    def means(rows: Rows) -> np.ndarray:
        counts = np.bincount(codes[rows], minlength=codes.max() + 1)
        total = np.bincount(codes[rows], weights=table.target[rows], minlength=codes.max() + 1)
        return ((total + _PRIOR * table.target[rows].mean()) / (counts + _PRIOR))[codes]

    found, folds = means(train), folds_of(table.lot[train], 5, 1)
    for fold in range(5):
        inside = train[folds == fold]
        found[inside] = means(train[folds != fold])[inside]
    return found


def context(table: Table, train: Rows) -> dict[str, np.ndarray]:
    """Return what the other rows of the lot and of the sale say, by name ``[N]``; prices come in by the artist's mean of `train` alone."""

    def sums(places: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(places, weights=np.nan_to_num(values))[places]

    def mean_of_sale(values: np.ndarray) -> np.ndarray:
        known = sums(table.sale, ~np.isnan(values))
        return np.where(known > 0, sums(table.sale, values) / np.maximum(known, 1), np.nan)

    with np.errstate(invalid="ignore"):
        area = np.where(table.numbers["Surface"] > 0, table.numbers["Surface"], np.nan)
    size = sums(table.lot, np.ones(len(area)))
    words = np.array([float(len(text.split())) for text in table.text])
    leading = [text.split(")")[0].removeprefix("(") if text.startswith("(") else "" for text in table.text]
    of_sale = {
        "artist": shrunk_means(table, table.categories["authorstandard"], train),
        "log area": np.log(area),
        "words": words,
        "lot size": size,
    }
    of_sale |= {name: table.numbers[name] for name in _AVERAGED if name in table.numbers}
    own = {
        "log lot size": np.log(size),
        "log area of the lot": np.log1p(sums(table.lot, area)),
        "log number in the text": np.log([max(float(each), 1.0) if each.isdecimal() else 1.0 for each in leading]),
    }
    return own | {f"{name}, mean of the sale": mean_of_sale(values) for name, values in of_sale.items()}


def text_factors(table: Table, train: Rows, count: int = 20) -> np.ndarray:
    """Return so many factors of the words of the texts ``[N, count]``, learned from `train`."""
    words = TfidfVectorizer(sublinear_tf=True, min_df=2, strip_accents="unicode").fit(table.text[train])
    factors = TruncatedSVD(count, random_state=0).fit(words.transform(table.text[train]))
    return factors.transform(words.transform(table.text))


def _is_many(cells: np.ndarray) -> bool:
    return len(np.unique(cells)) > _MANY


def tree_features(table: Table, train: Rows, *, surroundings: bool, text: bool) -> np.ndarray:
    """Return the features of trees ``[N, F]``: numbers, categories by their number or, of many values, by shrunk means, and more."""
    parts = [*table.numbers.values()]
    for cells in table.categories.values():
        if _is_many(cells):
            parts.append(shrunk_means(table, cells, train))
        else:
            codes = np.unique(cells, return_inverse=True)[1].astype(np.float64)
            parts.append(np.where(cells == "", np.nan, codes))
    parts += context(table, train).values() if surroundings else ()
    columns = np.stack(parts, axis=1)
    return np.concatenate([columns, text_factors(table, train)], axis=1) if text else columns


def mean_of_training(table: Table, _proper: Rows) -> Fit:
    """Value everything at the mean of training."""
    return lambda train, rows, _: Guess(np.full(len(rows), table.target[train].mean()))


def ridge(table: Table, _proper: Rows, *, surroundings: bool = False, penalty: float = 10.0) -> Fit:
    """A ridge hedonic: standardized numbers, categories (the artist too) and words as zeros and ones."""

    def fit(train: Rows, rows: Rows, _: bool) -> Guess:
        numbers = [*table.numbers.values(), *(context(table, train).values() if surroundings else ())]
        parts = []
        for values in numbers:
            known = values[train][~np.isnan(values[train])]
            middle, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
            filled = np.where(np.isnan(values), middle, values)
            parts += [(filled - middle) / (spread or 1.0), np.isnan(values).astype(np.float64)]
        for cells in table.categories.values():
            names, counts = np.unique(cells[train], return_counts=True)
            parts += [(cells == name).astype(np.float64) for name in names[(counts > 1) & (names != "")]]
        words = CountVectorizer(binary=True, min_df=3, strip_accents="unicode").fit(table.text[train])
        features = np.concatenate([np.stack(parts, axis=1), np.asarray(words.transform(table.text).todense())], axis=1)
        model = Ridge(alpha=penalty).fit(features[train], table.target[train])
        return Guess(model.predict(features[rows]))

    return fit


DEFAULT_TREES: dict[str, Any] = {"learning_rate": 0.05, "max_iter": 300, "max_leaf_nodes": 15}
_ALL_ROWS: Any = {"early_stopping": False, "random_state": 0}  # none kept out


def grow(
    table: Table,
    train: Rows,
    rows: Rows,
    setting: dict[str, Any],
    *,
    surroundings: bool = False,
    text: bool = False,
    quantiles: bool = False,
) -> Guess:
    """Fit boosted trees of one setting, and of quantiles one more for each where asked."""
    features = tree_features(table, train, surroundings=surroundings, text=text)

    def predict(**loss: Any) -> np.ndarray:
        model = HistGradientBoostingRegressor(**setting, **loss, **_ALL_ROWS)
        return model.fit(features[train], table.target[train]).predict(features[rows])

    if not quantiles:
        return Guess(predict())
    levels = [predict(loss="quantile", quantile=level) for level in QUANTILES]
    return Guess(predict(), np.sort(np.stack(levels, axis=1), axis=1))


def default_trees(table: Table, _proper: Rows, *, surroundings: bool = False) -> Fit:
    """Boosted trees as they are set without a search."""
    return lambda train, rows, quantiles: grow(
        table, train, rows, DEFAULT_TREES, surroundings=surroundings, quantiles=quantiles
    )


def tuned_trees(table: Table, proper: Rows, *, surroundings: bool = False) -> Fit:
    """Boosted trees of the best of 15 settings, the first as they are without a search, over 3 inner folds by lot."""
    draw, folds = np.random.default_rng(0), folds_of(table.lot[proper], _INNER, 2)
    settings = [(DEFAULT_TREES, False)]
    for trial in range(1, _TRIALS):
        drawn = {
            "learning_rate": float(np.exp(draw.uniform(np.log(0.02), np.log(0.15)))),
            "max_leaf_nodes": int(draw.choice([5, 8, 15, 31])),
            "min_samples_leaf": int(draw.choice([5, 10, 20, 40])),
            "l2_regularization": float(np.exp(draw.uniform(np.log(0.01), np.log(30)))),
            "max_features": float(draw.choice([0.2, 0.4, 0.7, 1.0])),
        }
        settings.append((drawn, trial % 2 == 1))
    errors: list[Any] = [np.zeros(_MOST_ITERATIONS) for _ in settings]
    for fold in range(_INNER):
        train, held = proper[folds != fold], proper[folds == fold]
        features = [tree_features(table, train, surroundings=surroundings, text=text) for text in (False, True)]
        for total, (setting, text) in zip(errors, settings, strict=True):
            model = HistGradientBoostingRegressor(**{**setting, "max_iter": _MOST_ITERATIONS}, **_ALL_ROWS).fit(
                features[text][train], table.target[train]
            )
            steps = model.staged_predict(features[text][held])
            total += [float(np.sum((values - table.target[held]) ** 2)) for values in steps]
    best = int(np.argmin([total.min() for total in errors]))
    setting, text = settings[best]
    setting = {**setting, "max_iter": 1 + int(errors[best].argmin())}
    told = " ".join(f"{name}={value:.3g}" for name, value in setting.items())
    print(f"<!-- trees{', context' if surroundings else ''}: {told}{' text' if text else ''} -->", flush=True)
    return lambda train, rows, quantiles: grow(
        table, train, rows, setting, surroundings=surroundings, text=text, quantiles=quantiles
    )


def network(table: Table, _proper: Rows, *, surroundings: bool = False) -> Fit:
    """RealMLP as its authors set it; a fifth of the training lots says when to stop. With quantiles, its mean is their median."""
    import pytabkit  # pyright: ignore[reportMissingImports]

    def fit(train: Rows, rows: Rows, quantiles: bool) -> Guess:
        frame = _frame(table, train, surroundings=surroundings)
        held = np.flatnonzero(folds_of(table.lot[train], 5, 3) == 0)
        pinball = f"multi_pinball({','.join(f'{level:g}' for level in QUANTILES)})"
        loss = {"train_metric_name": pinball, "val_metric_name": pinball} if quantiles else {}
        model = pytabkit.RealMLP_TD_Regressor(device="cpu", random_state=0, n_threads=1, **loss)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(frame.iloc[train], table.target[train].copy(), val_idxs=held)
            found = np.asarray(model.predict(frame.iloc[rows]), np.float64)
        if not quantiles:
            return Guess(found)
        found = np.sort(found, axis=1)
        middle = [QUANTILES.index(level) for level in (0.45, 0.55)]
        return Guess(found[:, middle].mean(axis=1), found)

    return fit


def _frame(table: Table, train: Rows, *, surroundings: bool) -> Any:
    """Return the features of the network: those of trees with medians and marks in the gaps, and categories as such."""
    import pandas

    numbers = table.numbers | (context(table, train) if surroundings else {})
    frame: dict[str, Any] = {}
    for column, values in numbers.items():
        gaps = np.isnan(values)
        known = values[train][~gaps[train]]
        frame[column] = np.where(gaps, np.median(known) if len(known) else 0.0, values).astype(np.float32)
        if gaps[train].any() and not gaps[train].all():
            frame[f"{column} is missing"] = gaps.astype(np.float32)
    for column, cells in table.categories.items():
        frame[column] = pandas.Series(cells.tolist(), dtype="object").astype("category")
        if _is_many(cells):
            frame[f"{column}, mean"] = shrunk_means(table, cells, train).astype(np.float32)
    for place, values in enumerate(text_factors(table, train).T):
        frame[f"text {place}"] = values.astype(np.float32)
    return pandas.DataFrame(frame)


def rivals() -> dict[str, Rival]:
    """Return the rivals by name; a network where pytabkit is installed."""
    found: dict[str, Rival] = {
        "mean of training": mean_of_training,
        "ridge hedonic": ridge,
        "ridge hedonic, context": functools.partial(ridge, surroundings=True),
        "tuned trees": tuned_trees,
        "tuned trees, context": functools.partial(tuned_trees, surroundings=True),
    }
    if importlib.util.find_spec("pytabkit"):
        found |= {"RealMLP": network, "RealMLP, context": functools.partial(network, surroundings=True)}
    return found
