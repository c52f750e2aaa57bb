"""Painting in one pass: the file of a network, size, strength and colors, and the command line."""

import dataclasses
import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxart import cli, color, io, models, samples, weights
from jaxart.cli.job import Options, _beginning
from jaxart.tasks import stylize
from jaxart.tasks.stylize import instant as module

NAMES = ("scream", "circus", "shipwreck")


@pytest.fixture(scope="module")
def model():
    """A network that was not trained, but whose styles differ."""
    net = models.ManyStyleNet(styles=3, width=4, deep=6, blocks=1, coarse_blocks=0)
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 3)))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: np.float32(np.float16(leaf + rng.normal(0, 0.3, leaf.shape))), params)
    about = {"names": list(NAMES), "paintings": {"scream": "Munch, The Scream"}}
    return stylize.StyleModel(net, {"params": params}, about)


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(weights.network_bytes(stylize.as_network(model)))
    return path


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))

    def call(*words):
        return cli.app()([str(word) for word in words], exit_on_error=False, print_error=False)

    before = jax.config.jax_compilation_cache_dir
    yield call
    jax.config.update("jax_compilation_cache_dir", before)


def paint(model, photo, **options):
    return stylize.restyle(model.network, model.variables, photo, np.eye(3)[1], **options)


def test_a_file_of_a_network_is_read_as_it_was_written(model, file):
    found = stylize.load_styles(file)
    assert found.network == model.network
    assert found.names == NAMES
    jax.tree.map(np.testing.assert_array_equal, found.variables, model.variables)  # numbers of half precision
    assert file.read_bytes() == weights.network_bytes(stylize.as_network(found))


def test_files_that_are_no_network_of_styles_are_refused(model, file, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(weights.WeightsError, match="damaged"):
        stylize.load_styles(damaged)
    with pytest.raises(weights.WeightsError, match="no such file"):
        stylize.load_styles(tmp_path / "none.safetensors")
    arrays, about = load_file(file), {"kind": "many styles", "width": 4, "deep": 6, "blocks": 1, "names": list(NAMES)}
    for facts, message in (
        ({}, "expected the format 'jaxart network 1', got None"),
        ({"format": "jaxart network 9"}, "got 'jaxart network 9'"),
        (
            {"format": weights.networks.FORMAT, "about": '{"kind": "any style"}'},
            "the kind 'many styles', got 'any style'",
        ),
        ({"format": weights.networks.FORMAT, "about": '{"kind": "many styles"}'}, "lacks the names"),
        ({"format": weights.networks.FORMAT, "about": "{"}, "description is no JSON"),
        ({"format": weights.networks.FORMAT, "about": "[" * 100_000}, "description is no JSON"),
        ({"format": weights.networks.FORMAT, "about": "[1]"}, "got None"),
        ({"format": weights.networks.FORMAT, "about": json.dumps(about | {"blocks": 10**6})}, "lacks the names"),
        ({"format": weights.networks.FORMAT, "about": json.dumps(about | {"names": "abc"})}, "lacks the names"),
        (
            {"format": weights.networks.FORMAT, "about": json.dumps(about | {"names": ["a", "a", "b"]})},
            "lacks the names",
        ),
        (
            {"format": weights.networks.FORMAT, "about": json.dumps(about | {"paintings": {"a": "\x1b[2J"}})},
            "lacks the names",
        ),
        ({"format": weights.networks.FORMAT, "about": json.dumps(about | {"names": ["one"]})}, "layers are not those"),
        ({"format": weights.networks.FORMAT, "about": json.dumps(about | {"blocks": 2})}, "layers are not those"),
    ):
        save_file(arrays, damaged, metadata=facts)
        with pytest.raises(weights.WeightsError, match=message):
            stylize.load_styles(damaged)


def test_arrays_that_are_no_tree_of_finite_numbers_are_refused(model, file, tmp_path):
    arrays, junk = load_file(file), tmp_path / "junk.safetensors"
    facts = {"format": weights.networks.FORMAT, "about": json.dumps(stylize.as_network(model).about)}
    kernel = arrays["painter.picture.kernel"]
    for changed, message in (
        ({"painter.picture.kernel": np.full_like(kernel, np.nan)}, "not of finite numbers"),
        ({"painter.picture.kernel": kernel.astype(np.float32)}, "in half precision"),
        ({"painter.picture": kernel[0]}, "lies within|there twice"),
        ({"painter.picture.kernel": kernel[:1]}, "layers are not those"),
    ):
        save_file({name: np.ascontiguousarray(leaf) for name, leaf in (arrays | changed).items()}, junk, metadata=facts)
        with pytest.raises(weights.WeightsError, match=message):
            stylize.load_styles(junk)


@pytest.mark.parametrize("size", [(1, 2), (3, 200), (65, 2)])
def test_tiny_and_thin_pictures_are_painted(size, model, rng):
    made = paint(model, np.asarray(rng.random((*size, 3)), np.float32))
    assert made.shape == (*size, 3)
    assert np.isfinite(made).all()
    with pytest.raises(ValueError, match="of a single color"):
        paint(model, np.full((*size, 3), 0.5, np.float32))


def test_parts_equal_the_whole_and_large_pictures_are_measured_small(model, photo, monkeypatch, rng):
    picture = np.asarray(rng.random((150, 210, 3)), np.float32)
    np.testing.assert_allclose(paint(model, picture, tile=64), paint(model, picture), atol=1e-4)
    monkeypatch.setattr(module, "MEASURED", 128)
    small = paint(model, picture)
    np.testing.assert_allclose(paint(model, picture, tile=64), small, atol=1e-4)
    monkeypatch.setattr(module, "MEASURED", 1024)
    assert np.abs(small - paint(model, picture)).max() > 1e-3  # other statistics


def test_strength_goes_from_the_photograph_to_the_painting(model, photo):
    none, half, full = (paint(model, photo, strength=each) for each in (0, 0.5, 1))
    np.testing.assert_array_equal(none, photo)
    np.testing.assert_allclose(half, (photo + full) / 2, atol=1e-6)
    assert full.shape == photo.shape
    assert full.dtype == np.float32


@pytest.mark.parametrize("colors", ["style", "transport"])
def test_masks_give_each_region_its_style_and_leave_the_photograph_where_none_is(colors, model, photo):
    height, width = photo.shape[:2]
    masks = np.zeros((2, height, width), np.float32)
    masks[0, :, 4:12], masks[1, :, 12:20] = 1, 0.25  # alone
    masks[0, :, 20:28], masks[1, :, 20:28] = 1, 0.5  # in both
    mixes = np.eye(3)[[0, 2]]
    made = stylize.restyle(model.network, model.variables, photo, mixes, masks=masks, colors=colors)
    first, second = (stylize.restyle(model.network, model.variables, photo, mix, colors=colors) for mix in mixes)
    np.testing.assert_array_equal(made[:, :4], photo[:, :4])
    np.testing.assert_array_equal(made[:, 28:], photo[:, 28:])
    np.testing.assert_allclose(made[:, 4:12], first[:, 4:12], atol=1e-6)
    np.testing.assert_allclose(made[:, 12:20], (0.25 * second + 0.75 * photo)[:, 12:20], atol=1e-6)
    np.testing.assert_allclose(made[:, 20:28], ((2 * first + second) / 3)[:, 20:28], atol=1e-6)
    faint = stylize.restyle(model.network, model.variables, photo, mixes, masks=masks, colors=colors, strength=0.5)
    np.testing.assert_allclose(faint, (photo + made) / 2, atol=1e-6)


def test_regions_in_parts_equal_the_whole_and_masks_of_another_size_are_resized(model, rng):
    picture = np.asarray(rng.random((150, 210, 3)), np.float32)
    masks = np.asarray(rng.random((3, 75, 105)), np.float32)
    whole, parts = (
        stylize.restyle(model.network, model.variables, picture, np.eye(3), masks=masks, tile=tile)
        for tile in (None, 64)
    )
    np.testing.assert_allclose(parts, whole, atol=1e-4)


def test_masks_that_do_not_serve_are_refused(model, photo):
    paint = functools.partial(stylize.restyle, model.network, model.variables, photo)
    for mix, masks, message in (
        (np.eye(3)[:2], np.ones((3, 4, 4)), "one for each of the 2 styles"),
        (np.eye(3)[:1], np.full((1, 4, 4), 2.0), r"in \[0, 1\]"),
        (np.eye(3)[:1], np.zeros((1, 4, 4)), "zero everywhere"),
        (np.eye(3)[0], np.ones((1, 4, 4)), "3 finite numbers in a row for each mask"),
        (np.eye(3), None, "several rows need masks"),
    ):
        with pytest.raises(ValueError, match=message):
            paint(mix, masks=masks)


def test_half_precision_paints_nearly_the_same_with_statistics_in_float32(model, photo, strict):
    half = model._replace(network=model.network.clone(dtype=jnp.bfloat16))
    made, expected = paint(half, photo), paint(model, photo)
    assert made.dtype == np.float32
    assert 0 < np.abs(made - expected).max() < 0.02
    measure = functools.partial(half.network.apply, mutable=["statistics"])
    kept = jax.eval_shape(measure, half.variables, photo[None], jnp.eye(3)[:1])[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}


def test_colors_are_kept_where_asked_for(model, photo):
    made = paint(model, photo)
    luminance, transport = (paint(model, photo, colors=each) for each in ("luminance", "transport"))
    np.testing.assert_allclose(luminance, color.with_chroma_of(made, photo), atol=1e-6)
    assert (
        np.abs(transport.mean((0, 1)) - photo.mean((0, 1))).max() < np.abs(made.mean((0, 1)) - photo.mean((0, 1))).max()
    )


def test_pictures_of_one_bucket_share_a_program(model, rng):
    before = module._restyled._cache_size()
    for size in ((70, 100), (90, 128), (128, 66)):
        paint(model, np.asarray(rng.random((*size, 3)), np.float32))
    assert module._restyled._cache_size() == before + 1


def test_what_cannot_be_painted_is_refused(model, photo):
    for options, message in (
        ({"strength": 1.5}, "strength: expected a number from 0 to 1"),
        ({"colors": "gray"}, "colors: "),
        ({"tile": 0}, "at least 1 pixel"),
    ):
        with pytest.raises(ValueError, match=message):
            paint(model, photo, **options)
    with pytest.raises(ValueError, match="mix: expected 3"):
        stylize.restyle(model.network, model.variables, photo, np.ones(2))


def test_styles_are_mixed_by_name():
    np.testing.assert_allclose(stylize.style_mix(NAMES, ("scream", "circus"), (3, 1)), [0.75, 0.25, 0])
    with pytest.raises(ValueError, match=r"style: .*scream"):
        stylize.style_mix(NAMES, ("screem",))
    with pytest.raises(ValueError, match="expected 2 numbers"):
        stylize.style_mix(NAMES, ("scream", "circus"), (1,))


def test_the_command_line_paints_a_file_and_a_folder(model, file, run, photo, tmp_path):
    source = tmp_path / "photos"
    source.mkdir()
    for name in ("a.png", "b.png"):
        io.write(source / name, photo, alpha=np.full(photo.shape[:2], 0.5))
    instant = ("--preset", "instant", "--model", file)
    assert run("stylize", source / "a.png", "circus", "-o", tmp_path / "made.png", *instant, "--strength", "0.5") == 0
    made = io.read_picture(tmp_path / "made.png")
    np.testing.assert_allclose(
        made.rgb, paint(model, io.on_white(io.read_picture(source / "a.png")), strength=0.5), atol=0.003
    )
    assert made.alpha is not None
    assert (
        run("stylize", source, "scream", "circus", "-o", tmp_path / "made", *instant, "--style-weights", "1", "3") == 0
    )
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["a.png", "b.png"]
    io.write(tmp_path / "mask.png", np.repeat(np.linspace(0, 1, 48, dtype=np.float32)[None, :, None], 3, axis=2))
    masked = ("--mask", tmp_path / "mask.png", "--precision", "bfloat16")
    assert run("stylize", source / "b.png", "scream", "-o", tmp_path / "masked.png", *instant, *masked) == 0
    mostly = io.read_picture(tmp_path / "masked.png").rgb - io.on_white(io.read_picture(source / "b.png"))
    assert np.abs(mostly[:, 0]).max() < 0.01 < 0.05 < np.abs(mostly[:, -1]).max()
    assert run("styles", "--model", file, "-o", tmp_path / "sheet.png") == 0
    assert io.read(tmp_path / "sheet.png").shape[1] > 3 * 190


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("circle", "--preset", "instant"), "style: "),
        (("photo.png", "--preset", "instant"), "the styles that its network has learned .*scream.* leave out --model"),
        (("scream", "--preset", "instant", "--steps", "5"), "--steps has no meaning with --preset instant"),
        (("photo.png", "--strength", "0.5"), "belong to --preset instant"),
        (("scream", "--preset", "instant", "--save-every", "5"), "--save-every have no meaning"),
        (("scream", "--preset", "instant", "--size", "3000000"), "GiB are free: choose a smaller size"),
        (
            ("scream", "--preset", "instant", "--style-scale", "2"),
            "--style-scale 2: .* fixed by its training.*--preset fast",
        ),
        (("scream", "--preset", "instant", "--size", "0"), "--size: expected at least 1 pixel"),
    ],
)
def test_errors_on_the_command_line(words, message, file, run, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    io.write("photo.png", photo)
    model = ("--model", file) if "instant" in words else ()
    with pytest.raises(ValueError, match=message):
        run("stylize", "photo.png", *words, "-o", "made.png", *model)
    assert not (tmp_path / "made.png").exists()
    with pytest.raises(ValueError, match="--preset instant: expected quality, fast, refine, large"):
        run("plan", "photo.png", "photo.png", "--preset", "instant")


def test_refine_begins_with_the_instant_picture(vgg_file, rng):
    photo, painting = (rng.random((*size, 3), np.float32) for size in ((40, 64), (72, 66)))
    options = Options(preset="refine", size=64, features=str(vgg_file))
    begin = _beginning([painting], options, 64)
    found = stylize.load_any_style()
    style = stylize.style_of(found, painting, size=64)  # as large as the optimized method sees the painting
    expected = stylize.restyle(found.network, found.variables, photo, style)
    np.testing.assert_allclose(begin(photo), expected, atol=1e-6)
    with pytest.raises(ValueError, match="--init has no meaning with --preset refine"):
        _beginning([painting], dataclasses.replace(options, init="gray"), 64)


def test_the_network_of_any_style_in_the_package_takes_colors_from_the_painting(photo):
    path = weights.shipped("any_style")
    assert path.stat().st_size <= 4 << 20
    assert "## Data" in path.with_suffix(".md").read_text("utf-8")
    found, painting = stylize.load_any_style(), io.read(samples.path("cafe_terrace"))
    paintings = {"dark": 0.4 * painting, "light": 1 - 0.4 * painting, "red": painting * np.float32([1, 0.4, 0.2])}
    made = {
        name: stylize.restyle(found.network, found.variables, photo, stylize.style_of(found, each)).mean((0, 1))
        for name, each in paintings.items()
    }
    assert made["dark"].mean() + 0.2 < made["light"].mean()
    assert made["red"][0] > 1.5 * made["red"][2]


def test_the_network_in_the_package_paints_in_sixteen_styles(photo):
    path = weights.shipped("styles")
    assert path.stat().st_size <= 4 << 20
    assert "## Data" in path.with_suffix(".md").read_text("utf-8")
    found = stylize.load_styles()
    assert len(found.names) >= 16
    assert set(found.about["paintings"]) == set(found.names)
    made = [stylize.restyle(found.network, found.variables, photo, mix) for mix in np.eye(len(found.names))]
    assert all(np.isfinite(each).all() and np.abs(each - photo).mean() > 0.02 for each in made)
    assert min(np.abs(a - b).mean() for a, b in itertools.pairwise(made)) > 0.01
