"""The tensors of the Open Inference Protocol as bytes.

Format: the protocol's binary tensor data extension. Numbers are little endian; a BYTES element is
its length in four bytes, followed by its content.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact_pipeline.serving.http.errors import HTTPError

DATATYPES = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
}
"""The protocol's name of each dtype of an interface."""
_CODES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "|b1"}


def decode(data: bytes, datatype: str, *, count: int, place: str) -> NDArray[Any]:
    """Return the elements of a tensor from their binary form, (count,).

    Args:
        data: The bytes of the tensor.
        datatype: The protocol's name of the elements' type.
        count: The number of elements, from the shape.
        place: The name of the tensor in errors.

    Raises:
        HTTPError: 400 if there are more or fewer bytes than that, or a text is not UTF-8.
    """
    if datatype == "BYTES":
        return np.array(_texts(data, count=count, place=place), dtype=object)
    dtype = np.dtype(_CODES[datatype])
    if len(data) != count * dtype.itemsize:
        raise HTTPError(
            400, f"{place}: has {len(data)} bytes, its shape makes {count * dtype.itemsize}"
        )
    return np.frombuffer(data, dtype)


def encode(values: NDArray[Any], datatype: str) -> bytes:
    """Return the binary form of an array."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values.ravel().tolist()]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return values.astype(_CODES[datatype]).tobytes()


def check_float32(values: NDArray[Any], dtype: str, *, place: str) -> None:
    """Check that the finite numbers of a float32 input stay finite as float32.

    Args:
        values: The numbers, as float64.
        dtype: The dtype of the model's input.
        place: The name of the tensor in errors.

    Raises:
        HTTPError: 400 otherwise.
    """
    if dtype != "float32":
        return
    with np.errstate(over="ignore"):
        overflows = np.isfinite(values) & ~np.isfinite(values.astype(np.float32))
    if overflows.any():
        index = int(np.flatnonzero(overflows)[0])
        raise HTTPError(400, f"{place}, element {index + 1}: is too large for an FP32")


def _texts(data: bytes, *, count: int, place: str) -> list[str]:
    texts: list[str] = []
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if start + 4 > len(data) or end > len(data):
            raise HTTPError(400, f"{place}: element {len(texts) + 1} extends beyond its bytes")
        try:
            texts.append(data[start + 4 : end].decode())
        except UnicodeDecodeError as error:
            raise HTTPError(400, f"{place}: element {len(texts) + 1} is not UTF-8") from error
        start = end
    if len(texts) != count:
        raise HTTPError(400, f"{place}: has {len(texts)} elements, its shape makes {count}")
    return texts
