"""Make the pictures in the README: `python docs/picture.py`.

It runs the pipeline on the customers example and on config/config.json, takes the first screen of
the report of the one in chromium, and draws a digit on the page of a server of the other.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import artifact_pipeline

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DRAWN = ROOT / "tests" / "serving" / "strokes.json"


def main() -> None:
    """Write both pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("needs chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        run = artifact_pipeline.run(ROOT / "config" / "config.json", store=folder)
        customers = Path(
            shutil.copytree(ROOT / "examples" / "customers", Path(folder, "customers"))
        )
        subprocess.run([sys.executable, "make_data.py"], cwd=customers, check=True)
        churn = artifact_pipeline.run(customers / "config.json", store=folder)
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        report(browser, Path(churn.report))
        served(browser, Path(run.artifact))
        browser.close()


def report(browser: Browser, path: Path) -> None:
    """Take the first screen of the report of a table with gates."""
    tab = browser.new_page(viewport={"width": 1280, "height": 960}, color_scheme="light")
    tab.goto(path.absolute().as_uri())
    tab.screenshot(path=DOCS / "report.png")


def served(browser: Browser, artifact: Path) -> None:
    """Take the page of a server on which a three was drawn."""
    words = [sys.executable, "-m", "artifact_pipeline", "serve", str(artifact), "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().rpartition(" ")[2].strip()
        tab = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        tab.goto(address)
        tab.locator(".best").wait_for()
        tab.get_by_role("button", name="Clear").click()
        tab.evaluate("scrollTo(0, 0)")
        box = tab.locator("canvas.drawing").bounding_box()
        assert box
        for points in json.loads(DRAWN.read_text("utf-8"))[3]["strokes"]:
            for index, (x, y) in enumerate(points):
                tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
                if index == 0:
                    tab.mouse.down()
            tab.mouse.up()
        tab.wait_for_load_state("networkidle")
        tab.screenshot(path=DOCS / "try.png")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
