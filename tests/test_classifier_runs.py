"""Classifiers as runs: begun, interrupted, resumed, asked."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxart import io, runs, weights
from jaxart.cli import app
from jaxart.runs import classifier as kind
from jaxart.runs import labels as labels_of_runs


@pytest.fixture(scope="module")
def paintings(tmp_path_factory):
    """Return a folder of two classes, bright above or below, 12 pictures each."""
    folder, rng = tmp_path_factory.mktemp("paintings"), np.random.default_rng(0)
    for label, half in (("above", slice(0, 8)), ("below", slice(8, 16))):
        (folder / label).mkdir()
        for number in range(12):
            picture = rng.random((16, 16, 3)) / 3
            picture[half] += 0.6
            io.write(folder / label / f"{number}.png", picture)
    return folder


OPTIONS = runs.ClassifierOptions(
    size=16, width=8, batch=8, steps=6, save_every=2, sample_every=6, validation=0.25, augment=("horizontal_flip",)
)


def test_a_run_that_was_interrupted_ends_with_the_same_bits_and_knows_its_classes(paintings, tmp_path):
    whole = runs.begin("classifier", paintings, tmp_path / "whole", options=OPTIONS)
    state = runs.train(whole)
    cut = runs.begin("classifier", paintings, tmp_path / "cut", options=OPTIONS)
    asked = iter([False, False, True])
    runs.train(cut, stop=lambda: next(asked, True))
    again = runs.train(runs.open_run(tmp_path / "cut"))
    jax.tree.map(np.testing.assert_array_equal, state, again)
    told = json.loads((tmp_path / "whole" / "calibration.json").read_text())
    assert told == json.loads((tmp_path / "cut" / "calibration.json").read_text())
    assert told["step"] == 6
    assert told["examples"] == 6
    assert whole.facts == {"classes": ["above", "below"], "counts": [9, 9], "train": 18, "validation": 6}
    cards = runs.score(runs.open_run(tmp_path / "whole"), paintings_of_another(tmp_path))
    assert [card.name.split(" on ")[0] for card in cards] == [
        "accuracy",
        "macro F1",
        "balanced accuracy",
        "negative log-likelihood",
    ]


def paintings_of_another(folder):
    made, rng = folder / "others", np.random.default_rng(1)
    for label, half in (("above", slice(0, 8)), ("below", slice(8, 16))):
        (made / label).mkdir(parents=True)
        for number in range(4):
            picture = rng.random((16, 16, 3)) / 3
            picture[half] += 0.6
            io.write(made / label / f"{number}.png", picture)
    return made


@pytest.fixture(scope="module")
def trained(paintings, tmp_path_factory):
    run = runs.begin("classifier", paintings, tmp_path_factory.mktemp("trained") / "run", options=OPTIONS)
    runs.train(run)
    return runs.open_run(run.folder)


def test_answers_have_a_set_and_a_probability_and_the_command_prints_them(trained, paintings, capsys, tmp_path):
    pictures = [io.read_picture(paintings / name / "0.png") for name in ("above", "below")]
    found = runs.classify(trained, pictures)
    for answer in found:
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.probability == max(answer.probabilities.values())
        assert set(answer.set) <= {"above", "below"}
    (tmp_path / "broken.png").write_bytes(b"no picture")
    words = [
        "classify",
        str(trained.folder),
        str(paintings / "above" / "0.png"),
        str(tmp_path / "broken.png"),
        "--json",
    ]
    assert app()(words, exit_on_error=False) == 2
    told = capsys.readouterr()
    (line,) = told.out.strip().splitlines()
    assert json.loads(line)["file"].endswith("0.png")
    assert json.loads(line)["probability"] == pytest.approx(found[0].probability, rel=1e-5)
    assert "left out" in told.err
    assert "broken.png" in told.err


def test_a_file_answers_as_its_run_does(trained, paintings, tmp_path, capsys):
    exported = runs.export(trained, tmp_path / "network.safetensors")
    picture = paintings / "above" / "0.png"
    (own,), (found,) = (runs.classify(each, [io.read_picture(picture)]) for each in (trained, exported))
    assert found.probabilities == pytest.approx(own.probabilities, abs=5e-3)  # half precision
    assert found.label == own.label
    small = runs.compress(trained, tmp_path / "small.safetensors", method="int8")
    assert set(small.after.scores) >= {"accuracy", "macro F1"}
    for words in (
        ["classify", str(small.path), str(picture), "--json"],
        ["explain", str(small.path), str(picture), "-o"],
    ):
        more = [str(tmp_path / "why.png")] if words[-1] == "-o" else []
        assert app()([*words, *more], exit_on_error=False) == 0
    (answer,) = runs.classify(runs.read_classifier(small.path), [io.read_picture(picture)])
    told = json.loads(capsys.readouterr().out.splitlines()[0])
    assert told["probability"] == pytest.approx(answer.probability, rel=1e-5)
    assert (tmp_path / "why.png").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.pop("options"), "lacks the options of the run"),
        (lambda about: about["options"].update(further=1), "options that this version does not know: further"),
        (lambda about: about["options"].update(width="16"), "no sensible width"),
        (lambda about: about["options"].update(dropout=float("inf")), "no sensible dropout"),
        (lambda about: about["options"].update(model="large"), "no sensible model"),
        (lambda about: about["options"].update(size=10**6), "no sensible size"),
        (lambda about: about["options"].update(width=16), "layers are not those of the network"),
        (lambda about: about["facts"].update(classes=["above"] * 2), "lacks sensible classes"),
        (lambda about: about["facts"].update(counts=[1, "2"]), "lacks sensible classes"),
        (lambda about: about["measured"]["calibration"].update(temperature=0), "lacks a sensible calibration"),
        (lambda about: about["measured"]["calibration"].update(strangeness=[2.0, 1.0]), "lacks a sensible calibration"),
        (lambda about: about.update(measured=None), "lacks a sensible calibration"),
    ],
)
def test_a_file_of_a_stranger_is_checked(trained, tmp_path, change, message):
    path = tmp_path / "network.safetensors"
    network = weights.read_network(runs.export(trained, path), kind="classifier")
    change(network.about)
    path.write_bytes(weights.network_bytes(network))
    with pytest.raises(weights.WeightsError, match=message):
        runs.read_classifier(path)


def test_scores_are_drawn(trained, tmp_path):
    pytest.importorskip("matplotlib")
    words = ["score", str(trained.folder), str(paintings_of_another(tmp_path)), "-o", str(tmp_path / "scores.json")]
    assert app()([*words, "--plots", str(tmp_path / "plots")], exit_on_error=False) == 0
    names = {"confusion.png", "reliability.png", "roc.png", "precision-recall.png"}
    assert {each.name for each in (tmp_path / "plots").iterdir()} == names


@pytest.mark.parametrize("method", [None, "integrated-gradients"])
def test_reasons_are_maps_of_the_classes_that_are_asked_for(trained, paintings, tmp_path, method):
    picture = io.read_picture(paintings / "above" / "0.png")
    reasons = runs.explain(trained, picture, classes=["below", "above"], method=method)
    assert list(reasons.maps) == ["below", "above"]
    assert all(each.shape == (16, 16) and np.isfinite(each).all() for each in reasons.maps.values())
    assert runs.reasons_sheet(reasons).shape[2] == 3
    with pytest.raises(ValueError, match="sideways"):
        runs.explain(trained, picture, classes=["sideways"])


def table(folder, rows):
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def test_several_labels_and_numbers_are_learned_from_a_csv(paintings, tmp_path):
    files = [f"{name}/{number}.png" for name in ("above", "below") for number in range(12)]
    cells = ["bright; high" if file.startswith("above") else "-" for file in files]
    labels = table(tmp_path, ["file,label", *(f"{file},{cell}" for file, cell in zip(files, cells, strict=True))])
    options = dataclasses.replace(OPTIONS, task="labels", labels=labels, steps=2, sample_every=2)
    run = runs.begin("classifier", paintings, tmp_path / "several", options=options)
    assert run.facts["classes"] == ["bright", "high"]
    runs.train(run)
    (answer,) = runs.classify(run, [io.read_picture(paintings / files[0])])
    assert set(answer.probabilities) == {"bright", "high"}
    rows = [f"{file},{1500 + 3 * number}" for number, file in enumerate(files)]
    years = table(tmp_path, ["file,year", *rows])
    options = dataclasses.replace(options, task="numbers", labels=years, columns=("year",))
    run = runs.begin("classifier", paintings, tmp_path / "numbers", options=options)
    runs.train(run)
    (answer,) = runs.classify(run, [io.read_picture(paintings / files[0])])
    assert 1400 < answer.probabilities["year"] < 1700


def test_options_and_data_that_do_not_fit_are_refused(paintings, tmp_path):
    def begin(**changes):
        runs.prepare("classifier", paintings, tmp_path / "run", options=dataclasses.replace(OPTIONS, **changes))

    with pytest.raises(ValueError, match="with one-vs-all take inverse or balanced"):
        begin(scheme="one-vs-all", balance="logit-adjustment")
    with pytest.raises(ValueError, match="are columns of a CSV"):
        begin(group="work")
    with pytest.raises(ValueError, match="of the task numbers"):
        begin(columns=("year",))
    with pytest.raises(ValueError, match="share in"):
        begin(validation=1.5)
    with pytest.raises(ValueError, match="expected two classes or more, got"):
        runs.prepare("classifier", paintings / "above", tmp_path / "run", options=OPTIONS)


def test_copies_of_a_picture_are_never_on_both_sides(paintings, tmp_path):
    for name in ("above", "below"):
        (tmp_path / name).mkdir()
        for number in range(12):
            picture = io.read(paintings / name / f"{number}.png")
            io.write(tmp_path / name / f"{number}.png", picture)
            io.write(tmp_path / name / f"{number}m.png", picture[:, ::-1])
    with pytest.warns(UserWarning, match="24 of 48 pictures are copies of others"):
        data = kind.load(OPTIONS, "data", tmp_path)
    train, kept = labels_of_runs.parts(OPTIONS, data)
    assert not set(data.column("work")[train]) & set(data.column("work")[kept])
    assert len(train) + len(kept) == 48


@pytest.mark.parametrize(
    "balance", ["none", "inverse", "effective-number", "focal", "square-root", "balanced", "deferred"]
)
def test_every_balance_has_a_step_and_resumed_batches(paintings, tmp_path, balance):
    options = dataclasses.replace(OPTIONS, balance=balance, steps=5)
    run = runs.prepare("classifier", paintings, tmp_path / "run", options=options)
    key = jax.random.key(0)
    stream = kind.batches(key, options, run.data, 0, (0, 1))
    rows = [next(stream)["row"] for _ in range(5)]
    again = kind.batches(key, options, run.data, 3, (0, 1))
    np.testing.assert_array_equal(np.stack(rows[3:]), np.stack([next(again)["row"] for _ in range(2)]))
    assert kind.target_of(options, run.facts).outputs == 2
