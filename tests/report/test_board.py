"""The board: self-contained, safe with anyone's text, and used in a real browser."""

import base64
import hashlib
import json
import re
import shutil
from contextlib import contextmanager

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import artifact_pipeline as api
from artifact_pipeline import write_board
from artifact_pipeline.errors import CallError
from artifact_pipeline.report import board, context, page
from artifact_pipeline.store.run_query import run_rows
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import verify
from tests.report.test_page import CHROMIUM, FLAGS
from tests.support.command import call
from tests.support.configs import QUICK, write
from tests.support.runs import churn, price, write_runs
from tests.support.waiting import HANG

HOSTILE = ["</script><script>alert(1)</script>", "<!--<script>", '"><img src=x onerror=alert(1)>',
           "__proto__", "constructor", "javascript:alert(1)", "\u2028\u2029\u202e\x00\x1b[2J",
           "&lt;b&gt;", "${alert(1)}", "{data}", "a" * 500]  # fmt: skip


def hostile_store(folder):
    """Write runs whose every text is hostile."""
    for index, text in enumerate(HOSTILE):
        recipe = {
            "name": "churn",
            "data": {"dataset": text, "digest": text},
            "model": {"estimator": f"a.{text}", "params": {text: text, "C": text}},
            "split": {text: text},
        }
        git = {"commit": text, "dirty": True}
        metrics = {"test": {"accuracy": 0.5 + index / 100, text: 0.1}}
        write_runs(folder, 1, first=index, recipe=recipe, git=git, metrics=metrics, data=text,
                   error={"message": text}, gates=[{"metric": text, "passed": False}])  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("customers") / "artifacts"
    write_runs(folder, 30, kinds=(churn, price))
    return folder


@pytest.fixture
def html(store, tmp_path):
    write_board(tmp_path / "board.html", store=store)
    return (tmp_path / "board.html").read_text("utf-8")


def data_of(html):
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])


def test_the_policy_allows_only_the_style_sheet_and_the_script(html):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    script = re.search(r'<script type="module">(.*?)</script>', html, re.S)[1]
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{hashes[0]}'",
        f"script-src 'sha256-{hashes[1]}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert html.count("<script") == 2 and " style=" not in html and "url(" not in html
    assert not re.search(r'(?:src|href)="', html) and "innerHTML" not in html


def test_the_page_holds_every_run_and_the_same_store_gives_the_same_page(html, store, tmp_path):
    data = data_of(html)
    rows = run_rows(store=store)
    assert [run[0] for run in data["runs"]] == [row.run for row in rows]
    assert data["models"] == ["price", "churn"]
    assert {"C", "solver", "max_depth", "split.test_size"} <= set(data["params"])
    accuracy = [metric["title"] for metric in data["metrics"]].index("Accuracy")
    for run, row in zip(data["runs"], rows, strict=True):
        expected = row.test.get("accuracy")
        assert run[-1][accuracy] == (None if expected is None else pytest.approx(expected, 1e-6))
    write_board(tmp_path / "again.html", store=store)
    assert (tmp_path / "again.html").read_text("utf-8") == html


def test_text_of_others_stays_inside_its_script_element(tmp_path):
    hostile_store(tmp_path / "store")
    write_board(tmp_path / "board.html", store=tmp_path / "store")
    html = (tmp_path / "board.html").read_text("utf-8")
    assert html.count("<script") == html.count("</script>") == 2 and "<!--" not in html
    assert "<img" not in html and not set(html) & set("\u2028\u2029\u202e\x00\x1b")
    data = data_of(html)
    assert HOSTILE[0] in data["params"] and HOSTILE[2] in data["params"]


def test_the_name_of_the_store_is_escaped(tmp_path):
    folder = tmp_path / '<img src=x onerror="alert(1)">'
    write_runs(folder, 1)
    write_board(tmp_path / "board.html", store=folder)
    assert "<img" not in (tmp_path / "board.html").read_text("utf-8")


def test_a_file_links_to_the_reports_in_the_store(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    out = call("board", "-o", "deep/down/board.html", cwd=project).out
    assert out == "wrote deep/down/board.html: 1 run\n"
    [run] = data_of((project / "deep/down/board.html").read_text("utf-8"))["runs"]
    [link] = [field for field in run if str(field).endswith(".html")]
    assert (project / "deep/down" / link).resolve() == (
        project / "artifacts" / digits.folder.name
    ).with_suffix(".html")


@pytest.mark.slow
def test_a_folder_gets_the_reports_of_artifacts_that_verify(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    report = project / "artifacts" / f"{digits.folder.name}.html"
    report.write_text("<script>alert(1)</script>")
    done = call("board", "--output", "public", "--json", cwd=project)
    assert done.json == {"page": "public/index.html", "runs": 1, "of": 1, "reports": 1}
    written = project / "public" / "reports" / f"{digits.folder.name[:12]}.html"
    artifact = verify(project / "artifacts" / digits.folder.name)
    run = context.find(artifact, Store(project / "artifacts"))
    assert run is not None and digits.run["run"] in written.read_text("utf-8")
    assert written.read_text("utf-8") == page.write(artifact, run=run)
    written.unlink()
    (project / "artifacts" / digits.folder.name / "README.md").write_text("other")
    assert call("board", "--output", "public", "--json", cwd=project).json["reports"] == 0
    assert not written.exists()


def test_of_many_runs_the_newest_are_on_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(board, "MAX_RUNS", 10)
    ids = write_runs(tmp_path / "store", 15)
    written = write_board(tmp_path / "board.html", store=tmp_path / "store")
    assert (written.runs, written.of) == (10, 15)
    html = (tmp_path / "board.html").read_text("utf-8")
    assert [run[0] for run in data_of(html)["runs"]] == ids[:4:-1]
    assert "the newest 10 of 15 runs" in html


def test_a_model_that_was_sealed_elsewhere_is_on_the_board(tmp_path):
    X, y = load_iris(return_X_y=True)
    for C in (0.01, 1.0):
        estimator = LogisticRegression(C=C, max_iter=1000).fit(X[::2], y[::2])
        sealed = api.seal(estimator, X[1::2], y[1::2], name="bought", store=tmp_path / "store")
    api.promote("bought:1", store=tmp_path / "store")
    write_board(tmp_path / "public", store=tmp_path / "store")
    data = data_of((tmp_path / "public" / "index.html").read_text("utf-8"))
    assert data["models"] == ["bought"] and [run[5] for run in data["runs"]] == [2, 1]
    assert data["runs"][0][12] == "LogisticRegression"
    assert (tmp_path / "public" / data["runs"][0][14]).is_file()
    [newest, first] = run_rows(store=tmp_path / "store")
    assert newest.value == sealed.metrics.test["accuracy"] and first.is_champion
    assert newest.change == pytest.approx(newest.value - first.value)
    assert api.examine(tmp_path / "store").healthy


def test_the_board_is_not_written_into_the_store(store, tmp_path):
    for path in (store, store / "board.html", store / "sub" / ".." / "x"):
        with pytest.raises(CallError, match="is inside the store"):
            write_board(path, store=store)
    done = call("board", "--store", "missing", cwd=tmp_path)
    assert done.code == 2 and "no such folder" in done.err


def test_an_output_that_cannot_be_written_is_one_error(store, tmp_path):
    (tmp_path / "file").write_text("")
    done = call("board", "--store", store, "-o", "file/board.html", cwd=tmp_path)
    assert done.code == 5 and done.err.count("\n") == 1


@contextmanager
def opened(path, *, width=1280, scheme="light"):
    """Open a page in a browser; fail if it logs, asks for anything or shows a dialog."""
    from playwright.sync_api import sync_playwright

    messages, requests = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * HANG)
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        context.set_default_timeout(1000 * HANG)
        tab = context.new_page()
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("dialog", lambda dialog: messages.append(dialog.message))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        yield tab
        assert messages == [] and requests == [path.as_uri()]
        browser.close()


def browser_test(function):
    needs = pytest.mark.skipif(not CHROMIUM, reason="needs chromium: apt install chromium")
    return pytest.mark.slow(needs(function))


def column(tab, title):
    """Return the texts of a column in the rows that are in the page."""
    return tab.evaluate(
        """title => {
          const heads = [...document.querySelectorAll('#head th')].map(th => th.textContent);
          const at = heads.findIndex(text => text.replace(/[▲▼]/, '') === title);
          return [...document.querySelectorAll('#rows tr:not(.gap)')]
            .map(row => row.children[at].textContent);
        }""",
        title,
    )


@browser_test
@pytest.mark.parametrize("width", [360, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_is_accessible(store, tmp_path, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    write_board(tmp_path / "board.html", store=store)
    with opened(tmp_path / "board.html", width=width, scheme=scheme) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.title() == f"Runs of {store.parent.name}"
        assert [v["id"] for v in Axe().run(tab).response["violations"]] == []
        tab.locator("#rows button").first.click()
        assert tab.locator("#details").is_visible()
        assert [v["id"] for v in Axe().run(tab).response["violations"]] == []
        assert tab.evaluate("document.documentElement.scrollWidth") == width


@browser_test
def test_runs_are_filtered_and_sorted_as_the_records_say(store, tmp_path):
    write_board(tmp_path / "board.html", store=store)
    rows = [row for row in run_rows(store=store) if row.name == "churn"]
    with opened(tmp_path / "board.html") as tab:
        tab.get_by_label("Model").select_option("churn")
        assert tab.locator("#count").inner_text() == "15 runs of 30"
        assert column(tab, "C") == [f"{row.params['C']:g}" for row in rows]
        tab.get_by_role("button", name="Accuracy").focus()
        tab.keyboard.press("Enter")
        best = sorted((row.value for row in rows), reverse=True)
        assert column(tab, "Accuracy") == [f"{value:.4f}" for value in best]
        assert tab.evaluate("document.activeElement.dataset.key") == "metric"
        tab.keyboard.press("Enter")
        assert column(tab, "Accuracy") == [f"{value:.4f}" for value in best[::-1]]
        sorting = "document.querySelector('[aria-sort=ascending]').textContent"
        assert tab.evaluate(sorting).startswith("Accuracy")
        tab.locator("#metric").select_option("Log loss")
        losses = sorted((row.test["log_loss"] for row in rows), reverse=True)
        tab.get_by_role("button", name="Log loss").click()
        assert column(tab, "Log loss") == [f"{value:.4f}" for value in losses]
        tab.get_by_label("Filter").fill("solver=saga")
        saga = [row for row in rows if row.params["solver"] == "saga"]
        assert tab.locator("#count").inner_text().startswith(f"{len(saga)} run")
        tab.get_by_label("Gates").select_option("Missed")
        missed = [row for row in saga if row.gates == "missed"]
        assert tab.locator("#count").inner_text().startswith(f"{len(missed)} run")
        tab.get_by_label("Filter").fill("no such words")
        assert tab.get_by_text("No run matches.").is_visible()


@browser_test
def test_a_click_on_a_point_of_a_chart_shows_its_run(store, tmp_path):
    write_board(tmp_path / "board.html", store=store)
    newest = next(row for row in run_rows(store=store) if row.name == "price")
    with opened(tmp_path / "board.html") as tab:
        tab.get_by_label("Filter").fill(f"{newest.started[:16].replace('T', ' ')}")
        canvas = tab.locator("#time").bounding_box()
        # The one run is in the middle of the axes: 62 and 14 pixels beside, 14 and 40 above, below.
        tab.mouse.click(canvas["x"] + (canvas["width"] + 62 - 14) / 2,
                        canvas["y"] + (canvas["height"] + 14 - 40) / 2)  # fmt: skip
        details = tab.locator("#details").inner_text()
        assert f"{newest.value:.4f}" in details and newest.digest[7:19] in details


@browser_test
def test_five_thousand_runs_keep_few_rows_in_the_page(tmp_path):
    write_runs(tmp_path / "store", 5000)
    write_board(tmp_path / "board.html", store=tmp_path / "store")
    started = [row.started[:16].replace("T", " ") for row in run_rows(store=tmp_path / "store")]
    with opened(tmp_path / "board.html") as tab:
        for position in (0, 2500, 4980):
            tab.evaluate(
                "at => { document.getElementById('table').scrollTop = at * 36; }", position
            )
            tab.wait_for_function("text => document.getElementById('rows').textContent"
                                  ".includes(text)", arg=started[position])  # fmt: skip
            seen = column(tab, "Started (UTC)")
            assert len(seen) < 80
            first = started.index(seen[0])
            assert seen == started[first : first + len(seen)] and first <= position
        # By keyboard: the row that has the focus stays, and the next one follows it.
        tab.evaluate("document.getElementById('table').scrollTop = 0")
        tab.wait_for_function(
            "() => document.querySelector('#rows tr:not(.gap)').ariaRowIndex === '2'"
        )
        tab.locator("#rows button").first.focus()
        for index in range(3, 60):
            tab.keyboard.press("Tab")
            row = "document.activeElement.closest('tr').getAttribute('aria-rowindex')"
            tab.wait_for_function(f"() => {row} === '{index}'")


@browser_test
def test_text_of_others_runs_nothing_and_is_shown_as_text(tmp_path):
    hostile_store(tmp_path / "store")
    write_board(tmp_path / "board.html", store=tmp_path / "store")
    with opened(tmp_path / "board.html") as tab:
        for _ in range(len(HOSTILE)):
            tab.keyboard.press("Tab")
        for option in range(tab.locator("#param option").count()):
            tab.locator("#param").select_option(index=option)
        tab.locator("#rows button").last.click()
        shown = tab.locator("body").inner_text()
        assert HOSTILE[0] in shown and tab.locator("img").count() == 0
        assert tab.evaluate("document.scripts.length") == 2


@browser_test
def test_the_history_of_champions_is_a_timeline(project):
    names = []
    for smoothing in (1e-9, 0.5):
        model = {"estimator": QUICK["model"]["estimator"], "params": {"var_smoothing": smoothing}}
        done = call("run", write(project, {**QUICK, "model": model}), "--json", cwd=project)
        names.append(f"{done.json['name']}:{done.json['version']}")
        call("promote", names[-1], "--message", f"<b>v{smoothing}</b>", cwd=project)
    assert call("rollback", "iris@champion", "--message", "complaints", cwd=project).code == 0
    assert call("board", "-o", "public", cwd=project).code == 0
    with opened(project / "public" / "index.html") as tab:
        entries = tab.locator(".timeline li").all_inner_texts()
        assert [entry.split()[0] for entry in entries] == [names[0], *names[::-1]]
        assert "rollback" in entries[0] and "now" in entries[0] and "complaints" in entries[0]
        assert "<b>v0.5</b>" in entries[1] and " for " in entries[1]
        assert column(tab, "Against champion")[1] == "champion"
        tab.locator(".timeline button").first.click()
        link = tab.get_by_role("link", name="Open the report")
        assert (project / "public" / link.get_attribute("href")).is_file()


def test_json_in_the_page_reads_back_as_it_was():
    value = {text: [text] for text in HOSTILE}
    assert json.loads(board.embedded(value)) == value
