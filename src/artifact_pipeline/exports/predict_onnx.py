"""Predict the rows of a JSON file with onnxruntime and numpy: python predict.py rows.json"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.modules.pop("model_interface", None)  # another model may have loaded its own
import model_interface  # noqa: E402


def load(folder: Path) -> Callable[[Any], Any]:
    """Return the function that predicts a list of rows, each a record or a list of values."""
    interface = json.loads((folder / "interface.json").read_text("utf-8"))
    graph = model_interface.session(folder / "model.onnx")
    return lambda rows: model_interface.predict(rows, interface, graph=graph)


if __name__ == "__main__":
    with model_interface.errors_in_one_line("usage: python predict.py rows.json"):
        rows = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        print(model_interface.as_json(load(Path(__file__).parent)(rows)))
