"""Samplers: functions of the key and the position alone, with the rates that they promise."""

import jax
import numpy as np
import pytest

from jaxart import data
from jaxart.data import samplers

KEY = jax.random.key(7)
COUNT = 30
LABELS = np.repeat([0, 1, 2], [20, 7, 3])[np.random.default_rng(1).permutation(COUNT)]
WEIGHTS = np.arange(COUNT) % 4  # a quarter never come
SAMPLERS = {
    "shuffled": data.shuffled,
    "weighted": data.weighted(WEIGHTS),
    "balanced": data.balanced(LABELS),
    "mixture": data.mixture(LABELS, (2, 5, 0)),
}
EXAMPLES = data.from_arrays({"index": np.arange(COUNT, dtype=np.int32)})


def take(count, sampler, **options):
    stream = data.batches(KEY, EXAMPLES, 8, sampler=sampler, **options)
    taken = [next(stream)["index"] for _ in range(count)]
    stream.close()
    return taken


def chi_square(counts, expected):
    """Return the statistic per degree of freedom."""
    return np.sum((counts - expected) ** 2 / expected) / (len(counts) - 1)


@pytest.mark.parametrize("name", SAMPLERS)
class TestEverySampler:
    def test_any_part_is_the_part_of_the_whole(self, name):
        whole = SAMPLERS[name](KEY, COUNT)(0, 500)
        assert whole.shape == (500,)
        assert whole.min() >= 0
        assert whole.max() < COUNT
        for start, stop in ((0, 1), (1, 30), (29, 31), (13, 450), (257, 263), (499, 500)):
            np.testing.assert_array_equal(SAMPLERS[name](KEY, COUNT)(start, stop), whole[start:stop])
        order = SAMPLERS[name](KEY, COUNT)
        for start in (400, 0, 77):  # asked backwards too
            np.testing.assert_array_equal(order(start, start + 9), whole[start : start + 9])

    def test_another_key_is_another_order(self, name):
        orders = [SAMPLERS[name](jax.random.key(seed), COUNT)(0, 60).tolist() for seed in range(4)]
        assert len({tuple(order) for order in orders}) == 4

    def test_far_away_nothing_is_replayed(self, name, monkeypatch):
        drawn = []

        class Counted(np.random.PCG64):
            def random_raw(self, size):
                drawn.append(size)
                return super().random_raw(size)

        monkeypatch.setattr(samplers.np.random, "PCG64", Counted)
        start = 10**15 + 3
        assert len(SAMPLERS[name](KEY, COUNT)(start, start + 8)) == 8
        assert sum(drawn) < 300

    @pytest.mark.parametrize("first", [1, 6, 23])
    def test_batches_resume_anywhere(self, name, first):
        whole, later = take(first + 3, SAMPLERS[name]), take(3, SAMPLERS[name], first=first)
        np.testing.assert_array_equal(whole[first:], later)

    @pytest.mark.parametrize("count", [2, 4])
    def test_processes_see_parts_of_the_same_batches(self, name, count):
        whole = take(6, SAMPLERS[name], first=2)
        parts = [take(6, SAMPLERS[name], first=2, process=(index, count)) for index in range(count)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_the_orders_stay_what_they_were():
    told = {name: sampler(jax.random.key(0), COUNT)(100, 106).tolist() for name, sampler in SAMPLERS.items()}
    assert told == {
        "shuffled": [12, 24, 18, 13, 17, 14],
        "weighted": [14, 7, 23, 27, 7, 15],
        "balanced": [10, 15, 27, 29, 8, 13],
        "mixture": [8, 12, 23, 18, 25, 10],
    }


def test_weighted_draws_in_proportion_and_independently():
    drawn = data.weighted(WEIGHTS)(KEY, COUNT)(0, 60_000)
    counts, expected = np.bincount(drawn, minlength=COUNT), 60_000 * WEIGHTS / WEIGHTS.sum()
    there = WEIGHTS > 0
    assert not counts[~there].any()
    assert 0.4 < chi_square(counts[there], expected[there]) < 1.8
    heavy = WEIGHTS[drawn] == 3
    pairs = np.bincount(2 * heavy[:-1] + heavy[1:], minlength=4) / len(drawn)
    np.testing.assert_allclose(pairs, np.outer(*[[1 - heavy.mean(), heavy.mean()]] * 2).ravel(), atol=0.006)


@pytest.mark.parametrize("weights", [[0, 0, 1], [1, 0, 0], [0, 1e-300, 0], [1e308, 0, 0]])
def test_a_single_weight_always_comes(weights):
    drawn = data.weighted(weights)(KEY, 3)(0, 1000)
    assert (drawn == np.argmax(weights)).all()


def test_balanced_takes_each_class_once_in_every_round_and_each_example_equally_often():
    drawn = data.balanced(LABELS)(KEY, COUNT)(0, 3 * 420)  # 20 x 7 x 3 rounds
    rounds = LABELS[drawn].reshape(-1, 3)
    assert (np.sort(rounds, axis=1) == [0, 1, 2]).all()
    assert len({tuple(each) for each in rounds}) == 6
    counts = np.bincount(drawn)
    for label, size in enumerate((20, 7, 3)):
        assert (counts[label == LABELS] == 420 // size).all()
    firsts = drawn[LABELS[drawn] == 0].reshape(-1, 20)
    assert len({tuple(epoch) for epoch in firsts}) == len(firsts)  # every epoch of a class has an order of its own


def test_balanced_takes_names_too():
    names = np.array(["x", "y", "z"])[LABELS]
    np.testing.assert_array_equal(data.balanced(names)(KEY, COUNT)(5, 50), data.balanced(LABELS)(KEY, COUNT)(5, 50))


def test_a_mixture_has_its_rates_in_every_block_in_random_order():
    drawn = data.mixture(LABELS, (4, 10, 0))(KEY, COUNT)(0, 7 * 700)  # the same as 2 to 5
    blocks = LABELS[drawn].reshape(-1, 7)
    assert (np.sort(blocks, axis=1) == [0, 0, 1, 1, 1, 1, 1]).all()
    assert len({tuple(block) for block in blocks}) == 21
    places = np.bincount(np.flatnonzero(blocks.ravel() == 0) % 7)
    assert 0.1 < chi_square(places, np.full(7, 200)) < 2
    counts = np.bincount(drawn, minlength=COUNT)
    assert np.ptp(counts[LABELS == 0]) <= 1
    assert np.ptp(counts[LABELS == 1]) <= 1
    assert not counts[LABELS == 2].any()


def test_sources_of_two_datasets_are_mixed():
    photos, paintings = data.from_arrays({"x": np.arange(90)}), data.from_arrays({"x": 100 + np.arange(10)})
    both = data.concatenate({"photos": photos, "paintings": paintings})
    stream = data.batches(KEY, both, 40, sampler=data.mixture(both.column("source"), (3, 1)))
    for _ in range(5):
        assert (next(stream)["x"] >= 100).sum() == 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.weighted([1, -1]), r"weights: expected finite .* got shape .2. from -1 to 1"),
        (lambda: data.weighted([1, np.nan]), "weights: expected finite"),
        (lambda: data.weighted([0, 0]), "not all zero"),
        (
            lambda: data.weighted([1e308, 1e308]),
            r"with a finite sum, got shape \[2\] from 1e\+308 to 1e\+308, with the sum inf",
        ),
        (lambda: data.weighted([]), r"got shape \[0\]"),
        (lambda: data.weighted([[1.0]]), r"got shape \[1, 1\]"),
        (lambda: data.balanced([0.5, 1.0]), "labels: expected whole numbers or names"),
        (lambda: data.balanced([]), "labels: expected whole numbers or names"),
        (lambda: data.balanced([0, 2], classes=("cat", "dog", "owl")), "labels: .* got none of dog. Leave"),
        (lambda: data.balanced([0, 3], classes=("cat", "dog")), "labels: expected numbers from 0 to 1, got 3"),
        (lambda: data.mixture([0, 0], (1, 1)), "groups: .* got none of 1"),
        (lambda: data.mixture([0, -1], (1, 1)), "groups: expected numbers from 0 to 1, got -1"),
        (lambda: data.mixture([0, 1], (0.7, 0.3)), "shares: expected whole numbers"),
        (lambda: data.mixture([0, 1], (0, 0)), "not all zero"),
        (lambda: data.mixture([0, 1], (1, -1)), "shares: expected whole numbers of 0 or more"),
        (lambda: data.mixture([0.0, 1.0], (1, 1)), "groups: expected whole numbers"),
    ],
)
def test_bad_samplers_are_refused_when_they_are_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("sampler", [data.weighted([1, 1]), data.balanced([0, 1]), data.mixture([0, 1], (1, 1))])
def test_samplers_of_other_data_are_refused_before_the_first_batch(sampler):
    with pytest.raises(ValueError, match=f"expected one for each of {COUNT} examples, got 2"):
        data.batches(KEY, EXAMPLES, 8, sampler=sampler)
