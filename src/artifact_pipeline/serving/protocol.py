"""Requests and answers of the Open Inference Protocol, version 2.

Format: the Open Inference Protocol's REST API, with its binary tensor data extension: a header
tells how long the JSON is, and tensors that say `binary_data_size` follow it in their order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from artifact_pipeline import __version__, rows
from artifact_pipeline.artifact.formats.form import Batch, Outputs
from artifact_pipeline.artifact.manifest import Column, Interface, Port
from artifact_pipeline.errors import DataError
from artifact_pipeline.explain import show
from artifact_pipeline.serving import tensors
from artifact_pipeline.serving.models import Model
from artifact_pipeline.serving.refusals import Refused
from artifact_pipeline.serving.requests import Input, Request, decode, parted, parts_of
from artifact_pipeline.tables import checking

NAME = "artifact-pipeline"


class Call(NamedTuple):
    """A request that was read and checked."""

    batch: Batch
    rows: int
    id: str | UnsetType
    binary: dict[str, bool]
    """The outputs that are asked for, in their order, and whether in binary form."""


_ENCODER = msgspec.json.Encoder()


def metadata() -> dict[str, Any]:
    """Return what the server says of itself."""
    return {"name": NAME, "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(model: Model) -> dict[str, Any]:
    """Return what the server says of a model: its inputs and outputs."""
    interface = model.interface
    return {
        "name": model.name,
        "versions": [model.digest],
        "platform": model.predictor.manifest.parity.form,
        "inputs": [_port(one) for one in interface.inputs],
        "outputs": [_port(one) for one in interface.outputs],
    }


def read(body: bytes, header: bytes | None, model: Model, most_rows: int) -> Call:
    """Return the call that a body makes; `header` is its Inference-Header-Content-Length.

    Raises:
        Refused: for anything that is not as the protocol and the model's interface have it.
    """
    text, tail = parted(body, header)
    columns = model.interface.columns
    request = decode(text, of_numbers=columns is UNSET)
    ports = model.interface.inputs
    given = _by_name(request.inputs, ports)
    parts = parts_of(request.inputs, tail)
    count = given[0].shape[0] if given[0].shape else 0
    if count > most_rows:
        raise Refused(413, f"has {count} rows, at most {most_rows} are predicted at once")
    batch: Batch
    if isinstance(columns, UnsetType):
        batch = _matrix(given[0], ports[0], parts.get(given[0].name), model.interface)
    else:
        batch = _table(given, ports, parts, columns)
    return Call(batch, count, request.id, _outputs(request, model.interface.outputs))


def answer(model: Model, call: Call, outputs: Outputs) -> tuple[bytes, int | None]:
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
            tail.append(tensors.encode(values, datatype))
            one["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            one["data"] = values.ravel().tolist()
        found.append(one)
    said: dict[str, Any] = {"model_name": model.name, "model_version": model.digest}
    if not isinstance(call.id, UnsetType):
        said["id"] = call.id
    said["outputs"] = found
    text = _ENCODER.encode(said)
    return (b"".join([text, *tail]), len(text)) if tail else (text, None)


def _by_name(inputs: list[Input[Any]], ports: list[Port]) -> list[Input[Any]]:
    if len(inputs) == len(ports) == 1 and inputs[0].name == ports[0].name:
        return inputs
    given = {one.name: one for one in inputs}
    if len(given) < len(inputs):
        raise Refused(400, "inputs: one name stands twice")
    known = [port.name for port in ports]
    if missing := [name for name in known if name not in given]:
        raise Refused(400, f"inputs: {missing[0]} is missing")
    if unknown := [name for name in given if name not in known]:
        raise Refused(
            400, f"inputs: {show(unknown[0])} is unknown, expected {', '.join(known[:8])}"
        )
    return [given[name] for name in known]


def _matrix(
    one: Input[Any], port: Port, binary: bytes | None, interface: Interface
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
        raise Refused(400, str(error)) from error


def _table(
    given: list[Input[Any]], ports: list[Port], parts: dict[str, bytes], kinds: list[Column]
) -> list[NDArray[Any]]:
    """Return the columns of a model that takes a table, each (n_rows,)."""
    columns = []
    for one, port, column in zip(given, ports, kinds, strict=True):
        _check_port(one, port)
        if one.shape[0] != given[0].shape[0]:
            said = f"has {one.shape[0]} rows, {given[0].name} has {given[0].shape[0]}"
            raise Refused(400, f"{one.name}: {said}")
        values = _values(one, port, parts.get(one.name), column)
        columns.append(values if values.dtype == object else values.astype(np.float64, copy=False))
    try:
        checking.check(columns, kinds, lambda row: f"row {row + 1}")
    except DataError as error:
        raise Refused(400, str(error)) from error
    return columns


def _check_port(one: Input[Any], port: Port) -> None:
    expected = tensors.DATATYPES[port.dtype]
    if one.datatype != expected:
        raise Refused(400, f"{one.name}: is {show(one.datatype)}, expected {expected}")
    width = port.shape[1]
    if one.shape[1:] != [width] and not (width == 1 and len(one.shape) == 1):
        said = f"expected [rows, {width}]"
        raise Refused(400, f"{one.name}: has the shape {one.shape[:8]}, {said}")
    if one.shape[0] < 1:
        raise Refused(400, f"{one.name}: holds no rows to predict")


def _values(
    one: Input[Any], port: Port, binary: bytes | None, column: Column | None
) -> NDArray[Any]:
    """Return the elements of an input, flat."""
    values = _elements(one, port, binary, column)
    if port.dtype == "float32":
        lost = np.isfinite(values) & ~tensors.finite32(values)
        if lost.any():
            at = int(np.flatnonzero(lost)[0])
            raise Refused(400, f"{port.name}, element {at + 1}: is too large for an FP32")
    return values


def _elements(
    one: Input[Any], port: Port, binary: bytes | None, column: Column | None
) -> NDArray[Any]:
    count = one.shape[0] * (port.shape[1] or 1)
    if isinstance(one.data, UnsetType):
        if binary is None:
            raise Refused(400, f"{one.name}: has neither data nor binary_data_size")
        return tensors.decode(binary, one.datatype, count, one.name)
    if binary is not None:
        raise Refused(400, f"{one.name}: has both data and binary_data_size")
    data = one.data
    if data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise Refused(400, f"{one.name}: has rows and elements side by side")
        data = [element for row in data for element in row]
    if len(data) != count:
        raise Refused(400, f"{one.name}: has {len(data)} elements, its shape makes {count}")
    if column is not None:
        _check_kinds(data, one.name, column)
        if column.kind == "text":
            return np.array(data, dtype=object)
        return np.array(data, dtype=np.float64)
    try:
        return np.fromiter(data, np.float64, count)
    except (TypeError, ValueError) as error:
        raise Refused(400, f"{one.name}: has rows and elements side by side") from error


def _check_kinds(data: list[Any], place: str, column: Column) -> None:
    expected: set[type]
    if column.kind == "text":
        expected, said = {str}, "a text"
    elif column.nullable:
        expected, said = {float, type(None)}, "a number or null"
    else:
        expected, said = {float}, "a number"
    if not set(map(type, data)) <= expected:
        at = next(i for i, element in enumerate(data) if type(element) not in expected)
        raise Refused(400, f"{place}, element {at + 1}: is {show(data[at])}, expected {said}")


def _outputs(request: Request[Any], ports: list[Port]) -> dict[str, bool]:
    parameters = {} if isinstance(request.parameters, UnsetType) else request.parameters
    always = parameters.get("binary_data_output") is True
    if isinstance(request.outputs, UnsetType) or not request.outputs:
        return {port.name: always for port in ports}
    found: dict[str, bool] = {}
    known = [port.name for port in ports]
    for one in request.outputs:
        if one.name not in known or one.name in found:
            said = "unknown" if one.name not in known else "asked for twice"
            raise Refused(400, f"outputs: {show(one.name)} is {said}, there is {', '.join(known)}")
        asked = {} if isinstance(one.parameters, UnsetType) else one.parameters
        if "classification" in asked:
            raise Refused(400, "outputs: the extension classification is not known here")
        found[one.name] = asked.get("binary_data", always) is True
    return found


def _port(port: Port) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in port.shape]
    return {"name": port.name, "datatype": tensors.DATATYPES[port.dtype], "shape": shape}


def _datatype(port: Port, values: NDArray[Any]) -> str:
    # A graph gives booleans as 0 and 1, and its interface says so; the predictor gives booleans.
    return "BOOL" if values.dtype == bool else tensors.DATATYPES[port.dtype]
