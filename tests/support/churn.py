"""A seeded table with columns of all kinds, and a config that uses it."""

import csv
import math
import random

CHURN = {
    "data": {"path": "churn.csv", "target": "churn", "positive": "yes", "id": "cid",
             "drop": ["notes"], "columns": {"zip": "text"},
             "csv": {"delimiter": ";", "decimal": ",", "null_values": ["NA"]}},
    "split": {"method": "group", "column": "home", "test_size": 0.2, "random_state": 42},
    "model": {"steps": [
        {"name": "prep", "branches": [
            {"name": "num", "columns": ["since", "age", "a b/€"],
             "steps": [{"estimator": "sklearn.impute.SimpleImputer"},
                       {"estimator": "sklearn.preprocessing.StandardScaler"}]},
            {"name": "cat", "columns": ["label"],
             "estimator": "sklearn.preprocessing.OneHotEncoder",
             "params": {"handle_unknown": "ignore"}},
            {"name": "txt", "column": "review",
             "estimator": "sklearn.feature_extraction.text.TfidfVectorizer"}]},
        {"name": "model", "estimator": "sklearn.linear_model.LogisticRegression"}]},
}  # fmt: skip
CITIES = ["Pune", "Rome", "Ōsaka", ""]
GOOD, BAD = ["great", "love", "fine", "Ünique"], ["bad", "slow", "broken", "Ärger"]


def rows(count=600, seed=7):
    made = random.Random(seed)
    for index in range(count):
        age, income = made.randint(18, 80), made.lognormvariate(10, 0.4)
        city, good = made.choice(CITIES), made.random() < 0.5
        words = (GOOD if good else BAD) + ["the", "service", "a", "x"]
        z = (age - 50) / 15 + (0 if good else 2) + (city == "Pune") - income / 20000
        yield {
            "cid": f"C{index:05}",
            "home": f"h{made.randrange(150)}",
            "since": f"20{made.randint(10, 24)}-{made.randint(1, 12):02}-{made.randint(1, 28):02}",
            "age": "" if made.random() < 0.1 else age,
            "a b/€": "NA" if made.random() < 0.05 else f"{income:.2f}".replace(".", ","),
            "label": city,
            "zip": f"{made.randint(0, 99999):05}",
            "review": " ".join(made.choice(words) for _ in range(6)),
            "notes": "-",
            "churn": "yes" if made.random() < 1 / (1 + math.exp(-z)) else "no",
        }


def table(path, change=None, count=600):
    """Write the table; `change` is called with the number and the content of each row."""
    found = [change(i, row) if change else row for i, row in enumerate(rows(count))]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(found)
    return path


def quick(**parts):
    """Return a config that trains fast, on two columns of numbers."""
    model = {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"}
    drop = ["notes", "review", "zip", "since", "label"]
    data = {**CHURN["data"], "drop": drop, "columns": {}}
    return {"data": {**data, **parts.pop("data", {})}, "model": model, **parts}
