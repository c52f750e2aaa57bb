"""Runs from Python, in one process: the verbs, folders of older versions, and what is refused with one clear line."""

import dataclasses
import hashlib
import importlib
import json
import shutil
import sys
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxart import cli, io, runs, training, weights
from jaxart import data as shelf
from jaxart.runs import folder as files
from jaxart.runs import student

OLD = Path(__file__).with_name("run_format_1.tar.gz")
TINY = {
    "size": 8,
    "channels": 1,
    "width": 4,
    "latent": 4,
    "batch": 8,
    "save_every": 10,
    "sample_every": 10,
    "steps": 20,
}
GAN = runs.GanOptions(**TINY)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures of two classes, in a file for training and one held out."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    for name, count in (("bars", 40), ("others", 120)):
        images = rng.integers(0, 90, (count, 8, 8, 1), np.uint8)
        labels = np.arange(count) % 2
        images[labels == 0, :4] += 150
        images[labels == 1, 4:] += 150
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A GAN that was trained without a break for 20 steps."""
    run = runs.begin("gan", data / "bars.npz", tmp_path_factory.mktemp("runs") / "run", options=GAN)
    runs.train(run)
    return run.folder


def command(monkeypatch, capsys, *arguments) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it said."""
    monkeypatch.setattr(sys, "argv", ["jaxart", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    told = capsys.readouterr()
    return stopped.value.code, " ".join((told.out + told.err).split())


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the digest and the time of every file."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def leaves(state) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def test_ten_lines_of_python(data, trained, tmp_path):
    run = runs.begin("gan", data / "bars.npz", tmp_path / "run", options=GAN)
    runs.train(run, stop=lambda: True)
    assert 0 < runs.saved_steps(run.folder)[0] < 20
    state = runs.train(runs.open_run(run.folder))
    pictures = runs.sample(run, 16)
    io.write(tmp_path / "grid.png", io.grid(pictures, columns=8))
    assert leaves(state) == leaves(runs.newest_state(runs.open_run(trained)))
    assert pictures.shape == (16, 8, 8, 1)
    assert runs.summarize(run.folder).state == "finished"


def test_the_steps_of_a_resumed_run_are_kept(data, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    assert int(runs.train(runs.open_run(tmp_path / "run"), steps=30).step) == 30
    assert runs.open_run(tmp_path / "run").options.steps == 30
    assert runs.open_run(trained).options.steps == 20


def test_two_devices_go_on_as_one(trained, tmp_path):
    logs = []
    for name, mesh in (("one", None), ("two", training.data_mesh(jax.devices()[:2]))):
        shutil.copytree(trained, tmp_path / name)
        runs.train(runs.open_run(tmp_path / name), steps=30, mesh=mesh)
        logs.append([json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()][-1])
    assert logs[1]["step"] == 30
    assert logs[1]["discriminator"] == pytest.approx(logs[0]["discriminator"], rel=1e-5)


@pytest.fixture(scope="module")
def flow(data, tmp_path_factory):
    """A flow of a few steps."""
    few = {name: value for name, value in TINY.items() if name != "latent"}
    options = runs.FlowOptions(**few, factors=(1, 2), conditional=True, sampling_steps=3)
    run = runs.begin("flow", data / "bars.npz", tmp_path_factory.mktemp("flow") / "run", options=options)
    runs.train(run)
    return run


def test_a_flow_resumes_and_draws(flow, data, tmp_path):
    assert flow.facts["scale"] == pytest.approx(0.55, abs=0.1)
    half = runs.begin("flow", data / "bars.npz", tmp_path / "run", options=flow.options)
    runs.train(half, stop=lambda: files.saved_steps(half.folder) != [])
    assert max(files.saved_steps(half.folder)) < 20
    runs.train(half)
    for a, b in zip(*(jax.tree.leaves(runs.newest_state(each)) for each in (flow, half)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (flow.folder / "samples" / "step0000020.png").is_file()
    told = json.loads((flow.folder / "samples" / "step0000020.json").read_text())["pictures"]
    assert {each["verdict"] for each in told} <= {"copy", "near", "original"}
    assert len(told) == 64
    drawn = runs.sample(flow, 3, label="1")
    assert drawn.shape == (3, 8, 8, 1)
    assert runs.walk(flow, stops=2, frames=2).shape == (4, 8, 8, 1)
    exported = jax.export.deserialize(bytearray(runs.export(flow, tmp_path / "flow.bin").read_bytes()))
    z, label = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32), np.ones(3, np.int32)
    np.testing.assert_allclose(exported.call(z, label), runs.generator(flow).generate(z, label), atol=1e-4)


def test_a_flow_is_a_file_too(flow, tmp_path, monkeypatch, capsys):
    file = runs.export(flow, tmp_path / "flow.safetensors")
    assert file.stat().st_size < 100_000
    rounded = runs.sample(flow, 3, label="1")
    np.testing.assert_allclose(runs.sample(file, 3, label="1"), rounded, atol=0.02)  # half precision
    np.testing.assert_allclose(runs.walk(file, stops=2, frames=1), runs.walk(flow, stops=2, frames=1), atol=0.02)
    picture = np.random.default_rng(0).uniform(0, 1, (8, 8, 3))
    drawn = runs.sample(file, 2, guidance=runs.Guidance(picture=picture, strength=0.05))
    assert np.abs(drawn - shelf.shaped(io.Picture(picture), shelf.Shape(8, 1, "crop")) / 255).mean() < 0.1
    assert command(monkeypatch, capsys, "generate", file, "-o", tmp_path / "sheet.png", "-n", 2)[0] == 0
    code, told = command(monkeypatch, capsys, "generate", file, "-o", tmp_path / "sheet.png", "--nearest")
    assert (code, "no set of pictures" in told) == (2, True)
    for change, said in (({"width": 5}, "layers"), ({"factors": "x"}, "factors"), ({"steps": 10**9}, "steps")):
        network = weights.read_network(file, kind="flow")
        (tmp_path / "odd.safetensors").write_bytes(
            weights.network_bytes(network._replace(about=network.about | change))
        )
        with pytest.raises(weights.WeightsError, match=said):
            runs.sample(tmp_path / "odd.safetensors", 1)


def test_each_picture_stands_beside_the_nearest_it_learned_from(flow, tmp_path, monkeypatch, capsys):
    sheet = tmp_path / "sheet.png"
    code, told = command(monkeypatch, capsys, "generate", flow.folder, "-o", sheet, "-n", 6, "--seed", 3, "--nearest")
    assert (code, "original" in told) == (0, True), told
    about = json.loads(sheet.with_suffix(".json").read_text())
    assert about["seed"] == 3
    known = runs.known_pictures(flow).column("image")
    pairs, made = io.read(tmp_path / "sheet-nearest.png"), runs.sample(flow, 6, seed=3)
    assert pairs.shape == (18, 78, 3)
    np.testing.assert_allclose(pairs[10:, 20:28], made[5].repeat(3, -1), atol=0.003)
    np.testing.assert_allclose(pairs[10:, 30:38, :1], known[about["pictures"][5]["nearest"]] / 255, atol=0.003)


def test_without_a_run_the_flow_in_the_package_draws(tmp_path, monkeypatch, capsys):
    (tmp_path / "icons").mkdir()  # somebody's data
    monkeypatch.chdir(tmp_path)
    line = ("generate", "-o", "sheet.png", "-n", 2, "--steps", 2)
    assert command(monkeypatch, capsys, *line)[0] == 0
    made = runs.sample(runs.opened(), 2, guidance=runs.Guidance(steps=2))
    np.testing.assert_allclose(io.read(tmp_path / "sheet.png"), io.grid(made, columns=8)[:, :130], atol=0.003)
    assert command(monkeypatch, capsys, "generate", "icons", *line[1:])[0] == 2  # the folder, which holds no run
    (tmp_path / "icons").rmdir()
    assert command(monkeypatch, capsys, "generate", "icons", *line[1:])[0] == 0


def test_a_flow_varies_and_fills_pictures_of_any_size(flow, tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    picture, mask = rng.uniform(0, 1, (12, 8, 3)).astype(np.float32), np.zeros((12, 8, 1), np.float32)
    mask[:, 4:] = 1
    small = shelf.shaped(io.Picture(picture), shelf.Shape(8, 1, "crop")) / 255
    near, far = (
        np.abs(runs.sample(flow, 2, guidance=runs.Guidance(picture=picture, strength=strength)) - small).mean()
        for strength in (0.05, 1.0)
    )
    assert near < 0.1 < far
    filled = runs.sample(flow, 2, guidance=runs.Guidance(picture=picture, mask=mask, repeats=2))
    np.testing.assert_array_equal(np.rint(255 * filled[:, :, :4]), np.rint(255 * small[None, :, :4]).repeat(2, 0))
    assert np.std(filled[:, :, 4:] - small[:, 4:]) > 0.05
    for name, pixels in (("picture", picture), ("mask", mask.repeat(3, 2))):
        io.write(tmp_path / f"{name}.png", pixels)
    files = ["--fill", tmp_path / "picture.png", "--mask", tmp_path / "mask.png"]
    where = flow.folder, "-o", tmp_path / "out.png", "-n", 2
    assert command(monkeypatch, capsys, "generate", *where, *files)[0] == 0
    assert io.read(tmp_path / "out.png").shape[:2] == io.grid(filled, columns=8).shape[:2]
    code, told = command(monkeypatch, capsys, "generate", *where, *files[:2])
    assert code == 2
    assert "--fill and --mask belong together" in told


def test_a_flow_draws_toward_a_style(flow, variables, monkeypatch):
    monkeypatch.setattr(weights, "load", lambda name: variables)
    style = np.random.default_rng(0).uniform(0, 1, (20, 30, 3))
    plain, styled = (
        runs.sample(flow, 2, guidance=runs.Guidance(style=style, style_strength=strength)) for strength in (0.0, 0.8)
    )
    np.testing.assert_allclose(plain, runs.sample(flow, 2), atol=1e-4)
    assert np.abs(styled - plain).mean() > 0.05


def test_a_student_learns_from_what_its_teacher_draws(flow, data, vgg_file, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    options = runs.StudentOptions(teacher=flow.folder, pairs=12, batch=4, steps=6, save_every=3, weights=vgg_file)
    run = runs.begin("student", data / "bars.npz", tmp_path / "student", options=options)
    state = runs.train(run)
    (kept,) = (tmp_path / "cache" / "drawings").iterdir()
    with np.load(kept) as drawn:
        z = np.asarray(student._noise(drawn["number"][5:6], (8, 8, 1))).reshape(1, 64)
        again = runs.generator(flow).generate(z, drawn["label"][5:6])
        np.testing.assert_allclose(np.clip(again, 0, 1), drawn["image"][5:6] / 255, atol=1 / 255)
    assert runs.sample(run, 3).shape == (3, 8, 8, 1)
    assert runs.generator(run).generate.network.steps == 2

    half = runs.begin("student", data / "bars.npz", tmp_path / "half", options=options)
    runs.train(half, stop=lambda: files.saved_steps(half.folder) != [])
    for a, b in zip(*map(jax.tree.leaves, (runs.train(half), state)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "source", "said"),
    [
        ({"teacher": None}, "bars", "teacher: expected the folder of a trained run of the kind flow"),
        ({"pairs": 3}, "bars", "pairs: expected at least a batch, 4, got 3"),
        ({}, "others", "expected the pictures that the teacher learned from"),
    ],
)
def test_a_student_without_what_it_needs_is_refused(flow, data, tmp_path, change, source, said):
    options = dataclasses.replace(runs.StudentOptions(teacher=flow.folder, pairs=12, batch=4), **change)
    with pytest.raises(ValueError, match=said):
        runs.begin("student", data / f"{source}.npz", tmp_path / "run", options=options)


def test_a_student_is_scored_on_the_part_that_is_asked_for(flow, tmp_path):
    for part, count in (("train", 6), ("test", 4)):
        (tmp_path / part).mkdir()
        for number in range(count):
            io.write(tmp_path / part / f"{number}.png", np.full((8, 8, 3), number / 10))
    options = runs.StudentOptions(teacher=flow.folder, pairs=12, batch=4)
    parts = [dataclasses.replace(options, split=split) for split in (None, "train", "test")]
    assert [student.load(each, "data", tmp_path).count for each in parts] == [6, 6, 4]


def test_what_is_no_flow_cannot_be_guided(flow):
    run = flow._replace(kind="vae")
    with pytest.raises(ValueError, match="vae cannot be guided; a flow can"):
        runs.sample(run, 1, guidance=runs.Guidance())


@pytest.mark.parametrize(
    ("guidance", "said"),
    [
        ({"mask": np.ones((4, 4, 1))}, "no picture to be filled"),
        (
            {"mask": np.ones((4, 4, 1)), "picture": np.ones((4, 5, 3))},
            "expected the size of the picture, 5 x 4, got 4 x 4",
        ),
        ({"mask": np.zeros((4, 4, 1)), "picture": np.ones((4, 4, 3))}, "nothing in it is to be filled"),
        ({"picture": np.ones((4, 4, 3)), "strength": 0.0}, "strength: expected above 0"),
        ({"style_strength": -1.0}, "style_strength"),
        ({"steps": 0}, "steps"),
    ],
)
def test_guidance_that_does_not_fit_is_refused(flow, guidance, said):
    with pytest.raises(ValueError, match=said):
        runs.sample(flow, 1, guidance=runs.Guidance(**guidance))


def test_a_vae_trains_and_resumes_from_its_folder_alone(data, tmp_path):
    run = runs.begin("vae", data / "bars.npz", tmp_path / "run", options=runs.VaeOptions(**TINY, learning_rate=0.01))
    runs.train(run)
    runs.train(runs.open_run(run.folder), steps=40)
    rows = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 40
    assert rows[-1]["bound"] > rows[0]["bound"]
    assert runs.sample(run, 4).shape == (4, 8, 8, 1)


def test_a_dry_run_tells_and_writes_nothing(data, tmp_path):
    run = runs.prepare("gan", data / "bars.npz", tmp_path / "run", options=GAN)
    found = runs.dry_run(run)
    assert set(found.parameters) == {"generator", "discriminator"}
    assert min(found.parameters.values()) > 100
    assert [program.name for program in found.programs] == ["a step", "every 4 steps"]
    assert found.batch["image"].shape == (8, 8, 8, 1)
    assert not (tmp_path / "run").exists()


def test_pictures_walks_and_exports(data, tmp_path, monkeypatch, capsys):
    folder, sheet, again = tmp_path / "run", tmp_path / "sheet.png", tmp_path / "again.png"
    runs.train(
        runs.begin("gan", data / "bars.npz", folder, options=dataclasses.replace(GAN, steps=10, conditional=True))
    )
    before = contents(folder)
    for path in (sheet, again):
        assert command(monkeypatch, capsys, "generate", folder, "-n", 16, "-o", path)[0] == 0
    assert sheet.read_bytes() == again.read_bytes()
    assert io.read(sheet).shape == (18, 78, 3)
    command(monkeypatch, capsys, "generate", folder, "-n", 3, "--label", "1", "--separate", "-o", tmp_path / "many")
    assert len(list((tmp_path / "many").glob("*.png"))) == 3
    code, told = command(monkeypatch, capsys, "generate", folder, "--label", "x", "-o", sheet)
    assert (code, "unknown value 'x'; known: 0, 1" in told) == (2, True)
    command(monkeypatch, capsys, "interpolate", folder, "--stops", 2, "--frames", 3, "-o", tmp_path / "walk.gif")
    assert (tmp_path / "walk.gif").read_bytes()[:3] == b"GIF"
    command(monkeypatch, capsys, "export", folder, "-o", tmp_path / "generator.jax")
    loaded = jax.export.deserialize(bytearray((tmp_path / "generator.jax").read_bytes()))
    assert loaded.platforms == ("cpu", "cuda", "tpu")
    assert loaded.call(np.zeros((5, 4), np.float32), np.zeros(5, np.int32)).shape == (5, 8, 8, 1)
    for suffix in (".onnx", ".safetensors"):
        code, told = command(monkeypatch, capsys, "export", folder, "-o", tmp_path / f"generator{suffix}")
        assert (code, f"a run of the kind gan has no form {suffix}: choose another suffix" in told) == (2, True)
    code, told = command(monkeypatch, capsys, "runs", tmp_path)
    assert (code, "10 of 10" in told, "finished" in told) == (0, True, True)
    assert contents(folder) == before


def test_a_flipped_byte_falls_back_with_a_warning(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    newest = folder / "checkpoints" / "20"
    largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.warns(UserWarning, match="checkpoint of step 20 cannot be read"):
        state = runs.train(runs.open_run(folder))
    assert leaves(state) == leaves(runs.newest_state(runs.open_run(trained)))


def test_several_sources_each_with_its_digest(tmp_path, monkeypatch):
    monkeypatch.setitem(runs.KINDS, "linear", None)  # which takes away what the import puts there
    toy = importlib.import_module("toy_kind").KIND
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        columns = {"numbers": rng.normal(size=(40, 3)).astype(np.float32), "target": rng.random(40, np.float32)}
        whole = {"kind": rng.integers(0, 4, 40, np.int32), "tokens": rng.integers(0, 50, (40, 5), np.int32)}
        np.savez(tmp_path / f"{name}.npz", **columns, **whole)

    def both(key, options, found, first, process):
        return shelf.batches(key, shelf.concatenate(found), options.batch, first=first, process=process)

    monkeypatch.setitem(runs.KINDS, "pair", toy._replace(sources=("old", "new"), batches=both, score=None))
    options = runs.RunOptions(steps=4, batch=8)
    paths = {"old": tmp_path / "a.npz", "new": tmp_path / "b.npz"}
    run = runs.begin("pair", paths, tmp_path / "run", options=options)
    assert int(runs.train(run).step) == 4
    sources = json.loads((tmp_path / "run" / "run.json").read_text())["sources"]
    assert len({source["digest"] for source in sources.values()}) == len(sources) == 2
    with pytest.raises(ValueError, match=r"c.npz: not the new that the run began with"):
        runs.train(runs.open_run(run.folder), steps=6, data=paths | {"new": tmp_path / "c.npz"})
    with pytest.raises(ValueError, match="a run of the kind pair has no scores"):
        runs.score(runs.open_run(run.folder), paths)


def test_scores_of_a_generator(data, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxart.tasks.classify.trained._STEPS", (20, 20))
    options = dataclasses.replace(GAN, conditional=True, steps=10)
    run = runs.begin("gan", data / "bars.npz", tmp_path / "run", options=options)
    runs.train(run)
    monkeypatch.setattr(weights, "at_hand", lambda name: False)
    with pytest.warns(UserWarning, match="no weights of VGG-16 at hand"):
        found = runs.score(runs.open_run(run.folder), data / "others.npz", count=100)
    cards = {card.score: card for card in found}
    assert cards["classification accuracy score"].features == "small classifier"
    assert cards["kernel distance"].n_fake == 100
    assert runs.summarize(run.folder).score == ("kernel distance on small classifier", cards["kernel distance"].value)


class TestFolderOfFormat1:
    """A folder that version 0.1.0 wrote: pictures as in `data`, ten steps."""

    @pytest.fixture
    def folder(self, tmp_path):
        with tarfile.open(OLD) as archive:
            archive.extractall(tmp_path, filter="data")
        return tmp_path / "run"

    def test_it_is_read_and_not_written(self, folder, data):
        before = contents(folder)
        run = runs.open_run(folder)
        assert run.options.max_nonfinite_steps == 5
        assert int(runs.newest_state(run).step) == 10  # whose checksums agree, or it would not be read
        assert runs.sample(run, 2).shape == (2, 8, 8, 1)
        assert runs.summarize(folder)[1:5] == ("gan", 10, 10, "finished")
        assert contents(folder) == before

    def test_it_goes_on_and_becomes_one_of_today(self, folder, data):
        with pytest.raises(ValueError, match=r"its data .*bars.npz is gone"):
            runs.train(runs.open_run(folder), steps=20)
        runs.train(runs.open_run(folder), steps=20, data=data / "bars.npz")
        assert json.loads((folder / "run.json").read_text())["format"] == files.FORMAT
        assert int(runs.train(runs.open_run(folder), steps=30).step) == 30
        rows = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
        assert rows == [10, 20, 30]

    def test_other_pictures_are_refused(self, folder, data):
        with pytest.raises(ValueError, match=r"others.npz: not the data that the run began with"):
            runs.train(runs.open_run(folder), steps=20, data=data / "others.npz")


class TestRefusals:
    """Each says in one line what is wrong, and nothing of the run is touched."""

    @pytest.fixture
    def folder(self, trained, tmp_path):
        shutil.copytree(trained, tmp_path / "run")
        return tmp_path / "run"

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"kind": "dream"}, r"a run of the kind 'dream', written by jaxart .*; known here: gan, vae"),
            (
                {"format": 99, "jaxart": "9.0"},
                r"written by jaxart 9.0 in format 99; this is .*, which reads formats 1 to 2",
            ),
            ({"sources": 3}, r"run.json: cannot be read"),
            ({"sources": {}}, r"run.json is incomplete \(its data\)"),
            ({"options": {}}, r"run.json is incomplete \(augment, batch, "),
            ({"options": 3}, r"cannot be read .*options: expected dict, got 3"),
            ({"kind": []}, r"cannot be read .*kind: expected str"),
            ({"steps": "x"}, r"cannot be read .*steps: expected int"),
        ],
    )
    def test_a_manifest_of_another_version(self, folder, change, told):
        manifest = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(manifest | change))
        before = contents(folder)
        with pytest.raises(ValueError, match=told) as refused:
            runs.open_run(folder)
        assert "\n" not in str(refused.value)
        assert contents(folder) == before

    def test_options_that_no_longer_exist(self, folder):
        manifest = json.loads((folder / "run.json").read_text())
        manifest["options"] |= {"sise": 8, "speed": 3}
        (folder / "run.json").write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=r"options that this version does not know: sise, speed"):
            runs.open_run(folder)

    def test_scores_of_another_form(self, folder):
        (folder / "scores.json").write_text('[{"score": 3}]')
        assert runs.summarize(folder).score is None

    def test_a_run_that_is_not_that_of_its_folder(self, folder, data):
        old = runs.open_run(folder)
        assert int(runs.train(old, steps=22).step) == 22
        assert int(runs.train(old).step) == 22  # the folder's count holds, not that of a value from before
        shutil.rmtree(folder)
        runs.begin("vae", data / "bars.npz", folder, options=runs.VaeOptions(**TINY))
        with pytest.raises(ValueError, match="holds another run"):
            runs.train(old)
        assert runs.open_run(folder).kind == "vae"

    @pytest.mark.parametrize("steps", [-5, 0, 10])
    def test_fewer_steps_than_are_done(self, folder, steps):
        with pytest.raises(ValueError, match=r"steps: expected at least 20, as 20 are done"):
            runs.train(runs.open_run(folder), steps=steps)
        assert runs.open_run(folder).options.steps == 20

    def test_checkpoints_without_a_manifest(self, folder, data):
        (folder / "run.json").unlink()
        with pytest.raises(ValueError, match=r"holds checkpoints of a run whose run.json is missing"):
            runs.begin("gan", data / "bars.npz", folder, options=GAN)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"augment": ("typo",)}, "augment: unknown value 'typo'"),
            ({"loss": "typo"}, "loss: unknown value 'typo'"),
            ({"save_every": 0}, "save_every: expected at least 1, got 0"),
            ({"sample_every": 0}, "sample_every: expected at least 1, got 0"),
        ],
    )
    def test_options_that_cannot_be_are_told_before_anything_is_written(self, data, tmp_path, change, told):
        with pytest.raises(ValueError, match=told):
            runs.begin("gan", data / "bars.npz", tmp_path / "new", options=dataclasses.replace(GAN, **change))
        assert not (tmp_path / "new").exists()

    def test_a_damaged_manifest(self, folder):
        (folder / "run.json").write_text("{")
        with pytest.raises(ValueError, match="cannot be read"):
            runs.open_run(folder)
        assert runs.summarize(folder).state.startswith("unreadable")

    def test_no_run(self, tmp_path):
        with pytest.raises(ValueError, match="no run there"):
            runs.open_run(tmp_path)
        with pytest.raises(ValueError, match="not a folder"):
            runs.find(tmp_path / "missing")

    def test_a_moved_folder_is_opened(self, folder, tmp_path):
        folder.rename(tmp_path / "elsewhere")
        assert int(runs.train(runs.open_run(tmp_path / "elsewhere"), steps=21).step) == 21

    def test_data_that_is_gone(self, folder, data, tmp_path):
        manifest = json.loads((folder / "run.json").read_text())
        manifest["sources"]["data"]["path"] = str(tmp_path / "gone.npz")
        (folder / "run.json").write_text(json.dumps(manifest))
        with pytest.raises(
            ValueError, match=r"its data .*gone.npz is gone. If it moved, resume the run with its new place"
        ):
            runs.train(runs.open_run(folder), steps=21)
        runs.train(runs.open_run(folder), steps=21, data=data / "bars.npz")
        assert runs.open_run(folder).sources["data"].path == str(data / "bars.npz")

    def test_a_second_process(self, folder):
        with files.locked(folder):
            assert runs.summarize(folder).state == "running"
            with pytest.raises(runs.LockedError, match=r"another process works on this run \(process \d+\)"):
                runs.train(runs.open_run(folder), steps=21)
        assert runs.summarize(folder).state == "finished"
        assert int(runs.train(runs.open_run(folder), steps=21).step) == 21

    def test_a_folder_that_holds_a_run(self, folder, data):
        with pytest.raises(ValueError, match="holds a run already"):
            runs.begin("gan", data / "bars.npz", folder, options=GAN)

    def test_what_cannot_be_begun(self, data, tmp_path):
        with pytest.raises(ValueError, match=r"kind: unknown value 'dream'; known: .*gan, vae"):
            runs.begin("dream", data / "bars.npz", tmp_path / "run")
        with pytest.raises(ValueError, match="options: expected GanOptions, got VaeOptions"):
            runs.begin("gan", data / "bars.npz", tmp_path / "run", options=runs.VaeOptions())
        with pytest.raises(ValueError, match="a run of the kind gan needs data, got a, b"):
            runs.begin("gan", {"a": data, "b": data}, tmp_path / "run")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match="no pictures"):
            runs.begin("gan", tmp_path / "empty", tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_scores_need_data_that_was_not_seen(self, folder, data):
        with pytest.raises(ValueError, match="scores need examples that it has not seen"):
            runs.score(runs.open_run(folder), data / "bars.npz", count=100)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gan", runs.GanOptions(diff_augment=("color",), augment=("rotate",))),
        ("vae", runs.VaeOptions(augment=("rotate",))),
        ("flow", runs.FlowOptions()),
        ("translate", runs.TranslateOptions()),
        ("style", runs.StyleOptions()),
        ("any-style", runs.AnyStyleOptions()),
    ],
)
def test_equal_options_share_their_programs(kind, options):
    facts = {"classes": [], "scale": 0.5, "paintings": ["a"], "styles": ["a"], "start": None}
    one, other, longer = (
        runs.KINDS[kind].recipe(each, facts)
        for each in (options, dataclasses.replace(options), dataclasses.replace(options, steps=options.steps + 1))
    )
    assert one.step is other.step
    assert [step for _, step in one.lazy] == [step for _, step in other.lazy]
    assert one.step is not longer.step  # whose rate falls more slowly
