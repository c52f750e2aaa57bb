"""Segmentation: the network, masks of files and their augmentation, losses, tiles, the kind of run and its command."""

import dataclasses
import json
from functools import partial

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from jaxart import data, io, models, runs, weights
from jaxart.runs import segmenter as kind
from jaxart.tasks import segment as task
from jaxart.tasks.segment import recipe as losses
from jaxart.training import AXIS, by_shard_map, data_mesh, half_life_decay, replicate, shard_batch

KEY = jax.random.key(3)
NETWORK = models.Segmenter(3, width=2, depth=2)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path_factory.getbasetemp() / "segment-cache"))


@pytest.fixture(scope="module")
def model():
    """A segmenter whose every weight counts, as after training."""
    params = jax.jit(NETWORK.init)(KEY, jnp.zeros((1, 8, 8, 3)))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32), params)
    return task.Segmentation(NETWORK, params, ("0", "2", "7"), data.class_colors(3), {"size": 64, "steps": 1})


@pytest.fixture(scope="module")
def seeing(variables):
    """A segmenter by VGG-16's features."""
    network = models.FeatureSegmenter(3, width=2, depth=2, squares=1)
    params = jax.jit(network.init)(KEY, jnp.zeros((1, 8, 8, 3)))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32), params)
    colors = data.class_colors(3)
    return task.Segmentation(network, params, ("0", "2", "7"), colors, {"size": 64}, network.freeze(variables))


# The network and pictures of any size


@pytest.mark.parametrize("by", ["model", "seeing"])
def test_tiles_are_the_parts_of_the_whole_picture(by, request, rng):
    model = request.getfixturevalue(by)
    picture = rng.random((150, 70, 3), np.float32)
    whole = task.segment_logits(model, picture)
    assert (whole.shape, whole.dtype) == ((150, 70, 3), np.float32)
    np.testing.assert_allclose(task.segment_logits(model, picture, tile=44), whole, atol=1e-5)
    found = task.segment(model, picture, tile=44)
    assert (found.dtype, set(np.unique(found))) == (np.uint8, {0, 1, 2})
    sure = np.ptp(np.sort(whole, -1)[..., 1:], axis=-1) > 1e-4
    np.testing.assert_array_equal(found[sure], whole.argmax(-1)[sure])


def test_the_halo_is_what_a_logit_looks_at(model, rng):
    picture = jnp.asarray(rng.random((1, 128, 8, 3), np.float32))
    one = lambda x: jnp.asarray(NETWORK.apply({"params": model.params}, x))[0, 64:68, 4].sum()  # noqa: E731
    rows = np.flatnonzero(np.abs(jax.jit(jax.grad(one))(picture)).max((0, 2, 3)))
    assert 64 - NETWORK.halo <= rows[0] <= 64 - NETWORK.halo + 4 * NETWORK.stride
    assert 68 + NETWORK.halo - 4 * NETWORK.stride <= rows[-1] + 1 <= 68 + NETWORK.halo
    assert NETWORK.halo % NETWORK.stride == 0
    assert (models.Segmenter(3).stride, models.Segmenter(3).halo) == (16, 224)


def test_the_halo_of_what_sees_by_features_is_theirs_and_that_of_the_way_up(seeing, rng):
    network = seeing.network
    picture = jnp.asarray(rng.random((1, 128, 8, 3), np.float32))
    one = lambda x: jnp.asarray(network.apply(seeing.variables, x))[0, 64:68, 4].sum()  # noqa: E731
    changed = jnp.asarray(rng.random((1, 128, 8, 3), np.float32))
    near = (jnp.abs(jnp.arange(128) - 65.5) < network.halo + 2)[None, :, None, None]
    apply = jax.jit(one)
    np.testing.assert_allclose(apply(jnp.where(near, picture, changed)), apply(picture), atol=1e-5)
    closer = (jnp.abs(jnp.arange(128) - 65.5) < network.halo - 4 * network.stride)[None, :, None, None]
    assert abs(apply(jnp.where(closer, picture, changed)) - apply(picture)) > 5e-5
    assert network.halo % network.stride == 0


def test_a_picture_of_any_size_is_that_continued_by_its_border(model, rng):
    picture = jnp.asarray(rng.random((1, 6, 5, 3), np.float32))
    apply = jax.jit(NETWORK.apply)
    continued = jnp.pad(picture, ((0, 0), (0, 2), (0, 3), (0, 0)), mode="edge")
    logits = apply({"params": model.params}, picture)
    np.testing.assert_allclose(logits, apply({"params": model.params}, continued)[:, :6, :5], atol=1e-6)
    half = jax.eval_shape(NETWORK.clone(dtype=jnp.bfloat16).apply, {"params": model.params}, picture)
    assert (half.shape, half.dtype) == (logits.shape, jnp.float32)


def test_looking_at_another_size_keeps_that_of_the_picture(model, rng):
    picture = rng.random((150, 70, 3), np.float32)
    found = task.segment(model, picture, side=66)
    assert found.shape == (150, 70)
    small = np.clip(np.asarray(jax.image.resize(picture, (141, 66, 3), "bicubic")), 0, 1)
    large = jax.image.resize(task.segment_logits(model, small), (150, 70, 3), "bilinear")
    assert (found == np.argmax(large, -1)).mean() > 0.999
    every = task.segment_batch(model, np.stack([picture[:64, :64], picture[64:128, :64]]), batch=1)
    assert (every[1] == task.segment_logits(model, picture[64:128, :64]).argmax(-1)).mean() > 0.999


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, p: task.segment(m, p[..., 0]), "expected an RGB picture"),
        (lambda m, p: task.segment(m, p, tile=0), "at least 1 pixel"),
        (lambda m, p: task.segment(m, p, side=0), "at least 1 pixel"),
        (lambda m, p: task.overlay(p, np.zeros((3, 3), np.uint8), m.colors), "expected what was found"),
        (
            lambda m, p: task.segmenter(m.network, shape=(8, 8, 3), optimizer=optax.sgd(1), half_life=0),
            "half_life above",
        ),
        (lambda m, p: jax.eval_shape(NETWORK.init, KEY, p), "expected pictures"),
        (lambda m, p: jax.eval_shape(NETWORK.clone(depth=0).init, KEY, p[None]), "sizes of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(call, message, model):
    with pytest.raises(ValueError, match=message):
        call(model, np.zeros((8, 8, 3), np.float32))


def test_more_levels_than_vgg_has_and_other_weights_are_refused(variables19):
    with pytest.raises(ValueError, match="at most 5 together"):
        jax.eval_shape(models.FeatureSegmenter(3, depth=4, squares=2).init, KEY, jnp.zeros((1, 32, 32, 3)))
    with pytest.raises(ValueError, match="got those of VGG-19"):
        models.FeatureSegmenter(3).freeze(variables19)


def test_an_overlay_blends_and_outlines():
    found = np.zeros((8, 8), np.uint8)
    found[:, 4:] = 1
    laid = task.overlay(np.full((8, 8, 3), 0.5), found, np.array([[0, 0, 0], [255, 0, 0]], np.uint8), outline=1)
    np.testing.assert_allclose(laid[:, :4], 0.5)  # black leaves what is there
    np.testing.assert_allclose(laid[:, 4], [[1, 0, 0]] * 8)
    np.testing.assert_allclose(laid[:, 5:], np.broadcast_to([0.75, 0.25, 0.25], (8, 3, 3)))
    assert task.shares(found, ("sky", "sea", "none")) == {"sky": 0.5, "sea": 0.5, "none": 0.0}


def test_a_file_holds_what_was_learned(model, tmp_path, rng):
    (tmp_path / "kept.safetensors").write_bytes(weights.network_bytes(task.as_network(model)))
    found = task.load_segmentation(tmp_path / "kept.safetensors")
    assert (found.network, found.classes, found.about["size"]) == (NETWORK, model.classes, 64)
    np.testing.assert_array_equal(found.colors, model.colors)
    picture = rng.random((64, 64, 3), np.float32)
    expected = task.segment_logits(found, picture)
    np.testing.assert_allclose(expected, task.segment_logits(model, picture), atol=0.05)  # half precision
    program = jax.export.deserialize(bytearray(task.export_segmentation(found, platforms=["cpu", "tpu"])))
    np.testing.assert_allclose(program.call(picture), expected, atol=1e-4)
    kept = task.as_network(model)
    for change, message in (
        ({"width": "2"}, "sensible width"),
        ({"width": 4}, "not those"),
        ({"colors": [[1, 2]]}, "colors"),
    ):
        (tmp_path / "other.safetensors").write_bytes(weights.network_bytes(kept._replace(about=kept.about | change)))
        with pytest.raises(weights.WeightsError, match=message):
            task.load_segmentation(tmp_path / "other.safetensors")


# Losses


def test_losses_are_those_of_their_formulas(rng):
    logits, masks = rng.normal(0, 2, (3, 4, 5, 3)).astype(np.float32), rng.integers(0, 2, (3, 4, 5), np.uint8)
    masks[0, 0] = 255
    masks[2] = 255
    found = np.array(jax.jit(losses._terms)(logits, masks))  # [3, B]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for number in range(2):
        known = masks[number] != 255
        truth = masks[number][known]
        entropy = -np.log(p[number][known][np.arange(len(truth)), truth]).mean()
        dice = []
        for label in np.unique(truth):  # the third class is absent and skipped
            of = p[number][known][:, label]
            dice.append((2 * of[truth == label].sum() + 1) / (of.sum() + (truth == label).sum() + 1))
        hits = (logits[number][known].argmax(-1) == truth).mean()
        np.testing.assert_allclose(found[:, number], [entropy, np.mean(dice), hits], rtol=1e-5)
    np.testing.assert_array_equal(found[:, 2], [0, 1, 0])


# The recipe


def moved(keys, images, masks):
    return data.augment_pairs(keys, images, masks, geometric=(data.horizontal_flip,))


def squares(first):
    """Yield pictures of bright squares on dark ground, and where they are."""
    for number in range(first, first + 100):
        rng = np.random.default_rng(number)
        masks = np.zeros((8, 8, 8), np.uint8)
        for mask in masks:
            row, column = rng.integers(0, 5, 2)
            mask[row : row + 4, column : column + 4] = 1
        yield {"image": (rng.random((8, 8, 8, 3)) * 0.4 + 0.5 * masks[..., None]).astype(np.float32), "mask": masks}


class Small(nn.Module):
    """A segmenter that compiles in a third of the time."""

    @nn.compact
    def __call__(self, x):
        return models.Convolution(2, name="last")(jax.nn.relu(models.Convolution(4, name="first")(x)))


def recipe(axis_name=None):
    return task.segmenter(
        Small(), shape=(8, 8, 3), optimizer=optax.sgd(0.1), transform=moved, axis_name=axis_name, half_life=80
    )


def test_devices_do_not_change_the_gradients_and_the_average_follows_the_weights():
    step, state, batch = jax.jit(recipe().step), jax.jit(recipe().init)(KEY), next(squares(0))
    keys = [jax.random.fold_in(KEY, number) for number in range(2)]
    alone, told = step(keys[0], state, batch, None)
    mesh = data_mesh(jax.devices())
    meshed, told2 = step(keys[0], replicate(state, mesh), shard_batch(batch, mesh), None)
    mapped, told8 = jax.jit(by_shard_map(recipe(AXIS).step, mesh))(keys[0], state, batch, None)
    for mine in (meshed, mapped):
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)
    np.testing.assert_allclose([told2.loss, told8.loss], [told.loss] * 2, rtol=1e-5)
    np.testing.assert_allclose(told.loss, told.cross_entropy + 1 - told.dice, rtol=1e-5)
    second, _ = step(keys[1], alone, batch, None)
    size = len(batch["image"])
    decay = float(half_life_decay(size, jnp.float32(2 * size), half_life=80))
    for a, b, c in zip(*map(jax.tree.leaves, (second.average, alone.average, second.params)), strict=True):
        np.testing.assert_allclose(a, decay * b + (1 - decay) * c, atol=1e-6)


# Masks and their augmentation

WHOLE = (
    partial(data.horizontal_flip, probability=1.0),
    partial(data.vertical_flip, probability=1.0),
    partial(data.quarter_turn, probability=1.0),
    partial(data.translate, probability=1.0),
)
BETWEEN = partial(data.rotate, probability=1.0, degrees=40), partial(data.crop, probability=1.0, smallest=0.5)
COLORS = partial(data.brightness, probability=1.0), partial(data.noise, probability=1.0)


@pytest.mark.parametrize("transforms", [WHOLE, *[(each,) for each in BETWEEN]], ids=["whole", "rotate", "crop"])
def test_masks_move_exactly_as_their_pictures(transforms):
    """A picture that is its mask, 16 numbers in a row, stays the mask to half a number."""
    masks = np.broadcast_to(np.arange(16, dtype=np.uint8), (6, 16, 16)).copy()
    masks[3:] = masks[3:].swapaxes(1, 2)
    keys, images = jax.random.split(KEY, 6), masks[..., None].astype(np.float32) / 16
    made, labels = map(np.asarray, _augmented(transforms)(keys, images, masks))
    assert labels.dtype == np.uint8
    inside, exact = labels != 255, transforms == WHOLE
    assert set(np.unique(labels[inside])) <= set(range(16))
    assert inside.all() != exact  # a shift brings in what is not known
    assert np.abs(16 * made[..., 0] - labels)[inside].max() < (1e-3 if exact else 0.501)
    assert (made[~inside] == 0).all()
    assert (labels != masks).any((1, 2)).sum() > 3


def _augmented(geometric, photometric=()):
    return jax.jit(partial(data.augment_pairs, geometric=geometric, photometric=photometric))


def test_colors_leave_masks_alone_and_pictures_are_those_of_augment(rng):
    images, masks = rng.random((4, 8, 8, 3), np.float32), rng.integers(0, 9, (4, 8, 8), np.uint8)
    keys = jax.random.split(KEY, 4)
    made, labels = _augmented(WHOLE[:1], COLORS)(keys, images, masks)
    np.testing.assert_array_equal(labels, masks[:, :, ::-1])
    np.testing.assert_allclose(
        made, jax.jit(partial(data.augment, transforms=[WHOLE[0], *COLORS]))(keys, images), atol=1e-6
    )
    assert np.abs(made - images[:, :, ::-1]).max() > 0.05
    with pytest.raises(ValueError, match="brightness moves no pixels"):
        data.augment_pairs(keys, images, masks, geometric=(data.brightness,))
    with pytest.raises(ValueError, match="crop moves pixels"):
        data.augment_pairs(keys, images, masks, photometric=(partial(data.crop, smallest=0.5),))


@pytest.fixture
def write(tmp_path):
    """Write a picture and its mask of any kind, by name."""

    def pair(name, mask, *, size=None, suffix=".png", **options):
        for folder in ("images", "masks"):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        height, width = size or np.shape(mask)[:2]
        noise = np.random.default_rng(len(name)).random((height, width, 3), np.float32)
        io.write(tmp_path / "images" / f"{name}{suffix}", noise)
        image = Image.fromarray(np.asarray(mask))
        if "palette" in options:
            image.putpalette(options["palette"])
        image.save(tmp_path / "masks" / f"{name}.png")
        return tmp_path / "images", tmp_path / "masks"

    return pair


def bands(*labels):
    """A mask of 12 x 16 with a column band of each label."""
    return np.repeat(np.repeat(np.array([labels], np.uint8), 12, 0), 16 // len(labels), 1)


PALETTE = [0, 0, 0, 9, 8, 7, 200, 100, 50]


@pytest.mark.parametrize(
    ("masks", "classes", "names", "colors", "row"),
    [
        ([bands(0, 2), bands(5, 255)], None, ["0", "2", "5"], ["#000000", "#008000", "#800080"], [0, 0, 0, 0, 1, 1, 1, 1]),
        ([bands(0, 255)], None, ["background", "foreground"], ["#000000", "#ffffff"], [0, 0, 0, 0, 1, 1, 1, 1]),
        ([bands(0, 1) > 0], None, ["0", "1"], ["#000000", "#800000"], [0, 0, 0, 0, 1, 1, 1, 1]),
        ([np.stack([bands(0, 200), bands(0, 100), bands(0, 50)], -1)], None, ["#000000", "#c86432"], ["#000000", "#c86432"],
         [0, 0, 0, 0, 1, 1, 1, 1]),
        ([np.stack([bands(0, 200)] * 3, -1)], "name,color\nignore,#000000\nsky,200 200 200\nsea,#0000ff\n", ["sky", "sea"],
         ["#c8c8c8", "#0000ff"], [255, 255, 255, 255, 0, 0, 0, 0]),
        ([bands(2, 4)], "name,value\nsea,4\nsky,2\n", ["sea", "sky"], ["#000000", "#800000"], [1, 1, 1, 1, 0, 0, 0, 0]),
        ([bands(0, 1)], '["sky", "sea"]', ["sky", "sea"], ["#000000", "#800000"], [0, 0, 0, 0, 1, 1, 1, 1]),
        ([bands(0, 1)], '{"sky": 1, "sea": 0}', ["sky", "sea"], ["#000000", "#800000"], [1, 1, 1, 1, 0, 0, 0, 0]),
        ([bands(7, 9)], '{"sky": "#070707", "sea": [9, 9, 9]}', ["sky", "sea"], ["#070707", "#090909"], [0, 0, 0, 0, 1, 1, 1, 1]),
    ],
)  # fmt: skip
def test_numbers_and_colors_become_classes(masks, classes, names, colors, row, write, tmp_path):
    for number, mask in enumerate(masks):
        where = write(f"deep/{number}", mask, suffix=".jpg" if number else ".png")
    if classes is not None:
        classes, text = tmp_path / ("c.csv" if classes.startswith("name") else "c.json"), classes
        classes.write_text(text)
    found = data.load_masks(*where, size=8, classes=classes)
    assert found.classes == {"mask": tuple(names)}
    assert [data.hex_color(color) for color in found.column("color")[0]] == colors
    assert found.column("image").shape == (len(masks), 8, 8, 3)
    np.testing.assert_array_equal(found.column("mask")[0], [row] * 8)  # the central square, pixels 2 to 13 of 16
    assert found.column("name")[0] == "deep/0"
    padded = data.load_masks(*where, size=8, fit="pad", classes=classes).column("mask")[0]
    np.testing.assert_array_equal(padded[:, 0], [255, *[row[0]] * 6, 255])
    np.testing.assert_array_equal(padded[4], row)


def test_palettes_give_numbers_and_colors(write, tmp_path):
    images, masks = write("one", bands(0, 2), palette=PALETTE)
    found = data.load_masks(images, masks, size=8)
    assert found.classes["mask"] == ("0", "2")
    np.testing.assert_array_equal(found.column("color")[0], [[0, 0, 0], [200, 100, 50]])
    write("two", bands(0, 2), palette=[0, 0, 0, 200, 100, 50, 9, 8, 7])
    with pytest.raises(ValueError, match=r"palettes differ: 2 is #c86432 in one\.png and #090807 in two\.png"):
        data.load_masks(images, masks, size=8)
    (tmp_path / "c.json").write_text('{"ground": "#000000", "brown": "#090807", "orange": "#c86432"}')
    found = data.load_masks(images, masks, size=8, classes=tmp_path / "c.json")
    assert found.column("mask")[:, 0, -1].tolist() == [2, 1]


def test_a_mask_lies_on_its_picture_when_both_are_made_square(tmp_path):
    """The picture is its mask, of blocks: what is left of Lanczos's ringing is far from a half."""
    blocks = np.kron(np.random.default_rng(0).integers(0, 2, (6, 9)), np.ones((16, 16))).astype(np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(blocks * (255 if folder == "images" else 1)).save(tmp_path / folder / "a.png")
    for way in ("crop", "pad"):
        found = data.load_masks(tmp_path / "images", tmp_path / "masks", size=24, fit=way)
        mask, image = found.column("mask")[0], found.column("image")[0, ..., 0]
        known = mask != 255
        assert ((image > 127) == mask)[known].mean() > (0.99 if way == "crop" else 0.93)  # 16 pixels are 4, or 2 2/3
        assert (image[~known] == 255).all()


def test_what_does_not_belong_together_is_listed(write, tmp_path):
    images, masks = write("a", bands(0, 1))
    write("b", bands(0, 1), size=(6, 8))
    with pytest.raises(ValueError, match=r"1 masks of another size than their picture: b \(8 x 6, its mask 16 x 12\)"):
        data.load_masks(images, masks, size=8)
    (masks / "b.png").unlink()
    with pytest.raises(ValueError, match="1 pictures without a mask: b"):
        data.load_masks(images, masks, size=8)
    (images / "b.png").rename(tmp_path / "b.png")
    Image.fromarray(bands(0, 1)).save(masks / "c.png")
    with pytest.raises(ValueError, match="1 masks without a picture: c"):
        data.load_masks(images, masks, size=8)
    (images / "c.png").write_bytes(b"no picture")
    write("d", bands(0, 1))
    (masks / "d.png").write_bytes((masks / "a.png").read_bytes()[:45])
    found = data.load_masks(images, masks, size=8)  # both are left out, and their pairs with them
    assert found.column("name").tolist() == ["a"]
    assert [reason.split(":")[0] for reason in found.failures] == ["c.png", "d.png"]
    (images / "a.jpg").write_bytes((images / "a.png").read_bytes())
    with pytest.raises(ValueError, match="names that several files have, but for the extension: a"):
        data.load_masks(images, masks, size=8)


@pytest.mark.parametrize(
    ("mask", "classes", "message"),
    [
        (np.stack([bands(0, 1)] * 4, -1), None, r"1 of 2 masks have transparency \(RGBA\).*: b.png"),
        (bands(0, 1).astype(np.uint16) * 300, None, "numbers above 255"),
        (np.stack([bands(0, 1)] * 3, -1), None, r"1 have colors and 1 numbers \(b.png, a.png\)"),
        (bands(0, 9), "name,value\nsky,0\nsea,1\n", r"1 numbers of no class: 9 \(96 pixels in 1 files\)"),
        (
            bands(0, 9),
            '{"sky": "#000000", "sea": "#010101"}',
            r"1 colors of no class: #090909 \(96 pixels in 1 files\)",
        ),
        (np.arange(192 * 3, dtype=np.uint16).astype(np.uint8).reshape(12, 16, 3), '["sky", "sea"]', "1 have colors"),
        (bands(0, 1), "name,color\nsky,blue\nsea,red\n", 'expected colors as "#rrggbb"'),
        (bands(0, 1), "name,value\nsky,0\nsky,1\n", "the name sky is there twice"),
        (bands(0, 1), "name,value\nsky,0\nsea,300\n", "numbers from 0 to 255"),
        (bands(0, 1), "{", "not a readable JSON file"),
        (bands(0, 1), "3", "expected an object of colors"),
        (bands(0, 1), "name\n", "expected a name for every class"),
    ],
)
def test_masks_that_cannot_serve_are_refused(mask, classes, message, write, tmp_path):
    write("a", bands(0, 1))
    where = write("b", mask)
    if classes is not None:
        (tmp_path / "c").mkdir()
        path = tmp_path / "c" / ("c.csv" if classes.startswith("name") else "c.json")
        path.write_text(classes)
        classes = path
    with pytest.raises(ValueError, match=message):
        data.load_masks(*where, size=8, classes=classes)


def test_smoothed_borders_are_no_classes(write, rng):
    where = write("a", rng.integers(0, 255, (10, 12, 3), np.uint8))
    with pytest.raises(ValueError, match=r"120 colors, too many to be classes: #.{6} \(1 pixels in 1 files\)"):
        data.load_masks(*where, size=8)
    write("a", rng.integers(0, 255, (20, 24, 3), np.uint8))
    with pytest.raises(ValueError, match="more than 255 colors, as smoothed borders make them"):
        data.load_masks(*where, size=8)


def test_other_masks_are_numbered_by_name(write):
    found = data.load_masks(*write("a", bands(3, 0, 3, 9)), size=8)
    other = data.with_mask_classes(found, ("9", "7", "0", "3"))
    assert other.column("mask")[0, 0].tolist() == [3, 2, 2, 2, 3, 3, 3, 0]
    np.testing.assert_array_equal(other.column("color")[0, 3], found.column("color")[0, 1])
    with pytest.raises(ValueError, match=r"1 classes that are unknown here: 3 \(32 pixels\); known: 0, 9"):
        data.with_mask_classes(found, ("0", "9"))


# The kind of run and its command

OPTIONS = runs.SegmenterOptions(batch=4, steps=4, save_every=2, sample_every=4, size=16, width=2, depth=1, recolor=())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pictures of red and blue discs on gray, masks with a palette, for training and held out."""
    root = tmp_path_factory.mktemp("discs")
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:20, :24]
    for part in ("train", "test"):
        for folder in ("images", "masks"):
            (root / part / folder).mkdir(parents=True)
        for number in range(6):
            picture, mask = 0.4 + 0.2 * rng.random((20, 24, 3)), np.zeros((20, 24), np.uint8)
            for label, color in ((2, (1, 0, 0)), (7, (0, 0, 1))):
                disc = (rows - rng.integers(4, 16)) ** 2 + (columns - rng.integers(6, 18)) ** 2 < 25
                picture[disc], mask[disc] = color, label
            io.write(root / part / "images" / f"{number}.png", picture)
            palette = np.zeros((8, 3), np.uint8)
            palette[2], palette[7] = (250, 0, 0), (0, 0, 250)
            io.write_mask(root / part / "masks" / f"{number}.png", mask, palette)
    return root


def sources(folders, part="train"):
    return {name: folders / part / name for name in ("images", "masks")}


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """A run that was interrupted and one that was not, and the states in which they ended."""
    states, root = {}, tmp_path_factory.mktemp("runs")
    for name in ("whole", "halves"):
        run = runs.begin("segmenter", sources(folders), root / name, options=OPTIONS)
        if name == "halves":
            runs.train(run, stop=lambda: True)
            assert 0 < runs.saved_steps(run.folder)[0] < 4
        states[name] = runs.train(runs.open_run(run.folder))
    return root, states


def test_a_run_that_was_interrupted_ends_with_the_same_bits(finished):
    root, states = finished
    for mine, expected in zip(jax.tree.leaves(states["halves"]), jax.tree.leaves(states["whole"]), strict=True):
        np.testing.assert_array_equal(mine, expected)
    facts = runs.open_run(root / "whole").facts
    assert (facts["classes"], facts["colors"], facts["pictures"]) == (
        ["0", "2", "7"],
        ["#000000", "#fa0000", "#0000fa"],
        6,
    )
    assert sum(facts["pixels"].values()) == 6 * 16 * 16
    sheet = io.read(root / "whole" / "samples" / "step0000004.png")
    assert sheet.shape == (6 * 18 - 2, 3 * 18 - 2, 3)
    assert set(np.unique(np.rint(255 * sheet[:16, 18:34]))) <= {0, 250}


def test_what_was_learned_can_be_scored_and_taken_out(finished, folders, tmp_path, rng):
    root, states = finished
    run = runs.open_run(root / "whole")
    cards = {card.score: card for card in runs.score(run, sources(folders, "test"))}
    model = kind.model_of(runs.Trained(run.options, run.facts, states["whole"]))
    held_out = data.load_masks(*sources(folders, "test").values(), size=16)
    found, truth = task.segment_batch(model, held_out.column("image")), held_out.column("mask")
    np.testing.assert_allclose(cards["pixel accuracy"].value, (found == truth).mean(), rtol=1e-6)
    each = [((found == n) & (truth == n)).sum() / ((found == n) | (truth == n)).sum() for n in range(3)]
    np.testing.assert_allclose([cards[f"IoU of {name}"].value for name in ("0", "2", "7")], each, rtol=1e-6)
    np.testing.assert_allclose(cards["mean IoU"].value, np.mean(each), rtol=1e-6)
    assert cards["mean IoU"].low < cards["mean IoU"].value < cards["mean IoU"].high
    kept = task.load_segmentation(runs.export(run, tmp_path / "kept.safetensors"))
    assert kept.about["steps"] == 4
    assert set(kind.parameters(states["whole"])) == {"segmenter"}


def test_what_sees_by_features_learns_without_changing_them(folders, vgg_file, tmp_path):
    options = dataclasses.replace(OPTIONS, features="vgg16", weights=vgg_file, steps=2, depth=2, squares=1)
    run = runs.begin("segmenter", sources(folders), tmp_path / "run", options=options)
    state = runs.train(run)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) < 20_000
    model = kind.model_of(runs.Trained(run.options, run.facts, state))
    picture = io.read(folders / "test" / "images" / "0.png")
    expected = task.segment_logits(model, picture)
    path = runs.export(run, tmp_path / "kept.safetensors")
    found = task.load_segmentation(path)
    assert isinstance(found.network, models.FeatureSegmenter)
    np.testing.assert_allclose(task.segment_logits(found, picture), expected, atol=0.02)  # half precision
    kept = task.as_network(model)
    (tmp_path / "other.safetensors").write_bytes(
        weights.network_bytes(kept._replace(about=kept.about | {"vgg16": "0" * 64}))
    )
    with pytest.raises(weights.WeightsError, match="learned by other weights of VGG-16"):
        task.load_segmentation(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "vgg16", "depth": 6}, "at most 5 together"),
        ({"weights": "vgg.safetensors"}, "got features none"),
        ({"move": ("brightness",)}, "move: unknown value 'brightness'"),
        ({"recolor": ("crop",)}, "recolor: unknown value 'crop'"),
        ({"learning_rate": 0.0}, "a number above 0"),
        ({"size": 4}, "at least 8 pixels"),
        ({"dice_weight": -1.0}, "dice_weight of at least 0"),
        ({"depth": 0}, "sizes of at least 1"),
    ],
)
def test_options_that_cannot_serve_are_refused_before_anything_is_written(options, message, folders, tmp_path):
    with pytest.raises(ValueError, match=message):
        runs.begin("segmenter", sources(folders), tmp_path / "run", options=dataclasses.replace(OPTIONS, **options))
    assert not (tmp_path / "run").exists()


def test_one_class_is_nothing_to_tell_apart(write, tmp_path):
    where = write("a", bands(3))
    with pytest.raises(ValueError, match="two classes at least, got 3"):
        runs.prepare("segmenter", dict(zip(kind.SOURCES, where, strict=True)), tmp_path / "run", options=OPTIONS)


def test_the_command_segments_a_picture_and_a_folder(finished, jaxart, tmp_path, rng):
    root, states = finished
    picture = rng.random((50, 40, 3), np.float32)
    io.write(tmp_path / "deep.png", picture, alpha=np.linspace(0, 1, 2000).reshape(50, 40), bits=16)
    code, told, _ = jaxart("segment", root / "whole", "deep.png", "-o", "mask.png", "--overlay", "over.jpg", "--json")
    assert code == 0
    run = runs.open_run(root / "whole")
    model = kind.model_of(runs.Trained(run.options, run.facts, states["whole"]))
    found = task.segment(model, io.read(tmp_path / "deep.png"), side=16)
    with open(tmp_path / "mask.png", "rb") as stream:
        mask = io.decode_mask(stream, "mask.png")
    np.testing.assert_array_equal(
        mask.values, np.array([0, 2, 7])[found]
    )  # the numbers of the masks that it learned from
    assert mask.palette is not None
    assert mask.palette[[2, 7]].tolist() == [[250, 0, 0], [0, 0, 250]]
    assert io.read(tmp_path / "over.jpg").shape == (50, 40, 3)
    told = json.loads(told)
    assert (told["file"], told["size"]) == ("deep.png", [40, 50])
    np.testing.assert_allclose(told["shares"]["2"], (found == 1).mean())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.png").write_bytes((tmp_path / "deep.png").read_bytes())
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    code, told, said = jaxart("segment", root / "whole", "in", "-o", "out", "--size", "0")
    assert (code, [path.name for path in (tmp_path / "out").iterdir()]) == (2, ["good.png"])
    assert "1 of 2 pictures done, 1 failed" in said
    assert "good.png: " in told
    assert " %" in told


def test_the_command_refuses_what_it_cannot_do(finished, jaxart, tmp_path, rng):
    root, _ = finished
    io.write(tmp_path / "photo.png", rng.random((20, 20, 3), np.float32))
    for arguments, message in (
        ((tmp_path, "photo.png", "-o", "out.png"), "no run there"),
        ((root / "whole", "none.png", "-o", "out.png"), "no such file"),
        ((root / "whole", "photo.png", "-o", "out.jpg"), "cannot write .jpg"),
        ((root / "whole", "photo.png", "-o", "out.png", "--overlay", "out.xyz"), "cannot write .xyz"),
        ((root / "whole", "photo.png", "-o", "out.png", "--size", "-1"), "at least 1 pixel"),
    ):
        code, _, told = jaxart("segment", *arguments)
        assert code == 2
        assert message in " ".join(told.split())
    assert not (tmp_path / "out.png").exists()
