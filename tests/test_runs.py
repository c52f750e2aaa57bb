"""Runs as people start, kill, resume and use them: subprocesses of the command line."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxart import io
from jaxart.training import Checkpoints

TINY = ["--size", "8", "--channels", "1", "--width", "4", "--latent", "4", "--batch", "8"]
STEPS = 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment of the subprocesses: one CPU device, compiled programs kept."""
    kept = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return kept | {"JAXART_CACHE": str(tmp_path_factory.mktemp("cache")), "JAX_PLATFORMS": "cpu"}


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


def start(environment, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "jaxart", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def call(environment, *arguments, code: int = 0) -> str:
    process = start(environment, *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def train_arguments(data, output, *, steps: int = STEPS, save_every: int = 10):
    return ["train", "gan", data, "-o", output, *TINY, "--conditional", "--steps", steps, "--save-every", save_every,
            "--sample-every", steps]  # fmt: skip


@pytest.fixture(scope="module")
def finished(environment, data, tmp_path_factory):
    """The run that was never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    call(environment, *train_arguments(data, folder))
    return folder


def checksums(folder: Path, step: int = STEPS) -> list[str]:
    """Return the checksum of each array of a run's state."""
    kept = Checkpoints(folder / "checkpoints")
    try:
        return kept.notes(step)["checksums"]
    finally:
        kept.close()


def losses(folder: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["discriminator"] for row in rows}


def test_a_finished_run_has_everything(finished):
    facts = json.loads((finished / "run.json").read_text())
    assert facts["kind"] == "gan"
    assert facts["classes"] == ["0", "1"]
    assert (finished / "samples" / f"step{STEPS:07d}.png").is_file()
    assert list(losses(finished)) == [10, 20, 30, 40, 50, 60]


def test_killed_at_ten_random_moments_it_ends_with_the_same_bits(environment, data, finished, tmp_path):
    moments, folder = random.Random(0), tmp_path / "run"
    process = start(environment, *train_arguments(data, folder))
    for _ in range(10):
        time.sleep(moments.uniform(1.0, 5.0))
        process.kill()
        process.communicate()
        begun = (folder / "run.json").exists()
        process = start(environment, *(["resume", folder] if begun else train_arguments(data, folder)))
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert checksums(folder) == checksums(finished)
    assert losses(folder) == losses(finished)


def test_sigterm_saves_and_ends_and_resume_gives_the_same_bits(environment, data, finished, tmp_path):
    folder = tmp_path / "run"
    process = start(environment, *train_arguments(data, folder, save_every=STEPS))
    while not (folder / "log.jsonl").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    if process.returncode == 130:  # else it had ended before
        assert "Interrupted and saved" in output
        assert (folder / "checkpoints").is_dir()
        call(environment, "resume", folder)
    assert checksums(folder) == checksums(finished)


def whole_checkpoints(folder: Path) -> list[Path]:
    return [path for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]


def test_a_full_disk_ends_the_run_and_loses_nothing(environment, data, finished, tmp_path):
    folder = tmp_path / "run"
    process = start(environment, *train_arguments(data, folder))
    while not whole_checkpoints(folder) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    before = {
        path: path.read_bytes() for kept in whole_checkpoints(folder) for path in kept.rglob("*") if path.is_file()
    }

    command = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", sys.executable, "-m", "jaxart", "resume", folder]
    full = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert full.returncode == 2, full.stderr
    assert re.search(
        r"checkpoint of step \d+ cannot be written .* is the disk full\? Those before it are intact", full.stderr
    )
    assert before
    assert [path for path, content in before.items() if path.read_bytes() != content] == []
    call(environment, "resume", folder)
    assert checksums(folder) == checksums(finished)


def test_a_flipped_byte_falls_back_with_a_warning(environment, data, finished, tmp_path):
    folder = tmp_path / "run"
    call(environment, *train_arguments(data, folder))
    newest = folder / "checkpoints" / str(STEPS)
    largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    assert f"checkpoint of step {STEPS} cannot be read" in call(environment, "resume", folder)
    assert checksums(folder) == checksums(finished)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def test_two_processes_of_two_devices_and_a_resume_on_one(environment, data, finished, tmp_path):
    folder, port = tmp_path / "run", free_port()
    placed = ["--devices", 2, "--coordinator", f"127.0.0.1:{port}", "--processes", 2, "--process"]
    both = [start(environment, *train_arguments(data, folder, steps=20), *placed, number) for number in (0, 1)]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    alone = tmp_path / "alone"
    call(environment, *train_arguments(data, alone, steps=20))
    for step in (10, 20):
        assert losses(folder)[step] == pytest.approx(losses(alone)[step], rel=1e-4)
    for each in (folder, alone):
        call(environment, "resume", each, "--steps", 40, "--devices", 1)
    assert losses(folder)[40] == pytest.approx(losses(alone)[40], rel=1e-3)


def test_two_devices_after_one_go_on_alike(environment, data, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    call(environment, *train_arguments(data, one, steps=10))
    shutil.copytree(one, two)
    call(environment, "resume", one, "--steps", 30)
    call(environment, "resume", two, "--steps", 30, "--devices", 2)
    for step in (20, 30):
        assert losses(two)[step] == pytest.approx(losses(one)[step], rel=1e-5)


def test_pictures_walks_and_exports(environment, finished, tmp_path):
    sheet, again = tmp_path / "sheet.png", tmp_path / "again.png"
    call(environment, "generate", finished, "-n", 16, "-o", sheet)
    call(environment, "generate", finished, "-n", 16, "-o", again)
    assert sheet.read_bytes() == again.read_bytes()
    assert io.read(sheet).shape == (18, 78, 3)
    call(environment, "generate", finished, "-n", 3, "--label", "1", "--separate", "-o", tmp_path / "many")
    assert len(list((tmp_path / "many").glob("*.png"))) == 3
    assert "unknown value 'x'; known: 0, 1" in call(
        environment, "generate", finished, "--label", "x", "-o", sheet, code=2
    )
    call(environment, "interpolate", finished, "--stops", 2, "--frames", 3, "-o", tmp_path / "walk.gif")
    assert (tmp_path / "walk.gif").read_bytes()[:3] == b"GIF"
    call(environment, "export", finished, "-o", tmp_path / "generator.jax")
    loaded = jax.export.deserialize(bytearray((tmp_path / "generator.jax").read_bytes()))
    assert loaded.platforms == ("cpu", "cuda", "tpu")
    assert loaded.call(np.zeros((5, 4), np.float32), np.zeros(5, np.int32)).shape == (5, 8, 8, 1)


def test_a_vae_trains_and_resumes_from_its_folder_alone(environment, data, tmp_path):
    folder = tmp_path / "run"
    call(environment, "train", "vae", data, "-o", folder, *TINY, "--steps", 20, "--sample-every", 20)
    call(environment, "resume", folder, "--steps", 30)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 30
    assert rows[-1]["bound"] > rows[0]["bound"]
    call(environment, "generate", folder, "-n", 4, "-o", tmp_path / "sheet.png")


def test_messages(environment, data, finished, tmp_path):
    assert "holds a run already" in call(environment, *train_arguments(data, finished), code=2)
    assert "no run there" in call(environment, "resume", tmp_path, code=2)
    other = tmp_path / "other"
    other.mkdir()
    facts = json.loads((finished / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(facts | {"format": 99, "jaxart": "9.0"}))
    assert "written by jaxart 9.0 in form 99" in call(environment, "generate", other, "-o", tmp_path / "x.png", code=2)
    (other / "run.json").write_text("{")
    assert "cannot be read" in call(environment, "generate", other, "-o", tmp_path / "x.png", code=2)
    (tmp_path / "empty").mkdir()
    assert "no pictures" in call(environment, "train", "gan", tmp_path / "empty", "-o", tmp_path / "run", code=2)
    told = call(environment, *train_arguments(data, tmp_path / "run"), "--devices", 3, code=2)
    assert "a batch of 8 does not divide among 3 devices" in told


def test_a_dry_run_tells_and_writes_nothing(environment, data, tmp_path):
    told = call(environment, *train_arguments(data, tmp_path / "run"), "--dry-run")
    for word in ("generator:", "discriminator:", "GFLOP", "MiB", "first batch: uint8 (8, 8, 8, 1)"):
        assert word in told
    assert not (tmp_path / "run").exists()
