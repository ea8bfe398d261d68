"""Make the pictures in the README: `python docs/picture.py`.

It runs the pipeline on config/config.json, takes a part of the report in chromium, and then draws
a digit on the page of a server.
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
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        report(browser, Path(run.report))
        served(browser, Path(run.artifact))
        browser.close()


def report(browser: Browser, path: Path) -> None:
    """Take the confusion table and the digits that were mistaken."""
    tab = browser.new_page(viewport={"width": 960, "height": 700}, color_scheme="light")
    tab.goto(path.absolute().as_uri())
    first = tab.locator("section", has_text="Confusion").first.bounding_box()
    last = tab.locator("section", has_text="Mistakes").first.bounding_box()
    assert first and last
    top = first["y"]
    height = last["y"] + last["height"] - top
    clip = {"x": 0.0, "y": top, "width": 960.0, "height": height}
    tab.screenshot(path=DOCS / "report.png", clip=clip, full_page=True)  # type: ignore[arg-type]


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
