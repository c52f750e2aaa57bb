"""The command line, as a person uses it: in processes of its own, with random weights from a file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxart import cli, io
from jaxart.cli import stylizing
from jaxart.tasks import stylize as task

QUICK = ["--size", "45", "--min-size", "32", "--steps", "6"]


@pytest.fixture
def place(tmp_path, photo, painting):
    """A folder with a photograph and a painting."""
    io.write(tmp_path / "photo.png", photo)
    io.write(tmp_path / "painting.png", painting)
    return tmp_path


def environment(**extra) -> dict[str, str]:
    return {**os.environ, "XLA_FLAGS": "", "COLUMNS": "200", "NO_COLOR": "1", **extra}


def jaxart(*arguments, cwd, timeout=200, **extra) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "jaxart", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=timeout)


@pytest.fixture
def cache(tmp_path_factory):
    """One cache of compiled programs for all tests: the second process starts at once."""
    return {"JAXART_CACHE": str(tmp_path_factory.getbasetemp() / "cache")}


def test_help_needs_no_jax_and_teaches():
    code = "import sys; from jaxart import cli; cli.app()(['--help']); assert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("stylize", "plan", "demo", "weights", "info"))


def test_presets_and_flags_are_those_of_the_verb():
    import inspect

    verb = {name: option.default for name, option in inspect.signature(task.stylize).parameters.items()}
    assert cli.PRESETS["quality"] == {name: verb[name] for name in cli.PRESETS["quality"]}
    for name in ("style_weights", "content_weight", "style_scale", "colors", "init"):
        assert getattr(cli.Options(), name) == verb[name]


def test_stylize_writes_picture_trace_and_snapshots(place, vgg_file, cache):
    extras = ["--features", vgg_file, "--save-every", 6, "--trace", "t.jsonl", *QUICK]
    done = jaxart("stylize", "photo.png", "painting.png", "-o", "out.jpg", *extras, cwd=place, **cache)
    assert done.returncode == 0, done.stderr
    assert "on this CPU" in done.stderr
    assert io.read(place / "out.jpg").shape == (38, 45, 3)
    rows = [json.loads(line) for line in (place / "t.jsonl").read_text().splitlines()]
    assert [(row["scale"], row["step"]) for row in rows] == [(1, 1), (1, 10)]
    assert {"loss", "content", "style", "smoothness", "seconds", "memory"} <= set(rows[0])
    assert len(list((place / "out.jpg.snapshots").glob("*.jpg"))) >= 1
    assert not (place / "out.jpg.run").exists()


def test_alpha_is_kept(place, vgg_file, cache, photo):
    alpha = np.zeros((40, 48), np.float32)
    alpha[:, 24:] = 1
    io.write(place / "cut.png", photo, alpha=alpha)
    done = jaxart(
        "stylize", "cut.png", "painting.png", "-o", "out.png", "--features", vgg_file, *QUICK, cwd=place, **cache
    )
    assert done.returncode == 0, done.stderr
    kept = io.read_picture(place / "out.png").alpha
    assert kept[:, :18].max() < 0.1
    assert kept[:, 26:].min() > 0.9


def test_a_folder_with_broken_pictures_gives_the_others_and_a_list(place, vgg_file, cache, photo):
    folder = place / "in"
    folder.mkdir()
    for i in range(18):
        io.write(folder / f"{i:02d}.png", np.roll(photo, i, axis=1))
    (folder / "broken.jpg").write_bytes(b"not a picture")
    (folder / "empty.png").write_bytes(b"")
    quick = ["--size", "38", "--min-size", "38", "--steps", "1"]
    done = jaxart("stylize", "in", "painting.png", "-o", "out", "--features", vgg_file, *quick, cwd=place, **cache)
    assert done.returncode == 2
    assert len(list((place / "out").glob("*.png"))) == 18
    assert "18 of 20 pictures done, 2 failed" in done.stderr
    assert "broken.jpg" in done.stderr
    assert "empty.png" in done.stderr


def start(place, vgg_file, cache, *more) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "jaxart",
        "stylize",
        "photo.png",
        "painting.png",
        "-o",
        "out.png",
        "--features",
        str(vgg_file),
    ]
    long = ["--size", "45", "--min-size", "32", "--steps", "40", "--save-every", "5"]
    with open(place / "log.txt", "a") as log:
        return subprocess.Popen([*command, *long, *more], cwd=place, env=environment(**cache), stderr=log)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)


def snapshots(place: Path) -> int:
    return len(list((place / "out.png.snapshots").glob("*.png")))


def test_kill_9_and_resume_gives_the_same_picture_bit_for_bit(place, vgg_file, cache):
    whole = start(place, vgg_file, cache)
    assert whole.wait(timeout=300) == 0, (place / "log.txt").read_text()
    expected = (place / "out.png").read_bytes()
    (place / "out.png").unlink()
    for path in (place / "out.png.snapshots").glob("*.png"):
        path.unlink()

    killed = start(place, vgg_file, cache)
    wait_for(lambda: snapshots(place) >= 3, killed)
    killed.kill()
    killed.wait()
    assert not (place / "out.png").exists()
    assert (place / "out.png.run").is_dir()

    resumed = start(place, vgg_file, cache, "--resume")
    assert resumed.wait(timeout=300) == 0, (place / "log.txt").read_text()
    assert (place / "out.png").read_bytes() == expected
    assert not (place / "out.png.run").exists()


def test_ctrl_c_writes_the_picture_as_it_stands(place, vgg_file, cache):
    process = start(place, vgg_file, cache)
    wait_for(lambda: snapshots(place) >= 1, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "--resume carries on" in (place / "log.txt").read_text()
    assert io.read(place / "out.png").shape[2] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "painting.png", "-o", "out.xyz"], "cannot write .xyz"),
        (["photo.png", "painting.png", "-o", "no/out.png"], "does not exist"),
        (["missing.png", "painting.png", "-o", "out.png"], "missing.png: no such file"),
        (["photo.png", "text.jpg", "-o", "out.png"], "text.jpg: not a picture"),
        (["photo.png", "painting.png", "-o", "out.png", "--style-weights", "1", "2"], "style_weights"),
        (["photo.png", "painting.png", "-o", "out.png", "--features", "vgg17"], "no such weights"),
        (["photo.png", "painting.png", "-o", "out.png", "--save-every", "0"], "--save-every"),
        (["photo.png", "painting.png", "-o", "out.png", "--resume"], "no checkpoint found"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(place, vgg_file, monkeypatch, capsys, arguments, message):
    (place / "text.jpg").write_text("hello")
    monkeypatch.chdir(place)
    features = [] if "--features" in arguments else ["--features", str(vgg_file)]
    monkeypatch.setattr(sys, "argv", ["jaxart", "stylize", *arguments, *features, *QUICK])
    monkeypatch.setenv("JAXART_CACHE", str(place / "cache"))
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxart:")]
    assert len(lines) == 1
    assert message in lines[0]


def test_demo_writes_picture_and_sheet_and_may_be_resumed(place, vgg_file, monkeypatch):
    monkeypatch.setattr(stylizing, "_DEMO", cli.Options(features=str(vgg_file), size=45, min_size=45, steps=2))
    monkeypatch.setenv("JAXART_CACHE", str(place / "cache"))
    assert cli.demo(output=place / "demo.png") == 0
    assert io.read(place / "demo.png").shape[1] == 45
    assert io.read(place / "demo-sheet.png").shape[0] == 256
    with pytest.raises(ValueError, match="no checkpoint found"):  # what it says of an interrupted run, it can do
        cli.demo(output=place / "demo.png", resume=True)


def test_plan_info_and_weights(place, vgg_file, cache):
    done = jaxart(
        "plan", "photo.png", "painting.png", "-o", "out.png", "--features", vgg_file, *QUICK, cwd=place, **cache
    )
    assert done.returncode == 0, done.stderr
    assert "peak memory" in done.stdout
    assert "45 x 38" in done.stdout
    cache = {"JAXART_CACHE": str(place / "cache")}
    assert jaxart("weights", "add", "mine", vgg_file, cwd=place, **cache).returncode == 0
    listed = jaxart("weights", "list", cwd=place, **cache).stdout
    assert "mine" in listed
    assert "vgg19" in listed
    refused = jaxart("weights", "add", "../mine", vgg_file, cwd=place, **cache)
    assert refused.returncode == 2
    assert "plain name" in refused.stderr
    assert "jaxlib" in jaxart("info", cwd=place, **cache).stdout
