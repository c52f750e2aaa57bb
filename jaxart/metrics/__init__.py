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

__all__ = [
    "ClassCoverage",
    "Comparison",
    "Estimate",
    "FeatureMoments",
    "FewExamplesWarning",
    "ModeCoverage",
    "Originality",
    "PrecisionRecall",
    "ScoreCard",
    "accuracy",
    "class_coverage",
    "compare",
    "content_hash",
    "feature_moments",
    "frechet_distance",
    "jackknife",
    "kernel_distance",
    "mode_coverage",
    "originality",
    "precision_recall",
    "read_cards",
    "score_card",
    "score_name",
    "write_cards",
]
