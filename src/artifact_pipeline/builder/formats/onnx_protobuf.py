"""A strict reader of ONNX files in protobuf's wire format.

Each message may have only the fields in `_MESSAGES`. Encodings that no writer produces and that two
readers could decode differently are refused: long varints, groups, a singular field twice.

Formats: onnx.proto of ONNX 1.x; protobuf's encoding of varints, fixed and delimited fields.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_STRING = 1 << 16
"""Maximum bytes of one label or category."""

# A list of numbers has one field per number and a forest has millions, so runs are matched at once.
_NUMBERS = re.compile(rb"(?:\x3d[\s\S]{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f])+")
_INTEGERS = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+")
_FLOATS = re.compile(rb"(?:\x3d[\s\S]{4})+")
_MODES = re.compile(rb"(?:\x4a(?:\x04LEAF|\x09BRANCH_(?:LT|GT|EQ)|\x0aBRANCH_(?:LEQ|GTE|NEQ)))+")
_MODE = re.compile(rb"LEAF|BRANCH_(?:LEQ|GTE|NEQ|LT|GT|EQ)")
_MALFORMED = "its protobuf does not have the form of ONNX"
_TRUNCATED = "its protobuf is truncated"
_REASONS = {
    ("model", 14): "it contains settings for the runtime",
    ("model", 20): "it contains functions or training information",
    ("model", 25): "it contains functions or training information",
    ("tensor", 13): "its data is in another file",
    ("tensor", 14): "its data is in another file",
}
"""Specific messages for some of the refused fields."""
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_PACKED = {"v": _VARINT, "f": _FIXED32, "d": _FIXED64}


def _message(fields: str) -> dict[int, tuple[frozenset[int], bool]]:
    """Return the wire types of each field, and whether it repeats, from a text like `1v 2m 5m*`.

    `v` is a varint, `m` a message, text or bytes, `f` a float and `d` a double; `*` repeats.
    Repeated numbers (`4f*`) may also be packed into one delimited field.
    """
    known = {}
    for word in fields.split():
        repeats = word.endswith("*")
        kind = word.rstrip("*")[-1]
        number = int(word.rstrip("*")[:-1])
        wires = {_DELIMITED} if kind == "m" else {_PACKED[kind]}
        if repeats and kind != "m":
            wires.add(_DELIMITED)
        known[number] = (frozenset(wires), repeats)
    return known


_MESSAGES = {
    # ir_version, producer (name, version), domain, model_version, doc_string, graph, opset_import
    "model": _message("1v 2m 3m 4m 5v 6m 7m 8m*"),
    # domain, version
    "opset": _message("1m 2v"),
    # node, name, initializer, doc_string, input, output, value_info
    "graph": _message("1m* 2m 5m* 10m 11m* 12m* 13m*"),
    # input, output, name, op_type, attribute, doc_string, domain
    "node": _message("1m* 2m* 3m 4m 5m* 6m 7m"),
    # name, f, i, s, t, g, floats, ints, strings, doc_string, type
    "attribute": _message("1m 2f 3v 4m 5m 6m 7f* 8v* 9m* 13m 20v"),
    # dims, data_type, float, int32, string, int64 data, name, raw, double, uint64 data, doc_string
    "tensor": _message("1v* 2v 4f* 5v* 6m* 7v* 8m 9m 10d* 11v* 12m"),
    # name, type, doc_string
    "value": _message("1m 2m 3m"),
    # tensor_type: no sequences, maps or sparse tensors; denotation
    "type": _message("1m 6m"),
    # elem_type, shape
    "tensor type": _message("1v 2m"),
    "shape": _message("1m*"),
    # dim_value, dim_param, denotation
    "dimension": _message("1v 2m 3m"),
}
"""The fields each message may have.

Left out: functions, training information, metadata, devices, quantization, sparse tensors, external
data, and all additions of later versions of ONNX.
"""
FLOAT_TYPES = frozenset({1, 10, 11})
STRING_TYPE = 8
INTEGER_TYPES = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})
"""Element types of tensors, by their number in ONNX; booleans count as integers."""


class Field(NamedTuple):
    """A field of a message: its number, its wire type and the position of its content."""

    number: int
    wire: int
    start: int
    end: int


class GraphRefused(Exception):
    """Raised with the reason why a graph is not loaded."""


class Tensor(Struct, frozen=True, kw_only=True):
    """A constant.

    Attributes:
        name: Its name in the graph; empty for the value of an attribute.
        element: The number of its element type in ONNX.
        shape: Its dimensions.
        integers: Its content if the elements are int32 or int64, and raw or few, else None.
        longest_text: Bytes of its longest string.
    """

    name: str
    element: int
    shape: tuple[int, ...]
    integers: Sequence[int] | None
    longest_text: int


class GraphPort(Struct, frozen=True, kw_only=True):
    """An input or output of a graph.

    Attributes:
        name: Its name in the graph.
        element: The number of its element type in ONNX, 0 if it is not declared.
        shape: Its dimensions, None for each that is open; None if the rank is open.
    """

    name: str
    element: int
    shape: tuple[int | None, ...] | None


class Node(Struct, frozen=True, kw_only=True):
    """An operator of a graph. Its attributes are decoded on demand."""

    data: bytes
    operator: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Field]

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        field = self._part(name, 3)
        return (
            default if field is None else signed(varint(self.data, field.start, end=field.end)[0])
        )

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return a list of integers, None without such an attribute."""
        if name not in self.attributes:
            return None
        values = numbers_or_texts(self.data, self.attributes[name])
        return () if isinstance(values, list) else tuple(map(signed, values.tolist()))

    def floats(self, name: str) -> int:
        """Return the length of a list of floats, in an attribute or in its `_as_tensor` form."""
        tensor = self.tensor(f"{name}_as_tensor")
        if tensor is not None:
            return product(tensor.shape)
        return count_floats(self.data, self.attributes[name]) if name in self.attributes else 0

    def texts(self, name: str) -> list[bytes]:
        """Return a list of strings, empty without such an attribute."""
        if name not in self.attributes:
            return []
        return [
            self.data[field.start : field.end]
            for field in fields(self.data, self.attributes[name], kind="attribute")
            if field.number in (4, 9)
        ]

    def tensor(self, name: str) -> Tensor | None:
        """Return a tensor attribute, None without such an attribute."""
        field = self._part(name, 5)
        return None if field is None else read_tensor(self.data, field)

    def graph(self, name: str) -> GraphContent | None:
        """Return a graph attribute, None without such an attribute."""
        field = self._part(name, 6)
        return None if field is None else read_graph(self.data, field)

    def _part(self, name: str, number: int) -> Field | None:
        if name in self.attributes:
            for field in fields(self.data, self.attributes[name], kind="attribute"):
                if field.number == number:
                    return field
        return None


class GraphContent(Struct, frozen=True, kw_only=True):
    """The parts of a graph that decide what it computes."""

    inputs: list[GraphPort]
    outputs: list[GraphPort]
    constants: list[Tensor]
    nodes: list[Node]


def read_graph(data: bytes, graph: Field) -> GraphContent:
    """Return the parts of a graph.

    Raises:
        GraphRefused: If a node has an attribute twice.
    """
    result = GraphContent(inputs=[], outputs=[], constants=[], nodes=[])
    for field in fields(data, graph, kind="graph"):
        if field.number == 1:
            result.nodes.append(_read_node(data, field))
        elif field.number == 5:
            result.constants.append(read_tensor(data, field))
        elif field.number in (11, 12):
            ports = result.inputs if field.number == 11 else result.outputs
            ports.append(_read_port(data, field))
        elif field.number == 13:
            _read_port(data, field)  # the type of another value is only checked
    return result


def _read_node(data: bytes, node: Field) -> Node:
    inputs, outputs, operator, domain = [], [], "", ""
    attributes: dict[str, Field] = {}
    for field in fields(data, node, kind="node"):
        if field.number == 1:
            inputs.append(text(data, field))
        elif field.number == 2:
            outputs.append(text(data, field))
        elif field.number == 4:
            operator = text(data, field)
        elif field.number == 7:
            domain = text(data, field)
        elif field.number == 5:
            for part in fields(data, field, kind="attribute"):
                if part.number == 1:
                    name = text(data, part)
                    if name in attributes:
                        raise GraphRefused(f"it has the attribute {name[:60]!a} twice")
                    attributes[name] = field
    return Node(
        data=data,
        operator=operator,
        domain=domain,
        inputs=inputs,
        outputs=outputs,
        attributes=attributes,
    )


def _read_port(data: bytes, value: Field) -> GraphPort:
    name, element, shape = "", 0, None
    for field in fields(data, value, kind="value"):
        if field.number == 1:
            name = text(data, field)
        elif field.number == 2:
            for kind in fields(data, field, kind="type"):
                if kind.number == 1:
                    for part in fields(data, kind, kind="tensor type"):
                        if part.number == 1:
                            element = varint(data, part.start, end=part.end)[0]
                        else:
                            shape = tuple(_dimensions(data, part))
    return GraphPort(name=name, element=element, shape=shape)


def _dimensions(data: bytes, shape: Field) -> Iterator[int | None]:
    for dimension in fields(data, shape, kind="shape"):
        size = None
        for field in fields(data, dimension, kind="dimension"):
            if field.number == 1:
                size = signed(varint(data, field.start, end=field.end)[0])
        yield size


def read_tensor(data: bytes, tensor: Field) -> Tensor:
    """Return a constant."""
    name, element, shape, content, longest = "", 0, [], [], 0
    for field in fields(data, tensor, kind="tensor"):
        if field.number == 8:
            name = text(data, field)
        elif field.number == 2:
            element = varint(data, field.start, end=field.end)[0]
        elif field.number == 1:
            shape += [signed(value) for value in _varint_list(data, field)]
        elif field.number == 6:
            longest = max(longest, field.end - field.start)
            text(data, field)
        elif field.number != 12:
            content.append(field)
    return Tensor(
        name=name,
        element=element,
        shape=tuple(shape),
        integers=_integers(data, element, content=content),
        longest_text=longest,
    )


def _integers(data: bytes, element: int, *, content: list[Field]) -> Sequence[int] | None:
    """Return the integers of a tensor whose content is in these fields."""
    if element not in (6, 7):
        return None
    size = sum(field.end - field.start for field in content)
    values = array("i" if element == 6 else "q")
    if [field.number for field in content] == [9]:  # raw data
        if size % values.itemsize:
            return None
        values.frombytes(data[content[0].start : content[0].end])
        return values
    if size > MAX_STRING or any(field.number != (5 if element == 6 else 7) for field in content):
        return None
    return [signed(value) for field in content for value in _varint_list(data, field)]


def _varint_list(data: bytes, field: Field) -> Iterator[int]:
    """Yield the numbers of a field that holds one varint or, packed, many."""
    at = field.start
    while at < field.end:
        value, at = varint(data, at, end=field.end)
        yield value


def signed(value: int) -> int:
    """Return a varint of 64 bits as the integer that it encodes."""
    return value - (1 << 64) if value >= 1 << 63 else value


def product(shape: Iterable[int]) -> int:
    """Return the number of elements of a shape; a negative dimension counts as 0."""
    count = 1
    for size in shape:
        count *= max(size, 0)
    return count


def count_floats(data: bytes, attribute: Field) -> int:
    """Return the length of an attribute's list of floats."""
    count, at = 0, attribute.start
    while at < attribute.end:
        if run := _FLOATS.match(data, at, attribute.end):
            count += len(run[0]) // 5
            at = run.end()
            continue
        tag, at = varint(data, at, end=attribute.end, longest=5)
        start, at = _skip(data, tag & 7, at=at, end=attribute.end)
        if tag >> 3 == 7:
            count += (at - start) // 4
    return count


def numbers_or_texts(data: bytes, attribute: Field) -> NDArray[np.uint64] | list[bytes]:
    """Return an attribute's list of strings, or its list of integers as unsigned numbers."""
    import numpy as np

    at = attribute.start
    texts: list[bytes] = []
    integers = [np.array([], np.uint64)]
    while at < attribute.end:
        if run := _INTEGERS.match(data, at, attribute.end):
            integers.append(_varints(data[at : run.end()])[1::2])  # without the tags
            at = run.end()
        elif run := _MODES.match(data, at, attribute.end):
            texts += _MODE.findall(run[0])
            at = run.end()
        elif run := _FLOATS.match(data, at, attribute.end):
            at = run.end()
        else:
            tag, at = varint(data, at, end=attribute.end, longest=5)
            start, at = _skip(data, tag & 7, at=at, end=attribute.end)
            if tag >> 3 == 8:
                integers.append(_varints(data[start:at]))
            elif tag >> 3 == 9:
                texts.append(data[start:at])
    return texts or np.concatenate(integers)


def _varints(data: bytes) -> NDArray[np.uint64]:
    """Return the numbers of consecutive varints."""
    import numpy as np

    content = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(content < 0x80)
    starts = np.r_[0, ends[:-1] + 1][: len(ends)]
    values = np.zeros(len(ends), np.uint64)
    for place in range(10):
        here = starts + place
        part = (content[here.clip(max=len(content) - 1)] & 0x7F).astype(np.uint64)
        values |= np.where(here <= ends, part << np.uint64(7 * place), np.uint64(0))
    return values


def text(data: bytes, field: Field) -> str:
    """Return a string.

    Raises:
        GraphRefused: If it is longer than `MAX_STRING`.
    """
    if field.end - field.start > MAX_STRING:
        raise GraphRefused(f"it contains a text of more than {MAX_STRING} bytes")
    # Distinct bytes stay distinct names, also where they are not UTF-8.
    return data[field.start : field.end].decode("utf-8", "surrogateescape")


def root(data: bytes) -> Field:
    """Return a field that covers the complete file."""
    return Field(number=0, wire=_DELIMITED, start=0, end=len(data))


def fields(data: bytes, message: Field, *, kind: str) -> Iterator[Field]:
    """Yield the fields of a message, without an attribute's lists of numbers.

    Args:
        data: The bytes of the file.
        message: The message, by its place in them.
        kind: Its kind, a key of `_MESSAGES`.

    Raises:
        GraphRefused: For a field that such a message may not have, or that it may not have twice.
    """
    at, end, known = message.start, message.end, _MESSAGES[kind]
    seen: set[int] = set()
    while at < end:
        if kind == "attribute" and (skipped := _NUMBERS.match(data, at, end)):
            at = skipped.end()
            continue
        tag, at = varint(data, at, end=end, longest=5)
        number, wire = tag >> 3, tag & 7
        wires, repeats = known.get(number, (frozenset(), False))
        if wire not in wires:
            reason = f"{_MALFORMED}: field {number} of a {kind}"
            raise GraphRefused(_REASONS.get((kind, number), reason))
        if not repeats and number in seen:
            raise GraphRefused(f"{_MALFORMED}: field {number} of a {kind} twice")
        seen.add(number)
        start, at = _skip(data, wire, at=at, end=end)
        yield Field(number=number, wire=wire, start=start, end=at)


def _skip(data: bytes, wire: int, *, at: int, end: int) -> tuple[int, int]:
    """Return where the content of a field starts and ends."""
    start = at
    if wire == _VARINT:
        _, at = varint(data, at, end=end)
    elif wire == _DELIMITED:
        size, start = varint(data, at, end=end, longest=5)
        at = start + size
    else:
        at += 8 if wire == _FIXED64 else 4
    if at > end:
        raise GraphRefused(_TRUNCATED)
    return start, at


def varint(data: bytes, at: int, *, end: int, longest: int = 10) -> tuple[int, int]:
    """Return a varint and the position after it.

    https://protobuf.dev/programming-guides/encoding/#varints

    Args:
        data: The bytes of the file.
        at: The position of the varint.
        end: The end of its message.
        longest: Maximum number of bytes.

    Raises:
        GraphRefused: If it is longer, longer than needed, or truncated.
    """
    value = 0
    for place in range(longest):
        if at + place >= end:
            raise GraphRefused(_TRUNCATED)
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if place and not byte:
                raise GraphRefused(_MALFORMED)
            return value, at + place + 1
    raise GraphRefused(_MALFORMED)
