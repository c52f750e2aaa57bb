"""The network of any style: what its values are, what it is trained on, the kind of run, and its file."""

import dataclasses
import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from jaxart import cli, io, losses, models, runs, weights
from jaxart.image import resize
from jaxart.models import stylenet
from jaxart.models.blocks import depth_to_space, space_to_depth
from jaxart.runs import any_style as kind
from jaxart.runs import style as runs_style
from jaxart.tasks import stylize

NETWORK = models.AnyStyleNet(width=4, deep=6, blocks=3, coarse_blocks=1, style_width=2, hidden=8, style=5)
APPLY = jax.jit(NETWORK.apply)
SHALLOW = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1", "relu2_1")}


@pytest.fixture(scope="module")
def params():
    """Parameters whose styles differ, as after training."""
    blank = jnp.zeros((1, 16, 16, 3))
    found = jax.jit(NETWORK.init)(jax.random.key(0), blank, blank)
    assert set(found) == {"params"}
    rng = np.random.default_rng(1)

    def noise(path, leaf):
        predicted = any("norm" in str(each) or "filter" in str(each) for each in path)
        return leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32) if predicted else leaf

    return jax.tree_util.tree_map_with_path(noise, found)


@pytest.fixture
def images(rng):
    return jnp.asarray(rng.random((2, 48, 40, 3), np.float32))


@pytest.fixture
def paintings(rng):
    return jnp.asarray(rng.random((2, 30, 37, 3), np.float32) ** np.asarray([0.5, 2], np.float32)[:, None, None, None])


def test_it_has_fewer_than_a_million_parameters():
    network, blank = models.AnyStyleNet(), jnp.zeros((1, 16, 16, 3))
    shapes = jax.eval_shape(network.init, jax.random.key(0), blank, blank)
    assert 700_000 < sum(leaf.size for leaf in jax.tree.leaves(shapes)) < 1_000_000


def test_a_style_is_taken_once_and_is_that_of_its_painting_alone(params, images, paintings):
    made = APPLY(params, images, paintings)
    style = NETWORK.apply(params, paintings[1:], method="encode")
    assert style.shape == (1, NETWORK.dimensions)
    alone = NETWORK.apply(params, images[1:], style, method="paint")
    np.testing.assert_allclose(alone[0], made[1], atol=1e-5)
    other = NETWORK.apply(params, images[1:], NETWORK.apply(params, paintings[:1], method="encode"), method="paint")
    assert float(jnp.abs(other - alone).max()) > 1e-3


@pytest.mark.parametrize("spacing", [1, 2])
def test_the_filter_is_that_of_its_definition(spacing, rng):
    x, style = rng.random((2, 5, 6, 3), np.float32), rng.random((2, 4), np.float32)
    module = stylenet.StyleFilter(spacing)
    params = module.init(jax.random.key(0), x, style)
    kernel = style @ np.asarray(params["params"]["kernel"]["kernel"])
    kernel = kernel.reshape(2, 3, 3, 3)
    kernel[:, 1, 1] += 1
    padded = np.pad(x, ((0, 0), (spacing, spacing), (spacing, spacing), (0, 0)), mode="edge")
    expected = np.zeros_like(x)
    for row in range(5):
        for column in range(6):
            seen = padded[:, row : row + 2 * spacing + 1 : spacing, column : column + 2 * spacing + 1 : spacing]
            expected[:, row, column] = (seen * kernel).sum((1, 2))
    np.testing.assert_allclose(module.apply(params, x, style), expected, atol=1e-5)


@pytest.mark.parametrize(("before", "after"), [(0, (0, 0)), (2, (2, 2)), (0, (3, 1)), (4, (4, 4))])
def test_borders_are_repeated_with_the_derivative_of_a_pad(before, after, rng):
    x = jnp.asarray(rng.random((2, 3, 5, 4), np.float32))
    width = ((0, 0), (before, after[0]), (before, after[1]), (0, 0))
    weights = jnp.asarray(rng.random((2, 3 + before + after[0], 5 + before + after[1], 4), np.float32))
    found, back = jax.vjp(lambda x: stylenet.replicated(x, before, after), x)
    expected, transposed = jax.vjp(lambda x: jnp.pad(x, width, mode="edge"), x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(back(weights)[0], transposed(weights)[0], rtol=1e-6)


def test_a_part_with_the_halo_and_the_whole_statistics_is_that_part_of_the_picture(params, rng):
    image, style = jnp.asarray(rng.random((1, 216, 20, 3), np.float32)), jnp.ones((1, 5))
    paint = jax.jit(lambda variables, image: NETWORK.apply(variables, image, style, method="paint"))
    whole, found = NETWORK.apply(params, image, style, method="paint", mutable=["statistics"])
    halo, first, last = NETWORK.halo, 96, 120
    assert halo % NETWORK.stride == 0
    window = slice(first - halo, last + halo)
    part = paint({**params, **found}, image[:, window])
    np.testing.assert_allclose(part[:, halo : halo + last - first], whole[:, first:last], atol=1e-5)
    beyond = jnp.abs(part - whole[:, window])[:, : halo - NETWORK.stride]
    assert float(beyond.max()) > 1e-6  # less would not have been enough
    made = stylize.restyle(NETWORK, params, np.asarray(image[0]), style[0])
    tiled = stylize.restyle(NETWORK, params, np.asarray(image[0]), style[0], tile=32)
    np.testing.assert_allclose(tiled, made, atol=1e-5)


def test_what_cannot_be_painted_is_refused(params, images, paintings):
    with pytest.raises(ValueError, match="expected pictures"):
        NETWORK.apply(params, images[0], paintings)
    with pytest.raises(ValueError, match="expected paintings"):
        NETWORK.apply(params, images, paintings[0])
    with pytest.raises(ValueError, match=r"expected styles \[2, 5\]"):
        NETWORK.apply(params, images, paintings[:1])
    with pytest.raises(ValueError, match="sizes of at least 1"):
        NETWORK.clone(width=0).init(jax.random.key(0), images, paintings)
    with pytest.raises(ValueError, match="5 finite numbers"):
        stylize.restyle(NETWORK, params, np.asarray(images[0]), np.ones(3))


@pytest.fixture
def any_file(params, tmp_path):
    """A file of the network."""
    path = tmp_path / "any.safetensors"
    model = stylize.AnyStyleModel(NETWORK, {"params": params["params"]}, {})
    path.write_bytes(weights.network_bytes(stylize.any_style_network(model)))
    return path


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that paints with --preset instant in a folder of its own."""
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def paint(*words):
        command = ("stylize", *words, "-o", "made.png", "--preset", "instant")
        return cli.app()([str(word) for word in command], exit_on_error=False, print_error=False)

    before = jax.config.jax_compilation_cache_dir
    yield paint
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_command_line_paints_regions_in_styles_of_the_asked_for_scale(any_file, run, rng):
    photo, paintings = rng.random((40, 48, 3)), rng.random((2, 140, 130, 3))
    half = np.zeros((20, 24, 3))
    half[:, :12] = 1
    for name, picture in {
        "photo": photo,
        "a": paintings[0],
        "b": paintings[1],
        "left": half,
        "right": 1 - half,
    }.items():
        io.write(f"{name}.png", np.asarray(picture, np.float32))
    words = ("photo.png", "a.png", "b.png", "--model", any_file, "--style-scale", "0.125")
    assert run(*words, "--mask", "left.png", "right.png") == 0
    model, picture = stylize.load_any_style(any_file), io.read("photo.png")
    styles = [stylize.style_of(model, io.read(name), size=64) for name in ("a.png", "b.png")]
    first, second = (stylize.restyle(model.network, model.variables, picture, style) for style in styles)
    made = io.read("made.png")
    np.testing.assert_allclose(made[:, :20], first[:, :20], atol=0.6 / 255)  # the masks are soft where they meet
    np.testing.assert_allclose(made[:, 28:], second[:, 28:], atol=0.6 / 255)
    natural = stylize.style_of(model, io.read("a.png"))
    assert np.abs(natural - styles[0]).max() > 1e-4
    with pytest.raises(ValueError, match=r"expected one for each of the 2 styles"):
        run(*words, "--mask", "left.png")


def test_a_style_does_not_depend_on_the_scan(params, rng):
    model = stylize.AnyStyleModel(NETWORK, params, {})
    coarse = np.asarray(resize(rng.random((12, 15, 3), np.float32), (80, 100), method="bilinear"))
    fine = np.asarray(resize(coarse, (400, 500), method="bilinear"))
    first, second = (stylize.style_of(model, painting, size=250) for painting in (coarse, fine))
    own = stylize.style_of(model, coarse, size=100)
    assert np.abs(first - second).max() < 0.1 * np.abs(first - own).max()


def test_paintings_that_show_no_style_are_refused_by_name(params, any_file, run, rng):
    flat, small = np.full((80, 90, 3), 0.3, np.float32), np.asarray(rng.random((63, 200, 3)), np.float32)
    model = stylize.AnyStyleModel(NETWORK, params, {})
    for painting, message in ((flat, "painting: of a single color"), (small, "at least 64 pixels, got 200 x 63")):
        with pytest.raises(ValueError, match=message):
            stylize.style_of(model, painting)
        io.write("painting.png", painting)
        io.write("photo.png", small)
        with pytest.raises(ValueError, match=rf"painting\.png: .*{message}"):
            run("photo.png", "painting.png", "--model", any_file)
    assert stylize.style_of(model, small, size=48).shape == (5,)  # of the size that was asked for
    for scale in ("0.1", "inf", "nan"):
        with pytest.raises(ValueError, match=r"--style-scale: expected at least 0\.125"):
            run("photo.png", "painting.png", "--model", any_file, "--style-scale", scale)


@pytest.mark.parametrize("size", [(1, 2), (3, 70)])
def test_no_photograph_is_too_small(size, params, rng):
    photo = np.asarray(rng.random((*size, 3)), np.float32)
    made = stylize.restyle(NETWORK, params, photo, np.ones(5))
    assert made.shape == photo.shape
    assert np.isfinite(made).all()
    with pytest.raises(ValueError, match="photo: of a single color"):
        stylize.restyle(NETWORK, params, photo[:1, :1], np.ones(5))


def test_half_precision_paints_nearly_the_same_with_statistics_in_float32(params, images, strict):
    photo, style = np.asarray(images[0]), np.linspace(-1, 1, 5, dtype=np.float32)
    half = NETWORK.clone(dtype=jnp.bfloat16)
    expected, made = (stylize.restyle(each, params, photo, style) for each in (NETWORK, half))
    assert made.dtype == np.float32
    assert 0 < np.abs(made - expected).max() < 0.02
    measure = functools.partial(half.apply, method="paint", mutable=["statistics"])
    kept = jax.eval_shape(measure, params, images[:1], style[None])[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}


class Given:
    """A network that returns photographs moved toward a gray, or as they are, as `any_style` calls one."""

    def __init__(self, share):
        self.share = share

    def init(self, key, images, paintings):
        return {"params": {"x": jnp.zeros(())}}

    def apply(self, variables, images, style=None, *, method):
        if method == "encode":
            return jnp.zeros((len(images), 1))
        place = jnp.linspace(0, 1, images.shape[1])[None, :, None, None]  # what it draws stays where it is
        return (1 - self.share) * images + self.share * place + 0 * variables["params"]["x"]


@pytest.fixture(scope="module")
def aims(variables):
    return stylize.any_style_aims(
        variables, style_layer_weights=(4.0, 1.0), content_weight=3.0, contrast_weight=0.2, identity_weight=2.0, flicker_weight=5.0,
        **SHALLOW
    )  # fmt: skip


def info_of(share, aims, batch, **options):
    recipe = stylize.any_style(Given(share), aims=aims, **SHALLOW, **options)
    return jax.jit(recipe.step)(jax.random.key(0), recipe.init(jax.random.key(1)), batch, aims)[1]


def test_its_terms_are_those_of_their_definitions(aims, variables, images, paintings):
    info = info_of(0.5, aims, {"image": images, "painting": paintings}, identity_chance=0.0, flicker_side=16)
    made = 0.5 * images + 0.5 * jnp.linspace(0, 1, 48)[None, :, None, None]
    features = models.VGG(layers=("relu1_1", "relu2_1", "relu2_2"), first_padding="replicate")
    mine, photo, painting = (features.apply(aims.variables, each) for each in (made, images, paintings))
    np.testing.assert_allclose(info.content, 3 * jnp.mean((mine["relu2_2"] - photo["relu2_2"]) ** 2), rtol=1e-4)

    @jax.jit
    def distance(mine, painting):
        target = losses.WASSERSTEIN.target(losses.moments(painting))
        return losses.WASSERSTEIN.distance(losses.moments(mine), target)

    style = 0.0
    for name, weight in {"relu1_1": 0.8, "relu2_1": 0.2}.items():
        style += sum(weight / 2 * distance(mine[name][row], painting[name][row]) for row in range(2))
    np.testing.assert_allclose(info.style, style, rtol=1e-3)
    np.testing.assert_allclose(info.flicker, 5 * (0.5 / 15) ** 2, rtol=1e-3)
    assert float(info.identity) == 0
    apart = np.zeros((2, 2))
    for name, weight in {"relu1_1": 0.8, "relu2_1": 0.2}.items():
        stats = [[losses.moments(each[name][row]) for row in range(2)] for each in (mine, painting)]
        apart += weight * np.asarray([[losses.adain(one, other) for other in stats[1]] for one in stats[0]])
    chances = np.exp(-apart / 0.1) / np.exp(-apart / 0.1).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(info.contrast, -0.2 * np.log(np.diag(chances)).mean(), rtol=1e-3)
    parts = (info.content, info.style, info.smoothness, info.contrast, info.identity, info.flicker)
    np.testing.assert_allclose(info.loss, sum(map(float, parts)), rtol=1e-5)


def test_a_painting_in_the_place_of_the_photograph_should_stay_as_it_is(aims, images, paintings):
    batch = {"image": images, "painting": paintings}
    kept = info_of(0.0, aims, batch, identity_chance=1.0)
    assert (float(kept.identity), float(kept.content), float(kept.flicker)) == (0, 0, 0)
    changed = info_of(0.5, aims, {"image": images, "painting": images[::-1]}, identity_chance=1.0)
    error = jnp.mean(jnp.abs(0.5 * images - 0.5 * jnp.linspace(0, 1, 48)[None, :, None, None]))
    np.testing.assert_allclose(changed.identity, 2 * error, rtol=1e-4)


def test_what_does_not_serve_is_refused(variables, aims):
    with pytest.raises(ValueError, match="compares whole feature maps"):
        stylize.any_style(NETWORK, aims=aims, style_loss=losses.SLICED)
    with pytest.raises(ValueError, match="identity_chance from 0 to 1"):
        stylize.any_style(NETWORK, aims=aims, identity_chance=2.0)
    with pytest.raises(ValueError, match="expected those of VGG-19"):
        stylize.any_style_aims(variables, depth=19)
    with pytest.raises(ValueError, match="weights of at least 0"):
        stylize.any_style_aims(variables, identity_weight=-1.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three paintings, two that are large enough to be styles of their own, and four photographs."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for folder, count in {"paintings": 3, "photos": 4}.items():
        (root / folder).mkdir()
        for number in range(count):
            io.write(root / folder / f"{number}.png", rng.random((70 + number, 80, 3), np.float32))
    (root / "large").mkdir()
    for number in range(2):
        io.write(root / "large" / f"{number}.png", rng.random((64, 64, 3), np.float32) ** (1 + 2 * number))
    return {folder: root / folder for folder in ("paintings", "photos", "large")}


def sources(folders):
    return {source: folders[source] for source in ("paintings", "photos")}


@pytest.fixture(scope="module")
def options(vgg_file):
    return runs.AnyStyleOptions(
        batch=2, steps=2, save_every=1, sample_every=2, size=48, crop=32, width=2, blocks=0, style_width=2, hidden=4, style=3,
        weights=vgg_file,
    )  # fmt: skip


def test_a_run_that_was_interrupted_ends_with_the_same_bits_and_its_file_paints(
    folders, options, tmp_path, monkeypatch, rng
):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    states = {}
    for name in ("whole", "halves"):
        run = runs.begin("any-style", sources(folders), tmp_path / name, options=options)
        assert run.facts == {"photos": 4, "paintings": 3}
        if name == "halves":
            runs.train(run, stop=lambda: True)
            assert 0 < runs.saved_steps(run.folder)[0] < 2
        states[name] = runs.train(runs.open_run(run.folder))
    for mine, expected in zip(jax.tree.leaves(states["halves"]), jax.tree.leaves(states["whole"]), strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert io.read(tmp_path / "whole" / "samples" / "step0000002.png").shape == (3 * 34 - 2, 3 * 34 - 2, 3)
    whole = runs.open_run(tmp_path / "whole")
    file = runs.export(whole, tmp_path / "any.safetensors")
    model = stylize.load_any_style(file)
    assert model.about["steps"] == 2
    image, painting = (rng.random((*size, 3), np.float32) for size in ((32, 40), (25, 31)))
    expected = model.network.apply(model.variables, image[None], painting[None])[0]
    exported = runs.export(whole, tmp_path / "any.jax", platforms=("cpu",)).read_bytes()
    session = onnxruntime.InferenceSession(runs.export(whole, tmp_path / "any.onnx"))
    program = jax.export.deserialize(bytearray(exported))
    for made in (program.call(image, painting), *session.run(None, {"image": image, "painting": painting})):
        np.testing.assert_allclose(made, expected, atol=1e-3)  # of half precision
    style = stylize.style_of(model, rng.random((300, 200, 3), np.float32))
    made = stylize.restyle(model.network, model.variables, rng.random((40, 48, 3), np.float32), style)
    assert made.shape == (40, 48, 3)
    assert weights.network_kind(file) == stylize.ANY_STYLE
    assert weights.network_kind(folders["photos"] / "0.png") == ""
    photo, paintings = folders["photos"] / "0.png", [folders["paintings"] / f"{number}.png" for number in range(2)]
    command = ["stylize", photo, *paintings, "-o", tmp_path / "made.png", "--preset", "instant", "--model", file]
    command += ["--style-weights", "3", "--style-weights", "1"]
    before = jax.config.jax_compilation_cache_dir
    assert cli.app()([str(word) for word in command], exit_on_error=False, print_error=False) == 0
    jax.config.update("jax_compilation_cache_dir", before)
    first, second = (stylize.style_of(model, io.read(path)) for path in paintings)
    expected = stylize.restyle(model.network, model.variables, io.read(photo), 0.75 * first + 0.25 * second)
    np.testing.assert_allclose(io.read(tmp_path / "made.png"), expected, atol=0.6 / 255)
    with pytest.raises(weights.WeightsError, match="many styles"):
        stylize.load_styles(file)
    with pytest.raises(ValueError, match="size: expected at least 16"):
        stylize.style_of(model, rng.random((30, 20, 3)), size=8)


def test_its_streams_are_drawn_apart_and_can_be_resumed(folders, options):
    data = {source: kind.load(options, source, path) for source, path in sources(folders).items()}
    assert data["photos"].column("image").shape == (4, 48, 48, 3)
    key, found = jax.random.key(0), []
    whole, later = (kind.batches(key, options, data, first, (0, 1)) for first in (0, 5))
    for _ in range(8):
        found.append(next(whole))
    for expected in found[5:]:
        mine = next(later)
        assert set(mine) == {"image", "painting"}
        for name, value in mine.items():
            np.testing.assert_array_equal(value, expected[name])
    seen = {(batch["image"][row].tobytes(), batch["painting"][row].tobytes()) for batch in found for row in range(2)}
    assert len(seen) > 4
    for crop in (8, 49):
        with pytest.raises(ValueError, match="crop: expected at least 32 pixels, at most the size"):
            kind.load(dataclasses.replace(options, crop=crop), "photos", folders["photos"])
    with pytest.raises(ValueError, match="recolored: expected a share"):
        kind.facts(dataclasses.replace(options, recolored=2.0), data)


def test_a_run_can_begin_with_a_network_and_no_other_takes_its_place(folders, options, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    files, widths = {}, {"one": 2, "other": 3}
    for name, width in widths.items():
        network = NETWORK.clone(width=width, blocks=0, coarse_blocks=0)
        params = network.init(jax.random.key(width), *[jnp.zeros((1, 16, 16, 3))] * 2)
        model = stylize.AnyStyleModel(network, params, {})
        files[name] = tmp_path / f"{name}.safetensors"
        files[name].write_bytes(weights.network_bytes(stylize.any_style_network(model)))
    further = dataclasses.replace(options, start=files["one"], steps=1, coarse_blocks=2)
    run = runs.begin("any-style", sources(folders), tmp_path / "run", options=further)
    recipe = kind.recipe(run.options, run.facts)
    begun = recipe.init(jax.random.key(5)).params
    expected = stylize.load_any_style(files["one"]).variables["params"]
    added = {name: begun["painter"].pop(name) for name in list(begun["painter"]) if name.startswith("coarse")}
    assert {name.split("_")[0] for name in added} == {"coarse1", "coarse2", "coarse"}
    jax.tree.map(np.testing.assert_array_equal, begun, expected)
    files["one"].write_bytes(files["other"].read_bytes())
    with pytest.raises(ValueError, match="not the file that the run began with"):
        runs.train(runs.open_run(run.folder))


def test_colors_are_normalized_as_at_full_size(rng):
    x, style = rng.random((2, 5, 6, 12), np.float32), rng.random((2, 4), np.float32)
    module = stylenet.StyleColors()
    params = module.init(jax.random.key(0), x, style)
    layers = {name: np.asarray(leaf["kernel"]) for name, leaf in params["params"].items()}
    whole = np.asarray(depth_to_space(x), np.float64)
    assert whole.shape == (2, 10, 12, 3)
    np.testing.assert_array_equal(space_to_depth(depth_to_space(x)), x)
    normal = (whole - whole.mean((1, 2), keepdims=True)) / np.sqrt(whole.var((1, 2), keepdims=True) + 1e-5)
    matrix = np.eye(3) + (style @ layers["matrix"]).reshape(-1, 3, 3)
    expected = np.einsum("bhwc,bcd->bhwd", normal, matrix) + (style @ layers["shift"])[:, None, None]
    np.testing.assert_allclose(depth_to_space(module.apply(params, x, style)), expected, atol=1e-4)


def test_a_network_of_many_styles_can_begin_as_one_of_any(folders, options, vgg_file, tmp_path, monkeypatch, params):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "any.safetensors"
    file.write_bytes(weights.network_bytes(stylize.any_style_network(stylize.AnyStyleModel(NETWORK, params, {}))))
    model = stylize.load_any_style(file)
    where = {"paintings": folders["large"], "photos": folders["photos"]}
    chosen = runs.StyleOptions(batch=2, steps=1, crop=32, painting_size=64, start=file, weights=vgg_file)
    run = runs.begin("style", where, tmp_path / "run", options=chosen)
    begun = runs_style.recipe(run.options, run.facts).init(jax.random.key(0)).params
    network = models.ManyStyleNet(2, width=4, deep=6, blocks=3, coarse_blocks=1)
    photo = io.read(folders["photos"] / "0.png")
    for row, name in enumerate(run.facts["paintings"]):
        painting = io.read(folders["large"] / f"{name}.png")
        expected = stylize.restyle(NETWORK, model.variables, photo, stylize.style_of(model, painting, size=64))
        found = stylize.restyle(network, {"params": begun}, photo, np.eye(2, dtype=np.float32)[row])
        np.testing.assert_allclose(found, expected, atol=2e-2)  # the run has paintings as uint8
    runs.train(run)
    assert stylize.load_styles(runs.export(run, tmp_path / "many.safetensors")).names == ("0", "1")
