"""Lists of tensors as bytes: what a request of the engine and its reply look like.

All numbers are little-endian. A list is a head (version, count) and as many values; a value is a
head (port, kind, rank, length), its dimensions as u64, its data, and zeros up to the next multiple
of eight. Kinds are the numbers of ONNX for element types; a sequence and a map have kinds of their
own and hold whole values. The same value always has the same bytes: a NaN is written as the quiet
one of its type.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np

VERSION = 1
STRING = 8
SEQUENCE = 0x100
MAP = 0x101

# Numbers of ONNX, by the names that its types have in ONNX Runtime.
KINDS: dict[str, tuple[int, np.dtype[Any]]] = {
    "float": (1, np.dtype(np.float32)),
    "uint8": (2, np.dtype(np.uint8)),
    "int8": (3, np.dtype(np.int8)),
    "uint16": (4, np.dtype(np.uint16)),
    "int16": (5, np.dtype(np.int16)),
    "int32": (6, np.dtype(np.int32)),
    "int64": (7, np.dtype(np.int64)),
    "bool": (9, np.dtype(np.bool_)),
    "float16": (10, np.dtype(np.float16)),
    "double": (11, np.dtype(np.float64)),
    "uint32": (12, np.dtype(np.uint32)),
    "uint64": (13, np.dtype(np.uint64)),
    "bfloat16": (16, np.dtype(ml_dtypes.bfloat16)),
}
_KIND_OF = {dtype: kind for kind, dtype in KINDS.values()}

# The quiet NaN of each floating-point type, and the integers that hold its bits.
_QUIET: dict[int, tuple[type[np.unsignedinteger[Any]], int]] = {
    1: (np.uint32, 0x7FC0_0000),
    10: (np.uint16, 0x7E00),
    11: (np.uint64, 0x7FF8_0000_0000_0000),
    16: (np.uint16, 0x7FC0),
}

Value = Any
"""An array, a list of values, or a dictionary from numbers or strings to values."""


class Inexpressible(Exception):
    """A value that a list of tensors cannot hold, and why."""


def canonical(value: Value) -> Value:
    """The value with every NaN as the quiet one of its type."""
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    array = np.asarray(value)
    quiet = _QUIET.get(_KIND_OF.get(array.dtype, 0))
    if quiet is None:
        return array
    nan = np.isnan(array.astype(np.float64))
    if not nan.any():
        return array
    bits = np.ascontiguousarray(array).reshape(-1).view(quiet[0]).copy()
    bits[nan.reshape(-1)] = quiet[1]
    return bits.view(array.dtype).reshape(array.shape)


def encode(values: Iterable[tuple[int, Value]]) -> bytes:
    """The list of these values, each with the number of its port.

    Raises Inexpressible for a value that has no place in it.
    """
    parts = [_value(port, value) for port, value in values]
    return struct.pack("<II", VERSION, len(parts)) + b"".join(parts)


def _value(port: int, value: Value) -> bytes:
    if isinstance(value, (list, tuple)):
        head = _one(port, SEQUENCE, (len(value),), b"")
        return head + b"".join(_value(port, item) for item in value)
    if isinstance(value, dict):
        keys = sorted(value)
        text = bool(keys) and isinstance(keys[0], str)
        key_array = np.array(keys, dtype=object if text else np.int64)
        return (
            _one(port, MAP, (), b"") + _value(port, key_array) + _value(port, _items(value, keys))
        )
    if value is None:
        raise Inexpressible("an optional value that is absent")
    if not isinstance(value, (np.ndarray, np.generic)):
        raise Inexpressible(f"a value of {type(value).__name__}")
    array = np.asarray(value)
    if array.dtype.kind in "OUST":
        return _one(port, STRING, array.shape, _text(array))
    kind = _KIND_OF.get(array.dtype)
    if kind is None:
        raise Inexpressible(f"elements of {array.dtype}")
    little = canonical(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return _one(port, kind, array.shape, little.tobytes())


def _items(value: dict[Any, Value], keys: list[Any]) -> Value:
    """The values of a map in the order of its keys: a tensor if they are numbers or strings."""
    items = [value[key] for key in keys]
    if all(isinstance(item, float) for item in items):
        return np.array(items, dtype=np.float32)
    if all(isinstance(item, int) for item in items):
        return np.array(items, dtype=np.int64)
    if all(isinstance(item, str) for item in items):
        return np.array(items, dtype=object)
    return items


def _text(array: np.ndarray[Any, Any]) -> bytes:
    texts = [
        item if isinstance(item, bytes) else str(item).encode("utf-8")
        for item in array.reshape(-1).tolist()
    ]
    ends = np.cumsum([0, *map(len, texts)], dtype="<u4")
    return ends.tobytes() + b"".join(texts)


def _one(port: int, kind: int, dims: tuple[int, ...], data: bytes) -> bytes:
    head = struct.pack("<IIII", port, kind, len(dims), len(data))
    padding = b"\0" * (-len(data) % 8)
    return head + struct.pack(f"<{len(dims)}Q", *dims) + data + padding
