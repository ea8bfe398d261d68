"""Times of frames while the board's table of runs is scrolled in chromium.

    python -m benchmarks.board [--runs 5000]

The table is scrolled by the wheel from its first row to its last, and dragged through by its scroll
bar in 200 steps. A frame that takes much longer than the median is visible as a stutter.
`script` is the time of the page's own code, which does not depend on how fast the machine draws.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.runs import churn, price, write_runs

from artifact_pipeline import write_board

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

FLAGS = ["--no-sandbox", "--disable-gpu"]
SCROLL = """async ({steps, wheel}) => {
  const box = document.getElementById('table');
  const wait = () => new Promise(requestAnimationFrame);
  const deltas = [];
  box.scrollTop = 0;
  await wait(); await wait();
  const far = box.scrollHeight - box.clientHeight;
  let last = await wait();
  for (let step = 1; step <= steps; step++) {
    box.scrollTop = wheel ? step * 100 : far * step / steps;
    const now = await wait();
    deltas.push(now - last);
    last = now;
  }
  const rows = document.querySelectorAll('#rows tr').length;
  return {deltas, rows};
}"""


def main() -> None:
    """Print the times."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        write_runs(Path(folder) / "store", count, kinds=(churn, price))
        page = Path(folder) / "board.html"
        write_board(page, store=Path(folder) / "store")
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for width in (360, 1280, 1920):
            tab = browser.new_page(viewport={"width": width, "height": 900})
            tab.goto(page.as_uri())
            client = tab.context.new_cdp_session(tab)
            client.send("Performance.enable")
            for name, steps, wheel in (("wheel", 300, True), ("scroll bar", 200, False)):
                before = _script_seconds(client)
                result = tab.evaluate(SCROLL, {"steps": steps, "wheel": wheel})
                script = (_script_seconds(client) - before) / steps
                deltas = sorted(result["deltas"])
                print(
                    f"{width:>5} px  {name:10}  median {statistics.median(deltas):5.1f} ms, "
                    f"95% {deltas[int(0.95 * len(deltas))]:5.1f}, worst {deltas[-1]:5.1f}; "
                    f"script {script * 1000:4.1f} ms a frame; {result['rows']} rows in the page"
                )
            tab.close()
        browser.close()


def _script_seconds(client: CDPSession) -> float:
    metrics = client.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "ScriptDuration"))


if __name__ == "__main__":
    main()
