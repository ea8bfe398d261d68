"""The name of a model, under which its artifacts are versions.

>>> from_path("data/Kündigungen 2024.csv.gz"), from_path("parts/*.parquet"), from_path("顧客.csv")
('Kundigungen-2024', 'parts', None)
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Annotated, TypeAlias

from msgspec import Meta

MAX_NAME = 100
# `sha256:` begins a digest, a final point is lost on Windows, and `$` matches before a line end.
PATTERN = rf"^(?!sha256$)[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,{MAX_NAME - 2}}}[A-Za-z0-9_-])?$(?![^.])"
EXPECTED = "letters, digits, '-', '_' and '.', beginning with a letter or digit"
_ENDINGS = r"(?i)(\.(csv|tsv|parquet|jsonl|ndjson|json))?(\.(gz|zip))?$"
_WILDCARDS = r"\*|\?|\[[^]]*\]"
ModelName: TypeAlias = Annotated[
    str, Meta(pattern=PATTERN, description="Artifacts of one name are versions of one model.")
]
ModelDescription: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=1000, description="Text for the model card and the report.")
]


def is_valid(name: str) -> bool:
    """Return whether a text is the name of a model."""
    return re.search(PATTERN, name) is not None


def from_path(path: str) -> str | None:
    """Return a name for the model of a table: the stem of its path, or None if it has no valid one.

    The stem of `parts/*.csv` is that of the folder, and the stem of `part-*.csv` is `part`.
    """
    parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part != ".."]
    for part in reversed(parts):
        stem = re.sub(_ENDINGS, "", part) or part
        fixed = re.sub(_WILDCARDS, "", stem)
        if fixed.strip("._-"):
            return from_text(fixed)
        if fixed == stem:
            break
    return None


def from_text(text: str) -> str | None:
    """Return the name closest to a text: without accents, and with `-` in place of other signs.

    None if that leaves nothing, or loses letters or digits of another script.
    """
    plain = "".join(
        sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign)
    )
    if any(sign.isalnum() and not sign.isascii() for sign in plain):
        return None
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-")[:MAX_NAME].rstrip("._-")
    return name if is_valid(name) else None
