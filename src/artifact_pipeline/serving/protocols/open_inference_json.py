"""The JSON of an inference request, and the bytes of binary tensors that may follow it.

Data and parameters stay undecoded until their size has been compared with the limit: decoding
holds the interpreter, and so every other request, until it is done.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.serving.http.errors import HTTPError

SMALL_TEXT = 64 << 10
"""Bytes of JSON that are parsed a second time as they are, to find repeated keys."""
MAX_PARAMETERS = 64 << 10
MAX_REST = 1 << 20
"""Bytes of JSON apart from data."""
_LONG_DATA = 64
"""Bytes from which on data is left out of the search for repeated keys."""
_CONTENT_TYPES = (None, "np", "pd", "str")
"""Content types of MLServer that do not change how data is read."""

ABSENT = Raw(b"null")
"""The value of an optional field that a request does not contain."""


class Input(Struct, gc=False, kw_only=True):
    """A tensor in a request. Fields that the protocol does not name are ignored."""

    name: str
    shape: list[int]
    datatype: str
    data: Raw = ABSENT
    """Its elements, flat or nested by rows."""
    parameters: Raw = ABSENT


class RequestedOutput(Struct, gc=False):
    """A tensor that the response must contain."""

    name: str
    parameters: Raw = ABSENT


class InferenceRequest(Struct, gc=False, kw_only=True):
    """An inference request. Fields that the protocol does not name are ignored."""

    inputs: list[Input]
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    parameters: Raw = ABSENT


_DECODER = msgspec.json.Decoder(InferenceRequest)


def decode(text: bytes) -> InferenceRequest:
    """Return the inference request in a JSON text.

    Raises:
        HTTPError: 400 if it is another document, is not UTF-8, or has a repeated key.
    """
    try:
        if not text.isascii():
            text.decode()
        request = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise HTTPError(400, "the body is not UTF-8") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise not_a_request(error) from error
    # Every key has a colon. More colons than known keys are in texts, in fields that are ignored,
    # or after a repeated key.
    if text.count(b":") != _count_keys(request):
        try:
            canonical.decode(text if len(text) <= SMALL_TEXT else _without_data(text, request))
        except canonical.NotCanonical as error:
            raise not_a_request(error) from error
    return request


def not_a_request(error: Exception) -> HTTPError:
    """Return the error for JSON that is not an inference request."""
    return HTTPError(400, f"the body is not an inference request: {str(error)[:200]}")


def split(body: bytes, json_length: bytes | None) -> tuple[bytes, bytes]:
    """Return the JSON in a body and the binary data after it.

    Args:
        body: The body of a request.
        json_length: The value of its header `Inference-Header-Content-Length`.

    Raises:
        HTTPError: 400 if that is not a length within the body.
    """
    if json_length is None:
        return body, b""
    if not json_length.isdigit() or len(json_length) > 19 or int(json_length) > len(body):
        raise HTTPError(400, "inference-header-content-length is not a length within the body")
    return body[: int(json_length)], body[int(json_length) :]


def parts_of(inputs: list[Input], tail: bytes) -> dict[str, bytes]:
    """Return the binary data of the inputs by name.

    Args:
        inputs: All inputs, in the order of the request.
        tail: The bytes after the JSON.

    Raises:
        HTTPError: 400 unless there are exactly as many bytes as the inputs declare.
    """
    parts: dict[str, bytes] = {}
    start = 0
    for tensor in inputs:
        size = _binary_size(tensor)
        if size is not None:
            parts[tensor.name] = tail[start : start + size]
            start += size
    if start != len(tail):
        raise HTTPError(
            400, f"{len(tail)} bytes of binary data follow the JSON, but its inputs name {start}"
        )
    return parts


def is_absent(raw: Raw) -> bool:
    """Return whether an optional field is missing or null."""
    return raw is ABSENT or bytes(memoryview(raw)[:5]) == b"null"


def parameters_of(raw: Raw, place: str) -> dict[str, Any]:
    """Return the parameters of a request, an input or an output.

    Args:
        raw: Their JSON.
        place: The name of their owner in error messages.

    Raises:
        HTTPError: 400 if they are not an object, or too large.
    """
    if raw is ABSENT or is_absent(raw):
        return {}
    if len(memoryview(raw)) > MAX_PARAMETERS:
        raise HTTPError(400, f"{place}: parameters have more than {MAX_PARAMETERS} bytes")
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise not_a_request(error) from error


def is_base64(parameters: dict[str, Any], place: str) -> bool:
    """Return whether parameters name MLServer's content type `base64`.

    Raises:
        HTTPError: 400 for a content type that would change the data in another way.
    """
    content_type = parameters.get("content_type")
    if content_type == "base64":
        return True
    if content_type not in _CONTENT_TYPES:
        raise HTTPError(400, f"{place}: unknown content_type; expected base64, str, np or none")
    return False


def _count_keys(request: InferenceRequest) -> int:
    count = 1 + (request.id is not None)
    for tensor in request.inputs:
        count += 3 + (not is_absent(tensor.data)) + _count_parameters(tensor.parameters)
    count += _count_parameters(request.parameters)
    if request.outputs is not None:
        count += 1
        for output in request.outputs:
            count += 1 + _count_parameters(output.parameters)
    return count


def _count_parameters(raw: Raw) -> int:
    return 0 if raw is ABSENT or is_absent(raw) else 1 + len(parameters_of(raw, "parameters"))


def _without_data(text: bytes, request: InferenceRequest) -> bytes:
    """Return JSON with 0 in place of data; an array of scalars hides no keys."""
    rest: list[bytes] = []
    start = 0
    for tensor in request.inputs:
        data = bytes(tensor.data)
        if len(data) < _LONG_DATA or not data.startswith(b"["):
            continue
        # If equal bytes occur earlier, those are left out instead, which hides no keys either.
        begin = text.find(data, start)
        if begin >= 0:
            rest += [text[start:begin], b"0"]
            start = begin + len(data)
    rest.append(text[start:])
    if sum(map(len, rest)) > MAX_REST:
        raise HTTPError(400, f"the JSON has more than {MAX_REST} bytes apart from data")
    return b"".join(rest)


def _binary_size(tensor: Input) -> int | None:
    if tensor.parameters is ABSENT:
        return None
    size = parameters_of(tensor.parameters, tensor.name).get("binary_data_size")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise HTTPError(400, f"{tensor.name}: binary_data_size is not a number of bytes")
    return size
