"""A contact sheet: every picture is what a run of its own gives."""

import sys

import jax
import numpy as np
import optax
import pytest

from jaxart import cli, io, ops
from jaxart.tasks import stylize
from jaxart.tasks.stylize import predict
from jaxart.training import NotFiniteError, compile

pytestmark = pytest.mark.usefixtures(
    "pure_jax"
)  # the bounds are those of its rounding, but for the test that says otherwise

KEY = jax.random.key(0)
WEIGHTS = (0.003, 0.3)


@pytest.fixture(scope="module", autouse=True)
def optimized():
    """Compile steps optimized, as users have them: the bound on the rounding of two steps at two scales is that of such programs."""
    options = compile._options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile, "_options", lambda short_run: options(short_run) | {"xla_backend_optimization_level": 3})
        yield


@pytest.fixture(scope="module")
def job(variables, photo, painting):
    return stylize.prepare(
        photo,
        painting,
        variables=variables,
        size=48,
        min_size=34,
        steps=2,
        init="style",
        style_layers=("relu1_1", "relu2_1"),
        style_layer_weights=(4.0, 1.0),
        content_layers=("relu2_2",),
        optimizer=optax.adam(0.02, eps=1e-4),  # whose steps do not magnify the rounding of small gradients
    )


@pytest.fixture(scope="module")
def jobs(job, photo, painting):
    return stylize.variations(job, [painting, photo[:30, ::-1]], WEIGHTS)


@pytest.fixture(scope="module")
def alone(jobs):
    return np.stack([stylize.run(each, key=KEY) for each in jobs])


def test_pictures_with_the_compiled_kernel_are_those_of_runs_of_their_own(job, photo, painting):
    job = job._replace(optimizer=stylize.Optimizer(optax.sgd(1.0)), sizes=job.sizes[-1:], steps=(1,))
    jobs = stylize.variations(job, [painting, photo[:30, ::-1]], WEIGHTS)
    with ops.use_native():
        alone = np.stack([stylize.run(each, key=KEY) for each in jobs])
        np.testing.assert_allclose(stylize.run_sheet(jobs, key=KEY), alone, atol=1e-5)


@pytest.mark.parametrize("group", [None, 3])
def test_every_picture_is_that_of_a_run_of_its_own(jobs, alone, group):
    seen = []
    found = stylize.run_sheet(jobs, key=KEY, group=group, on_step=lambda progress: seen.append(progress.step))
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 0.01  # by weight
    assert np.abs(alone[0] - alone[2]).max() > 0.01  # by style
    assert max(seen) == 4 * (1 if group is None else 2)


def test_the_chroma_is_put_back_in_every_picture(job, photo, painting):
    jobs = stylize.variations(job._replace(colors="luminance", sizes=job.sizes[:1]), [painting], WEIGHTS)
    found = stylize.run_sheet(jobs, key=KEY)
    np.testing.assert_allclose(found[1], stylize.run(jobs[1], key=KEY), atol=1e-5)


def test_a_stop_leaves_white_what_had_not_begun(jobs):
    found = stylize.run_sheet(jobs, key=KEY, group=2, stop=lambda: True)
    assert found.shape == (4, *jobs[0].result_size, 3)
    assert found[:2].min() < 0.9
    assert (found[2:] == 1).all()


def test_what_is_not_finite_gives_back_the_pictures(job, painting):
    jobs = stylize.variations(job, [painting], [0.01, 3e38])
    with pytest.raises(NotFiniteError, match="loss") as caught:
        stylize.run_sheet(jobs, key=KEY)
    assert isinstance(caught.value, stylize.NotFiniteSheetError)
    assert caught.value.pictures.shape == (2, *job.result_size, 3)
    assert np.isfinite(caught.value.pictures).all()
    assert isinstance(caught.value.state, stylize.State)


def test_memory_decides_how_many_at_once(jobs, monkeypatch):
    monkeypatch.setattr(predict, "resident_bytes", lambda job: 0)
    most = stylize.plan_sheet(jobs, key=KEY, max_memory=1 << 40)
    assert (most.group, most.groups) == (4, 1)
    assert most.seconds > 0
    less = stylize.plan_sheet(jobs, key=KEY, max_memory=most.bytes - 1)
    assert (less.group, less.groups) == (2, 2)
    assert less.bytes < most.bytes
    with pytest.raises(ValueError, match=r"one picture of 48 x 40 needs 0\.\d\d GiB, but 0\.00 GiB may be used"):
        stylize.plan_sheet(jobs, key=KEY, max_memory=1000)


def test_errors(job, jobs, painting):
    with pytest.raises(ValueError, match=r"numbers of at least 0, got \(0.1, -1"):
        stylize.variations(job, [painting], [0.1, -1])
    with pytest.raises(ValueError, match="at least one style"):
        stylize.variations(job, [], [0.1])
    other = jobs[0]._replace(sizes=((8, 8),), content_layers=("relu1_1",))
    with pytest.raises(ValueError, match="stylization 3 and the first differ in sizes, content_layers; they may"):
        stylize.run_sheet([*jobs[:2], other], key=KEY)
    with pytest.raises(ValueError, match="group: expected at least 1"):
        stylize.run_sheet(jobs, key=KEY, group=0)


def test_targets_made_before_are_each_pictures_own(jobs, alone):
    made = [job._replace(targets=stylize.painting_targets(job)) for job in jobs]
    np.testing.assert_allclose(stylize.run_sheet(made, key=KEY), alone, atol=1e-5)
    shared = [job._replace(targets=made[0].targets) for job in jobs]
    for use in (stylize.run_sheet, stylize.plan_sheet):
        with pytest.raises(ValueError, match="targets: they were made for something else; different: styles"):
            use(shared, key=KEY)


@pytest.fixture
def place(tmp_path, photo, painting, monkeypatch):
    io.write(tmp_path / "photo.png", photo)
    io.write(tmp_path / "one.png", painting)
    io.write(tmp_path / "two.png", painting[::-1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxart.cli.sheet.keep_compiled_programs", lambda: None)
    return tmp_path


def jaxart_sheet(vgg_file, monkeypatch, *arguments):
    quick = ["--features", str(vgg_file), "--size", "32", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["jaxart", "sheet", *arguments, *quick])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def test_command(place, vgg_file, monkeypatch, capsys):
    arguments = ["photo.png", "one.png", "two.png", "-o", "sheet.png", "--each", "each"]
    assert jaxart_sheet(vgg_file, monkeypatch, *arguments) == 0
    assert io.read(place / "sheet.png").shape == (2 * 27 + 6, 3 * 32 + 2 * 6, 3)
    names = [path.name for path in sorted((place / "each").iterdir())]
    assert names[0] == "01-one-0.003.png"
    assert names[-1] == "06-two-0.03.png"
    np.testing.assert_array_equal(io.read(place / "each" / names[0]), io.read(place / "sheet.png")[:27, :32])
    said = capsys.readouterr().err
    assert "6 pictures of 32 x 27, together" in said
    assert "two 0.01" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "none.png", "-o", "sheet.png"], "none.png: no such file"),
        (["photo.png", "one.png", "-o", "sheet.xyz"], "cannot write .xyz"),
        (["photo.png", "one.png", "-o", "sheet.png", "--columns", "0"], "--columns: expected at least 1"),
        (["photo.png", "one.png", "-o", "sheet.png", "--each", "one.png"], "one.png is a file"),
        (["photo.png", "one.png", "-o", "sheet.png", "--content-weights", "0.1", "nan"], "content weights: expected"),
        (["photo.png", *["one.png"] * 40, "-o", "sheet.png"], "a sheet of 120 pictures: expected at most 100"),
    ],
)
def test_bad_input_is_one_clear_line(place, vgg_file, monkeypatch, capsys, arguments, message):
    assert jaxart_sheet(vgg_file, monkeypatch, *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxart:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (place / "sheet.png").exists()
