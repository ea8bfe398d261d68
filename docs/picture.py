"""Make docs/report.png, the picture in the README: `python docs/picture.py`.

It runs the pipeline on config/config.json and takes a part of the report in chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import artifact_pipeline

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "report.png"


def main() -> None:
    """Write the picture: the confusion table and the digits that were mistaken."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("needs chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        run = artifact_pipeline.run(ROOT / "config" / "config.json", store=folder)
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        tab = browser.new_page(viewport={"width": 960, "height": 700}, color_scheme="light")
        tab.goto(Path(run.report).absolute().as_uri())
        first = tab.locator("section", has_text="Confusion").first.bounding_box()
        last = tab.locator("section", has_text="Mistakes").first.bounding_box()
        assert first and last
        top = first["y"]
        height = last["y"] + last["height"] - top
        clip = {"x": 0.0, "y": top, "width": 960.0, "height": height}
        tab.screenshot(path=PICTURE, clip=clip, full_page=True)  # type: ignore[arg-type]
        browser.close()


if __name__ == "__main__":
    main()
