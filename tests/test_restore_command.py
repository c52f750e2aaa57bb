"""Several restorations in one call, the contract they share, and the command restore."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageCms

from jaxart import io, models, weights
from jaxart.tasks import restore as task

KEY = jax.random.key(4)


@pytest.fixture
def picture():
    """A smooth picture, in [0, 1]."""
    rows, columns = np.mgrid[:40, :48] / 40
    return np.stack([0.5 + 0.3 * np.sin(5 * rows + k) * np.cos(4 * columns) for k in range(3)], -1).astype(np.float32)


def network_of(name: str, scale: int = 1) -> task.Restoration:
    network = models.Restorer(task.outputs_of(name, scale), width=2, depth=2, blocks=1, squares=int(scale == 1))
    params = jax.jit(network.init)(KEY, jnp.zeros((1, 8, 8, 4)))["params"]
    return task.Restoration(network, jax.tree.map(lambda leaf: 0.1 * leaf, params), name, scale, {"steps": 1})


# The contract


def test_what_fills_says_how_wrong_it_is_where_it_filled(picture, rng):
    share = np.zeros((40, 48), np.float32)
    share[10:16, 12:22] = 1
    share[30, 4:40] = 0.5
    noisy = picture + rng.normal(0, 0.02, picture.shape).astype(np.float32)
    method = task.by_filling(lambda given, share: task.blend_holes(given, task.fill_harmonic(given, share > 0), share))
    restored = method(noisy, task.Observation(holes=share))
    np.testing.assert_array_equal(restored.picture[share == 0], noisy[share == 0])
    assert restored.uncertainty.shape == (40, 48, 1)
    assert (restored.uncertainty[share == 0] == 0).all()
    error = np.sqrt(np.mean((restored.picture - noisy)[share == 1] ** 2))
    told = np.sqrt(np.mean(restored.uncertainty[share == 1] ** 2))
    assert 0.4 * error < told < 2.5 * error


def test_what_denoises_says_how_wrong_it_is(picture, rng):
    noisy = picture + rng.normal(0, 0.1, picture.shape).astype(np.float32)
    method = task.by_denoising(jax.jit(task.denoise_total_variation), key=KEY)
    restored = method(noisy, task.Observation(noise=0.1))
    error = np.sqrt(np.mean((restored.picture - picture) ** 2))
    told = np.sqrt(np.mean(restored.uncertainty**2))
    assert 0.4 * error < told < 2.5 * error
    with pytest.raises(ValueError, match="the level of the noise, got none"):
        method(noisy, task.Observation())


def test_what_enlarges_says_how_wrong_it_is_even_where_sides_are_odd(picture):
    method = task.by_enlarging(lambda small: task.interpolate(small, 3))
    restored = method(picture[:38, :47], task.Observation(scale=3))
    assert restored.picture.shape == (114, 141, 3)
    assert restored.uncertainty.shape == (114, 141, 1)
    assert 0 <= restored.uncertainty.min() < restored.uncertainty.max() < 0.5


# Several steps


def test_steps_are_taken_in_the_order_in_which_harm_is_undone(picture, rng):
    noisy = np.clip(picture + rng.normal(0, 0.05, picture.shape), 0, 1).astype(np.float32)
    holes = np.zeros((40, 48), np.float32)
    holes[10:13, 12:22] = 1
    plan = task.Plan(
        noise="auto", denoiser="tv", tone=task.Fading((0.1,) * 3, (1.0,) * 3), holes=holes, scale=2, enlarger="lanczos"
    )
    told = []
    mended = task.mend(noisy, plan, key=KEY, on_step=told.append)
    assert [step.name for step in mended.steps] == ["denoise", "tone", "inpaint", "upscale"]
    assert tuple(told) == mended.steps
    assert mended.picture.shape == (80, 96, 3)
    assert "estimated" in mended.steps[0].told
    assert "1.56 % of the pixels" in mended.steps[2].told
    again = task.mend(noisy, plan, key=KEY, uncertain=True)
    np.testing.assert_allclose(again.picture, mended.picture, atol=1e-6)
    assert [step.uncertainty is not None for step in again.steps] == [True, False, True, True]


def test_holes_do_not_bleed_into_what_is_denoised(picture):
    holes = np.zeros((40, 48), np.float32)
    holes[10:13, 12:22] = 1
    plan = task.Plan(noise=0.05, denoiser="tv", holes=holes)
    clean, spoiled = picture.copy(), picture.copy()
    spoiled[holes > 0] = (1, 0, 1)
    one, other = (task.mend(each, plan, key=KEY).picture for each in (clean, spoiled))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("filler", ["exemplar", "biharmonic"])
def test_a_fill_that_is_asked_for_takes_all_holes(filler, picture):
    holes = np.zeros((40, 48), np.float32)
    holes[20, 8:20] = 1
    mended = task.mend(picture, task.Plan(holes=holes, filler=filler), key=KEY).picture
    np.testing.assert_array_equal(mended[holes == 0], picture[holes == 0])
    fill = task.FILLS[filler]
    assert task.choose_fill(task.parts_of(picture, holes > 0)[0], {filler: fill}) == filler


def test_networks_may_be_handed_in_and_a_plan_must_hold_something(picture):
    networks = {"denoise": network_of("denoise"), "upscale": network_of("upscale", 2), "inpaint": network_of("inpaint")}
    holes = np.zeros((40, 48), np.float32)
    holes[5:9, 6:9] = 1
    plan = task.Plan(noise=0.1, holes=holes, scale=2)
    mended = task.mend(picture, plan, key=KEY, networks=networks)
    denoised = task.denoise(networks["denoise"], _without(picture, holes), 0.1)
    expected = task.upscale(networks["upscale"], task.inpaint(networks["inpaint"], denoised, holes))
    np.testing.assert_allclose(mended.picture, expected, atol=2e-3)
    with pytest.raises(ValueError, match="has nothing in it"):
        task.mend(picture, task.Plan(), key=KEY)
    with pytest.raises(ValueError, match="no network for upscale_x7"):
        task.mend(picture, task.Plan(scale=7), key=KEY)


def _without(picture, holes):
    return np.asarray(task.fill_pyramid(np.where(holes[..., None] > 0, 0, picture), 1 - holes))


# The command


@pytest.fixture
def jaxart(jaxart, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    return jaxart


def test_what_is_not_filled_stays_with_alpha_profile_and_depth(jaxart, tmp_path, picture):
    wide = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    wide[-1] ^= 1  # another profile, by a byte that nobody reads
    alpha = np.linspace(0, 1, 40 * 48).reshape(40, 48)
    io.write("p.png", picture, alpha=alpha, bits=16, profile=bytes(wide))
    mask = np.zeros((40, 48, 3), np.float32)
    mask[8:12, 10:30] = 1
    mask[20, 10:30] = 0.5
    io.write("mask.png", mask)
    code, _, told = jaxart("restore", "p.png", "-o", "out.png", "--inpaint", "mask.png", "--fill", "biharmonic")
    assert code == 0
    assert "mask.png" in told
    before, after = (io.read_picture(name, own_colors=True) for name in ("p.png", "out.png"))
    assert (after.bits, after.profile) == (16, bytes(wide))
    np.testing.assert_array_equal(after.alpha, before.alpha)
    kept = mask[..., 0] == 0
    np.testing.assert_array_equal(after.rgb[kept], before.rgb[kept])
    assert np.abs(after.rgb - before.rgb)[~kept].max() > 1e-4


def test_damage_is_found_and_its_mask_written_beside(jaxart, picture):
    scratched = picture.copy()
    scratched[20:22, 4:44] = 0.02
    io.write("p.png", scratched)
    arguments = ("--inpaint", "auto", "--fill", "biharmonic", "--report", "report.html")
    assert jaxart("restore", "p.png", "-o", "out.png", *arguments)[0] == 0
    mask = io.read("out.mask.png")[..., 0] > 0.5
    before, after = io.read("p.png"), io.read("out.png")
    np.testing.assert_array_equal(after[~mask], before[~mask])
    page = Path("report.html").read_text(encoding="utf-8")
    assert "p.png, restored" in page
    assert "What was filled" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_picture_without_damage_stays_as_it_is(jaxart):
    io.write("p.png", np.full((40, 48, 3), 0.5, np.float32))
    code, _, told = jaxart("restore", "p.png", "-o", "out.png", "--inpaint", "auto")
    assert code == 0
    assert "0.00 % found to be damaged" in told
    np.testing.assert_array_equal(io.read("out.png"), io.read("p.png"))


def test_corrections_of_color_are_recorded_and_can_be_taken_back(jaxart, picture):
    yellow = np.clip(picture * np.float32([0.9, 0.8, 0.5]), 0, 1)
    yellow[2:8, 2:8] = np.float32([0.9, 0.8, 0.5])
    io.write("p.tif", yellow, bits=16)
    assert jaxart("restore", "p.tif", "-o", "out.tif", "--varnish", "2,2,6,6")[0] == 0
    record = json.loads(Path("out.tone.json").read_text(encoding="utf-8"))
    back = task.invert_tone(task.read_tone(record), io.read("out.tif"))
    inside = (io.read("out.tif") > 0.002).all(-1) & (io.read("out.tif") < 0.998).all(-1)
    np.testing.assert_allclose(np.asarray(back)[inside], io.read("p.tif")[inside], atol=2e-3)
    white = io.read("out.tif")[2:8, 2:8].reshape(-1, 3).mean(0)
    assert np.ptp(white) < 0.05


def test_a_folder_with_broken_files_is_done_but_for_these(jaxart, tmp_path, picture):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        io.write(f"in/{name}", picture)
    for name, content in (
        ("c.png", b"no picture"),
        ("d.png", b""),
        ("e.jpg", (tmp_path / "in/b.jpg").read_bytes()[:200]),
    ):
        (tmp_path / "in" / name).write_bytes(content)
    code, _, told = jaxart("restore", "in", "-o", "out", "--denoise", "10", "--denoiser", "tv")
    assert code == 2
    assert "2 of 5 pictures done, 3 failed" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]


def test_a_network_of_ones_own_is_taken(jaxart, tmp_path, picture):
    kept = tmp_path / "own.safetensors"
    kept.write_bytes(weights.network_bytes(task.as_network(network_of("denoise"))))
    io.write("p.png", picture)
    assert jaxart("restore", "p.png", "-o", "out.png", "--denoise", "auto", "--network", kept)[0] == 0
    assert io.read("out.png").shape == picture.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to do"),
        (("--denoise", "loud"), "expected auto, or a standard deviation between 0 and 255"),
        (("--denoise", "0"), "between 0 and 255"),
        (("--inpaint", "small.png"), "48 x 40"),
        (("--inpaint", "black.png"), "nothing is missing"),
        (("--inpaint", "white.png"), "nothing of the picture is known"),
        (("--inpaint", "none.png"), "no such file"),
        (("--varnish", "1,2"), "X,Y,WIDTH,HEIGHT"),
        (("--upscale", "0"), "upscale"),
        (("--denoise", "5", "--report", "report.pdf"), "cannot write .pdf"),
        (("--denoise", "5", "--network", "p.png"), "p.png"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(arguments, message, jaxart, tmp_path, picture):
    io.write("p.png", picture)
    io.write("small.png", np.ones((3, 5, 3), np.float32))
    io.write("black.png", np.zeros((40, 48, 3), np.float32))
    io.write("white.png", np.ones((40, 48, 3), np.float32))
    code, _, told = jaxart("restore", "p.png", "-o", "out.png", *arguments)
    assert code == 2
    assert message in told
    assert not (tmp_path / "out.png").exists()


def test_a_picture_of_one_pixel_is_restored(jaxart):
    Image.new("L", (1, 1), 77).save("p.png")
    assert jaxart("restore", "p.png", "-o", "out.png", "--upscale", "2", "--enlarger", "lanczos")[0] == 0
    np.testing.assert_allclose(io.read("out.png"), 77 / 255, atol=0.01)
