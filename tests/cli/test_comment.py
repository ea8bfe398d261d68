"""`comment`: what a run changed, on the pull request of the job, in the summary or printed."""

import json
import re
import shutil

import msgspec
import pytest
from markdown_it import MarkdownIt

from artifact_pipeline.cli import comment_text, pull_request
from artifact_pipeline.cli.pull_request import PullRequest, put_comment
from artifact_pipeline.errors import NetworkError
from artifact_pipeline.pipeline.gates import Verdict
from artifact_pipeline.pipeline.record import Previous, Record
from artifact_pipeline.store.store import Store
from tests.support.command import call
from tests.support.configs import QUICK, write
from tests.support.github_api import BOT, REPOSITORY, github_api

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MARKER = "<!-- artifact-pipeline digits -->"


@pytest.fixture
def github():
    with github_api() as api:
        yield api


@pytest.fixture
def store(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    return Store(project / "artifacts")


@pytest.fixture
def record(store):
    """The file of the run record of digits."""
    [path] = store.journal.run_files()
    return path


def job(project, github, token="writes", **variables):
    """Return the variables of a job that runs for the pull request."""
    event = {"pull_request": {"number": github.number, "head": {"sha": COMMIT}}}
    (project / "event.json").write_text(json.dumps(event))
    return {
        "GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(project / "event.json"),
        "GITHUB_API_URL": github.url, "GITHUB_GRAPHQL_URL": f"{github.url}/graphql",
        "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_RUN_ID": "42", "GITHUB_STEP_SUMMARY": str(project / "summary"),
        "GITHUB_TOKEN": token, **variables,
    }  # fmt: skip


def test_a_run_is_commented_once_and_later_runs_replace_it(project, github, record):
    done = call("comment", record, cwd=project, env=job(project, github))
    assert done.code == 0, done.err
    [body] = github.by()
    first, *lines = body.splitlines()
    assert first == MARKER
    assert lines[0] == "### `digits`: no gates"
    assert "| Accuracy | 0.9583 |" in lines and "There is no champion to compare with." in lines
    assert f"[`0123456`](https://github.com/{REPOSITORY}/commit/{COMMIT})" in body
    assert f"[report and log](https://github.com/{REPOSITORY}/actions/runs/42)" in body
    assert done.out == f"commented: {github.comments[0]['html_url']}\n"

    again = job(project, github, GITHUB_RUN_ID="43")
    done = call("comment", record, cwd=project, env=again)
    assert done.code == 0, done.err
    [body] = github.by()
    assert "/actions/runs/43" in body
    assert not (project / "summary").exists()


def test_only_the_comment_of_the_own_user_and_model_is_replaced(project, github, record):
    planted = github.write("mallory", f"{MARKER}\nlook at me")
    quoted = github.write(BOT, f"> {MARKER}\nanother action")
    other = github.write(BOT, "<!-- artifact-pipeline digits-2 -->\nanother model")
    for number in range(250):
        github.write("someone", f"comment {number}")
    own = github.write(BOT, f"{MARKER}\nbefore")
    done = call("comment", record, cwd=project, env=job(project, github))
    assert done.code == 0, done.err
    assert own["body"].startswith(f"{MARKER}\n### `digits`") and len(github.comments) == 254
    assert planted["body"].endswith("look at me") and quoted["body"].endswith("another action")
    assert other["body"].endswith("another model")
    # The same with the token of an app: what the bot wrote is not its own.
    done = call("comment", record, cwd=project, env=job(project, github, "app"))
    assert done.code == 0 and len(github.by("acme[bot]")) == 1


def test_a_token_that_may_only_read_leaves_the_text_in_the_summary(project, github, record):
    done = call("comment", record, cwd=project, env=job(project, github, "reads"))
    assert done.code == 0 and github.comments == []
    problem = "GitHub: returned 403: Resource not accessible by integration"
    assert done.err == f"warning: not posted on the pull request: {problem}\n"
    summary = (project / "summary").read_text("utf-8")
    assert f"Not posted on the pull request: `{problem}`" in summary
    assert "`permissions: pull-requests: write`" in summary and "forks" in summary
    assert "| Accuracy | 0.9583 |" in summary
    assert "::" not in done.out


def test_outside_of_a_pull_request_the_text_is_printed(project, github, record, monkeypatch):
    env = job(project, github)
    (project / "event.json").write_text('{"ref": "refs/heads/main"}')
    done = call("comment", record, cwd=project, env=env)
    assert done.code == 0 and done.out.startswith("### `digits`: no gates\n")
    done = call("comment", record, "--json", cwd=project, env=env)
    assert done.json["markdown"].startswith("### ") and done.json["url"] is None
    assert github.requests == []
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for event in ("", "[]", '{"pull_request": null}', '{"pull_request": {"number": "7"}}', "{"):
        (project / "event.json").write_text(event)
        assert pull_request.of_job() is None


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("nothing.json", None, 2, "no such file, expected a run record"),
        ("other.json", "{}", 5, "is not a record"),
        ("other.json", "x", 5, "is not a record"),
        ("failed.json", '{"config":"c","run":"r","started":""}', 2, "a run without an artifact"),
        (".", None, 2, "no such file, expected a run record"),
    ],
)
def test_what_is_not_a_record_is_refused(project, store, name, content, code, message):
    if content is not None:
        (project / name).write_text(content)
    done = call("comment", name, cwd=project)
    assert done.code == code and done.err.startswith("error: ") and message in done.err
    assert done.err.count("\n") == 1


def target(github, **changed):
    known = {"api": github.url, "graphql": f"{github.url}/graphql", "repository": REPOSITORY,
             "number": github.number, "commit": COMMIT}  # fmt: skip
    return PullRequest(**{**known, **changed})


def put(github, *, token="writes", **changed):
    return put_comment(target(github, **changed), f"{MARKER}\nx", marker=MARKER, token=token)


def test_a_comment_that_was_deleted_meanwhile_is_written_again(github):
    github.write(BOT, f"{MARKER}\nbefore")
    github.fails["PATCH"] = (404, {}, b'{"message": "Not Found"}')
    assert put(github) == github.comments[-1]["html_url"]
    assert len(github.by()) == 2


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, b'{"message": "Bad credentials"}', "returned 401: Bad credentials"),
        (403, b'{"message": "rate limit\\u001b[2J\\n::error::"}', r"403: rate limit\\x1b\[2J\\n::"),
        (422, b"[]", "returned 422$"),
        (500, b"<html>", "returned 500$"),
        (503, b'{"message": 7}', "returned 503: 7"),
        (200, b"<html>", "cannot be used"),
        (200, b'{"data": {"viewer": null}}', "does not name the token's user|not a list|None"),
    ],
)
def test_a_refusal_is_an_error_of_the_network(github, method, status, content, message):
    github.write(BOT, f"{MARKER}\nbefore")
    if method == "POST":
        github.comments.clear()
    github.fails[method] = (status, {}, content)
    if status == 200 and method != "GET" and content.startswith(b"{"):
        assert put(github) == ""  # it was accepted; only the address is not known
        return
    with pytest.raises(NetworkError, match=message):
        put(github)


def test_the_user_of_the_token_must_be_known_before_a_comment_is_replaced(github):
    github.write(BOT, f"{MARKER}\nbefore")
    github.fails["POST"] = (200, {}, b'{"errors": [{"message": "no"}]}')
    with pytest.raises(NetworkError, match="does not name the token's user"):
        put(github)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_the_token_follows_no_redirect(github, status, method):
    github.write(BOT, f"{MARKER}\nbefore")
    if method == "POST":
        github.comments.clear()
    with github_api() as elsewhere:
        github.fails[method] = (status, {"Location": f"{elsewhere.url}/"}, b"")
        with pytest.raises(NetworkError, match=f"returned {status}"):
            put(github)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"repository": "acme/gone"}, "returned 404: Not Found"),
        ({"number": 8}, "returned 404"),
        ({"token": "wrong"}, "returned 401"),
        ({"token": ""}, "has no token"),
        ({"token": "a\r\nX-Evil: 1"}, "cannot be used: ValueError"),
        ({"api": "http://example.org"}, "not https://"),
        ({"api": "http://127.0.0.1.example.org"}, "not https://"),
        ({"api": "file:///etc"}, "not https://"),
        ({"api": "http://127.0.0.1:1"}, "cannot be used: URLError"),
    ],
)
def test_what_cannot_be_written_is_an_error_without_the_token(github, changed, message):
    with pytest.raises(NetworkError, match=message) as error:
        put(github, **changed)
    token = changed.get("token", "writes")
    assert not token or token not in str(error.value)
    assert error.value.__cause__ is None
    assert github.comments == []


def test_the_repository_of_the_job_is_a_name_and_no_address(project, github, monkeypatch):
    for name, value in job(project, github).items():
        monkeypatch.setenv(name, value)
    assert pull_request.of_job() == target(github)
    for repository in ("../../gists", "a/b/c", "a/b?x=1", "a/b#", "a b/c", "a/b\n", "a", ""):
        monkeypatch.setenv("GITHUB_REPOSITORY", repository)
        assert pull_request.of_job() is None


def changed_record(store, path, **changed):
    return msgspec.structs.replace(store.journal.read(path, Record), **changed)


def missed(text, **changed):
    known = {"metric": "test.accuracy", "bound": "not_worse_than", "value": 0.9, "passed": False,
             "alias": text, "note": text}  # fmt: skip
    return Verdict(**{**known, **changed})


HOSTILE = [
    "@octocat", "a@example.org", "www.example.org", "https://example.org", "acme/churn#1", "#1",
    "GH-1", "0123456789abcdef0123456789abcdef01234567", ":tada:", "<b>x</b>", "<!-- x", "-->",
    "<details>", "[x](https://example.org)", "![x](https://example.org/x.png)", "a | b", "a \\| b",
    "a \\", "`x`", "``x`` ```", "`", "\n\n# x\n", "| --- |\n| x |", "$`x`$", "&lt;", "**x**", "  ",
    "\x1b[2J\u202ex\u200b", "x" * 100_000, "|" * 500, "`" * 500, "`" * 80 + "@octocat",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_text_of_strangers_stays_in_code_spans(store, record, text):
    """GitHub looks for mentions, links, emoji and HTML everywhere else, also behind backslashes."""

    def shown(text):
        gates = [missed(text), missed(text, metric=f"test.accuracy[{text}]")]
        metrics = store.journal.read(record, Record).metrics
        scores = {**metrics.test, f"mine {text}": 0.5}
        changed = msgspec.structs.replace(metrics, test=scores)
        run = changed_record(store, record, gates=gates, metrics=changed)
        markdown = comment_text.write(run, store)
        assert len(markdown) < pull_request.MAX_COMMENT / 2
        assert "``" not in markdown  # GitHub's parser knows no code span of 81 backticks
        parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
        inline = [child for token in parsed for child in [token, *(token.children or [])]]
        return [
            (token.type, token.tag, "" if token.type == "code_inline" else token.content)
            for token in inline
            if token.type != "inline"
        ]

    assert shown(text) == shown("x")


def test_a_comment_of_many_gates_is_short(store, record):
    run = changed_record(store, record, gates=[missed("x" * 5000)] * 2000)
    markdown = comment_text.write(run, store)
    assert "2000 of 2000 gates missed" in markdown and "and 1970 more" in markdown
    assert len(markdown) < pull_request.MAX_COMMENT / 2


def test_without_a_champion_the_run_before_is_compared(store, record):
    run = store.journal.read(record, Record)
    before = msgspec.structs.replace(
        run.metrics, test={**run.metrics.test, "accuracy": 0.96, "log_loss": 0.2}
    )
    del before.test["roc_auc"]
    digest = "sha256:" + "c0ffee" * 10 + "beef"
    gates = [
        Verdict(metric="test.accuracy", bound="min", limit=0.9, value=0.9583, passed=True,
                margin=0.0583),
        missed("x"),
        missed("champion", passed=True, judged=False),
    ]  # fmt: skip
    run = msgspec.structs.replace(run, previous=Previous(digest, before), gates=gates)
    lines = comment_text.write(run, store).splitlines()
    assert lines[0] == "### `digits`: 1 of 3 gates missed"
    assert "| held-out rows | run before, c0ffeec0ffee | this run | difference |" in lines
    # 0.9583333 - 0.96 = -0.0016667, and 0.1191 - 0.2 = -0.0809, of which the second is better.
    assert "| Accuracy | 0.9600 | 0.9583 | -0.0017 **worse** |" in lines
    assert "| Log loss | 0.2000 | 0.1191 | -0.0809 better |" in lines
    assert "| Weighted F1 | 0.9584 | 0.9584 | 0.0000 |" in lines
    assert "| ROC AUC |  | 0.9990 |  |" in lines
    assert "| passed | `test.accuracy is 0.9583, 0.0583 above the minimum` |" in lines
    assert "| **missed** | `test.accuracy is 0.9000: x` |" in lines
    assert "| **not judged** | `test.accuracy is 0.9000: champion` |" in lines


@pytest.mark.slow
def test_the_champion_is_compared_on_the_same_rows_only(project):
    def run(*words, **config):
        path = write(project, {**QUICK, "name": "m", **config})
        done = call("run", path, "--json", *words, cwd=project)
        document = json.loads(done.out)
        return call("comment", document["record"], cwd=project).out, document

    smooth = {"model": {**QUICK["model"], "params": {"var_smoothing": 1.0}}}
    text, first = run()
    assert "There is no champion to compare with." in text
    assert call("promote", "m:1", cwd=project).code == 0
    text, _ = run()
    assert "This artifact is the champion." in text and "difference" not in text
    text, second = run(**smooth)
    change = second["metrics"]["test"]["accuracy"] - first["metrics"]["test"]["accuracy"]
    assert change < 0
    assert "| held-out rows | champion, version 1 | this run | difference |" in text
    assert re.search(rf"\| Accuracy \| .* \| {change:.4f} \*\*worse\*\* \|", text)
    text, _ = run(**smooth, split={"test_size": 0.4})
    assert "the champion was measured on other held-out rows." in text
    assert not re.search("better|worse", text)
    # A champion that does not verify is left out, and said to be.
    folder = project / "artifacts" / first["digest"][7:]
    (folder / "README.md").write_text("changed")
    done = call("comment", second["record"], cwd=project)
    assert done.code == 0 and "warning: the champion is left out" in done.err
