"""The stand-ins do what the documentation and the code of the pinned actions say.

Sources: the README, action.yml and src/ of actions/checkout v7.0.1, actions/setup-python v7.0.0,
actions/cache v5.0.5, actions/upload-artifact v7.0.1 and actions/download-artifact v8.0.1.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

from tests.repository.workflows.runner import STANDINS
from tests.repository.workflows.standins.patterns import find

TOOLKIT = Path(__file__).with_name("toolkit")
# The inputs of the real actions, with their defaults, and the outputs.
REAL = {
    "checkout": (
        {"repository", "ref", "token", "ssh-key", "ssh-known-hosts", "ssh-strict", "ssh-user",
         "persist-credentials", "path", "clean", "filter", "sparse-checkout",
         "sparse-checkout-cone-mode", "fetch-depth", "fetch-tags", "show-progress", "lfs",
         "submodules", "set-safe-directory", "github-server-url"},
        {"persist-credentials": "true"},
        {"ref", "commit"},
    ),
    "setup-python": (
        {"python-version", "python-version-file", "cache", "architecture", "check-latest", "token",
         "cache-dependency-path", "update-environment", "allow-prereleases", "freethreaded",
         "pip-version"},
        {"update-environment": "true"},
        {"python-version", "cache-hit", "python-path"},
    ),
    "cache/restore": (
        {"path", "key", "restore-keys", "enableCrossOsArchive", "fail-on-cache-miss",
         "lookup-only"},
        {},
        {"cache-hit", "cache-primary-key", "cache-matched-key"},
    ),
    "cache/save": ({"path", "key", "upload-chunk-size", "enableCrossOsArchive"}, {}, set()),
    "upload-artifact": (
        {"name", "path", "if-no-files-found", "retention-days", "compression-level", "overwrite",
         "include-hidden-files", "archive"},
        {"name": "artifact", "if-no-files-found": "warn", "overwrite": "false",
         "include-hidden-files": "false"},
        {"artifact-id", "artifact-url", "artifact-digest"},
    ),
    "download-artifact": (
        {"name", "artifact-ids", "path", "pattern", "merge-multiple", "github-token", "repository",
         "run-id", "skip-decompress", "digest-mismatch"},
        {},
        {"download-path"},
    ),
}  # fmt: skip


class Step(NamedTuple):
    """A step that has run."""

    code: int
    log: str
    outputs: dict[str, str]
    added_to_path: str


class Runner:
    """A workspace, and the folder that stands for GitHub's services."""

    def __init__(self, folder):
        self.workspace = folder / "workspace"
        self.services = folder / "services"
        for path in (self.workspace, *(self.services / n for n in ("bin", "cache", "artifacts"))):
            path.mkdir(parents=True)
        (self.services / "bin" / "version").write_text("3.12.9")

    def write(self, *names, text="x", folder=None):
        for name in names:
            path = (folder or self.workspace) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def step(self, standin, *words, **inputs):
        """Run a stand-in as its action.yml does, with its defaults."""
        folder = STANDINS / standin
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        declared = YAML(typ="safe").load(folder / "action.yml")["inputs"]
        assert set(given) <= set(declared)
        values = {name: given.get(name, one.get("default", "")) for name, one in declared.items()}
        files = {name: self.services / name for name in ("GITHUB_OUTPUT", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        env = {
            **os.environ,
            **{name: str(file) for name, file in files.items()},
            **{f"INPUT_{name.upper().replace('-', '_')}": text for name, text in values.items()},
            "STANDINS": str(self.services),
            "GITHUB_WORKSPACE": str(self.workspace),
            "PYTHONPATH": str(STANDINS),
        }
        [script] = [*folder.glob("*.py"), *folder.parent.glob("cache.py")]
        words = (folder.name,) if script.name == "cache.py" else ()
        done = subprocess.run([sys.executable, script, *words], cwd=self.workspace, env=env,
                              capture_output=True, text=True)  # fmt: skip
        assert not done.stderr, done.stderr
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        outputs = dict(line.split("=", 1) for line in lines)
        return Step(done.returncode, done.stdout, outputs, files["GITHUB_PATH"].read_text())

    def files(self, folder):
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


@pytest.mark.parametrize("standin", REAL)
def test_a_stand_in_has_the_inputs_and_outputs_of_the_real_action(standin):
    action = YAML(typ="safe").load(STANDINS / standin / "action.yml")
    inputs, defaults, outputs = REAL[standin]
    assert set(action["inputs"]) <= inputs
    given = {name: one["default"] for name, one in action["inputs"].items() if "default" in one}
    assert given == defaults
    assert set(action.get("outputs", {})) <= outputs


class TestCheckout:
    def keep(self, runner):
        runner.write("action.yml", "src/a.py", ".git/config", "tests/b.py",
                     folder=runner.services / "repositories" / "acme" / "tool@c0ffee")  # fmt: skip

    def checkout(self, runner, **inputs):
        known = {"repository": "acme/tool", "ref": "c0ffee", "path": ".tool"}
        return runner.step("checkout", **{**known, **inputs})

    def test_it_fills_a_folder_of_the_workspace(self, runner):
        self.keep(runner)
        runner.write("mine", ".tool/stale")
        assert self.checkout(runner).outputs == {"commit": "c0ffee"}
        assert runner.files(runner.workspace) == [
            ".tool/action.yml", ".tool/src/a.py", ".tool/tests/b.py", "mine"
        ]  # fmt: skip

    def test_a_sparse_one_has_the_files_at_the_root_and_some_folders(self, runner):
        self.keep(runner)
        self.checkout(runner, sparse_checkout="src")
        assert runner.files(runner.workspace) == [".tool/action.yml", ".tool/src/a.py"]

    @pytest.mark.parametrize("inputs", [
        {"repository": ""}, {"repository": "acme/other"}, {"ref": "beef"}, {"path": "../tool"},
        {"persist_credentials": "no"},
    ])  # fmt: skip
    def test_what_the_real_one_does_not_find_or_take_fails(self, runner, inputs):
        self.keep(runner)
        done = self.checkout(runner, **inputs)
        assert done.code == 1 and "::error::" in done.log
        assert runner.files(runner.workspace) == []


class TestSetupPython:
    @pytest.mark.parametrize("name", ["requirements.txt", "a/b/requirements.txt", "pyproject.toml"])
    def test_caching_takes_a_file_inside_the_workspace(self, runner, name):
        runner.write(name)
        assert runner.step("setup-python", python_version="3.12", cache="pip").code == 0

    @pytest.mark.parametrize("path", ["", "{}/requirements.txt", "other.txt", "{}/*.txt\nb.txt"])
    def test_caching_fails_without_a_file_inside_the_workspace(self, runner, tmp_path, path):
        runner.write("requirements.txt", folder=tmp_path)
        path = path.format(tmp_path)
        done = runner.step(
            "setup-python", python_version="3.12", cache="pip", cache_dependency_path=path
        )
        assert done.code == 1
        listed = path.replace("\n", ",") or "**/requirements.txt"
        message = f"No file in {runner.workspace} matched to [{listed} or **/pyproject.toml]"
        assert message in done.log

    def test_a_file_outside_is_replaced_by_a_pyproject_inside(self, runner, tmp_path):
        """Which hides the mistake in a repository that has one."""
        runner.write("pyproject.toml")
        runner.write("requirements.txt", folder=tmp_path)
        outside = str(tmp_path / "requirements.txt")
        done = runner.step(
            "setup-python", python_version="3.12", cache="pip", cache_dependency_path=outside
        )
        assert done.code == 0

    def test_another_package_manager_is_not_cached(self, runner):
        done = runner.step("setup-python", python_version="3.12", cache="uv")
        assert done.code == 1 and "Caching for 'uv' is not supported" in done.log

    def test_the_path_changes_only_on_request(self, runner):
        done = runner.step("setup-python", python_version="3.12")
        assert done.added_to_path == f"{runner.services / 'bin'}\n"
        done = runner.step("setup-python", python_version="3.12", update_environment="false")
        assert done.code == 0 and done.added_to_path == ""
        assert done.outputs == {
            "python-version": "3.12.9", "python-path": str(runner.services / "bin" / "python")
        }  # fmt: skip
        done = runner.step("setup-python", python_version="3.12", update_environment="no")
        assert done.code == 1

    def test_without_a_version_nothing_is_set_up(self, runner):
        done = runner.step("setup-python", cache="pip")
        assert done.code == 0 and done.outputs == {} and "::warning::" in done.log


class TestCache:
    def save(self, runner, key, text="x", path="store"):
        shutil.rmtree(runner.workspace / "store", ignore_errors=True)
        runner.write("store/a", text=text)
        return runner.step("cache/save", key=key, path=path)

    def restore(self, runner, key, *starts, path="store"):
        shutil.rmtree(runner.workspace / "store", ignore_errors=True)
        done = runner.step("cache/restore", key=key, path=path, restore_keys="\n".join(starts))
        file = runner.workspace / "store" / "a"
        return done, file.read_text() if file.exists() else None

    def test_the_key_itself_is_a_hit(self, runner):
        self.save(runner, "k-1/a b")
        done, text = self.restore(runner, "k-1/a b")
        assert done.code == 0 and text == "x"
        assert done.outputs == {
            "cache-hit": "true", "cache-primary-key": "k-1/a b", "cache-matched-key": "k-1/a b"
        }  # fmt: skip

    def test_a_miss_succeeds_and_sets_no_hit(self, runner):
        done, text = self.restore(runner, "k-1", "k-")
        assert done.code == 0 and text is None
        assert done.outputs == {"cache-primary-key": "k-1"}

    def test_the_start_of_a_key_takes_the_newest(self, runner):
        for key in ("k-2", "k-1", "other"):
            self.save(runner, key, text=key)
        done, text = self.restore(runner, "k-3", "k-", "other")
        assert text == "k-1" and done.outputs["cache-hit"] == "false"
        assert done.outputs["cache-matched-key"] == "k-1"
        assert self.restore(runner, "k-3", "other", "k-")[1] == "other"
        assert self.restore(runner, "k", "other")[1] == "k-1"  # the key is a start, too

    def test_caches_of_other_paths_are_not_found(self, runner):
        self.save(runner, "k", path="store")
        assert self.restore(runner, "k", path="./store")[1] is None

    def test_a_key_is_saved_once(self, runner):
        self.save(runner, "k", text="first")
        done = self.save(runner, "k", text="second")
        assert done.code == 0 and "Unable to reserve cache" in done.log
        assert self.restore(runner, "k")[1] == "first"

    def test_what_is_there_is_kept_beside_what_is_restored(self, runner):
        self.save(runner, "k")
        runner.write("store/a", "store/b", text="mine")
        runner.step("cache/restore", key="k", path="store")
        assert (runner.workspace / "store" / "a").read_text() == "x"
        assert (runner.workspace / "store" / "b").read_text() == "mine"

    @pytest.mark.parametrize(
        ("key", "path", "message"),
        [
            ("k", "nothing", "do(es) not exist, hence no cache is being saved"),
            ("a,b", "store", "cannot contain commas"),
            ("k" * 513, "store", "cannot be larger than 512 characters"),
            ("k", "a/../store", "Relative pathing '.' and '..' is not allowed"),
        ],
    )
    def test_what_cannot_be_saved_is_a_warning(self, runner, key, path, message):
        done = self.save(runner, key, path=path)
        assert done.code == 0 and "::warning::" in done.log and message in done.log
        assert list((runner.services / "cache").iterdir()) == []

    def test_an_invalid_key_fails_the_restore(self, runner):
        assert self.restore(runner, "a,b")[0].code == 1
        assert self.restore(runner, "k" * 513)[0].code == 1
        assert self.restore(runner, "k", *"0123456789")[0].code == 1  # ten keys at most
        assert self.restore(runner, "")[0].code == 1


class TestUploadArtifact:
    def upload(self, runner, path, **inputs):
        done = runner.step("upload-artifact", path=path, **inputs)
        folder = runner.services / "artifacts" / inputs.get("name", "artifact")
        return done, runner.files(folder) if folder.exists() else None

    @pytest.mark.parametrize(
        ("path", "kept"),
        [
            ("out", ["a.txt", "deep/b.txt"]),
            ("out/", ["a.txt", "deep/b.txt"]),
            ("out/a.txt", ["a.txt"]),
            ("out/*.txt", ["a.txt"]),
            ("out/**/*.txt", ["a.txt", "deep/b.txt"]),
            ("out/deep\nc.txt", ["c.txt", "out/deep/b.txt"]),
            ("out/a.txt\nout/deep/b.txt", ["a.txt", "deep/b.txt"]),
            ("out\n!out/deep", ["a.txt"]),
            ("\n  out/a.txt\n\n# c.txt\n", ["a.txt"]),
            ("out/deep\nnothing", ["out/deep/b.txt"]),
        ],
    )
    def test_files_keep_their_paths_below_the_folder_they_share(self, runner, path, kept):
        runner.write("out/a.txt", "out/deep/b.txt", "c.txt")
        (runner.workspace / "out" / "empty").mkdir()
        assert self.upload(runner, path)[1] == kept

    def test_hidden_files_are_left_out(self, runner):
        runner.write("out/a", "out/.b", "out/.c/d")
        assert self.upload(runner, "out", name="plain")[1] == ["a"]
        assert self.upload(runner, "out", name="all", include_hidden_files="true")[1] == [
            ".b", ".c/d", "a"
        ]  # fmt: skip

    def test_permissions_are_lost(self, runner):
        runner.write("run.sh")
        (runner.workspace / "run.sh").chmod(0o755)
        self.upload(runner, "run.sh")
        kept = runner.services / "artifacts" / "artifact" / "run.sh"
        assert kept.stat().st_mode & 0o777 == 0o644

    @pytest.mark.parametrize(("mode", "code"), [("warn", 0), ("error", 1), ("ignore", 0)])
    def test_no_files(self, runner, mode, code):
        done, kept = self.upload(runner, "nothing", if_no_files_found=mode)
        assert done.code == code and kept is None and "No files were found" in done.log
        assert ("::warning::" in done.log) is (mode == "warn")

    def test_an_empty_path_is_refused_and_empty_lines_are_no_files(self, runner):
        runner.write("a")
        assert "Input required and not supplied: path" in self.upload(runner, "")[0].log
        assert "No files were found" in self.upload(runner, "\n")[0].log

    def test_a_name_is_taken_once_unless_overwritten(self, runner):
        runner.write("a", "b")
        assert self.upload(runner, "a")[0].code == 0
        done, kept = self.upload(runner, "b")
        assert done.code == 1 and "(409) Conflict" in done.log and kept == ["a"]
        done, kept = self.upload(runner, "b", overwrite="true")
        assert done.code == 0 and kept == ["b"]

    @pytest.mark.parametrize("inputs", [
        {"name": "a/b"}, {"name": "a:b"}, {"retention_days": "x"}, {"overwrite": "yes"},
        {"if_no_files_found": "fail"}, {"path": "c/../a"}, {"path": "12:30.txt"},
    ])  # fmt: skip
    def test_what_the_service_does_not_take_is_refused(self, runner, inputs):
        runner.write("a", "12:30.txt", "c/d")
        done = runner.step("upload-artifact", **{"path": "a\n12:30.txt", **inputs})
        assert done.code == 1 and "::error::" in done.log
        assert list((runner.services / "artifacts").iterdir()) == []


class TestDownloadArtifact:
    def keep(self, runner, *names):
        for name in names:
            runner.write(f"{name}/a", folder=runner.services / "artifacts", text=name)

    def test_one_name_fills_the_folder(self, runner):
        self.keep(runner, "model", "report")
        done = runner.step("download-artifact", name="model", path="got/it")
        folder = runner.workspace / "got" / "it"
        assert done.outputs == {"download-path": str(folder)}
        assert runner.files(folder) == ["a"] and (folder / "a").read_text() == "model"

    def test_the_workspace_is_the_default(self, runner):
        self.keep(runner, "model")
        done = runner.step("download-artifact", name="model")
        assert done.outputs == {"download-path": str(runner.workspace)}
        assert runner.files(runner.workspace) == ["a"]

    def test_without_a_name_each_gets_a_folder_unless_it_is_the_only_one(self, runner):
        self.keep(runner, "model")
        runner.step("download-artifact", path="one")
        assert runner.files(runner.workspace / "one") == ["a"]
        self.keep(runner, "report")
        runner.step("download-artifact", path="two")
        assert runner.files(runner.workspace / "two") == ["model/a", "report/a"]

    def test_a_missing_name_fails(self, runner):
        self.keep(runner, "model")
        done = runner.step("download-artifact", name="other")
        assert done.code == 1 and "Artifact not found for name: other" in done.log


PATTERNS = [
    "a", "a/", "a/*", "a/**", "a/**/", "**", "*", "**/*.txt", "*.txt", "a/?.txt", "a/[xy].txt",
    "a/[!x].txt", "a/[^x].txt", "a/[x].txt", "a/x.txt/", "with space", "with space/*", ".hidden",
    ".hidden/*", "a/.h", "**/.h", "a\n!a/x.txt", "a\n!a/deep", "a\n!a/deep/**", "!a\na",
    "a\n!**/*.txt\na/x.txt", "# a", "#a\n  b.txt  ", "a/deep\nb.txt", "a/deep\na", "nothing",
    "nothing/*\nb.txt", "a/../b.txt", "./a", "./a/./x.txt", "..", "link", "link/*", "cycle",
    "broken", "{a,b}/*", "[[]odd].txt", "[odd].txt", "\\[odd].txt", "a/\\x.txt", "star\\*",
    "star[*]", "{ROOT}/workspace/a", "{ROOT}/outside", "{ROOT}/*",
    "{ROOT}/workspace/**/requirements.txt",
    "{ROOT}/outside/requirements.txt", "{ROOT}/outside/../workspace/a", "!!a", "! a\na", "a//deep",
    "**/deep", "**/deep/**", "a/**/z.txt", "a/*/z.txt", "*/x.txt", "a*", "*t", "?", "a/x.*", "Ä*",
    "[a-c].txt", "[a-", "[]a]", "a/[", "*.*", "**/**", "a/**/**/z.txt", "***",
]  # fmt: skip


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory):
    """GitHub's own matcher: a function of queries."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("toolkit")
    shutil.copytree(TOOLKIT, folder, dirs_exist_ok=True)
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm cannot install @actions/glob: {done.stderr[-200:]}")

    def ask(queries, workspace):
        env = {**os.environ, "GITHUB_WORKSPACE": str(workspace)}
        done = subprocess.run(["node", folder / "match.mjs"], input=json.dumps(queries), text=True,
                              cwd=workspace, env=env, capture_output=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return ask


@pytest.mark.slow
def test_patterns_match_what_github_matches(toolkit, runner, tmp_path, monkeypatch):
    runner.write(
        "a/x.txt", "a/y.txt", "a/.h", "a/deep/z.txt", "a/deep/.h/i", "b.txt", "with space/c",
        ".hidden/d", "[odd].txt", "star*", "Äpfel", "a/requirements.txt",
    )  # fmt: skip
    runner.write("outside/requirements.txt", folder=tmp_path)
    for name, target in {"link": "a", "cycle": ".", "broken": "gone"}.items():
        (runner.workspace / name).symlink_to(target)
    monkeypatch.chdir(runner.workspace)
    queries = [
        {
            "patterns": patterns.replace("{ROOT}", str(tmp_path)),
            "descendants": descendants,
            "hidden": hidden,
        }
        for patterns in PATTERNS
        for descendants in (True, False)
        for hidden in (True, False)
    ]
    answers = toolkit(queries, runner.workspace)
    different = []
    for query, answer in zip(queries, answers, strict=True):
        try:
            found = find(**query)
            ours = {"paths": sorted(found.paths), "searchPaths": found.search_paths}
        except ValueError:
            ours = {"error": True}
        real = {name: answer[name] for name in ("paths", "searchPaths") if name in answer}
        if ours != (real or {"error": True}):
            different.append((query, ours, answer))
    assert not different


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["", "requirements.txt", "x/pyproject.toml", "setup.py"])
def test_setup_python_caches_where_the_real_hash_has_a_file(toolkit, runner, tmp_path, inside):
    if inside:
        runner.write(inside)
    runner.write("requirements.txt", folder=tmp_path)
    paths = ["*.txt", "setup.py", f"{tmp_path}/requirements.txt", f"{tmp_path}/**"]
    tried = ["**/pyproject.toml", "**/requirements.txt", *paths]
    queries = [{"patterns": each, "descendants": True, "hidden": True} for each in tried]
    fallback, *inside = [answer["inside"] for answer in toolkit(queries, runner.workspace)]
    for path, is_inside in zip(["", *paths], inside, strict=True):
        done = runner.step(
            "setup-python", python_version="3.12", cache="pip", cache_dependency_path=path
        )
        assert (done.code == 0) is (is_inside or fallback), (path, done.log)


def test_the_matcher_is_pinned():
    lock = json.loads((TOOLKIT / "package-lock.json").read_text("utf-8"))["packages"]
    assert all(re.match("sha512-", one["integrity"]) for name, one in lock.items() if name)
