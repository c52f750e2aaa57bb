"""The network of many styles: what its values are, what it is trained on, and the kind of run."""

import dataclasses

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from jaxart import io, losses, models, runs
from jaxart.cli import runs as cli_runs
from jaxart.models.stylenet import joined
from jaxart.runs import style as kind
from jaxart.tasks import stylize

NETWORK = models.ManyStyleNet(styles=3, width=4, deep=6, blocks=1, coarse_blocks=0)
APPLY = jax.jit(NETWORK.apply)
MIX = jnp.eye(3)[:2]
SHALLOW = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1", "relu2_1")}


@pytest.fixture(scope="module")
def params():
    """Parameters whose styles differ, as after training."""
    found = NETWORK.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 3)))
    assert set(found) == {"params"}
    rng = np.random.default_rng(1)
    noise = lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32)  # noqa: E731
    return of_tables(found, noise)


def of_tables(params, change):
    """Return parameters whose tables are changed."""
    shared, tables = stylize.split_tables(params["params"])
    return {"params": joined(shared, jax.tree.map(change, tables))}


@pytest.fixture
def images(rng):
    return jnp.asarray(rng.random((2, 48, 40, 3), np.float32))


def only(params, style):
    """Return the parameters of a network that knows one style of those."""
    return of_tables(params, lambda table: table[style : style + 1])


def test_a_one_hot_mix_is_that_style_alone(params, images):
    single = NETWORK.clone(styles=1)
    made = APPLY(params, images, MIX)
    for row in range(2):
        alone = single.apply(only(params, row), images[row : row + 1], jnp.ones((1, 1)))
        np.testing.assert_allclose(made[row], alone[0], atol=1e-5)
    assert float(jnp.abs(APPLY(params, images[:1], MIX[1:]) - made[:1]).max()) > 0.01


def test_a_blend_scales_and_shifts_by_the_mean_of_the_tables(params, images):
    blended = of_tables(params, lambda table: (table[:1] + table[1:2]) / 2)
    expected = NETWORK.clone(styles=1).apply(blended, images, jnp.ones((2, 1)))
    np.testing.assert_allclose(APPLY(params, images, jnp.full((2, 3), 0.5).at[:, 2].set(0)), expected, atol=1e-5)


def test_the_norm_is_that_of_its_definition(rng):
    x = rng.normal(2, 3, (2, 6, 5, 4)).astype(np.float32)
    table = {name: {"kernel": rng.normal(0, 1, (3, 4)).astype(np.float32)} for name in ("scale", "shift")}
    for each in table.values():
        each["bias"] = rng.normal(0, 1, 4).astype(np.float32)
    mix = np.asarray([[0.2, 0.3, 0.5], [1, 0, 0]], np.float32)
    found = models.stylenet.StyleNorm().apply({"params": table}, x, mix)
    unit = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    a, b = (mix @ table[name]["kernel"] + table[name]["bias"] for name in ("scale", "shift"))
    np.testing.assert_allclose(found, unit * (1 + a)[:, None, None] + b[:, None, None], atol=1e-4)


def test_given_statistics_are_used_and_those_of_a_picture_change_nothing(params, images):
    made, found = NETWORK.apply(params, images, MIX, mutable=["statistics"])
    assert {leaf.shape[0] for leaf in jax.tree.leaves(found)} == {2}
    assert len(jax.tree.leaves(found)) == 2 * 6
    np.testing.assert_array_equal(NETWORK.apply({**params, **found}, images, MIX), made)
    other = NETWORK.apply({**params, **found}, images[::-1], MIX)
    assert float(jnp.abs(other - NETWORK.apply(params, images[::-1], MIX)).max()) > 1e-3


@pytest.mark.parametrize(("blocks", "coarse"), [(0, 0), (2, 0), (0, 1)])
def test_a_part_with_the_halo_and_the_whole_statistics_is_that_part_of_the_picture(blocks, coarse, params, rng):
    network = NETWORK.clone(blocks=blocks, coarse_blocks=coarse)
    image = jnp.asarray(rng.random((1, 156, 24, 3), np.float32))
    variables = network.init(jax.random.key(0), image[:, :16, :16], MIX[:1])
    whole, found = network.apply(variables, image, MIX[:1], mutable=["statistics"])
    first, last = 64, 80
    assert network.halo % network.stride == 0
    window = slice(first - network.halo, last + network.halo)
    part = network.apply({**variables, **found}, image[:, window], MIX[:1])
    kept = part[:, network.halo : network.halo + last - first]
    np.testing.assert_allclose(kept, whole[:, first:last], atol=1e-5)
    beyond = jnp.abs(part - whole[:, window])[:, : network.halo - network.stride]
    assert float(beyond.max()) > 1e-5  # less would not have been enough


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (30, 19), (1, 5)])
def test_any_size_comes_out_as_it_went_in(size, params, rng):
    image = jnp.asarray(rng.random((1, *size, 3), np.float32))
    made = APPLY(params, image, MIX[:1])
    assert made.shape == image.shape
    assert made.dtype == jnp.float32
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    continued = jnp.pad(image, ((0, 0), (0, -size[0] % 4), (0, -size[1] % 4), (0, 0)), mode="edge")
    np.testing.assert_array_equal(APPLY(params, continued, MIX[:1])[:, : size[0], : size[1]], made)


def test_an_even_picture_gets_no_frame(params, images):
    """With the statistics of another: its own deviations are nothing but rounding, which they would enlarge."""
    _, found = NETWORK.apply(params, images[:1], MIX[:1], mutable=["statistics"])
    made = APPLY({**params, **found}, jnp.full((1, 32, 32, 3), 0.4), MIX[:1])
    np.testing.assert_allclose(made, jnp.broadcast_to(made[:, :1, :1], made.shape), atol=1e-5)


def test_jit_equals_eager_and_winograd_equals_without(params, images):
    made = APPLY(params, images, MIX)
    np.testing.assert_allclose(NETWORK.apply(params, images, MIX), made, atol=1e-5)
    np.testing.assert_allclose(NETWORK.clone(winograd=False).apply(params, images, MIX), made, atol=1e-4)
    assert float(jnp.abs(NETWORK.clone(dtype=jnp.bfloat16).apply(params, images, MIX) - made).max()) < 0.1


@pytest.mark.parametrize("picture", ["noise", "even"])
def test_gradients_are_finite(picture, params, images):
    image = images if picture == "noise" else jnp.full_like(images, 0.5)
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(NETWORK.apply(params, image, MIX) ** 2)))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    _, tables = stylize.split_tables(gradient["params"])
    assert all(float(jnp.abs(table[2]).max()) == 0 for table in jax.tree.leaves(tables))


def test_what_cannot_be_painted_is_refused(params, images):
    with pytest.raises(ValueError, match="expected pictures"):
        NETWORK.apply(params, images[0], MIX)
    with pytest.raises(ValueError, match=r"expected styles \[2, 3\]"):
        NETWORK.apply(params, images, MIX[:1])
    with pytest.raises(ValueError, match="sizes of at least 1"):
        NETWORK.clone(styles=0).init(jax.random.key(0), images, MIX)
    with pytest.raises(ValueError, match="mix: expected 3"):
        stylize.restyle(NETWORK, params, images[0], [1.0, 0.0])


def test_restyle_is_one_pass_over_the_picture_continued_to_a_bucket(params, images):
    bucket = jnp.pad(images[:1], ((0, 0), (0, 16), (0, 24), (0, 0)), mode="symmetric")
    made = stylize.restyle(NETWORK, params, np.asarray(images[0]), MIX[1])
    np.testing.assert_allclose(made, APPLY(params, bucket, MIX[1:])[0, :48, :40], atol=1e-5)
    with pytest.raises(ValueError, match="mix: expected 3 finite numbers"):
        stylize.restyle(NETWORK, params, np.asarray(images[0]), MIX[1, :2])


@pytest.fixture(scope="module")
def aims(variables, painting):
    paintings = [painting, painting[:, ::-1] ** 3, 1 - painting]
    return stylize.network_aims(paintings, variables=variables, style_layer_weights=(4.0, 1.0), **SHALLOW)


def test_the_objective_is_that_of_a_stylization(aims, variables, photo, painting):
    """Of a network that paints what it is given: the first loss of a stylization that starts from its content."""
    job = stylize.prepare(
        photo, painting, variables=variables, size=48, min_size=48, steps=1, style_layer_weights=(4.0, 1.0), **SHALLOW
    )
    recipe = stylize.scale_recipe(job, 0)
    state = recipe.init(jax.random.key(0))
    _, expected = jax.jit(recipe.step)(jax.random.key(0), state, None, recipe.frozen)
    copy = Copy(styles=1)
    first = aims._replace(targets=jax.tree.map(lambda leaf: leaf[:1], aims.targets))
    own = stylize.many_styles(copy, aims=first, **SHALLOW)
    batch = {"image": np.stack([photo, photo])}
    _, info = jax.jit(own.step)(jax.random.key(0), own.init(jax.random.key(0)), batch, own.frozen)
    for name in ("loss", "style", "smoothness"):
        np.testing.assert_allclose(getattr(info, name), getattr(expected, name), rtol=2e-3)
    np.testing.assert_allclose(info.content, 0, atol=1e-6)


@dataclasses.dataclass(frozen=True)
class Copy:
    """A network that returns the photograph."""

    styles: int

    def init(self, key, images, mix):
        return {"params": {"unused": jnp.zeros(())}}

    def apply(self, variables, images, mix):
        return images + 0 * variables["params"]["unused"]


def test_styles_are_drawn_by_the_key_alone_and_all_of_them(aims):
    recipe = stylize.many_styles(NETWORK, aims=aims, **SHALLOW)
    model = recipe.init.args[0]
    draw = lambda seed, count: stylize.network._drawn(model, jax.random.key(seed), np.zeros((count, 4, 4, 3)))[1]  # noqa: E731
    assert set(np.asarray(draw(0, 64)).tolist()) == {0, 1, 2}
    np.testing.assert_array_equal(draw(0, 64)[:8], draw(0, 8))
    assert not np.array_equal(draw(0, 64), draw(1, 64))


def test_aims_that_do_not_serve_are_refused(aims, variables, painting):
    with pytest.raises(ValueError, match="compares whole feature maps"):
        stylize.many_styles(NETWORK, aims=aims, style_loss=losses.SLICED)
    with pytest.raises(ValueError, match="2 styles, got 3"):
        stylize.many_styles(NETWORK.clone(styles=2), aims=aims)
    with pytest.raises(ValueError, match="at least one, got none"):
        stylize.network_aims([], variables=variables)
    with pytest.raises(ValueError, match="expected those of VGG-19"):
        stylize.network_aims([painting], variables=variables, depth=19)
    with pytest.raises(ValueError, match="painting 2: expected sides of 16"):
        stylize.network_aims([painting, painting[:8]], variables=variables)
    with pytest.raises(ValueError, match="weights of at least 0"):
        stylize.network_aims([painting], variables=variables, content_weight=-1.0)
    with pytest.raises(ValueError, match="style_layer_weights: expected 5"):
        stylize.network_aims([painting], variables=variables, style_layer_weights=(1.0,))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two paintings of different shapes, and photographs."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for folder, sizes in {"paintings": [(70, 90), (100, 64)], "photos": [(48, 60), (50, 48), (64, 64)]}.items():
        (root / folder).mkdir()
        for number, size in enumerate(sizes):
            io.write(root / folder / f"{folder[:-1]}{number}.png", rng.random((*size, 3), np.float32))
    return root


@pytest.fixture(scope="module")
def options(vgg_file):
    return runs.StyleOptions(
        batch=2, steps=4, save_every=2, sample_every=4, crop=32, painting_size=64, width=2, blocks=0, weights=vgg_file
    )  # fmt: skip


def sources(folders):
    return {"paintings": folders / "paintings", "photos": folders / "photos"}


def test_a_run_that_was_interrupted_ends_with_the_same_bits(folders, options, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    states = {}
    for name in ("whole", "halves"):
        run = runs.begin("style", sources(folders), tmp_path / name, options=options)
        assert run.facts == {"paintings": ["painting0", "painting1"]}
        if name == "halves":
            runs.train(run, stop=lambda: True)
            assert 0 < runs.saved_steps(run.folder)[0] < 4
        states[name] = runs.train(runs.open_run(run.folder))
    for mine, expected in zip(jax.tree.leaves(states["halves"]), jax.tree.leaves(states["whole"]), strict=True):
        np.testing.assert_array_equal(mine, expected)
    sheet = io.read(tmp_path / "whole" / "samples" / "step0000004.png")
    assert sheet.shape == (2 * 34 - 2, 3 * 34 - 2, 3)
    with pytest.raises(ValueError, match="style makes no pictures"):
        runs.sample(runs.open_run(tmp_path / "whole"))


def test_a_new_painting_is_learned_beside_the_old_ones_which_stay_as_they_are(
    folders, options, tmp_path, monkeypatch, rng
):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    first = runs.begin("style", sources(folders), tmp_path / "first", options=dataclasses.replace(options, steps=1))
    runs.train(first)
    file = runs.export(first, tmp_path / "first.safetensors")
    new = tmp_path / "new.png"
    io.write(new, rng.random((66, 80, 3)))
    further = dataclasses.replace(options, steps=2, start=file, width=9)  # whose width counts for nothing
    run = runs.begin("style", {"paintings": new, "photos": folders / "photos"}, tmp_path / "second", options=further)
    state = runs.train(run)
    assert all(leaf.ndim == 2 and leaf.shape[0] == 1 for leaf in jax.tree.leaves(state.params))
    old, grown = (stylize.load_styles(path) for path in (file, runs.export(run, tmp_path / "second.safetensors")))
    assert grown.names == ("painting0", "painting1", "new")
    photo = np.asarray(rng.random((40, 48, 3)), np.float32)
    made = [stylize.restyle(grown.network, grown.variables, photo, mix) for mix in np.eye(3)]
    for row in range(2):
        expected = stylize.restyle(old.network, old.variables, photo, np.eye(2)[row])
        np.testing.assert_allclose(made[row], expected, atol=1e-5)
    assert np.abs(made[2] - (made[0] + made[1]) / 2).max() > 1e-4
    old_bytes = file.read_bytes()
    file.write_bytes((tmp_path / "second.safetensors").read_bytes())
    with pytest.raises(ValueError, match="not the file that the run began with"):
        runs.train(runs.open_run(run.folder), steps=3)
    file.write_bytes(old_bytes)
    program = jax.export.deserialize(
        bytearray(runs.export(run, tmp_path / "second.jax", platforms=("cpu",)).read_bytes())
    )
    picture = np.asarray(rng.random((64, 128, 3)), np.float32)  # a bucket
    expected = stylize.restyle(grown.network, grown.variables, picture, np.eye(3)[2])
    np.testing.assert_allclose(
        program.call(picture, np.eye(3, dtype=np.float32)[2]), expected, atol=1e-3
    )  # of half precision
    session = onnxruntime.InferenceSession(runs.export(run, tmp_path / "second.onnx"))
    (made,) = session.run(None, {"image": picture, "mix": np.eye(3, dtype=np.float32)[2]})
    np.testing.assert_allclose(made, expected, atol=1e-3)
    with pytest.raises(ValueError, match="knows a style named 'painting0' already"):
        runs.begin("style", sources(folders), tmp_path / "third", options=further)


def test_paintings_may_be_several_files_and_photographs_a_flag(folders, options, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    files = [folders / "paintings" / f"painting{number}.png" for number in (1, 0)]
    where = {"paintings": files, "photos": folders / "photos"}
    run = runs.begin("style", where, tmp_path / "run", options=dataclasses.replace(options, steps=1))
    assert run.facts == {"paintings": ["painting1", "painting0"]}
    assert int(runs.train(runs.open_run(run.folder)).step) == 1
    assert cli_runs.by_source("style", tuple(files), {"photos": folders}) == {
        "paintings": tuple(files),
        "photos": folders,
    }
    assert cli_runs.by_source("style", (files[0], folders)) == {"paintings": files[0], "photos": folders}
    with pytest.raises(ValueError, match=r"needs 2 \(paintings, photos\), got 3"):
        cli_runs.by_source("style", (*files, folders))
    with pytest.raises(ValueError, match="photos: expected one folder or file, got 2"):
        runs.begin("style", where | {"photos": files}, tmp_path / "other", options=options)
    files[0].rename(tmp_path / "moved.png")
    with pytest.raises(ValueError, match=r"painting1.png is gone"):
        runs.train(runs.open_run(run.folder), steps=2)
    (tmp_path / "moved.png").rename(files[0])


def test_paintings_keep_their_shape_and_are_not_enlarged(folders, options, tmp_path):
    found = kind.load(options, "paintings", folders / "paintings")
    assert [kind._painting(found, row).shape for row in range(2)] == [(50, 64, 3), (64, 41, 3)]
    larger = kind.load(dataclasses.replace(options, painting_size=128), "paintings", folders / "paintings")
    whole = np.rint(io.read(folders / "paintings" / "painting1.png") * 255)
    np.testing.assert_array_equal(kind._painting(larger, 1), whole)
    one = kind.load(options, "paintings", folders / "paintings" / "painting0.png")
    assert kind.facts(options, {"paintings": one}) == {"paintings": ["painting0"]}


def test_paintings_that_do_not_serve_are_refused(folders, options, tmp_path, rng):
    pictures = {"small": rng.random((40, 90, 3)), "even": np.full((70, 70, 3), 0.25), "good": rng.random((70, 70, 3))}
    for name, pixels in pictures.items():
        io.write(tmp_path / f"{name}.png", pixels.astype(np.float32))
    said = {"small": "'small' has a short side of 40 pixels", "even": "'even' is of a single color"}
    for name, message in said.items():
        with pytest.raises(ValueError, match=message):
            kind.facts(options, {"paintings": kind.load(options, "paintings", tmp_path / f"{name}.png")})
    for suffix in ("png", "tif"):
        (tmp_path / "twice").mkdir(exist_ok=True)
        io.write(tmp_path / "twice" / f"good.{suffix}", pictures["good"].astype(np.float32))
    with pytest.raises(ValueError, match="2 files are called 'good'"):
        kind.facts(options, {"paintings": kind.load(options, "paintings", tmp_path / "twice")})
    with pytest.raises(ValueError, match="crop: expected at least 32"):
        kind.load(dataclasses.replace(options, crop=8), "photos", folders / "photos")


def test_parts_are_squares_of_the_photograph():
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 48)[:, None, None], (8, 48, 48, 3))
    parts = kind.parts(jax.random.split(jax.random.key(0), 8), ramp, crop=32)
    assert parts.shape == (8, 32, 32, 3)
    spans = np.asarray(parts[:, -1, 0, 0] - parts[:, 0, 0, 0])
    assert spans.min() > 31 / 48
    assert spans.max() <= 1
    assert np.ptp(spans) > 0.05
