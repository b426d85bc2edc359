"""The model card of a quantized variant: its README.md on the hub.

It depends on the store alone. It has nothing of this machine: no path, no pasted text, no name of a local file.

It has the base model and its licence, how to load the variant in each engine of the methods table, and what was
measured of its weights. Every figure in those tables is stored and names its run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from playground.core import NOISE_FLOOR
from playground.errors import CatalogError
from playground.formatting import minus
from playground.methods import method
from playground.methods.base import Method
from playground.methods.recipe import Recipe, command, variant_name, without_paths
from playground.methods.table import calibration_words, scheme_words
from playground.metrics.weights import error_summary
from playground.models import bundled, hub, names
from playground.report import card as report_card
from playground.report.card import code, fence, plain, table
from playground.store import database, runs
from playground.store.schema import Run, StoredVariant

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

WORST = 5  # layers in the table
HASH = "content_hash"  # of the calibration's token ids, in a stored recipe
PLACEHOLDER = "OWNER/NAME"  # in a preview without a name yet
_PACKAGE = {"bitsandbytes": "bitsandbytes", "gguf": "gguf"}  # a package that transformers needs, by method
Row = Mapping[str, Any]
NO_EVALUATION = "No evaluation of these weights is stored."
log = logging.getLogger(__name__)
MAX_README = 1 << 20
BUNDLED_LICENSE = "apache-2.0"
_RESTORED = (
    f"Made from weights that were restored from a {bundled.WEIGHT_TYPE} GGUF of the base model, not its original ones."
)


def card(
    variant: StoredVariant, label: str, base: Origin, recipe_yaml: str, files: Sequence[str], repository: str,
    measurements: Sequence[Run] = (),
) -> str:  # fmt: skip
    """README.md with its front matter.

    label         method and scheme: "AWQ W4A16_ASYM"
    recipe_yaml   the recipe for `oneshot`, without paths
    files         names of the files to push
    repository    their destination, OWNER/NAME
    measurements  runs that measured these weights, newest first
    """
    row = method(variant.method)
    parts = [
        _front_matter(variant, row, base, repository, measurements),
        f"# {plain(base.title)}, {plain(label)}",
        _description(variant, row, base),
        f"## Size\n\n{_size(variant)}",
        f"## Measured\n\n{tables(variant, measurements)}",
        *_layers(variant),
        *_reloaded(variant),
        f"## How to load it\n\n{loading(variant, row, files, repository)}",
        f"## How it was made\n\n{_how_made(variant, base, recipe_yaml)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(
    variant: StoredVariant, row: Method, base: Origin, repository: str, measurements: Sequence[Run]
) -> str:
    gguf = row.name == "gguf"
    tags = ["gguf" if gguf else "bitsandbytes" if row.name == "bitsandbytes" else "compressed-tensors"]
    tags += [row.name, variant.scheme.lower(), "quantized", "quantization-playground"]
    front: dict[str, Any] = {
        "base_model": base.repository,
        "base_model_relation": "quantized" if base.repository else "",
        "library_name": "gguf" if gguf else "transformers",
        "pipeline_tag": "text-generation",
        "license": base.license,
        "tags": list(dict.fromkeys(tags)),
        "model-index": report_card.model_index_entry(
            repository.rpartition("/")[2] or variant.name, index(variant, measurements)
        ),
    }
    fields = {key: value for key, value in front.items() if value}
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---"


def _description(variant: StoredVariant, row: Method, base: Origin) -> str:
    link = f"[{plain(base.repository)}](https://huggingface.co/{base.repository})"
    name = link if base.repository else plain(base.title)
    group = f", in groups of {variant.group_size}" if variant.group_size else ""
    words = scheme_words(variant.scheme)
    scheme = f"{plain(variant.scheme)}: {words}{group}" if words else f"{plain(variant.scheme)}{group}"
    summary = f"{name}, quantized with {row.title} ([method]({row.paper})) to {scheme}."
    notes = [base.note, *(variant.card.get("reasons") or ()), *(variant.card.get("notes") or ())]
    return "\n\n".join([summary, "\n".join(f"- {plain(sentence)}" for sentence in notes if sentence)]).strip()


def _size(variant: StoredVariant) -> str:
    before = variant.card.get("bytes_before")
    bits_before = 8 * before / variant.parameters if before and variant.parameters else None
    rows = [
        ("weights on disk", _megabytes(before), _megabytes(variant.bytes)),
        ("bits per weight", "–" if bits_before is None else f"{bits_before:.2f}", f"{variant.bits_per_weight:.2f}"),
    ]
    sizes = table(("", "base", "quantized"), rows)
    return f"{sizes}\n\n{before / variant.bytes:.2f} times smaller; all tensors count." if before else sizes


def _megabytes(count: int | None) -> str:
    return "–" if not count else f"{count / 1e6:,.1f} MB"


def _layers(variant: StoredVariant) -> Iterator[str]:
    layers = [
        (str(layer["name"]), float(layer["relative_error"]), layer.get("snr_db"))
        for layer in variant.card.get("layers") or ()
    ]
    if not layers:
        return
    worst = sorted(layers, key=lambda layer: -layer[1])[:WORST]
    rows = [(code(name), f"{error:.2%}", "–" if snr is None else f"{snr:.1f} dB") for name, error, snr in worst]
    layer_table = table(("layer", "relative weight error", "SNR"), rows)
    yield f"## Where rounding lost most\n\n{plain(error_summary(layers))}\n\n{layer_table}"


def _reloaded(variant: StoredVariant) -> Iterator[str]:
    check = variant.card.get("reload")
    if isinstance(check, dict) and "kld_mean" in check:
        yield (
            "## Checked after saving\n\nThe saved files were loaded in a fresh process and compared with the model "
            f"that was in memory, on fixed prompts: mean KLD {check['kld_mean']:.3g} nats, the same top token in "
            f"{check['top1_agreement']:.1%}."
        )


def _how_made(variant: StoredVariant, base: Origin, recipe_yaml: str) -> str:
    recipe = without_paths(variant.recipe)
    parts = []
    if words := calibration_words(recipe):
        parts.append(f"Calibrated on {plain(words)}.{_digest('Token ids', _calibration(variant.recipe).get(HASH))}")
    name = "" if variant.name == variant_name(Recipe.from_stored(variant.recipe)) else variant.name
    model = base.title if PurePosixPath(variant.model).is_absolute() else variant.model
    parts.append("The command that repeats it, in Quantization Playground:")
    parts.append(fence(command(model, Recipe.from_stored(recipe), name=name), "bash"))
    parts.append(f"The recipe:\n\n{fence(recipe_yaml, 'yaml')}")
    parts.append(_digest("Weights", variant.content_hash).strip())
    parts.append(_digest("Base weights", variant.parent.get("content_hash")).strip())
    return "\n\n".join(filter(None, parts))


def _calibration(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    return recipe.get("calibration") or {}


def _digest(name: str, value: object) -> str:
    return f" {name}: SHA-256 {code(value)}." if value else ""


# Loading.


def loading(variant: StoredVariant, row: Method, files: Sequence[str], repository: str) -> str:
    """How to load the variant, as Markdown; engines in the order of the methods table."""
    address = repository or PLACEHOLDER
    gguf = next((name for name in files if name.endswith(".gguf")), "")
    blocks = {
        "transformers": f"### transformers\n\n{_transformers(row, address, gguf)}",
        "vllm": f"### vLLM\n\n{fence(f'vllm serve {address}', 'bash')}\n\n"
        f"Whether vLLM has a kernel for {code(variant.scheme)} depends on the device; it says so when it starts.",
        "llamacpp": f"### llama.cpp\n\n{fence(f'llama-server --hf-repo {address} --hf-file {gguf}', 'bash')}",
    }
    return "\n\n".join([*(blocks[engine] for engine in row.engines), row.hardware])


def _transformers(row: Method, repository: str, gguf: str) -> str:
    package = _PACKAGE.get(row.name, "compressed-tensors")
    argument = f", gguf_file={gguf!r}" if gguf else ""
    return fence(
        f"# pip install transformers accelerate {package}\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{repository}"{argument})\n'
        f'model = AutoModelForCausalLM.from_pretrained("{repository}"{argument}, dtype="auto")\n'
        'messages = [{"role": "user", "content": "What is gravity?"}]\n'
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True\n'
        ").to(model.device)\n"
        "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=128)[0]))",
        "python",
    )


# Measurements.


def of_variant(variant: StoredVariant) -> list[Run]:
    """The runs that measured exactly these weights, under any name; newest first."""
    if not database.exists():
        return []
    latest = runs.latest(model=variant.model)
    return [runs.get(run.id) for run in latest if _facts(run, variant)]


def _facts(run: Run, variant: StoredVariant) -> Mapping[str, Any] | None:
    """The run's facts of these weights; None if it did not measure them. Its first variant is the reference."""
    return next((facts for facts in run.variants[1:] if facts.get("content_hash") == variant.content_hash), None)


def tables(variant: StoredVariant, measurements: Sequence[Run]) -> str:
    """Tasks, divergence and speed as Markdown, each from the newest run that has it."""
    parts = [_tasks(variant, measurements), _divergence(variant, measurements), _speed(variant, measurements)]
    return "\n\n".join(filter(None, parts)) or NO_EVALUATION


def index(variant: StoredVariant, measurements: Sequence[Run]) -> list[EvalResult]:
    """The results for the hub's `model-index`, each from the newest run that has it."""
    newest: dict[tuple[str, str], EvalResult] = {}
    for run in measurements:
        if facts := _facts(run, variant):
            for result in report_card.results(run, facts["id"]):
                newest.setdefault((result.dataset_type, result.metric_type), result)
    return list(newest.values())


def _row(run: Run, name: object, task: object = None) -> Row | None:
    """The run's row of a variant, and of a task for an evaluation."""
    rows = run.result.get("rows") or ()
    return next((row for row in rows if row.get("variant") == name and row.get("task") == task), None)


def _tasks(variant: StoredVariant, measurements: Sequence[Run]) -> str:
    rows: dict[str, list[str]] = {}
    warned: list[str] = []
    bundled = False
    for run, variant_facts in _of_kind("evaluation", variant, measurements):
        tasks = {entry.get("name"): entry for entry in run.result.get("tasks") or ()}
        for row in run.result.get("rows") or ():
            task = str(row.get("task"))
            if row.get("variant") != variant_facts["id"] or task in rows:
                continue
            is_bundled = bool(tasks.get(task, {}).get("bundled"))
            bundled |= is_bundled
            before = _row(run, run.variants[0]["id"], row.get("task"))
            rows[task] = [
                plain(task) + ("¹" if is_bundled else ""), plain(row["metric"]), str(row["n"]),
                _score(before), _score(row),
                _number(row.get("recovery"), ".1f", "%"), _interval(row.get("diff_ci95")), plain(row["verdict"]),
                code(run.id),
            ]  # fmt: skip
            warned += [f"{task}: {text}" for text in row.get("warnings") or ()]
    if not rows:
        return ""
    headings = ("task", "metric", "n", "base", "quantized", "recovery", "difference, 95%", "verdict", "run")
    lines = [table(headings, rows.values(), 2)]
    if bundled:
        lines.append("¹ A task that comes with Quantization Playground, not the public benchmark of that kind.")
    lines += [f"- {plain(text)}" for text in dict.fromkeys(warned)]
    return "\n\n".join(lines)


def _divergence(variant: StoredVariant, measurements: Sequence[Run]) -> str:
    """The newest divergence run, else the newest evaluation with a divergence, as Markdown."""
    for kind in ("divergence", "evaluation"):
        for run, facts in _of_kind(kind, variant, measurements):
            rows = run.result.get("rows" if kind == "divergence" else "divergence") or ()
            by_name = {row.get("variant"): row for row in rows}
            if (quantized := by_name.get(facts["id"])) is None:
                continue
            floor = by_name.get(NOISE_FLOOR)
            named_rows = [("quantized", quantized), *([("noise floor", floor)] if floor else [])]
            cells = [
                [
                    name, _pair(row.get("kld_mean"), row.get("kld_stderr"), ".4g"), _number(row.get("kld_p99"), ".4g"),
                    _number(row.get("top1_agreement"), ".1%"), _number(row.get("ppl_ratio"), ".4f"),
                    _number(row.get("tokens"), ",d"), code(run.id),
                ]
                for name, row in named_rows
            ]  # fmt: skip
            headings = ("", "mean KLD, nats", "p99", "same top token", "PPL ratio", "tokens", "run")
            heading = "Divergence from the base model on the same tokens (noise floor: the base model against itself):"
            return f"{heading}\n\n{table(headings, cells)}"
    return ""


def _speed(variant: StoredVariant, measurements: Sequence[Run]) -> str:
    for run, facts in _of_kind("evaluation", variant, measurements):
        if not (speed := facts.get("speed")):
            continue
        before = run.variants[0].get("speed") or {}
        cells = [
            plain(speed.get("engine")), _pair(before.get("decode_tok_s"), before.get("sd"), ".1f"),
            _pair(speed.get("decode_tok_s"), speed.get("sd"), ".1f"), plain(run.device.get("name", "–")), code(run.id),
        ]  # fmt: skip
        return table(("engine", "base, tok/s", "quantized, tok/s", "on", "run"), [cells])
    return ""


def _of_kind(kind: str, variant: StoredVariant, measurements: Sequence[Run]) -> Iterator[tuple[Run, Mapping[str, Any]]]:
    for run in measurements:
        facts = _facts(run, variant)
        if run.kind == kind and facts is not None:
            yield run, facts


def _score(row: Row | None) -> str:
    return "–" if row is None else _pair(row.get("score"), row.get("stderr"), ".4f")


def _pair(value: Any, error: Any, form: str) -> str:
    """ "0.4120 ± 0.0180" """
    return _number(value, form) + (f" ± {_number(error, form)}" if isinstance(error, int | float) else "")


def _interval(bounds: Any) -> str:
    return (
        minus(f"{bounds[0]:+.4f} to {bounds[1]:+.4f}") if isinstance(bounds, list | tuple) and len(bounds) == 2 else "–"
    )


def _number(value: Any, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if isinstance(value, int | float) and not isinstance(value, bool) else "–"


# Origin and licence.


@dataclass(frozen=True, slots=True)
class Origin:
    """The base model.

    title       its name on a card; never a path of this machine
    repository  its hub name, "" for a local model
    license     the hub's identifier of its licence, "" where it is unknown
    note        a caveat about the weights that were quantized, "" without one
    """

    title: str
    repository: str = ""
    license: str = ""
    note: str = ""


def origin(model: str) -> Origin:
    """The base model of a variant. Requests only the licence from the hub; "" on an error. Raises UnknownModel."""
    parsed = names.parse(model)
    if parsed.kind == "bundled":
        note = _RESTORED if bundled.gguf() is not None else ""
        return Origin(_last(names.BUNDLED_REPO), names.BUNDLED_REPO, BUNDLED_LICENSE, note)
    if parsed.kind == "hub":
        return Origin(_last(parsed.repo), parsed.repo, _license(parsed))
    path = parsed.path or Path(model)
    return Origin(path.stem if path.suffix == ".gguf" else path.name, license=_declared(path))


def _last(repository: str) -> str:
    return repository.rpartition("/")[2]


def _license(model: names.Model) -> str:
    try:
        return hub.listing(model).license
    except CatalogError as error:
        log.info("The licence of %s is not known: %s", model.repo, error.message)
        return ""


def _declared(path: Path) -> str:
    """The licence in the front matter of the README beside the weights; "" without one."""
    readme = (path if path.is_dir() else path.parent) / "README.md"
    try:
        text = readme.read_text(encoding="utf-8") if readme.stat().st_size <= MAX_README else ""
        _, front, _ = text.split("---\n", 2)
        fields = yaml.safe_load(front)
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    declared = fields.get("license") if isinstance(fields, dict) else None
    return declared if isinstance(declared, str) else ""
