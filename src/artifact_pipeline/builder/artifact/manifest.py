"""The manifest: an artifact's metadata, and the digest of every other file in it.

Its bytes are canonical JSON, so that an artifact has one digest. `docs/artifact-format.md`
describes every field.

>>> decode(b'{"manifest_version":2}', "m")
Traceback (most recent call last):
    ...
artifact_pipeline.errors.VerificationError: m: has the version 2, this reader supports 1; ...
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder import recipe as recipes
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.data.dataset import Image, Schema
from artifact_pipeline.builder.metric_table import required_metrics
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import Location, VerificationError

MANIFEST = "manifest.json"
EVALUATION = "evaluation.json"
MODEL_ONNX = "model.onnx"
MODEL_SKOPS = "model.skops"
MODEL_PICKLE = "model_train.pkl"
CARD = "README.md"
SIGNATURE = "model.sig"
"""A signature of the manifest; it is the only file that the manifest does not list."""

MANIFEST_VERSION = 1
MAX_MANIFEST = 16 << 20
MAX_SIGNATURE = 1 << 20
MAX_FILE = 2 << 30
"""Bytes; the limit of protobuf, and so of ONNX."""
MAX_EVALUATION = 64 << 20
MAX_TOTAL = 4 << 30
"""Bytes of all listed files, which are hashed for each verification."""

MEDIA_TYPES = {
    EVALUATION: "application/json",
    MODEL_ONNX: "application/vnd.onnx",
    MODEL_SKOPS: "application/zip",
    MODEL_PICKLE: "application/vnd.python.pickle",
    CARD: "text/markdown",
}

FLOATS = ("float64", "float32")
TEXTS = ("string",)
"""The dtypes of inputs of numbers and of text."""

MAX_CATEGORIES = 100
"""Maximum texts of a column that an interface lists."""

FormName: TypeAlias = Literal["onnx-float64", "onnx-float32", "skops"]
MODEL_FILES: dict[FormName, str] = {
    "onnx-float64": MODEL_ONNX,
    "onnx-float32": MODEL_ONNX,
    "skops": MODEL_SKOPS,
}
"""The file of each form; an artifact has one form."""

Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
# A plain name, which cannot express a folder, `..`, a drive, a device or a Unicode lookalike.
Name: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Label: TypeAlias = "bool | int | str"


class File(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of the artifact."""

    path: Name
    sha256: Sha256
    bytes: Annotated[int, Meta(ge=0, le=MAX_FILE)]
    media_type: str


class Port(Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output of the open form; in its shape None stands for the number of rows."""

    name: str
    dtype: str
    shape: list[int | None]


class ColumnSpec(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A feature of a table, the input at the same position (`c0`, `c1`, …)."""

    name: str
    kind: Kind
    nullable: bool
    """Whether a number may be missing; a missing text is an empty one."""
    unseen: bool
    """Whether the model accepts texts that are not in its training rows."""
    categories: list[str] | None
    """The texts in its training rows, if there are at most `MAX_CATEGORIES` or no others are
    accepted."""
    format: ColumnFormat | None = None
    """The format of its numbers or dates in text, if it is not the usual one."""
    numbers: list[float] | None = None
    """The only accepted numbers, sorted; None if others are accepted."""
    range: tuple[float, float] | None = None
    """The smallest and the largest accepted number; None without a limit."""
    lowercase: bool = False
    """Whether text is converted to lower case, by Unicode's full mapping, before the graph."""
    missing_text: str | None = None
    """The text that replaces a missing one; None for the empty text."""


class FeatureLimits(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The numbers that a feature of a matrix accepts."""

    numbers: list[float] | None = None
    """As in `ColumnSpec`."""
    range: tuple[float, float] | None = None
    """As in `ColumnSpec`."""


class TrainingValues(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The values of a feature in the training rows."""

    typical: float | str | None = None
    """The lower median of numbers and dates, or the most frequent boolean or text; None if there is
    none, or if so few rows have the text that it could identify one of them."""
    range: tuple[float, float] | None = None
    """The smallest and the largest number or date."""
    missing: bool = False
    """Whether a value is missing."""


class Interface(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The inputs and outputs of the model."""

    inputs: list[Port]
    outputs: list[Port]
    features: list[str]
    labels: list[Label]
    """In the order of the columns of `probabilities`."""
    label_names: list[str]
    image: Image | None
    columns: list[ColumnSpec] | None = None
    """For a table, in the order of `features`."""
    limits: list[FeatureLimits] | None = None
    """For a matrix, in the order of `features`; None if each accepts every finite number."""
    training: list[TrainingValues] | None = None
    """In the order of `features`; None if the training rows are not known."""

    def target(self) -> str:
        """Return a short description of what is predicted."""
        return f"{len(self.labels)} classes" if self.labels else "Regression"

    def width(self) -> str:
        """Return the number of features in words."""
        return "1 feature" if len(self.features) == 1 else f"{len(self.features):,} features"

    def __repr__(self) -> str:
        return f"Interface({self.width()} → {self.target()})"


class EdgeCaseCounts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of rows that were generated to compare the form with the estimator."""

    version: int
    """The version of the rules that generate them."""
    seed: int
    rows: dict[str, Count]
    """How many were generated, by kind."""
    refused: dict[str, Count]
    """How many of them the interface refuses, by kind; the outputs for all others agree."""

    @property
    def accepted_count(self) -> int:
        """How many of them the interface accepts."""
        return sum(self.rows.values()) - self.refused_count

    @property
    def refused_count(self) -> int:
        """How many of them the interface refuses."""
        return sum(self.refused.values())


class Parity(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The proof that the open form gives the estimator's outputs."""

    form: FormName
    rows: Count
    """Held-out rows."""
    labels_equal: bool
    bound: float
    """Maximum difference of a probability (0 if there are none), or of a number as a share of the
    spread of all numbers."""
    edge_cases: EdgeCaseCounts | None = None
    reason: str | None = None
    """A sentence on why no better form was sealed."""

    def claim(self, labels: bool) -> str:
        """Return what was proven, without a full stop.

        Args:
            labels: Whether the model predicts labels, instead of numbers.
        """
        rows, refused = f"{self.rows} held-out rows", ""
        if self.edge_cases is not None:
            rows += f" and {self.edge_cases.accepted_count} edge cases"
            if count := self.edge_cases.refused_count:
                refused = f"; the interface refuses {count} other edge cases"
        if not labels:
            outputs, bound = "numbers", f", within {self.bound:g} of their spread"
        else:
            outputs = "labels"
            bound = f", with probabilities within {self.bound:g}" if self.bound else ""
        return f"{self.form} gives the estimator's {outputs} on {rows}{bound}{refused}"


class RowCounts(Struct, frozen=True, forbid_unknown_fields=True):
    """The number of training and held-out rows."""

    train: Count
    test: Count


class SplitSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """The number of training and held-out rows, and the digest of their indices in that order."""

    rows: RowCounts
    indices_digest: Sha256

    def summary(self) -> str:
        """Return the number of rows in words."""
        if not self.rows.train:
            return f"fitted elsewhere, measured on {self.rows.test} rows"
        return f"{self.rows.train} training rows, {self.rows.test} held-out rows"


class Slice(Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics on some of the held-out rows."""

    rows: Count
    metrics: dict[str, float]


class Spread(Struct, frozen=True, forbid_unknown_fields=True):
    """A metric on the folds of a cross-validation."""

    mean: float
    std: float
    folds: list[float]


class Metrics(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Metrics by the rows that they are measured on."""

    test: dict[str, float]
    train: dict[str, float] | None = None
    """None for a model that was fitted elsewhere."""
    train_rows: Count | None = None
    """The number of training rows in the sample that `train` is measured on; None for all."""
    slices: dict[str, Slice] | None = None
    cv: dict[str, Spread] | None = None
    """On folds of the training rows."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `manifest.json`."""

    manifest_version: int
    recipe: Recipe
    recipe_digest: Sha256
    split: SplitSummary
    metrics: Metrics
    interface: Interface
    parity: Parity
    files: list[File]

    def __repr__(self) -> str:
        return f"Manifest({describe.headline(self.recipe)}, {self.interface!r})"

    def digest_of(self, name: str) -> Digest:
        """Return the digest of a listed file."""
        [digest] = [file.sha256 for file in self.files if file.path == name]
        return digest


def encode(manifest: Manifest) -> bytes:
    """Return the canonical bytes of a manifest, whose digest names the artifact."""
    return canonical.encode(msgspec.to_builtins(manifest))


def digest(manifest: Manifest) -> Digest:
    """Return the artifact's digest."""
    return canonical.digest(encode(manifest))


def decode(data: bytes, name: str) -> Manifest:
    """Decode a manifest and check it by all rules of the format.

    Args:
        data: The bytes of `manifest.json`.
        name: Its name in errors.

    Raises:
        VerificationError: If the bytes are not canonical JSON, the version is unknown, a field is
            missing, unknown or of another type, the recipe does not match its digest, the
            interface contradicts itself or the recipe, or a file is listed twice or not allowed.
    """
    location = Location(name)
    try:
        value = canonical.decode(data)
        if canonical.encode(value) != data:
            raise canonical.NotCanonical("unsorted keys, spaces, or redundant digits")
    except canonical.NotCanonical as error:
        raise VerificationError(f"is not canonical JSON: {error}", location=location) from error
    version = value.get("manifest_version") if isinstance(value, dict) else None
    if version != MANIFEST_VERSION or type(version) is not int:
        raise VerificationError(
            f"has the version {str(version)[:20]}, this reader supports {MANIFEST_VERSION}",
            location=location,
            remedy="use the release that wrote it",
        )
    try:
        manifest = canonical.convert(value, Manifest)
    except msgspec.ValidationError as error:
        raise VerificationError(f"is not a manifest: {error}", location=location) from error
    if recipes.digest(manifest.recipe) != manifest.recipe_digest:
        raise VerificationError("its recipe does not match recipe_digest", location=location)
    target = manifest.recipe.data.schema.target
    for rows in (manifest.metrics.train, manifest.metrics.test):
        if rows is None:
            continue
        if missing := [name for name in required_metrics(target) if name not in rows]:
            raise VerificationError(f"its metrics lack {missing[0]}", location=location)
    if (target == "class") != bool(manifest.interface.labels):
        raise VerificationError(f"its labels contradict the target, a {target}", location=location)
    if wrong := _wrong_interface(manifest.interface, manifest.recipe.data.schema):
        raise VerificationError(f"its interface is wrong: {wrong}", location=location)
    names = [file.path for file in manifest.files]
    for name in (MANIFEST, SIGNATURE):
        if name in names:
            raise VerificationError(f"lists {name}, which it must not", location=location)
    if len({name.casefold() for name in names}) < len(names):
        raise VerificationError("lists a file twice", location=location)
    if (total := sum(file.bytes for file in manifest.files)) > MAX_TOTAL:
        raise VerificationError(
            f"lists {total} bytes; all files together may have {MAX_TOTAL}", location=location
        )
    for file in manifest.files:
        if file.path == EVALUATION and file.bytes > MAX_EVALUATION:
            raise VerificationError(
                f"lists {file.bytes} bytes of {EVALUATION}, which may have {MAX_EVALUATION}",
                location=location,
            )
    model = MODEL_FILES[manifest.parity.form]
    required = [EVALUATION, model, MODEL_PICKLE, CARD]
    if missing := [name for name in required if name not in names]:
        raise VerificationError(f"does not list {missing[0]}", location=location)
    if other := [name for name in MODEL_FILES.values() if name in names and name != model]:
        raise VerificationError(f"lists {other[0]} besides {model}, its form", location=location)
    return manifest


def _wrong_interface(interface: Interface, schema: Schema) -> str | None:
    """Return how an interface contradicts itself or the recipe's schema, or None."""
    features, labels = interface.features, interface.labels
    columns = interface.columns
    if not features or len(set(features)) < len(features):
        return "features are missing or repeated"
    if len(features) != schema.features:
        return f"it has {len(features)} features, and the recipe has {schema.features}"
    if schema.columns is not None and schema.named("feature") != features:
        return "its features are not those of the recipe"
    if columns is not None and [column.name for column in columns] != features:
        return "its columns do not match its features"
    for column in columns or ():
        texts = column.categories
        if texts is not None and (
            column.kind != "text"
            or (column.unseen and len(texts) > MAX_CATEGORIES)
            or len(set(texts)) < len(texts)
        ):
            return f"the categories of {column.name[:40]!a} are not allowed"
    if interface.training is not None and (reason := _wrong_training(interface)):
        return reason
    if (image := interface.image) is not None and (
        columns is not None
        or min(image.height, image.width) < 1
        or image.pixels != len(features)
        or not -math.inf < image.min < image.max < math.inf
    ):
        return "its image does not match its features"
    kinds = {type(label) for label in labels}
    if len(kinds) > 1 or len(set(labels)) < len(labels):
        return "labels are of several types, or repeated"
    if any(not -(1 << 63) <= label < 1 << 63 for label in labels if isinstance(label, int)):
        return "a label exceeds 64 bits"
    names = interface.label_names
    if len(names) != len(labels) or len(set(names)) < len(names):
        return "label_names do not match the labels"
    inputs, outputs = _inputs(features, columns), _outputs(labels)
    return _wrong_ports("inputs", interface.inputs, expected=inputs) or _wrong_ports(
        "outputs", interface.outputs, expected=outputs
    )


def _wrong_training(interface: Interface) -> str | None:
    """Return how the training values contradict the features, or None."""
    training = interface.training or []
    if len(training) != len(interface.features):
        return f"it has training values of {len(training)} features"
    columns: Sequence[ColumnSpec | None] = interface.columns or [None] * len(training)
    for name, values, column in zip(interface.features, training, columns, strict=True):
        is_text = column is not None and column.kind == "text"
        low, high = values.range or (0.0, 0.0)
        if (
            (is_text and values.range is not None)
            or (values.typical is not None and isinstance(values.typical, str) != is_text)
            or not -math.inf < low <= high < math.inf
        ):
            return f"the training values of {name[:40]!a} are not allowed"
    return None


class _Expected(NamedTuple):
    """A required or optional port."""

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
    """Return the required outputs of a model, then the optional one."""
    if not labels:
        return [_Expected("prediction", FLOATS, [None, 1])]
    dtype = "int64" if isinstance(labels[0], int) else "string"
    return [
        _Expected("label", (dtype,), [None]),
        _Expected("probabilities", FLOATS, [None, len(labels)]),
    ]


def _wrong_ports(what: str, ports: list[Port], *, expected: list[_Expected]) -> str | None:
    required = len(expected) - (expected[-1].name == "probabilities")
    if not required <= len(ports) <= len(expected):
        return f"it has {len(ports)} {what}"
    for port, right in zip(ports, expected, strict=False):
        if (port.name, port.shape) != (right.name, right.shape) or port.dtype not in right.dtypes:
            return (
                f"found {port.name[:20]!a}, {port.dtype[:20]!a}, {str(port.shape)[:40]} among its "
                f"{what}, expected {right.name!a}, {' or '.join(right.dtypes)}, {right.shape}"
            )
    return None
