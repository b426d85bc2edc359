"""Write the problems of `bundled_math` from the templates in bundled_math.yaml: the same seed gives the same file.

    python scripts/make_bundled_math.py

Every problem carries the name of its template: problems of one template differ in names, things and numbers only, so
they are not independent, and statistics cluster by it.
"""

from __future__ import annotations

import json
import operator
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SEED = 5
EACH = 4  # problems a template
TEMPLATES = Path(__file__).with_name("bundled_math.yaml")
DATA = Path(__file__).parents[1] / "playground/evaluate/bundled/data"
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}
STEP = re.compile(r"(\w+) = (\w+) ([-+*/]) (\w+): (.+)")


def numbers(ranges: dict[str, Any], chance: random.Random) -> dict[str, int]:
    """One draw: `2-6` is any whole number from 2 to 6, a list one of its members."""
    drawn = {}
    for name, allowed in ranges.items():
        if isinstance(allowed, list):
            drawn[name] = chance.choice(allowed)
        else:
            low, high = map(int, allowed.split("-"))
            drawn[name] = chance.randint(low, high)
    return drawn


def calculate(steps: list[str], known: dict[str, int]) -> dict[str, int] | None:
    """`known` and the result of every step; None when one is not whole or below 2 ("1 apples", a debt of eggs)."""
    values = dict(known)
    for step in steps:
        result, left, sign, right, _ = STEP.fullmatch(step).groups()  # type: ignore[union-attr]
        a, b = values[left], values[right]
        if sign == "/" and a % b:
            return None
        values[result] = OPERATORS[sign](a, b)
        if values[result] < 2:
            return None
    return values


def words(template: dict[str, Any], people: dict[str, list[str]], chance: random.Random) -> dict[str, str]:
    """The people and the thing of one problem."""
    she = chance.choice(sorted(people))
    name = chance.choice(people[she])
    friend = chance.choice([one for group in people.values() for one in group if one != name])
    her = {"she": "her", "he": "him"}[she]
    thing = chance.choice(template.get("things", [""]))
    return {"name": name, "friend": friend, "she": she, "She": she.capitalize(), "her": her, "thing": thing}


def problems(template: dict[str, Any], people: dict[str, list[str]], seed: int) -> Iterator[dict[str, Any]]:
    """Different problems of one template, without end."""
    chance = random.Random(f"{seed} {template['name']}")  # noqa: S311  variety, not secrecy
    seen = set()
    while True:
        values = calculate(template["steps"], numbers(template["numbers"], chance))
        if values is None:
            continue
        slots = {**words(template, people, chance), **values}
        figures = tuple(values.values())
        if figures in seen:
            continue
        seen.add(figures)
        question = template["question"].format(**slots)
        sentences = [step.split(": ", 1)[1].format(**slots) for step in template["steps"]]
        yield {
            "template": template["name"],
            "steps": len(sentences),
            "question": question[0].upper() + question[1:],
            "answer": "\n".join([*sentences, f"#### {figures[-1]}"]),
        }


def make(seed: int = SEED) -> dict[str, list[dict[str, Any]]]:
    """File name → rows. Templates alternate, so that the first n problems are a mixture of all kinds."""
    given = yaml.safe_load(TEMPLATES.read_text())
    chance = random.Random(seed)  # noqa: S311
    endless = [problems(template, given["people"], seed) for template in given["test"]]
    rows = []
    for _ in range(EACH):
        chance.shuffle(endless)
        rows += [next(one) for one in endless]
    shots = [next(problems(template, given["people"], seed)) for template in given["few_shot"]]
    return {
        "math.jsonl": [{"id": f"math-{at:03}", **row} for at, row in enumerate(rows, 1)],
        "math_few_shot.jsonl": [{"id": f"shot-{at}", **row} for at, row in enumerate(shots, 1)],
    }


def written(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    for name, rows in make().items():
        (DATA / name).write_text(written(rows), encoding="utf-8")
        print(f"{name}: {len(rows)} problems")
