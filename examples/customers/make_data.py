"""Write customers.csv: made-up customers, some of whom leave. The same file each time."""

import csv
import math
import random
from datetime import date, timedelta
from pathlib import Path

ROWS = 2000
PLANS = ("basic", "plus", "family")
CITIES = ("Pune", "Lagos", "Oslo", "Lima")
GLAD = ("quick help", "works well", "kind people", "fair price")
SORE = ("slow again", "no answer", "line is down", "billed twice")


def customer(index: int, made: random.Random) -> dict[str, object]:
    """Return one row; people of one household have the plan and the city of the household."""
    household = made.randrange(ROWS // 3)
    shared = random.Random(household)
    plan, city = shared.choice(PLANS), shared.choice(CITIES)
    joined = date(2020, 1, 1) + timedelta(days=made.randrange(2000))
    age, bill = made.randint(18, 85), round(made.lognormvariate(3.3, 0.4), 2)
    glad = made.random() < 0.6
    words = [made.choice(GLAD if glad else SORE) for _ in range(made.randint(1, 3))]
    z = -0.5 + (bill - 30) / 15 + (0 if glad else 1.6) - (plan == "family") - (age - 50) / 40
    return {
        "customer": f"C{index:05}",
        "household": f"H{household:04}",
        "joined": joined.isoformat(),
        "age": "" if made.random() < 0.08 else age,
        "bill": "unknown" if made.random() < 0.03 else bill,
        "plan": plan,
        "city": "" if made.random() < 0.05 else city,
        "postcode": f"{made.randrange(100_000):05}",
        "last_words": ", ".join(words),
        "left": "yes" if made.random() < 1 / (1 + math.exp(-z)) else "no",
    }


def main() -> None:
    """Write the table beside this file."""
    made = random.Random(2026)
    rows = [customer(index, made) for index in range(ROWS)]
    path = Path(__file__).with_name("customers.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
