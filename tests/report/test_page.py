"""The report: self-contained, escaped, and viewed in a real browser."""

import base64
import csv
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys

import msgspec
import pytest

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.evaluation import SearchCandidate, Searched
from artifact_pipeline.builder.evaluation import importance
from artifact_pipeline.report import context, page
from artifact_pipeline.report.influences import influences
from artifact_pipeline.report.report_data import ReportData
from artifact_pipeline.report.search_plot import search_plot
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import verify
from tests.support.artifacts import reseal
from tests.support.command import call
from tests.support.configs import QUICK, ROOT, write
from tests.support.waiting import HANG

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip


WIDTHS = [320, 390, 768, 1280, 1920]


def report_of(folder):
    """Return the page of an artifact in a store, with the run that made it."""
    artifact = verify(folder)
    return page.write(artifact, run=context.find(artifact, Store(folder.parent)))


@pytest.fixture(scope="module")
def html(digits):
    return report_of(digits.folder)


def test_run_writes_the_report_beside_the_artifact(digits, html):
    assert digits.run["report"] == f"{digits.run['artifact']}.html"
    assert digits.folder.with_suffix(".html").read_text("utf-8") == html
    assert verify(digits.folder, digits.digest)


def test_the_report_command_writes_the_same_page(digits, html, tmp_path):
    done = call("report", digits.folder, "--output", "here.html", "--json", cwd=tmp_path)
    assert done.json == {"digest": digits.digest, "report": "here.html"}
    assert (tmp_path / "here.html").read_text("utf-8") == html
    out = call("report", digits.folder, cwd=tmp_path).out
    assert out == f"wrote report.html: the report of {digits.digest[7:19]}\n"


def test_a_changed_page_is_written_again(project, digits, html):
    shutil.copytree(digits.store, project / "artifacts")
    place = project / "artifacts" / f"{digits.folder.name}.html"
    place.write_text("<script>alert(1)</script>")
    assert call("run", "--json", cwd=project).json["cached"]
    report = place.read_text("utf-8")
    assert report == report_of(place.with_suffix("")) and "alert" not in report


@pytest.mark.slow
def test_other_gates_are_in_the_report_of_the_next_run(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    place = project / "artifacts" / f"{digits.folder.name}.html"
    call("run", "--gates", '{"test.accuracy": {"min": 0.999}}', cwd=project)
    assert "1 gate missed" in place.read_text("utf-8")
    call("run", "--gates", '{"test.accuracy": {"min": 0.9}}', cwd=project)
    report = place.read_text("utf-8")
    assert "1 gate passed" in report and digits.run["run"] in report
    written = place.stat().st_mtime_ns
    call("run", "--gates", '{"test.accuracy": {"min": 0.9}}', cwd=project)
    assert place.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_missed_gate_still_writes_the_report(project):
    gates = {"test.accuracy": {"min": 0.999}}
    done = call("run", write(project, {**QUICK, "gates": gates}), "--json", cwd=project)
    assert done.code == 1 and (project / done.json["report"]).is_file()


def test_the_content_policy_allows_only_the_style_sheet(html):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "<script" not in html and " style=" not in html and "url(" not in html
    assert not re.search(r'(?:src|href)="(?!#)', html)


def test_the_page_shows_the_content_of_the_artifact(digits, html):
    seen = verify(digits.folder).evaluation()
    assert html.count('class="ink"') > 100
    for one in seen.per_class:
        assert f'<th scope="row">{one.name}</th>' in html
    wrong = [e for e in seen.examples if e.truth != e.label]
    assert html.count("<br>predicted <strong>") == len(wrong) == 15
    for text in ("Calibration", "Weights of class 9", digits.digest, "reproduce"):
        assert text in html


def test_the_headline_has_its_interval_and_the_baseline_beside_it(digits, html):
    seen = verify(digits.folder)
    interval = seen.evaluation().diagnostics.intervals["accuracy"]
    assert seen.manifest.metrics.test["accuracy"] == pytest.approx(0.9583, abs=5e-5)
    assert '<p class="figure">0.958</p>' in html
    assert f"{interval.low:.3f} to {interval.high:.3f}" in html
    assert f"<td>{seen.evaluation().baseline.test['accuracy']:.3f}</td>" in html


@pytest.mark.slow
def test_dates_are_days_of_the_calendar(reports):
    """The dates of the table go from 2010 to 2024, and ranges end on round numbers of days."""
    report = reports["wide"].read_text("utf-8")
    columns = report.partition("<caption>The features</caption>")[2]
    row = re.search(r'<th scope="row">joined.*?</tr>', columns, re.S)[0]
    low, high = re.search(r">(\d{4})-\d\d-\d\d to (\d{4})-\d\d-\d\d, median 20", row).groups()
    assert 2008 <= int(low) <= 2010 and 2024 <= int(high) <= 2031


@pytest.mark.slow
def test_candidates_of_a_search_are_plotted_against_each_varied_number(reports):
    """The example tries 8 candidates of three numbers."""
    report = reports["diabetes"].read_text("utf-8")
    panel = re.search(r"<h3>Search</h3>.*?</table>", report, re.S)[0]
    plots = re.findall(r'<svg class="plot".*?</svg>', panel, re.S)
    titles = ["model__l2_regularization (log scale)", "model__max_iter", "model__max_leaf_nodes"]
    assert sorted(re.search(r'class="name"[^>]*>([^<]*)<', plot)[1] for plot in plots) == titles
    for plot in plots:
        assert plot.count("<circle") == plot.count('class="whisker"') == 8
        assert plot.count('class="chosen"') == 1
    best = json.loads(reports["diabetes"].with_suffix("").joinpath("evaluation.json").read_text())
    first = re.findall(r"<td>([^<]*)</td>", panel)[:3]
    chosen = best["search"]["best"]
    assert [float(cell) for cell in first] == pytest.approx(
        [chosen[name.removesuffix(" (log scale)")] for name in titles], rel=1e-3
    )


def test_a_search_without_numbers_is_plotted_by_rank():
    candidates = [
        SearchCandidate(params={"model__penalty": name}, mean=mean, std=0.1, rank=rank)
        for name, mean, rank in (("l1", 0.5, 2), ("l2", 0.75, 1))
    ]
    panel = search_plot(Searched("roc_auc", {"model__penalty": "l2"}, candidates))
    assert "Candidate, best first" in panel and panel.count("<circle") == 2
    assert re.findall(r"<td>(.*?)</td>", panel) == ["l2", "0.75 ± 0.10", "l1", "0.50 ± 0.10"]


@pytest.mark.parametrize(
    "rows, features, reason",
    [
        (24, 3, "at least 25 held-out rows, and there are 24"),
        (100, 241, "at most 240 features, and this has 241"),
        (100, 240, "predicts too slowly"),
    ],
)
def test_a_report_tells_why_importance_was_not_measured(rows, features, reason):
    assert reason in importance.reason_without(rows=rows, features=features)


def test_a_report_without_importance_says_so(digits):
    artifact = verify(digits.folder)
    diagnostics = msgspec.structs.replace(artifact.evaluation().diagnostics, importance=None)
    evaluation = msgspec.structs.replace(artifact.evaluation(), diagnostics=diagnostics)
    data = ReportData(digest=artifact.digest, manifest=artifact.manifest, evaluation=evaluation,
                      diagnostics=diagnostics, run=None)  # fmt: skip
    assert "Permutation importance was not measured." in influences(data).content


def test_the_report_says_how_many_training_rows_were_measured(digits, html):
    artifact = verify(digits.folder)
    metrics = msgspec.structs.replace(artifact.manifest.metrics, train_rows=1000)
    manifest = msgspec.structs.replace(artifact.manifest, metrics=metrics)
    note = "Metrics of training rows are of a random sample of 1,000 of 1,437 rows."
    assert note not in html
    assert note in page.write(artifact._replace(manifest=manifest))


def test_the_report_tells_of_the_run(digits, html):
    assert digits.run["run"] in html and '"solver"' not in html
    config = (digits.store.parent / "config.json").read_text("utf-8").strip()
    assert config.replace('"', "&quot;") in html


@pytest.mark.parametrize("name", ["version-1-onnx", "version-1-skops"])
def test_artifacts_of_the_first_release_have_a_report(name):
    report = page.write(verify(ROOT / "tests" / "fixtures" / name))
    assert "Held-out accuracy" in report and "Confusion" in report


@pytest.mark.slow
def test_no_class_or_column_name_is_read_as_markup(project):
    hostile = ["<img src=x onerror=alert(1)>", "</style><script>alert(2)</script>", "&quot;>"]
    lines = [",".join([f'"{name}"' for name in (*hostile, "target")])]
    chance = random.Random(0)
    for k in range(200):
        cells = [chance.random(), hostile[k % 2], chance.randint(0, 9), hostile[(k // 2) % 3]]
        lines.append(",".join(f'"{cell}"' for cell in cells))
    (project / "t.csv").write_text("\n".join(lines))
    config = {
        "description": hostile[1],
        "data": {"path": "t.csv", "target": "target", "examples": 5},
        "model": {"preprocess": "auto", "estimator": "sklearn.tree.DecisionTreeClassifier"},
        "evaluation": {"slices": {hostile[0]: {hostile[1]: hostile[0]}}},
    }
    done = call("train", write(project, config), "--json", cwd=project)
    report = (project / done.json["report"]).read_text("utf-8")
    assert "<img" not in report and "<script" not in report and report.count("</style>") == 1
    assert report.count("&lt;img src=x onerror=alert(1)&gt;") > 5


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_user_text_is_escaped(digits, hostile):
    known = verify(digits.folder)
    recipe = known.manifest.recipe
    data = msgspec.structs.replace(recipe.data, dataset=hostile)
    manifest = msgspec.structs.replace(
        known.manifest, recipe=msgspec.structs.replace(recipe, data=data)
    )
    assert hostile not in page.write(known._replace(manifest=manifest))


@pytest.mark.parametrize(
    "change",
    [
        lambda seen: seen["per_class"].pop(),
        lambda seen: seen["confusion"].append([0] * 10),
        lambda seen: seen["confusion"][3].pop(),
        lambda seen: seen["calibration"][0].update(rows=0),
        lambda seen: seen["examples"][0]["values"].pop(),
        lambda seen: seen["examples"][0]["probabilities"].pop(),
        lambda seen: seen["weights"]["coef"][0].append(0.0),
        lambda seen: seen.update(examples=[[]]),
        lambda seen: seen.pop("rows"),
    ],
)
def test_an_inconsistent_evaluation_is_refused_even_if_sealed(copied, change):
    """Who makes an artifact can seal any nonsense; what reads it must not stumble."""
    seen = json.loads((copied / "evaluation.json").read_bytes())
    change(seen)
    reseal(copied, "evaluation.json", canonical.encode(seen))
    done = call("report", copied, cwd=copied.parent)
    assert done.code == 4 and "evaluation.json: " in done.err and "Traceback" not in done.err
    assert not (copied.parent / "report.html").exists()


@pytest.fixture(scope="module")
def reports(tmp_path_factory, digits):
    """Return the reports of models of several kinds, by name."""
    folder = tmp_path_factory.mktemp("reports")
    for name in ("customers", "diabetes"):
        shutil.copytree(ROOT / "examples" / name, folder / name)
    subprocess.run([sys.executable, "make_data.py"], cwd=folder / "customers", check=True)
    model = {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"}
    gates = {"test.roc_auc": {"min": 0.2}, "test.accuracy": {"min": 1.0}}
    for name, rows, extra in (
        ("wide", wide_table(), {"data": {"positive": "yes"}, "gates": gates}),
        ("twelve", table_of_twelve_classes(), {}),
    ):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        data = {"path": f"{name}.csv", "target": "target", **extra.pop("data", {})}
        config = {"data": data, "model": model, **extra}
        (folder / f"{name}.json").write_text(json.dumps(config), "utf-8")
    configs = {"customers": "customers/config.json", "diabetes": "diabetes/config.json",
               "wide": "wide.json", "twelve": "twelve.json"}  # fmt: skip
    found = {"digits": digits.folder.with_suffix(".html")}
    for name, config in configs.items():
        done = call("train", config, "--json", cwd=folder)
        found[name] = folder / done.json["report"]
    return found


def wide_table():
    """Return 300 rows of 40 columns: long names, long texts, dates, missing and large numbers."""
    chance = random.Random(1)
    names = [f"measurement_{k:02}" for k in range(33)]
    names += ["long_" * 15, "a name with spaces", "joined", "city", "<b>&", "huge", "target"]
    yield names
    texts = ["Pune", "Rome", "a rather long text that has many words in it, and a comma", ""]
    for _ in range(300):
        numbers = [round(chance.gauss(k, k + 1), 3) for k in range(33)]
        date = f"20{chance.randint(10, 24)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        others = [chance.random(), chance.choice(["", "1", "2"]), date, chance.choice(texts)]
        is_yes = numbers[0] + chance.gauss(0, 1) > 1.3
        yield [*numbers, *others, chance.randint(0, 1), chance.random() * 1e12,
               "yes" if is_yes else "no"]  # fmt: skip


def table_of_twelve_classes():
    chance = random.Random(2)
    centres = [[chance.gauss(0, 2) for _ in range(5)] for _ in range(12)]
    yield ["a", "b", "c", "d", "e", "target"]
    for k in range(900):
        label = min(k % 13, 11)
        row = [round(chance.gauss(centre, 1.2), 3) for centre in centres[label]]
        yield [*row, f"a class with a long name {label}"]


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs chromium: apt install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["digits", "customers", "diabetes", "wide", "twelve"])
def test_the_page_fits_loads_nothing_and_is_accessible_in_a_browser(reports, name, scheme):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    messages, requests = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * HANG)
        context = browser.new_context(color_scheme=scheme, viewport={"width": 320, "height": 900})
        context.set_default_timeout(1000 * HANG)
        tab = context.new_page()
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        url = reports[name].as_uri()
        tab.goto(url)
        # The style sheet is in force, or all of this would say nothing.
        assert tab.evaluate("getComputedStyle(document.querySelector('.grid')).display") == "flex"
        for is_open in (False, True):
            tab.evaluate(
                "open => document.querySelectorAll('details').forEach(d => d.open = open)", is_open
            )
            for width in WIDTHS:
                tab.set_viewport_size({"width": width, "height": 900})
                assert tab.evaluate("document.documentElement.scrollWidth") == width
                assert tab.evaluate(CUT) == []
        tab.set_viewport_size({"width": 1280, "height": 900})
        assert tab.evaluate(WRAPPED) == []
        for width in (320, 1280):
            tab.set_viewport_size({"width": width, "height": 900})
            violations = Axe().run(tab).response["violations"]
            assert [violation["id"] for violation in violations] == []
        assert messages == [] and requests == [url]
        browser.close()


WRAPPED = """
[...document.querySelectorAll('.metrics th, .metrics td, .rivals th, .gates td')].filter(cell => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  const tops = [...range.getClientRects()].map(box => Math.round(box.top));
  return !cell.querySelector('svg') && new Set(tops).size > 1;
}).map(cell => cell.textContent)
"""
"""The cells of the first section's tables that have several lines."""
CUT = """
[...document.querySelectorAll('svg.plot')].flatMap(plot => {
  const frame = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
      || box.bottom > frame.bottom + 1;
  }).map(text => text.textContent);
})
"""
"""The texts of charts that leave their drawing."""


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs chromium: apt install chromium")
def test_the_page_can_be_read_by_keyboard_and_on_paper(digits):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * HANG)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(1000 * HANG)
        tab.goto(digits.folder.with_suffix(".html").as_uri())
        assert tab.title() == "digits: LogisticRegression"
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Is it good enough?"
        tab.get_by_role("link", name="How was it made?").click()
        assert tab.get_by_role("heading", name="How was it made?").is_visible()
        # The navigation stays in view.
        assert tab.get_by_role("link", name="Is it good enough?").is_visible()
        assert tab.locator("nav").bounding_box()["y"] >= 0
        tab.emulate_media(media="print")
        scroll = "getComputedStyle(document.querySelector('.scroll')).overflowX"
        assert tab.evaluate(scroll) == "visible" and not tab.locator("nav").is_visible()
        browser.close()


@pytest.mark.parametrize(
    "dataset",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("iris", "wine", "breast_cancer")],
)
def test_a_model_without_images_has_a_report(project, dataset):
    model = {"estimator": "sklearn.linear_model.RidgeClassifier"}
    done = call("train", write(project, {"data": {"dataset": dataset}, "model": model}), "--json",
                cwd=project)  # fmt: skip
    html = (project / done.json["report"]).read_text("utf-8")
    assert "Held-out rows with a wrong label" in html or "predicted right" in html
    assert "Calibration" not in html and 'class="ink"' not in html
