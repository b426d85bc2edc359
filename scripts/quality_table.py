"""Size, speed and quality of the bundled model's main variants, as one table: `make table`.

Makes what is missing with `playground quantize`, measures all of them with one `playground eval` (speed, divergence,
the bundled tasks) and writes the table into docs/measurements.md, between its markers, and the whole run into bench/.
Stopped and started again it goes on: variants stay, an interrupted evaluation goes on at the next batch, and a stored
run under the same settings, packages and weights is taken as it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODEL = "smollm2"
TEXT = ("--samples", "32", "--max-length", "128")  # of calibration
TASKS = ("bundled_reading", "bundled_math", "bundled_facts", "bundled_cloze")
LIMIT = 60
BATCH = 16  # prompts at once: half the decode steps of the usual 8
TOKENS = 2048  # of the divergence's text
BEGIN, END = "<!-- table: written by `make table` -->", "<!-- end of table -->"
PACKAGES = ("lm-eval", "torch", "transformers", "bitsandbytes", "compressed-tensors")
SAME, WITHHELD = "not distinguishable", "withheld"


@dataclass(frozen=True)
class Wanted:
    """A row: a method and scheme of the methods table. `options` of its making; `made`: False of what loading makes."""

    method: str
    scheme: str
    options: tuple[str, ...] = field(default=())
    made: bool = True


ROWS = (
    Wanted("bitsandbytes", "nf4", made=False),
    Wanted("bitsandbytes", "int8", made=False),
    Wanted("gptq", "W4A16", TEXT),
    Wanted("awq", "W4A16", TEXT),
    Wanted("rtn", "W3A16"),
    Wanted("smoothquant", "W8A8", TEXT),
    Wanted("fp8", "FP8_DYNAMIC"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--limit", type=int, default=LIMIT, help="items of each task; 0: all")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of the divergence's text")
    parser.add_argument("--batch-size", type=int, default=BATCH, help="prompts at once")
    parser.add_argument("--only", default="", help="schemes, separated by commas; the reference is always there")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "measurements.md")
    parser.add_argument("--bench", type=Path, default=ROOT / "bench", help="folder of the run as JSON")
    parser.add_argument("--again", action="store_true", help="measure anew, though there is a run")
    asked = parser.parse_args()
    only = [scheme.strip().lower() for scheme in asked.only.split(",") if scheme.strip()]
    rows = [row for row in ROWS if not only or row.scheme.lower() in only]
    began = time.monotonic()
    names = [asked.model, *(variant(asked.model, row, n, len(rows)) for n, row in enumerate(rows, 1))]
    spec = specification(names, asked.tasks.split(","), asked.limit, asked.tokens, asked.batch_size)
    run = None if asked.again else stored(spec)
    if run is None:
        say(f"Measuring {len(names)} variants: speed, {asked.tokens:,} tokens of divergence, {asked.tasks}")
        say(expectation(spec))
        command("eval", *arguments(names, asked.tasks, asked.limit, asked.tokens, asked.batch_size))
        run = stored(spec)
        if run is None:
            sys.exit("The evaluation ended and its run is not in the store: see `python -m playground jobs list`.")
    else:
        say(f"Run {run.id} has all of this: nothing is measured.")
    asked.bench.mkdir(parents=True, exist_ok=True)
    place = asked.bench / f"table-{time.strftime('%Y%m%d-%H%M%S', time.localtime(run.created_at))}.json"
    place.write_text(json.dumps(run.as_row(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    written = between(asked.page.read_text(encoding="utf-8"), table(run.as_row()))
    asked.page.write_text(written, encoding="utf-8")
    say(f"{asked.page.name} has the table, {place} the run; {time.monotonic() - began:.0f} s.")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def command(*words: str) -> None:
    """One command of the playground, which draws its own progress. Ends this one when it fails."""
    say(f"$ python -m playground {' '.join(words)}")
    ended = subprocess.run([sys.executable, "-m", "playground", *words], cwd=ROOT, check=False)
    if ended.returncode:
        sys.exit(ended.returncode)


def variant(model: str, row: Wanted, number: int, of: int) -> str:
    """The name of a row's variant, made when there is none."""
    name = known(model, row)
    if name:
        say(f"({number} of {of}) {name} is there.")
        return name
    command("quantize", model, "--method", row.method, "--scheme", row.scheme, *row.options)
    name = known(model, row)
    if not name:
        sys.exit(f"{row.method} {row.scheme} was made and is not in the catalog.")
    return name


def known(model: str, row: Wanted) -> str:
    """The newest variant of this method and scheme, "" where there is none. One whose files are gone does not count."""
    from playground import models
    from playground.models import names

    made, scheme = set(names.stored(model)), row.scheme.lower()
    found = [
        one
        for one in models.variants(model)
        if one.method == row.method
        and (one.name in made and Path(one.path).exists() if row.made else one.name == scheme)
        and one.scheme.lower() == scheme
    ]
    return found[-1].id if found else ""


def arguments(names: Sequence[str], tasks: str, limit: int, tokens: int, batch: int) -> list[str]:
    some = ["--limit", str(limit)] if limit else []
    return [*names, "--tasks", tasks, *some, "--batch-size", str(batch), "--kld", "--tokens", str(tokens), "--speed"]


def specification(names: Sequence[str], tasks: Sequence[str], limit: int, tokens: int, batch: int = BATCH) -> Any:
    """What `arguments` ask, as the job has it."""
    from playground.console import absolute
    from playground.evaluate.spec import Conditions, EvaluateSpec

    conditions = Conditions(tasks=tuple(tasks), limit=limit or None, batch_size=batch)
    return EvaluateSpec(
        variants=tuple(map(absolute, names)),
        conditions=conditions,
        engine="",
        divergence={"text": "bundled", "tokens": tokens},
        speed=True,
    )


def expectation(spec: Any) -> str:
    """How long it will take, once the pace of each variant is measured here."""
    from playground.evaluate import estimate

    counts = [(name, spec.conditions.limit) for name in spec.conditions.tasks]
    found = estimate.expected(spec, counts, measure=True)
    if found.seconds is None:
        return " ".join(found.missing)
    return (
        f"It takes about {found.seconds[0] / 60:.0f} to {found.seconds[1] / 60:.0f} minutes. {' '.join(found.missing)}"
    )


def stored(spec: Any) -> Any | None:
    """The newest run of exactly this: settings, packages, and the weights that the variants have now."""
    from playground.evaluate import unfinished
    from playground.store import database, runs, variants

    if not database.exists():
        return None
    now = {row.id: row.content_hash for row in variants.all_variants()}
    for run in runs.latest("evaluation"):
        same = [one["id"] for one in run.variants] == list(spec.variants)
        weights = all(now.get(one["id"], one["content_hash"]) == one["content_hash"] for one in run.variants)
        if same and weights and run.settings == spec.settings() and run.versions == unfinished.versions():
            return runs.get(run.id)
    return None


# ---- the table


def between(text: str, content: str) -> str:
    """`text` with `content` between the markers. Exits where they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"There is no place for the table: it goes between {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def table(run: Mapping[str, Any]) -> str:
    """Markdown: what was measured where, the table, how to read it. Every number is the run's."""
    result, tasks = run["result"], run["result"]["tasks"]
    engines = sorted({one["speed"]["engine"] for one in run["variants"] if one["speed"]})
    head = ["variant", "size", "bits", f"decode tok/s in {', '.join(engines)}", "mean KLD", "same top", "PPL"]
    head += [f"{task['name']}, {task['metric'].partition(',')[0]}" for task in tasks]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    moved = {row["variant"]: row for row in result["divergence"]}
    for one in run["variants"]:
        scores = [_score(result["rows"], one["id"], task) for task in tasks]
        lines.append(f"| {' | '.join([*_facts(one, moved[one['id']], one is run['variants'][0]), *scores])} |")
    floor = moved["noise-floor"]
    noise = ["noise floor", "", "", "", _kld(floor), f"{floor['top1_agreement']:.1%}", f"{floor['ppl']:.2f}"]
    lines.insert(3, f"| {' | '.join([*noise, *[''] * len(tasks)])} |")
    return "\n".join([_where(run), "", *lines, "", _legend(run)])


def _facts(one: Mapping[str, Any], moved: Mapping[str, Any], reference: bool) -> list[str]:
    speed = one["speed"]
    pace = "–" if not speed else f"{speed['decode_tok_s']:.1f}" + (f" ± {speed['sd']:.1f}" if speed["sd"] else "")
    distance = ["", ""] if reference else [_kld(moved), f"{moved['top1_agreement']:.1%}"]
    size, bits = f"{one['bytes'] / 1e6:.0f} MB", f"{one['bits_per_weight']:.2f}"
    return [f"`{one['id']}`", size, bits, pace, *distance, f"{moved['ppl']:.2f}"]


def _kld(row: Mapping[str, Any]) -> str:
    """As many digits as the error has meaning."""
    digits = 3 if row["kld_mean"] >= 0.01 else 5
    error = row["kld_stderr"]
    return f"{row['kld_mean']:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def _score(rows: Sequence[Mapping[str, Any]], variant: str, task: Mapping[str, Any]) -> str:
    """ "46.3 ± 5.6", and of a variant its flips; bold where the difference to the reference can be seen."""
    row = next((one for one in rows if one["variant"] == variant and one["task"] == task["name"]), None)
    if row is None:
        return "–"
    score = f"{100 * row['score']:.1f}" + ("" if row["stderr"] is None else f" ± {100 * row['stderr']:.1f}")
    if row["verdict"] == "reference":
        return score
    if row["verdict"] == WITHHELD:
        return f"{score}, no verdict"
    flips = "" if row["flips_lost"] is None else f" (−{row['flips_lost']} +{row['flips_won']})"
    return f"{score}{flips}" if row["verdict"] == SAME else f"**{score}**{flips} {row['verdict']}"


def _where(run: Mapping[str, Any]) -> str:
    device, versions, settings = run["device"], run["versions"], run["settings"]
    day = time.strftime("%Y-%m-%d", time.localtime(run["created_at"]))
    packages = ", ".join(f"{name} {versions[name]}" for name in PACKAGES if name in versions)
    cores = f"{device['cores']} cores, " if device.get("cores") else ""
    asked = "all items" if settings["limit"] is None else f"the first {settings['limit']:,} items"
    speed = next((one["speed"] for one in run["variants"] if one["speed"]), None)
    decode = f"{speed['repetitions']} answers of {speed['output_tokens']} tokens" if speed else ""
    read = run["result"]["divergence"][0]["tokens"]
    return (
        f"{device.get('name') or device['device']}, {cores}{device['memory'] / 1e9:.0f} GB, {day}; {packages}. "
        f"Tasks: {asked} of each, batches of {settings['batch_size']}. Divergence: {read:,} tokens "
        f"of {settings['divergence']['text']} prose. Speed: {decode}. "
        f"{run['result']['seconds']['total'] / 60:.0f} minutes in all."
    )


def _legend(run: Mapping[str, Any]) -> str:
    drops = [row["smallest_drop"] for row in run["result"]["rows"] if row.get("smallest_drop") is not None]
    between_ = " to ".join(dict.fromkeys(f"{100 * drop:.0f}" for drop in (min(drops), max(drops)))) if drops else ""
    seen = f" A drop has to be {between_} points to be seen in 80 of 100 such evaluations." if drops else ""
    return (
        "Scores in percent ± standard error; in brackets how many answers became wrong and right. A score that is not "
        f"bold is not distinguishable from the reference's.{seen} transformers has no kernels for compressed-tensors: "
        "it unpacks the weights and simulates what is done to activations, so that speed is its own, not the scheme's. "
        "The bundled tasks are none of the known benchmarks ([docs](evaluate-bundled.md))."
    )


if __name__ == "__main__":
    main()
