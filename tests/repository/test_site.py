"""The documentation site: it builds strictly, is complete, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys

import click
import pytest

import artifact_pipeline
from artifact_pipeline.cli.commands import group
from tests.support.configs import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="requirements-dev.txt is not installed")
    folder = tmp_path_factory.mktemp("site")
    # A proxy that refuses connections: the build must not need the network.
    closed = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder],
        cwd=ROOT, env={**os.environ, **closed}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_api_page_has_the_docstring_of_each_public_name(site):
    page = (site / "api.html").read_text("utf-8")
    names = set(re.findall(r'id="artifact_pipeline\.(\w+)"', page))
    assert sorted(names) == artifact_pipeline.__all__
    for name in names:
        assert f'href="#artifact_pipeline.{name}"' in page
    assert "The path of a config file, or the dict that its JSON would give." in page


def test_the_commands_page_has_the_help_of_each_command(site):
    page = (site / "commands.html").read_text("utf-8")
    for name in group.list_commands(click.Context(group)):
        assert f'id="{name}"' in page and f"Usage: artifact-pipeline {name}" in page


def test_the_pages_load_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        page = path.read_text("utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//', page), path
        assert not re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="(?:https?:)?//', page), path
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text("utf-8")


def test_search_finds_pages_and_public_names(site):
    index = (site / "search" / "search_index.json").read_text("utf-8")
    assert "api.html#artifact_pipeline.reproduce" in index and "tutorial.html#" in index
