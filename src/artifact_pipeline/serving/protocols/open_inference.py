"""Requests and answers of the Open Inference Protocol, version 2.

Format: the Open Inference Protocol's REST API, with its binary tensor data extension: a header
tells how long the JSON is, and tensors that say `binary_data_size` follow it in their order.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from artifact_pipeline._version import __version__
from artifact_pipeline.builder.artifact.manifest import ColumnSpec, Interface, Port
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.errors import DataError
from artifact_pipeline.inference import rows, tables
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.protocols import open_inference_tensors
from artifact_pipeline.serving.protocols.open_inference_json import (
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


class Call(NamedTuple):
    """A request that was read and checked."""

    batch: Batch
    rows: int
    id: str | None
    binary: dict[str, bool]
    """The outputs that are asked for, in their order, and whether in binary form."""


_ENCODER = msgspec.json.Encoder()
Element = float | str | None
_NUMBERS = msgspec.json.Decoder(list[float | list[float]])
_ELEMENTS = msgspec.json.Decoder(list[Element | list[Element]])
EXACT = 2**53
"""The largest integer below which a float64 holds every integer."""


def metadata() -> dict[str, Any]:
    """Return what the server says of itself."""
    return {"name": NAME, "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """Return what the server says of a model: its inputs and outputs."""
    interface = model.interface
    return {
        "name": model.name,
        "versions": [model.digest],
        "platform": model.predictor.manifest.parity.form,
        "inputs": [_port(one) for one in interface.inputs],
        "outputs": [_port(one) for one in interface.outputs],
    }


def read(body: bytes, header: bytes | None, model: ServedModel, max_rows: int) -> Call:
    """Return the call that a body makes; `header` is its Inference-Header-Content-Length.

    Raises:
        HTTPError: 400 for anything against the protocol or the model's interface, 413 for too
            many rows.
    """
    text, tail = split(body, header)
    columns = model.interface.columns
    request = decode(text)
    is_base64(parameters := parameters_of(request.parameters, "request"), "request")
    ports = model.interface.inputs
    given = _by_name(request.inputs, ports)
    parts = parts_of(request.inputs, tail)
    count = given[0].shape[0] if given[0].shape else 0
    if count > max_rows:
        raise HTTPError(413, f"has {count} rows, at most {max_rows} are predicted at once")
    batch: Batch
    if isinstance(columns, UnsetType):
        batch = _matrix(given[0], ports[0], parts.get(given[0].name), model.interface)
    else:
        batch = _table(given, ports, parts, columns)
    outputs = _outputs(request, parameters, model.interface.outputs)
    return Call(batch, count, request.id, outputs)


def encode(model: ServedModel, call: Call, outputs: Outputs) -> tuple[bytes, int | None]:
    """Return the body of an answer, and how long its JSON is where tensors follow it."""
    found, tail = [], []
    for port in model.interface.outputs:
        if port.name not in call.binary:
            continue
        values = outputs.probabilities if port.name == "probabilities" else outputs.predicted
        assert values is not None
        shape = [call.rows, *port.shape[1:]]
        datatype = _datatype(port, values)
        one: dict[str, Any] = {"name": port.name, "datatype": datatype, "shape": shape}
        if call.binary[port.name]:
            tail.append(open_inference_tensors.encode(values, datatype))
            one["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            one["data"] = values.ravel().tolist()
        found.append(one)
    said: dict[str, Any] = {"model_name": model.name, "model_version": model.digest}
    if call.id is not None:
        said["id"] = call.id
    said["outputs"] = found
    text = _ENCODER.encode(said)
    return (b"".join([text, *tail]), len(text)) if tail else (text, None)


def _by_name(inputs: list[Input], ports: list[Port]) -> list[Input]:
    if len(inputs) == len(ports) == 1 and inputs[0].name == ports[0].name:
        return inputs
    given = {one.name: one for one in inputs}
    if len(given) < len(inputs):
        raise HTTPError(400, "inputs: a name is repeated")
    known = [port.name for port in ports]
    if missing := [name for name in known if name not in given]:
        raise HTTPError(400, f"inputs: {missing[0]} is missing")
    if unknown := [name for name in given if name not in known]:
        raise HTTPError(
            400, f"inputs: {show(unknown[0])} is unknown, expected {', '.join(known[:8])}"
        )
    return [given[name] for name in known]


def _matrix(
    one: Input, port: Port, binary: bytes | None, interface: Interface
) -> NDArray[np.float64]:
    """Return the rows of a model that takes a matrix, (n_rows, n_features)."""
    _check_port(one, port)
    matrix = _values(one, port, binary, None).reshape(one.shape[0], -1)
    limits = interface.limits
    if binary is None and isinstance(limits, UnsetType):  # JSON has no word for what is not finite
        return matrix
    try:
        wide = matrix.astype(np.float64, copy=False)
        return rows.check(wide, interface.features, port.name, limits)
    except DataError as error:
        raise HTTPError(400, str(error)) from error


def _table(
    given: list[Input], ports: list[Port], parts: dict[str, bytes], kinds: list[ColumnSpec]
) -> list[NDArray[Any]]:
    """Return the columns of a model that takes a table, each (n_rows,)."""
    columns = []
    for one, port, column in zip(given, ports, kinds, strict=True):
        _check_port(one, port)
        if one.shape[0] != given[0].shape[0]:
            said = f"has {one.shape[0]} rows, {given[0].name} has {given[0].shape[0]}"
            raise HTTPError(400, f"{one.name}: {said}")
        values = _values(one, port, parts.get(one.name), column)
        columns.append(values if values.dtype == object else values.astype(np.float64, copy=False))
    try:
        tables.check(columns, kinds, lambda row: f"row {row + 1}")
    except DataError as error:
        raise HTTPError(400, str(error)) from error
    return columns


def _check_port(one: Input, port: Port) -> None:
    expected = open_inference_tensors.DATATYPES[port.dtype]
    if one.datatype != expected:
        raise HTTPError(400, f"{one.name}: is {show(one.datatype)}, expected {expected}")
    width = port.shape[1]
    if one.shape[1:] != [width] and not (width == 1 and len(one.shape) == 1):
        said = f"expected [rows, {width}]"
        raise HTTPError(400, f"{one.name}: has the shape {one.shape[:8]}, {said}")
    if one.shape[0] < 1:
        raise HTTPError(400, f"{one.name}: holds no rows to predict")


def _values(
    one: Input, port: Port, binary: bytes | None, column: ColumnSpec | None
) -> NDArray[Any]:
    """Return the elements of an input, flat."""
    values = _elements(one, port, binary, column)
    check_float32(values, port.dtype, port.name)
    return values


def _elements(
    one: Input, port: Port, binary: bytes | None, column: ColumnSpec | None
) -> NDArray[Any]:
    count = one.shape[0] * (port.shape[1] or 1)
    encoded = is_base64(parameters_of(one.parameters, one.name), one.name)
    if encoded and one.datatype != "BYTES":
        raise HTTPError(400, f"{one.name}: content_type base64 is for BYTES")
    if is_absent(one.data):
        if binary is None:
            raise HTTPError(400, f"{one.name}: has neither data nor binary_data_size")
        values = open_inference_tensors.decode(binary, one.datatype, count, one.name)
        return _decode_base64(values, one.name) if encoded else values
    if binary is not None:
        raise HTTPError(400, f"{one.name}: has both data and binary_data_size")
    data = _decode_data(one, count, column)
    if data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise HTTPError(400, f"{one.name}: mixes rows and elements")
        data = [element for row in data for element in row]
    if len(data) != count:
        raise _wrong_count(one, len(data), count)
    if column is not None:
        _check_kinds(data, one.name, column)
        if column.kind == "text":
            texts = np.array(data, dtype=object)
            return _decode_base64(texts, one.name) if encoded else texts
        numbers = np.array(data, dtype=np.float64)
    else:
        try:
            numbers = np.fromiter(data, np.float64, count)
        except (TypeError, ValueError) as error:
            raise HTTPError(400, f"{one.name}: mixes rows and elements") from error
    if np.abs(numbers).max() >= EXACT:
        _check_integers(one)
    return numbers


def _decode_data(one: Input, count: int, column: ColumnSpec | None) -> list[Any]:
    """Return the decoded data of an input, which is not decoded where it cannot be `count` long."""
    data = bytes(one.data)
    is_text = column is not None and column.kind == "text"
    if is_text:
        # An escaped quote, and whatever looks like one, makes this number too small, never too
        # large.
        least = (data.count(b'"') - data.count(b'\\"')) // 2
        if least > count:
            raise _wrong_count(one, least, count)
    elif (found := data.count(b",") + 1) > max(count, 1) and b'"' not in data:
        raise _wrong_count(one, found, count)
    decoder: msgspec.json.Decoder[list[Any]] = _NUMBERS if column is None else _ELEMENTS
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise not_a_request(error) from error


def _wrong_count(one: Input, found: int, count: int) -> HTTPError:
    return HTTPError(400, f"{one.name}: has {found} elements, its shape makes {count}")


def _check_integers(one: Input) -> None:
    """Refuse integers that a float64 does not hold; they were decoded as floats."""
    rows = msgspec.json.decode(one.data)
    values = rows if not isinstance(rows[0], list) else [value for row in rows for value in row]
    for index, value in enumerate(values, 1):
        if type(value) is int and abs(value) > EXACT:
            raise HTTPError(
                400,
                f"{one.name}, element {index}: {value} is beyond the integers that a float64 "
                "holds (2^53)",
            )


def _decode_base64(values: NDArray[Any], place: str) -> NDArray[Any]:
    """Return texts that were encoded as base64."""
    texts = np.empty(len(values), dtype=object)
    for index, value in enumerate(values.tolist()):
        try:
            texts[index] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            said = f"{place}, element {index + 1}: is not UTF-8 in base64"
            raise HTTPError(400, said) from error
    return texts


def _check_kinds(data: list[Any], place: str, column: ColumnSpec) -> None:
    expected: set[type]
    if column.kind == "text":
        expected, said = {str}, "a text"
    elif column.nullable:
        expected, said = {float, type(None)}, "a number or null"
    else:
        expected, said = {float}, "a number"
    if not set(map(type, data)) <= expected:
        at = next(i for i, element in enumerate(data) if type(element) not in expected)
        raise HTTPError(400, f"{place}, element {at + 1}: is {show(data[at])}, expected {said}")


def _outputs(
    request: InferenceRequest, parameters: dict[str, Any], ports: list[Port]
) -> dict[str, bool]:
    always = parameters.get("binary_data_output") is True
    if not request.outputs:
        return {port.name: always for port in ports}
    found: dict[str, bool] = {}
    known = [port.name for port in ports]
    for output in request.outputs:
        if output.name not in known or output.name in found:
            said = "unknown" if output.name not in known else "requested twice"
            there = ", ".join(known)
            raise HTTPError(400, f"outputs: {show(output.name)} is {said}, expected {there}")
        wanted = parameters_of(output.parameters, output.name)
        if "classification" in wanted:
            raise HTTPError(400, "outputs: the extension classification is not supported")
        found[output.name] = wanted.get("binary_data", always) is True
    return found


def _port(port: Port) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in port.shape]
    return {
        "name": port.name,
        "datatype": open_inference_tensors.DATATYPES[port.dtype],
        "shape": shape,
    }


def _datatype(port: Port, values: NDArray[Any]) -> str:
    # A graph gives booleans as 0 and 1, and its interface says so; the predictor gives booleans.
    return "BOOL" if values.dtype == bool else open_inference_tensors.DATATYPES[port.dtype]
