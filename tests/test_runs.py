"""Runs as people start, kill, resume and use them: processes of the command line."""

import dataclasses
import importlib
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import helpers
import jax
import numpy as np
import pytest

from jaxart import cli, runs, training

TINY = ["--size", "8", "--channels", "1", "--width", "4", "--latent", "4", "--batch", "8"]
STEPS = 60
TOY = Path(__file__).with_name("toy_kind.py")
KILL_AT = Path(__file__).with_name("kill_at.py")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment of the subprocesses: one CPU device, compiled programs kept."""
    return helpers.environment(JAXART_CACHE=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures of two classes: bright above, or bright below."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    images = rng.integers(0, 90, (40, 8, 8, 1), np.uint8)
    labels = np.arange(40) % 2
    images[labels == 0, :4] += 150
    images[labels == 1, 4:] += 150
    np.savez(folder / "bars.npz", images=images, labels=labels)
    return folder / "bars.npz"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Rows of three columns and a float target between 0 and 1 that depends on all of them."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("table")
    for name in ("seen", "held-out"):
        numbers, kind = rng.normal(size=(200, 3)).astype(np.float32), rng.integers(0, 4, 200, np.int32)
        tokens = rng.integers(0, 50, (200, 5), np.int32)
        target = 1 / (1 + np.exp(-(2 * numbers[:, 0] + kind - 1.5 + 2 * (tokens < 25).mean(1) - 1)))
        np.savez(folder / f"{name}.npz", numbers=numbers, kind=kind, tokens=tokens, target=target.astype(np.float32))
    return folder


def start(environment, *arguments, script=("-m", "jaxart")) -> subprocess.Popen:
    command = [sys.executable, *map(str, (*script, *arguments))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def call(environment, *arguments, code: int = 0, script=("-m", "jaxart")) -> str:
    process = start(environment, *arguments, script=script)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def train_arguments(data, output, *, steps: int = STEPS, save_every: int = 20):
    return ["train", "gan", data, "-o", output, *TINY, "--conditional", "--steps", steps, "--save-every", save_every,
            "--sample-every", 10]  # fmt: skip


@pytest.fixture(scope="module")
def finished(environment, data, tmp_path_factory):
    """The run that was never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    call(environment, *train_arguments(data, folder))
    return folder


def checksums(folder: Path, step: int = STEPS) -> list[str]:
    """Return the checksum of each array of a run's state."""
    saved = training.Checkpoints(folder / "checkpoints", read_only=True)
    try:
        return saved.notes(step)["checksums"]
    finally:
        saved.close()


def losses(folder: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["discriminator"] for row in rows}


def test_a_finished_run_has_everything(finished):
    manifest = json.loads((finished / "run.json").read_text())
    assert manifest["kind"] == "gan"
    assert manifest["facts"] == {"classes": ["0", "1"]}
    assert (finished / "samples" / f"step{STEPS:07d}.png").is_file()
    assert list(losses(finished)) == [10, 20, 30, 40, 50, 60]
    assert runs.summarize(finished)[1:5] == ("gan", STEPS, STEPS, "finished")


def test_killed_before_between_and_within_saves_it_ends_with_the_same_bits(environment, data, finished, tmp_path):
    folder = tmp_path / "run"
    points = {"step:10": train_arguments(data, folder), "step:30": ["resume", folder], "save:40": ["resume", folder]}
    for point, arguments in points.items():
        call(environment, *arguments, script=(KILL_AT, point), code=-signal.SIGKILL)
        assert runs.summarize(folder).state == "interrupted"
    process = start(environment, "resume", folder)
    seconds = random.Random(time.time_ns()).uniform(1, 6)
    print(f"killed after {seconds:.3f} s")  # where it fails, when
    time.sleep(seconds)
    process.kill()
    process.communicate()
    call(environment, "resume", folder)
    assert checksums(folder) == checksums(finished)
    assert losses(folder) == losses(finished)


def test_sigterm_saves_and_ends_and_resume_gives_the_same_bits(environment, data, finished, tmp_path):
    folder = tmp_path / "run"
    arguments = train_arguments(data, folder, save_every=STEPS)
    assert "Interrupted and saved" in call(environment, *arguments, script=(KILL_AT, "term:30"), code=130)
    assert 0 < runs.saved_steps(folder)[0] < STEPS
    call(environment, "resume", folder)
    assert checksums(folder) == checksums(finished)


def test_a_full_disk_ends_the_run_and_loses_nothing(environment, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoints" / str(STEPS))
    before = {path: path.read_bytes() for path in (folder / "checkpoints").rglob("*") if path.is_file()}
    command = ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh", sys.executable, "-m", "jaxart", "resume", folder]
    full = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert full.returncode == 2, full.stderr
    assert re.search(
        r"checkpoint of step \d+ cannot be written .* is the disk full\? Those before it are intact", full.stderr
    )
    assert before
    assert [path for path, content in before.items() if path.read_bytes() != content] == []
    runs.train(runs.open_run(folder))
    assert checksums(folder) == checksums(finished)


def test_begun_in_python_it_goes_on_from_the_command_line(environment, data, finished, tmp_path):
    run = runs.begin("gan", data, tmp_path / "run", options=runs.open_run(finished).options)
    runs.train(run, stop=lambda: True)
    assert 0 < runs.saved_steps(run.folder)[0] < STEPS
    call(environment, "resume", run.folder)
    assert checksums(run.folder) == checksums(finished)
    assert losses(run.folder) == losses(finished)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ada": True, "diff_augment": ("color",)}, "ada, diff_augment: expected one of them, got both"),
        ({"ada": True, "ada_target": 1.5}, "target between -1 and 1"),
        ({"path_length": 2.0}, "path_length: expected a model with styles, got 'dcgan'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(data, finished, tmp_path, change, told):
    options = dataclasses.replace(runs.open_run(finished).options, **change)
    with pytest.raises(ValueError, match=told):
        runs.begin("gan", data, tmp_path / "run", options=options)
    assert not (tmp_path / "run").exists()


def test_a_run_from_before_its_options_were_all_there_is_what_it_was(finished, tmp_path):
    manifest = json.loads((finished / "run.json").read_text())
    for name in ("ada", "ada_target", "path_length", "path_length_every", "smooth"):
        del manifest["options"][name]
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    assert runs.open_run(tmp_path).options == dataclasses.replace(runs.open_run(finished).options, smooth=False)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def test_two_processes_of_two_devices_train_as_one_does(environment, data, tmp_path):
    folder, port = tmp_path / "run", free_port()
    place = ["--devices", 2, "--coordinator", f"127.0.0.1:{port}", "--processes", 2, "--process"]
    both = [start(environment, *train_arguments(data, folder, steps=20), *place, number) for number in (0, 1)]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    options = runs.open_run(folder).options
    runs.train(runs.begin("gan", data, tmp_path / "alone", options=options))
    for step in (10, 20):
        assert losses(folder)[step] == pytest.approx(losses(tmp_path / "alone")[step], rel=1e-4)


@pytest.fixture
def toy(monkeypatch, capsys):
    """Run a command line in this process, which knows the kind from outside; return what it said."""
    monkeypatch.syspath_prepend(TOY.parent)
    kind = importlib.import_module("toy_kind").KIND
    runs.KINDS.pop("linear", None)  # which the import has put there for good
    monkeypatch.setitem(runs.KINDS, "linear", kind)
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}

    def run(*arguments, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["jaxart", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        told = capsys.readouterr()
        assert stopped.value.code == code, told.err
        return " ".join((told.out + told.err).split())

    yield run
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_kind_from_outside_goes_through_the_commands(environment, table, toy, tmp_path, monkeypatch):
    """A linear model of numbers, a category and text tokens: under 60 lines, and no other line knows of it."""
    assert sum(bool(line.strip()) for line in TOY.read_text().splitlines()) < 60
    whole, folder = tmp_path / "whole", tmp_path / "run"
    begin = [
        "train",
        "linear",
        table / "seen.npz",
        "--batch",
        50,
        "--save-every",
        20,
        "--sample-every",
        20,
        "--steps",
        60,
    ]
    told = toy(*begin, "-o", folder, "--devices", 1, "--dry-run")
    assert "linear: 57 parameters" in told
    assert "first batch: target float32 (50,)" in told
    assert not folder.exists()
    call(environment, *begin, "-o", whole, script=(TOY,))
    call(environment, *begin, "-o", folder, script=(KILL_AT, "save:40"), code=-signal.SIGKILL)
    toy("resume", folder, "--devices", 1)
    assert checksums(folder) == checksums(whole)
    toy("score", folder, table / "held-out.npz")
    name, value = runs.summarize(folder).score or ("", 1.0)
    assert name == "mean absolute error"
    assert value < 0.1
    toy("export", folder, "-o", tmp_path / "model.jax")
    assert (tmp_path / "model.jax").stat().st_size > 0
    assert "makes no pictures" in toy("generate", folder, "-o", tmp_path / "x.png", code=2)
    monkeypatch.delitem(runs.KINDS, "linear")
    told = toy("runs", tmp_path)
    assert "a run of the kind 'linear'" not in told
    assert "linear" in told
    assert "known here: gan, vae" in toy("resume", folder, code=2)
