"""Names in a store that are not what they should be: each is one error, and doctor mends it.

Every place where a store has a file or a folder gets every kind of thing that a name can be. Then
each function that reads the store is called, and `doctor` must name the place and set it aside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import msgspec
from benchmarks.memory import peak_mib

import artifact_pipeline as api
from artifact_pipeline.errors import PipelineError
from artifact_pipeline.store.store import Store

SECONDS = 10
"""After which a call is held up: none waits for anything but the disk."""
_NOBODY = 12345

Spoil = Callable[[Path, Path], None]
"""Puts something at a path; the second path is a folder outside that it may lead to."""


class Figures(msgspec.Struct):
    """What came of the names."""

    tried: int = 0
    held_up: int = 0
    tracebacks: int = 0
    wrong_codes: int = 0
    unnamed: int = 0
    """Names that doctor did not see."""
    left: int = 0
    """Names that doctor --repair left in the way, and stores that were not sound then."""
    outside: int = 0
    """Names that led to a change outside of the store."""
    peak_mib: int = 0
    examples: list[str] = []


NEVER = ("held_up", "tracebacks", "wrong_codes", "unnamed", "left", "outside")
"""The figures that must be 0."""


class _HeldUp(Exception):
    """A call that did not come back."""


FILES = (
    "aliases/latest",
    "recipes/{recipe}",
    "runs/{run}.json",
    "models/digits/journal.jsonl",
    "models/digits/latest",
    "promotions/champion/000001.json",
    "trust.json",
)
"""Files whose content counts."""
OPAQUE = ("promotions/champion/turn", "models/digits/lock", "{digest}.html", "{digest}/model.sig")
"""Files of which only the kind counts."""
FOLDERS = (
    "aliases",
    "models",
    "models/digits",
    "promotions",
    "promotions/champion",
    "recipes",
    "runs",
    "staging",
    "set-aside",
    "{digest}",
)
ODD = ("a\nb", "\x1b[2J", "\udcff", "\u202e", "x" * 255, "'; $(id)", " ", "-rf", "Upper")
"""Names of no alias, record or digest."""


def _socket(path: Path, _: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(before)


def _sparse(path: Path, _: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


def _closed(path: Path, _: Path) -> None:
    path.write_bytes(b"{}")
    path.chmod(0)


def _writes(data: bytes) -> Spoil:
    def spoil(path: Path, _: Path) -> None:
        path.write_bytes(data)

    return spoil


KINDS: dict[str, Spoil] = {
    "a pipe": lambda path, _: os.mkfifo(path),
    "a socket": _socket,
    "a link to zeros": lambda path, _: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda path, _: path.symlink_to("/dev/tty"),
    "a link to nothing": lambda path, _: path.symlink_to("/nonexistent/nothing"),
    "a link to itself": lambda path, _: path.symlink_to(path.name),
    "a link to a file outside": lambda path, out: path.symlink_to(out / "file"),
    "a link to a folder outside": lambda path, out: path.symlink_to(out),
}
OF_FILES: dict[str, Spoil] = {
    "a folder": lambda path, _: path.mkdir(),
    "a full folder": lambda path, _: (path / "x" / "y").mkdir(parents=True),
    "3 GiB": _sparse,
}
OF_FOLDERS: dict[str, Spoil] = {"a file": _writes(b"x"), "3 GiB": _sparse}
CONTENTS: dict[str, Spoil] = {
    name: _writes(data)
    for name, data in {
        "nothing": b"",
        "a list": b"[]",
        "an object": b"{}",
        "a number": b"1",
        "null": b"null",
        "a text": b'"x"',
        "other types": json.dumps(
            {"outcome": 1, "run": [], "artifact": {}, "alias": 1, "by": "key", "pem": []}
        ).encode(),
        "deep lists": b"[" * 200_000,
        "lists a stack deep": b'{"outcome":"done","run":"x","observed":{"a":%s}}'
        % (b"[" * 900 + b"]" * 900),
        "a huge integer": b'{"outcome":"done","run":"x","seconds":' + b"9" * 5000 + b"}",
        "NaN": b'{"outcome":"done","run":"x","seconds":NaN}',
        "half a character": b'{"outcome":"\\ud800","run":"x"}',
        "a byte order mark": b'\xef\xbb\xbf{"outcome":"done","run":"x"}',
        "no UTF-8": b'{"outcome":"\xff"}',
        "zeros": bytes(4096),
        "a path": b"../../../etc/passwd\n",
        "half a digest": b"sha256:12",
        "a digest with more": b"sha256:" + b"0" * 64 + b"\n../../x",
    }.items()
}


def cases() -> list[tuple[str, str, Spoil]]:
    """Return each place with each kind of thing that can be there."""
    every: list[tuple[str, str, Spoil]] = []
    for place in FILES:
        every += [(place, *one) for one in (KINDS | OF_FILES | CONTENTS).items()]
        every += [(place, "no rights", _closed)] if os.geteuid() == 0 else []
    for place in OPAQUE:
        every += [(place, *one) for one in (KINDS | OF_FILES).items()]
    for place in FOLDERS:
        every += [(place, *one) for one in (KINDS | OF_FOLDERS).items()]
    for name in ODD:
        for folder in (
            "aliases/",
            "recipes/",
            "promotions/",
            "promotions/champion/",
            "models/",
            "models/digits/",
            "",
        ):
            every.append((folder + name, "an odd name", _writes(b"{}")))
            every.append((folder + name, "an odd link", KINDS["a link to a folder outside"]))
        every.append((f"runs/{name[:250]}.json", "an odd name", _writes(b"{}")))
    return every


def attack(store: Path, tries: int, seed: int) -> Figures:
    """Return what `count` does, in a process that is watched."""
    command = [sys.executable, "-m", "tests.robustness.store_names", str(store.absolute())]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [*command, str(tries), str(seed)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        check=True,
        stdout=subprocess.PIPE,
    )
    return msgspec.json.decode(done.stdout, type=Figures)


def count(store: Path, tries: int, seed: int) -> Figures:
    """Return what comes of `tries` of the cases, each in a copy of a whole store.

    The store has one artifact, `latest`, of one run. It changes signals and the user: see `attack`.
    """
    every = cases()
    chosen = every if tries >= len(every) else Random(seed).sample(every, tries)
    figures = Figures()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        first = Store(shutil.copytree(store, place / "first"))
        for function in _calls(first):  # so that everything is imported
            function()
        for index, (name, kind, spoil) in enumerate(chosen):
            _try(figures, _prepared(store, place / str(index)), name, kind, spoil)
            shutil.rmtree(place / str(index))
    figures.peak_mib = peak_mib()
    return figures


def _prepared(store: Path, folder: Path) -> Store:
    """Return a copy of a store in a folder, beside what must not change."""
    folder.mkdir()
    (folder / "outside").mkdir()
    (folder / "outside" / "file").write_bytes(b"sha256:" + b"0" * 64)
    os.utime(folder / "outside" / "file", (0, 0))  # old enough to be swept
    copy = Store(shutil.copytree(store, folder / "store"))
    api.promote("latest", store=copy.root)
    return copy


def _try(figures: Figures, store: Store, name: str, kind: str, spoil: Spoil) -> None:
    [digest] = store.artifacts.digests()
    recipe = api.check_integrity("latest", store=store.root).manifest.recipe_digest
    [run] = store.journal.run_files()
    if "{" in name:
        name = name.format(digest=digest[7:], recipe=recipe[7:], run=run.stem)
    path, outside = store.root / name, store.root.parent / "outside"
    before = _listing(outside)
    _remove(path)
    spoil(path, outside)
    named = f"{name!a}, {kind}"
    figures.tried += 1

    def note(figure: str, said: object) -> None:
        setattr(figures, figure, getattr(figures, figure) + 1)
        figures.examples.append(f"{named}: {figure}: {said}"[:300])

    def call(function: Callable[[], object], codes: tuple[int, ...] = (4, 5)) -> object:
        try:
            with _watched(), _rights(store.root, kind):
                return function()
        except PipelineError as error:
            if error.exit_code not in codes or not error.message or "\n" in error.message:
                note("wrong_codes", f"{error.exit_code} {error}")
        except _HeldUp:
            note("held_up", function)
        except Exception as error:  # noqa: BLE001  (what is looked for)
            note("tracebacks", f"{type(error).__name__}: {error}")
        return None

    found = call(lambda: api.examine(store.root), (5,))
    if isinstance(found, api.HealthReport) and not any(
        (store.root / one.path) in (path, *path.parents) for one in found.findings
    ):
        note("unnamed", found.findings)
    for function in _calls(store):
        call(function)
    if not _gone(path):
        call(lambda: api.examine(store.root, repair=True), (5,))
    after = call(lambda: api.examine(store.root), (5,))
    stays = name == "trust.json" or ("/" not in name and kind.startswith("an odd"))
    if kind == "no rights":
        path.chmod(0o644)
    elif not stays and not (isinstance(after, api.HealthReport) and not after.findings):
        note("left", after)
    if _listing(outside) != before:
        note("outside", _listing(outside))


def _calls(store: Store) -> list[Callable[[], object]]:
    """Return calls of what reads a store; the last ones change it."""
    root = store.root
    return [
        lambda: api.open_trusted("latest", store=root),
        lambda: msgspec.json.encode(api.artifacts(store=root)),
        lambda: msgspec.json.encode(api.runs(store=root)),
        lambda: msgspec.json.encode(api.show("latest", store=root)),
        lambda: [
            store.recipes.get(f"sha256:{path.name}") for path in store.folder.entries("recipes")
        ],
        lambda: api.promotions(store=root),
        lambda: msgspec.json.encode(api.history("digits", store=root)),
        lambda: msgspec.json.encode(api.prune(dry_run=True, store=root)),
        lambda: api.tag("latest", {"a": "b"}, store=root),
        lambda: api.promote("latest", store=root),
        store.folder.sweep,
        lambda: store.aliases.set("latest", store.artifacts.digests()[0]),
    ]


def _listing(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((path.name, path.read_bytes()) for path in folder.iterdir() if path.is_file())


def _gone(path: Path) -> bool:
    return not os.path.lexists(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _watched() -> Iterator[None]:
    def end(*_: object) -> None:
        raise _HeldUp

    signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


@contextmanager
def _rights(root: Path, kind: str) -> Iterator[None]:
    """Be another user than root for what root alone may read."""
    if kind != "no rights":
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def main() -> None:
    """Print what comes of the names, as JSON. Arguments: a store, how many cases, a seed."""
    store, tries, seed = sys.argv[1:]
    sys.stdout.buffer.write(msgspec.json.encode(count(Path(store), int(tries), int(seed))))


if __name__ == "__main__":
    main()
