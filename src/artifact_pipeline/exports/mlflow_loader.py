"""Opens the model for MLflow's python_function flavor: the ONNX graph, and nothing is unpickled."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any


def _load_pyfunc(path: str) -> "OnnxPyfunc":
    """Return the model in the folder `path`, as MLflow calls this function."""
    # Not imported by its name, so that models of several releases fit into one process.
    source = Path(__file__).with_name("model_interface.py")
    spec = importlib.util.spec_from_file_location("model_interface", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return OnnxPyfunc(Path(path), module)


class OnnxPyfunc:
    """The model as MLflow uses it: a DataFrame in, a DataFrame out."""

    def __init__(self, folder: Path, model_interface: ModuleType) -> None:
        self._checks = model_interface
        self._interface = json.loads((folder / "interface.json").read_text("utf-8"))
        self._graph = model_interface.session(folder / "model.onnx")

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """Return labels and probabilities, or numbers.

        Raises:
            ValueError: If a value is one that the model does not accept.
        """
        import pandas as pd

        names = [feature["name"] for feature in self._interface["features"]]
        if not hasattr(model_input, "columns"):
            model_input = pd.DataFrame(model_input, columns=names)
        columns = [_values(model_input[name]) for name in names]
        inputs = self._checks.inputs(columns, self._interface, graph=self._graph)
        results = self._graph.run(None, inputs)
        outputs = self._checks.predictions(results, self._interface, graph=self._graph)
        if "predictions" in outputs:
            return pd.DataFrame({"prediction": outputs["predictions"]})
        frame = pd.DataFrame({"label": outputs["labels"]})
        for index, label in enumerate(self._interface["labels"]):
            if "probabilities" in outputs:
                rows = outputs["probabilities"]
                frame[f"probability_{label}"] = [row[index] for row in rows]
        return frame


def _values(column: Any) -> list[Any]:
    """Return the values of a column as Python's own, and None for a missing one."""
    objects = column.astype(object)
    return [
        None if missing else value.item() if hasattr(value, "item") else value
        for value, missing in zip(objects.tolist(), objects.isna().tolist(), strict=True)
    ]
