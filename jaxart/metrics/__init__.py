"""Scores of generated examples, on arrays of features or labels; computed on the host in float64 and kept as cards."""

from jaxart.metrics.card import (
    Comparison,
    ScoreCard,
    compare,
    content_hash,
    read_cards,
    score_card,
    score_name,
    write_cards,
)
from jaxart.metrics.copies import Nearest, nearest_pictures
from jaxart.metrics.distribution import FeatureMoments, feature_moments, frechet_distance, kernel_distance
from jaxart.metrics.estimate import Estimate, FewExamplesWarning, jackknife
from jaxart.metrics.label import (
    ClassCoverage,
    ModeCoverage,
    accuracy,
    class_coverage,
    mode_coverage,
)
from jaxart.metrics.neighbors import Originality, PrecisionRecall, originality, precision_recall
from jaxart.metrics.spectrum import CHECKERBOARDS, SpectrumRatio, checkerboard_power, power_spectrum, spectrum_ratio

__all__ = [
    "CHECKERBOARDS",
    "ClassCoverage",
    "Comparison",
    "Estimate",
    "FeatureMoments",
    "FewExamplesWarning",
    "ModeCoverage",
    "Nearest",
    "Originality",
    "PrecisionRecall",
    "ScoreCard",
    "SpectrumRatio",
    "accuracy",
    "checkerboard_power",
    "class_coverage",
    "compare",
    "content_hash",
    "feature_moments",
    "frechet_distance",
    "jackknife",
    "kernel_distance",
    "mode_coverage",
    "nearest_pictures",
    "originality",
    "power_spectrum",
    "precision_recall",
    "read_cards",
    "score_card",
    "score_name",
    "spectrum_ratio",
    "write_cards",
]
