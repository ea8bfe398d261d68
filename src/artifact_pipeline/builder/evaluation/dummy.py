"""The baseline: a model that ignores the features.

>>> import numpy as np
>>> predicted, probabilities = predict(np.array(["no", "no", "no", "yes"]), 2, target="class")
>>> predicted.tolist(), probabilities.tolist()
(['no', 'no'], [[0.75, 0.25], [0.75, 0.25]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.model.estimators import predict_with_proba

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.data.dataset import Target


def predict(
    y_train: NDArray[Any], rows: int, *, target: Target
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Return predictions and probabilities of scikit-learn's dummy model.

    DummyClassifier with the strategy `prior` predicts the most frequent class, with the shares of
    all classes as probabilities; DummyRegressor predicts the mean. Neither uses a random number.

    Args:
        y_train: The labels or numbers to fit it to, (n_train,).
        rows: How many rows to predict.
        target: What it predicts.

    Returns:
        Predictions, (rows,), and probabilities of the sorted labels, (rows, n_labels), or None
        for numbers.
    """
    import numpy as np
    from sklearn.dummy import DummyClassifier, DummyRegressor

    model = DummyClassifier(strategy="prior") if target == "class" else DummyRegressor()
    model.fit(np.zeros((len(y_train), 1)), y_train)
    return predict_with_proba(model, np.zeros((rows, 1)))
