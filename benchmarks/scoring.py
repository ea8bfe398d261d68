"""`python -m benchmarks.scoring [ROWS …]`: predictions for large files beside a bare loop.

The bare loop reads the same file with Arrow, converts its columns, runs the graph with onnxruntime
on batches of the same size, and writes the same columns. Both are processes of their own, in turns.
Time is processor time, memory the peak of the process tree. Linux only.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.speed import PIPELINE, ROOT
from benchmarks.tables import CONFIG, Usage, make_table, run_measured

ROUNDS = 3
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


def measure(folder: Path, artifact: Path, *, extension: str, batch: int) -> tuple[Usage, Usage]:
    """Return the medians of our command and of the bare loop for `table` + `extension`."""
    rows, ours, bare = f"table{extension}", f"ours{extension}", f"bare{extension}"
    commands = (
        [*PIPELINE, "infer", str(artifact), rows, "--output", ours],
        [sys.executable, "bare.py", str(artifact), rows, bare, str(batch)],
    )
    rounds = [
        [run_measured(command, folder, quiet=True) for command in commands] for _ in range(ROUNDS)
    ]
    command, loop = (
        Usage(*map(statistics.median, zip(*usages, strict=True)))
        for usages in zip(*rounds, strict=True)
    )
    return command, loop


def main(sizes: list[int]) -> None:
    sys.path.insert(0, str(ROOT / "src"))
    from artifact_pipeline.inference.row_batches import batch_rows

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train").mkdir()
        make_table(folder / "train", TRAINING_ROWS)
        (folder / "train" / "config.json").write_text(json.dumps(CONFIG))
        run = [*PIPELINE, "train", "config.json", "--json"]
        env = {"PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(folder), "PATH": ""}
        done = subprocess.run(run, cwd=folder / "train", env=env, capture_output=True, check=True)
        artifact = folder / "train" / json.loads(done.stdout)["artifact"]
        (folder / "bare.py").write_text(_BARE)
        print(
            f"{'rows':>12}  {'format':<9}{'CPU':>9}{'bare':>9}{'speed':>8}{'peak':>10}{'bare':>10}"
        )
        for rows in sizes:
            make_table(folder, rows)
            for extension in (".csv", ".parquet"):
                ours, bare = measure(folder, artifact, extension=extension, batch=batch_rows(18))
                print(
                    f"{rows:>12,}  {extension:<9}{ours.cpu:>7.2f} s{bare.cpu:>7.2f} s"
                    f"{bare.cpu / ours.cpu:>8.2f}{ours.peak:>6.0f} MiB{bare.peak:>6.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main([int(float(word)) for word in sys.argv[1:]] or [100_000, 1_000_000])
