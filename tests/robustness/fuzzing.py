"""Configs and row files changed at random: each is taken, or refused in one line, by its code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.data import loader as loading
from artifact_pipeline.builder.data import split
from artifact_pipeline.builder.model import construction
from artifact_pipeline.errors import Location, PipelineError
from artifact_pipeline.inference import rows
from tests.robustness import nasty

ROOT = Path(__file__).resolve().parents[2]
BY_COMMAND = 200
"""One in so many is also given to the command line, a process of its own."""

SHORT = json.loads((ROOT / "config" / "config.json").read_text("utf-8"))
SCALED = [
    {"name": "scale", "estimator": "sklearn.preprocessing.StandardScaler", "params": {}},
    {
        "name": "model",
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "params": {"n_estimators": 5, "max_depth": 3, "n_jobs": 2},
    },
]
CONFIGS: tuple[dict[str, Any], ...] = (
    SHORT,
    {**SHORT, "gates": {"test.accuracy": {"min": 0.9}, "train.f1_weighted": {"max": 1.0}}},
    {
        "data": {"dataset": "iris"},
        "split": {"test_size": 0.3, "random_state": 1, "stratify": False},
        "model": {"estimator": "sklearn.svm.SVC", "params": {"C": 2.0, "probability": True}},
        "gates": {"test.accuracy": {"min": 0.5, "max": 1.0}},
    },
    {"data": {"dataset": "wine"}, "model": {"steps": SCALED}},
    {
        "data": {"dataset": "diabetes"},
        "model": {
            "estimator": "sklearn.ensemble.BaggingRegressor",
            "params": {"estimator": {"estimator": "sklearn.svm.SVR", "params": {"C": 2.0}}},
        },
        "gates": {"test.r2": {"min": 0.1}},
    },
)
TOKENS = tuple(b'{ } [ ] " : , null NaN 1e999 -0 \\ud800 \\u0000 // \xef\xbb\xbf \xff'.split())
TOKENS += (b"{}" * 50, b"[" * 2000, b"9" * 5000)
CELLS = tuple(b", \" ' ; nan inf 1e400 0x1p3 1_000 \0 \xff \xef\xbb\xbf =cmd()".split())
CELLS += (b"\n", b"\r", b"\t", b"9" * 400, b"," * 500)


class Figures(msgspec.Struct):
    """What came of the files."""

    tried: int = 0
    taken: int = 0
    refused: int = 0
    by_command: int = 0
    """How many of them a process was given as well."""
    tracebacks: int = 0
    wrong_codes: int = 0
    examples: list[str] = []


def configs(count: int, seed: int, folder: Path) -> Figures:
    """Return what comes of `count` configs; `folder` is for their files."""
    path, random = folder / "config.json", Random(seed)

    def take() -> None:
        full = loader.load(path)
        location = Location(str(path), key="model")
        target = construction.target_type(full.model, location)
        found = loading.load(full.data, full.split, target=target, base=folder, config=str(path))
        seed = full.split.random_state
        construction.resolve(
            full.model, seed, location=location, target=found.target, columns=found.columns()
        )
        split.split(found, full.split, location=Location(str(path), key="split"))

    figures = Figures()
    for index in range(count):
        path.write_bytes(_config(random))
        _try(figures, take, (2, 3), ("recipe", str(path)), index, folder)
    return figures


def row_files(count: int, seed: int, folder: Path, artifact: Path) -> Figures:
    """Return what comes of `count` files of rows for an artifact of 64 features."""
    random = Random(seed)
    features = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    figures = Figures()
    for index in range(count):
        form = random.choice(rows.FORMATS)
        path = folder / f"rows{form}"
        path.write_bytes(_rows(form, features, random))

        def take(path: Path = path) -> None:
            rows.parse(path.read_bytes(), features, name=str(path))

        _try(figures, take, (3,), ("infer", str(artifact), str(path)), index, folder)
    return figures


def _try(
    figures: Figures,
    take: Any,
    codes: tuple[int, ...],
    words: tuple[str, ...],
    index: int,
    folder: Path,
) -> None:
    figures.tried += 1
    code = 0
    try:
        take()
        figures.taken += 1
    except PipelineError as error:
        figures.refused += 1
        code = error.exit_code
        if code not in codes or not error.location or not error.message:
            figures.wrong_codes += 1
            figures.examples.append(f"{index}: {code} {str(error)[:100]}")
    except Exception as error:  # noqa: BLE001  (what is looked for)
        figures.tracebacks += 1
        figures.examples.append(f"{index}: {type(error).__name__}: {str(error)[:100]}")
    if index % BY_COMMAND == 0:
        figures.by_command += 1
        _command(figures, words, code, index, folder)


def _command(figures: Figures, words: tuple[str, ...], code: int, index: int, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "artifact_pipeline", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=False,
    )
    if b"Traceback" in done.stderr or done.stderr.count(b"\n") > 1:
        figures.tracebacks += 1
        figures.examples.append(f"{index}: {done.stderr.decode(errors='replace')[-200:]}")
    if done.returncode != code:
        figures.wrong_codes += 1
        figures.examples.append(f"{index}: the command gave {done.returncode}, not {code}")


def _config(random: Random) -> bytes:
    document = random.choice(CONFIGS)
    if random.random() < 0.7:
        return nasty.text(nasty.mutated(document, random))
    return nasty.edited(json.dumps(document).encode(), random, TOKENS)


def _rows(form: str, features: list[str], random: Random) -> bytes:
    matrix = np.round(np.random.default_rng(random.randrange(1000)).random((3, 64)) * 16, 2)
    if form == ".npy":
        stream = io.BytesIO()
        kind = random.choice(("<f8", "<f4", "<i8", "|b1", ">f8", "<c16", "<U4", "<M8[s]"))
        shaped = matrix.astype(kind) if kind != "<M8[s]" else matrix.astype("<i8").astype(kind)
        np.save(stream, random.choice((shaped, shaped.T, shaped[0], shaped[:0], shaped[None])))
        return nasty.edited(stream.getvalue(), random) if random.random() < 0.7 else (
            stream.getvalue())  # fmt: skip
    if form == ".json":
        records = [dict(zip(features, row, strict=True)) for row in matrix.tolist()]
        document = random.choice((matrix.tolist(), records))
        if random.random() < 0.7:
            return nasty.text(nasty.mutated(document, random))
        return nasty.edited(json.dumps(document).encode(), random, TOKENS)
    lines = [",".join(map(str, row)) for row in matrix.tolist()]
    if random.random() < 0.5:
        lines = [",".join(features), *lines]
    return nasty.edited("\n".join(lines).encode(), random, CELLS)
