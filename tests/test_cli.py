"""The command line, as a person uses it: in this process where that shows the same, in processes of its own where they are killed."""

import collections
import inspect
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import get_args

import helpers
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxart import cli, io, losses, runs, training, weights
from jaxart.cli import devices, files, job, options, painting, progress, renamed, sheet, stylize, terminal
from jaxart.runs import folder as folders
from jaxart.tasks import stylize as task

QUICK = ["--size", "45", "--min-size", "32", "--steps", "6"]
TINY = ["--size", "38", "--min-size", "38", "--steps", "1"]


@pytest.fixture
def cache(tmp_path_factory):
    """One cache of compiled programs for all tests: the second process starts at once."""
    return {"JAXART_CACHE": str(tmp_path_factory.getbasetemp() / "cache")}


@pytest.fixture
def place(tmp_path, photo, painting, cache, monkeypatch):
    """The current folder, with a photograph and a painting; what a command sets for good is set back."""
    io.write(tmp_path / "photo.png", photo)
    io.write(tmp_path / "painting.png", painting)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXART_CACHE", cache["JAXART_CACHE"])
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def jaxart(place, monkeypatch, capsys):
    """Run a command line in this process; return its exit code, output and messages."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["jaxart", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, *capsys.readouterr()

    return run


def environment() -> dict[str, str]:
    return helpers.environment(COLUMNS="200", NO_COLOR="1")


EVERY_HELP = """
import sys
from cyclopts import App
from jaxart import cli

def walk(app, path):
    cli.app()([*path, "--help"])
    for name in app:
        if not name.startswith("-"):
            walk(app[name], [*path, name])

walk(cli.app(), [])
heavy = {"jax", "numpy", "scipy", "PIL", "flax", "optax", "orbax", "grain", "safetensors", "huggingface_hub"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


class TestHelp:
    def test_no_help_imports_anything_heavy(self):
        done = subprocess.run(
            [sys.executable, "-c", EVERY_HELP], env=environment(), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        for usage in ("jaxart COMMAND", "jaxart stylize", "jaxart weights add", "jaxart data preview"):
            assert f"Usage: {usage}" in done.stdout

    def test_commands_are_grouped_by_purpose(self, capsys):
        cli.app()(["--help"])
        text = capsys.readouterr().out
        order = [
            *("Paint", "stylize ", "sheet ", "plan ", "demo "),
            *("Train", "train ", "resume ", "runs "),
            *("Generate", "generate "),
            *("Look at data", "data "),
            *("System", "info ", "weights ", "--version"),
        ]
        places = [text.index(f"─ {word} ─" if word[0].isupper() else f"│ {word}") for word in order]
        assert places == sorted(places)

    def test_presets_and_flags_are_those_of_the_verb(self):
        verb = {name: option.default for name, option in inspect.signature(task.stylize).parameters.items()}
        assert job.PRESETS["quality"] == {name: verb[name] for name in job.PRESETS["quality"]}
        for name in ("style_weights", "content_weight", "style_scale", "colors", "init"):
            assert getattr(job.DEFAULTS, name) == verb[name]
        for default in (job.DEFAULTS, sheet.Options()):
            assert losses.STYLE_LOSSES[default.style_loss] is verb["style_loss"]

    def test_names_are_those_of_the_library(self):
        assert set(get_args(get_args(options.StyleLoss)[0])) == set(losses.STYLE_LOSSES)
        assert set(get_args(get_args(options.Colors)[0])) == set(task.COLORS)
        help_of_init = get_args(options.Init)[1].help
        assert all(name in help_of_init for name in task.INITS)


class TestSizes:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("1.5GiB", 3 * 2**29),
            ("1.5", 3 * 2**29),
            (".5", 2**29),
            ("1500MB", 1500 * 10**6),
            ("512MiB", 2**29),
            ("2G", 2**31),
            ("2 gb", 2 * 10**9),
            ("100k", 102400),
            ("77B", 77),
            ("1TiB", 2**40),
        ],
    )
    def test_are_read_as_people_write_them(self, text, count):
        assert terminal.parse_size(text) == count

    @pytest.mark.parametrize(
        "text", ["", "GiB", "-1", "0", "0.1B", "nan", "inf", "1e400", "1.5 XiB", "1,5", "1.5.5", "9" * 400]
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ValueError, match=r"expected a size such as 1\.5GiB, 1500MB, 512MiB or 1\.5 \(GiB\), got"):
            terminal.parse_size(text)

    @pytest.mark.parametrize("command", ["stylize", "plan", "sheet"])
    def test_every_command_takes_them(self, command):
        line = [command, "photo.png", "painting.png", "-o", "out.png", "--max-memory"]
        _, bound, *_ = cli.app().parse_args([*line, "1500MB"], exit_on_error=False, print_error=False)
        assert bound.arguments["options"].max_memory == 1500 * 10**6

    def test_a_wrong_one_names_its_flag(self, jaxart):
        code, _, told = jaxart("plan", "photo.png", "painting.png", "--max-memory", "much")
        assert code == 2
        assert "--max-memory: expected a size such as 1.5GiB" in told


class TestRenamed:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (["--rung", "tiled"], ["--memory-mode", "tiled"]),
            (["--rung=whole"], ["--memory-mode", "whole"]),
            (["--rung", f"rematerial{'ised'}"], ["--memory-mode", "rematerialized"]),
            ([f"--memory-mode=rematerial{'ised'}"], ["--memory-mode", "rematerialized"]),
            (["--skips", "3"], ["--max-nonfinite-steps", "3"]),
        ],
    )
    def test_former_names_are_understood_and_say_so(self, old, new):
        words, notices = renamed.with_new_names(["a", *old, "b"])
        assert words == ["a", *new, "b"]
        assert notices
        assert all(" is now called --" in notice for notice in notices)

    def test_other_words_are_left_alone(self):
        line = ["stylize", "rung", "skips.png", "--memory-mode", "tiled", "--output=--rung.png", "--tile=64"]
        assert renamed.with_new_names(line) == (line, [])

    def test_todays_names_exist(self):
        known = {"--memory-mode": ["plan", "a", "b"], "--max-nonfinite-steps": ["train", "gan", "a", "-o", "b"]}
        for new in renamed.RENAMED.values():
            flag, *value = new.split()
            value = value or ["whole" if flag == "--memory-mode" else "3"]
            cli.app().parse_args([*known[flag], flag, *value], exit_on_error=False, print_error=False)

    def test_the_command_line_replaces_them(self, jaxart):
        code, _, told = jaxart("plan", "photo.png", "painting.png", "--rung", "huge")
        assert code == 2
        first, second = told.splitlines()
        assert first == "jaxart: --rung is now called --memory-mode; the old name goes with the next version."
        assert 'Invalid value "huge" for --memory-mode' in second


class TestTerminal:
    def test_one_interrupt_asks_and_the_second_stops(self):
        before = signal.getsignal(signal.SIGTERM)
        with terminal.interruptible() as interrupted:
            assert not interrupted()
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupted()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGTERM) is before

    def test_durations_and_sizes_are_said_as_people_say_them(self):
        assert [terminal.format_duration(seconds) for seconds in (0.4, 59.6, 3600)] == ["0 s", "1 min 0 s", "1 h 0 min"]
        assert [terminal.format_size(count) for count in (0, 2**30 - 2**20, 2**30)] == ["0 MiB", "1023 MiB", "1.0 GiB"]

    def test_a_bar_says_lines_where_there_is_no_terminal(self, capsys):
        State, Info = types.SimpleNamespace, collections.namedtuple("Info", "loss content style")
        two = np.array([1.0, 3.0])  # a sheet of two
        step = task.Progress(1, ((8, 8), (16, 24)), 3, (10, 5), Info(two, two, two), lambda: np.zeros(0))
        with progress.Bar() as bar:
            progress.scales_hook(bar, [1.0, 4.0])(step)
        assert "scale 2/2 24x16  step 3/5  loss 2.0000 (content 2.0000, style 2.0000)" in capsys.readouterr().err
        Numbers = collections.namedtuple("Numbers", "loss gradient")
        with progress.Bar(100, done=20) as bar:
            hook = progress.training_hook(bar, steps=100, batch=8, dataset_size=16)
            hook(State(step=21), Numbers(0.5, 1.0))
            hook(State(step=31), Numbers(0.5, 1.0))
        told = capsys.readouterr().err
        assert "step 21/100  epoch 10.5  loss 0.5  " in told
        assert "gradient" not in told
        assert "step 31" not in told  # twenty seconds have not passed
        assert bar.seconds > 0

    def test_devices(self):
        assert devices.mesh_of(1) is None
        found = devices.mesh_of(None)
        assert found is not None
        assert found.size == len(jax.devices()) == 8
        with pytest.raises(ValueError, match="--devices: expected at least 1, got 0"):
            devices.mesh_of(0)

    def test_more_devices_than_there_are_is_said(self, monkeypatch):
        monkeypatch.setattr(training, "simulate_devices", lambda count: None)  # as on a GPU
        with pytest.raises(ValueError, match="--devices 9: this machine has 8"):
            devices.mesh_of(9)


class TestStylize:
    def test_writes_picture_trace_and_snapshots(self, jaxart, place, vgg_file):
        extras = ["--features", vgg_file, "--save-every", 6, "--trace", "t.jsonl", *QUICK]
        code, _, told = jaxart("stylize", "photo.png", "painting.png", "-o", "out.jpg", *extras)
        assert code == 0, told
        assert "on this CPU" in told
        assert "out.jpg: 45 x 38" in told
        assert io.read(place / "out.jpg").shape == (38, 45, 3)
        rows = [json.loads(line) for line in (place / "t.jsonl").read_text().splitlines()]
        assert [(row["scale"], row["step"]) for row in rows] == [(1, 1), (1, 10)]
        assert {"loss", "content", "style", "smoothness", "seconds", "memory"} <= set(rows[0])
        assert len(list((place / "out.jpg.snapshots").glob("*.jpg"))) >= 1
        assert not (place / "out.jpg.run").exists()

    def test_alpha_is_kept(self, jaxart, place, vgg_file, photo):
        alpha = np.zeros((40, 48), np.float32)
        alpha[:, 24:] = 1
        io.write(place / "cut.png", photo, alpha=alpha)
        code, _, told = jaxart("stylize", "cut.png", "painting.png", "-o", "out.png", "--features", vgg_file, *QUICK)
        assert code == 0, told
        kept = io.read_picture(place / "out.png").alpha
        assert kept[:, :18].max() < 0.1
        assert kept[:, 26:].min() > 0.9

    def test_a_folder_with_broken_pictures_gives_the_others_and_a_list(
        self, jaxart, place, vgg_file, photo, monkeypatch
    ):
        calls, painting_targets = [], task.painting_targets
        monkeypatch.setattr(task, "painting_targets", lambda job: calls.append(job.sizes) or painting_targets(job))
        folder = place / "in"
        folder.mkdir()
        for i in range(3):
            io.write(folder / f"{i:02d}.png", np.roll(photo, i, axis=1))
        (folder / "broken.jpg").write_bytes(b"not a picture")
        (folder / "empty.png").write_bytes(b"")
        line = ["stylize", "in", "painting.png", "-o", "out", "--features", vgg_file, *TINY]
        code, _, told = jaxart(*line)
        assert code == 2
        assert len(list((place / "out").glob("*.png"))) == 3
        assert "3 of 5 pictures done, 2 failed" in told
        assert "broken.jpg" in told
        assert "empty.png" in told
        assert len(calls) == 1  # one painting, pictures of one size
        whole = (place / "out" / "01.png").read_bytes()
        jaxart("stylize", "in/01.png", *line[2:3], "-o", "alone.png", *line[5:])
        assert (place / "alone.png").read_bytes() == whole

    def test_demo_writes_picture_and_sheet_and_may_be_resumed(self, place, vgg_file, monkeypatch):
        monkeypatch.setattr(stylize, "_DEMO", job.Options(features=str(vgg_file), size=45, min_size=45, steps=2))
        assert stylize.demo(output=place / "demo.png") == 0
        assert io.read(place / "demo.png").shape[1] == 45
        assert io.read(place / "demo-sheet.png").shape[0] == 256
        with pytest.raises(ValueError, match="no checkpoint found"):  # what it says of an interrupted run, it can do
            stylize.demo(output=place / "demo.png", resume=True)

    def test_demo_without_vgg_paints_in_one_pass_and_says_how_to_get_the_best(self, jaxart, place, monkeypatch):
        monkeypatch.setattr(weights, "at_hand", lambda name: False)
        code, _, told = jaxart("demo")
        assert code == 0
        assert io.read(place / "jaxart-demo.png").shape[1] == 512
        assert "pip install 'jaxart[vgg]'" in told

    def test_a_full_disk_is_met_before_the_work(self, tmp_path, monkeypatch):
        monkeypatch.setattr(painting.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=1000))
        with pytest.raises(ValueError, match=r"101 x 75 needs .* GiB of disk"):
            painting._check_disk(tmp_path / "out.png", types.SimpleNamespace(sizes=[(32, 43), (75, 101)]))

    @pytest.fixture
    def prepared(self, monkeypatch, variables):
        """What reaches `prepare`, instead of being prepared."""
        caught = {}
        monkeypatch.setattr(weights, "load", lambda name: variables)
        monkeypatch.setattr(task, "prepare", lambda content, styles, **rest: caught.update(rest, content=content))
        return caught

    def test_style_loss_and_a_picture_for_init_are_passed_on(self, place, prepared):
        painted = job.Options(style_loss="gram", init="painting.png")
        job.job_maker((place / "painting.png",), painted)(io.read_picture("photo.png"))
        assert prepared["style_loss"] is losses.STYLE_LOSSES["gram"]
        np.testing.assert_array_equal(prepared["init"], io.read("painting.png"))
        job.job_maker((place / "painting.png",), job.DEFAULTS)(io.read_picture("photo.png"))
        assert prepared["init"] == "content"

    def test_an_opaque_picture_is_its_colors_bit_for_bit(self, place, prepared, rng):
        rgb = rng.random((20, 24, 3), np.float32)
        make = job.job_maker((place / "painting.png",), job.DEFAULTS)
        make(io.Picture(rgb, np.ones((20, 24), np.float32)))
        np.testing.assert_array_equal(prepared["content"], rgb)
        make(io.Picture(rgb, np.zeros((20, 24), np.float32)))
        np.testing.assert_array_equal(prepared["content"], np.ones_like(rgb))


class TestFiles:
    def test_pictures_are_files_or_those_of_one_folder(self, place):
        one, other = place / "photo.png", place / "painting.png"
        assert files.given_pictures(one, ()) == [one]
        assert files.given_pictures(one, (other,)) == [one, other]
        assert files.given_pictures(place, ()) == [other, one]
        for given, message in (
            ((place, (one,)), f"{place}: a folder; hand it in alone, or files."),
            ((one, (place / "none.png",)), "none.png: no such file."),
        ):
            with pytest.raises(ValueError, match=message):
                files.given_pictures(*given)

    def test_results_are_named_after_pictures_and_none_is_written_over(self):
        pictures = [Path(each) for each in ("a/one.png", "a/two.png", "a/two.jpg", "b/two.jpg", "b/three.gif")]
        found = [files.result_name(path, pictures, ".webp") for path in pictures]
        assert found == ["one.webp", "two.png.webp", "a-two.jpg.webp", "b-two.jpg.webp", "three.webp"]


def start(place, vgg_file, *more) -> subprocess.Popen:
    files = ["photo.png", "painting.png", "-o", "out.png", "--features", str(vgg_file)]
    long = ["--size", "45", "--min-size", "32", "--steps", "40", "--save-every", "5"]
    command = [sys.executable, "-m", "jaxart", "stylize", *files, *long, *more]
    with open(place / "log.txt", "a") as log:
        return subprocess.Popen(command, cwd=place, env=environment(), stderr=log)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)


def snapshots(place: Path) -> int:
    return len(list((place / "out.png.snapshots").glob("*.png")))


class TestInterrupted:
    def test_kill_9_and_resume_gives_the_same_picture_bit_for_bit(self, jaxart, place, vgg_file):
        whole = start(place, vgg_file)
        assert whole.wait(timeout=300) == 0, (place / "log.txt").read_text()
        expected = (place / "out.png").read_bytes()
        (place / "out.png").unlink()
        for path in (place / "out.png.snapshots").glob("*.png"):
            path.unlink()

        killed = start(place, vgg_file)
        wait_for(lambda: snapshots(place) >= 3, killed)
        killed.kill()
        killed.wait()
        assert not (place / "out.png").exists()
        folder, kind, done, steps, state, _ = runs.summarize(place / "out.png.run")
        assert (folder.name, kind, state) == ("out.png.run", "stylize", "interrupted")
        assert 0 < done < steps
        with pytest.raises(ValueError, match=r"of the kind 'stylize', .* carried on by `jaxart stylize ... --resume`"):
            runs.open_run(folder)
        with folders.locked(folder):
            code, _, told = jaxart(
                "stylize", "photo.png", "painting.png", "-o", "out.png", "--features", vgg_file, "--resume"
            )
        assert (code, "another process works on this run" in told) == (2, True)

        resumed = start(place, vgg_file, "--resume")
        assert resumed.wait(timeout=300) == 0, (place / "log.txt").read_text()
        assert (place / "out.png").read_bytes() == expected
        assert not (place / "out.png.run").exists()

    def test_ctrl_c_writes_the_picture_as_it_stands(self, place, vgg_file):
        process = start(place, vgg_file)
        wait_for(lambda: snapshots(place) >= 1, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert "--resume carries on" in (place / "log.txt").read_text()
        assert io.read(place / "out.png").shape[2] == 3


class TestMessages:
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
            (
                ["photo.png", "painting.png", "-o", "out.png", "--init", "dusk.png"],
                "content, gray, uniform, normal, style",
            ),
            (["photo.png", "painting.png", "-o", "out.png", "--init", "text.jpg"], "text.jpg: not a picture"),
            (["photo.png", "painting.png", "-o", "out.png", "--style-loss", "vgg"], 'Choose from: "wasserstein"'),
            (["photo.png", "painting.png", "-o", "out.png", "--stepz", "2"], "Did you mean --steps?"),
            (["photo.png", "painting.png"], "--output"),
        ],
    )
    def test_bad_input_is_one_clear_line_and_exit_code_2(self, jaxart, place, vgg_file, arguments, message):
        (place / "text.jpg").write_text("hello")
        features = [] if "--features" in arguments else ["--features", vgg_file]
        code, _, told = jaxart("stylize", *arguments, *features, *QUICK)
        assert code == 2
        lines = [line for line in told.splitlines() if line.startswith("jaxart:")]
        assert len(lines) == 1
        assert message in lines[0]

    def test_the_library_says_why_a_loss_is_not_finite_and_names_no_flags(self):
        message = str(training.NotFiniteError("style", 7, None))
        assert "style is not finite after step 7" in message
        assert "an update was too large, or a value outside the range of its dtype" in message
        assert "learning rate" not in message

    @pytest.fixture
    def diverging(self, place, vgg_file):
        """Files and flags with which the content loss is infinite at the first step."""
        arrays = load_file(vgg_file)
        arrays["features.0.weight"] *= 1000
        save_file(arrays, place / "large.safetensors")
        return [
            "photo.png",
            "painting.png",
            "-o",
            "out.png",
            "--features",
            "large.safetensors",
            "--init",
            "gray",
            *TINY,
        ]

    def test_stylize_says_which_flags_help(self, jaxart, place, diverging):
        code, _, told = jaxart("stylize", *diverging, "--content-weight", "3e38")
        assert code == 2
        assert "is not finite" in told
        assert "Try a lower --content-weight or another --style-loss." in told
        assert "learning rate" not in told
        assert io.read(place / "out.png").shape[1] == 38
        assert painting._remedy(job.Options(precision="bfloat16")) == "Try --precision float32."

    def test_sheet_says_which_flags_help(self, jaxart, place, diverging):
        code, _, told = jaxart("sheet", *diverging, "--content-weights", "3e38")
        assert code == 2
        assert "Try lower --content-weights or another --style-loss." in told
        assert "learning rate" not in told
        assert (place / "out.png").is_file()

    def test_train_says_which_flag_helps(self, jaxart, place, monkeypatch):
        def diverge(*_, **__):
            raise training.NotFiniteError("generator", 5, None)

        monkeypatch.setattr(training, "fit", diverge)
        np.save(place / "data.npy", np.zeros((16, 8, 8, 1), np.uint8))
        tiny = ["--size", 8, "--channels", 1, "--width", 4, "--latent", 4, "--batch", 8, "--devices", 1]
        code, _, told = jaxart("train", "gan", "data.npy", "-o", "run", *tiny)
        assert code == 2
        assert "generator is not finite after step 5" in told
        assert "lower --learning-rate" in told

    @pytest.mark.parametrize("name", ["vgg16", "vgg19"])
    def test_missing_weights_are_explained_in_python_by_the_library_and_in_flags_here(
        self, jaxart, place, monkeypatch, name
    ):
        monkeypatch.setenv("JAXART_CACHE", str(place / "empty"))
        monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: 1 / 0)
        with pytest.raises(weights.WeightsNotFound) as caught:
            weights.load(name)
        assert "--features" not in str(caught.value)
        assert "jaxart weights" not in str(caught.value)
        assert f'weights.provide("{name}")' in str(caught.value)
        code, _, told = jaxart("stylize", "photo.png", "painting.png", "-o", "out.png", "--features", name)
        assert code == 2
        for words in (f"jaxart weights fetch {name}", f"jaxart weights add {name} FILE", "--features FILE"):
            assert words in told


def test_plan_shows_memory_and_time(jaxart, vgg_file):
    code, told, error = jaxart("plan", "photo.png", "painting.png", "-o", "out.png", "--features", vgg_file, *QUICK)
    assert code == 0, error
    assert "peak memory" in told
    assert "45 x 38" in told
    assert "largest size that fits" in told


def test_info_and_weights(jaxart, place, vgg_file, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(place / "cache"))
    assert jaxart("weights", "add", "mine", vgg_file)[0] == 0
    code, listed, _ = jaxart("weights", "list")
    assert code == 0
    assert "mine" in listed
    assert "vgg19" in listed
    code, _, refused = jaxart("weights", "add", "../mine", vgg_file)
    assert code == 2
    assert "plain name" in refused
    code, facts, _ = jaxart("info")
    assert code == 0
    assert "jaxlib" in facts
