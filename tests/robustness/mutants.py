"""Artifacts changed by plan and at random: none may be accepted, and none may end in a traceback.

`python -m tests.robustness.mutants ARTIFACT COUNT SEED` prints the figures as JSON. It is a process
of its own, because the hook that watches what is opened stays until the end.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from benchmarks.memory import peak_mib

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.formats import onnx_format
from artifact_pipeline.cli.render.artifacts import shown
from artifact_pipeline.errors import PipelineError
from artifact_pipeline.inference.predictor import load_predictor
from artifact_pipeline.report import page
from artifact_pipeline.store import local_state, queries
from artifact_pipeline.verification.verify import verify
from tests.robustness import nasty

ROOT = Path(__file__).resolve().parents[2]
FILES = ("README.md", "evaluation.json", "manifest.json", "model.onnx", "model_train.pkl")


class Figures(msgspec.Struct):
    """What came of the mutants."""

    tried: int = 0
    accepted: int = 0
    """Opened by the digest of the artifact that was changed."""
    tracebacks: int = 0
    outside: int = 0
    """Files that were opened elsewhere than in the artifact."""
    unpickled: int = 0
    """Names that a pickle was looked up by."""
    peak_mib: int = 0
    examples: list[str] = []
    """The first of what must not be."""


def count(artifact: Path, tries: int, seed: int) -> Figures:
    """Return what comes of `tries` mutants of an artifact."""
    figures, random = Figures(), Random(seed)
    digest = verify(artifact).digest
    onnx_format.runtime()
    _read_all(artifact, artifact)  # imports what the readers need, before the hook looks
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "artifact"
        shutil.copytree(artifact, folder)
        watched = [str(artifact), scratch]  # the original is read to put a mutant right
        _watch(figures, watched)
        for name, change in _mutants(artifact, folder, tries, random):
            figures.tried += 1
            change()
            try:
                verify(folder, digest)
                figures.accepted += 1
                figures.examples.append(f"accepted: {name}")
            except PipelineError:
                pass
            except Exception as error:  # noqa: BLE001  (what is looked for)
                _note(figures, name, error)
            try:
                _read_all(folder, artifact)
            except PipelineError:
                pass
            except Exception as error:  # noqa: BLE001  (what is looked for)
                _note(figures, name, error)
            _restore(artifact, folder)
        watched.clear()
    figures.peak_mib = peak_mib()
    return figures


def _read_all(folder: Path, original: Path) -> None:
    """Use an artifact, without its digest, in every way that opens it."""
    found = verify(folder)
    nothing = folder.parent / "no store"
    shown(queries.show(folder, store=nothing))
    queries.differences(found.manifest, verify(original).manifest)
    found.evaluation()
    page.write(found)
    predictor = load_predictor(found)
    import numpy as np

    predictor.outputs(np.zeros((2, min(len(predictor.interface.features), 10_000))))


def _mutants(
    artifact: Path, folder: Path, tries: int, random: Random
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what each mutant is, and what makes it: by plan first, then every byte, then chance."""
    whole = {name: (artifact / name).read_bytes() for name in FILES}
    manifest = json.loads(whole["manifest.json"])
    planned = list(_planned(folder, whole, manifest))
    flips = random.sample(range(len(whole["manifest.json"])), len(whole["manifest.json"]))
    for index in range(tries):
        if index < len(planned):
            yield planned[index]
        elif index % 2 and flips:
            at, bit = flips.pop(), 1 << random.randrange(8)
            yield f"manifest byte {at} ^ {bit}", _writer(folder, "manifest.json", _flipped(
                whole["manifest.json"], at, bit))  # fmt: skip
        elif index % 4 == 0:
            name = random.choice(FILES)
            data = nasty.edited(whole[name], random)
            if data == whole[name]:
                data += b"\0"
            yield f"{name} edited ({index})", _writer(folder, name, data)
        else:
            yield f"forged ({index})", _forger(folder, manifest, whole, random)


def _planned(
    folder: Path, whole: dict[str, bytes], manifest: dict[str, Any]
) -> Iterator[tuple[str, Callable[[], object]]]:
    for name in FILES:
        path = folder / name
        yield f"{name} missing", path.unlink
        yield f"{name} is empty", _writer(folder, name, b"")
        yield f"{name} has a terabyte", partial(os.truncate, path, 1 << 40)
        for what, put in _OTHERS.items():
            yield f"{name} is {what}", partial(_instead, path, put)
        for twin in (
            name.upper(),
            f"{name} ",
            f"{name}\n",
            unicodedata.normalize("NFD", f"é{name}"),
        ):
            yield f"{twin!a} beside", _writer(folder, twin, b"x")
            yield f"{twin!a} instead", partial(path.rename, folder / twin)
        for other in FILES:
            if other > name:
                yield f"{name} and {other} swapped", partial(_swap, folder, name, other)
    for bomb in (b"[" * 5_000_000, b'{"a":' * 200_000, b"1" * 5_000_000, b'"' + b"a" * 5_000_000,
                 b'{"manifest_version":1' + b',"a":1' * 500_000 + b"}", b"\xff\xfe" * 1000,
                 b"PK\x03\x04" + b"\0" * 1000, b"\x80\x05cos\nsystem\n(S'true'\ntR."):  # fmt: skip
        for name in FILES:
            yield f"{name} is {bomb[:12]!a}…", _writer(folder, name, bomb)
    for said in ("/etc/x", "../x", "a/b", "a\\b", "a\0", "mödel.onnx", "MODEL.ONNX", ".", "~"):
        files = [*manifest["files"], {**manifest["files"][0], "path": said}]
        yield (
            f"lists {said!a}",
            _writer(folder, "manifest.json", canonical.encode({**manifest, "files": files})),
        )
    text = whole["manifest.json"]
    for key in manifest:
        again = text.replace(b'{"', f'{{"{key}":0,"'.encode(), 1)
        yield f"{key} twice", _writer(folder, "manifest.json", again)


def _forger(
    folder: Path, manifest: dict[str, Any], whole: dict[str, bytes], random: Random
) -> Callable[[], object]:
    """Return what puts in a manifest, or another file, that is changed and vouched for again."""
    changed = {"evaluation.json": nasty.mutated(json.loads(whole["evaluation.json"]), random)}
    forged = json.loads(json.dumps(manifest))
    files: dict[str, bytes] = {}
    if random.random() < 0.5:
        forged = nasty.mutated(manifest, random)
    elif random.random() < 0.5:
        files["model.onnx"] = nasty.edited(whole["model.onnx"], random)
    else:
        files["evaluation.json"] = nasty.text(changed["evaluation.json"])

    def forge() -> None:
        for name, data in files.items():
            (folder / name).write_bytes(data)
            for file in forged["files"]:
                if file["path"] == name:
                    file.update(sha256=canonical.digest(data), bytes=len(data))
        try:
            if isinstance(forged, dict) and isinstance(forged.get("recipe"), dict):
                forged["recipe_digest"] = canonical.digest(canonical.encode(forged["recipe"]))
            data = canonical.encode(forged)
        except canonical.NotCanonical:
            data = nasty.text(forged)
        if data == whole["manifest.json"]:
            data = b"{}"
        (folder / "manifest.json").write_bytes(data)

    return forge


def _writer(folder: Path, name: str, data: bytes) -> Callable[[], object]:
    return lambda: (folder / name).write_bytes(data)


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def _swap(folder: Path, a: str, b: str) -> None:
    (folder / a).rename(folder / "x")
    (folder / b).rename(folder / a)
    (folder / "x").rename(folder / b)


def _instead(path: Path, put: Callable[[Path], object]) -> None:
    path.unlink()
    put(path)


def _bind(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have a hundred bytes
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


_OTHERS: dict[str, Callable[[Path], object]] = {
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a socket": _bind,
}
if os.geteuid() == 0:  # nobody else may make one
    _OTHERS["a device"] = partial(os.mknod, mode=stat.S_IFCHR | 0o600, device=os.makedev(1, 5))


def _restore(artifact: Path, folder: Path) -> None:
    for path in folder.iterdir():
        original = artifact / path.name
        if path.is_symlink() or not path.is_file() or not original.is_file():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in FILES:
        path, data = folder / name, (artifact / name).read_bytes()
        if not path.exists() or path.stat().st_size != len(data) or path.read_bytes() != data:
            path.write_bytes(data)


def _note(figures: Figures, name: str, error: Exception) -> None:
    figures.tracebacks += 1
    figures.examples.append(f"{name}: {type(error).__name__}: {str(error)[:100]}")


def _watch(figures: Figures, watched: list[str]) -> None:
    """Count what is opened elsewhere, and what a pickle looks up, until `watched` is cleared."""
    # Whether this checkout made a model is looked up in its own state folder.
    known = (str(ROOT / "src"), sys.prefix, sys.base_prefix, str(local_state.folder()))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not watched:
            return
        if event == "open" and isinstance(arguments[0], str):
            place = os.path.abspath(arguments[0])  # noqa: PTH100  (of the path as it was given)
            if not place.startswith((*watched, *known)):
                figures.outside += 1
                figures.examples.append(f"opened {place}")
        elif event == "pickle.find_class":
            figures.unpickled += 1
            figures.examples.append(f"unpickled {arguments}")

    sys.addaudithook(hook)


def main() -> None:
    """Count, and print the figures."""
    artifact = Path(sys.argv[1]).absolute()
    figures = count(artifact, int(sys.argv[2]), int(sys.argv[3]))
    print(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()
