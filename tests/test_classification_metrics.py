"""Scores of classifiers against scikit-learn, SciPy and slow counts; calibrated sets on simulated examples; regions and plots."""

import itertools
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import sklearn.metrics

from jaxart import io, metrics
from jaxart.tasks import classify

KEY = jax.random.key(0)


@pytest.fixture
def classes(rng):
    """Labels and predictions of 5 classes, of which number 3 is nowhere and number 4 is only predicted."""
    labels = rng.choice(3, 200, p=[0.6, 0.3, 0.1])
    return labels, np.where(rng.random(200) < 0.6, labels, rng.choice([0, 1, 2, 4], 200))


@pytest.fixture
def several(rng):
    """Several labels at once, and scores in tenths, so that many are equal."""
    labels = (rng.random((150, 4)) < [0.5, 0.3, 0.1, 0.05]).astype(int)
    return labels, np.round(np.clip(0.3 * labels + rng.random((150, 4)) * 0.7, 0, 1), 1)


class TestDecisions:
    def test_report_equals_scikit_learn(self, classes):
        labels, predicted = classes
        everything = sklearn.metrics.precision_recall_fscore_support(
            labels, predicted, labels=range(5), zero_division=0
        )
        for mine, expected in zip(metrics.class_report(labels, jnp.asarray(predicted), 5), everything, strict=True):
            np.testing.assert_allclose(mine, expected, atol=1e-12)
        matrix = metrics.confusion_matrix(labels, predicted, 5)
        np.testing.assert_array_equal(matrix, sklearn.metrics.confusion_matrix(labels, predicted, labels=range(5)))
        assert matrix[0, 4] > 0 == matrix[4].sum()

    @pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
    def test_f1_equals_scikit_learn(self, classes, several, average):
        expected = sklearn.metrics.f1_score(*classes, average=average, zero_division=0)
        assert metrics.f1_score(*classes, average=average) == pytest.approx(expected, abs=1e-12)
        labels, predicted = several[0], several[1] > 0.4
        expected = sklearn.metrics.f1_score(labels, predicted, average=average, zero_division=0)
        assert metrics.f1_score(labels, predicted, average=average) == pytest.approx(expected, abs=1e-12)
        assert metrics.f1_score(0 * labels, 0 * labels, average=average) == 0

    def test_balanced_accuracy_and_top_k_equal_scikit_learn(self, classes, rng):
        labels, predicted = classes
        seen = np.where(predicted == 4, 0, predicted)  # scikit-learn warns of classes that are only predicted
        expected = sklearn.metrics.balanced_accuracy_score(labels, seen)
        assert metrics.balanced_accuracy(labels, seen) == pytest.approx(expected, abs=1e-12)
        logits = rng.standard_normal((200, 5))
        for k in (1, 2, 4):
            expected = sklearn.metrics.top_k_accuracy_score(labels, logits, k=k, labels=range(5))
            assert metrics.top_k_accuracy(logits, labels, k) == pytest.approx(expected, abs=1e-12)
        ties = np.zeros((5, 5))
        assert metrics.top_k_accuracy(ties, np.arange(5), 1) == metrics.accuracy(ties, np.arange(5)) == 0.2
        assert metrics.top_k_accuracy(ties, np.arange(5), 3) == 0.6

    def test_recall_by_size(self):
        counts = np.array([500, 3, 40, 7, 60, 2, 90])  # thirds of 2, 3 and 2 classes
        assert metrics.size_thirds(counts).tolist() == [2, 0, 1, 1, 1, 0, 2]
        labels = np.array([0, 0, 6, 1, 1, 1, 1, 3, 2])
        predicted = np.array([0, 1, 6, 1, 0, 0, 0, 3, 0])
        assert metrics.recall_by_size(labels, predicted, counts) == (0.25, 0.5, 0.75)  # 5 and 4 have no examples
        assert np.isnan(metrics.recall_by_size(np.array([0]), np.array([0]), counts).rare)
        assert metrics.size_thirds(np.array([4, 4])).tolist() == [0, 2]
        many = np.tile(labels % 3, 20), np.tile(predicted % 3, 20)
        found = metrics.jackknife(KEY, lambda both: metrics.recall_by_size(*both, counts[:3]), many)
        share = metrics.class_report(*many, 3).recall[1]
        assert (found.rare.value, found.frequent.value) == (share, 0.75)
        assert found.rare.standard_error == pytest.approx(np.sqrt(share * (1 - share) / np.sum(many[0] == 1)), rel=0.3)

    def test_wilson_equals_scipy(self):
        trials = np.array([1, 7, 100, 100, 0])
        share, low, high = metrics.wilson(np.array([1, 0, 97, 50, 0]), trials, confidence=0.9)
        for number, hits in enumerate([1, 0, 97, 50]):
            test = scipy.stats.binomtest(hits, int(trials[number])).proportion_ci(0.9, method="wilson")
            np.testing.assert_allclose((low[number], high[number]), test, atol=1e-9)
        assert np.isnan(share[4])
        assert (low[4], high[4]) == (0, 1)


class TestRanking:
    def test_curves_and_areas_equal_scikit_learn(self, several):
        labels, scores = several
        for truth, values in zip(labels.T, scores.T, strict=True):
            false, true, thresholds = sklearn.metrics.roc_curve(truth, values, drop_intermediate=False)
            curve = metrics.roc_curve(truth, values)
            np.testing.assert_allclose(curve.false_positive_rate, false, atol=1e-12)
            np.testing.assert_allclose(curve.true_positive_rate, true, atol=1e-12)
            np.testing.assert_allclose(curve.thresholds, thresholds)
            precision, recall, thresholds = sklearn.metrics.precision_recall_curve(truth, values)
            curve = metrics.precision_recall_curve(truth, values)
            np.testing.assert_allclose(curve.precision[::-1], precision, atol=1e-12)
            np.testing.assert_allclose(curve.recall[::-1], recall, atol=1e-12)
            np.testing.assert_allclose(curve.thresholds[:0:-1], thresholds)
            expected = sklearn.metrics.average_precision_score(truth, values)
            assert metrics.average_precision(truth, values) == pytest.approx(expected, abs=1e-12)
        expected = sklearn.metrics.average_precision_score(labels, scores, average=None)
        np.testing.assert_allclose(metrics.average_precision_by_class(labels, scores), expected, atol=1e-12)
        expected = sklearn.metrics.roc_auc_score(labels, scores, average=None)
        np.testing.assert_allclose(metrics.roc_auc_by_class(labels, scores), expected, atol=1e-12)
        assert metrics.roc_auc(labels, scores) == pytest.approx(expected.mean(), abs=1e-12)

    def test_area_is_the_count_of_mann_and_whitney(self, several):
        truth, values = several[0][:, 1].astype(bool), several[1][:, 1]
        wins = [float(a > b) + 0.5 * float(a == b) for a in values[truth] for b in values[~truth]]
        assert metrics.roc_auc(truth, values) == pytest.approx(np.mean(wins), abs=1e-12)
        assert metrics.roc_auc(truth, -values) == pytest.approx(1 - np.mean(wins), abs=1e-12)

    def test_classes_count_against_the_rest_and_absent_ones_not(self, rng):
        labels, scores = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90)
        expected = sklearn.metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert metrics.roc_auc(labels, scores) == pytest.approx(expected, abs=1e-12)
        more = np.pad(scores, [(0, 0), (0, 1)])
        assert metrics.roc_auc(labels, more) == pytest.approx(expected, abs=1e-12)
        assert np.isnan(metrics.roc_auc_by_class(labels, more)).tolist() == [False, False, False, True]
        assert metrics.average_precision(labels, more) == pytest.approx(metrics.average_precision(labels, scores))

    def test_thresholds_give_the_best_f1_and_shrink_where_positives_are_few(self, rng):
        labels = (rng.random((400, 3)) < [0.5, 0.2, 0.02]).astype(int)
        values = 0.4 * rng.random((400, 3)) + 0.2 * labels
        found = metrics.best_thresholds(labels, values)
        for k in (0, 1):
            tried = np.quantile(values[:, k], np.linspace(0, 1, 100))
            given = values[:, k][:, None] >= tried  # [N, 100]
            scores = 2 * (labels[:, k] @ given) / (given.sum(axis=0) + labels[:, k].sum())
            mine = sklearn.metrics.f1_score(labels[:, k], values[:, k] >= found[k])
            assert mine == pytest.approx(max(scores), abs=1e-12)
            assert mine > sklearn.metrics.f1_score(labels[:, k], values[:, k] >= 0.5) + 0.01
        few = int(labels[:, 2].sum())
        assert 0 < few < 20
        alone = metrics.best_thresholds(labels[:, 2:], values[:, 2:], enough=1)[0]
        assert found[2] == pytest.approx(few / 20 * alone + (1 - few / 20) * 0.5)
        assert metrics.best_thresholds(0 * labels, values).tolist() == [0.5] * 3


def slow_error(confidence, right, edges):
    total = 0
    for low, high in itertools.pairwise(edges):
        inside = [i for i, c in enumerate(confidence) if low < c <= high or c == low == edges[0]]
        if inside:
            total += abs(sum(right[i] for i in inside) - sum(confidence[i] for i in inside))
    return total / len(confidence)


class TestCalibration:
    @pytest.mark.parametrize("equal", ["width", "mass"])
    def test_error_equals_a_slow_count(self, rng, equal):
        probabilities, labels = rng.dirichlet([1, 1, 1], 300), rng.integers(0, 3, 300)
        confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
        edges = np.linspace(0, 1, 8) if equal == "width" else np.quantile(confidence, np.linspace(0, 1, 8))
        expected = slow_error(confidence, right, edges)
        assert metrics.calibration_error(probabilities, labels, bins=7, equal=equal) == pytest.approx(expected)
        found = metrics.reliability(probabilities.astype(np.float32), labels, bins=7, equal=equal)
        assert found.count.sum() == 300
        if equal == "mass":
            assert found.count.max() - found.count.min() <= 2
        else:
            assert np.isnan(found.accuracy[:2]).all()  # the largest of three is a third at least
        one, truth = rng.random(200), rng.integers(0, 2, 200)
        expected = slow_error(one, truth, np.linspace(0, 1, 16))
        assert metrics.calibration_error(one, truth) == pytest.approx(expected)

    def test_proper_scores_equal_scikit_learn(self, rng):
        logits, labels = 3 * rng.standard_normal((80, 4)), rng.integers(0, 4, 80)
        probabilities = metrics.class_probabilities(logits)
        expected = sklearn.metrics.log_loss(labels, probabilities)
        assert metrics.negative_log_likelihood(logits, labels) == pytest.approx(expected, abs=1e-9)
        assert metrics.negative_log_likelihood(np.log(probabilities), labels) == pytest.approx(expected, abs=1e-9)
        one, truth = rng.random(80), rng.integers(0, 2, 80)
        assert metrics.brier_score(one, truth) == pytest.approx(sklearn.metrics.brier_score_loss(truth, one))
        both = np.stack([1 - one, one], axis=1)
        assert metrics.brier_score(both, truth) == pytest.approx(2 * metrics.brier_score(one, truth))
        assert metrics.negative_log_likelihood(np.array([[1e4, 0.0]]), np.array([1])) == 1e4

    def test_temperature_is_the_minimum(self, rng):
        truth = 2 * rng.standard_normal((3000, 5))
        labels = np.array([rng.choice(5, p=p) for p in metrics.class_probabilities(truth)])
        for scale in (0.2, 1.0, 7.0):
            found = metrics.fit_temperature(scale * truth, labels)

            def objective(t, scale=scale):
                return metrics.negative_log_likelihood(scale * truth / np.exp(t), labels)

            best = scipy.optimize.minimize_scalar(objective, bounds=(-4, 4), method="bounded", options={"xatol": 1e-8})
            assert found == pytest.approx(np.exp(best.x), rel=1e-5)
            assert found == pytest.approx(scale, rel=0.1)
        assert metrics.fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(0.01)
        assert metrics.fit_temperature(np.eye(3), (np.arange(3) + 1) % 3) == pytest.approx(100)
        assert metrics.fit_temperature(np.zeros((3, 2)), np.array([0, 1, 1])) > 0

    def test_temperature_lowers_the_error(self, rng):
        truth = rng.standard_normal((2000, 4))
        labels = np.array([rng.choice(4, p=p) for p in metrics.class_probabilities(truth)])
        before, after = (
            metrics.calibration_error(metrics.class_probabilities(5 * truth, temperature=t), labels)
            for t in (1.0, metrics.fit_temperature(5 * truth, labels))
        )
        assert after < 0.03 < 0.2 < before


def simulated(rng, count, classes=6):
    """Return what a bad classifier that favors class 0 believes, and labels: exchangeable, and far from calibrated."""
    labels = rng.integers(0, classes, count) * rng.integers(0, 2, count)  # half are 0
    logits = 1.5 * np.eye(classes)[labels] + 2 * rng.standard_normal((count, classes)) + 2 * np.eye(classes)[:1]
    return metrics.class_probabilities(logits), labels


class TestSets:
    def test_scores_equal_the_formula(self, rng):
        probabilities = rng.dirichlet(np.ones(8), 20)
        labels = rng.integers(0, 8, 20)
        found = metrics.set_scores(probabilities, labels, penalty=0.03, free=2)
        drawn = metrics.set_scores(probabilities, labels, key=KEY, penalty=0.0)
        u = (drawn - (metrics.set_scores(probabilities, labels, penalty=0.0))) / probabilities[range(20), labels] + 1
        assert (u >= 0).all()
        assert (u < 1).all()
        assert 0.3 < u.mean() < 0.7
        for p, label, score in zip(probabilities, labels, found, strict=True):
            rank = 1 + np.sum(p > p[label])
            assert score == pytest.approx(p[p >= p[label]].sum() + 0.03 * max(0, rank - 2))

    @pytest.mark.parametrize("count", [8, 9, 19, 100])
    def test_threshold_is_the_right_one_in_order(self, rng, count):
        scores = rng.random(count)
        rank = -(-(count + 1) * 9 // 10)  # in whole numbers
        expected = np.sort(scores)[rank - 1] if rank <= count else np.inf
        assert metrics.conformal_threshold(scores, 0.9) == expected
        assert metrics.conformal_threshold(np.arange(1, 10), 0.7) == 7  # 10 x 0.7 is more than 7 in floating point

    @pytest.mark.parametrize("penalty", [0.0, 0.01])
    def test_coverage_is_as_promised(self, rng, penalty):
        shares, inside = [], 0
        for trial in range(100):
            keys = jax.random.split(jax.random.key(trial))
            known, truth = simulated(rng, 99)
            probabilities, labels = simulated(rng, 300)
            threshold = metrics.conformal_threshold(
                metrics.set_scores(known, truth, key=keys[0], penalty=penalty, free=2), 0.8
            )
            make = partial(metrics.prediction_sets, probabilities, threshold, penalty=penalty, free=2)
            found = metrics.coverage(make(key=keys[1], allow_empty=True), labels, 0.8, calibration=99)
            shares.append(found.share)
            inside += found.low <= found.share <= found.high
        error = np.std(shares) / 10
        assert 0.8 - 3 * error < np.mean(shares) < 0.8 + 1 / 100 + 3 * error
        assert scipy.stats.binom.cdf(inside, 100, 0.95) > 0.001
        assert inside > scipy.stats.binom.ppf(0.001, 100, 0.95)
        # without an empty set, and without a key, they cover more
        scores = metrics.set_scores(known, truth, penalty=penalty, free=2)
        make = partial(metrics.prediction_sets, probabilities, metrics.conformal_threshold(scores, 0.8))
        surer = metrics.coverage(make(penalty=penalty, free=2), labels, 0.8, calibration=99)
        assert surer.share >= surer.low
        assert surer.size >= 1

    def test_band_equals_scipy(self):
        sets, labels = np.ones((200, 2), bool), np.zeros(200, int)
        assert metrics.coverage(sets, labels, 0.9)[2:] == tuple(scipy.stats.binom.ppf([0.025, 0.975], 200, 0.9) / 200)
        expected = scipy.stats.betabinom.ppf([0.025, 0.975], 200, 46, 5) / 200  # ceil(51 x 0.9) = 46
        assert metrics.coverage(sets, labels, 0.9, calibration=50)[2:] == tuple(expected)
        assert metrics.coverage(sets, labels, 0.9, calibration=5)[2:] == (1, 1)

    def test_classes_have_thresholds_of_their_own_where_they_can(self, rng):
        scores, labels = rng.random(200), np.repeat([0, 1, 2], [150, 30, 20])
        scores[labels == 1] += 1
        found = metrics.class_thresholds(scores, labels, 4, 0.9, least=25)
        assert found[0] == metrics.conformal_threshold(scores[:150], 0.9) < 1
        assert found[1] == metrics.conformal_threshold(scores[150:180], 0.9) > 1
        assert found[2] == found[3] == metrics.conformal_threshold(scores, 0.9)
        strict = metrics.class_thresholds(scores, labels, 4, 0.99, least=1)  # 99 examples at least, or it is infinite
        assert (strict[1:] == metrics.conformal_threshold(scores, 0.99)).all()
        assert np.isfinite(strict).all()

    def test_coverage_by_class(self, rng):
        known, truth = simulated(rng, 3000)
        probabilities, labels = simulated(rng, 3000)
        scores = metrics.set_scores(known, truth, key=KEY)
        one = metrics.prediction_sets(probabilities, metrics.conformal_threshold(scores, 0.9), key=jax.random.key(1))
        own = metrics.prediction_sets(
            probabilities, metrics.class_thresholds(scores, truth, 6, 0.9), key=jax.random.key(1), allow_empty=True
        )
        worst = min(metrics.coverage(one[labels == c], labels[labels == c], 0.9).share for c in range(6))
        for c in range(6):
            rows = labels == c
            found = metrics.coverage(own[rows], labels[rows], 0.9, calibration=int(np.sum(truth == c)))
            assert found.low - 0.02 <= found.share <= found.high + 0.02
        assert worst < 0.88

    def test_sets_are_empty_only_if_asked(self):
        probabilities = np.array([[0.9, 0.06, 0.04], [0.4, 0.35, 0.25]])
        sets = partial(metrics.prediction_sets, probabilities)
        assert sets(0.5, allow_empty=True).tolist() == [[False] * 3, [True, False, False]]
        assert sets(0.5).tolist() == [[True, False, False]] * 2
        assert sets(np.inf).all()
        assert sets(np.array([0.5, 0.99, 0.1])).tolist() == [[False, True, False], [True, True, False]]

    def test_false_alarms_of_novelty_are_as_many_as_said(self, rng):
        known, new = rng.standard_normal((2, 4000))
        values = metrics.novelty_p_value(new, known)
        for level in (0.01, 0.1, 0.5):
            assert abs(np.mean(values <= level) - level) < 4 * np.sqrt(2 * level * (1 - level) / 4000)
        assert metrics.novelty_p_value(np.array([9.0]), known).tolist() == [1 / 4001]
        logits = np.array([[1000.0, 0.0], [0.0, 0.0]])
        np.testing.assert_allclose(metrics.energy(logits, temperature=2.0), [-1000, -2 * np.log(2)])


@jax.jit
def regions(labels, predicted):
    counts = metrics.region_counts(labels, predicted, 5)
    return counts, [of(counts) for of in (metrics.iou_by_class, metrics.mean_iou, metrics.dice, metrics.pixel_accuracy)]


@pytest.mark.usefixtures("strict")
class TestRegions:
    def test_equal_scikit_learn_and_leave_out_what_nobody_labeled(self, rng):
        labels, predicted = (rng.integers(0, 3, (2, 9, 11)).astype(np.uint8) for _ in range(2))
        labels[:, :3], labels[:, :, 0] = 255, 7
        _, scores = regions(labels, predicted)
        for picture, (by_class, *found) in enumerate(zip(*scores, strict=True)):
            known = labels[picture] < 5
            of = labels[picture][known], predicted[picture][known]
            expected = [
                sklearn.metrics.jaccard_score(*of, average="macro"),
                sklearn.metrics.f1_score(*of, average="macro"),
                sklearn.metrics.accuracy_score(*of),
            ]
            np.testing.assert_allclose(found, expected, atol=1e-6)
            np.testing.assert_allclose(by_class[:3], sklearn.metrics.jaccard_score(*of, average=None), atol=1e-6)
            assert np.isnan(by_class[3:]).all()
        nobody = regions(np.full_like(labels, 255), predicted)[1]
        assert all(np.isnan(each).all() for each in nobody)

    def test_hand_masks_of_which_each_is_counted(self):
        labels, predicted = np.full((2, 9, 11), 255, np.uint8), np.zeros((2, 9, 11), np.uint8)
        labels[0, :2, :3] = [[0, 0, 1], [0, 1, 1]]
        predicted[0, :2, :3] = [[0, 1, 1], [0, 0, 1]]  # 2 of 4 in either class
        labels[1, :2, :3] = [[0, 0, 1], [1, 1, 255]]
        predicted[1, :2, :3] = [[0, 1, 1], [1, 2, 2]]  # a class 2 that is not there
        counts, (_, mean, dice, accuracy) = regions(labels, predicted)
        assert counts.intersection.tolist() == [[2, 2, 0, 0, 0], [1, 2, 0, 0, 0]]
        assert counts.union.tolist() == [[4, 4, 0, 0, 0], [2, 4, 1, 0, 0]]
        np.testing.assert_allclose(mean, [1 / 2, (1 / 2 + 2 / 4 + 0) / 3], rtol=1e-6)
        np.testing.assert_allclose(dice, [2 / 3, (2 / 3 + 4 / 6 + 0) / 3], rtol=1e-6)
        np.testing.assert_allclose(accuracy, [4 / 6, 3 / 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.confusion_matrix(np.array([0, 3]), np.array([0, 1]), 3), "numbers from 0 to 2, got 0 to 3"),
        (lambda: metrics.confusion_matrix(np.array([0, 1]), np.array([0]), 3), "one prediction per label, got 1 for 2"),
        (lambda: metrics.f1_score(np.array([0, 1]), np.array([0])), r"shape \(2,\) and predictions \(1,\)"),
        (lambda: metrics.f1_score(np.array([0.5, 1]), np.array([0, 1])), "expected integers"),
        (lambda: metrics.f1_score(np.array([[0, 2]]), np.array([[0, 1]])), "labels: expected 0 and 1"),
        (lambda: metrics.f1_score(np.array([0]), np.array([0]), average="samples"), "known: .*macro, micro, weighted"),
        (lambda: metrics.class_report(np.eye(3), np.eye(3), 4), "expected 4 columns"),
        (lambda: metrics.balanced_accuracy(np.eye(3), np.eye(3)), r"expected integers \[N\]"),
        (lambda: metrics.top_k_accuracy(np.eye(3), np.arange(3), 4), "k from 1 to 3"),
        (lambda: metrics.size_thirds(np.array([4])), "at least two classes"),
        (lambda: metrics.wilson(4, 3), "successes from 0 to trials"),
        (lambda: metrics.roc_curve(np.ones(3), np.ones(3)), "labels of both kinds, got 3 times 1"),
        (lambda: metrics.roc_auc(np.zeros(3), np.ones(3)), "expected labels of both kinds, at least for one class"),
        (lambda: metrics.roc_auc(np.array([0, 1]), np.array([0.1, np.nan])), "not finite"),
        (lambda: metrics.roc_auc(np.eye(3), np.ones((3, 2))), "of one shape"),
        (lambda: metrics.precision_recall_curve(np.zeros(3), np.ones(3)), "at least one label 1"),
        (lambda: metrics.best_thresholds(np.eye(3), 2 * np.eye(3)), r"in \[0, 1\]"),
        (lambda: metrics.calibration_error(np.eye(2) * 3, np.arange(2)), "sums from 3 to 3. class_probabilities makes"),
        (lambda: metrics.calibration_error(np.eye(2), np.arange(2), equal="size"), "unknown value 'size'"),
        (lambda: metrics.reliability(np.eye(2), np.arange(2), bins=0), "at least 1"),
        (lambda: metrics.brier_score(np.array([0.5, 1.5]), np.arange(2)), "from 0.5 to 1.5"),
        (lambda: metrics.fit_temperature(np.eye(3), np.arange(2)), "got 2 for 3"),
        (lambda: metrics.class_probabilities(np.eye(3), temperature=0), "above 0"),
        (lambda: metrics.conformal_threshold(np.ones(3), 1.0), r"share in \(0, 1\)"),
        (lambda: metrics.set_scores(np.eye(3), np.arange(3), penalty=-1), "of 0 or more"),
        (lambda: metrics.prediction_sets(np.eye(3), np.ones(2)), "one or 3 numbers"),
        (lambda: metrics.coverage(np.eye(3), np.arange(3), 0.9), "expected sets, bool"),
        (lambda: metrics.novelty_p_value(np.eye(3), np.ones(3)), r"scores: expected numbers \[N\]"),
        (lambda: metrics.region_counts(jnp.zeros((2, 3), int), jnp.zeros((3, 2), int), 2), "expected one shape"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class TestPlots:
    def test_all_are_written_and_equal_ones_are_equal_files(self, rng, tmp_path):
        probabilities, labels = simulated(rng, 200, 4)
        curves = {f"class {c}": (labels == c, probabilities[:, c]) for c in range(3)}
        rocs = {name: metrics.roc_curve(*each) for name, each in curves.items()}
        recalls = {name: metrics.precision_recall_curve(*each) for name, each in curves.items()}
        matrix = metrics.confusion_matrix(labels, probabilities.argmax(1), 4)
        drawn = [
            classify.plot_confusion(
                tmp_path / "confusion.png", matrix, names=["still life", "portrait", "sea", "animal"]
            ),
            classify.plot_confusion(tmp_path / "many.png", np.eye(61, dtype=int)),
            classify.plot_roc(tmp_path / "roc.png", rocs),
            classify.plot_precision_recall(tmp_path / "recall.png", recalls),
            classify.plot_reliability(tmp_path / "bins.png", metrics.reliability(probabilities, labels)),
        ]
        pictures = [io.read(path) for path in drawn]
        assert all(min(each.shape[:2]) > 200 and each.std() > 0.02 for each in pictures)
        assert len(list(tmp_path.iterdir())) == 5
        again = classify.plot_roc(tmp_path / "again.png", rocs)
        assert again.read_bytes() == drawn[2].read_bytes()

    def test_bad_input_is_told(self, tmp_path, monkeypatch):
        with pytest.raises(io.ImageError, match=r"cannot write \.pdf"):
            classify.plot_roc(tmp_path / "roc.pdf", {})
        with pytest.raises(ValueError, match="K names or none"):
            classify.plot_confusion(tmp_path / "a.png", np.eye(3), names=["a", "b"])
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ValueError, match=r"pip install 'jaxart\[plots\]'"):
            classify.plot_roc(tmp_path / "roc.png", {})
        assert not list(tmp_path.iterdir())
