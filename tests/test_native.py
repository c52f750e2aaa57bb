"""The compiled convolution against XLA's: alone, over devices, in a package; and what happens where it cannot be had."""

import functools
import logging
import subprocess
import sys

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxart import ops
from jaxart.ops import native
from jaxart.ops.cpu import build, load

KERNEL = pytest.mark.skipif(load.kernel().level is None, reason="needs the compiled kernel")


@pytest.fixture
def compiled():
    with ops.use_native():
        yield


def xla(x, k, stride=1, pads=((1, 1), (1, 1))):
    x = jax.lax.pad(x, 0.0, ((0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)))  # XLA errs with negative padding
    return jax.lax.conv_general_dilated(x, k, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def near(mine, other, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-6)


def draw(rng, *shape):
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


@KERNEL
def test_direct_form_equals_xla_on_any_shape(rng, compiled):
    for _ in range(30):
        n, h, w, c, o, kh, kw, stride = rng.integers([1, 1, 1, 1, 1, 1, 1, 1], [4, 40, 40, 40, 70, 6, 6, 4]).tolist()
        pads = tuple(map(tuple, rng.integers(-1, 4, (2, 2)).tolist()))
        if h + sum(pads[0]) < kh or w + sum(pads[1]) < kw:
            continue
        x, k = draw(rng, n, h, w, c), draw(rng, kh, kw, c, o)
        y, pull = jax.vjp(functools.partial(xla, stride=stride, pads=pads), x, k)
        g = draw(rng, *y.shape)
        near(native.convolve(x, k, stride, pads, False), y)
        near(native.kernel_gradient(x, g, (kh, kw), stride, pads, False), pull(g)[1])


@KERNEL
@pytest.mark.parametrize("few", [1, 2, 3, 4])
def test_few_outputs_take_vectors_of_inputs(rng, compiled, few):
    for _ in range(3):
        n, h, w, kh, kw, stride = rng.integers([1, 6, 6, 1, 1, 1], [4, 40, 70, 6, 6, 4]).tolist()
        many = 16 * int(rng.integers(1, 5))
        pads = tuple(map(tuple, rng.integers(-1, 4, (2, 2)).tolist()))
        if h + sum(pads[0]) < kh or w + sum(pads[1]) < kw:
            continue
        x, k = draw(rng, n, h, w, many), draw(rng, kh, kw, many, few)
        near(native.convolve(x, k, stride, pads, False), xla(x, k, stride, pads))
        x, k = draw(rng, n, h, w, few), draw(rng, kh, kw, few, many)
        y, pull = jax.vjp(functools.partial(xla, stride=stride, pads=pads), x, k)
        g = draw(rng, *y.shape)
        near(jax.vjp(functools.partial(ops.conv2d, stride=stride, padding=pads), x, k)[1](g), pull(g))


@KERNEL
@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (4, 2)])
def test_winograds_form_equals_xla_on_any_shape(rng, compiled, taps, stride):
    for _ in range(8):
        n, h, w, c, o = rng.integers([1, 2, 2, 16, 16], [5, 40, 40, 150, 150]).tolist()
        pads = tuple(map(tuple, rng.integers(-1, 4, (2, 2)).tolist()))
        if min(h + sum(pads[0]), w + sum(pads[1])) < taps:
            continue
        x, k = draw(rng, n, h, w, c), draw(rng, taps, taps, c, o)
        y, pull = jax.vjp(functools.partial(xla, stride=stride, pads=pads), x, k)
        g = draw(rng, *y.shape)
        near(native.convolve(x, k, stride, pads, True), y, 5e-5)
        near(native.input_gradient(g, k, (h, w), stride, pads), pull(g)[0], 5e-5)
        near(native.kernel_gradient(x, g, (taps, taps), stride, pads, True), pull(g)[1], 5e-5)
        near(jax.vjp(functools.partial(ops.conv2d, stride=stride, padding=pads), x, k)[1](g), pull(g), 5e-5)


def penalty(convolve):
    return lambda x, k: jnp.sum(jax.grad(lambda x, k: jnp.sum(jnp.tanh(convolve(x, k))))(x, k) ** 2)


@KERNEL
@pytest.mark.parametrize("filters", [3, 32])
def test_second_derivatives_equal_xla(rng, compiled, filters):
    x, k = draw(rng, 2, 20, 18, 24), draw(rng, 3, 3, 24, filters) / 15
    near(jax.grad(penalty(ops.conv2d), (0, 1))(x, k), jax.grad(penalty(xla), (0, 1))(x, k), 1e-4)


@KERNEL
def test_vmap_over_images_is_one_call_and_over_kernels_one_each(rng, compiled):
    x, k = draw(rng, 2, 3, 12, 10, 24), draw(rng, 2, 3, 3, 24, 32) / 15
    over_images = jax.jit(jax.vmap(ops.conv2d, (0, None)))
    assert "while" not in over_images.lower(x, k[0]).as_text()
    near(over_images(x, k[0]), jnp.stack([ops.conv2d(each, k[0]) for each in x]), 0)
    near(jax.vmap(ops.conv2d)(x, k), jnp.stack([ops.conv2d(*each) for each in zip(x, k, strict=True)]), 0)
    near(jax.vmap(ops.conv2d, (None, 0))(x[0], k), jnp.stack([ops.conv2d(x[0], each) for each in k]), 0)


def loss(x, k):
    return jnp.sum(jnp.tanh(ops.conv2d(x, k)) ** 2) / x.shape[0]


@KERNEL
@pytest.mark.parametrize(
    ("shape", "spec"), [((8,), P("a")), ((2, 4), P(("a", "b"))), ((2, 4), P("a", "b"))], ids=["8", "2x4", "rows"]
)
def test_batch_over_devices_equals_one_device(rng, compiled, shape, spec):
    x, k = draw(rng, 8, 12, 10, 24), draw(rng, 3, 3, 24, 32) / 15
    step = jax.jit(jax.value_and_grad(loss, (0, 1)))
    mesh = jax.make_mesh(shape, ("a", "b")[: len(shape)], axis_types=(AxisType.Auto,) * len(shape))
    split = jax.device_put(x, NamedSharding(mesh, spec)), jax.device_put(k, NamedSharding(mesh, P()))
    program = step.lower(*split).compile()
    text = program.as_text()
    assert "jaxart_convolve" in text
    assert "jaxart_kernel_gradient" in text
    assert ("all-gather" in text) == (spec == P("a", "b"))  # rows are put together, the batch stays where it is
    near(program(*split), step(x, k), 1e-6)
    assert program(*split)[1][0].sharding.spec[0] == spec[0]
    with ops.use_native(False):
        near(program(*split), step(x, k), 1e-5)


@KERNEL
def test_batch_that_does_not_divide_is_computed_whole(rng, compiled):
    x, k = draw(rng, 7, 9, 8, 24), draw(rng, 3, 3, 24, 32)
    mesh = jax.make_mesh((8,), ("a",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, P("a"))
    step = jax.jit(jax.grad(lambda k, x: loss(jax.lax.with_sharding_constraint(x, rows), k)))
    near(step(k, x), jax.grad(loss, 1)(x, k))


@KERNEL
def test_shard_map_and_pmap_equal_one_device(rng, compiled):
    x, k = draw(rng, 8, 12, 10, 24), draw(rng, 3, 3, 24, 32)
    mesh = jax.make_mesh((8,), ("a",), axis_types=(AxisType.Auto,))
    for check in (False, True):
        program = jax.shard_map(ops.conv2d, mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a"), check_vma=check)
        assert "jaxart_convolve" in jax.jit(program).lower(x, k).compile().as_text()
        near(jax.jit(program)(x, k), ops.conv2d(x, k), 0)
    near(jax.pmap(ops.conv2d, in_axes=(0, None))(x[:, None], k)[:, 0], ops.conv2d(x, k), 0)


@KERNEL
def test_programs_follow_the_context(rng):
    x, k = draw(rng, 1, 6, 6, 16), draw(rng, 3, 3, 16, 16)
    program = jax.jit(lambda x, k: ops.conv2d(x, k))
    for on in (True, False, True):
        with ops.use_native(on):
            assert ("jaxart_convolve" in program.lower(x, k).as_text()) == on
            assert ops.native_in_use() == on
            assert ops.convolution_path().startswith("compiled kernel" if on else "XLA")
    with ops.use_native():
        exported = jax.export.export(program, platforms=["cuda"])(x, k).mlir_module()
    assert "jaxart_convolve" not in exported
    assert "stablehlo.convolution" in exported


ASK = "from jaxart import ops; print(ops.convolution_path())"


def test_environment_turns_it_off(tmp_path):
    environment = helpers.environment(JAXART_CACHE=str(tmp_path), JAXART_NATIVE="0")
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("XLA (JAXART_NATIVE=0)", "")


# Where it cannot be had


@pytest.fixture
def bare(tmp_path, monkeypatch, caplog):
    """Nothing in the package and an empty cache; returns what `kernel` then finds, with its notices."""
    monkeypatch.setattr(load, "LIBRARIES", tmp_path / "package")
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))
    (tmp_path / "package").mkdir()

    def find() -> tuple[str, list[str]]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "jaxart"):
            found = load.kernel.__wrapped__()
        assert found.level is None
        return found.why, caplog.messages

    return find


def test_missing_or_failing_compiler_is_told_in_one_line(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    why, notices = bare()
    assert why == "no C++ compiler 'no-such-compiler'"
    assert len(notices) == 1
    assert why in notices[0]
    assert "JAXART_NATIVE=0" in notices[0]
    monkeypatch.setenv("CXX", "false")
    why, _ = bare()
    assert why == "false failed: exit status 1"
    assert not list(tmp_path.rglob("*.so"))


def test_cache_that_cannot_be_written_is_told(bare, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    monkeypatch.setenv("CXX", sys.executable)  # a command that is there
    why, notices = bare()
    assert str(tmp_path / "cache") in why
    assert notices


def test_processor_without_a_level_is_told(bare, monkeypatch):
    monkeypatch.setattr(load, "levels_here", lambda: ())
    why, notices = bare()
    assert why == "none for this processor"
    assert len(notices) == 1


def packaged(tmp_path, text: bytes | str):
    """Put a library into the package that is made of `text`: bytes as they are, C compiled."""
    library = tmp_path / "package" / build.library_name(build.levels_here()[0])
    if isinstance(text, bytes):
        library.write_bytes(text)
        return
    (tmp_path / "fake.cc").write_text(text)
    subprocess.run([*build.compiler(), "-shared", "-fPIC", str(tmp_path / "fake.cc"), "-o", str(library)], check=True)


@KERNEL
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF cut short", "failed its test"),
        ('extern "C" int jaxart_self_test() { __builtin_trap(); }', "crashed in its test"),
        ('extern "C" int jaxart_self_test() { return 1; }', "wrong results"),
        ('extern "C" int jaxart_self_test() { return 0; }', "undefined symbol: jaxart_convolve"),
    ],
    ids=["damaged", "crashes", "wrong", "other"],
)
def test_library_that_cannot_be_trusted_is_left_alone(bare, monkeypatch, tmp_path, content, reason):
    packaged(tmp_path, content)
    monkeypatch.setenv("CXX", "no-such-compiler")
    why, notices = bare()
    assert reason in why
    assert len(notices) == 1


@KERNEL
def test_library_is_compiled_once_for_a_processor(monkeypatch, tmp_path):
    """The program of a fresh computer: no library in the package, a compiler on the path."""
    monkeypatch.setattr(load, "LIBRARIES", tmp_path)
    made = []
    monkeypatch.setattr(load, "compile_library", lambda level, library, include: made.append((level, library)))
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", sys.executable)
    assert list(load._candidates([])) == [made[0][1]]
    level, library = made[0]
    assert level == build.levels_here()[0]
    assert level in library.name
    assert library.is_relative_to(tmp_path / "native")
    library.parent.mkdir(parents=True)
    library.touch()
    assert list(load._candidates([])) == [library]
    assert len(made) == 1


@KERNEL
def test_resume_on_the_other_path_says_so(tmp_path):
    from jaxart.training import Checkpoints

    state = {"x": jnp.zeros(3)}
    with ops.use_native():
        Checkpoints(tmp_path).save(1, state, {})
        Checkpoints(tmp_path).newest(lambda notes: state)
    with ops.use_native(False), pytest.warns(UserWarning, match="continues to rounding"):
        Checkpoints(tmp_path).newest(lambda notes: state)
