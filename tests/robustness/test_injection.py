"""A user's text (labels, columns, parameters, records) stays text wherever it is quoted.

The law: whatever the text is, page, card and summary have the structure that they have with `x`.
"""

import ast
import json
import re
import shutil
import unicodedata
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import card
from artifact_pipeline.builder.artifact.manifest import Manifest
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.escapes import write_out, write_out_json
from artifact_pipeline.cli import job_summary
from artifact_pipeline.pipeline.gates import Verdict
from artifact_pipeline.pipeline.record import Run
from artifact_pipeline.report import blocks, figures, page
from artifact_pipeline.verification.verify import verify
from tests.support.command import call

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
    "\u202egnp.exe\u2066\u061c\u200f\u2028\x85\x1c",
    "\ufeffa\u200bb\xadc\U000e0041\x7f",
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
    manifest["metrics"]["slices"] = {text: {"rows": 1, "metrics": {"accuracy": 0.5}}}
    seen["leaks"] = [text]
    tried = {"params": {text: text}, "mean": 0.5, "std": 0.0, "rank": 1}
    seen["search"] = {"scoring": text, "best": {text: text}, "candidates": [tried]}
    return known._replace(
        manifest=msgspec.convert(manifest, Manifest),
        files={**known.files, "evaluation.json": canonical.encode(seen)},
    )


# Visible in themselves, or what letters of Persian, Indic scripts and emoji are joined by.
_SEEN = {*range(0x600, 0x606), 0x6DD, 0x890, 0x891, 0x8E2, 0x200C, 0x200D, 0x110BD, 0x110CD,
         *range(0x13430, 0x13440)}  # fmt: skip


def unseen(text):
    """Return the characters, but for line ends, that Unicode says show nothing of themselves."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [c for c in text.replace("\n", "") if unicodedata.category(c) in hidden and
            ord(c) not in _SEEN]  # fmt: skip


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


@pytest.mark.slow
@cases
def test_injected_text_does_not_change_the_structure_of_the_report(digits, text):
    plain, found = (Structure(page.write(dressed(digits, one))).tags for one in ("x", text))
    assert found == plain


def summary(digits, artifact, *gates):
    run = msgspec.convert(digits.run, Run)
    return job_summary.write(artifact, msgspec.structs.replace(run, gates=list(gates)))


def written_card(artifact):
    manifest = artifact.manifest
    return card.write(
        manifest.recipe,
        split=manifest.split,
        metrics=manifest.metrics,
        interface=manifest.interface,
        parity=manifest.parity,
        evaluation=artifact.evaluation(),
    )


@pytest.mark.slow
@cases
def test_page_summary_and_card_escape_invisible_characters(digits, text):
    made = dressed(digits, text)
    whole = written_card(made)
    gate = Verdict(
        metric=text, bound="not_worse_than", limit=0.5, value=0.5, passed=False, alias=text,
        note=text,
    )  # fmt: skip
    for shown in (page.write(made), summary(digits, made, gate), whole):
        assert unseen(shown) == []
    image = Image(height=1, width=1, min=0.0, max=1.0)
    assert unseen(figures.pixels([0.5], image, label=text)) == []
    assert (
        unseen(blocks.listing({"a": text}) + blocks.table(text, [text], rows=[[text, text]])) == []
    )


@given(TEXTS)
def test_escapes_are_reversible(text):
    """And a document of JSON stays the same document."""
    assert unseen(write_out(text)) == [] and "\n" not in write_out(text)
    document = json.dumps({"a": text}, ensure_ascii=False, indent=1)
    assert unseen(write_out_json(document)) == []
    assert json.loads(write_out_json(document)) == {"a": text}
    if "\\" not in text:
        kept = write_out(text)
        for found in re.findall(r"\\(?:[nrt]|x..|u.{4}|U.{8})", kept):
            kept = kept.replace(found, ast.literal_eval(f'"{found}"'))
        assert kept == text


@pytest.mark.slow
@cases
def test_injected_text_does_not_change_the_structure_of_the_summary(digits, text):
    plain, found = (tokens(summary(digits, dressed(digits, one))) for one in ("x", text))
    assert found == plain


@pytest.mark.slow
@cases
def test_injected_text_does_not_change_the_structure_of_the_card(digits, text):
    def body_and_head(one):
        made = dressed(digits, one)
        whole = written_card(made)
        _, head, body = whole.split("---\n", 2)
        return tokens(body), sorted(json.loads(head))

    assert body_and_head(text) == body_and_head("x")


CONTROLS = [
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m\r\x08\u202e",
    "\u2066a\u061c\ufeff\U000e0041\x7f",
    "x\n::error::y",
]


@pytest.mark.parametrize(
    "text",
    ["".join(CONTROLS), *(pytest.param(text, marks=pytest.mark.slow) for text in CONTROLS)],
    ids=["all", *map(repr, CONTROLS)],
)
def test_no_control_character_reaches_the_terminal(digits, tmp_path, text):
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
    for words in (("show", folder), ("list",), ("compare", folder, digits.folder), ("doctor",),
                  ("verify", folder), ("infer", folder), ("evaluate", folder),
                  ("reproduce", folder), ("list", "--json"), ("show", folder, "--json"),
                  ("show", text), ("run", f"{text}.json")):  # fmt: skip
        done = call(*words, cwd=tmp_path, env={"GITHUB_ACTIONS": "true"})
        assert "Traceback" not in done.err, (words, done.err)
        assert unseen(done.out + done.err) == [], words
        for line in (done.out + done.err).splitlines():
            assert not line.lstrip().startswith("::error::y"), (words, line)
