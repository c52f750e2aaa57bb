"""Splits: nothing lost, nothing twice, nothing on both sides; the same for the same key and whatever the order of the rows."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart import data

KEY = jax.random.key(5)
FRACTIONS = st.sampled_from([(0.5, 0.5), (0.8, 0.2), (0.6, 0.3, 0.1), (1.0,)])
SETTINGS = settings(max_examples=60, deadline=None)


def assert_whole(parts, count):
    assert all((np.diff(part) > 0).all() for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(count))


def attempt(function, *arguments):
    """Return a split, or None where one of its parts would be empty."""
    try:
        return function(*arguments)
    except ValueError as error:
        if "with examples in each" not in str(error):
            raise
        return None


@SETTINGS
@given(st.integers(20, 300), FRACTIONS, st.integers(0, 2**32 - 1))
def test_a_random_split_has_exactly_the_sizes(count, fractions, seed):
    key = jax.random.key(seed)
    parts = data.split_randomly(key, count, fractions)
    assert_whole(parts, count)
    ends = np.rint(np.cumsum(fractions) * count)
    assert [len(part) for part in parts] == np.diff(ends, prepend=0).tolist()
    for part, again in zip(parts, data.split_randomly(key, count, [len(part) for part in parts]), strict=True):
        np.testing.assert_array_equal(part, again)


def test_a_random_split_is_uniform_and_of_its_key():
    hits = np.zeros(20)
    for seed in range(400):
        hits[data.split_randomly(jax.random.key(seed), 20, (15, 5))[1]] += 1
    assert np.sum((hits - 100) ** 2 / 75) / 19 < 2
    assert hits.min() > 60
    assert hits.max() < 140


@SETTINGS
@given(st.lists(st.integers(0, 30), min_size=20, max_size=120), FRACTIONS, st.randoms(use_true_random=False))
def test_no_group_is_on_both_sides_and_rows_may_be_reordered(groups, fractions, random):
    groups = np.array(groups)
    parts = attempt(data.split_by_group, KEY, groups, fractions)
    if parts is None:
        return
    assert_whole(parts, len(groups))
    sides = [set(groups[part].tolist()) for part in parts]
    assert sum(map(len, sides)) == len(set(groups.tolist()))
    wanted, largest = np.cumsum(fractions) * len(groups), np.bincount(groups).max()
    reached = np.cumsum([len(part) for part in parts])
    assert (np.abs(reached - wanted) <= largest / 2 + 1).all()  # as near as whole groups come
    order = np.array(random.sample(range(len(groups)), len(groups)))
    for side, part in zip(sides, data.split_by_group(KEY, groups[order], fractions), strict=True):
        assert set(groups[order][part].tolist()) == side


def test_groups_may_be_names_and_depend_on_the_key():
    names = [f"artist {number % 20}" for number in range(200)]
    tests = [tuple(data.split_by_group(jax.random.key(seed), names, (0.8, 0.2))[1]) for seed in range(5)]
    assert {len(each) for each in tests} == {40}
    assert len(set(tests)) == 5


@SETTINGS
@given(st.lists(st.integers(0, 40), min_size=20, max_size=120), FRACTIONS)
def test_the_past_is_before_the_future(days, fractions):
    days = np.array(days)
    for times in (days, days / 7, np.datetime64("1999-12-31") + days):
        parts = attempt(data.split_by_time, times, fractions)
        if parts is None:
            continue
        assert_whole(parts, len(times))
        for earlier, later in itertools.pairwise(parts):
            assert times[earlier].max() < times[later].min()
        backwards = data.split_by_time(times[::-1], fractions)
        for part, other in zip(parts, backwards, strict=True):
            np.testing.assert_array_equal(np.sort(len(times) - 1 - other), part)


def test_parts_are_taken_from_a_dataset():
    made = data.from_arrays({"x": np.arange(10), "year": 1900 + np.arange(10) % 5})
    past, future = (data.take(made, part) for part in data.split_by_time(made.column("year"), (0.6, 0.4)))
    assert sorted(past.column("year").tolist()) == [1900, 1900, 1901, 1901, 1902, 1902]
    assert future.column("x").tolist() == [3, 4, 8, 9]


def test_the_splits_stay_what_they_were():
    assert data.split_randomly(jax.random.key(0), 10, (7, 3))[1].tolist() == [0, 2, 4]
    assert data.split_by_group(jax.random.key(0), list("aabbccddee"), (6, 4))[1].tolist() == [2, 3, 6, 7]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            lambda: data.split_randomly(KEY, 10, (0.5, 0.6)),
            r"fractions that sum to 1, got \[0.5, 0.6\], which sum to 1.1",
        ),
        (lambda: data.split_randomly(KEY, 10, (5, 6)), "numbers of examples that sum to 10, got .* sum to 11"),
        (lambda: data.split_randomly(KEY, 10, (1.5, -0.5)), "above 0"),
        (lambda: data.split_randomly(KEY, 10, ()), "above 0"),
        (
            lambda: data.split_randomly(KEY, 3, (0.9, 0.1)),
            r"with examples in each, got \[3, 0\] of 3 examples in 3 units",
        ),
        (lambda: data.split_by_group(KEY, ["a"] * 9, (0.5, 0.5)), "in 1 units that are not cut"),
        (lambda: data.split_by_group(KEY, [0.5, 1.0], (0.5, 0.5)), "groups: expected names or whole numbers"),
        (lambda: data.split_by_time(["1999", "2000"], (0.5, 0.5)), "times: expected numbers or datetime64"),
        (lambda: data.split_by_time([1.0, np.nan], (0.5, 0.5)), "times: expected finite ones, got nan"),
        (
            lambda: data.split_by_time(np.array(["2001", "NaT"], "M8[D]"), (1, 1)),
            "times: expected finite ones, got NaT",
        ),
    ],
)
def test_bad_splits_are_refused(split, message):
    with pytest.raises(ValueError, match=message):
        split()
