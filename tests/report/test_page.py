"""The report: self-contained, escaped, and viewed in a real browser."""

import base64
import hashlib
import json
import re
import shutil

import msgspec
import pytest

from artifact_pipeline.builder import canonical
from artifact_pipeline.report import page
from artifact_pipeline.verification.verify import verify
from tests.support.artifacts import reseal
from tests.support.command import call
from tests.support.configs import QUICK, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip


@pytest.fixture(scope="module")
def html(digits):
    return page.write(verify(digits.folder))


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
    assert place.read_text("utf-8") == html


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
    assert not re.search(r'(?:src|href)="', html)


def test_the_page_shows_the_content_of_the_artifact(digits, html):
    seen = verify(digits.folder).evaluation()
    assert html.count('class="ink"') > 100
    for one in seen.per_class:
        assert f'<th scope="row">{one.name}</th>' in html
    wrong = [e for e in seen.examples if e.truth != e.label]
    assert html.count("<br>predicted <strong>") == len(wrong) == 15
    for text in ("Calibration", "Weights of class 9", digits.digest, "--force"):
        assert text in html


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


@pytest.mark.skipif(not CHROMIUM, reason="needs chromium: apt install chromium")
@pytest.mark.parametrize("width", [360, pytest.param(1440, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_the_page_fits_loads_nothing_and_is_accessible_in_a_browser(digits, width, scheme):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    said, asked = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        url = digits.folder.with_suffix(".html").as_uri()
        tab.goto(url)
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.title() == "digits: LogisticRegression"
        assert said == [] and asked == [url]
        # The style sheet is in force, or all of this would say nothing.
        assert tab.evaluate("getComputedStyle(document.querySelector('.cards')).display") == "flex"
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.getAttribute('role')") == "region"
        found = Axe().run(tab).response["violations"]
        assert [violation["id"] for violation in found] == []
        tab.emulate_media(media="print")
        scroll = "getComputedStyle(document.querySelector('.scroll')).overflowX"
        assert tab.evaluate(scroll) == "visible"
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
