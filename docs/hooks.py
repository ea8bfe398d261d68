"""Additions of the site to the pages: docstrings of public names, and the help of each command.

mkdocs calls `on_page_markdown`; mkdocs.yml names this file.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artifact_pipeline.cli.commands import group
from artifact_pipeline.cli.group import SECTIONS

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
SOURCE = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["urls"]["Source"]
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
NAME = re.compile(r"`(\w+)([^`]*)`")


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Return the markdown of a page with what the site adds to it."""
    markdown = markdown.replace("](../", f"]({SOURCE}/blob/main/")
    markdown = CONSOLE.sub(_without_prompts, markdown)
    if page.file.src_uri == "api.md":
        return with_docstrings(markdown)
    if page.file.src_uri == "commands.md":
        return f"{markdown}\n{command_help()}"
    return markdown


def with_docstrings(markdown: str) -> str:
    """Link the names in the first cells of tables to their docstrings, which end each section."""
    sections = []
    for section in re.split(r"^(?=## )", markdown, flags=re.M):
        rows = re.findall(r"^\| `.*$", section, re.M)
        names = [name for row in rows for name, _ in NAME.findall(row.split(" | ")[0])]
        for row in rows:
            cell, bar, rest = row.partition(" | ")
            linked = NAME.sub(r"[`\1\2`][artifact_pipeline.\1]", cell)
            section = section.replace(row, linked + bar + rest)
        entries = "".join(f"\n::: artifact_pipeline.{name}\n" for name in names)
        sections.append(section + entries + "\n")
    return "".join(sections)


def _without_prompts(block: re.Match[str]) -> str:
    """Return commands as the button beside them copies them."""
    commands = re.sub(r"^\$ ", "", block[1], flags=re.M)
    return f"```bash\n{commands}```"


def command_help() -> str:
    """Return the help of each command, by the sections of the program's own help."""
    program = click.Context(group, info_name="artifact-pipeline", terminal_width=80)
    lines = []
    for title, names in SECTIONS.items():
        lines.append(f"## {title}\n")
        for name in names:
            command = group.get_command(program, name)
            assert command is not None
            context = click.Context(command, parent=program, info_name=name)
            lines.append(f"### {name}\n\n```text\n{context.get_help()}\n```\n")
    return "\n".join(lines)
