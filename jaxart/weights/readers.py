"""Read arrays from untrusted files: safetensors, NumPy pickles and torch's `.pth`, none of which may run code here."""

import io
import json
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file

Arrays = dict[str, np.ndarray]
_TORCH_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "u1",
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class WeightsError(ValueError):
    """A file of weights that cannot be used; the message says what was expected and what came."""


def read(path: Path) -> Arrays:
    """Read a flat dict of arrays from safetensors, or from `.pth`/`.pt`/`.bin` of torch (zip or legacy format).

    Raises:
        WeightsError: missing, unreadable, or holding anything but plain tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file.")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if path.suffix in (".pth", ".pt", ".bin"):
            return read_torch(path)
    except WeightsError:
        raise
    except Exception as error:  # damaged pickles and zips raise nearly anything: struct.error, RecursionError
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise WeightsError(f"{path.name}: damaged or not a file of weights ({reason}).") from error
    raise WeightsError(f"{path.name}: expected .safetensors, .pth, .pt or .bin.")


def in_one_order(data: bytes) -> bytes:
    """Return a safetensors file with its header in one order: what is written twice must be the same bytes."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


class _Restricted(pickle.Unpickler):
    """Admit only the names in `allowed`; anything else in the stream is refused before it is called."""

    def __init__(
        self,
        stream: io.BufferedIOBase,
        allowed: dict[tuple[str, str], Any],
        load_storage: Callable | None = None,
        **kwargs: Any,
    ):
        super().__init__(stream, **kwargs)
        self._allowed, self._load_storage = allowed, load_storage

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise WeightsError(
                f"refused: the file wants to run {module}.{name}, which plain weights never need."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        if self._load_storage is None:
            raise WeightsError("refused: the file refers to objects outside itself.")
        return self._load_storage(pid)


def read_numpy_pickle(path: Path) -> Any:
    """Read a pickled tree of NumPy arrays; nothing but NumPy's array reconstruction is admitted.

    Raises:
        WeightsError: the pickle names anything else.
    """
    reconstruct = np.empty(0).__reduce__()[0]
    allowed = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    allowed |= {(module, "_reconstruct"): reconstruct for module in ("numpy.core.multiarray", "numpy._core.multiarray")}
    with open(path, "rb") as stream:
        return _Restricted(stream, allowed, encoding="latin1").load()


class _Storage(NamedTuple):
    """A torch storage: the key of its bytes and their type."""

    key: str
    dtype: np.dtype


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(storage, offset, size, stride, *_ignored):
    return _Tensor(storage, int(offset), tuple(map(int, size)), tuple(map(int, stride)))


def _torch_unpickler(stream, dtypes: dict[str, np.dtype] | None = None):
    """Unpickle tensors without their values; `dtypes` is filled with the type of each storage by its key."""
    dtypes = {} if dtypes is None else dtypes
    allowed: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    }
    allowed |= {("torch", name): name for name in _TORCH_DTYPES}

    def load_storage(pid):
        _, kind, key, *_ = pid
        return _Storage(str(key), dtypes.setdefault(str(key), np.dtype(_TORCH_DTYPES[kind])))

    return _Restricted(stream, allowed, load_storage, encoding="utf-8")


def read_torch(path: Path) -> Arrays:
    """Read a state dict saved by torch, in the zip or the older format, without torch.

    Raises:
        WeightsError: anything but a flat dict of plain tensors.
    """
    if not zipfile.is_zipfile(path):
        return _read_torch_legacy(path)
    with zipfile.ZipFile(path) as archive:
        index = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if index is None:
            raise WeightsError(f"{path.name}: a zip file without data.pkl, so not one that torch saved.")

        def content(name: str) -> bytes:
            if archive.getinfo(name).file_size > path.stat().st_size:  # torch stores without compression
                raise WeightsError(f"{path.name}: damaged: {name} claims more bytes than the file has.")
            return archive.read(name)

        state = _torch_unpickler(io.BytesIO(content(index))).load()
        prefix = index.removesuffix("data.pkl")
        storages = {}

        def values(storage: _Storage) -> np.ndarray:
            if storage.key not in storages:
                storages[storage.key] = np.frombuffer(content(f"{prefix}data/{storage.key}"), storage.dtype)
            return storages[storage.key]

        return _tensors(state, values, path.name)


def _read_torch_legacy(path: Path) -> Arrays:
    with open(path, "rb") as stream:
        if _Restricted(stream, {}).load() != _LEGACY_MAGIC:
            raise WeightsError(f"{path.name}: not a file that torch saved.")
        _Restricted(stream, {}).load()  # protocol version
        _Restricted(stream, {}).load()  # sizes of C types
        dtypes: dict[str, np.dtype] = {}
        state = _torch_unpickler(stream, dtypes).load()
        keys = _Restricted(stream, {}).load()
        storages = {}
        for key in keys:
            count = int(np.frombuffer(stream.read(8), "<i8")[0])
            dtype = dtypes[key]
            if not 0 <= count * dtype.itemsize <= path.stat().st_size:
                raise WeightsError(f"{path.name}: damaged: a tensor claims {count} values.")
            storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
        return _tensors(state, lambda storage: storages[storage.key], path.name)


def _flat(state: Any, name: str) -> dict[str, _Tensor]:
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise WeightsError(f"{name}: expected a state dict of tensors, got {type(state).__name__}.")
    return {str(key): value for key, value in state.items() if isinstance(value, _Tensor)}


def _tensors(state: Any, values: Callable[[_Storage], np.ndarray], name: str) -> Arrays:
    arrays = {}
    for key, tensor in _flat(state, name).items():
        storage = values(tensor.storage)
        last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        count = math.prod(tensor.shape)
        if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or count > storage.size:
            raise WeightsError(f"{name}: damaged: {key} has shape {tensor.shape} and strides {tensor.strides}.")
        if count and last >= storage.size:
            raise WeightsError(f"{name}: damaged: {key} reaches beyond its {storage.size} values.")
        strides = tuple(s * storage.itemsize for s in tensor.strides)
        view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
        arrays[key] = np.array(view)
    return arrays
