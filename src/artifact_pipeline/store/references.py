"""References: texts that name an artifact of a store.

>>> parse("churn@champion")
Reference(text='churn@champion', name='churn', alias='champion', version=None, digits=None)
>>> parse("churn:3").version, parse("champion").alias, parse("sha256:7edbcfd0c416").digits
(3, 'champion', '7edbcfd0c416')
"""

from __future__ import annotations

import os
import re
from typing import TypeAlias

from msgspec import Struct

from artifact_pipeline.builder.config import model_name
from artifact_pipeline.store.pointers import ALIAS

PathLike: TypeAlias = str | os.PathLike[str]
"""A folder or a file."""
ArtifactLike: TypeAlias = str | os.PathLike[str]
"""A reference: `NAME@ALIAS`, `NAME:VERSION`, an alias by itself, the first eight or more hex digits
of a digest, or a folder. A path object is a folder."""

MAX_VERSION = 999_999_999
_VERSION = re.compile("[1-9][0-9]{0,8}")
_DIGITS = re.compile("[0-9a-f]{8,64}")


class Reference(Struct, frozen=True, kw_only=True):
    """A parsed reference, with all that it can name; otherwise it is a folder.

    The text `deadbeef` can be an alias or the start of a digest, in this order.
    """

    text: str
    name: str | None = None
    """The name of the model before `@` or `:`."""
    alias: str | None = None
    version: int | None = None
    digits: str | None = None
    """The first eight or more hex digits of a digest."""

    @property
    def is_complete_digest(self) -> bool:
        """Whether it names one artifact by all digits of its digest."""
        return self.digits is not None and len(self.digits) == 64


def parse(text: str) -> Reference:
    """Parse a reference. One that can only be a folder has only its text."""
    for sign, kind in (("@", ALIAS), (":", _VERSION)):
        name, separator, rest = text.partition(sign)
        if separator and model_name.is_valid(name) and kind.fullmatch(rest):
            if sign == "@":
                return Reference(text=text, name=name, alias=rest)
            return Reference(text=text, name=name, version=int(rest))
    digits = text.removeprefix("sha256:")
    return Reference(
        text=text,
        alias=text if ALIAS.fullmatch(text) else None,
        digits=digits if _DIGITS.fullmatch(digits) else None,
    )
