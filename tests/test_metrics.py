"""Every score against a closed form or double loops in NumPy, its errors against the truth, and what bad input is told."""

import itertools
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from jaxart import metrics
from jaxart.metrics import neighbors

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


class TestFrechetDistance:
    def test_closed_form_of_diagonal_gaussians(self):
        rng = np.random.default_rng(0)
        mean, other, spread, width = rng.standard_normal((2, 6)).tolist() + rng.uniform(0.1, 3, (2, 6)).tolist()
        one, two = (
            metrics.FeatureMoments(np.array(m), np.diag(np.square(s)), 1000)
            for m, s in ((mean, spread), (other, width))
        )
        expected = np.sum((np.array(mean) - other) ** 2) + np.sum((np.array(spread) - width) ** 2)
        np.testing.assert_allclose(metrics.frechet_distance(one, two), expected, rtol=1e-12)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16])
    def test_equals_sqrtm_on_features_and_on_stored_moments(self, dtype):
        mixing = normal(1, 12, 12)
        real, fake = (normal(2, 200, 12) @ mixing).astype(dtype), (normal(3, 150, 12) + 0.3).astype(dtype)
        x, y = (each.astype(np.float64) for each in (real, fake))
        s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        root = scipy.linalg.sqrtm(s @ t).real
        expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(s + t - 2 * root)
        np.testing.assert_allclose(metrics.frechet_distance(real, fake), expected, rtol=1e-9)
        stored = metrics.feature_moments(real)
        assert metrics.frechet_distance(stored, fake) == metrics.frechet_distance(real, fake)
        assert metrics.frechet_distance(jnp.asarray(x, jnp.float32), fake) == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(metrics.frechet_distance(fake, real), expected, rtol=1e-9)

    def test_is_zero_on_equal_sets_and_real_where_covariances_are_singular(self):
        x = normal(4, 300, 5) @ normal(5, 5, 40)  # rank 5 of 40, where sqrtm of the product has imaginary parts
        scale = np.trace(np.cov(x, rowvar=False))
        assert metrics.frechet_distance(x, x) < 1e-6 * scale
        np.testing.assert_allclose(
            metrics.frechet_distance(x, 3 * x), 4 * scale + 4 * np.sum(x.mean(0) ** 2), rtol=1e-6
        )
        assert metrics.frechet_distance(np.full((20, 3), 0.7), np.full((20, 3), 0.2)) == pytest.approx(0.75)

    def test_few_examples_warn_and_one_is_refused(self):
        with pytest.warns(metrics.FewExamplesWarning, match="below 32 examples it is mostly bias. Use kernel_distance"):
            metrics.frechet_distance(normal(6, 100, 16), normal(7, 31, 16))
        metrics.frechet_distance(normal(6, 100, 16), normal(7, 32, 16))
        with pytest.raises(ValueError, match="fake: expected at least 2 examples, got 1"):
            metrics.frechet_distance(normal(6, 100, 16), normal(7, 1, 16))

    def test_refuses_moments_that_do_not_fit(self):
        good = metrics.feature_moments(normal(8, 30, 4))
        with pytest.raises(ValueError, match=r"real: expected a covariance of shape \(4, 4\), got \(3, 4\)"):
            metrics.frechet_distance(good._replace(covariance=good.covariance[:3]), good)
        with pytest.raises(ValueError, match=r"length 4 .real. and 5 .fake."):
            metrics.frechet_distance(good, normal(9, 30, 5))


def slow_discrepancy(x, y):
    def k(a, b):
        return (np.dot(a, b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    within = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within += sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


class TestKernelDistance:
    def test_subsets_equal_double_loops(self):
        x, y = normal(10, 5, 3), normal(11, 5, 3) + 1
        pairs = [(i, j) for i in range(5) for j in range(i)]
        all_subsets = [slow_discrepancy(x[list(a)], y[list(b)]) for a in pairs for b in pairs]
        got = metrics.kernel_distance(KEY, x, y, subsets=4000)
        spread = np.std(all_subsets)
        assert abs(got.value - np.mean(all_subsets)) < 4 * spread / np.sqrt(4000)
        np.testing.assert_allclose(got.standard_error, spread * np.sqrt(2 / 3 + 1 / 4000), rtol=0.05)
        np.testing.assert_allclose(np.mean(all_subsets), slow_discrepancy(x, y), rtol=1e-9)  # unbiased at any size

    def test_is_unbiased_and_its_error_is_the_error(self):
        same = [
            metrics.kernel_distance(jax.random.key(i), normal(2 * i, 60, 4), normal(2 * i + 1, 60, 4), subsets=5).value
            for i in range(1000)
        ]
        assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
        assert min(same) < 0
        far = [
            metrics.kernel_distance(jax.random.key(i), normal(2 * i, 60, 4), normal(2 * i + 1, 80, 4) + 1, subsets=30)
            for i in range(200)
        ]
        errors = np.array([each.standard_error for each in far])
        assert 0.8 < np.sqrt(np.mean(errors**2)) / np.std([each.value for each in far]) < 1.3

    def test_the_key_decides_and_subsets_are_at_most_halves(self):
        x, y = normal(12, 40, 3).astype(np.float32), normal(13, 30, 3).astype(np.float32)
        assert metrics.kernel_distance(KEY, x, y) == metrics.kernel_distance(KEY, jnp.asarray(x), y, subset_size=15)
        assert metrics.kernel_distance(KEY, x, y) != metrics.kernel_distance(jax.random.key(1), x, y)
        assert metrics.kernel_distance(KEY, np.ones((9, 2)), np.ones((9, 2))) == (0, 0)
        with pytest.raises(ValueError, match="fake: expected at least 4 examples, got 3"):
            metrics.kernel_distance(KEY, x, y[:3])
        with pytest.raises(ValueError, match="at least 2 subsets"):
            metrics.kernel_distance(KEY, x, y, subsets=1)


def slow_precision_recall(x, y, k):
    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - other) for j, other in enumerate(points) if j != i)[k - 1]

    rx, ry = [radius(x, i) for i in range(len(x))], [radius(y, j) for j in range(len(y))]
    inside = np.array([[np.linalg.norm(a - b) <= r for a, r in zip(x, rx, strict=True)] for b in y])
    recall = np.mean([any(np.linalg.norm(a - b) <= r for b, r in zip(y, ry, strict=True)) for a in x])
    return inside.any(1).mean(), recall, inside.sum() / (k * len(y)), inside.any(0).mean()


class TestPrecisionRecall:
    @pytest.mark.parametrize("k", [1, 5])
    def test_equals_double_loops_whatever_the_chunk(self, k):
        x, y = normal(14, 50, 3), 0.8 * normal(15, 41, 3) + 0.7
        got = metrics.precision_recall(x, y, neighbors=k)
        np.testing.assert_allclose(got, slow_precision_recall(x, y, k), rtol=1e-12)
        for chunk in (1, 7, 41):
            assert metrics.precision_recall(jnp.asarray(x), y, neighbors=k, chunk=chunk) == metrics.precision_recall(
                jnp.asarray(x), y, neighbors=k
            )

    def test_known_situations(self):
        x = normal(16, 300, 4)
        same = metrics.precision_recall(x, x.copy())
        assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
        assert same.density == pytest.approx(
            6 / 5
        )  # each is in its own ball and, closed, in that of 5 others in the mean
        assert metrics.precision_recall(x, x + 100) == (0, 0, 0, 0)
        narrow = metrics.precision_recall(x, 0.1 * normal(17, 300, 4))
        assert narrow.precision > 0.99
        assert narrow.recall < 0.2
        wide = metrics.precision_recall(0.1 * x, normal(17, 300, 4))
        assert wide.precision < 0.2
        assert wide.recall > 0.99

    def test_density_and_coverage_of_one_distribution(self):
        scores = [metrics.precision_recall(normal(i, 100, 3), normal(i + 999, 100, 3), neighbors=3) for i in range(60)]
        assert abs(np.mean([each.density for each in scores]) - 1) < 0.03
        assert abs(np.mean([each.coverage for each in scores]) - 7 / 8) < 0.01

    def test_constant_features_and_repeated_examples_are_equal_in_spite_of_rounding(self):
        flat = np.full((9, 7), 0.1, np.float32)
        assert metrics.precision_recall(flat, flat[:8]) == pytest.approx((1, 1, 9 / 5, 1))
        repeated = np.repeat(100 + normal(18, 10, 7), 6, axis=0)
        assert metrics.precision_recall(repeated, repeated[::-1]) == pytest.approx((1, 1, 6 / 5, 1))

    def test_refuses(self):
        with pytest.raises(ValueError, match="real: expected at least 6 examples, got 5"):
            metrics.precision_recall(normal(0, 5, 2), normal(1, 9, 2))
        with pytest.raises(ValueError, match="at least one row"):
            metrics.precision_recall(normal(0, 9, 2), normal(1, 9, 2), chunk=0)
        with pytest.raises(ValueError, match="at least one neighbor"):
            metrics.precision_recall(normal(0, 9, 2), normal(1, 9, 2), neighbors=0)


def mixture(rng, count, spread=1.0):
    """Four clumps in eight dimensions."""
    centers = 2 * normal(0, 4, 8)
    return centers[rng.integers(4, size=count)] + spread * rng.standard_normal((count, 8))


def p_values(fakes, trials=120):
    """Return p-values of fakes made from (generator, training examples)."""
    values = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        train, held_out = mixture(rng, 90), mixture(rng, 60)
        values.append(
            metrics.originality(jax.random.key(trial), fakes(rng, train), train, held_out, permutations=39).p_value
        )
    return np.array(values)


class TestOriginality:
    @pytest.mark.parametrize("spread", [1.0, 0.5])
    def test_p_values_are_uniform_for_any_generator_that_did_not_see_the_examples(self, spread):
        values = p_values(lambda rng, train: mixture(rng, 70, spread))
        jitter = np.random.default_rng(0).uniform(0, 1 / 40, len(values))  # of steps of 1/40
        assert scipy.stats.kstest(values - jitter, "uniform").pvalue > 0.01

    def test_p_values_are_small_for_copies_even_a_tenth(self):
        def some(rng, train):
            fakes = mixture(rng, 70)
            fakes[:7] = train[:7]
            return fakes

        assert np.all(p_values(lambda rng, train: train[:70] + 0.3 * rng.standard_normal((70, 8)), 20) == 1 / 40)
        assert np.mean(p_values(some, 60) <= 0.05) > 0.6

    def test_ratio_and_close_equal_loops_whatever_the_chunk(self):
        rng = np.random.default_rng(3)
        fake, train, held_out = mixture(rng, 30), mixture(rng, 110), mixture(rng, 120)
        fake[:4] = train[:4] + 1e-3

        def nearest(a, others):
            return min(np.linalg.norm(a - b) for b in others)

        to_train = np.array([nearest(each, train) for each in fake])
        threshold = np.quantile([nearest(each, train) for each in held_out], 0.01)
        got = metrics.originality(KEY, fake, train, held_out)
        np.testing.assert_allclose(got.ratio, to_train / [nearest(each, held_out) for each in fake], rtol=1e-6)
        assert got.close == np.mean(to_train <= threshold) >= 4 / 30
        other = metrics.originality(KEY, fake, train, held_out, chunk=7)
        assert got[1:] == other[1:]

    def test_leaning_equals_a_loop_and_far_neighbors_bound_what_was_not_ranked(self):
        rng = np.random.default_rng(4)
        fake, examples = mixture(rng, 20), mixture(rng, 200)
        trained = rng.random(200) < 0.5
        distances, order = neighbors._ranked(fake, examples, 6)
        leanings = []
        for each in fake:
            t, h = (min(np.linalg.norm(each - b) for b in examples[kind]) for kind in (trained, ~trained))
            leanings.append((t - h) / (t + h))
        np.testing.assert_allclose(neighbors._leaning(distances, trained[order]), np.mean(leanings), rtol=1e-6)
        alone = neighbors._leaning(distances, np.ones_like(order, bool))
        expected = np.mean((distances[:, 0] - distances[:, -1]) / (distances[:, 0] + distances[:, -1]))
        np.testing.assert_allclose(alone, expected)

    def test_exact_copies_and_repeats(self):
        train, held_out = normal(19, 100, 6), normal(20, 100, 6)
        copied = metrics.originality(KEY, train, train, held_out)
        assert copied.close == 1
        assert copied.p_value == 1 / 1000
        assert np.all(copied.ratio == 0)
        both = metrics.originality(KEY, train, train, train)
        assert np.all(both.ratio == 1)
        assert both.p_value > 0.2  # no telling which of two equal examples was copied
        assert np.all(np.isinf(metrics.originality(KEY, held_out, train, held_out).ratio))

    def test_refuses(self):
        with pytest.raises(ValueError, match="at least 19 permutations"):
            metrics.originality(KEY, normal(0, 5, 2), normal(1, 5, 2), normal(2, 5, 2), permutations=9)
        with pytest.raises(ValueError, match=r"same length D, got fake \(5, 2\), train \(5, 3\), held_out \(5, 2\)"):
            metrics.originality(KEY, normal(0, 5, 2), normal(1, 5, 3), normal(2, 5, 2))


class TestNearestPictures:
    @pytest.fixture
    def known(self, rng):
        smooth = rng.random((60, 5, 5, 3)).repeat(6, axis=1).repeat(6, axis=2)
        return np.rint(255 * smooth).astype(np.uint8)

    def test_it_is_that_of_all_pairs(self, known, rng):
        made = rng.random((3, 30, 30, 3))
        found = metrics.nearest_pictures(made, known, chunk=7)

        def thumbnail(picture):
            fine = picture.mean(-1).repeat(16, axis=0).repeat(16, axis=1)  # 16 x 16 parts of 30 x 30 fine pixels
            return fine.reshape(16, 30, 16, 30).mean((1, 3))

        for row, picture in enumerate(made):
            views = [np.rot90(each, turns) for each in (picture, picture[::-1]) for turns in range(4)]
            distances = [
                min(np.linalg.norm(thumbnail(view) - thumbnail(each / 255)) for view in views) for each in known
            ]
            assert found.index[row] == np.argmin(distances)
            near = np.sort(distances)[:51]
            assert found.ratio[row] == pytest.approx(near[0] / near[1:].mean(), rel=1e-3)

    def test_copies_are_found_and_others_are_not(self, known, rng):
        picture = known[4]
        noisy = np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
        made = np.stack([picture, picture[:, ::-1], np.rot90(picture), picture[..., ::-1], noisy])
        found = metrics.nearest_pictures(made, known)
        np.testing.assert_array_equal(found.index, 4)
        assert found.verdicts() == ["copy"] * 5
        assert metrics.nearest_pictures(known[:9], known[9:]).verdicts() == ["original"] * 9
        mixed = np.rint(0.7 * picture + 0.3 * known[7]).astype(np.uint8)[None]
        assert metrics.nearest_pictures(mixed, known).verdicts() == ["near"]

    def test_a_blank_set_is_a_copy_and_others_are_refused(self, known):
        blank = np.zeros((3, 16, 16, 1))
        assert metrics.nearest_pictures(blank[:1], blank).verdicts() == ["copy"]
        for made, others in ((known[:1, :20], known), (known[:1], known[:1]), (known[:0], known), (known[0], known[0])):
            with pytest.raises(ValueError, match="expected made and at least 2 known pictures"):
                metrics.nearest_pictures(made, others)


class TestJackknife:
    def test_equals_the_known_error_of_a_mean_and_keeps_pairs_together(self):
        x = normal(21, 401)
        got = metrics.jackknife(KEY, np.mean, x, resamples=2000)
        assert got.value == np.mean(x)
        np.testing.assert_allclose(got.standard_error, np.std(x) / np.sqrt(401), rtol=0.06)
        np.testing.assert_allclose(got.high - got.low, 3.92 * got.standard_error)
        paired = metrics.jackknife(KEY, lambda pair: np.abs(pair[0] - pair[1]).max(), (x, x + 1))
        assert paired == pytest.approx((1, 0))
        small = x.astype(np.float32)
        assert metrics.jackknife(KEY, np.mean, jnp.asarray(small)) == pytest.approx(
            metrics.jackknife(KEY, np.mean, small)
        )
        assert metrics.jackknife(KEY, np.mean, x) != metrics.jackknife(jax.random.key(1), np.mean, x)

    @pytest.mark.parametrize(
        ("score", "low", "high"),
        [
            (metrics.frechet_distance, 0.8, 1.3),
            (lambda x, y: metrics.precision_recall(x, y, neighbors=3).recall, 0.8, 1.4),
        ],
    )
    def test_errors_are_the_spread_over_new_examples(self, score, low, high):
        got = [
            metrics.jackknife(
                jax.random.key(i), score, normal(2 * i, 80, 3), normal(2 * i + 1, 60, 3) + 1, resamples=15
            )
            for i in range(100)
        ]
        errors = np.array([each.standard_error for each in got])
        assert low < np.sqrt(np.mean(errors**2)) / np.std([each.value for each in got]) < high

    def test_trees_of_numbers_and_warnings_of_the_whole_only(self):
        x, y = normal(22, 40, 15), normal(23, 40, 15)
        tree = metrics.jackknife(KEY, metrics.precision_recall, x, y, resamples=5)
        assert isinstance(tree, metrics.PrecisionRecall)
        assert [each.value for each in tree] == list(metrics.precision_recall(x, y))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            metrics.jackknife(KEY, metrics.frechet_distance, x, y, resamples=2)
        with pytest.warns(metrics.FewExamplesWarning) as caught:
            metrics.jackknife(KEY, metrics.frechet_distance, x[:20], y, resamples=2)
        assert len(caught) == 1
        with pytest.raises(ValueError, match=r"at least 4 examples and 2 resamples, got \[3\] and 100"):
            metrics.jackknife(KEY, np.mean, x[:3])


def wave(size, row, column, phase=0.3, amplitude=1.0):
    y, x = np.indices((size, size))
    return amplitude * np.cos(2 * np.pi * (row * y + column * x) / size + phase)[None, ..., None]


def slow_powers(images):
    """Return the power of gray pictures by octave and at the checkerboards', from the definition of a Fourier coefficient."""
    size = images.shape[1]
    line = 1 - np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
    window = np.outer(line, line) / np.sqrt(np.mean(np.outer(line, line) ** 2))
    y, x = np.indices((size, size))
    octaves, boards = np.zeros(int(np.ceil(np.log2(size / 2)))), np.zeros(7)
    quarter, half = size // 4, size // 2
    centers = [(half, half), (0, half), (half, 0), (quarter, quarter), (quarter, -quarter), (0, quarter), (quarter, 0)]
    for picture in images[..., 0]:
        windowed = window * (picture - np.sum(window * picture) / window.sum())
        for row in range(-half, half):
            for column in range(-half, half):
                turn = np.exp(-2j * np.pi * (row * y + column * x) / size)
                power = np.abs(np.mean(windowed * turn)) ** 2 / len(images)
                radius = np.hypot(row, column)
                bounds = [(half / 2 ** (j + 1), half / 2**j) for j in range(len(octaves))]
                for j, (low, high) in enumerate(bounds):
                    octaves[j] += power * (radius > 0) * (low <= radius) * (radius < high or j == 0)
                for k, center in enumerate(centers):
                    apart = [abs((a - b + half) % size - half) for a, b in zip((row, column), center, strict=True)]
                    boards[k] += power * (max(apart) <= 1)
    return octaves, boards


class TestSpectrum:
    def test_equals_the_definition(self):
        images = np.random.default_rng(40).random((2, 16, 16, 1))
        octaves, boards = slow_powers(images)
        np.testing.assert_allclose(metrics.power_spectrum(images), octaves, rtol=1e-10)
        np.testing.assert_allclose(metrics.checkerboard_power(images), boards, rtol=1e-10)

    @pytest.mark.parametrize(
        ("row", "column", "octave"), [(0, 12, 0), (10, -9, 0), (13, 13, 0), (6, 0, 1), (4, 4, 1), (3, 0, 2), (0, 1, 3)]
    )
    def test_a_wave_has_half_its_squared_amplitude_in_its_octave(self, row, column, octave):
        images = 0.5 + np.concatenate([wave(32, row, column, phase, 0.4) for phase in (0.0, 0.7, 2.0)], axis=3)
        power = metrics.power_spectrum(images)
        assert power.shape == (4,)
        if octave < 2:  # the window blurs by a frequency to both sides
            np.testing.assert_allclose(power[octave], 0.4**2 / 2, rtol=1e-9)
            np.testing.assert_allclose(power.sum(), 0.4**2 / 2, rtol=1e-9)
        assert power.argmax() == octave

    @pytest.mark.parametrize("size", [28, 32])
    def test_white_noise_is_flat_and_all_octaves_make_its_variance(self, size):
        power = metrics.power_spectrum(normal(41, 400, size, size, 1))
        radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size, 1 / size)] * 2))
        edges = [np.inf, *(size / 2 ** (2 + j) for j in range(len(power)))]
        counts = [np.sum((radius < high) & (radius >= max(low, 1))) for high, low in itertools.pairwise(edges)]
        flat = power / counts * size**2
        np.testing.assert_allclose(flat[:-1], 1, atol=0.05)
        assert 0.6 < flat[-1] < 1  # the mean, which was taken off, is blurred into the longest waves
        assert power.sum() == pytest.approx(1, abs=0.01)

    def test_a_checkerboard_is_found_at_its_period_wherever_it_begins(self):
        y, x = np.indices((32, 32))
        for rolled in (0, 1):
            board = np.roll((y + x) % 2, rolled, 1)[None, ..., None].astype(np.uint8) * 255
            np.testing.assert_allclose(metrics.power_spectrum(board), [0.25, 0, 0, 0], atol=1e-12)
            np.testing.assert_allclose(metrics.checkerboard_power(board), [0.25, *[0] * 6], atol=1e-12)
        hatched = np.cos(np.pi / 2 * (y - x))[None, ..., None]
        np.testing.assert_allclose(metrics.checkerboard_power(hatched), [0, 0, 0, 0, 0.25, 0, 0], atol=1e-12)

    def test_one_set_has_ratio_1_and_an_artifact_that_no_octave_shows_is_seen(self):
        real, same = normal(42, 300, 32, 32, 1), normal(43, 300, 32, 32, 1)
        equal = metrics.spectrum_ratio(KEY, real, real)
        assert [each.value for each in (*equal.octaves, *equal.checkerboards)] == [1.0] * 6
        assert equal.deviation.value == 0
        alike = metrics.spectrum_ratio(KEY, real, same)
        for each in (*alike.octaves, *alike.checkerboards):
            assert each.low - 0.1 < 1 < each.high + 0.1
        hatched = metrics.spectrum_ratio(KEY, real, same + wave(32, 8, -8, 0.0, 0.2))
        assert abs(hatched.octaves[0].value - 1) < 0.04
        assert hatched.checkerboards[0].value < 1.2
        np.testing.assert_allclose(hatched.checkerboards[1].value, 1 + 0.01 / (9 / 1024), rtol=0.1)
        louder = metrics.spectrum_ratio(KEY, real, 2 * real)
        np.testing.assert_allclose([each.value for each in louder.octaves], 4, rtol=1e-4)
        assert louder.deviation.value == pytest.approx(3, rel=1e-4)

    def test_its_error_is_the_spread_over_new_pictures(self):
        def some(seed):  # of unequal contrast, as pictures are
            return normal(seed, 60, 8, 8, 1) * np.random.default_rng(seed).uniform(0.2, 2, (60, 1, 1, 1))

        ratios = [metrics.spectrum_ratio(jax.random.key(i), some(2 * i), some(2 * i + 1)) for i in range(60)]
        said = np.sqrt(np.mean([each.octaves[0].standard_error ** 2 for each in ratios]))
        assert 0.75 < said / np.std([each.octaves[0].value for each in ratios]) < 1.35

    def test_pictures_without_anything_are_alike_and_others_are_refused(self):
        white = np.full((5, 8, 8, 3), 255, np.uint8)
        assert metrics.spectrum_ratio(KEY, white, white).deviation.value == 0
        for bad in (white[0], white[:, :7], white[:, :4, :4], white[:0]):
            with pytest.raises(ValueError, match=r"images: expected pictures \[N, S, S, C\] with S of at least 8, got"):
                metrics.power_spectrum(bad)
        with pytest.raises(ValueError, match=r"images: expected finite pixels; .* from number 0 on"):
            metrics.checkerboard_power(np.full((1, 8, 8, 1), np.nan))
        with pytest.raises(ValueError, match=r"expected pictures of one size, got \(5, 8, 8, 3\) .real. and \(5, 16"):
            metrics.spectrum_ratio(KEY, white, np.zeros((5, 16, 16, 3)))


class TestLabels:
    def test_accuracy(self):
        logits = normal(24, 50, 4).astype(np.float32)
        labels = np.random.default_rng(1).integers(0, 4, 50).astype(np.int32)
        expected = np.mean(
            [max(range(4), key=row.__getitem__) == label for row, label in zip(logits, labels, strict=True)]
        )
        assert metrics.accuracy(jnp.asarray(logits), jnp.asarray(labels)) == expected
        estimate = metrics.jackknife(KEY, lambda pair: metrics.accuracy(*pair), (logits, labels))
        np.testing.assert_allclose(estimate.standard_error, np.sqrt(expected * (1 - expected) / 50), rtol=0.3)
        with pytest.raises(ValueError, match="one label per row of logits, got 49 for 50"):
            metrics.accuracy(logits, labels[1:])
        with pytest.raises(ValueError, match="numbers from 0 to 3, got 0 to 4"):
            metrics.accuracy(logits, labels + (labels == 3))
        with pytest.raises(ValueError, match="integers"):
            metrics.accuracy(logits, labels.astype(np.float32))

    def test_class_coverage(self):
        labels = np.array([0] * 6 + [2] * 2)
        got = metrics.class_coverage(labels, 4)
        assert got.classes == 2
        np.testing.assert_allclose(got.reverse_kl, 0.75 * np.log(3) + 0.25 * np.log(1))
        assert metrics.class_coverage(labels, 3, shares=np.array([6, 1e-9, 2])).reverse_kl == pytest.approx(0, abs=1e-6)
        with pytest.raises(ValueError, match="3 positive numbers"):
            metrics.class_coverage(labels, 3, shares=np.array([1, 0, 1]))

    def test_mode_coverage_of_the_grid(self):
        centers = np.stack(np.meshgrid(np.arange(-4, 5, 2), np.arange(-4, 5, 2)), -1).reshape(-1, 2)
        rng = np.random.default_rng(5)
        perfect = centers[rng.integers(25, size=20000)] + 0.05 * rng.standard_normal((20000, 2))
        got = metrics.mode_coverage(perfect, centers, 0.05)
        assert got[:2] == (25, 25)
        np.testing.assert_allclose(got.high_quality, 1 - np.exp(-4.5), atol=0.003)
        np.testing.assert_allclose(got.reverse_kl, 24 / 40000, atol=6e-4)
        counts = [40, 20, 19, 1]
        few = np.concatenate(
            [np.repeat(centers[i : i + 1], n, axis=0) for i, n in enumerate(counts)] + [[[1, 1.2]] * 20]
        )
        got = metrics.mode_coverage(jnp.asarray(few, jnp.float32), centers, 0.05)
        assert got[:3] == (4, 2, 0.8)
        q = np.array([*counts, 20]) / 100  # strays count for the mode they are nearest to
        np.testing.assert_allclose(got.reverse_kl, np.sum(q * np.log(25 * q)))
        assert metrics.mode_coverage(few + 0.5, centers, 0.05)[:3] == (0, 0, 0)
        with pytest.raises(ValueError, match="positive std"):
            metrics.mode_coverage(few, centers, 0.0)


@pytest.fixture
def card():
    return metrics.score_card(
        "Frechet distance",
        metrics.Estimate(12.5, 0.5),
        n_real=1000,
        n_fake=2000,
        features="vgg16 relu5_3 mean",
        features_hash="ab12",
        data_hash="cd34",
        resize="bicubic antialiased",
        seed=7,
    )


class TestCards:
    def test_write_and_read_again(self, card, tmp_path):
        share = metrics.score_card("high-quality share", metrics.Estimate(0.97, 0.003), n_fake=2500)
        path = metrics.write_cards(tmp_path / "scores.json", [card, share])
        assert metrics.read_cards(path) == [card, share]
        assert [each["name"] for each in json.loads(path.read_text())] == [
            "Frechet distance on vgg16 relu5_3 mean",
            "high-quality share",
        ]
        assert (card.low, card.high) == (12.5 - 0.98, 12.5 + 0.98)
        assert card.versions["jax"] == jax.__version__
        with pytest.raises(ValueError, match="Out of range float"):
            metrics.write_cards(path, [card._replace(value=float("nan"))])
        assert metrics.read_cards(path) == [card, share]
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_fake": 1000}, "differ in n_fake 2000 and 1000. Score"),
            (
                {"resize": "bilinear", "data_hash": "ee"},
                "data_hash 'cd34' and 'ee'; resize 'bicubic antialiased' and 'bil",
            ),
            ({"features": "vgg19 relu5_3 mean", "features_hash": "f"}, "features 'vgg16.*; features_hash 'ab12'"),
            ({"score": "kernel distance"}, "score 'Frechet distance' and 'kernel distance'"),
            ({"n_real": 10}, "n_real 1000 and 10"),
        ],
    )
    def test_cards_that_do_not_match_refuse_comparison(self, card, change, message):
        with pytest.raises(ValueError, match=message):
            metrics.compare(card, card._replace(**change))

    def test_comparison(self, card):
        near = card._replace(value=13.0, low=12.0, high=14.0, seed=8, versions={})
        far = card._replace(value=9.0, low=8.0, high=10.0)
        assert metrics.compare(card, near) == (0.5, True)
        assert metrics.compare(card, far) == (-3.5, False)
        assert metrics.compare(far, card) == (3.5, False)

    def test_only_inception_makes_a_fid(self, card):
        assert metrics.score_name("Frechet distance", "inception-v3 pool3") == "FID on inception-v3 pool3"
        assert metrics.score_name("kernel distance", "Inception-v3 pool3") == "KID on Inception-v3 pool3"
        assert metrics.score_name("precision", "inception-v3 pool3") == "precision on inception-v3 pool3"
        assert metrics.score_name("kernel distance", "digits classifier") == "kernel distance on digits classifier"
        assert metrics.score_name("classifier confidence", "") == "classifier confidence"
        for claim in ("FID", "clean fid", "KID x 1000"):
            with pytest.raises(ValueError, match="features name it"):
                metrics.score_card(claim, metrics.Estimate(1.0, 0.1), n_fake=10)
        with pytest.raises(ValueError, match="features name it"):
            _ = card._replace(score="FID").name

    def test_refuses_what_is_no_card(self, card, tmp_path):
        with pytest.raises(ValueError, match="finite value"):
            metrics.score_card("precision", metrics.Estimate(float("nan"), 0.0), n_fake=10)
        with pytest.raises(ValueError, match="belong together"):
            metrics.score_card("precision", metrics.Estimate(1.0, 0.0), n_fake=10, features="vgg16 relu5_3 mean")
        with pytest.raises(ValueError, match="n_fake of at least 1"):
            metrics.score_card("precision", metrics.Estimate(1.0, 0.0), n_fake=0)
        path = tmp_path / "cards.json"
        entry = {"name": card.name, **card._asdict()}
        for text, message in (
            ("{", "expected score cards as JSON"),
            ("{}", "JSON list of score cards, got dict"),
            ("[3]", "card 0: expected an object"),
            (json.dumps([{**entry, "color": 1}]), r"card 0: .*missing: \[\], unknown: \['color'\]"),
            (json.dumps([entry, {"score": "FID"}]), "card 1: .*missing: .'data_hash'"),
            (json.dumps([{**entry, "name": "FID"}]), "is called 'FID', but its features make it 'Frechet"),
        ):
            path.write_text(text)
            with pytest.raises(ValueError, match=message):
                metrics.read_cards(path)

    def test_hash_knows_names_types_shapes_and_content(self):
        tree = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": {"c": np.int32(3)}}
        digest = metrics.content_hash(tree)
        assert len(digest) == 64
        assert digest == metrics.content_hash(jax.tree.map(jnp.asarray, tree))
        assert digest == metrics.content_hash({**tree, "a": np.asfortranarray(tree["a"])})
        others = [
            {**tree, "a": tree["a"].T},
            {**tree, "a": tree["a"].reshape(3, 2)},
            {**tree, "a": tree["a"].view(np.int32)},
            {**tree, "a": np.nextafter(tree["a"], np.float32(9))},
            {"z": tree["a"], "b": tree["b"]},
        ]
        assert len({digest, *map(metrics.content_hash, others)}) == 6
        assert metrics.content_hash(jnp.ones(3, jnp.bfloat16)) != metrics.content_hash(jnp.ones(3, jnp.float16))


@pytest.mark.parametrize(
    "score",
    [
        metrics.frechet_distance,
        lambda x, y: metrics.kernel_distance(KEY, x, y),
        metrics.precision_recall,
        lambda x, y: metrics.originality(KEY, y, x, x),
        lambda x, y: metrics.mode_coverage(y, x, 1.0),
    ],
)
def test_bad_features_are_named(score):
    good = normal(25, 30, 3)
    bad = good.copy()
    bad[[7, 9], 1] = np.nan, np.inf
    with pytest.raises(
        ValueError, match=r"(fake|samples): 2 of 30 examples hold values that are not finite, the first is"
    ):
        score(good, bad)
    with pytest.raises(ValueError, match=r"expected features \[N, D\], one row per example, got shape \(30, 3, 1\)"):
        score(good, good[..., None])
    with pytest.raises(ValueError, match=r"expected features .*got .*3.* and 2|same length D"):
        score(good, good[:, :2])
    with pytest.raises(ValueError, match=r"expected at least . examples, got 0"):
        score(good, good[:0])
