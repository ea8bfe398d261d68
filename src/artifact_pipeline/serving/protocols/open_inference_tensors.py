"""Tensors of the Open Inference Protocol, as numbers of JSON and as bytes.

Format: the protocol's binary tensor data extension; little endian, a BYTES element is its length
in four bytes and then its content.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from artifact_pipeline.serving.http.errors import HTTPError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATATYPES = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
}
"""The protocol's names of the dtypes of an interface."""
_CODES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "|b1"}


def decode(data: bytes, datatype: str, count: int, place: str) -> NDArray[Any]:
    """Return `count` elements in their binary form, (count,).

    Raises:
        HTTPError: if the bytes are more or fewer than that, or text is not UTF-8.
    """
    import numpy as np

    if datatype == "BYTES":
        return np.array(_texts(data, count, place), dtype=object)
    code = np.dtype(_CODES[datatype])
    if len(data) != count * code.itemsize:
        raise HTTPError(
            400, f"{place}: has {len(data)} bytes, its shape makes {count * code.itemsize}"
        )
    return np.frombuffer(data, code)


def encode(values: NDArray[Any], datatype: str) -> bytes:
    """Return the binary form of an array."""
    if datatype == "BYTES":
        parts = [str(one).encode() for one in values.ravel().tolist()]
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)
    return values.astype(_CODES[datatype]).tobytes()


def check_float32(values: NDArray[Any], dtype: str, place: str) -> None:
    """Check that the finite numbers of a float32 input stay finite as float32.

    Raises:
        HTTPError: 400 otherwise.
    """
    import numpy as np

    if dtype != "float32":
        return
    with np.errstate(over="ignore"):
        lost = np.isfinite(values) & ~np.isfinite(values.astype(np.float32))
    if lost.any():
        at = int(np.flatnonzero(lost)[0])
        raise HTTPError(400, f"{place}, element {at + 1}: is too large for an FP32")


def _texts(data: bytes, count: int, place: str) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            raise HTTPError(400, f"{place}: its element {len(found) + 1} leads beyond its bytes")
        try:
            found.append(data[at + 4 : end].decode())
        except UnicodeDecodeError as error:
            raise HTTPError(400, f"{place}: its element {len(found) + 1} is not UTF-8") from error
        at = end
    if len(found) != count:
        raise HTTPError(400, f"{place}: has {len(found)} elements, its shape makes {count}")
    return found
