"""The page of a running server, in a real Chromium."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.command import call
from tests.support.configs import write
from tests.support.server import city, serving, train_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") or shutil.which("chromium-browser")),
        reason="needs chromium: apt install chromium",
    ),
]
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
DRAWN = json.loads(Path(__file__).with_name("strokes.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def server(digits, tmp_path_factory):
    with serving(digits.folder, cwd=tmp_path_factory.mktemp("try")) as found:
        yield found


class Tab:
    """A page that is open, what its console said, and what it asked for."""

    def __init__(self, browser, url, **context):
        self.said, self.asked = [], []
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | context)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def best(self):
        return self.page.locator(".best .name").inner_text()


@pytest.fixture
def tab(browser, server):
    found = Tab(browser, f"http://{server.address}/")
    found.page.locator(".best").wait_for()
    yield found
    found.context.close()


def draw(page, strokes):
    page.get_by_role("button", name="Clear").click()
    box = page.locator("canvas.drawing").bounding_box()
    for points in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()


def settled(page):
    """Wait until the server has answered all that was asked, and the status line is set."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(700)


def test_drawn_digits_get_their_labels(tab):
    right = []
    for one in DRAWN:
        draw(tab.page, one["strokes"])
        settled(tab.page)
        right.append(tab.best() == str(one["label"]))
    assert len(right) == 10 and sum(right) >= 8
    assert tab.said == []


def test_the_page_shows_the_response_of_the_server(tab, server, digits):
    page = tab.page
    draw(page, DRAWN[0]["strokes"])
    settled(page)
    assert page.locator("#digest").inner_text() == digits.digest
    assert "0.9583" in page.locator("#metrics").inner_text()
    command = page.locator("#curl").inner_text()
    body = re.search(r"-d '(.*)'$", command)[1]
    answer = server.post("/predict/model", body.encode()).json
    values = [float(one) for one in page.locator(".bars .value").all_inner_texts()]
    assert values == [round(one, 4) for one in answer["probabilities"][0]]
    width = "one => one.getBoundingClientRect().width / one.parentElement.clientWidth"
    drawn = [one.evaluate(width) for one in page.locator(".bar").all()]
    assert drawn == pytest.approx(answer["probabilities"][0], abs=0.01)
    spoken = page.locator("[role=status]").inner_text()
    assert spoken == f"0, probability {max(answer['probabilities'][0]):.2f}"
    seen = json.loads(body)["rows"][0]
    assert all(0 <= value <= 16 for value in seen) and max(seen) > 12
    assert all(url.startswith((f"http://{server.address}/", "blob:")) for url in tab.asked)


def test_a_click_tries_a_held_out_row_and_opens_the_report(tab, digits):
    page = tab.page
    first = json.loads((digits.folder / "evaluation.json").read_bytes())["examples"][0]
    page.locator("example-list button").first.click()
    settled(page)
    assert tab.best() == str(first["label"])
    with page.expect_navigation():
        page.locator("#report").click()
    assert "Confusion" in page.content()
    assert tab.said == []


def test_the_page_works_by_keyboard(tab):
    """The image is set cell by cell: arrows move, digits are ink."""
    page = tab.page
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    first = page.locator(".place").first
    first.focus()
    for key in ("ArrowRight", "ArrowDown", "9", "ArrowDown", "5", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    settled(page)
    labels = [one.get_attribute("aria-label") for one in page.locator(".place").all()]
    inked = [label for label in labels if not label.endswith(": 0")]
    assert inked == ["row 2, column 2: 16", "row 3, column 2: 9"]
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "row 3, column 1: 0"


def test_the_page_works_by_touch(browser, server):
    tab = Tab(browser, f"http://{server.address}/", has_touch=True,
              viewport={"width": 360, "height": 740})  # fmt: skip
    tab.page.locator(".best").wait_for()
    tab.page.get_by_role("button", name="Clear").tap()
    tab.page.locator("canvas.drawing").tap()
    settled(tab.page)
    command = tab.page.locator("#curl").inner_text()
    assert max(json.loads(re.search(r"-d '(.*)'$", command)[1])["rows"][0]) > 0
    tab.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_and_is_accessible(browser, server, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    tab = Tab(browser, f"http://{server.address}/", color_scheme=scheme,
              viewport={"width": width, "height": 800})  # fmt: skip
    tab.page.locator(".best").wait_for()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(tab.page).response["violations"]
    assert [violation["id"] for violation in found] == []
    assert tab.said == []
    tab.context.close()


def test_a_table_has_a_form_with_readable_errors(browser, tmp_path):
    age = ("age", lambda index: str(20 + index % 40))
    train_table(
        tmp_path, ("city", city), age, ("since", lambda index: f"2024-01-{index % 28 + 1:02}")
    )
    with serving("latest", cwd=tmp_path) as server:
        tab = Tab(browser, f"http://{server.address}/")
        page = tab.page
        page.locator(".best").wait_for()
        page.get_by_label("city").fill("Ōsaka")
        settled(page)
        assert tab.best() == "False"
        page.get_by_label("city").fill("Rome")
        page.get_by_label("since").fill("2024-02-03")
        settled(page)
        assert tab.best() == "True"
        assert page.locator("#error").is_hidden()
        page.get_by_label("age").fill("old")
        page.locator("#error").wait_for()
        assert "row 1, column 'age'" in page.locator("#error").inner_text()
        page.get_by_label("age").fill("30")
        page.locator("#error").wait_for(state="hidden")
        tab.context.close()


def test_the_form_uses_the_formats_of_the_columns(browser, tmp_path):
    lines = [
        f'{index % 28 + 1:02d}/02/2026,"{1000 + index % 30}.5 kg",{index % 3 > 0}'
        for index in range(120)
    ]
    (tmp_path / "t.csv").write_text("day,weight,y\n" + "\n".join(lines).replace(".", ","), "utf-8")
    formats = {
        "day": {"date": "%d/%m/%Y"},
        "weight": {"thousands": ".", "decimal": ",", "unit": "kg"},
    }
    config = {
        "data": {"path": "t.csv", "target": "y", "formats": formats, "examples": 5},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }
    assert call("train", write(tmp_path, config), cwd=tmp_path).code == 0
    with serving("latest", cwd=tmp_path) as server:
        tab = Tab(browser, f"http://{server.address}/")
        page = tab.page
        page.locator(".best").wait_for()
        assert page.locator("#error").is_hidden()
        assert re.fullmatch(r"\d\d/02/2026", page.get_by_label("day").input_value())
        assert re.fullmatch(r"10\d\d\.5", page.get_by_label("weight").input_value())
        rows = []
        page.on("request", lambda request: rows.append(json.loads(request.post_data)["rows"][0]))
        for weight, day in (("1.007", "03/02/2026"), ("1.007,5 kg", "04/02/2026")):
            page.get_by_label("weight").fill(weight)
            page.get_by_label("day").fill(day)
            settled(page)
            assert page.locator("#error").is_hidden() and rows[-1] == [day, weight]
        page.get_by_label("day").fill("2026-02-03")
        page.locator("#error").wait_for()
        assert "expected a date as data.formats says" in page.locator("#error").inner_text()
        tab.context.close()


def test_the_page_asks_for_the_token_and_keeps_it_in_memory(browser, digits, tmp_path):
    (tmp_path / "token").write_text("correct-horse-battery", "utf-8")
    words = (digits.folder, "--host", "0.0.0.0", "--token-file", "token")
    with serving(*words, cwd=tmp_path) as server:
        tab = Tab(browser, f"http://{server.address}/")
        page = tab.page
        field = page.get_by_label("This server requires a token")
        field.wait_for()
        assert page.locator("#content").is_hidden() and page.locator("#error").is_hidden()
        field.fill("wrong-horse-battery")
        page.keyboard.press("Enter")
        page.locator("#error").wait_for()
        field.fill("correct-horse-battery")
        page.keyboard.press("Enter")
        page.locator("#content").wait_for()
        draw(page, DRAWN[4]["strokes"])
        settled(page)
        assert tab.best() == "4"
        assert page.locator("example-list button").count() == 0
        with page.expect_popup() as opened:
            page.locator("#report").click()
        opened.value.get_by_text("No held-out rows are shown.").wait_for()
        opened.value.get_by_role("heading", name="Confusion").wait_for()
        kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert kept == '[{},{},""]'
        page.reload()
        field.wait_for()
        tab.context.close()
    with serving(*words, "--show-examples", cwd=tmp_path) as server:
        found = server.get("/page/model", authorization="Bearer correct-horse-battery")
        assert len(found.json["examples"]) == 12


def test_each_of_several_models_has_a_page(browser, digits, tmp_path):
    with serving(f"a={digits.folder}", f"b={digits.folder}", cwd=tmp_path) as server:
        tab = Tab(browser, f"http://{server.address}/")
        tab.page.get_by_role("link", name="b").click()
        tab.page.locator(".best").wait_for()
        assert tab.page.url.endswith("/try/b")
        assert "/predict/b " in tab.page.locator("#curl").inner_text()
        tab.context.close()


def test_no_other_script_runs_on_the_page(server):
    found = server.get("/")
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert policy.count("sha256-") == 7 and found.body.count(b"<script") == 5
    assert not re.search(rb"(src|href)=\"https?:", found.body)
    assert found.headers["x-frame-options"] == "DENY"
