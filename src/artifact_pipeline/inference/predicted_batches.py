"""Predictions for files of rows, one batch after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, structs

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.table_csv import UnpairedQuote
from artifact_pipeline.builder.data.wrong_rows import WrongRows
from artifact_pipeline.builder.progress import ReportProgress, ignore
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import prediction_files, row_files, row_layout
from artifact_pipeline.inference.file_progress import FileMeter
from artifact_pipeline.inference.prediction_files import KeptColumn, OutputFormat
from artifact_pipeline.inference.predictor import Predictor
from artifact_pipeline.inference.row_layout import CheckedRows, Layout, Piece, RowFile
from artifact_pipeline.inference.row_paths import RowPath
from artifact_pipeline.inference.tally import MAX_SHOWN, OnError, Options, Tally
from artifact_pipeline.inference.text_rows import TextRows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


class Position(Struct, frozen=True, kw_only=True):
    """A position between two batches.

    Attributes:
        file: The number of files before the current one.
        pieces: The number of pieces before it in this file.
        file_rows: The number of rows before it in this file.
        rows: The number of rows before it in all files.
    """

    file: int = 0
    pieces: int = 0
    file_rows: int = 0
    rows: int = 0


class PredictedBatch(NamedTuple):
    """A batch of predictions.

    Attributes:
        table: The columns of the output.
        rows: The batch, as rows of the output; none when a file is opened.
        tally: The counts over the batch.
        after: The position after it.
    """

    table: prediction_files.PredictionTable
    rows: pa.Table
    tally: Tally
    after: Position


def predict_batches(
    predictor: Predictor,
    files: Sequence[RowPath],
    *,
    output_format: OutputFormat | None,
    options: Options,
    begin: Position = Position(),  # noqa: B008  (frozen)
    report: ReportProgress = ignore,
) -> Iterator[PredictedBatch]:
    """Yield the predictions for files in batches, with an empty one as each file is opened.

    Args:
        predictor: The model.
        files: The files of rows, as one table.
        output_format: The format of the predictions; that of the rows by default.
        options: The options of the prediction.
        begin: The position to start at.
        report: Called after each batch.

    Raises:
        DataError, CallError: As `infer_files`.
    """
    layout = Layout.of(predictor.manifest, options.keep)
    table: prediction_files.PredictionTable | None = None
    position = begin
    meter = FileMeter(files, report, skipped_files=begin.file, skipped_rows=begin.rows)
    for index, path in enumerate(files):
        if index < begin.file:
            continue
        version = path.version()
        with path.open() as stream, row_files.opened(stream, path.name, layout=layout) as file:
            if file.rows == 0 and not file.columns:  # its columns are unknown
                position = Position(file=index + 1, rows=position.rows)
                continue
            own = _table_of(predictor, file, layout=layout, output_format=output_format)
            if table is not None and own.schema != table.schema:
                raise DataError(
                    _difference(own, table),
                    location=Location(path.name),
                    remedy="name a folder with --output, for a file for each of them",
                )
            table = table or own
            yield PredictedBatch(
                table=table, rows=table.schema.empty_table(), tally=Tally(), after=position
            )
            for number, piece in enumerate(file.pieces):
                if number < position.pieces:
                    meter.skip(index, stream)
                    if number + 1 == position.pieces:  # the time until now is not that of a batch
                        meter.batch(index, stream, rows=position.rows, known=file.rows)
                    continue
                step = _step(predictor, piece, table=table, position=position, options=options)
                position = step.after
                yield step
                meter.batch(index, stream, rows=position.rows, known=file.rows)
        if path.version() != version:
            problem = "changed while its rows were read"
            raise DataError(problem, location=Location(path.name), remedy="predict it again")
        position = Position(file=index + 1, rows=position.rows)


def _difference(
    table: prediction_files.PredictionTable, first: prediction_files.PredictionTable
) -> str:
    """Return how the columns of a file's predictions differ from those of the files before it."""
    if table.id != first.id:
        named = table if first.id == "row" else first
        has = "has" if named is table else "lacks"
        return f"{has} the id column {show(named.id)}, unlike the files before it"
    column = next(
        mine for mine, other in zip(table.schema, first.schema, strict=True) if mine != other
    )
    before = first.schema.field(column.name).type
    return f"the column {show(column.name)} is {column.type}, and {before} in the files before it"


def _table_of(
    predictor: Predictor,
    file: RowFile,
    *,
    layout: Layout,
    output_format: OutputFormat | None,
) -> prediction_files.PredictionTable:
    kept = [
        KeptColumn(name, dtype, file.kept_as_json)
        for name, dtype in zip(layout.keep, file.kept, strict=True)
    ]
    return prediction_files.PredictionTable.of(
        predictor.interface,
        layout.id if file.has_id else None,
        kept=kept,
        output_format=output_format or file.output_format,
    )


def _step(
    predictor: Predictor,
    piece: Piece,
    *,
    table: prediction_files.PredictionTable,
    position: Position,
    options: Options,
) -> PredictedBatch:
    """Return the predictions for a piece of a file."""
    import pyarrow as pa

    read = _read(piece, position.file_rows, on_error=options.on_error)
    rows = read.rows
    if rows is None:
        predicted = table.schema.empty_table()
        tally = Tally()
    else:
        ids: Any = rows.ids
        if ids is None:
            ids = pa.array(read.numbers + (position.rows + 1))
        predicted = table.rows(ids, rows.kept, outputs=predictor.run(rows.batch))
        tally = Tally(
            rows=len(read.numbers),
            extra=rows.extra,
            unseen=rows.unseen,
            outside=_outside(rows, predictor),
        )
    tally += Tally(skipped=read.total - len(read.numbers), first_skipped=read.first_skipped)
    after = Position(
        file=position.file,
        pieces=position.pieces + 1,
        file_rows=position.file_rows + read.total,
        rows=position.rows + read.total,
    )
    return PredictedBatch(table=table, rows=predicted, tally=tally, after=after)


class _PieceRows(NamedTuple):
    """The rows of a piece that a model takes.

    Attributes:
        rows: The rows; None if all were skipped.
        numbers: (n_rows,) their numbers in the piece, counted from 0.
        total: The number of all rows in it.
        first_skipped: The errors of the first rows that were skipped.
    """

    rows: CheckedRows | None
    numbers: NDArray[np.int64]
    total: int
    first_skipped: list[str]


def _read(piece: Piece, first_row: int, *, on_error: OnError) -> _PieceRows:
    """Read a piece of a file, without the rows to skip.

    Args:
        piece: The piece.
        first_row: The number of rows before it in the file.
        on_error: Whether to skip rows.

    Raises:
        DataError: If it has rows to refuse.
    """
    import numpy as np

    try:
        rows = piece.read()
    except UnpairedQuote:  # the number of rows that it hides is not known
        raise
    except DataError as error:
        if on_error == "fail":
            raise _located(error, piece, first_row=first_row) from error
    else:
        count = len(rows.batch[0]) if isinstance(rows.batch, list) else len(rows.batch)
        return _PieceRows(rows=rows, numbers=np.arange(count), total=count, first_skipped=[])
    numbers = np.arange(len(piece))
    parts = _good_parts(piece, numbers)
    good = np.concatenate([part.numbers for part in parts]) if parts else numbers[:0]
    wrong = np.setdiff1d(numbers, good)[:MAX_SHOWN].tolist()
    errors = [_error_of(piece, row, first_row=first_row) for row in wrong]
    return _PieceRows(
        rows=row_layout.joined([part.rows for part in parts]) if parts else None,
        numbers=good,
        total=len(piece),
        first_skipped=[str(error) for error in errors if error is not None],
    )


class _GoodRows(NamedTuple):
    """Rows of a piece that a model takes, and their numbers in it."""

    rows: CheckedRows
    numbers: NDArray[np.int64]


def _good_parts(piece: Piece, numbers: NDArray[np.int64]) -> list[_GoodRows]:
    """Return those of some rows that a model takes, in one or several parts."""
    import numpy as np

    if not len(numbers):
        return []
    try:
        return [_GoodRows(piece.take(numbers).read(), numbers)]
    except UnpairedQuote:
        raise
    except DataError as error:
        if isinstance(error, WrongRows) and error.rows is not None and len(error.rows):
            return _good_parts(piece, np.delete(numbers, error.rows))
        # A column of another type is wrong in all rows, unless each row of text has its own.
        if len(numbers) == 1 or not (_has_place(error) or isinstance(piece, TextRows)):
            return []
    half = len(numbers) // 2
    return [*_good_parts(piece, numbers[:half]), *_good_parts(piece, numbers[half:])]


def _has_place(error: DataError) -> bool:
    location = error.location
    return location is not None and (location.row is not None or location.line is not None)


def _located(error: DataError, piece: Piece, *, first_row: int) -> DataError:
    """Return an error about a piece with the number of the row in the file, if it is of a row."""
    import numpy as np

    if not _has_place(error) and isinstance(piece, TextRows):
        numbers = np.arange(len(piece))
        while len(numbers) > 1:  # each row of text has its own type, so that one of them is wrong
            half = len(numbers) // 2
            try:
                piece.take(numbers[:half]).read()
                numbers = numbers[half:]
            except DataError:
                numbers = numbers[:half]
        return _error_of(piece, int(numbers[0]), first_row=first_row) or error
    location = error.location
    if location is not None and location.row is not None:
        location = structs.replace(location, row=location.row + first_row)
    return DataError(error.problem, location=location, remedy=error.remedy)


def _error_of(piece: Piece, row: int, *, first_row: int) -> DataError | None:
    """Return the error about a row of a piece, with the number of the row in the file."""
    import numpy as np

    try:
        piece.take(np.array([row])).read()
    except DataError as error:
        location = error.location
        if location is not None and location.line is None:
            location = structs.replace(location, row=first_row + row + 1)
        return DataError(error.problem, location=location, remedy=error.remedy)
    return None


def _outside(rows: CheckedRows, predictor: Predictor) -> dict[str, int]:
    """Return the number of rows with a number outside the range of the training rows, by column."""
    import numpy as np

    interface = predictor.interface
    columns = rows.batch if isinstance(rows.batch, list) else list(rows.batch.T)
    counts = {}
    for name, values, known in zip(
        interface.features, columns, interface.training or (), strict=False
    ):
        if known.range is not None:
            low, high = known.range
            if count := int(np.count_nonzero((values < low) | (values > high))):
                counts[name] = count
    return counts
