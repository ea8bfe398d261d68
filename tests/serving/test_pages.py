"""The page of a running server, in a real Chromium."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.command import call
from tests.support.configs import write
from tests.support.server import city, serving, train_table
from tests.support.waiting import HANG

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
        found = driver.chromium.launch(executable_path=path, args=FLAGS, timeout=1000 * HANG)
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
        self.context.set_default_timeout(1000 * HANG)
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
    page.wait_for_function("""() => {
      const number = document.querySelector("#number").textContent;
      const status = document.querySelector(".headline [role=status]").textContent;
      const isBusy = document.querySelector("#prediction").hasAttribute("aria-busy");
      return !isBusy && number && status.startsWith(number);
    }""")


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
    share = max(answer["probabilities"][0])
    shown = "over 0.99" if share > 0.99 else f"{share:.2f}"
    assert page.locator("#number").inner_text() == f"0, probability {shown}"
    assert page.locator(".headline [role=status]").inner_text() == f"0, probability {shown}"
    seen = json.loads(body)["rows"][0]
    assert all(0 <= value <= 16 for value in seen) and max(seen) > 12
    assert all(url.startswith((f"http://{server.address}/", "blob:")) for url in tab.asked)


def test_a_click_tries_a_held_out_row_and_opens_the_report(tab, digits):
    page = tab.page
    sealed = json.loads((digits.folder / "evaluation.json").read_bytes())["examples"]
    labels = {one["row"]: str(one["label"]) for one in sealed}
    for button in (
        page.locator("example-list button").first,
        page.locator("example-list button").last,
    ):
        [row] = re.findall(r"row (\d+)", button.get_attribute("aria-label"))
        button.click()
        settled(page)
        assert tab.best() == labels[int(row)]
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


@pytest.fixture(scope="module")
def table_server(tmp_path_factory):
    """A server of a classifier of a table with hostile names and texts."""
    folder = tmp_path_factory.mktemp("hostile")
    names = [*(f"measurement_{index}_of_the_array" for index in range(12)), "co,mma", *HOSTILE]
    rows = [
        [
            *(f"{(index * (place + 3)) % 29 - 5}.5" for place in range(13)),
            *(HOSTILE[index % 3] for _ in HOSTILE),
            f"=k{index}",
            ["<u>yes</u>", "=no", "x" * 60][(index * 7) % 29 % 3],
        ]
        for index in range(240)
    ]
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*names, "key", "<i>kind</i>"], *rows])
    config = {
        "data": {"path": "t.csv", "target": "<i>kind</i>", "id": "key", "examples": 10},
        "model": {"preprocess": "auto", "estimator": "sklearn.tree.DecisionTreeClassifier"},
    }
    done = call("train", write(folder, config), "--json", cwd=folder)
    assert done.code == 0, done.err
    with serving(folder / done.json["artifact"], cwd=folder) as running:
        yield running


HOSTILE = ['<img src="x" onerror="document.title=1">', "=1+1", '"><script>alert(1)</script>']


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
@pytest.mark.parametrize("kind", ["image", "table"])
def test_the_page_fits_and_is_accessible(
    browser, server, table_server, tmp_path, kind, scheme, width
):
    from axe_playwright_python.sync_playwright import Axe

    address = (server if kind == "image" else table_server).address
    tab = Tab(browser, f"http://{address}/", color_scheme=scheme,
              viewport={"width": width, "height": 800})  # fmt: skip
    page = tab.page
    page.locator(".best").wait_for()
    if width < 1024:  # the prediction lies over the form while one scrolls
        bar = page.locator(".headline").bounding_box()
        assert bar and bar["height"] < 0.1 * 800
    if kind == "table":
        page.get_by_label("measurement_3_of_the_array").fill("123456789")
        page.locator("value-warnings").get_by_text("outside the training range").wait_for()
        (tmp_path / "rows.csv").write_bytes(table_rows(2))
        page.locator("#csv").set_input_files(tmp_path / "rows.csv")
        page.get_by_role("link", name="Download").wait_for()
    page.locator("value-contributions h3").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [violation["id"] for violation in found] == []
    assert tab.said == [] and page.title() != "1"
    tab.context.close()


def table_rows(count: int) -> bytes:
    """Return a CSV for the table with hostile names; the second row is unlike the training rows."""
    names = [*(f"measurement_{index}_of_the_array" for index in range(12)), "co,mma", *HOSTILE]
    file = io.StringIO()
    lines = [[1e9 if index == 1 else 2.5, *["2.5"] * 12, *HOSTILE, f"=k{index}"]
             for index in range(count)]  # fmt: skip
    csv.writer(file).writerows([[*names, "key"], *lines])
    return file.getvalue().encode()


def test_a_csv_is_predicted_and_its_download_holds_no_formula(browser, table_server, tmp_path):
    (tmp_path / "rows.csv").write_bytes(table_rows(30))
    tab = Tab(browser, f"http://{table_server.address}/")
    page = tab.page
    page.locator(".best").wait_for()  # the page is ready
    page.locator("#csv").set_input_files(tmp_path / "rows.csv")
    link = page.get_by_role("link", name="Download")
    link.wait_for()
    assert (
        "30 rows predicted, 1 row unlike the training rows."
        in page.locator("csv-file").inner_text()
    )
    assert page.locator("csv-file tbody tr").count() == 20
    with page.expect_download() as started:
        link.click()
    with Path(started.value.path()).open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    answer = table_server.post("/predict", table_rows(30), content_type="text/csv").json
    classes = ("<u>yes</u>", "=no", "x" * 60)
    assert head == ["key", "label", *(f"probability_{label}" for label in classes), "warnings"]
    assert [line[0] for line in lines] == [f"'=k{index}" for index in range(30)]
    assert [line[1].removeprefix("'") for line in lines] == answer["labels"]
    assert [[float(value) for value in line[2:5]] for line in lines] == answer["probabilities"]
    assert "outside the training range" in lines[1][5] and not lines[0][5]
    cells = [cell for line in [head, *lines] for cell in line]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t", "\r")]
    (tmp_path / "other.csv").write_text("other,columns\n1,2\n")
    page.locator("#csv").set_input_files(tmp_path / "other.csv")
    page.locator("csv-file .problem").wait_for()
    assert "is missing" in page.locator("csv-file").inner_text() and not link.count()
    tab.context.close()


def test_a_table_starts_from_the_typical_row_and_marks_what_is_unlike_it(browser, tmp_path):
    cities = ["Rome", "Rome", "Quito"]
    lines = [
        f"{index % 50 + 18},{cities[index % 3]},2024-01-{index % 28 + 1:02},"
        f"{1000 * (index % 50) + 7000 * (index % 3 > 1)}"
        for index in range(300)
    ]
    (tmp_path / "t.csv").write_text("age,city,since,price\n" + "\n".join(lines), "utf-8")
    config = {
        "name": "houses",
        "data": {"path": "t.csv", "target": "price", "columns": {"age": "number"},
                 "formats": {"price": {"unit": "€"}}},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.Ridge"},
    }  # fmt: skip
    done = call("train", write(tmp_path, config), "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    manifest = json.loads((tmp_path / done.json["artifact"] / "manifest.json").read_bytes())
    age, *_ = manifest["interface"]["training"]
    with serving("latest", cwd=tmp_path) as server:
        tab = Tab(browser, f"http://{server.address}/")
        page = tab.page
        page.locator("#number:not(:empty)").wait_for()
        assert page.get_by_label("age").input_value() == f"{age['typical']:.0f}"
        assert page.get_by_label("city").input_value() == "Rome"
        assert page.get_by_label("since").input_value().startswith("2024-01-")
        assert (
            f"{age['range'][0]:.0f} to {age['range'][1]:.0f}"
            in page.locator(".hint").first.inner_text()
        )
        assert page.locator("#prediction-title").inner_text() == "Predicted price"
        assert re.fullmatch(r"[\d,]+ €", page.locator("#number").inner_text())
        assert page.locator("value-warnings").is_hidden()
        page.get_by_label("age").fill("200")
        page.locator(".field.unseen").wait_for()
        assert page.locator("value-warnings").is_visible()
        settled(page)
        moved = page.locator(".why li")
        assert moved.count() == 1 and "200 instead of" in moved.first.inner_text()
        page.get_by_label("age").fill("old")
        page.locator("#problem").wait_for()
        assert page.locator("#number").inner_text() == "No prediction"
        assert page.locator("value-contributions").is_hidden()
        assert page.get_by_label("age").get_attribute("aria-invalid") == "true"
        assert page.locator("value-warnings").is_hidden()
        page.get_by_label("age").fill("30")
        page.locator("#problem").wait_for(state="hidden")
        tab.context.close()


def test_examples_are_a_fair_draw_of_right_and_wrong_ones(tab, digits):
    evaluation = json.loads((digits.folder / "evaluation.json").read_bytes())
    wrong = sum(map(sum, evaluation["confusion"])) - sum(
        row[place] for place, row in enumerate(evaluation["confusion"])
    )
    titles = tab.page.locator("example-list h3").all_inner_texts()
    assert titles == [f"Predicted right: {360 - wrong} of 360", f"Predicted wrong: {wrong} of 360"]
    groups = tab.page.locator("example-list ul")
    assert [group.locator("button").count() for group in groups.all()] == [10, 2]
    assert all("predicted" in text for text in groups.last.locator("button").all_inner_texts())


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
        assert page.locator("#problem").is_hidden()
        page.get_by_label("age").fill("old")
        page.locator("#problem").wait_for()
        assert "row 1, column 'age'" in page.locator("#problem").inner_text()
        page.get_by_label("age").fill("30")
        page.locator("#problem").wait_for(state="hidden")
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
        assert page.locator("#problem").is_hidden()
        assert re.fullmatch(r"\d\d/02/2026", page.get_by_label("day").input_value())
        assert re.fullmatch(r"10\d\d\.5", page.get_by_label("weight").input_value())
        rows = []
        page.on("request", lambda request: rows.append(json.loads(request.post_data)["rows"][0]))
        for weight, day in (("1.007", "03/02/2026"), ("1.007,5 kg", "04/02/2026")):
            page.get_by_label("weight").fill(weight)
            page.get_by_label("day").fill(day)
            settled(page)
            assert page.locator("#problem").is_hidden() and rows[-1] == [day, weight]
        page.get_by_label("day").fill("2026-02-03")
        page.locator("#problem").wait_for()
        assert "expected a date as in data.formats" in page.locator("#problem").inner_text()
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
        assert sum(len(group["rows"]) for group in found.json["examples"]["groups"]) == 12


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
    assert policy.count("sha256-") == 3 and found.body.count(b"<script") == 1
    assert not re.search(rb"(src|href)=\"https?:", found.body)
    assert found.headers["x-frame-options"] == "DENY"
