"""A hedonic regression: log prices by a ridge on all that is known of a lot.

What it says of a training lot never comes from that lot's price or from the prices of its fold, and what a member of an ensemble is told
never from the fold that the member is kept from.

Reference: Rosen, Hedonic Prices and Implicit Markets, 1974; stacking: Wolpert, Stacked Generalization, 1992.
"""

from collections.abc import Sequence

import numpy as np

from jaxart.tasks.appraise.lots import Lots

_RIDGE = 30.0
WORDS = 0.5  # how much a word weighs beside a category


def design(lots: Lots, sizes: Sequence[int], words: int) -> np.ndarray:
    """Return what is regressed on, ``[N, D]``: numbers, gaps, features of the picture, known categories, words, and 1.

    Args:
        lots: encoded.
        sizes: how many codes each category has.
        words: how many words have a code.
    """
    count = len(lots.numbers)
    known = [
        np.eye(size, dtype=np.float64)[np.asarray(lots.categories)[:, place], 2:] for place, size in enumerate(sizes)
    ]
    picture = np.where(np.asarray(lots.pictured)[:, None], lots.picture, 0) / max(lots.picture.shape[1], 1) ** 0.5
    bags = np.zeros((count, words + 2))
    np.put_along_axis(bags, np.asarray(lots.tokens), 1.0, axis=1)
    return np.concatenate(
        [lots.numbers, lots.missing, picture, *known, WORDS * bags[:, 2:], np.ones((count, 1))],
        axis=1,
        dtype=np.float64,
    )


def fit_hedonic(inputs: np.ndarray, targets: np.ndarray, folds: np.ndarray, *, ridge: float = _RIDGE) -> np.ndarray:
    """Regress targets on inputs, without each fold and without each two of them.

    Args:
        inputs: ``[N, D]`` by `design`, the last of them 1.
        targets: ``[N]``.
        folds: ``[N]``, numbers from 0 to K - 1.
        ridge: how strongly coefficients are drawn to 0; the constant is not.

    Returns:
        Coefficients ``[K, K + 1, D]``: those of member k for rows of fold j come from neither fold; the last are for new rows.
    """
    count = int(folds.max()) + 1
    squares = [inputs[folds == fold].T @ inputs[folds == fold] for fold in range(count)]
    products = [inputs[folds == fold].T @ targets[folds == fold] for fold in range(count)]
    penalty = np.diag(np.r_[np.full(inputs.shape[1] - 1, ridge), 1e-6])

    def without(*gone: int) -> np.ndarray:
        left = [fold for fold in range(count) if fold not in gone]
        return np.linalg.solve(
            sum((squares[fold] for fold in left), penalty), sum((products[fold] for fold in left), 0 * products[0])
        )

    found = np.zeros((count, count + 1, inputs.shape[1]))
    for member in range(count):
        found[member, [member, count]] = without(member)
        for fold in range(member):
            found[member, fold] = found[fold, member] = without(member, fold)
    return found
