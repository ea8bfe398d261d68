"""Drafts for fifteen tables: each is loaded, trained, and better than the baseline.

Six are scikit-learn's; the others have traits of tables that users have, with a seed. More real
tables are tried by `python -m benchmarks.drafting`.
"""

import random

import pytest
from sklearn import datasets

import artifact_pipeline as api


def rows(header, row, count=240):
    chance = random.Random(7)
    return "\n".join([header, *(row(i, chance) for i in range(count))]) + "\n"


def scikit(name):
    return getattr(datasets, f"load_{name}")(as_frame=True).frame.to_csv(index=False)


def prices(i, chance):
    price = 900 + 40 * i + chance.randrange(200)
    region = chance.choice(["north", "south"])
    return f'"${price:,}.50",{region},{price / 3 + chance.random() * 9:.1f}'


def words(i, chance):
    size = chance.random() * 50
    cell = chance.choice(["unknown", ".", "not measured"]) if i % 11 == 0 else f"{size:.1f}"
    return f"K{i:04},{cell},{'yes' if size + chance.random() * 8 > 25 else 'no'}"


def households(i, chance):
    home = i // 3
    income = 20 + home % 13 * 4 + chance.random() * 3
    return f"H{home:04},{income:.1f},{chance.randrange(18, 80)},{int(income > 44)}"


def regional(i, chance):
    month, day = i % 12 + 1, i * 7 % 28 + 1
    return f"{day:02}.{month:02}.2025;{chance.random():.3f};{month * 3 + chance.random():.2f}"


def counts(i, chance):
    load = chance.random() * 6
    return f"{load:.2f},{i % 5},{int(load * 3 + chance.random() * 2)}"


def streets(i, chance):
    street = chance.randrange(70)
    return f"street {street},{chance.random():.2f},{street % 10 + chance.random():.2f}"


def reviews(i, chance):
    good = chance.random() < 0.5
    tones = ["loved every minute", "fine and kind"] if good else ["slow and rude", "never again"]
    tone = chance.choice(tones)
    return f"the visit on day {i} was {tone},{i % 7},{'good' if good else 'bad'}"


def curve(i, chance):
    x = chance.random() * 10 - 5
    return f"{x:.3f},{chance.random():.3f},{x * x + chance.random():.3f}"


def years(i, chance):
    return f"{1780 + i},{chance.random():.3f},{i * 0.5 + chance.random() * 9:.2f}"


TABLES = {
    **{name: lambda name=name: (scikit(name), "target") for name in ("iris", "wine", "digits")},
    "breast_cancer": lambda: (scikit("breast_cancer"), "target"),
    "diabetes": lambda: (scikit("diabetes"), "target"),
    "linnerud": lambda: (scikit("linnerud"), "Waist"),
    "prices": lambda: (rows("price,region,cost", prices), "cost"),
    "words": lambda: (rows("key,size,won", words), "won"),
    "households": lambda: (rows("household,income,age,left", households), "left"),
    "regional": lambda: (rows("day;a;y", regional), "y"),
    "counts": lambda: (rows("load,shift,calls", counts), "calls"),
    "streets": lambda: (rows("street,a,rent", streets), "rent"),
    "reviews": lambda: (rows("text,day,tone", reviews), "tone"),
    "curve": lambda: (rows("x,a,y", curve), "y"),
    "years": lambda: (rows("year,a,level", years), "level"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_draft_learns_more_than_the_baseline(tmp_path, name):
    text, target = TABLES[name]()
    path = tmp_path / "t.csv"
    path.write_text(text)
    draft = api.draft(path, target, base=tmp_path)
    config = {**draft.config, "data": {**draft.config["data"], "path": str(path)}}
    X_train, X_test, y_train, y_test = api.load_data(config)
    metrics = api.evaluate_model(api.train_model(X_train, y_train, config), X_test, y_test)
    if "r2" in metrics:
        assert metrics["r2"] > 0
    else:
        majority = max(y_test.tolist().count(label) for label in set(y_test.tolist()))
        assert metrics["accuracy"] > majority / len(y_test)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["words", "regional", "curve"])
def test_a_draft_runs_to_a_sealed_artifact(tmp_path, name):
    text, target = TABLES[name]()
    (tmp_path / "t.csv").write_text(text)
    draft = api.draft(tmp_path / "t.csv", target, base=tmp_path)
    api.write_config(draft, tmp_path / "c.json")
    run = api.run(tmp_path / "c.json", store=tmp_path / "store")
    assert api.open_artifact(run.artifact, digest=run.digest).interface.features
