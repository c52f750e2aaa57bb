"""Files of compressed networks: safetensors that leave out the zeros of an array where that is smaller, and write the
numbers of shared values with as few bits as they need. They load as plain float32 params.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save

from jaxart.arrays import PyTree
from jaxart.weights.quantized import COMPRESSIONS, Int8, Kept, Shared, flat_arrays, restore
from jaxart.weights.readers import WeightsError, in_one_order

COMPRESSED = "jaxart compressed network 1"


class ArrayReport(NamedTuple):
    """What compressing did to an array.

    Fields:
        name: such as "conv1.kernel".
        method: one of `COMPRESSIONS`.
        zeros: share of zeros.
        bytes_before: as float32.
        bytes_after: in the file, without its header.
        largest_error: the largest change of a weight.
    """

    name: str
    method: str
    zeros: float
    bytes_before: int
    bytes_after: int
    largest_error: float


def compression(params: PyTree, kept: Mapping[str, Kept]) -> tuple[ArrayReport, ...]:
    """Return what compressing did to each array, the largest first.

    Args:
        params: before.
        kept: from `compress`.
    """
    rows = []
    for name, leaf in flat_arrays(params).items():
        after, stored = restore(kept[name]), _stored(name, kept[name])[0]
        error = float(np.abs(after.astype(np.float64) - np.asarray(leaf, np.float64)).max(initial=0.0))
        zeros = float((after == 0).mean()) if after.size else 0.0
        size = sum(array.nbytes for array in stored.values())
        rows.append(ArrayReport(name, _method(kept[name]), zeros, 4 * after.size, size, error))
    return tuple(sorted(rows, key=lambda row: -row.bytes_before))


def compressed_bytes(kept: Mapping[str, Kept], about: dict[str, Any]) -> bytes:
    """Return compressed params as the content of a safetensors file, which `weights.read_network` reads like any other.

    Args:
        kept: from `compress`.
        about: JSON values that the network's kind needs, as in `weights.Network`.

    Raises:
        WeightsError: a name with a colon.
    """
    arrays: dict[str, np.ndarray] = {}
    forms: dict[str, Any] = {}
    for name, each in kept.items():
        if ":" in name:
            raise WeightsError(f"{name}: expected a name without a colon.")
        stored, forms[name] = _stored(name, each)
        arrays |= stored
    facts = {
        "format": COMPRESSED,
        "about": json.dumps(about, sort_keys=True),
        "arrays": json.dumps(forms, sort_keys=True),
    }
    return in_one_order(save(arrays, metadata=facts))


def _method(kept: Kept) -> str:
    return "int8" if isinstance(kept, Int8) else "codebook" if isinstance(kept, Shared) else "float"


def _stored(name: str, kept: Kept) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a file that hold an array, and what is to be known of them."""
    form: dict[str, Any] = {"method": _method(kept), "shape": list(kept.values.shape)}
    dense = np.ascontiguousarray(kept.values).reshape(-1)
    sparse, where = dense[dense != 0], np.packbits(dense != 0)
    if isinstance(kept, Shared):
        dense, sparse = _packed(dense, _bits(kept.book)), _packed(sparse, _bits(kept.book))
    fewer = where.nbytes + sparse.nbytes < dense.nbytes
    arrays = {f"{name}:where": where, f"{name}:values": sparse} if fewer else {f"{name}:values": dense}
    if isinstance(kept, Int8):
        arrays[f"{name}:scale"] = kept.scale
    elif isinstance(kept, Shared):
        arrays[f"{name}:book"] = kept.book
    return arrays, form


def _bits(book: np.ndarray) -> int:
    """Return how many bits a number of a book takes."""
    return max(1, (len(book) - 1).bit_length())


def _packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Write codes ``[N]`` one after another, each with so many bits."""
    return np.packbits(np.unpackbits(codes[:, None], axis=1)[:, 8 - bits :])


def _unpacked(packed: np.ndarray, count: int, bits: int) -> np.ndarray:
    found = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    return np.packbits(np.pad(found, ((0, 0), (8 - bits, 0))), axis=1)[:, 0]


def decode(file: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the arrays that a file of `compressed_bytes` holds, float32, by their names.

    Whoever wrote the file may have written anything: sizes, dtypes and numbers are checked before memory is taken for them.

    Args:
        file: its name, for messages.
        arrays: all of the file.
        facts: its metadata.

    Raises:
        WeightsError: anything that `compressed_bytes` would not write.
    """
    try:
        forms = json.loads(facts.get("arrays", ""))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{file}: its table of arrays is no JSON ({error}).") from error
    if not isinstance(forms, dict):
        raise WeightsError(f"{file}: expected a table of arrays, got {type(forms).__name__}.")
    left = set(arrays)
    decoded = {}
    for name, form in forms.items():
        decoded[name] = _decoded(f"{file}: {name}", name, form, arrays, left)
    if left:
        raise WeightsError(f"{file}: {min(left)} belongs to no array.")
    return decoded


def _decoded(label: str, name: str, form: Any, arrays: Mapping[str, np.ndarray], left: set[str]) -> np.ndarray:
    shape = _shape(label, form)
    size = math.prod(shape)

    def take(part: str, dtype: type, length: int | None = None) -> np.ndarray:
        found = arrays.get(f"{name}:{part}")
        if found is None or found.dtype != dtype or found.ndim != 1 or length not in (None, len(found)):
            raise WeightsError(f"{label} lacks its {part}, or has too many or too few of another type.")
        left.discard(f"{name}:{part}")
        return found

    method = form["method"]
    places = take("where", np.uint8, -(-size // 8)) if f"{name}:where" in arrays else None
    chosen = None if places is None else np.unpackbits(places, count=size).astype(bool)
    count = size if chosen is None else int(chosen.sum())
    if method == "float":
        return _finite(label, _spread(take("values", np.float32, count), chosen, shape))
    if method == "int8":
        scale = take("scale", np.float32, shape[-1] if shape else 1)
        values = _spread(take("values", np.int8, count), chosen, shape)
        if (scale < 0).any() or (values == -128).any():
            raise WeightsError(f"{label} has a negative scale or a number below -127.")
        return _finite(label, restore(Int8(values, scale)))
    book = take("book", np.float32)
    if not 1 <= len(book) <= 256:
        raise WeightsError(f"{label}: expected a book of 1 to 256 values, got {len(book)}.")
    codes = _unpacked(take("values", np.uint8, -(-count * _bits(book) // 8)), count, _bits(book))
    if codes.max(initial=0) >= len(book):
        raise WeightsError(f"{label} names values that are not in its book of {len(book)}.")
    return _finite(label, restore(Shared(_spread(codes, chosen, shape), book)))


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and len(shape) <= 8 and all(type(each) is int and each > 0 for each in shape)


def _shape(label: str, form: Any) -> tuple[int, ...]:
    shape: Any = form.get("shape") if isinstance(form, dict) else None
    if not _is_shape(shape) or form.get("method") not in COMPRESSIONS:
        raise WeightsError(
            f"{label} is described by {str(form)[:80]}; expected a shape and a method of {', '.join(COMPRESSIONS)}."
        )
    return tuple(shape)


def _spread(values: np.ndarray, chosen: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Put values to their places among zeros."""
    if chosen is None:
        return values.reshape(shape)
    spread = np.zeros(chosen.shape, values.dtype)
    spread[chosen] = values
    return spread.reshape(shape)


def _finite(label: str, array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise WeightsError(f"{label} is not of finite numbers.")
    return array
