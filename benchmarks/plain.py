"""The floor of a cold run: train, dump, load and predict with scikit-learn only."""

import joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.2, random_state=42, stratify=y
)
model = LogisticRegression(C=1.0, solver="lbfgs", max_iter=1000, random_state=42)
joblib.dump(model.fit(X_train, y_train), "model.pkl")
print(accuracy_score(y_test, joblib.load("model.pkl").predict(X_test)))
