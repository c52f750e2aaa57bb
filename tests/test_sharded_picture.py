"""One picture over several devices: its rows are split, and the result is that of one device."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_large import KEY, SHALLOW, TILED, masks_of, relative

from jaxart import cli, io, losses
from jaxart.models import VGG
from jaxart.tasks import stylize
from jaxart.tasks.stylize.job import scale_of
from jaxart.tasks.stylize.needs import step_bytes
from jaxart.training import NotFiniteError, compile_steps, data_mesh, fit
from jaxart.training.sharding import shard_padded

SIZE = (75, 101)


def mesh(count):
    return data_mesh(jax.devices()[:count])


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(3)
    return rng.random((*SIZE, 3), np.float32), [rng.random((*size, 3), np.float32) for size in ((40, 52), (64, 80))]


def job(variables, pictures, **options):
    chosen = {"size": 101, "min_size": 101, "style_loss": losses.GRAM} | SHALLOW | options
    return stylize.prepare(*pictures, variables=variables, **chosen)


def first_step(made):
    return fit(stylize.scale_recipe(made, 0), key=KEY, steps=1)


@pytest.mark.parametrize(
    ("options", "splits"),
    [
        (
            {"masks": masks_of(SIZE), "style_layers": ("image", "relu2_1")},
            [(4, TILED), (8, TILED._replace(recompute=True))],
        ),
        ({"masks": masks_of(SIZE), "style_loss": losses.WASSERSTEIN}, [(2, stylize.WHOLE)]),
    ],
)
def test_the_gradient_is_that_of_one_device(variables, pictures, options, splits):
    one, expected = first_step(job(variables, pictures, **options))
    for count, memory_mode in splits:
        state, info = first_step(job(variables, pictures, mesh=mesh(count), memory_mode=memory_mode, **options))
        slopes = np.asarray(state.opt_state[0].mu)
        assert abs(float(info.loss / expected.loss) - 1) < 1e-5
        assert relative(slopes[:75], one.opt_state[0].mu) < 1e-5
        assert len(slopes) > 75
        assert not any(np.asarray(leaf)[75:].any() for leaf in (slopes, state.image, state.average))


def test_with_the_convolutions_of_xla_too(variables, pictures):
    def by_xla(**options):
        made = job(variables, pictures, **options)
        return made._replace(network=made.network.clone(winograd=False), variables=variables)

    (one, _), (four, _) = (first_step(made) for made in (by_xla(), by_xla(mesh=mesh(4))))
    assert relative(np.asarray(four.opt_state[0].mu[:75]), one.opt_state[0].mu) < 1e-5


def test_lbfgs_takes_the_same_step(variables, pictures):
    shallow = {"style_layers": ("relu1_1",), "style_layer_weights": None, "content_layers": ("relu1_2",)}
    made = job(variables, pictures, optimizer=stylize.LBFGS, **shallow)
    one, two = (first_step(made._replace(mesh=each))[0] for each in (None, mesh(2)))
    start = stylize.scale_recipe(made, 0).init(KEY).image
    assert relative(np.asarray(two.image[:75]) - start, one.image - start) < 1e-4


def test_an_optimizer_that_looks_at_neighbors_takes_the_same_steps(variables, pictures):
    made = job(variables, pictures, optimizer=stylize.SMOOTHED_ADAM, mesh=mesh(4), **SHALLOW)
    four = first_step(made)[0].image
    optimizer, slopes = stylize.SMOOTHED_ADAM.transformation, np.random.default_rng(0).normal(size=(*SIZE, 3))
    both = jnp.asarray(slopes, jnp.float32), shard_padded(jnp.asarray(slopes, jnp.float32), mesh(4), length=len(four))
    update = jax.jit(lambda slopes: optimizer.update(slopes, optimizer.init(slopes))[0])
    one, split = (np.asarray(update(each)) for each in both)
    np.testing.assert_allclose(split[:75], one, atol=1e-7)
    assert np.abs(split[75:]).max() > 1e-3  # the step takes that away
    assert len(four) > 75
    assert not np.asarray(four[75:]).any()


def test_no_device_holds_the_picture(variables, pictures):
    recipe = stylize.scale_recipe(job(variables, pictures, mesh=mesh(4), memory_mode=TILED, masks=masks_of(SIZE)), 0)
    state = recipe.init(KEY)
    program = compile_steps(recipe, key=KEY, state=state)
    assert not [word for word in ("all-gather", "all-to-all") if word in program.as_text()]
    assert "collective-permute" in program.as_text()
    after, _ = fit(recipe, key=KEY, steps=2)
    for each in (state, after):
        for leaf in (each.image, each.average, each.opt_state[0].mu, each.opt_state[0].nu):
            assert {part.data.shape for part in leaf.addressable_shards} == {(20, 101, 3)}


def test_runs_end_alike_and_resume_on_any_number_of_devices(variables, pictures, tmp_path):
    one = job(variables, pictures, min_size=70, steps=5, init="content")
    four, seen = one._replace(mesh=mesh(4)), []
    assert len(one.sizes) == 2

    def run(made, **options):
        seen.clear()
        return stylize.run(made, key=KEY, on_step=seen.append, **options)

    expected, loss = run(one), float(seen[-1].info.loss)
    picture = run(four)
    assert abs(float(seen[-1].info.loss) / loss - 1) < 1e-3
    assert picture.shape == (*SIZE, 3)
    assert np.abs(picture - expected).mean() < 0.01
    for made in (four, one):
        kept = {"checkpoints": tmp_path / str(made.mesh), "save_every": 3}
        half = run(four, stop=lambda: seen[-1].scale == 1, **kept)
        assert half.shape == (*SIZE, 3)
        resumed = run(made, resume=True, **kept)
        assert np.abs(resumed - picture).mean() < 0.01
        assert made is one or (resumed == picture).all()


def test_a_bad_value_leaves_the_picture_of_the_last_good_step(variables, pictures):
    made = job(variables, pictures, mesh=mesh(2))
    made = made._replace(loss_weights=made.loss_weights | {"content": jnp.float32(np.nan)})
    with pytest.raises(NotFiniteError) as caught:
        stylize.run(made, key=KEY)
    assert stylize.picture(caught.value.state).shape == (*SIZE, 3)


def test_small_scales_take_fewer_devices(variables, pictures):
    deep = stylize.prepare(
        np.zeros((512, 128, 3), np.float32), *pictures[1][:1], variables=variables, size=512, mesh=mesh(8)
    )
    counts = [rows and rows.mesh.size for rows in (scale_of(deep, index).rows for index in range(len(deep.sizes)))]
    assert (deep.sizes[-1], counts[-1]) == ((512, 128), 8)
    assert counts[0] == deep.sizes[0][0] // 64 < 8
    short = deep._replace(sizes=((100, 25),), network=VGG(layers=("relu5_1",)))
    assert scale_of(short, 0).rows is None


def test_simulated_devices_share_cores_and_memory(variables, pictures):
    one, four = (job(variables, pictures, mesh=each) for each in (None, mesh(4)))
    assert stylize.step_work(one, 0) < stylize.step_work(four, 0)
    assert step_bytes(scale_of(four, 0)) > step_bytes(scale_of(one, 0))  # with a network each


def test_errors(variables, pictures):
    other = jax.sharding.Mesh(jax.devices()[:2], ("rows",))
    with pytest.raises(ValueError, match=r"mesh: expected training.data_mesh"):
        job(variables, pictures, mesh=other)


def test_the_command(tmp_path, vgg_file, variables, pictures, monkeypatch):
    files = [tmp_path / name for name in ("tall.png", "painting.png", "out.png")]
    for file, made in zip(files, (np.resize(pictures[0], (130, 34, 3)), pictures[1][0]), strict=False):
        io.write(file, made)
    quick = ["--size", 130, "--min-size", 130, "--steps", 1, "--memory-mode", "whole", "--features", vgg_file]
    monkeypatch.setattr(
        sys, "argv", ["jaxart", *map(str, ("stylize", *files[:2], "-o", files[2], "--devices", 2, *quick))]
    )
    monkeypatch.setattr("jaxart.cli.stylize.keep_compiled_programs", lambda: None)
    monkeypatch.setattr("jaxart.training.simulate_devices", lambda count: None)  # eight are simulated already
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    content, painting, two = map(io.read, files)
    one = stylize.stylize(content, painting, key=KEY, variables=variables, size=130, min_size=130, steps=1)
    assert two.shape == one.shape
    assert np.abs(two - one).mean() < 0.005
