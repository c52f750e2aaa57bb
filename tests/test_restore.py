"""Networks that restore: the module, what they learn from, tiles, files, the kind of run; enlarging, and what agrees with its source."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import data, io, metrics, models, runs, samples, weights
from jaxart.image import shrink
from jaxart.runs import restorer as kind
from jaxart.tasks import restore as task

KEY = jax.random.key(2)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path_factory.getbasetemp() / "restore-cache"))


def model_of(name: str, scale: int = 1, spread: float = 0.15, **sizes) -> task.Restoration:
    """A restorer whose every weight counts, as after training."""
    sizes = {"width": 2, "depth": 2, "blocks": 1, "squares": 0 if name == "upscale" else 1} | sizes
    network = models.Restorer(task.outputs_of(name, scale), **sizes)
    params = jax.jit(network.init)(KEY, jnp.zeros((1, 8, 8, 4)))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: leaf + rng.normal(0, spread, leaf.shape).astype(np.float32), params)
    return task.Restoration(network, params, name, scale, {"steps": 1})


@pytest.fixture(scope="module")
def denoiser():
    return model_of("denoise")


# The network and pictures of any size


def test_tiles_are_the_parts_of_the_whole_picture(denoiser, rng):
    given = rng.random((150, 71, 4), np.float32)
    whole = task.apply_restorer(denoiser, given, tile=None)
    assert (whole.shape, whole.dtype) == ((150, 71, 3), np.float32)
    np.testing.assert_allclose(task.apply_restorer(denoiser, given, tile=44), whole, atol=2e-5)
    doubling = model_of("upscale", 2)
    whole = task.apply_restorer(doubling, given, tile=None)
    assert whole.shape == (300, 142, 3)
    np.testing.assert_allclose(task.apply_restorer(doubling, given, tile=44), whole, atol=2e-5)


def test_the_halo_is_what_a_result_looks_at(denoiser, rng):
    picture = jnp.asarray(rng.random((1, 128, 8, 4), np.float32))
    one = lambda x: jnp.asarray(denoiser.network.apply({"params": denoiser.params}, x))[0, 64:68, 4].sum()  # noqa: E731
    rows = np.flatnonzero(np.abs(jax.jit(jax.grad(one))(picture)).max((0, 2, 3)))
    halo, stride = denoiser.network.halo, denoiser.network.stride
    assert 64 - halo <= rows[0] <= 64 - halo + 5 * stride
    assert 68 + halo - 5 * stride <= rows[-1] + 1 <= 68 + halo
    assert halo % stride == 0
    assert (models.Restorer().stride, models.Restorer().halo) == (8, 104)


def test_what_is_brighter_by_a_factor_is_restored_to_that(denoiser, rng):
    given = jnp.asarray(rng.random((1, 12, 14, 4), np.float32))
    apply = partial(denoiser.network.apply, {"params": denoiser.params})
    np.testing.assert_allclose(apply(3 * given), 3 * jnp.asarray(apply(given)), rtol=1e-4, atol=1e-4)


def test_networks_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="sizes of at least 1"):
        models.Restorer(width=0).init(KEY, jnp.zeros((1, 8, 8, 4)))
    with pytest.raises(ValueError, match="B, H, W, C"):
        models.Restorer(width=2).init(KEY, jnp.zeros((8, 8, 4)))


# What is done with one


def test_eight_views_are_the_mean_of_what_is_made_of_each(denoiser, rng):
    picture = rng.random((20, 14, 3), np.float32)
    plain, views = (task.denoise(denoiser, picture, 0.1, views=n) for n in (1, 8))
    assert plain.shape == views.shape == picture.shape
    assert not np.allclose(plain, views, atol=1e-4)
    turned = task.denoise(denoiser, np.rot90(picture[:, ::-1]), 0.1, views=8)
    np.testing.assert_allclose(turned, np.rot90(views[:, ::-1]), atol=1e-5)
    with pytest.raises(ValueError, match="expected 1 or 8, got 2"):
        task.denoise(denoiser, picture, views=2)


def test_a_network_and_what_is_alike_are_meant_together(denoiser, rng):
    picture = rng.random((16, 16, 3), np.float32)
    learned = task.denoise(denoiser, picture, 0.1)
    alike = np.clip(task.denoise_nonlocal_means(picture, 0.1), 0, 1)
    np.testing.assert_allclose(task.denoise_together(denoiser, picture, 0.1), (learned + alike) / 2, atol=1e-5)


def test_the_level_of_noise_counts_and_may_differ_from_pixel_to_pixel(denoiser, rng):
    picture = rng.random((16, 16, 3), np.float32)
    level = np.full((16, 16, 1), 0.1)
    np.testing.assert_array_equal(task.denoise(denoiser, picture, level), task.denoise(denoiser, picture, 0.1))
    assert not np.allclose(task.denoise(denoiser, picture), task.denoise(denoiser, picture, 0.1), atol=1e-4)


def test_undamaged_pixels_stay_bit_for_bit_and_shares_are_blended(rng):
    model, picture = model_of("inpaint"), rng.random((24, 20, 3), np.float32)
    holes = np.zeros((24, 20), bool)
    holes[5:9, 4:12] = True
    filled = task.inpaint(model, picture, holes)
    np.testing.assert_array_equal(filled[~holes], picture[~holes])
    assert np.abs(filled - picture)[holes].max() > 0.01
    unseen = np.where(holes[..., None], 7.0, picture)
    np.testing.assert_array_equal(task.inpaint(model, unseen, holes), filled)
    half = task.inpaint(model, picture, 0.5 * holes)
    np.testing.assert_allclose(half[holes], (0.5 * picture + 0.5 * filled)[holes], atol=1e-6)
    with pytest.raises(ValueError, match="pixels that are known"):
        task.inpaint(model, picture, np.ones((24, 20)))
    with pytest.raises(ValueError, match=r"expected the picture's \(24, 20\), got \(3, 3\)"):
        task.inpaint(model, picture, np.ones((3, 3)))


def test_damage_is_a_probability(rng):
    found = task.find_damage(model_of("cracks"), rng.random((9, 11, 3), np.float32))
    assert found.shape == (9, 11)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_enlarged_picture_becomes_the_picture_when_it_is_shrunk(scale, rng):
    picture = np.clip(data.resampled(rng.normal(0.5, 0.15, (5, 4, 3)), (14, 11)), 0.05, 0.95)
    made = task.upscale(model_of("upscale", scale, spread=0.02), picture)
    assert made.shape == (14 * scale, 11 * scale, 3)
    assert -10 * np.log10(np.mean((np.asarray(shrink(made, scale)) - picture) ** 2)) > 48
    free = task.upscale(model_of("upscale", scale, spread=0.02), picture, project=False)
    assert np.abs(made - free).max() > 1e-3
    for kernel in task.KERNELS:
        projected = task.back_project(task.interpolate(picture, scale, kernel=kernel), picture)
        assert np.abs(np.asarray(shrink(projected, scale)) - picture).max() < 0.02


def test_enlarging_is_pillows(rng):
    from PIL import Image

    plane = rng.random((12, 9), np.float32)
    for kernel, filter_ in (("bicubic", Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)):
        expected = np.clip(np.asarray(Image.fromarray(plane).resize((27, 36), filter_)), 0, 1)
        np.testing.assert_allclose(task.interpolate(plane[..., None], 3, kernel=kernel)[..., 0], expected, atol=2e-6)
    with pytest.raises(ValueError, match="a whole number of at least 1, got 0"):
        task.interpolate(plane[..., None], 0)


def test_a_model_of_another_task_and_other_shapes_are_refused(denoiser):
    with pytest.raises(ValueError, match="of the task upscale, got one of denoise"):
        task.upscale(denoiser, np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"expected \[H, W, 3\]"):
        task.denoise(denoiser, np.zeros((8, 8)))
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        task.denoise(denoiser, np.zeros((8, 8, 3)), tile=0)


def test_the_pyramid_fills_with_what_is_around(rng):
    picture = rng.random((13, 10, 3), np.float32)
    known = np.ones((13, 10), np.float32)
    known[4:9, 3:7] = 0
    filled = task.fill_pyramid(picture, known)
    np.testing.assert_array_equal(filled[known > 0], picture[known > 0])
    np.testing.assert_allclose(task.fill_pyramid(np.full((13, 10, 3), 0.3), known), 0.3, atol=1e-6)
    assert picture.min() <= float(filled.min())
    assert float(filled.max()) <= picture.max()
    only = np.zeros((13, 10), np.float32)
    only[2, 2] = 1
    np.testing.assert_allclose(
        task.fill_pyramid(picture, only), np.broadcast_to(picture[2, 2], picture.shape), atol=1e-5
    )


# What they learn from


@pytest.mark.parametrize("damage", [task.noisy, partial(task.small, scale=2), task.torn, task.cracked])
def test_examples_have_one_shape_and_the_key_decides(damage, rng):
    image = jnp.asarray(rng.random((24, 24, 3), np.float32))
    keys = jax.random.split(KEY, 8)
    one, again = (jax.jit(jax.vmap(damage, (0, None)))(keys, image) for _ in range(2))
    for mine, expected in zip(one, again, strict=True):
        np.testing.assert_array_equal(mine, expected)
        assert bool(jnp.all(jnp.isfinite(mine)))
    assert one.given.shape[-1] == 4
    assert one.begun.shape == one.target.shape
    assert one.begun.shape[1] % one.given.shape[1] == 0
    known = jnp.broadcast_to(one.weight == 0, one.begun.shape)
    np.testing.assert_array_equal(np.asarray(one.begun)[known], np.asarray(one.target)[known])


def test_losses_are_of_what_counts(rng):
    target = jnp.asarray(rng.random((2, 16, 16, 3), np.float32))
    weight = jnp.zeros((2, 16, 16, 1)).at[:, :4].set(1)
    example = task.Example(target, target, target, weight)
    off = target.at[:, 8:].add(0.5)
    np.testing.assert_allclose(task.pixel_loss(off, example, None), task.pixel_loss(target, example, None), atol=1e-6)
    wrong = task.pixel_loss(target.at[:, :4].add(0.1), example, None)
    np.testing.assert_allclose(wrong, 0.1, atol=4e-3)
    assert float(task.pixel_loss(target.at[:, :4].add(0.1), example, None, dissimilarity_weight=1.0)[0]) > float(
        wrong[0]
    )
    truth = example._replace(target=(target[..., :1] > 0.5).astype(jnp.float32))
    sure = task.damage_loss(20 * (2 * truth.target - 1), truth, None)
    assert float(sure.max()) < 1e-3 < float(task.damage_loss(0 * truth.target, truth, None).min())


# Files and the kind of run

OPTIONS = runs.RestorerOptions(
    batch=4, steps=4, save_every=2, sample_every=4, size=24, crop=16, width=2, depth=2, blocks=1
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("pictures") / "train", np.random.default_rng(0)
    for place, count in ((root, 6), (root.parent / "test", 4)):
        place.mkdir()
        for number in range(count):
            io.write(place / f"{number}.png", np.repeat(np.repeat(rng.random((6, 6, 3), np.float32), 4, 0), 4, 1))
    return root


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """Runs that were not interrupted, by task, one that was, and the states in which they ended."""
    states, root = {}, tmp_path_factory.mktemp("runs")
    for name, task_name in (
        ("whole", "denoise"),
        ("halves", "denoise"),
        ("doubling", "upscale"),
        ("finding", "cracks"),
    ):
        options = dataclasses.replace(OPTIONS, task=task_name)
        run = runs.begin("restorer", {"data": folder}, root / name, options=options)
        if name == "halves":
            runs.train(run, stop=lambda: True)
            assert 0 < runs.saved_steps(run.folder)[0] < 4
        states[name] = runs.train(runs.open_run(run.folder))
    return root, states


def test_a_run_that_was_interrupted_ends_with_the_same_bits(finished):
    root, states = finished
    for mine, expected in zip(jax.tree.leaves(states["halves"]), jax.tree.leaves(states["whole"]), strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert io.read(root / "whole" / "samples" / "step0000004.png").shape == (6 * 26 - 2, 4 * 26 - 2, 3)
    assert set(kind.parameters(states["whole"])) == {"restorer"}


@pytest.mark.parametrize(
    ("name", "score"), [("whole", "PSNR"), ("doubling", "PSNR of what it begins with"), ("finding", "F1 of damage")]
)
def test_what_was_learned_can_be_scored_and_taken_out(name, score, finished, folder, tmp_path, rng):
    root, states = finished
    run = runs.open_run(root / name)
    cards = {card.score: card for card in runs.score(run, {"data": folder.parent / "test"})}
    assert np.isfinite(cards[score].value)
    model = kind.model_of(runs.Trained(run.options, run.facts, states[name]))
    kept = task.load_restoration(runs.export(run, tmp_path / "kept.safetensors"))
    assert (kept.task, kept.scale, kept.about["steps"]) == (model.task, model.scale, 4)
    given = rng.random((64, 64, 4), np.float32)
    np.testing.assert_allclose(task.apply_restorer(kept, given), task.apply_restorer(model, given), atol=3e-3)
    exported = jax.export.deserialize(bytearray(task.export_restoration(model, platforms=["cpu"])))
    np.testing.assert_allclose(exported.call(given), task.apply_restorer(model, given), atol=1e-5)


def test_a_run_goes_on_from_the_layers_that_fit(finished, folder, tmp_path):
    root, _ = finished
    begun = runs.export(runs.open_run(root / "doubling"), tmp_path / "begun.safetensors")
    options = dataclasses.replace(OPTIONS, task="upscale", scale=4, start=begun, steps=1, learning_rate=1e-9)
    state = runs.train(runs.begin("restorer", {"data": folder}, tmp_path / "run", options=options))
    params = weights.read_network(begun, kind=task.KIND)[0]
    np.testing.assert_allclose(state.params["bottom_0_conv1"]["kernel"], params["bottom_0_conv1"]["kernel"], atol=1e-6)
    assert state.params["last"]["kernel"].shape[-1] == 48
    begun.write_bytes(runs.export(runs.open_run(root / "whole"), tmp_path / "other.safetensors").read_bytes())
    with pytest.raises(ValueError, match="not the file that the run began with"):
        kind.recipe(options, {"pictures": 6, "start": "0"}).begin(state)


def test_files_that_describe_no_network_are_refused(denoiser, tmp_path):
    kept = task.as_network(denoiser)
    for change, message in (
        ({"task": "paint"}, "lacks a task"),
        ({"width": 0}, "sensible width"),
        ({"width": 3}, "layers are not"),
    ):
        path = tmp_path / "wrong.safetensors"
        path.write_bytes(weights.network_bytes(kept._replace(about=kept.about | change)))
        with pytest.raises(weights.WeightsError, match=message):
            task.load_restoration(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "a number above 0"),
        ({"crop": 25}, "16 to the size, 24 pixels, got 25"),
        ({"task": "upscale", "scale": 3}, "a multiple of the scale, 3, got 16"),
        ({"old": 2.0}, "old: expected a share"),
        ({"dissimilarity_weight": -1.0}, "at least 0"),
    ],
)
def test_options_that_cannot_serve_are_refused_before_anything_is_written(options, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        runs.begin("restorer", {"data": folder}, tmp_path / "run", options=dataclasses.replace(OPTIONS, **options))
    assert not (tmp_path / "run").exists()


def test_pictures_are_compared_by_what_a_network_sees(folder, vgg_file, tmp_path):
    options = dataclasses.replace(OPTIONS, steps=1, perceptual_weight=0.1, dissimilarity_weight=0.1, weights=vgg_file)
    state = runs.train(runs.begin("restorer", {"data": folder}, tmp_path / "run", options=options))
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(state.params))


def test_sources_of_pictures_are_squares(folder):
    found = kind.load(OPTIONS, "data", folder)
    assert found.column("image").shape == (6, 24, 24, 3)
    assert isinstance(found, data.Dataset)


# The networks of the package, on a photograph that they have not seen


@pytest.fixture(scope="module")
def photograph():
    return io.read(samples.path("coffee"))[100:196, 150:246]


def test_the_network_of_the_package_takes_noise_away(photograph, rng):
    model = task.shipped_restoration("denoise")
    noisy = photograph + rng.normal(0, 25 / 255, photograph.shape).astype(np.float32)
    plain = float(metrics.psnr(noisy, photograph))
    for level in (25 / 255, None):
        assert float(metrics.psnr(task.denoise(model, noisy, level), photograph)) > plain + 7


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_networks_of_the_package_enlarge_better_than_a_kernel(scale, photograph):
    small = np.asarray(shrink(photograph, scale))
    rival = task.back_project(task.interpolate(small, scale), small)
    made = task.upscale(task.shipped_restoration("upscale", scale), small)
    protocol = metrics.Protocol(border=scale)
    gained = metrics.psnr(made, photograph, protocol=protocol) - metrics.psnr(rival, photograph, protocol=protocol)
    assert float(gained) > 2
    assert float(metrics.psnr(shrink(made, scale), small)) > 48
