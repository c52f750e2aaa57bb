"""Eight simulated CPU devices, rank promotion raises, warnings are errors; strict dtypes on request; compiled programs are shared.

Programs are compiled quickly rather than well: nearly all of the tests' time is compilation, and what they compare comes from the
same compiler. ``XLA_FLAGS= python -m pytest`` runs the tests on programs as users have them.
"""

import atexit
import gc
import importlib.metadata
import os
import shutil
import sys
import tempfile

if "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    if importlib.metadata.version("jax").startswith("0.10."):  # later versions have no such option
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
if "device_count" not in os.environ["XLA_FLAGS"]:  # the workers inherit it
    os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["HF_HUB_OFFLINE"] = "1"
# Threads of NumPy's would wait, busily, for a core that another worker has.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # the workers and the processes that tests start inherit this one's
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxart-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import numpy as np
import pytest
from helpers import random_torchvision
from safetensors.numpy import save_file

from jaxart import cli, memory, ops, weights
from jaxart.weights.layouts import from_arrays

jax.config.update("jax_numpy_rank_promotion", "raise")
_GROWTH = 3 * 2**30  # bytes
_most_resident = [_GROWTH]
collect_ignore = ["kill_at.py", "toy_kind.py"]  # programs that tests run


def pytest_configure(config):
    """Compile anew, without a warning, where another process is just writing the program to the cache, or was killed while it did."""
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache entry")


@pytest.fixture(autouse=True)
def _programs_fit():
    """Forget compiled programs when a worker has grown much: each maps memory, of which a process may have 65 530 pieces."""
    yield
    if memory.resident() > _most_resident[0]:
        jax.clear_caches()
        gc.collect()
        _most_resident[0] = memory.resident() + _GROWTH


@pytest.fixture
def strict():
    """Run a test under strict dtype promotion."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(scope="module")
def pure_jax():
    """Run a module without the compiled kernel, whose Winograd form rounds more, and from fewer channels on."""
    with ops.use_native(False):
        yield


@pytest.fixture
def rng():
    """Random numbers that begin anew in each test, so that its inputs do not depend on which tests ran before."""
    return np.random.default_rng(0)


@pytest.fixture
def jaxart(tmp_path, monkeypatch, capsys):
    """Run a command line in this process, in a folder of its own; return its exit code, output and messages."""
    monkeypatch.chdir(tmp_path)
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["jaxart", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return int(str(stopped.value.code)), *capsys.readouterr()

    yield run
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """A safetensors file with random VGG-16 weights in torchvision's layout."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file(random_torchvision(16), path)
    return path


@pytest.fixture(scope="session")
def variables(vgg_file):
    """Random VGG-16 variables on the device."""
    return jax.device_put(weights.load(vgg_file))


@pytest.fixture(scope="session")
def variables19():
    return jax.device_put(from_arrays(random_torchvision(19), "random"))


@pytest.fixture(scope="session")
def photo():
    """A smooth colored picture with edges, [40, 48, 3]."""
    y, x = np.mgrid[:40, :48].astype(np.float32) / 48
    picture = np.stack([x, y, 0.5 + 0.5 * np.sin(12 * x * y)], axis=-1)
    picture[10:20, 15:30] = (0.9, 0.2, 0.1)
    return picture.astype(np.float32)


@pytest.fixture(scope="session")
def painting():
    """A textured picture, [44, 40, 3]."""
    noise = np.random.default_rng(5).random((44, 40, 3), np.float32)
    return (0.3 * noise + 0.7 * np.roll(noise, 1, axis=0)).astype(np.float32)
