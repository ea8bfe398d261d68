"""Predict the rows of a JSON file with onnxruntime and numpy: python predict.py rows.json"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import model_interface
from onnxruntime import InferenceSession


def load(folder: Path) -> Callable[[Any], Any]:
    """Return the function that predicts a list of rows, each a record or a list of values."""
    interface = json.loads((folder / "interface.json").read_text("utf-8"))
    graph = InferenceSession(str(folder / "model.onnx"), model_interface.options())

    def predict(rows: Any) -> Any:
        columns = model_interface.columns(rows, interface)
        inputs = model_interface.inputs(columns, interface, graph=graph)
        return model_interface.predictions(graph.run(None, inputs), interface, graph=graph)

    return predict


if __name__ == "__main__":
    with model_interface.errors_in_one_line("usage: python predict.py rows.json"):
        rows = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        print(json.dumps(load(Path(__file__).parent)(rows)))
