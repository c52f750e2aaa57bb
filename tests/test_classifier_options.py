"""What may be chosen of a classifier's run: patience, precision, features of others, schemes, rare classes; and what it tells of copies."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import data, io, runs
from jaxart.runs import classifier as kind
from jaxart.runs import classifier_scores, patience
from jaxart.tasks import classify
from jaxart.tasks.classify import recipe as steps_of

OPTIONS = runs.ClassifierOptions(
    size=16, width=8, batch=8, steps=8, save_every=2, sample_every=8, validation=0.25, augment=("horizontal_flip",)
)


def painted(folder, seed, count):
    """Return a folder of two classes, bright above or below."""
    rng = np.random.default_rng(seed)
    for label, half in (("above", slice(0, 8)), ("below", slice(8, 16))):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            picture = rng.random((16, 16, 3)) / 3
            picture[half] += 0.6
            io.write(folder / label / f"{number}.png", picture)
    return folder


@pytest.fixture(scope="module")
def paintings(tmp_path_factory):
    return painted(tmp_path_factory.mktemp("paintings"), 0, 12)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


# Patience

SCORES = {1: 0.3, 2: 0.5, 3: None, 4: 0.5, 5: 0.9}  # of the reports; a third of the same or worse is never seen


@pytest.fixture
def scripted(monkeypatch):
    def report(trained):
        return {"validation": {"macro F1": SCORES.get(int(trained.state.step), 0.5)}, "examples": 6}

    monkeypatch.setattr(classifier_scores, "_report", report)


@pytest.mark.usefixtures("scripted")
def test_a_run_without_patience_left_ends_with_its_best_weights_however_often_it_was_interrupted(paintings, tmp_path):
    options = dataclasses.replace(OPTIONS, sample_every=1, patience=2)
    seen = {}

    def note(state, info):
        seen[int(state.step)] = jax.tree.map(np.asarray, state.average)

    whole = runs.begin("classifier", paintings, tmp_path / "whole", options=options)
    state = runs.train(whole, hooks=(note,))
    assert sorted(seen) == [1, 2, 3, 4]
    assert int(state.step) == 8
    same(state.average, seen[2])
    assert patience.best_step(whole.folder) == 2
    assert json.loads((whole.folder / "calibration.json").read_text())["step"] == 8
    assert runs.summarize(whole.folder).state == "finished"

    cut = runs.begin("classifier", paintings, tmp_path / "cut", options=options)
    asked = iter([False, False, True])
    runs.train(cut, stop=lambda: next(asked, True))
    same(runs.train(runs.open_run(cut.folder)), state)
    shutil.rmtree(cut.folder / "checkpoints" / "8")  # as if killed before the end was written
    assert max(runs.saved_steps(cut.folder)) == 4
    same(runs.train(runs.open_run(cut.folder)), state)
    same(runs.train(runs.open_run(cut.folder)), state)
    with pytest.raises(ValueError, match="ended early, as 2 reports"):
        runs.train(runs.open_run(cut.folder), steps=12)


# Networks


@pytest.mark.parametrize("model", ["residual", "vit", "rows"])
def test_products_are_of_the_precision_that_is_asked_for_and_outputs_of_single(model):
    options = dataclasses.replace(OPTIONS, model=model, width=24, precision="bfloat16")
    network = kind.network_of(options, {"counts": [9, 9], "train": 18})
    assert network.dtype == jnp.bfloat16
    images = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), images)
    made = jax.make_jaxpr(network.apply)(params, images)
    assert {each.aval.dtype for each in made.jaxpr.outvars} == {jnp.dtype("float32")}
    assert "bf16" in str(made)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_a_network_of_fewer_inner_channels_is_the_one_that_narrowing_makes(share):
    facts = {"counts": [9, 9], "train": 18}
    whole = kind.network_of(dataclasses.replace(OPTIONS, width=32), facts)
    shapes = jax.eval_shape(whole.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32))["params"]
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    expected = classify.narrow(classify.Classifier(whole, params), keep=share).network
    assert kind.network_of(dataclasses.replace(OPTIONS, width=32, inner=share), facts) == expected


def test_pictures_of_rare_classes_are_changed_more_often(rng):
    options = dataclasses.replace(OPTIONS, augment_rare=True)
    rates = kind._rates(options, {"counts": [100, 25]})
    assert rates == pytest.approx((0.3, 0.6))
    assert kind._rates(OPTIONS, {"counts": [100, 25]}) is None
    keys, label = jax.random.split(jax.random.key(0), 1000), jnp.arange(1000) % 2
    images = jnp.zeros((1000, 2, 2, 3))
    model = steps_of._Model(None, None, None, None, lambda keys, images: images + 1, rates, None, 0.0, 0.0, False, None)
    changed = np.asarray(steps_of._transformed(model, keys, images, label)).mean((1, 2, 3))
    assert set(changed.tolist()) == {0.0, 1.0}
    assert changed[0::2].mean() == pytest.approx(0.3, abs=0.05)
    assert changed[1::2].mean() == pytest.approx(0.6, abs=0.05)


@pytest.fixture(scope="module")
def pairs(paintings, tmp_path_factory):
    """Return a run of one-vs-one."""
    options = dataclasses.replace(OPTIONS, scheme="one-vs-one", steps=2, sample_every=2)
    run = runs.begin("classifier", paintings, tmp_path_factory.mktemp("pairs") / "run", options=options)
    runs.train(run)
    return run


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_pairs_are_explained_by_the_margins_of_a_class(pairs, paintings, method):
    picture = io.read_picture(paintings / "above" / "0.png")
    (answer,) = runs.classify(pairs, [picture])
    assert list(runs.explain(pairs, picture, method=method).maps) == [
        max(answer.probabilities, key=answer.probabilities.get)
    ]
    maps = runs.explain(pairs, picture, classes=["above", "below"], method=method).maps
    assert np.abs(maps["above"] - maps["below"]).max() > 0.01  # what speaks for one speaks against the other


@pytest.mark.parametrize("head", ["kernel", "network"])
def test_a_head_on_features_of_vgg_answers_and_explains(head, paintings, vgg_file, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    options = dataclasses.replace(
        OPTIONS,
        features="vgg16",
        weights=vgg_file,
        size=32,
        steps=2,
        sample_every=2,
        hidden=None if head == "kernel" else 8,
    )
    run = runs.begin("classifier", paintings, tmp_path / "run", options=options)
    state = runs.train(run)
    assert state.scaling.center.shape == (7616,)
    assert ("support" in state.average) == (head == "kernel")
    (kept,) = (tmp_path / "cache" / "features").glob("*.npy")
    assert np.load(kept).shape == (24, 7616)
    picture = io.read_picture(paintings / "below" / "1.png")
    (answer,) = runs.classify(run, [picture])
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    file = runs.export(run, tmp_path / f"{head}.safetensors")
    (same_answer,) = runs.classify(file, [picture])
    assert same_answer.probabilities == pytest.approx(answer.probabilities, abs=1e-3)
    if head == "kernel":
        small = runs.compress(run, tmp_path / "small.safetensors", method="int8")
        assert small.after.bytes < small.before.bytes / 2
        (rounded,) = runs.classify(small.path, [picture])
        assert rounded.probabilities == pytest.approx(answer.probabilities, abs=0.1)
    found = runs.explain(run, picture, classes=["below"], method="smooth-grad")
    assert found.maps["below"].shape == (32, 32)
    assert found.maps["below"].max() > 0
    with pytest.raises(ValueError, match="network with maps"):
        runs.explain(run, picture, method="grad-cam")


def test_a_head_on_an_encoder_of_ones_own_needs_it_no_longer_once_it_is_trained(paintings, tmp_path):
    small = runs.VaeOptions(size=16, width=4, latent=6, batch=8, steps=2, save_every=2, sample_every=2)
    seer = runs.begin("vae", paintings, tmp_path / "vae", options=small)
    runs.train(seer)
    options = dataclasses.replace(OPTIONS, features="vae", encoder=seer.folder, hidden=8, steps=2, sample_every=2)
    with pytest.raises(ValueError, match="16 pixels a side, got 32"):
        runs.prepare("classifier", paintings, tmp_path / "run", options=dataclasses.replace(options, size=32))
    with pytest.raises(ValueError, match="belong together"):
        runs.prepare("classifier", paintings, tmp_path / "run", options=dataclasses.replace(options, encoder=None))
    run = runs.begin("classifier", paintings, tmp_path / "run", options=options)
    state = runs.train(run)
    assert state.scaling.center.shape == (6,)
    seer.folder.rename(tmp_path / "elsewhere")
    picture = io.read_picture(paintings / "below" / "1.png")
    (answer,) = runs.classify(runs.open_run(run.folder), [picture])
    (same_answer,) = runs.classify(runs.export(run, tmp_path / "head.safetensors"), [picture])
    assert same_answer.probabilities == pytest.approx(answer.probabilities, abs=1e-3)
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert runs.explain(run, picture, method="smooth-grad").maps
    with pytest.raises(ValueError, match="the kind classifier"):
        runs.prepare(
            "classifier", paintings, tmp_path / "new", options=dataclasses.replace(options, encoder=run.folder)
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patience": -1}, "0 or more reports"),
        ({"inner": 0.5, "model": "vit"}, "of a residual network, got 0.5 of vit"),
        ({"inner": 0.0}, r"a share in \(0, 1\]"),
        ({"augment_rare": True, "augment": ()}, "augment says how"),
        ({"precision": "bfloat16", "features": "vgg16"}, "networks of pictures"),
        ({"head": "kernel"}, "head: is of features by VGG-16, got features none"),
        (
            {"head": "kernel", "features": "vgg16", "hidden": 8, "scheme": "one-vs-one"},
            "only a network has hidden, scheme",
        ),
        ({"head": "kernel", "features": "vgg16", "learning_rate": 0.1}, "only a network has learning_rate"),
    ],
)
def test_options_that_cannot_be_are_refused(paintings, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        runs.prepare("classifier", paintings, tmp_path / "run", options=dataclasses.replace(OPTIONS, **changes))


# Copies


def test_copies_are_told_of_before_training_and_where_scores_are_taken(paintings, pairs, tmp_path):
    painted(tmp_path / "data", 1, 6)
    twice = io.read(tmp_path / "data" / "above" / "2.png")[:, ::-1]
    io.write(tmp_path / "data" / "above" / "2m.png", twice)
    with pytest.warns(UserWarning, match=r"1 of 13 pictures are copies of others \(above/2m.png of above/2.png\)"):
        run = runs.prepare("classifier", tmp_path / "data", tmp_path / "run", options=OPTIONS)
    assert len(run.data["data"].names) == 13
    painted(tmp_path / "others", 2, 4)
    shutil.copy(paintings / "below" / "3.png", tmp_path / "others" / "below" / "new.png")
    with pytest.warns(
        UserWarning, match=r"1 of 9 pictures are copies .* \(below/new.png of below/3.png\); they are left in"
    ):
        cards = runs.score(pairs, tmp_path / "others")
    assert cards[0].n_fake == 9


def test_names_follow_the_examples_that_are_taken(paintings):
    found = data.load(paintings, size=16)
    assert found.names[:2] == ("above/0.png", "above/1.png")
    assert data.take(found, np.array([13, 1])).names == (found.names[13], "above/1.png")


# Certainty


def test_sets_hold_the_truth_as_often_as_promised_and_those_shown_as_often_as_is_said(rng):
    labels = rng.integers(0, 4, 6000)
    outputs = (3.5 * np.eye(4)[labels] + rng.standard_normal((6000, 4))).astype(np.float32)  # 98 % of them right
    target = classify.one_class(4)
    known, new = slice(0, 3000), slice(3000, None)
    found = classify.calibrate(outputs[known], labels[known], target, classes=4)
    told = classify.answers(outputs[new], target, found)
    right = np.arange(3000), labels[new]
    assert told.sets[right].mean() == pytest.approx(0.9, abs=0.02)
    assert not told.sets.any(axis=1).all()
    assert found.coverage is not None
    assert found.coverage > 0.95
    assert told.shown[right].mean() == pytest.approx(found.coverage, abs=0.01)
    np.testing.assert_array_equal(told.shown.any(axis=1), told.sets.any(axis=1) | ~told.novel)
    full = told.sets.any(axis=1)
    np.testing.assert_array_equal(told.shown[full], told.sets[full])
