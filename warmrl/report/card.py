"""The model card of an exported policy: what it is, its figures with their intervals, how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from warmrl.report.markdown import fenced, plain, table
from warmrl.report.words import percent, quantity, span

Facts = Mapping[str, Any]


def card(facts: Facts) -> str:
    """Markdown with the Hub's front matter. `facts`:

    kind            `model` or `adapter`
    checkpoint      `rl` or `rl@60`; `stage`, and `line`: the stages that lead to it (name and table)
    base            the recipe's model; `starts_from`: what an adapter goes on; `dtype`: what it was cast to, if it was
    vision          whether it sees images
    recipe          resolved; `verbatim`: as it was written, if that is known
    report          the run's report.json, or None while the run isn't finished
    environment     of the run
    """
    recipe = facts["recipe"]
    lines = [*front_matter(facts), "", f"# {plain(recipe['name'])}: {plain(facts['checkpoint'])}", "", *made(facts)]
    lines += ["", "## Figures", "", *figures(facts), "", "## Use", "", *use(facts)]
    lines += ["", "## Versions", "", *versions(facts["environment"])]
    lines += ["", "## License", "", "Not stated here: it follows from the base model's and the data's."]
    lines += ["", "## Recipe", ""]
    if facts["verbatim"]:
        lines += ["As it was written:", "", *fenced(facts["verbatim"].rstrip("\n")), ""]
    lines += ["With every default (`warmrl run` takes it back):", "", *fenced(recipe)]
    return "\n".join(lines) + "\n"


def front_matter(facts: Facts) -> list[str]:
    """What the Hub reads. JSON strings are YAML strings, so no value can break out."""
    adapter = facts["kind"] == "adapter"
    methods = [stage["use"] for stage in facts["line"] if stage["use"] != "none"]
    values = {
        "base_model": facts["base"],
        "base_model_relation": "adapter" if adapter else "finetune",
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "image-text-to-text" if facts["vision"] else "text-generation",
        "tags": list(dict.fromkeys(["warmrl", *methods, *(["lora"] if adapter else [])])),
    }
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in values.items()), "---"]


def made(facts: Facts) -> list[str]:
    """What it is and what led to it."""
    recipe = facts["recipe"]
    base = plain(facts["base"]) + (f" at {plain(recipe['model']['revision'])}" if "revision" in recipe["model"] else "")
    steps = [f"`{stage['name']}` (`{stage['use']}`)" for stage in facts["line"]]
    what = "Adapters in peft's format" if facts["kind"] == "adapter" else "A whole model with its processor"
    lines = [
        f"{what}: the checkpoint `{facts['checkpoint']}` of the recipe `{recipe['name']}`, seed {recipe['seed']}, made "
        f"by warmrl from {base} by {' and then '.join(steps)}."
    ]
    if facts["kind"] == "adapter":
        lines.append(f"They go on {plain(facts['starts_from'])} and on nothing else.")
    if facts.get("dtype"):
        lines.append(f"Stored in {facts['dtype']}; the figures below are of the weights before that.")
    return lines


def figures(facts: Facts) -> list[str]:
    """A row for each suite and metric of this checkpoint, and what kind of claim they carry."""
    report = facts["report"]
    if report is None:
        return ["The run was not finished when this was exported, so there are none."]
    name = evaluated(facts)
    rows = list(rows_of(report, name))
    if not rows:
        points = ", ".join(f"`{one['name']}`" for one in report["checkpoints"]) or "no checkpoint"
        return [f"This checkpoint was not evaluated. The run has figures of {points}."]
    how = report["interval"]
    blocks = [one for one in report["sampling"] if any(used.startswith(f"{name} on ") for used in one["used_by"])]
    sampled = "; ".join(json.dumps(block["settings"], ensure_ascii=False) for block in blocks)
    return [
        *table(["suite", "problems", "metric", "value", f"{percent(how['level'])} interval"], rows),
        "",
        f"{report['claim']} {how['method']}, {how['draws']} draws, seed {how['seed']}. They are figures of these "
        "weights: that the method is better than another takes several seeds.",
        "",
        f"Sampling: `{sampled}`.",
    ]


def evaluated(facts: Facts) -> str:
    """The name under which the report has this checkpoint: the step that a stage hands on is the stage."""
    stage, _, step = facts["checkpoint"].partition("@")
    ends = {one["name"]: one.get("handed_on") or one["steps"] for one in facts["report"]["stages"]}
    return stage if step.isdecimal() and ends.get(stage) == int(step) else facts["checkpoint"]


def rows_of(report: Mapping[str, Any], checkpoint: str) -> Iterator[list[str]]:
    """Suite, problems, metric, value, interval."""
    for row in report["endpoints"]:
        if row["checkpoint"] == checkpoint:
            value, interval = quantity(row["value"], row["unit"]), span(row["low"], row["high"], row["unit"])
            yield [row["suite"], str(report["problems"][row["suite"]]), row["metric"], value, interval]


def use(facts: Facts) -> list[str]:
    """How to load it."""
    family = "AutoModelForImageTextToText" if facts["vision"] else "AutoModelForCausalLM"
    adapter = facts["kind"] == "adapter"
    loaded = json.dumps(facts["starts_from"] if adapter else "THIS_FOLDER")
    code = [
        f"from transformers import AutoProcessor, {family}",
        "",
        f'model = {family}.from_pretrained({loaded}, dtype="auto")',
        f"processor = AutoProcessor.from_pretrained({loaded})",
    ]
    if adapter:
        code.insert(0, "from peft import PeftModel")
        code.insert(4, 'model = PeftModel.from_pretrained(model, "THIS_FOLDER")')
    lines = fenced("\n".join(code))
    lines[0] += "python"
    if adapter and "#" in facts["starts_from"]:
        lines += ["", f"`{facts['starts_from']}` is another stage's policy: export it with `--merge` and load that."]
    instruction = facts["recipe"]["answer"].get("instruction")
    if instruction:
        lines += ["", "It was trained with this after every question:", "", *fenced(instruction)]
    return lines


def versions(environment: Mapping[str, Any]) -> list[str]:
    """What the run was made with."""
    packages = {"python": environment["python"], **environment["packages"]}
    return table(["package", "version"], [[name, version] for name, version in packages.items()])
