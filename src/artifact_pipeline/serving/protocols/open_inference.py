"""Requests and responses of the Open Inference Protocol, version 2.

Format: the protocol's REST API with its binary tensor data extension: a header holds the length of
the JSON, and the tensors with a `binary_data_size` follow it in their order.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from artifact_pipeline._version import __version__
from artifact_pipeline.builder.artifact.manifest import ColumnSpec, Interface, Port
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import rows, tables
from artifact_pipeline.serving.executor import seconds_until
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.response import Response
from artifact_pipeline.serving.protocols import open_inference_tensors
from artifact_pipeline.serving.protocols.open_inference_json import (
    SMALL_TEXT,
    InferenceRequest,
    Input,
    decode,
    is_absent,
    is_base64,
    not_a_request,
    parameters_of,
    parts_of,
    split,
)
from artifact_pipeline.serving.protocols.open_inference_tensors import check_float32
from artifact_pipeline.serving.registry import ServedModel

NAME = "artifact-pipeline"
MAX_EXACT_INTEGER = 2**53
"""The largest integer up to which a float64 holds every integer."""
_FEW = 256
"""Maximum numbers whose range is computed without numpy."""

_ENCODER = msgspec.json.Encoder()
_Element = float | str | None
_NUMBERS = msgspec.json.Decoder(list[float | list[float]])
_ELEMENTS = msgspec.json.Decoder(list[_Element | list[_Element]])


class _OutputTensor(Struct, gc=False, kw_only=True, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int | None, ...]
    data: list[Any] | None = None
    parameters: dict[str, int] | None = None


class _Document(Struct, gc=False, kw_only=True, omit_defaults=True):
    """The JSON of a response."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[_OutputTensor]


class InferenceCall(Struct, frozen=True, kw_only=True, gc=False):
    """A checked inference request.

    Attributes:
        batch: The rows that it contains.
        rows: Their number.
        id: The id that the response repeats.
        binary: The requested outputs, and whether each is wanted in binary form; None for all
            outputs as JSON.
    """

    model: ServedModel
    batch: Batch
    rows: int
    id: str | None
    binary: dict[str, bool] | None

    def respond(self, outputs: Outputs) -> Response:
        """Return the response with the predictions for the batch."""
        model, rows = self.model, self.rows
        arrays: tuple[Any, ...] = outputs
        parts: list[bytes] = []
        if self.binary is None:
            tensors = [
                _OutputTensor(
                    name=name,
                    datatype=datatype,
                    shape=(rows, *sizes),
                    data=arrays[place].ravel().tolist(),
                )
                for name, datatype, sizes, place in model.output_specs
            ]
        else:
            tensors, parts = _requested_tensors(arrays, self.binary, model=model, rows=rows)
        text = _ENCODER.encode(
            _Document(
                model_name=model.name, model_version=model.digest, id=self.id, outputs=tensors
            )
        )
        if not parts:
            return Response(
                status=200, content=text, headers=model.headers, model=model.name, rows=self.rows
            )
        return Response(
            status=200,
            content=b"".join([text, *parts]),
            media_type=b"application/octet-stream",
            headers=(*model.headers, (b"inference-header-content-length", b"%d" % len(text))),
            model=model.name,
            rows=self.rows,
        )


def _requested_tensors(
    arrays: tuple[Any, ...], binary: dict[str, bool], *, model: ServedModel, rows: int
) -> tuple[list[_OutputTensor], list[bytes]]:
    """Return the requested outputs, and the bytes of those that are wanted in binary form."""
    tensors, parts = [], []
    for name, datatype, sizes, place in model.output_specs:
        if name not in binary:
            continue
        tensor = _OutputTensor(name=name, datatype=datatype, shape=(rows, *sizes))
        if binary[name]:
            parts.append(open_inference_tensors.encode(arrays[place], datatype))
            tensor.parameters = {"binary_data_size": len(parts[-1])}
        else:
            tensor.data = arrays[place].ravel().tolist()
        tensors.append(tensor)
    return tensors, parts


def metadata() -> dict[str, Any]:
    """Return the metadata of the server."""
    return {"name": NAME, "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """Return the metadata of a model: its inputs, outputs and version."""
    interface = model.interface
    return {
        "name": model.name,
        "versions": [model.digest],
        "platform": model.predictor.manifest.parity.form,
        "inputs": [_port(port) for port in interface.inputs],
        "outputs": [_port(port) for port in interface.outputs],
    }


def read(
    body: bytes,
    model: ServedModel,
    *,
    max_rows: int,
    end: float | None,
    json_length: bytes | None = None,
) -> InferenceCall:
    """Return the call in the body of a request.

    Args:
        body: The body, decompressed.
        model: The model that is addressed.
        max_rows: The maximum number of rows.
        end: The deadline on the clock of `time.monotonic`, or None.
        json_length: The header `Inference-Header-Content-Length`.

    Raises:
        HTTPError: 400 if the body does not follow the protocol or the model's interface, 413 for
            too many rows, 504 at the deadline.
    """
    if json_length is None and (call := _read_plain(body, model, max_rows=max_rows)) is not None:
        return call
    text, tail = split(body, json_length)
    request = decode(text)
    parameters = parameters_of(request.parameters, "request")
    _check_plain(parameters, "request")
    interface = model.interface
    inputs = _by_name(request.inputs, interface.inputs)
    parts = parts_of(request.inputs, tail)
    count = inputs[0].shape[0] if inputs[0].shape else 0
    if count > max_rows:
        raise HTTPError(413, f"has {count} rows, at most {max_rows} are predicted at once")
    if end is not None:
        seconds_until(end)
    batch: Batch
    if interface.columns is None:
        batch = _matrix(inputs[0], interface, binary=parts.get(inputs[0].name))
    else:
        batch = _table(inputs, interface.inputs, columns=interface.columns, parts=parts)
    binary = _requested_outputs(request, parameters, ports=interface.outputs)
    return InferenceCall(model=model, batch=batch, rows=count, id=request.id, binary=binary)


class _PlainInput(Struct, gc=False, kw_only=True):
    name: str
    shape: tuple[int, int]
    datatype: str
    data: list[float]


class _PlainRequest(Struct, gc=False, kw_only=True):
    inputs: tuple[_PlainInput]
    id: str | None = None


_PLAIN = msgspec.json.Decoder(_PlainRequest)


def _read_plain(body: bytes, model: ServedModel, *, max_rows: int) -> InferenceCall | None:
    """Return the call in a small body with one flat tensor of numbers, decoded at once.

    Most clients send such a body to a model of a matrix. For any other body, and every wrong one,
    return None; it is then read in steps, which locate the error.
    """
    interface = model.interface
    if len(body) > SMALL_TEXT or interface.columns is not None or not body.isascii():
        return None
    try:
        request = _PLAIN.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    (tensor,), (spec,) = request.inputs, model.input_specs
    count, width = tensor.shape
    if (
        (tensor.name, tensor.datatype, (width,)) != spec
        or not 0 < count <= max_rows
        or len(tensor.data) != count * width
        # Every key has a colon: there is no other key, and none twice.
        or body.count(b":") != (5 if request.id is None else 6)
    ):
        return None
    # No number exceeds the root of the sum of their squares: no integer was rounded, and each is
    # finite as a float32.
    if math.hypot(*tensor.data) > MAX_EXACT_INTEGER / 2:
        return None
    # numpy takes twice as long for a list.
    packed = struct.pack(f"{count * width}d", *tensor.data)
    matrix = np.frombuffer(packed).reshape(tensor.shape)
    return InferenceCall(
        model=model,
        batch=matrix if interface.limits is None else _checked(matrix, interface),
        rows=count,
        id=request.id,
        binary=None,
    )


def _by_name(inputs: list[Input], ports: list[Port]) -> list[Input]:
    """Return the inputs in the order of the ports."""
    if len(inputs) == len(ports) == 1 and inputs[0].name == ports[0].name:
        return inputs
    named = {tensor.name: tensor for tensor in inputs}
    if len(named) < len(inputs):
        raise HTTPError(400, "inputs: a name is repeated")
    known = [port.name for port in ports]
    if missing := [name for name in known if name not in named]:
        raise HTTPError(400, f"inputs: {missing[0]} is missing")
    if unknown := [name for name in named if name not in known]:
        raise HTTPError(
            400, f"inputs: {show(unknown[0])} is unknown, expected {', '.join(known[:8])}"
        )
    return [named[name] for name in known]


def _matrix(tensor: Input, interface: Interface, *, binary: bytes | None) -> NDArray[np.float64]:
    """Return the rows for a model of a matrix, (n_rows, n_features)."""
    port = interface.inputs[0]
    _check_port(tensor, port)
    matrix = _values(tensor, port, binary=binary).reshape(tensor.shape[0], -1)
    if binary is None and interface.limits is None:  # every number in JSON is finite
        return matrix
    return _checked(matrix.astype(np.float64, copy=False), interface)


def _checked(matrix: NDArray[np.float64], interface: Interface) -> NDArray[np.float64]:
    try:
        return rows.check(
            matrix,
            interface.features,
            location=Location(interface.inputs[0].name),
            limits=interface.limits,
        )
    except DataError as error:
        raise HTTPError(400, str(error)) from error


def _table(
    inputs: list[Input], ports: list[Port], *, columns: list[ColumnSpec], parts: dict[str, bytes]
) -> list[NDArray[Any]]:
    """Return the columns for a model of a table, each (n_rows,)."""
    batch = []
    for tensor, port, column in zip(inputs, ports, columns, strict=True):
        _check_port(tensor, port)
        if tensor.shape[0] != inputs[0].shape[0]:
            raise HTTPError(
                400,
                f"{tensor.name}: has {tensor.shape[0]} rows, {inputs[0].name} has "
                f"{inputs[0].shape[0]}",
            )
        values = _values(tensor, port, binary=parts.get(tensor.name), column=column)
        batch.append(values if values.dtype == object else values.astype(np.float64, copy=False))
    try:
        tables.check(batch, columns, locate=lambda row: Location(row=row + 1))
    except DataError as error:
        raise HTTPError(400, str(error)) from error
    return batch


def _check_port(tensor: Input, port: Port) -> None:
    """Check the datatype and the shape of an input."""
    expected = open_inference_tensors.DATATYPES[port.dtype]
    if tensor.datatype != expected:
        raise HTTPError(400, f"{tensor.name}: is {show(tensor.datatype)}, expected {expected}")
    width = port.shape[1]
    if tensor.shape[1:] != [width] and not (width == 1 and len(tensor.shape) == 1):
        raise HTTPError(
            400, f"{tensor.name}: has the shape {tensor.shape[:8]}, expected [rows, {width}]"
        )
    if tensor.shape[0] < 1:
        raise HTTPError(400, f"{tensor.name}: has no rows to predict")


def _values(
    tensor: Input, port: Port, *, binary: bytes | None, column: ColumnSpec | None = None
) -> NDArray[Any]:
    """Return the elements of an input, flat."""
    count = tensor.shape[0] * (port.shape[1] or 1)
    parameters = parameters_of(tensor.parameters, tensor.name)
    encoded = is_base64(parameters, tensor.name)
    if encoded and tensor.datatype != "BYTES":
        raise HTTPError(400, f"{tensor.name}: content_type base64 is for BYTES")
    if is_absent(tensor.data):
        if binary is None:
            raise HTTPError(400, f"{tensor.name}: has neither data nor binary_data_size")
        values = open_inference_tensors.decode(
            binary, tensor.datatype, count=count, place=tensor.name
        )
    else:
        if binary is not None:
            raise HTTPError(400, f"{tensor.name}: has both data and binary_data_size")
        values = _json_values(tensor, column, count=count)
    if encoded and values.dtype == object:
        values = _decode_base64(values, tensor.name)
    check_float32(values, port.dtype, place=port.name)
    return values


def _json_values(tensor: Input, column: ColumnSpec | None, *, count: int) -> NDArray[Any]:
    data = _decode_data(tensor, column, count=count)
    if data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise HTTPError(400, f"{tensor.name}: mixes rows and elements")
        data = [element for row in data for element in row]
    if len(data) != count:
        raise _wrong_count(tensor, len(data), count=count)
    if column is not None:
        _check_types(data, column, place=tensor.name)
        if column.kind == "text":
            return np.array(data, dtype=object)
        numbers = np.array(data, dtype=np.float64)  # where None becomes NaN
    else:
        try:
            numbers = np.fromiter(data, np.float64, count)
        except (TypeError, ValueError) as error:
            raise HTTPError(400, f"{tensor.name}: mixes rows and elements") from error
    if column is None and count <= _FEW:  # numpy would take longer
        is_exact = min(data) > -MAX_EXACT_INTEGER and max(data) < MAX_EXACT_INTEGER
    else:
        is_exact = not (np.abs(numbers) >= MAX_EXACT_INTEGER).any()
    if not is_exact:
        _check_integers(tensor)
    return numbers


def _decode_data(tensor: Input, column: ColumnSpec | None, *, count: int) -> list[Any]:
    """Return the data of an input, decoded only if it can have `count` elements."""
    data = bytes(tensor.data)
    if column is not None and column.kind == "text":
        # Escaped quotes, and what looks like one, make this number too small, never too large.
        minimum = (data.count(b'"') - data.count(b'\\"')) // 2
        if minimum > count:
            raise _wrong_count(tensor, minimum, count=count)
    elif (commas := data.count(b",")) >= max(count, 1) and b'"' not in data:
        raise _wrong_count(tensor, commas + 1, count=count)
    decoder: msgspec.json.Decoder[list[Any]] = _NUMBERS if column is None else _ELEMENTS
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise not_a_request(error) from error


def _wrong_count(tensor: Input, elements: int, *, count: int) -> HTTPError:
    return HTTPError(400, f"{tensor.name}: has {elements} elements, its shape makes {count}")


def _check_integers(tensor: Input) -> None:
    """Check that no integer was rounded when it was decoded as a float64."""
    data = msgspec.json.decode(tensor.data)
    values = data if not isinstance(data[0], list) else [value for row in data for value in row]
    for index, value in enumerate(values, 1):
        if type(value) is int and abs(value) > MAX_EXACT_INTEGER:
            raise HTTPError(
                400,
                f"{tensor.name}, element {index}: {value} is beyond the integers that a float64 "
                "can represent (2^53)",
            )


def _decode_base64(values: NDArray[Any], place: str) -> NDArray[Any]:
    texts = np.empty(len(values), dtype=object)
    for index, value in enumerate(values.tolist()):
        try:
            texts[index] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise HTTPError(400, f"{place}, element {index + 1}: is not UTF-8 in base64") from error
    return texts


def _check_types(data: list[Any], column: ColumnSpec, *, place: str) -> None:
    types: set[type]
    if column.kind == "text":
        types, expected = {str}, 'a text; a missing one is ""'
    elif column.nullable:
        types, expected = {float, type(None)}, "a number or null"
    else:
        types, expected = {float}, "a number"
    if not set(map(type, data)) <= types:
        index = next(i for i, element in enumerate(data) if type(element) not in types)
        raise HTTPError(
            400, f"{place}, element {index + 1}: is {show(data[index])}, expected {expected}"
        )


def _check_plain(parameters: dict[str, Any], place: str) -> None:
    """Check that parameters of a request or an output do not request base64."""
    if is_base64(parameters, place):
        raise HTTPError(400, f"{place}: content_type base64 is for an input of BYTES")


def _requested_outputs(
    request: InferenceRequest, parameters: dict[str, Any], *, ports: list[Port]
) -> dict[str, bool]:
    """Return the requested outputs, and whether each is wanted in binary form."""
    by_default = parameters.get("binary_data_output") is True
    if not request.outputs:
        return {port.name: by_default for port in ports}
    requested: dict[str, bool] = {}
    known = [port.name for port in ports]
    for output in request.outputs:
        if output.name not in known or output.name in requested:
            problem = "unknown" if output.name not in known else "requested twice"
            raise HTTPError(
                400, f"outputs: {show(output.name)} is {problem}, expected {', '.join(known)}"
            )
        options = parameters_of(output.parameters, output.name)
        _check_plain(options, f"outputs: {output.name}")
        if "classification" in options:
            raise HTTPError(400, "outputs: the extension classification is not supported")
        requested[output.name] = options.get("binary_data", by_default) is True
    return requested


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "datatype": open_inference_tensors.DATATYPES[port.dtype],
        "shape": [-1 if size is None else size for size in port.shape],
    }
