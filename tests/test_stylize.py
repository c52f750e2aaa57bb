"""The task: options, invariances and bad arguments, on tiny pictures with random weights."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxart
from jaxart import losses, ops
from jaxart.tasks import stylize
from jaxart.tasks.stylize import optimizers
from jaxart.tasks.stylize import step as step_module
from jaxart.training import NotFiniteError, fit
from jaxart.training import compile as compile_module

KEY = jax.random.key(0)
# Three blocks of VGG instead of five, so that compiling takes a second; the command line's tests run all five.
SHALLOW = {
    "style_layers": ("relu1_1", "relu2_1", "relu3_1"),
    "style_layer_weights": (16.0, 4.0, 1.0),
    "content_layers": ("relu3_1",),
}


@pytest.fixture(scope="module")
def paint(variables, photo, painting):
    """A quick stylization; keyword arguments override."""

    def run(content=None, styles=None, **options):
        arguments = {"key": KEY, "variables": variables, "size": 32, "min_size": 32, "steps": 2} | SHALLOW | options
        return jaxart.stylize(
            photo if content is None else content, painting if styles is None else styles, **arguments
        )

    return run


def test_the_result_is_a_picture_of_the_asked_size_and_reproducible(paint):
    result = paint()
    assert result.shape == (27, 32, 3)
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1
    np.testing.assert_array_equal(result, paint())


def test_coarse_to_fine_reports_each_scale(paint):
    seen = []
    result = paint(
        size=64, on_step=lambda progress: seen.append((progress.scale, progress.step, progress.image().shape))
    )
    assert result.shape == (53, 64, 3)
    assert {scale for scale, *_ in seen} == {0, 1}  # 45 and 64: 32 has a short side of 27, too small
    assert seen[-1] == (1, 2, (53, 64, 3))
    assert (0, 4, (38, 45, 3)) in seen  # the first scale takes twice the steps


def test_zero_style_weight_keeps_the_content(paint, photo):
    result = paint(style_layers=("relu1_1",), style_loss=losses.StyleLoss(lambda m: m, lambda m, t: jnp.float32(0)),
                   style_layer_weights=(1.0,), smoothness_weight=0.0, steps=5)  # fmt: skip
    expected = jnp.clip(jaxart.image.resize(photo, (27, 32)), 0, 1)
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_changing_strengths_compiles_nothing(paint):
    paint()
    before = compile_module._compiled.cache_info().misses
    paint(content_weight=0.3, smoothness_weight=1.0, style_layer_weights=(1.0, 2.0, 3.0))
    assert compile_module._compiled.cache_info().misses == before


def test_style_weights_and_order_of_styles(paint, painting, photo):
    other = photo[::-1].copy()
    with ops.use_native(False):  # Adam magnifies rounding, which is least without Winograd's form
        one = paint(styles=[painting, other], style_weights=(1, 0))
        np.testing.assert_allclose(one, paint(), atol=1e-3)
    both = paint(styles=[painting, other], style_weights=(1, 3))
    swapped = paint(styles=[other, painting], style_weights=(3, 1))
    assert float(np.mean(np.abs(both - swapped))) < 1e-3
    assert float(np.mean(np.abs(both - one))) > 1e-3


def test_a_mask_that_is_one_everywhere_changes_nothing(variables, photo, painting):
    plain = stylize.scale_recipe(
        stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=32, min_size=32), 0
    )
    masks = np.ones((1, *photo.shape[:2]), np.float32)
    masked = stylize.scale_recipe(
        stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=32, min_size=32, masks=masks), 0
    )
    state = plain.init(KEY)
    expected, got = (fit(recipe, key=KEY, steps=1, state=state)[1] for recipe in (plain, masked))
    np.testing.assert_allclose(*map(jax.tree.leaves, (got, expected)), rtol=1e-4)


def test_masks_give_each_region_its_style(variables, photo):
    dark, bright = np.full((32, 32, 3), 0.1, np.float32), np.full((32, 32, 3), 0.9, np.float32)
    masks = np.zeros((2, 40, 48), np.float32)
    masks[0, :, :24], masks[1, :, 24:] = 1, 1
    layers = {
        "style_layers": ("image",),
        "style_layer_weights": (1.0,),
        "content_weight": 0.0,
        "smoothness_weight": 0.0,
    }
    result = jaxart.stylize(
        photo, [dark, bright], key=KEY, variables=variables, size=32, min_size=32, steps=60, masks=masks, **layers
    )
    assert result[:, :14].mean() < 0.25
    assert result[:, 18:].mean() > 0.75


@pytest.mark.parametrize("init", stylize.INITS)
def test_every_init_starts_in_range_and_by_the_key(variables, photo, painting, init):
    job = stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=32, min_size=32, init=init)
    recipe = stylize.scale_recipe(job, 0)
    first, same, other = (recipe.init(jax.random.key(seed)).image for seed in (0, 0, 1))
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    np.testing.assert_array_equal(first, same)
    assert (init == "content") == bool(jnp.array_equal(first, other))


def test_luminance_keeps_the_chroma_and_transport_recolors_the_style(paint, variables, photo, painting):
    result = paint(colors="luminance")
    content = jaxart.image.resize(photo, result.shape[:2])
    chroma = jaxart.color.rgb_to_yiq(result)[..., 1:] - jaxart.color.rgb_to_yiq(jnp.clip(content, 0, 1))[..., 1:]
    assert float(jnp.mean(jnp.abs(chroma))) < 0.03  # but for clipping
    assert paint(colors="transport").shape == result.shape


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": stylize.LBFGS},
        {"optimizer": stylize.SMOOTHED_ADAM},
        {"optimizer": optax.chain(optax.clip(1.0), optax.adam(0.01))},
        {"style_loss": losses.WASSERSTEIN_CONVERGED, "pooling": "average"},
        {"style_loss": losses.ADAIN, "dtype": jnp.bfloat16},
        {"style_scale": 0.5, "content_layers": ("relu1_2", "relu2_2")},
    ],
)
def test_options_work_over_two_scales(paint, options):
    result = paint(size=64, steps=1, **options)
    assert result.shape == (53, 64, 3)
    assert np.isfinite(result).all()


@pytest.mark.parametrize(
    ("shape", "expected"), [((1, 300), (1, 32)), ((5, 2), (32, 13)), ((1, 1), (32, 32)), ((300, 7), (32, 1))]
)
def test_any_size_and_aspect_ratio(paint, shape, expected):
    content = np.random.default_rng(0).random((*shape, 3), np.float32)
    assert paint(content=content, styles=content).shape == (*expected, 3)


def test_smoothed_updates_keep_their_sum_and_lose_grain():
    board = jnp.asarray(np.indices((24, 26)).sum(0) % 2 * 2.0 - 1)[..., None].repeat(3, axis=-1)
    smooth = optimizers.smoothed(jnp.zeros((24, 26, 3)).at[12, 13].set(1.0))
    assert float(smooth.sum()) == pytest.approx(3, abs=1e-5)
    np.testing.assert_allclose(smooth[12, 5:22, 0], smooth[12, 5:22, 0][::-1], atol=1e-7)
    np.testing.assert_allclose(optimizers.smoothed(board)[8:16, 8:18], 0.2 * board[8:16, 8:18], atol=1e-6)
    pixel = np.asarray(optimizers.smoothed(jnp.ones((24, 26, 3)))[12, 13])
    np.testing.assert_allclose(pixel, 1, atol=1e-6)


def test_adam_keeps_its_moments_over_scales(variables, photo, painting):
    job = stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=64, min_size=45, steps=1)
    recipe = stylize.scale_recipe(job, 0)
    state, _ = fit(recipe, key=KEY, steps=1)
    carried = step_module.carry_over(state, job.sizes[1], job.optimizer.transformation)
    adam = carried.opt_state[0]
    assert int(adam.count) == 1
    assert adam.mu.shape == adam.nu.shape == carried.image.shape == (*job.sizes[1], 3)
    assert float(adam.nu.min()) >= 0
    assert float(jnp.abs(adam.mu).max()) > 0
    assert int(carried.step) == 0


def test_plan_predicts_every_scale_and_compiles_no_step(variables, photo, painting, monkeypatch):
    job = stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=128, min_size=91, steps=1)
    monkeypatch.setattr(compile_module, "_compiled", lambda *_: pytest.fail("a step was compiled"))
    rows = stylize.plan(job, key=KEY)
    assert [(row.size, row.steps) for row in rows] == [*zip(job.sizes, job.steps, strict=True)]
    assert rows[1].bytes > rows[0].bytes > 0
    assert all(row.seconds > 0 for row in rows)
    seconds, most = stylize.estimate(stylize.choose_memory_modes(job, key=KEY), key=KEY)
    assert seconds > 0
    assert most == pytest.approx(rows[1].bytes, rel=0.2)


def test_resume_after_a_stop_is_exact_even_across_scales(variables, photo, painting, tmp_path):
    job = stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=64, min_size=45, steps=4)
    expected = stylize.run(job, key=KEY)
    for stop_at in ((0, 4), (1, 2)):
        folder, reached = tmp_path / str(stop_at), []
        stopped = stylize.run(
            job, key=KEY, checkpoints=folder, save_every=2,
            on_step=lambda progress: reached.append((progress.scale, progress.step)),  # noqa: B023
            stop=lambda: reached[-1] >= stop_at,  # noqa: B023
        )  # fmt: skip
        assert stopped.shape == (*job.sizes[stop_at[0]], 3)
        np.testing.assert_array_equal(
            stylize.run(job, key=KEY, checkpoints=folder, save_every=2, resume=True), expected
        )


def test_resume_of_something_else_says_what_differs(variables, photo, painting, tmp_path):
    job = stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=32, min_size=32, steps=1)
    stylize.run(job, key=KEY, checkpoints=tmp_path / "run", save_every=1)
    changed = stylize.prepare(
        painting, painting, variables=variables, size=32, min_size=32, steps=1, content_weight=3.0
    )
    with pytest.raises(ValueError, match=r"different: content, .*weights of the terms"):
        stylize.run(changed, key=KEY, checkpoints=tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="no checkpoint"):
        stylize.run(job, key=KEY, checkpoints=tmp_path / "nothing", resume=True)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(variables, photo, painting, tmp_path):
    job = stylize.prepare(photo, painting, variables=variables, **SHALLOW, size=32, min_size=32, steps=2)
    expected = stylize.run(job, key=KEY, checkpoints=tmp_path, save_every=1)
    newest = max((path for path in tmp_path.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    for path in newest.rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.warns(UserWarning, match="trying the one before"):
        np.testing.assert_array_equal(
            stylize.run(job, key=KEY, checkpoints=tmp_path, resume=True, save_every=1), expected
        )


def test_not_finite_keeps_the_last_good_picture(variables, photo, painting):
    job = stylize.prepare(
        photo, painting, variables=variables, **SHALLOW, size=32, min_size=32, steps=3, content_weight=3e38, init="gray"
    )
    with pytest.raises(NotFiniteError) as caught:
        stylize.run(job, key=KEY)
    assert np.isfinite(stylize.picture(caught.value.state)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "size: expected at least 16"),
        ({"steps": 0}, "steps: expected at least 1"),
        ({"style_scale": 0.0}, "style_scale"),
        ({"colors": "sepia"}, "known: .*luminance"),
        ({"init": "noise"}, "known: .*normal"),
        ({"style_weights": (1, 2)}, "expected 1 numbers"),
        ({"style_weights": (-1,)}, "at least 0"),
        ({"content_weight": -1.0}, "at least 0"),
        ({"masks": np.ones((2, 4, 4))}, "one for each of the 1 styles"),
        ({"masks": np.full((1, 4, 4), 2.0)}, r"in \[0, 1\]"),
        ({"masks": np.zeros((1, 4, 4))}, "zero everywhere"),
        ({"style_layer_weights": (1.0,)}, "expected 3 numbers"),
        ({"style_layers": ("relu9_9",), "style_layer_weights": (1.0,)}, "unknown value 'relu9_9'"),
        ({"styles": []}, "at least one style"),
        ({"content": np.ones((4, 4))}, r"expected an RGB picture"),
        ({"content": np.full((4, 4, 3), 200.0)}, "Divide 8-bit"),
        ({"content": np.full((4, 4, 3), np.nan)}, "got nan"),
    ],
)
def test_bad_arguments_are_named(paint, options, message):
    with pytest.raises(ValueError, match=message):
        paint(**options)


def test_the_verb_and_prepare_share_their_options():
    verb, prepare = (inspect.signature(each).parameters for each in (stylize.stylize, stylize.prepare))
    shared = [option for name, option in verb.items() if name not in ("key", "on_step")]
    assert shared == [*prepare.values()]  # names, order, kinds, types and defaults


def test_steps_fall_to_the_last_by_equal_factors(variables, photo, painting):
    options = {"size": 128, "min_size": 60, "steps": 40}
    assert stylize.prepare(photo, painting, variables=variables, **SHALLOW, **options).steps == (80, 40, 40)
    falling = stylize.prepare(photo, painting, variables=variables, **SHALLOW, **options, last_steps=10)
    assert falling.steps == (80, 20, 10)
