"""The commands of a workflow that a stand-in writes: outputs, warnings, failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

SERVICES = Path(os.environ["STANDINS"])
"""The folder that stands for GitHub's services."""


def read(name: str, *, required: bool = False) -> str:
    """Return an input, as `core.getInput` does."""
    text = os.environ.get(f"INPUT_{name.upper().replace('-', '_')}", "")
    if required and not text:
        fail(f"Input required and not supplied: {name}")
    return text.strip()


def read_boolean(name: str) -> bool:
    """Return an input that is true or false, as `core.getBooleanInput` does."""
    text = read(name)
    if text not in ("true", "True", "TRUE", "false", "False", "FALSE"):
        fail(f'Input does not meet YAML 1.2 "Core Schema" specification: {name}')
    return text.lower() == "true"


def read_lines(name: str, *, required: bool = False) -> list[str]:
    """Return the lines of an input that are not empty."""
    lines = read(name, required=required).split("\n")
    return [line.strip() for line in lines if line.strip()]


def output(name: str, value: str) -> None:
    """Set an output of the step."""
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"{name}={value}\n")


def warn(message: str) -> None:
    """Annotate the run with a warning."""
    print(f"::warning::{message}")


def fail(message: str) -> NoReturn:
    """End the step as failed."""
    print(f"::error::{message}")
    sys.exit(1)
