"""The objective: terms of one's own, other style losses, targets and starting pictures made before, and who may resume what."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxart import losses
from jaxart.cli.painting import _with_targets
from jaxart.image import resize
from jaxart.models import VGG
from jaxart.tasks import stylize
from jaxart.tasks.stylize import choose, keep, predict, targets
from jaxart.tasks.stylize.terms import SMOOTHNESS
from jaxart.training import Checkpoints, data_mesh, fit
from jaxart.training import compile as compile_module

KEY = jax.random.key(0)
SHALLOW = {
    "size": 40,
    "min_size": 40,
    "steps": 2,
    "style_layers": ("relu1_1", "relu2_1"),
    "style_layer_weights": (4.0, 1.0),
    "content_layers": ("relu2_2",),
    "init": "gray",
}
TILED = stylize.MemoryMode(rematerialize=True, tile=16)


@pytest.fixture(scope="module")
def prepared(variables, photo, painting):
    def prepare(content=None, styles=None, **options):
        pictures = (photo if content is None else content, painting if styles is None else styles)
        return stylize.prepare(*pictures, variables=variables, **SHALLOW | options)

    return prepare


def first_step(job):
    """Return the info, and the gradient of the first step, read off Adam's first moment."""
    state, info = fit(stylize.scale_recipe(job, 0), key=KEY, steps=1)
    return info, state.opt_state[0].mu


# Terms


def squared_distance(name, image, valid, warped):
    return jnp.sum(valid * jnp.mean((image[0] - warped) ** 2, axis=-1))


def mean_distance(sums, given):
    return given.weight * sums["image"] / (given.size[0] * given.size[1])


TEMPORAL = stylize.Term("temporal", ("image",), squared_distance, mean_distance, settings="")


def test_a_temporal_term_holds_the_picture_to_a_warped_one(prepared, photo):
    warped = np.roll(photo, 5, axis=1)

    def run(weight):
        job = prepared(steps=20, terms=[stylize.WeightedTerm(TEMPORAL, weight, pictures=warped)])
        return stylize.run(job, key=KEY)

    aim = resize(warped, (33, 40), method="bilinear")
    free, compiled = run(0.0), compile_module._compiled.cache_info().misses
    held = run(100.0)
    assert compile_module._compiled.cache_info().misses == compiled  # a weight is an argument
    assert np.mean((held - aim) ** 2) < 0.5 * np.mean((free - aim) ** 2)


def test_a_term_is_what_numpy_says_and_adds_up_over_tiles_and_devices(prepared, photo):
    common = {
        "terms": [stylize.WeightedTerm(TEMPORAL, 3.0, pictures=photo)],
        "init": "uniform",
        "style_loss": losses.GRAM,
    }
    terms, expected = first_step(prepared(**common))
    start = stylize.scale_recipe(prepared(**common), 0).init(KEY).image
    aim = resize(photo, start.shape[:2], method="bilinear")
    assert float(terms.temporal) == pytest.approx(3 * float(jnp.mean((start - aim) ** 2)), rel=1e-5)
    mesh = data_mesh(jax.devices()[:2])
    for options in ({"memory_mode": TILED}, {"mesh": mesh}, {"memory_mode": TILED._replace(recompute=True)}):
        found, gradient = first_step(prepared(**common, **options))
        assert float(found.temporal) == pytest.approx(float(terms.temporal), rel=1e-5)
        error = np.linalg.norm(gradient[: len(expected)] - expected) / np.linalg.norm(expected)
        assert error < 1e-5, options


def squared_differences(name, layer, valid, aligned):
    return jnp.sum(valid[:, :-3] * jnp.mean((layer[0, :, 3:] - layer[0, :, :-3]) ** 2, axis=-1)) + jnp.sum(
        valid[3:] * jnp.mean((layer[0, 3:] - layer[0, :-3]) ** 2, axis=-1)
    )


def total(sums, given):
    return given.weight * sum(sums.values())


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1"])
def test_a_term_that_looks_around_reads_as_far_over_tiles_and_devices(prepared, layer):
    term = stylize.Term("spatial", (layer,), squared_differences, total, reach=3)
    common = {
        "terms": [stylize.WeightedTerm(term, 1.0)],
        "init": "uniform",
        "style_loss": losses.GRAM,
        "style_layers": ("relu1_1",),
        "style_layer_weights": (1.0,),
        "content_layers": ("relu1_1",),
        "size": 64,
        "min_size": 64,
    }
    _, expected = first_step(prepared(**common))
    for options in ({"memory_mode": TILED}, {"mesh": data_mesh(jax.devices()[:2])}):
        _, gradient = first_step(prepared(**common, **options))
        error = np.linalg.norm(gradient[: len(expected)] - expected) / np.linalg.norm(expected)
        assert error < 1e-5, options


def test_terms_that_do_not_fit_are_refused_by_name(prepared, photo):
    whole = stylize.WeightedTerm(TEMPORAL._replace(additive=False), 1.0, pictures=photo)
    for options in ({"memory_mode": TILED}, {"mesh": data_mesh(jax.devices()[:2])}):
        with pytest.raises(ValueError, match="the term 'temporal' is a function of whole feature maps"):
            prepared(terms=[whole], **options)
    assert all(mode.tile is None for mode in choose._modes(prepared(terms=[whole])))
    for name in ("style", "loss", "class", "_own", "a b"):
        with pytest.raises(ValueError, match=rf"identifiers that differ .* loss, content, .* got \['{name}'\]"):
            prepared(terms=[whole._replace(term=TEMPORAL._replace(name=name))])
    for weight in (-1.0, np.ones(2)):
        with pytest.raises(ValueError, match="number of at least 0 as the weight of 'temporal'"):
            prepared(terms=[whole._replace(weight=weight)])
    for reach in (-1, 0.5):
        with pytest.raises(ValueError, match="whole number of at least 0 as the reach of 'temporal'"):
            prepared(terms=[whole._replace(term=TEMPORAL._replace(reach=reach))])
    with pytest.raises(ValueError, match=r"finite pictures \[H, W, C\] for 'temporal'"):
        prepared(terms=[whole._replace(pictures=photo[0])])
    with pytest.raises(ValueError, match="floats or uint8 for 'temporal', got int32"):
        prepared(terms=[whole._replace(pictures=photo.astype(np.int32))])


def test_pictures_of_a_term_in_8_bits_are_scaled(prepared, photo):
    eight = np.round(photo * 255).astype(np.uint8)
    (term,) = prepared(terms=[stylize.WeightedTerm(TEMPORAL, 1.0, pictures=eight)]).terms
    np.testing.assert_array_equal(term.pictures, eight.astype(np.float32) / 255)


# Style losses of whole feature maps


@pytest.mark.parametrize("name", ["patch", "histogram", "sliced"])
def test_style_losses_of_whole_features_come_closer(prepared, photo, painting, name):
    job = prepared(styles=[painting, photo[::-1]], style_weights=(3, 1), style_loss=losses.STYLE_LOSSES[name], steps=8)
    seen = []
    result = stylize.run(job, key=KEY, on_step=seen.append, every=1)
    first, last = (float(seen[index].info.style) for index in (0, -1))
    assert 0 < last < 0.8 * first
    assert np.isfinite(result).all()
    with pytest.raises(ValueError, match=r"sheet: the style loss .* run them one by one"):
        stylize.run_sheet([job], key=KEY)


def test_patches_of_large_layers_are_compared_in_bounded_memory_and_none_is_left_out():
    large = jax.ShapeDtypeStruct((256, 256, 2), jnp.float32)
    needed: Any = jax.jit(losses.PATCH.distance).lower(large, large).compile().memory_analysis()
    assert needed.temp_size_in_bytes < 64 << 20  # of 1024 times 64 516 similarities: 252 MiB
    picture, style = (jax.random.uniform(jax.random.key(seed), (90, 101, 2)) for seed in (0, 1))
    assert np.abs(jax.grad(losses.PATCH.distance)(picture, style)).min() > 0
    expected = losses.nearest_patches(picture, style, stride=2, style_stride=2)
    np.testing.assert_array_equal(losses.PATCH.distance(picture, style), expected)
    p, s = picture[:9, :9], style[:9, :9]
    np.testing.assert_allclose(losses.PATCH.distance(p, s), losses.nearest_patches(p, s), rtol=1e-6)


def test_the_time_of_what_compares_all_with_all_grows_with_the_square(prepared, monkeypatch):
    job = prepared(style_loss=losses.PATCH, size=160, min_size=40)
    monkeypatch.setattr(predict, "timed_step", lambda recipe, key: 100.0)  # next to which the network's part is nothing
    rows = stylize.plan(job, key=KEY)
    areas = [height * width for height, width in job.sizes]
    assert rows[0].step_seconds == pytest.approx(100, rel=0.01)
    assert rows[1].step_seconds == pytest.approx(100 * (areas[1] / areas[0]) ** 2, rel=0.02)
    assert predict.term_work(job, (4096, 4096)) == pytest.approx(4 * predict.term_work(job, (2048, 2048)), rel=0.1)
    unknown = job._replace(style_loss=losses.PATCH._replace(name="mine"))
    assert predict.term_work(unknown, (80, 80)) == 16 * predict.term_work(unknown, (40, 40))
    sorting = job._replace(style_loss=losses.HISTOGRAM)
    assert 4 < predict.term_work(sorting, (80, 80)) / predict.term_work(sorting, (40, 40)) < 5


def test_batched_losses_are_the_terms_of_each_picture(prepared, variables, photo, painting):
    images = np.random.default_rng(1).random((2, 33, 40, 3), np.float32)
    base = prepared(content=photo)
    layers = (*base.style_layers, *base.content_layers)
    network = VGG(depth=16, layers=layers, first_padding="replicate")
    apply = jax.jit(network.apply)
    features = apply(variables, images)
    small = [np.clip(resize(each, (33, 40) if each is photo else (40, 36)), 0, 1) for each in (photo, painting)]
    of_content, of_style = ({k: v[0] for k, v in apply(variables, each[None]).items()} for each in small)
    aims = losses.targets_of_layers({name: of_style[name] for name in base.style_layers})
    style = losses.style_of_layers(features, aims, layer_weights=base.loss_weights["style"])
    target = {name: jnp.stack([of_content[name]] * 2) for name in base.content_layers}
    content = base.loss_weights["content"] * losses.content_of_layers(features, target)
    assert style.shape == content.shape == (2,)
    for number, image in enumerate(images):
        terms, _ = first_step(base._replace(init=image))
        np.testing.assert_allclose(style[number], terms.style, rtol=1e-3)
        np.testing.assert_allclose(content[number], terms.content, rtol=1e-3)
    with pytest.raises(ValueError, match="layer_weights: expected one for each of the layers relu1_1, relu2_1"):
        losses.style_of_layers(features, aims, layer_weights=(1.0,))


# What is made before


@pytest.mark.parametrize("style_loss", [losses.WASSERSTEIN, losses.HISTOGRAM])
def test_style_targets_are_made_once_for_many_pictures(prepared, photo, monkeypatch, style_loss):
    options = {"size": 48, "min_size": 34, "style_loss": style_loss, "steps": 1}
    made = stylize.painting_targets(prepared(**options))
    expected = stylize.run(prepared(content=photo[:, ::-1], **options), key=KEY)

    def refuse(*_):
        raise AssertionError("the targets are computed anew")

    monkeypatch.setattr(targets, "_style_targets", refuse)
    again = prepared(content=photo[:, ::-1], targets=made, **options)
    np.testing.assert_array_equal(stylize.run(again, key=KEY), expected)


def test_a_folder_of_photographs_keeps_the_targets_of_one_size_and_none_of_whole_features(prepared, photo):
    made = {}
    first, same, other = (_with_targets(prepared(content=each), made) for each in (photo, photo[:, ::-1], photo[::2]))
    assert first.targets is same.targets is not None
    assert [*made.values()] == [other.targets]
    assert _with_targets(prepared(style_loss=losses.PATCH), made).targets is None


def test_targets_of_something_else_are_refused(prepared, photo):
    made = stylize.painting_targets(prepared())
    for options, name in (
        ({"styles": photo}, "styles"),
        ({"size": 41}, "sizes"),
        ({"style_loss": losses.GRAM}, "style_loss"),
    ):
        with pytest.raises(ValueError, match=f"targets: .*different: .*{name}"):
            prepared(targets=made, **options)
    changed = prepared(targets=made)._replace(style_scale=0.5)
    for use in (lambda: stylize.run(changed, key=KEY), lambda: stylize.scale_recipe(changed, 0)):
        with pytest.raises(ValueError, match="different: style_scale"):
            use()


def test_a_picture_of_any_size_may_be_the_start(prepared, painting):
    start = stylize.scale_recipe(prepared(init=painting), 0).init(KEY).image
    np.testing.assert_allclose(start, np.clip(resize(painting, (33, 40)), 0, 1), atol=1e-6)
    one, other = (keep.fingerprint(prepared(init=each), KEY) for each in (painting, painting[::-1]))
    assert {name for name in one if one[name] != other[name]} == {"init"}
    with pytest.raises(ValueError, match="init: expected an RGB picture"):
        prepared(init=painting[..., 0])


# Who may resume what


def changes(job):
    """Return another value for every field of a stylization that changes the result by more than rounding."""
    return {
        "content": job.content[::-1],
        "styles": (job.styles[0][::-1],),
        "masks": np.ones((1, 4, 4), np.float32),
        "sizes": ((30, 36),),
        "steps": (7,),
        "result_size": (30, 36),
        "style_weights": (2.0,),
        "style_scale": 0.5,
        "loss_weights": job.loss_weights | {"smoothness": jnp.float32(9)},
        "content_layers": ("relu2_1",),
        "style_layers": ("relu1_2", "relu2_1"),
        "style_loss": losses.GRAM,
        "terms": (stylize.WeightedTerm(SMOOTHNESS._replace(name="more", settings=""), 1.0),),
        "optimizer": stylize.Optimizer(optax.adam(0.1, b1=0.9, b2=0.99), "adam(0.1, b1=0.9, b2=0.99)"),
        "network": job.network.clone(pooling="average"),
        "variables": job.variables | {"preprocessing": jax.tree.map(lambda x: x + 1, job.variables["preprocessing"])},
        "colors": "luminance",
        "init": job.content,
    }


@pytest.fixture(scope="module")
def kept(prepared, tmp_path_factory):
    """A finished run in a folder."""
    job, folder = prepared(), tmp_path_factory.mktemp("run")
    return job, folder, stylize.run(job, key=KEY, checkpoints=folder)


def test_resume_refuses_whatever_would_give_another_result(kept):
    job, folder, _ = kept
    changed = changes(job)
    assert {*changed, *keep.ROUNDING_FIELDS} == {*stylize.Stylization._fields}
    for field, value in changed.items():
        with pytest.raises(ValueError, match="of another run; different: "):
            stylize.run(job._replace(**{field: value}), key=KEY, checkpoints=folder, resume=True)
    with pytest.raises(ValueError, match="different: seed"):
        stylize.run(job, key=jax.random.key(1), checkpoints=folder, resume=True)


def test_resume_takes_what_changes_the_result_by_rounding(kept):
    job, folder, expected = kept
    again = job._replace(memory_modes=(TILED,), targets=stylize.painting_targets(job))
    np.testing.assert_array_equal(stylize.run(again, key=KEY, checkpoints=folder, resume=True), expected)


def test_resume_without_a_name_is_refused(kept):
    job, folder, _ = kept
    for field, value in (
        ("optimizer", stylize.Optimizer(optax.adam(0.1))),
        ("style_loss", losses.WASSERSTEIN._replace(name=None)),
    ):
        with pytest.raises(ValueError, match=f"resume: the {field} has no name"):
            stylize.run(job._replace(**{field: value}), key=KEY, checkpoints=folder, resume=True)


def test_resume_of_a_term_without_settings_is_refused(kept):
    job, folder, _ = kept
    added = stylize.WeightedTerm(TEMPORAL._replace(settings=None), jnp.float32(0))
    with pytest.raises(ValueError, match="resume: the term 'temporal' has no settings"):
        stylize.run(job._replace(terms=(added,)), key=KEY, checkpoints=folder, resume=True)


def test_checkpoints_of_version_0_1_are_refused_as_such(kept, tmp_path):
    job, _, _ = kept
    state = stylize.scale_recipe(job, 0).init(KEY)
    store = Checkpoints(tmp_path)
    store.save(1, state, {"scale": 0, "stylization": {"content": "other"}, "rungs": [[False, None, False]]})
    with pytest.raises(ValueError, match=r"written by jaxart 0\.1 and cannot be continued"):
        stylize.run(job, key=KEY, checkpoints=store, resume=True)
    store.close()


def test_noted_memory_modes_are_read_without_writing(kept, monkeypatch):
    job, folder, _ = kept
    opened = []

    class Noting(Checkpoints):
        def __init__(self, *arguments, **options):
            opened.append(options)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(keep, "Checkpoints", Noting)
    assert stylize.noted_memory_modes(folder) == job.memory_modes
    assert opened == [{"read_only": True}]


def test_a_weighted_terms_own_data_are_part_of_its_identity(prepared, photo):
    term = stylize.WeightedTerm(TEMPORAL, 1.0, pictures=photo)
    others = (
        term._replace(weight=2.0),
        term._replace(pictures=photo[::-1]),
        term._replace(targets=np.ones(3)),
        term._replace(term=TEMPORAL._replace(settings="power=3")),
        term._replace(term=TEMPORAL._replace(layers=("relu1_1",))),
    )
    one = keep.fingerprint(prepared(terms=[term]), KEY)["other terms"]
    assert all(keep.fingerprint(prepared(terms=[each]), KEY)["other terms"] != one for each in others)


def test_no_function_shadows_a_module():
    modules = {name for name, value in vars(stylize).items() if inspect.ismodule(value)}
    assert modules
    assert not modules & {*stylize.__all__}
