"""The manifest: what an artifact says of itself, and the digest of every other file in it.

Its bytes are canonical JSON, so that one artifact has one digest. `docs/artifact-format.md`
describes every field.

>>> decode(b'{"manifest_version":2}', "m")
Traceback (most recent call last):
    ...
artifact_pipeline.errors.VerificationError: m: has the version 2, this reader knows 1; ...
"""

import math
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder import recipe as recipes
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Kind
from artifact_pipeline.builder.data.dataset import Image, Schema
from artifact_pipeline.builder.metric_table import required_metrics
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import VerificationError

MANIFEST = "manifest.json"
EVALUATION = "evaluation.json"
MODEL_ONNX = "model.onnx"
MODEL_SKOPS = "model.skops"
MODEL_PICKLE = "model_train.pkl"
CARD = "README.md"
SIGNATURE = "model.sig"
"""The one file that a manifest does not list: it signs the manifest."""

MANIFEST_VERSION = 1
MAX_MANIFEST = 16 << 20
MAX_SIGNATURE = 1 << 20
MAX_FILE = 2 << 30
"""Bytes; protobuf, and so ONNX, goes no further."""
MAX_EVALUATION = 64 << 20
MAX_TOTAL = 4 << 30
"""Bytes of all files that a manifest lists, which are hashed whenever it is verified."""

MEDIA_TYPES = {
    EVALUATION: "application/json",
    MODEL_ONNX: "application/vnd.onnx",
    MODEL_SKOPS: "application/zip",
    MODEL_PICKLE: "application/vnd.python.pickle",
    CARD: "text/markdown",
}

FLOATS = ("float64", "float32")
TEXTS = ("string",)
"""The dtypes of inputs."""

MAX_CATEGORIES = 100
"""How many texts of a column an interface lists."""

FormName: TypeAlias = Literal["onnx-float64", "onnx-float32", "skops"]
MODEL_FILES: dict[FormName, str] = {
    "onnx-float64": MODEL_ONNX,
    "onnx-float32": MODEL_ONNX,
    "skops": MODEL_SKOPS,
}
"""The file that a form lies in; an artifact has one form."""

Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
# One plain name: no folder, no `..`, no drive, no device, no Unicode twin can be said in it.
Name: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Label: TypeAlias = "bool | int | str"


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the artifact."""

    path: Name
    sha256: Sha256
    bytes: Annotated[int, Meta(ge=0, le=MAX_FILE)]
    media_type: str


class Port(Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output of the open form: name, dtype and shape, None for the rows."""

    name: str
    dtype: str
    shape: list[int | None]


class ColumnSpec(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A feature of a table: what goes into the input of the same place (`c0`, `c1`, …)."""

    name: str
    kind: Kind
    nullable: bool
    """Whether the model takes a row that misses a number here; a missing text is empty."""
    unseen: bool
    """Whether the model takes a text that it did not learn from."""
    categories: list[str] | None
    """The texts that it learned from, where they are at most `MAX_CATEGORIES`, or no others are
    taken."""
    format: ColumnFormat | None = None
    """How its numbers or dates are written in text; absent where as usual."""
    numbers: list[float] | UnsetType = UNSET
    """The only numbers that the model takes here, sorted; absent where it takes others."""
    range: tuple[float, float] | UnsetType = UNSET
    """The least and the greatest number that the model takes here; absent where it takes any."""
    lowercase: bool | UnsetType = UNSET
    """Whether a text is put in lower case, by Unicode's full mapping, before the graph gets it."""
    missing_text: str | UnsetType = UNSET
    """The text that stands for a missing one; absent where that is the empty text."""


class FeatureLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Which numbers a feature of a matrix takes."""

    numbers: list[float] | UnsetType = UNSET
    """As in `Column`."""
    range: tuple[float, float] | UnsetType = UNSET
    """As in `Column`."""


class Interface(Struct, frozen=True, forbid_unknown_fields=True):
    """What the model takes and gives."""

    inputs: list[Port]
    outputs: list[Port]
    features: list[str]
    labels: list[Label]
    """In the order of the columns of `probabilities`."""
    label_names: list[str]
    image: Image | None
    columns: list[ColumnSpec] | UnsetType = UNSET
    """Of a table, in the order of `features`."""
    limits: list[FeatureLimits] | UnsetType = UNSET
    """Of a matrix, in the order of `features`; absent where each takes every finite number."""

    def target(self) -> str:
        """Return what is predicted, as a sentence says it."""
        return f"{len(self.labels)} classes" if self.labels else "A number to predict"


class EdgeCaseCounts(Struct, frozen=True, forbid_unknown_fields=True):
    """The rows beside the held-out ones that were made to compare the form with the estimator."""

    version: int
    """Of the rules by which they are made."""
    seed: int
    rows: dict[str, Count]
    """How many were made, by kind."""
    refused: dict[str, Count]
    """How many of them the interface refuses, by kind; on all others the two agree."""

    def summary(self) -> str:
        """Return how many rows there are, as a sentence says it."""
        refused = sum(self.refused.values())
        rest = f", and {refused} more are refused by the interface" if refused else ""
        return f"on {sum(self.rows.values()) - refused} edge cases{rest}"


class Parity(Struct, frozen=True, forbid_unknown_fields=True):
    """How near the open form was proven to lie to the estimator, on the held-out rows."""

    form: FormName
    rows: Count
    labels_equal: bool
    bound: float
    """The greatest difference of a probability; 0 for a model that gives none."""
    edge_cases: EdgeCaseCounts | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    """Why no better form was sealed."""

    def claim(self, labels: bool) -> str:
        """Return what was proven, of labels or else of numbers, as a sentence says it."""
        rows = f"on {self.rows} held-out rows"
        if not isinstance(self.edge_cases, UnsetType):
            rows += f" and {self.edge_cases.summary()}"
        if not labels:
            of = "of their spread"
            return f"{self.form} gave the estimator's numbers {rows} within {self.bound:g} {of}"
        bound = f", probabilities within {self.bound:g}" if self.bound else ""
        return f"{self.form} gave the estimator's labels {rows}{bound}"


class RowCounts(Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows are on either side of the split."""

    train: Count
    test: Count


class SplitSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """The rows on either side, and the digest of their indices (training, then held-out)."""

    rows: RowCounts
    indices_digest: Sha256

    def said(self) -> str:
        """Return how many rows there are, as a sentence says it."""
        if not self.rows.train:
            return f"fitted elsewhere, {self.rows.test} rows to measure it"
        return f"{self.rows.train} rows to learn from, {self.rows.test} held out"


class Slice(Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics of some of the held-out rows."""

    rows: Count
    metrics: dict[str, float]


class Spread(Struct, frozen=True, forbid_unknown_fields=True):
    """A metric over the folds of a cross-validation."""

    mean: float
    std: float
    folds: list[float]


class Metrics(Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics by the rows that they were measured on."""

    test: dict[str, float]
    train: dict[str, float] | UnsetType = UNSET
    """Absent of a model that was trained elsewhere."""
    slices: dict[str, Slice] | UnsetType = UNSET
    cv: dict[str, Spread] | UnsetType = UNSET
    """On the training rows."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """All of `manifest.json`."""

    manifest_version: int
    recipe: Recipe
    recipe_digest: Sha256
    split: SplitSummary
    metrics: Metrics
    interface: Interface
    parity: Parity
    files: list[File]

    def digest_of(self, name: str) -> Digest:
        """Return the digest of the file `name`, which the manifest lists."""
        [found] = [file.sha256 for file in self.files if file.path == name]
        return found


def encode(manifest: Manifest) -> bytes:
    """Return the canonical bytes of `manifest`, whose digest names the artifact."""
    return canonical.encode(msgspec.to_builtins(manifest))


def digest(manifest: Manifest) -> Digest:
    """Return the artifact's digest."""
    return canonical.digest(encode(manifest))


def decode(data: bytes, where: str) -> Manifest:
    """Return the manifest that `data` is, where it is one by every rule; `where` names it.

    Raises:
        VerificationError: for bytes that are not canonical JSON, a version that this reader does
            not know, a field that is missing, unknown or of another type, a recipe that is not
            what its digest says, an interface whose parts contradict each other or the recipe,
            and a file named twice or out of place.
    """
    try:
        value = canonical.decode(data)
        if canonical.encode(value) != data:
            raise canonical.NotCanonical("keys out of order, spaces, or long digits")
    except canonical.NotCanonical as error:
        raise VerificationError(f"is not canonical JSON: {error}", where=where) from error
    version = value.get("manifest_version") if isinstance(value, dict) else None
    if version != MANIFEST_VERSION or type(version) is not int:
        raise VerificationError(
            f"has the version {str(version)[:20]}, this reader knows {MANIFEST_VERSION}; "
            "use the release that wrote it",
            where=where,
        )
    try:
        manifest = msgspec.convert(value, Manifest)
    except msgspec.ValidationError as error:
        raise VerificationError(f"is not a manifest: {error}", where=where) from error
    if recipes.digest(manifest.recipe) != manifest.recipe_digest:
        raise VerificationError("its recipe is not what recipe_digest says", where=where)
    target = manifest.recipe.data.schema.target
    for rows in (manifest.metrics.train, manifest.metrics.test):
        if isinstance(rows, UnsetType):
            continue
        if missing := [name for name in required_metrics(target) if name not in rows]:
            raise VerificationError(f"its metrics lack {missing[0]}", where=where)
    if (target == "class") != bool(manifest.interface.labels):
        raise VerificationError(f"its labels do not go with a target of a {target}", where=where)
    if wrong := _wrong_interface(manifest.interface, manifest.recipe.data.schema):
        raise VerificationError(f"its interface is not one of a model: {wrong}", where=where)
    names = [file.path for file in manifest.files]
    for name in (MANIFEST, SIGNATURE):
        if name in names:
            raise VerificationError(f"lists {name}, which it cannot vouch for", where=where)
    if len({name.casefold() for name in names}) < len(names):
        raise VerificationError("lists a file twice", where=where)
    if (total := sum(file.bytes for file in manifest.files)) > MAX_TOTAL:
        raise VerificationError(
            f"lists {total} bytes, and files may have {MAX_TOTAL} together", where=where
        )
    for file in manifest.files:
        if file.path == EVALUATION and file.bytes > MAX_EVALUATION:
            raise VerificationError(
                f"lists {file.bytes} bytes of {EVALUATION}, which may have {MAX_EVALUATION}",
                where=where,
            )
    model = MODEL_FILES[manifest.parity.form]
    always = [EVALUATION, model, MODEL_PICKLE, CARD]
    if missing := [name for name in always if name not in names]:
        raise VerificationError(f"does not list {missing[0]}", where=where)
    if other := [name for name in MODEL_FILES.values() if name in names and name != model]:
        raise VerificationError(f"lists {other[0]}, and its form is {model}", where=where)
    return manifest


def _wrong_interface(interface: Interface, schema: Schema) -> str | None:
    """Return what contradicts itself or the recipe's schema in an interface, or None."""
    features, labels = interface.features, interface.labels
    columns = None if isinstance(interface.columns, UnsetType) else interface.columns
    if not features or len(set(features)) < len(features):
        return "features are missing or named twice"
    if len(features) != schema.features:
        return f"it has {len(features)} features, the recipe {schema.features}"
    if schema.columns is not None and schema.named("feature") != features:
        return "its features are not the recipe's"
    if columns is not None and [column.name for column in columns] != features:
        return "its columns are not its features"
    for column in columns or ():
        texts = column.categories
        if texts is not None and (
            column.kind != "text"
            or (column.unseen and len(texts) > MAX_CATEGORIES)
            or len(set(texts)) < len(texts)
        ):
            return f"the categories of {column.name[:40]!a} are not those of a column of text"
    if (image := interface.image) is not None and (
        columns is not None
        or min(image.height, image.width) < 1
        or image.pixels != len(features)
        or not -math.inf < image.min < image.max < math.inf
    ):
        return "its image is not its features"
    kinds = {type(label) for label in labels}
    if len(kinds) > 1 or len(set(labels)) < len(labels):
        return "labels are of several types, or named twice"
    if any(not -(1 << 63) <= label < 1 << 63 for label in labels if isinstance(label, int)):
        return "a label is beyond 64 bits"
    names = interface.label_names
    if len(names) != len(labels) or len(set(names)) < len(names):
        return "label_names are not one for each label"
    return _wrong_ports("inputs", interface.inputs, _inputs(features, columns)) or _wrong_ports(
        "outputs", interface.outputs, _outputs(labels)
    )


class _Expected(NamedTuple):
    """What a port has to be."""

    name: str
    dtypes: tuple[str, ...]
    shape: list[int | None]


def _inputs(features: list[str], columns: list[ColumnSpec] | None) -> list[_Expected]:
    if columns is None:
        return [_Expected("X", FLOATS, [None, len(features)])]
    return [
        _Expected(f"c{index}", TEXTS if column.kind == "text" else FLOATS, [None, 1])
        for index, column in enumerate(columns)
    ]


def _outputs(labels: list[Label]) -> list[_Expected]:
    """Return the outputs that a model must have, and then the one that it may have."""
    if not labels:
        return [_Expected("prediction", FLOATS, [None, 1])]
    dtype = "int64" if isinstance(labels[0], int) else "string"
    return [
        _Expected("label", (dtype,), [None]),
        _Expected("probabilities", FLOATS, [None, len(labels)]),
    ]


def _wrong_ports(what: str, ports: list[Port], expected: list[_Expected]) -> str | None:
    least = len(expected) - (expected[-1].name == "probabilities")
    if not least <= len(ports) <= len(expected):
        return f"it has {len(ports)} {what}"
    for port, right in zip(ports, expected, strict=False):
        if (port.name, port.shape) != (right.name, right.shape) or port.dtype not in right.dtypes:
            return (
                f"found {port.name[:20]!a}, {port.dtype[:20]!a}, {str(port.shape)[:40]} among its "
                f"{what}, expected {right.name!a}, {' or '.join(right.dtypes)}, {right.shape}"
            )
    return None
