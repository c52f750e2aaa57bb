"""Weights of unequal classes against their formulas and scikit-learn; what samplers then draw; mixing and erasing, alone and on devices."""

from functools import partial

import jax
import numpy as np
import pytest
import scipy.stats
from jax.sharding import PartitionSpec
from sklearn.utils.class_weight import compute_class_weight

from jaxart import data, training

KEY = jax.random.key(0)
B, SIDE, K = 512, 12, 3
COUNTS = np.array([1000, 100, 10, 1])


class TestWeights:
    def test_counts_of_classes_and_of_several_labels(self):
        assert data.class_counts(np.array([3, 0, 3], np.uint8), 4).tolist() == [1, 0, 0, 2]
        assert data.class_counts(np.array([[1, 0], [1, 1]]), 2).tolist() == [2, 1]
        with pytest.raises(ValueError, match="from 0 to 2, or 0 and 1"):
            data.class_counts([0, 3], 3)
        with pytest.raises(ValueError, match="got float64"):
            data.class_counts([0.5, 1.0], 3)

    def test_inverse_weights_equal_scikit_learn(self):
        labels = np.repeat(np.arange(4), COUNTS)
        expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
        np.testing.assert_allclose(data.inverse_weights(COUNTS), expected, rtol=1e-12)
        np.testing.assert_allclose(data.inverse_weights(COUNTS, power=0.5), np.sqrt(expected), rtol=1e-12)
        assert data.inverse_weights(COUNTS, power=0).tolist() == [1] * 4
        np.testing.assert_allclose(data.inverse_weights([*COUNTS, 0]), [*expected, 0])

    def test_effective_numbers_are_geometric_sums(self):
        for beta in (0.9, 0.999):
            effective = np.array([sum(beta**i for i in range(n)) for n in COUNTS])
            expected = 4 / effective / np.sum(1 / effective)
            np.testing.assert_allclose(data.effective_number_weights(COUNTS, beta=beta), expected, rtol=1e-9)
        np.testing.assert_allclose(data.effective_number_weights([*COUNTS, 0], beta=beta), [*expected, 0], rtol=1e-9)
        assert data.effective_number_weights(COUNTS, beta=0).tolist() == [1] * 4
        inverse = data.inverse_weights(COUNTS)
        near = data.effective_number_weights(COUNTS, beta=1 - 1e-12)
        np.testing.assert_allclose(near, 4 * inverse / inverse.sum(), rtol=1e-3)

    def test_positive_weights_are_capped(self):
        assert data.positive_weights([0, 1, 50, 80], 100).tolist() == [20**0.5, 20**0.5, 1, 0.5]

    def test_bad_input_is_told(self):
        with pytest.raises(ValueError, match="not all zero"):
            data.inverse_weights([0, 0])
        with pytest.raises(ValueError, match="0 or more"):
            data.class_shares([3, -1])
        with pytest.raises(ValueError, match=r"\[0, 1\)"):
            data.effective_number_weights([3, 1], beta=1.0)
        with pytest.raises(ValueError, match="at most 10"):
            data.positive_weights([11], 10)
        with pytest.raises(ValueError, match="at least 1"):
            data.class_shares([3, 1], most_repeats=0.5)
        with pytest.raises(ValueError, match="one class for each example"):
            data.resampling_weights(np.eye(2, dtype=int), 2)
        with pytest.raises(ValueError, match="least <= most"):
            data.augmentation_probabilities([3, 1], least=0.9, most=0.5)


class TestResampling:
    @pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
    def test_shares_are_powers_as_far_as_repeats_allow(self, power):
        free = data.class_shares(COUNTS, power=power, most_repeats=1e9)
        np.testing.assert_allclose(free, COUNTS**power / np.sum(COUNTS**power), rtol=1e-12)
        capped = data.class_shares(COUNTS, power=power)
        repeats = capped * COUNTS.sum() / COUNTS
        assert capped.sum() == pytest.approx(1)
        assert repeats.max() <= 10 + 1e-9
        below = repeats < 10 - 1e-9
        kept = COUNTS[below] ** power
        np.testing.assert_allclose(capped[below] / capped[below].sum(), kept / kept.sum(), rtol=1e-12)
        assert (free > capped - 1e-12)[~below].all()  # only what came too often is cut

    def test_the_sampler_draws_them(self):
        labels = np.random.default_rng(3).permutation(np.repeat(np.arange(4), COUNTS))
        weights = data.resampling_weights(labels, 4)
        order = data.weighted(weights)(KEY, len(labels))
        drawn = order(0, 20 * len(labels))
        shares = np.bincount(labels[drawn], minlength=4) / len(drawn)
        expected = data.class_shares(COUNTS)
        assert (np.abs(shares - expected) < 4 * np.sqrt(expected / len(drawn))).all()
        assert weights[labels == 2].min() == weights[labels == 2].max()
        balanced = data.weighted(data.resampling_weights(labels, 4, power=0.0))(KEY, len(labels))
        repeats = np.bincount(balanced(0, 20 * len(labels)), minlength=len(labels)) / 20
        assert 6 < repeats.max() < 15  # the one of its class: 10, by chance 9 to 11

    def test_rare_classes_are_augmented_more_often(self):
        chances = data.augmentation_probabilities(COUNTS, least=0.2, most=0.8)
        np.testing.assert_allclose(chances, 0.8 - 0.6 * np.sqrt(COUNTS / 1000))
        keys, images = jax.random.split(KEY, 1000), np.ones((1000, 2, 2, 1), np.float32)
        labels = np.arange(1000) % 4
        dark = jax.jit(partial(data.augment_some, transforms=[lambda key, image: 0 * image]))
        changed = np.asarray(dark(keys, images, np.float32(chances[labels])))[:, 0, 0, 0] == 0
        for c in range(4):
            assert abs(changed[labels == c].mean() - chances[c]) < 4 * np.sqrt(0.25 / 250)
        same = np.asarray(dark(keys, images, np.ones(1000, np.float32)))
        assert (same == 0).all()


LABELS = np.arange(B) % K  # neighbors differ
MIXES = {  # one of them with a beta distribution: it takes long to compile
    "mixup": partial(data.mixup, alpha=0.4),
    "cutmix": data.cutmix,
    "mixup_or_cutmix": partial(data.mixup_or_cutmix, mixup_alpha=1.0),
}
KEYS = jax.random.split(jax.random.key(7), B)
SHARES = np.eye(K, dtype=np.float32)[LABELS]
FLAT = np.broadcast_to(np.float32(np.arange(B) / B)[:, None, None, None], (B, SIDE, SIDE + 4, 2))


@pytest.fixture(scope="module")
def mixed():
    """Return each way of mixing as one program of any probability, and what it makes of flat pictures."""
    programs = {name: jax.jit(lambda k, x, y, p, mix=mix: mix(k, x, y, probability=p)) for name, mix in MIXES.items()}
    return {name: (each, jax.tree.map(np.asarray, each(KEYS, FLAT, SHARES, 1.0))) for name, each in programs.items()}


@pytest.mark.parametrize("name", MIXES)
class TestMixing:
    def test_shares_are_the_parts_of_the_pictures(self, mixed, name):
        images, shares = mixed[name][1]
        swap = np.arange(B) ^ 1
        part = (images - FLAT).mean(axis=(1, 2, 3)) / (FLAT[swap] - FLAT)[:, 0, 0, 0]
        expected = (1 - part)[:, None] * SHARES + part[:, None] * SHARES[swap]
        np.testing.assert_allclose(shares, expected, atol=1e-4)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
        assert part.min() > -1e-5
        assert part.max() < 1 + 1e-5
        assert len(np.unique(np.round(part, 3))) > 50  # each example in its own way

    def test_probability_0_is_identity_and_a_half_is_half(self, mixed, name):
        program, (images, _) = mixed[name]
        same = program(KEYS, FLAT, SHARES, 0.0)
        np.testing.assert_array_equal(same[0], FLAT)
        np.testing.assert_array_equal(same[1], SHARES)
        some = np.asarray(program(KEYS, FLAT, SHARES, 0.5)[0])
        as_before, as_mixed = (np.all(some == each, axis=(1, 2, 3)) for each in (FLAT, images))
        assert (as_before | as_mixed).all()
        assert 0.45 < as_before.mean() < 0.7  # a half, and what a small part leaves as it is


def test_eight_devices_mix_as_one_does(mixed):
    mesh, spec = training.data_mesh(), PartitionSpec("batch")

    def step(key, images, shares):
        return data.cutmix(training.example_keys(key, B // 8, axis_name="batch"), images, shares)

    divided = jax.shard_map(step, mesh=mesh, in_specs=(PartitionSpec(), spec, spec), out_specs=spec, check_vma=False)
    whole = mixed["cutmix"][0](training.example_keys(KEY, B), FLAT, SHARES, 1.0)
    for one, other in zip(whole, jax.jit(divided)(KEY, FLAT, SHARES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


class TestParts:
    def test_mixup_draws_from_beta(self, mixed):
        shares = mixed["mixup"][1][1]
        part = shares[np.arange(B), LABELS[np.arange(B) ^ 1]]
        for value in (0.05, 0.3, 0.5, 0.9):
            expected = scipy.stats.beta.cdf(value, 0.4, 0.4)
            assert abs(np.mean(part <= value) - expected) < 3.5 * np.sqrt(expected * (1 - expected) / B)

    def test_cutmix_pastes_one_rectangle_of_the_neighbor_at_its_own_place(self, mixed, rng):
        images = rng.random(FLAT.shape, np.float32)
        made, shares = map(np.asarray, mixed["cutmix"][0](KEYS, images, SHARES, 1.0))
        areas = shares[np.arange(B), LABELS[np.arange(B) ^ 1]]
        for i in range(0, B, 5):
            foreign, own = (np.all(made[i] == images[j], axis=-1) for j in (i ^ 1, i))
            assert (foreign ^ own).all()
            assert areas[i] == pytest.approx(foreign.mean(), abs=1e-6)
            rows, columns = foreign.any(axis=1), foreign.any(axis=0)
            np.testing.assert_array_equal(foreign, rows[:, None] & columns[None])
            assert np.abs(np.diff(rows.astype(int))).sum() <= 2
        assert 0.25 < areas.mean() < 0.45  # a half, less what is cut at borders

    def test_bad_input_is_told(self):
        images, shares = FLAT, SHARES
        with pytest.raises(ValueError, match="an even number of pictures"):
            data.mixup(KEYS[:3], images[:3], shares[:3])
        with pytest.raises(ValueError, match="shares for each"):
            data.cutmix(KEYS, images, shares[:2])
        with pytest.raises(ValueError, match="alpha above 0"):
            data.mixup(KEYS, images, shares, alpha=0.0)


def test_random_erasing_fills_one_rectangle_of_each_picture():
    program = jax.jit(
        lambda keys, images, p: data.augment(
            keys, images, [partial(data.random_erasing, probability=p, area=(0.1, 0.3), values=(2.0, 3.0))]
        )
    )
    images, keys = np.zeros((64, 20, 30, 2), np.float32), KEYS[:64]
    made = np.asarray(program(keys, images, 1.0))
    areas, heights = [], []
    for each in made:
        hole = np.all(each >= 2, axis=-1)
        rows, columns = hole.any(axis=1), hole.any(axis=0)
        np.testing.assert_array_equal(hole, rows[:, None] & columns[None])
        assert (each[~hole] == 0).all()
        areas.append(hole.mean())
        heights.append(rows.mean() / columns.mean())
    assert 0.05 < min(areas) < 0.16 < 0.24 < max(areas) < 0.35
    assert min(heights) < 0.6
    assert max(heights) > 1.6
    assert made.max() < 3
    np.testing.assert_array_equal(program(keys, images, 0.0), images)
