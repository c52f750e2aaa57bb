"""Why lots are worth what they are, which sold lots are like them, what speaks against their values; lots are made up by a known law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import example

from jaxart import data
from jaxart.tasks import appraise
from jaxart.tasks.appraise import reasons, soft

GROUP = ("sale", "lot")
TRAIN, TEST = slice(0, 300), slice(300, 306)


def _part(records, rows):
    return {name: cells[rows] for name, cells in records.items()}


@pytest.fixture(scope="module")
def records():
    found, _ = example("lots").make_lots(0, 400, clean=True)
    order = np.random.default_rng(0).permutation(400)
    return _part(found, order)


@pytest.fixture(scope="module")
def trained(records):
    columns = data.find_columns(records, target="price", group=GROUP, leave_out=["work", "picture"])
    prices = np.log(data.parse_numbers(records["price"]))
    return appraise.train_appraiser(
        jax.random.key(0),
        _part(records, TRAIN),
        columns,
        prices[TRAIN],
        group=GROUP,
        members=2,
        epochs=10,
        batch=32,
        width=32,
    )


@pytest.fixture(scope="module")
def explained(records, trained):
    return appraise.explain_lots(trained, _part(records, TEST), steps=64)


def test_reasons_add_up_to_the_value(records, trained, explained):
    worth = appraise.value_lots(trained, _part(records, TEST))
    nothing = appraise.value_lots(trained, {"artist": np.array([""])})
    np.testing.assert_allclose(explained.value, worth.mean, atol=1e-4)
    np.testing.assert_allclose(explained.base, nothing.mean[0], atol=1e-4)
    way = np.abs(explained.value - explained.base)
    assert (np.abs(explained.gap) <= np.maximum(0.01 * way, 0.005)).all()
    sums = [sum(one.amount for one in lot) for lot in explained.contributions]
    np.testing.assert_allclose(explained.base + sums + explained.gap, explained.value, atol=1e-9)


def test_reasons_of_a_report(explained):
    for row, lot in enumerate(appraise.largest_reasons(explained, 4)):
        sizes = [abs(size) for _, size in lot[:-1]]
        assert sizes == sorted(sizes, reverse=True)
        assert len(lot) == 5
        assert sum(size for _, size in lot) == pytest.approx(explained.value[row] - explained.base[row])
    for shares in appraise.modality_shares(explained):
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["text"] > 0
        assert shares["picture"] == 0


def test_names_are_for_people(records, explained):
    names = {one.name for one in explained.contributions[0]}
    row = TEST.start
    word = records["description"][row].split()[0].lower()
    assert {f'"{word}" (word 1)', f"artist = {records['artist'][row]}", f"sale = {records['sale'][row]}"} <= names
    assert "area (height x width)" in names


def test_planted_effects_have_their_sign(records, trained):
    lot = _part(records, slice(300, 301))
    big = {**lot, "height": np.array(["180"]), "width": np.array(["180"])}
    small = {**lot, "height": np.array(["20"]), "width": np.array(["20"])}

    def of_size(cells):
        found = appraise.explain_lots(trained, cells, steps=32).contributions[0]
        return sum(one.amount for one in found if one.name.startswith(("height", "width", "area")))

    assert of_size(big) > 0.1
    assert of_size(small) < -0.1


def test_soft_statistics_are_those_of_numpy(records, trained):
    kinds = {"sizes": appraise.category_sizes(trained.encoder), "words": len(trained.encoder.words)}
    lots = appraise.encode(trained.encoder, _part(records, slice(250, 350)))
    layout = reasons._layout(trained.encoder)
    nothing = appraise.encode(trained.encoder, {"artist": np.array([""])})
    told = reasons._told(trained.statistics, trained.encoder, trained.known.lots)
    others = reasons._others(trained, trained.encoder, lots)

    def soft_at(share):
        shares = soft.all_shares(lots, layout, jnp.full(100, share))
        given = soft.partly_known(nothing, lots, shares, layout)
        of_member = [jax.tree.map(lambda leaf, member=member: leaf[member], (told, others)) for member in range(2)]
        return np.stack([soft.soft_statistics(*each, given, shares) for each in of_member])

    expected = appraise.price_statistics(trained.statistics, lots, **kinds)
    np.testing.assert_allclose(soft_at(1.0), expected, atol=2e-5)
    unknown = appraise.price_statistics(trained.statistics, nothing, **kinds)
    np.testing.assert_allclose(soft_at(0.0), np.broadcast_to(unknown, expected.shape), atol=2e-5)


def test_a_word_that_counts_for_nothing_is_no_word(records, trained):
    text = records["description"][300]
    cut = text.rsplit(maxsplit=1)[0]
    assert len(cut.split()) == len(text.split()) - 1
    lot = {**_part(records, slice(300, 301)), "description": np.array([text])}
    given = (trained, appraise.Encoder(*trained.encoder))
    lots = appraise.encode(trained.encoder, lot)
    layout, common = reasons._layout(given[1]), reasons._common(*given, 0)
    members, others = reasons._members(*given, common), reasons._others(*given, lots)
    member, beside = jax.tree.map(lambda leaf: leaf[0], (members, others))
    last = int((lots.tokens > 0).sum()) - 1
    shares = soft.all_shares(lots, layout, jnp.ones(1))
    shares = shares._replace(words=shares.words.at[:, last].set(0))
    value = jax.jit(soft.soft_value, static_argnums=(0, 1))
    gone = value(trained.network, layout, common, member, lots, beside, shares)
    without = appraise.encode(trained.encoder, {**lot, "description": np.array([cut])})
    beside = jax.tree.map(lambda leaf: leaf[0], reasons._others(*given, without))
    everything = soft.all_shares(without, layout, jnp.ones(1))
    hard = value(trained.network, layout, common, member, without, beside, everything)
    np.testing.assert_allclose(gone, hard, atol=1e-5)


def test_a_lot_of_the_training_part_is_nearest_to_itself(records, trained):
    own = np.arange(5)
    rows, similarity = appraise.nearest_sold(trained, _part(records, own))
    np.testing.assert_allclose(similarity[:, 0], 1, atol=1e-4)
    assert (np.diff(similarity, axis=1) <= 0).all()
    assert (similarity >= 0).all()
    lots = data.group_rows(records, GROUP)
    for row, found in zip(own, rows, strict=True):
        assert records["artist"][found[0]] == records["artist"][row]
        assert lots[found[0]] == lots[row] or row not in found
        assert len(set(lots[found])) == 5


def test_flags(records, trained):
    lot = {name: np.repeat(cells, 3) for name, cells in _part(records, slice(300, 301)).items()}
    lot["artist"] = np.array([records["artist"][0], "Nobody", records["artist"][0]])
    lot["height"] = np.array(["40", "40", ""])
    lot["description"] = np.array([records["description"][0], records["description"][0], ""])
    known, unknown, missing = appraise.flags_of(trained, lot)
    assert known == ()
    assert "artist unknown to the model: Nobody" in unknown
    assert any(flag.startswith("missing: height") and "text" in flag for flag in missing)
    nothing = appraise.flags_of(trained, {"artist": np.array([""])})[0]
    assert "unlike anything known" in nothing


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda *given: appraise.explain_lots(*given, steps=0), "steps: expected at least 1"),
        (lambda *given: appraise.nearest_sold(*given, 0), "count: expected at least 1"),
    ],
)
def test_what_cannot_be_asked(records, trained, call, message):
    with pytest.raises(ValueError, match=message):
        call(trained, _part(records, TEST))
