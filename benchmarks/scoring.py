"""`python -m benchmarks.scoring [ROWS …]`: predictions for large files beside a bare loop.

The bare loop reads the same file with Arrow, converts its columns, runs the graph with onnxruntime
on batches of the same size, and writes the same columns. Both run in their own processes, in turns.
Time is processor time, and memory is the peak of the process tree. Linux only.

    --rounds N     medians of N rounds [default: 3]
    --format NAME  only csv or only parquet
    --dask         one Dask worker and two, for a folder of parts with these rows in all
    --record       keep the figures in benchmarks/scoring.json
    --picture      draw docs/scale.svg from them
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import scoring_dask, scoring_picture
from benchmarks.scoring_figures import Figures, FileFigures
from benchmarks.speed import PIPELINE, ROOT
from benchmarks.tables import CONFIG, Usage, make_chunks, make_table, run_measured

TRAINING_ROWS = 20_000
_BARE = """
import itertools, json, sys
import numpy as np, onnxruntime as ort
import pyarrow as pa, pyarrow.compute, pyarrow.csv, pyarrow.parquet as pq
artifact, rows, output, size = sys.argv[1:]
columns = json.load(open(artifact + "/manifest.json"))["interface"]["columns"]
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(artifact + "/model.onnx", options)
names = [port.name for port in session.get_inputs()]
if rows.endswith(".csv"):
    read = pa.csv.ReadOptions(use_threads=False, block_size=4 << 20)
    known = {"number": pa.float64(), "text": pa.string(), "date": pa.date32()}
    types = pa.csv.ConvertOptions(
        column_types={column["name"]: known[column["kind"]] for column in columns})
    batches = pa.csv.open_csv(rows, read_options=read, convert_options=types)
else:
    batches = pq.ParquetFile(rows, pre_buffer=False).iter_batches(int(size), use_threads=False)

def sized(batches, size):
    waiting = []
    for batch in batches:
        waiting.append(batch)
        table = pa.Table.from_batches(waiting)
        while len(table) >= size:
            yield table.slice(0, size).combine_chunks()
            table = table.slice(size)
        waiting = table.to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()

sink, writer, row = open(output, "wb"), None, 0
for table in sized(batches, int(size)):
    feed = {}
    for index, column in enumerate(columns):
        values = table[column["name"]]
        if column["kind"] == "date":
            values = values.cast(pa.int32()).cast(pa.float64())
        elif column["kind"] == "number":
            values = values.cast(pa.float64())
        elif values.null_count:
            values = pa.compute.fill_null(values, "")
        if f"c{index}" in names:
            feed[f"c{index}"] = values.to_numpy().reshape(-1, 1)
    label, probabilities = session.run(["label", "probabilities"], feed)
    ids = np.arange(row + 1, row + 1 + len(table))
    row += len(table)
    scored = pa.table({"row": ids, "label": label.ravel(), "probability_no": probabilities[:, 0],
                       "probability_yes": probabilities[:, 1]})
    if writer is None:
        kind = pa.csv.CSVWriter if output.endswith(".csv") else pq.ParquetWriter
        writer = kind(sink, scored.schema)
    writer.write_table(scored)
writer.close()
"""


def measure(
    folder: Path, artifact: Path, *, extension: str, batch: int, rounds: int
) -> tuple[Usage, Usage]:
    """Return the medians of our command and of the bare loop for `table` + `extension`."""
    rows, ours, bare = f"table{extension}", f"ours{extension}", f"bare{extension}"
    commands = (
        [*PIPELINE, "infer", str(artifact), rows, "--output", ours],
        [sys.executable, "bare.py", str(artifact), rows, bare, str(batch)],
    )
    usages = []
    for _ in range(rounds):
        usages.append([run_measured(command, folder, quiet=True) for command in commands])
        for name in (ours, bare):
            (folder / name).unlink()
    command, loop = (
        Usage(*map(statistics.median, zip(*each, strict=True)))
        for each in zip(*usages, strict=True)
    )
    return command, loop


def make_artifact(folder: Path) -> Path:
    """Train the model on a small table, and return the folder of its artifact."""
    (folder / "train").mkdir()
    make_table(folder / "train", TRAINING_ROWS)
    (folder / "train" / "config.json").write_text(json.dumps(CONFIG))
    run = [*PIPELINE, "train", "config.json", "--json"]
    env = {"PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(folder), "PATH": ""}
    done = subprocess.run(run, cwd=folder / "train", env=env, capture_output=True, check=True)
    artifact: str = json.loads(done.stdout)["artifact"]
    return folder / "train" / artifact


def _make_rows(folder: Path, rows: int, *, formats: list[str]) -> None:
    if "csv" in formats:
        make_table(folder, rows)
        return
    chunks = make_chunks(rows)
    first = next(chunks)
    with pq.ParquetWriter(folder / "table.parquet", first.schema) as file:
        file.write_table(first)
        for chunk in chunks:
            file.write_table(chunk)


def measure_files(
    folder: Path, artifact: Path, *, sizes: list[int], formats: list[str], rounds: int
) -> list[FileFigures]:
    """Print and return the figures of tables of these sizes in these formats."""
    from artifact_pipeline.inference.row_layout import batch_rows

    (folder / "bare.py").write_text(_BARE)
    print(f"{'rows':>12}  {'format':<9}{'CPU':>9}{'bare':>9}{'speed':>8}{'peak':>10}{'bare':>10}")
    figures = []
    for rows in sizes:
        _make_rows(folder, rows, formats=formats)
        for name in formats:
            ours, bare = measure(
                folder, artifact, extension=f".{name}", batch=batch_rows(18), rounds=rounds
            )
            print(
                f"{rows:>12,}  {name:<9}{ours.cpu:>7.2f} s{bare.cpu:>7.2f} s"
                f"{bare.cpu / ours.cpu:>8.2f}{ours.peak:>6.0f} MiB{bare.peak:>6.0f} MiB",
                flush=True,
            )
            figures.append(
                FileFigures(rows=rows, format=name, rounds=rounds, command=ours, loop=bare)
            )
    return figures


def main() -> None:
    """Measure, record or draw, according to the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring")
    parser.add_argument("rows", type=float, nargs="*", default=[1e5, 1e6])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--format", choices=["csv", "parquet"], action="append")
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--picture", action="store_true")
    options = parser.parse_args()
    if options.picture:
        scoring_picture.draw(Figures.read())
        return
    sys.path.insert(0, str(ROOT / "src"))
    sizes, figures = [int(rows) for rows in options.rows], Figures.read()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifact = make_artifact(folder)
        if options.dask:
            for rows in sizes:
                dask = scoring_dask.measure(folder, artifact, rows=rows, rounds=options.rounds)
                print(scoring_dask.report(dask), flush=True)
                figures = figures.with_dask(dask)
        else:
            formats = options.format or ["csv", "parquet"]
            files = measure_files(
                folder, artifact, sizes=sizes, formats=formats, rounds=options.rounds
            )
            figures = figures.with_files(files)
    if options.record:
        figures.write()


if __name__ == "__main__":
    main()
