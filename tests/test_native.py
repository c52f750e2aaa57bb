"""The compiled convolution against XLA's, in a process with one device, as it asks for."""

import shutil
import subprocess
import sys

import helpers
import pytest

COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")

CHILD = """
import functools
import jax, jax.numpy as jnp, numpy as np
from jaxart import ops
from jaxart.ops import native

def xla(x, k, stride, pads):
    x = jax.lax.pad(x, 0.0, ((0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)))  # XLA errs with negative padding
    return jax.lax.conv_general_dilated(x, k, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

def near(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, (a.shape, b.shape)
    assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-6), (np.abs(a - b).max(), np.abs(b).max())

assert not ops.native_in_use()
ops.use_native()
assert ops.native_in_use()
rng = np.random.default_rng(0)
draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)
for _ in range(40):
    n, h, w, c, o, kh, kw, stride = rng.integers([1, 1, 1, 1, 1, 1, 1, 1], [4, 40, 40, 40, 70, 6, 6, 4])
    pads = tuple(map(tuple, rng.integers(-1, 4, (2, 2)).tolist()))
    if h + sum(pads[0]) < kh or w + sum(pads[1]) < kw:
        continue
    x, k = draw(n, h, w, c), draw(kh, kw, c, o)
    y, pull = jax.vjp(functools.partial(xla, stride=int(stride), pads=pads), x, k)
    g = draw(*y.shape)
    near(native.convolve(x, k, int(stride), pads, False), y)
    near(native.kernel_gradient(x, g, (int(kh), int(kw)), int(stride), pads, False), pull(g)[1])

for o in (1, 2, 3, 4) * 4:  # few outputs: vectors of input channels
    n, h, w, kh, kw, stride = rng.integers([1, 6, 6, 1, 1, 1], [4, 40, 70, 6, 6, 4]).tolist()
    c = 16 * int(rng.integers(1, 5))
    pads = tuple(map(tuple, rng.integers(-1, 4, (2, 2)).tolist()))
    if h + sum(pads[0]) < kh or w + sum(pads[1]) < kw:
        continue
    x, k = draw(n, h, w, c), draw(kh, kw, c, o)
    near(native.convolve(x, k, stride, pads, False), xla(x, k, stride, pads))
    x, k = draw(n, h, w, o), draw(kh, kw, o, c)
    y, pull = jax.vjp(functools.partial(xla, stride=stride, pads=pads), x, k)
    g = draw(*y.shape)
    for mine, other in zip(jax.vjp(functools.partial(ops.conv2d, stride=stride, padding=pads), x, k)[1](g), pull(g)):
        near(mine, other)

for taps, stride in [(3, 1), (4, 2)] * 12:
    n, h, w, c, o = rng.integers([1, 2, 2, 16, 16], [5, 40, 40, 150, 150]).tolist()
    pads = tuple(map(tuple, rng.integers(-1, 4, (2, 2)).tolist()))
    if min(h + sum(pads[0]), w + sum(pads[1])) < taps:
        continue
    x, k = draw(n, h, w, c), draw(taps, taps, c, o)
    y, pull = jax.vjp(functools.partial(xla, stride=stride, pads=pads), x, k)
    g = draw(*y.shape)
    near(native.convolve(x, k, stride, pads, True), y, 5e-5)
    near(native.input_gradient(g, k, (h, w), stride, pads), pull(g)[0], 5e-5)
    near(native.kernel_gradient(x, g, (taps, taps), stride, pads, True), pull(g)[1], 5e-5)
    for mine, other in zip(jax.vjp(functools.partial(ops.conv2d, stride=stride, padding=pads), x, k)[1](g), pull(g)):
        near(mine, other, 5e-5)

x, k = draw(2, 20, 18, 24), draw(3, 3, 24, 32) / 15
text = jax.jit(ops.conv2d).lower(x, k).as_text()
assert "jaxart_convolve" in text and "stablehlo.convolution" not in text

def penalty(convolve):
    return lambda x, k: jnp.sum(jax.grad(lambda x, k: jnp.sum(jnp.tanh(convolve(x, k))))(x, k) ** 2)

plain = functools.partial(xla, stride=1, pads=((1, 1), (1, 1)))
for mine, other in zip(jax.grad(penalty(ops.conv2d), (0, 1))(x, k), jax.grad(penalty(plain), (0, 1))(x, k), strict=True):
    near(mine, other, 1e-4)
batch = jnp.stack([x, 2 * x])
near(jax.vmap(ops.conv2d, (0, None))(batch, k), jax.vmap(plain, (0, None))(batch, k), 5e-5)
near(jax.jit(jax.grad(lambda k: jnp.sum(ops.conv2d(x, k) ** 2)))(k), jax.jit(jax.grad(lambda k: jnp.sum(plain(x, k) ** 2)))(k), 5e-5)
narrow = draw(3, 3, 24, 3)
for mine, other in zip(jax.grad(penalty(ops.conv2d), (0, 1))(x, narrow), jax.grad(penalty(plain), (0, 1))(x, narrow), strict=True):
    near(mine, other, 1e-4)
exported = jax.export.export(jax.jit(ops.conv2d), platforms=["cuda"])(x, k).mlir_module()
assert "jaxart_convolve" not in exported and "stablehlo.convolution" in exported
ops.use_native(False)
assert not ops.native_in_use()
print("equal")
"""


def run(tmp_path, code: str, **environment: str) -> subprocess.CompletedProcess:
    environment = helpers.environment(JAXART_CACHE=str(tmp_path), **environment)
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@COMPILER
def test_compiled_convolution_and_its_derivatives_equal_xla(tmp_path):
    done = run(tmp_path, CHILD)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]
    assert len(list((tmp_path / "native").glob("convolution-*.so"))) == 1


@COMPILER
def test_environment_asks_for_it_and_several_devices_leave_it_out(tmp_path):
    ask = "from jaxart import ops; print(ops.native_in_use())"
    assert run(tmp_path, ask, JAXART_NATIVE="1").stdout.strip() == "True"
    assert run(tmp_path, ask, JAXART_NATIVE="0").stdout.strip() == "False"
    several = "--xla_force_host_platform_device_count=2"
    assert run(tmp_path, ask, JAXART_NATIVE="1", XLA_FLAGS=several).stdout.strip() == "False"


def test_a_missing_or_failing_compiler_is_told(tmp_path):
    ask = "from jaxart import ops; ops.use_native()"
    missing = run(tmp_path, ask, CXX="no-such-compiler")
    assert "RuntimeError: native convolution: no C++ compiler 'no-such-compiler'" in missing.stderr
    assert "native convolution: false failed" in run(tmp_path, ask, CXX="false").stderr
