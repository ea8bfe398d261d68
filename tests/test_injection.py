"""A user's text (labels, columns, parameters, records) stays text wherever it is quoted.

The law: whatever the text is, page, card and summary have the structure that they have with `x`.
"""

import json
import re
import shutil
from html.parser import HTMLParser

import msgspec
import pytest
from conftest import call
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from artifact_pipeline import canonical
from artifact_pipeline.artifact import card
from artifact_pipeline.artifact.manifest import Manifest
from artifact_pipeline.artifact.open import verify
from artifact_pipeline.report import page, summary

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table><iframe src=//evil>",
    "<!-- x",
    "]]><svg/onload=alert(1)>",
    "&lt;script&gt;",
    "[x](javascript:alert(1))",
    "![x](http://evil/p.png)",
    "<http://evil>",
    "a|b\n| --- |",
    "\n\n# heading\n",
    "`code` **bold** _it_ ~~gone~~",
    "\\",
    "---\nlicense: other\n---",
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "\r\x08\x00",
    "{{ x }} ${{ secrets.X }}",
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


class Structure(HTMLParser):
    """The tags of a page with the names of their attributes, and the values that run or load."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        active = [(k, v) for k, v in attrs if k in ("href", "src", "style") or k.startswith("on")]
        self.tags.append((tag, sorted(k for k, _ in attrs), active))

    def handle_endtag(self, tag):
        self.tags.append(tag)

    def handle_comment(self, data):
        self.tags.append("comment")

    handle_decl = handle_pi = unknown_decl = handle_comment


def dressed(digits, text):
    """Return the digits artifact with `text` in every place that a user's text may have."""
    known = verify(digits.folder)
    manifest = msgspec.to_builtins(known.manifest)
    interface, recipe = manifest["interface"], manifest["recipe"]
    interface["label_names"][3] = text
    interface["features"][5] = text
    recipe["model"]["params"]["solver"] = text
    recipe["data"]["dataset"] = text
    recipe["packages"]["numpy"] = text
    manifest["metrics"]["train"][f"m {text}"] = manifest["metrics"]["test"][f"m {text}"] = 0.5
    seen = json.loads(known.files["evaluation.json"])
    seen["per_class"][3]["name"] = text
    return known._replace(
        manifest=msgspec.convert(manifest, Manifest),
        files={**known.files, "evaluation.json": canonical.encode(seen)},
    )


def tokens(markdown):
    """Return the structure of Markdown, the text left out."""
    found = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    flat = [inner for one in found for inner in [one, *(one.children or [])]]
    kept = [t for t in flat if t.type not in ("text", "text_special", "softbreak", "inline")]
    return [(t.type, t.tag, t.attrs if t.tag in ("a", "img") else None) for t in kept]


def cases(test):
    for text in HOSTILE:
        test = example(text)(test)
    return settings(max_examples=20)(given(TEXTS)(test))


@cases
def test_the_report_keeps_its_structure(digits, text):
    plain, found = (Structure(page.write(dressed(digits, one))).tags for one in ("x", text))
    assert found == plain


@cases
def test_the_summary_keeps_its_structure(digits, text):
    plain, found = (
        tokens(summary.write(dressed(digits, one), [], None, False)) for one in ("x", text)
    )
    assert found == plain


@cases
def test_the_card_keeps_its_structure_and_its_head(digits, text):
    def body_and_head(one):
        made = dressed(digits, one)
        m = made.manifest
        whole = card.write(m.recipe, m.recipe_digest, m.split, m.metrics, m.interface, m.parity)
        _, head, body = whole.split("---\n", 2)
        return tokens(body), sorted(json.loads(head))

    assert body_and_head(text) == body_and_head("x")


@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b]0;title\x07", "\x9b31m\r\x08\u202e", "x\n::error::y"]
)
def test_the_terminal_gets_no_control_characters(digits, tmp_path, text):
    """From an artifact and a run record that carry them; nothing but lines is printed."""
    store = tmp_path / "artifacts"
    made = dressed(digits, text)
    manifest = msgspec.to_builtins(made.manifest)
    manifest["recipe_digest"] = canonical.digest(canonical.encode(manifest["recipe"]))
    evaluation = made.files["evaluation.json"]
    for file in manifest["files"]:
        if file["path"] == "evaluation.json":
            file.update(sha256=canonical.digest(evaluation), bytes=len(evaluation))
    data = canonical.encode(manifest)
    folder = store / canonical.digest(data).removeprefix("sha256:")
    shutil.copytree(digits.folder, folder)
    (folder / "manifest.json").write_bytes(data)
    (folder / "evaluation.json").write_bytes(evaluation)
    record = next((digits.store / "runs").iterdir()).read_bytes().decode()
    hostile = json.dumps(text)[1:-1]
    record = re.sub(r'(?<=":")[^"]*(?=")', lambda found: f"{hostile} {found[0]}", record)
    (store / "runs").mkdir()
    (store / "runs" / "20260101T000000.000000Z-000000.json").write_text(record)
    for words in (("show", folder), ("list",), ("diff", folder, digits.folder), ("doctor",),
                  ("verify", folder), ("infer", folder), ("evaluate", folder),
                  ("reproduce", folder), ("show", text), ("run", f"{text}.json")):  # fmt: skip
        done = call(*words, cwd=tmp_path, env={"GITHUB_ACTIONS": "true"})
        assert "Traceback" not in done.err, (words, done.err)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.out + done.err), words
        for line in (done.out + done.err).splitlines():
            assert not line.lstrip().startswith("::error::y"), (words, line)
