"""Distances between the distributions of real and generated examples, as a feature network sees them.

Features are ``[N, D]``, NumPy or JAX, of any float type. These are judgments, not losses: they run on the host in float64 through
NumPy and LAPACK, where the root of a nearly singular covariance is safe, and are not differentiated.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np

from jaxart.arrays import Key
from jaxart.metrics.estimate import Estimate, FewExamplesWarning, Samples, check_features, check_together, generator


class FeatureMoments(NamedTuple):
    """What the Frechet distance needs of a set, to be stored instead of it: ``mean [D]``, ``covariance [D, D]``, ``count`` of examples."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


def feature_moments(features: Samples) -> FeatureMoments:
    """Return mean, covariance (divided by N - 1) and count of features, in float64.

    Args:
        features: ``[N, D]``, at least two examples.

    Raises:
        ValueError: features of another shape, one example, or values that are not finite.
    """
    return _moments("features", features)


def _moments(name: str, features: Any) -> FeatureMoments:
    if isinstance(features, FeatureMoments):
        mean = check_features(f"{name} mean", np.asarray(features.mean)[None])[0]
        covariance = check_features(f"{name} covariance", features.covariance)
        if covariance.shape != (len(mean), len(mean)):
            raise ValueError(
                f"{name}: expected a covariance of shape {(len(mean), len(mean))}, got {covariance.shape}."
            )
        return FeatureMoments(mean, covariance, int(features.count))
    array = check_features(name, features, least=2)
    mean = array.mean(axis=0)
    array -= mean[None]  # a copy of the caller's
    return FeatureMoments(mean, array.T @ array / (len(array) - 1), len(array))


def frechet_distance(real: Samples | FeatureMoments, fake: Samples | FeatureMoments) -> float:
    """Return the Frechet distance of two Gaussians fitted to features: ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2))``.

    Both roots are of symmetric matrices and taken by `eigh`, so that nothing imaginary appears, be they singular. The estimate is biased
    upwards by an amount of order 1/N that depends on the features and the generator: compare at equal N.

    Args:
        real: features ``[N, D]``, or their stored `feature_moments`.
        fake: features ``[M, D]`` of the same network, or their moments.

    Returns:
        A number, not negative. It is a FID only if the features are Inception's: `score_name`.

    Raises:
        ValueError: fewer than two examples, features of other shapes or not finite.

    Warns:
        FewExamplesWarning: fewer than 2 D examples: the covariance is poorly known and the distance mostly bias. Prefer `kernel_distance`.

    Example:
        >>> frechet_distance(np.array([[0.0], [2.0], [1.0]]), np.array([[3.0], [5.0], [4.0]]))
        9.0

    Reference: Dowson and Landau, The Frechet distance between multivariate normal distributions, 1982; Heusel et al., GANs Trained by
    a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, 2017.
    """
    real, fake = _moments("real", real), _moments("fake", fake)
    length = len(real.mean)
    if len(fake.mean) != length:
        raise ValueError(f"expected features of one network, got length {length} (real) and {len(fake.mean)} (fake).")
    if min(real.count, fake.count) < 2 * length:
        warnings.warn(
            f"Frechet distance of {real.count} real and {fake.count} fake examples with {length} features: below "
            f"{2 * length} examples it is mostly bias. Use kernel_distance, or features of at most "
            f"{min(real.count, fake.count) // 2} numbers.",
            FewExamplesWarning,
            stacklevel=2,
        )
    values, vectors = np.linalg.eigh(real.covariance)
    root = vectors * _roots(values) @ vectors.T
    cross = _roots(np.linalg.eigvalsh(root @ fake.covariance @ root)).sum()
    means = np.sum((real.mean - fake.mean) ** 2)
    return max(0.0, float(means + np.trace(real.covariance) + np.trace(fake.covariance) - 2 * cross))


def _roots(eigenvalues: np.ndarray) -> np.ndarray:
    """Take square roots; what rounding left of a zero stays zero, as its root would not be small."""
    rounding = len(eigenvalues) * np.finfo(np.float64).eps * np.abs(eigenvalues).max()
    return np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0.0))


def kernel_distance(key: Key, real: Samples, fake: Samples, *, subsets: int = 100, subset_size: int = 1000) -> Estimate:
    """Return the squared maximum mean discrepancy with the kernel ``(x . y / D + 1)^3``, unbiased, a mean over random subsets.

    Unbiased at any number of examples, hence the score for small sets; it may be a little negative.

    Args:
        key: typed key, chooses the subsets.
        real: features ``[N, D]``.
        fake: features ``[M, D]`` of the same network.
        subsets: at least 2.
        subset_size: examples of each kind in a subset; at most half of the smaller set, so that subsets differ.

    Returns:
        `Estimate`. Its standard error is about the choice of the examples as well as of the subsets: the variance over subsets of size
        m times ``m / (N - m) + 1 / subsets``, N the smaller set (the jackknife that deletes N - m). The second term, the error of the
        mean over subsets, is what others report alone; it vanishes with more of them. As for `jackknife`, too wide near equality.

    Raises:
        ValueError: fewer than 4 examples or 2 subsets, features of other shapes or not finite.

    Reference: Binkowski et al., Demystifying MMD GANs, 2018; Shao and Wu, A General Theory for Jackknife Variance Estimation, 1989.
    """
    real, fake = check_together({"real": real, "fake": fake}, least=4)
    if subsets < 2 or subset_size < 2:
        raise ValueError(f"expected at least 2 subsets of at least 2 examples, got {subsets} of {subset_size}.")
    draw, fewest = generator(key), min(len(real), len(fake))
    size = min(subset_size, fewest // 2)

    def some(features):
        return features[draw.choice(len(features), size, replace=False, shuffle=False)]

    values = [_squared_discrepancy(some(real), some(fake)) for _ in range(subsets)]
    variance = np.var(values, ddof=1) * (size / (fewest - size) + 1 / subsets)
    return Estimate(float(np.mean(values)), float(np.sqrt(variance)))


def _squared_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate for equally many x and y: pairs of an example with itself do not count."""

    def kernel(a, b):
        product = a @ b.T / a.shape[1] + 1
        return product * product * product  # several times faster than **

    within = sum(each.sum() - np.trace(each) for each in (kernel(x, x), kernel(y, y)))
    return within / (len(x) * (len(x) - 1)) - 2 * kernel(x, y).mean()
