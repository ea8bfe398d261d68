"""The documents: commands run, examples load, and the format page suffices for a reader."""

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from artifact_pipeline.builder.config import checks, loader, schema
from tests.support.configs import ROOT

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md"))),
    *(f"examples/{p.parent.name}/README.md" for p in sorted(ROOT.glob("examples/*/README.md"))),
]
# The suite cannot run itself; .ci/run runs these two on a clean checkout.
SET_UP = {"python make.py run", "python make.py test", "python make.py check"}


GIT = {f"GIT_{role}_{field}": "tests@localhost" for role in ("AUTHOR", "COMMITTER")
       for field in ("NAME", "EMAIL")}  # fmt: skip
WITH_OUTPUT = ["docs/registry.md"]
"""Documents whose indented blocks show what the block above them prints."""
IDENTITY = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / name).read_text("utf-8"), re.M | re.S)


def commands(name):
    lines = [line for block in blocks(name, "console") for line in block.splitlines() if line]
    assert all(line.startswith(("$ ", "# ")) for line in lines), name
    return [line[2:] for line in lines if line.startswith("$ ")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the files of this checkout, in which this interpreter stands for .venv's."""
    folder = tmp_path_factory.mktemp("docs") / "checkout"
    ignored = shutil.ignore_patterns(".*", "artifacts", "__pycache__", "dist", "*.pkl")
    shutil.copytree(ROOT, folder, ignore=ignored)
    bin_ = folder / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (bin_ / "artifact-pipeline").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m artifact_pipeline "$@"\n'
    )
    for name in ("python", "artifact-pipeline"):
        (bin_ / name).chmod(0o755)
    for words in (["init", "-q", "-b", "main"], ["add", "config"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *IDENTITY, *words], cwd=folder, check=True)
    return folder


def environment(checkout):
    return {**os.environ, "PATH": f"{checkout}/.venv/bin{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(checkout / "src"), **GIT}  # fmt: skip


def run(command, checkout):
    return subprocess.run(command, shell=True, cwd=checkout, env=environment(checkout),
                          capture_output=True)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["customers", "diabetes"])
def test_an_example_prints_the_output_on_its_page(name, checkout):
    if name == "customers":
        assert run(f"python examples/{name}/make_data.py", checkout).returncode == 0
    store = checkout.parent / f"store-{name}"
    done = run(f"artifact-pipeline run examples/{name}/config.json --store {store}", checkout)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "examples" / name / "README.md").read_text("utf-8")
    printed = [line.strip() for line in re.findall(r"^    (.*)$", page, re.M)]
    assert len(printed) >= 2
    for line in printed:
        assert line in done.stdout.decode()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the documents' shell is a POSIX one")
@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if commands(name) and name not in WITH_OUTPUT]
)
def test_every_command_of_a_document_runs(name, checkout):
    # Each document starts where `make.py run` ends.
    shutil.rmtree(checkout / "artifacts", ignore_errors=True)
    assert run("artifact-pipeline run", checkout).returncode == 0
    before = {path.name for path in checkout.iterdir()}
    address = None
    with ExitStack() as servers:
        for command in commands(name):
            if command in SET_UP:
                continue
            if command.endswith(" &"):
                address = servers.enter_context(serving(command.removesuffix(" &"), checkout))
                continue
            words = command + " 3" if command == "python -m benchmarks" else command
            done = run(words.replace("127.0.0.1:8080", address or "127.0.0.1:8080"), checkout)
            assert done.returncode == 0, (command, done.stderr)
            assert "127.0.0.1:8080" not in command or b'"labels"' in done.stdout
    if name == "README.md":
        new = {path.name for path in checkout.iterdir()} - before
        assert not_ignored(new, checkout) == set()


def not_ignored(names, checkout):
    """Return the files of these names that git would show as new in a clone."""
    words = ["git", "-c", f"core.excludesFile={ROOT / '.gitignore'}", "check-ignore"]
    names = {f"{name}/" if (checkout / name).is_dir() else name for name in names}
    done = subprocess.run([*words, *names], cwd=checkout, capture_output=True, text=True)
    return names - set(done.stdout.splitlines())


def collapsed(text):
    """Return a text without what differs from run to run: digests, times, users, spaces.

    And without the lines of work that takes more than half a minute on a busy machine.
    """
    text = re.sub(r"^ *\S+ +running .*\n", "", text, flags=re.M)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T][\d:.]+(\+00:00)?|\b\d\d-\d\d \d\d:\d\d\b", "TIME", text)
    text = re.sub(r"\b\d+(\.\d+)? (s|min)\b", "DURATION", text)
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b", "DIGEST", text)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"by \S+ on \S+", "by USER", text).strip()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the documents' shell is a POSIX one")
@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_a_document_shows_what_its_commands_print(name, checkout):
    shutil.rmtree(checkout / "artifacts", ignore_errors=True)
    assert run("artifact-pipeline run", checkout).returncode == 0
    printed, compared = "", 0
    parts = r"^```(?:console|python)\n.*?^```$|^    [^\n]*\n(?:^(?:    [^\n]*)?\n)*"
    for part in re.findall(parts, (ROOT / name).read_text("utf-8"), re.M | re.S):
        if not part.startswith("```"):
            for chunk in part.split("…\n"):
                assert collapsed(chunk) in collapsed(printed), (chunk, printed)
                compared += 1
            continue
        language, *lines = part.splitlines()[:-1]
        words = [line[2:] for line in lines]
        if language == "```python":
            (checkout / "page.py").write_text("\n".join(lines))
            words = ["python page.py"]
        done = [run(command, checkout) for command in words]
        assert [one.returncode for one in done] == [0] * len(done), [one.stderr for one in done]
        printed = "\n".join(one.stdout.decode() for one in done)
    assert compared >= 5


@contextmanager
def serving(command, checkout):
    """Run a server in the background at a free port; yield its address."""
    process = subprocess.Popen(
        f"exec {command} --port 0", shell=True, cwd=checkout, env=environment(checkout),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process.stdout.readline().rpartition("//")[2].strip()
    finally:
        process.terminate()
        process.wait()


def test_the_commands_of_the_branches_page_nest_the_branches(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def git(*words):
        return subprocess.run(["git", *IDENTITY, *words], cwd=scratch, capture_output=True,
                              text=True, check=True).stdout  # fmt: skip

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "first")
    for command in commands("docs/branches.md"):
        done = subprocess.run(command, shell=True, cwd=scratch, env={**os.environ, **GIT},
                              capture_output=True)  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
    order = ["main", "classification", "test", "inference"]
    for earlier, later in itertools.pairwise(order):
        git("merge-base", "--is-ancestor", earlier, later)
    assert git("log", "-1", "--format=%s", "inference").strip() == "Train something else"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("requirements.txt", ""),
        ("requirements-sign.txt", "--extra sign"),
        ("requirements-serve.txt", "--extra serve"),
        ("requirements-boosting.txt", "--extra boosting"),
        ("requirements-mlflow.txt", "--extra mlflow"),
        ("requirements-huggingface.txt", "--extra huggingface"),
        ("requirements-mlflow-server.txt", "--group mlflow-server"),
        ("requirements-remote.txt", "--extra remote"),
        ("requirements-dask.txt", "--extra dask"),
        ("requirements-dev.txt", "--extra dev"),
        ("requirements-build.txt", "--group build"),
    ],
)
def test_the_pins_are_what_the_command_in_contributing_compiles(name, words, tmp_path):
    """With the pins that are there as a start, it changes none, adds none and drops none."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    [command] = re.findall(rf"    (uv pip compile [^`]*?-o {name})$", page, re.M)
    assert words in command
    for file in ("pyproject.toml", "README.md", *(f.name for f in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "src").mkdir()
    done = run(command.replace("uv pip", f"{Path(sys.executable).with_name('uv')} pip"), tmp_path)
    assert done.returncode == 0, done.stderr

    def pins(path):
        lines = path.read_text("utf-8").splitlines()
        return [line for line in lines if line and not line.lstrip().startswith("#")]

    assert pins(tmp_path / name) == pins(ROOT / name)


def test_the_readme_starts_with_the_two_commands_of_make():
    first = (ROOT / "README.md").read_text("utf-8").splitlines()[:40]
    assert "    python make.py run" in first and "    python make.py test" in first
    assert "python make.py test" in (ROOT / ".ci" / "run").read_text("utf-8").replace(
        "python3", "python"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the stand-in for .venv is a shell script")
def test_a_run_prints_the_output_in_the_readme(checkout):
    shutil.rmtree(checkout / "artifacts", ignore_errors=True)
    lines = run("artifact-pipeline run", checkout).stdout.decode().splitlines()
    readme = [line[4:] for line in (ROOT / "README.md").read_text("utf-8").splitlines()]

    def fixed(line):
        """Return a line without its duration, whose width varies, and without its digests."""
        return re.sub(r" *\d+\.\d\d s|[0-9a-f]{4}(…|[0-9a-f]{60}|[0-9a-f]{8}$)", "", line)

    printed = {fixed(line) for line in readme}
    assert [line for line in lines if fixed(line) not in printed] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_between_documents_resolve(name):
    text = (ROOT / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^):]+)\)", text):
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text("utf-8")), target


def test_each_page_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in navigation


def anchors(text):
    """Return the anchors of headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_config_in_the_reference_loads():
    examples = [json.loads(block) for block in blocks("docs/config.md", "json")]
    assert len(examples) >= 3
    for example in examples:
        loader.load(example)
    assert loader.load({**examples[0], "gates": examples[1]["gates"]}) == loader.load(examples[1])


def test_the_reference_names_every_key_and_every_metric():
    text = (ROOT / "docs" / "config.md").read_text("utf-8")
    named = [
        *loader.SHORT_KEYS,
        *(f"data.{key}" for key in schema.DataSection.__struct_fields__),
        *(f"data.csv.{key}" for key in schema.Csv.__struct_fields__),
        *(f"split.{key}" for key in schema.SplitSection.__struct_fields__),
        *(f"model.{key}" for key in schema.ModelSection.__struct_fields__),
        *(f"search.{key}" for key in schema.SearchSection.__struct_fields__),
        *(f"evaluation.{key}" for key in schema.EvaluationSection.__struct_fields__),
        *schema.GateSection.__struct_fields__,
        *schema.ConfigFile.__struct_fields__,
    ]
    for key in named:
        assert f"`{key}`" in text or f"`{key}." in text, key
    assert {metric.partition(".")[2] for metric in checks.METRIC_NAMES} <= set(
        re.findall(r"`(\w+)`", text)
    )


def test_the_python_of_the_readme_runs(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    [code] = blocks("README.md", "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]")


def reader(folder: Path, pinned: str):
    """An artifact read by docs/artifact-format.md alone; of this project nothing is imported."""
    import onnxruntime

    def digest(data):
        return "sha256:" + hashlib.sha256(data).hexdigest()

    def canonical(value):
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    data = (folder / "manifest.json").read_bytes()
    assert digest(data) == pinned
    manifest = json.loads(data)
    assert canonical(manifest) == data and manifest["manifest_version"] == 1
    assert set(manifest) == {"manifest_version", "recipe", "recipe_digest", "split", "metrics",
                             "interface", "parity", "files"}  # fmt: skip
    assert digest(canonical(manifest["recipe"])) == manifest["recipe_digest"]
    files = {}
    for file in manifest["files"]:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", file["path"])
        content = (folder / file["path"]).read_bytes()
        assert len(content) == file["bytes"] and digest(content) == file["sha256"]
        files[file["path"]] = content
    assert {p.name for p in folder.iterdir()} - {"model.sig"} == {*files, "manifest.json"}
    return manifest, files, onnxruntime.InferenceSession(files["model.onnx"])


def test_an_artifact_can_be_read_by_the_format_page_only(digits):
    import numpy as np

    manifest, files, session = reader(digits.folder, digits.digest)
    interface = manifest["interface"]
    evaluation = json.loads(files["evaluation.json"])
    assert sum(map(sum, evaluation["confusion"])) == manifest["split"]["rows"]["test"]
    X = np.array([example["values"] for example in evaluation["examples"]],
                 dtype=interface["inputs"][0]["dtype"])  # fmt: skip
    label, probabilities = session.run(["label", "probabilities"], {"X": X})
    assert label.tolist() == [example["label"] for example in evaluation["examples"]]
    best = [interface["labels"][i] for i in probabilities.argmax(axis=1)]
    assert best == label.tolist()
    page = (ROOT / "docs" / "artifact-format.md").read_text("utf-8")
    for name in (*manifest, *manifest["recipe"], *interface, *manifest["parity"], *evaluation):
        assert f"`{name}`" in page, name


def test_the_license_names_no_future_year():
    years = re.findall(r"\b20\d\d\b", (ROOT / "LICENSE").read_text("utf-8"))
    assert all(int(year) <= time.gmtime().tm_year for year in years)
