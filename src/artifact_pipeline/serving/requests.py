"""The JSON of a request of the Open Inference Protocol, and the bytes that may follow it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from artifact_pipeline import canonical
from artifact_pipeline.serving.refusals import Refused

Parameters = dict[str, Any] | UnsetType


Element = float | str | None
E = TypeVar("E")


class Input(Struct, Generic[E], forbid_unknown_fields=True):
    """A tensor that is given."""

    name: str
    shape: list[int]
    datatype: str
    data: list[E | list[E]] | UnsetType = UNSET
    """Its elements, flat or nested by rows."""
    parameters: Parameters = UNSET


class Wanted(Struct, forbid_unknown_fields=True):
    """A tensor that is asked for."""

    name: str
    parameters: Parameters = UNSET


class Request(Struct, Generic[E], forbid_unknown_fields=True):
    """A request for an inference."""

    inputs: list[Input[E]]
    id: str | UnsetType = UNSET
    outputs: list[Wanted] | UnsetType = UNSET
    parameters: Parameters = UNSET


_OF_NUMBERS = msgspec.json.Decoder(Request[float])
_OF_ANY = msgspec.json.Decoder(Request[Element])


def decode(text: bytes, of_numbers: bool) -> Request[Any]:
    """Return the request that a JSON text is; `of_numbers` if all that is given are numbers.

    Raises:
        Refused: if it is none, is not UTF-8, or says a key twice.
    """
    try:
        if not text.isascii():
            text.decode()
        request: Request[Any] = (_OF_NUMBERS if of_numbers else _OF_ANY).decode(text)
    except UnicodeDecodeError as error:
        raise Refused(400, "the body is not UTF-8") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(400, f"the body is no inference request: {str(error)[:200]}") from error
    # Each key has its colon. Are there more, some are in texts, or a key stands twice.
    if text.count(b":") != _keys(request):
        try:
            canonical.decode(text)
        except canonical.NotCanonical as error:
            raise Refused(400, f"the body is no inference request: {error}") from error
    return request


def parted(body: bytes, header: bytes | None) -> tuple[bytes, bytes]:
    """Return the JSON of a body, and what follows it; `header` says how long the JSON is.

    Raises:
        Refused: if that is no length within the body.
    """
    if header is None:
        return body, b""
    if not header.isdigit() or int(header) > len(body):
        raise Refused(400, "inference-header-content-length is no length within the body")
    return body[: int(header)], body[int(header) :]


def parts_of(inputs: list[Input[Any]], tail: bytes) -> dict[str, bytes]:
    """Return the bytes of the inputs that follow the JSON, by name.

    Raises:
        Refused: if they are not as many as the inputs say.
    """
    parts: dict[str, bytes] = {}
    at = 0
    for one in inputs:
        if one.parameters is UNSET:
            continue
        size = _binary_size(one)
        if size is not None:
            parts[one.name] = tail[at : at + size]
            at += size
    if at != len(tail):
        raise Refused(400, f"{len(tail)} bytes of tensors follow the JSON, its inputs say {at}")
    return parts


def _keys(request: Request[Any]) -> int:
    found = 1 + (request.id is not UNSET)
    for one in request.inputs:
        found += 3 + (one.data is not UNSET)
        if one.parameters is not UNSET:
            found += 1 + len(one.parameters)
    if not isinstance(request.outputs, UnsetType):
        found += 1 + len(request.outputs)
        for wanted in request.outputs:
            if not isinstance(wanted.parameters, UnsetType):
                found += 1 + len(wanted.parameters)
    if not isinstance(request.parameters, UnsetType):
        found += 1 + len(request.parameters)
    return found


def _binary_size(one: Input[Any]) -> int | None:
    size = None if one.parameters is UNSET else one.parameters.get("binary_data_size")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Refused(400, f"{one.name}: binary_data_size is no count of bytes")
    return size
