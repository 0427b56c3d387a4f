"""What `warmrl eval` and `warmrl compare` share: their options, measuring targets, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from warmrl.engine.targets import Target

Metrics = Annotated[list[str] | None, typer.Option("--metric", help="A metric, as pass@16; may be repeated.")]
Suites = Annotated[
    list[str] | None,
    typer.Option(
        "--suite", metavar="NAME[:SPLIT][=PATH]", help="A suite: of the recipe, or a dataset; may be repeated."
    ),
]
RecipeFrom = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE", help="Take suites, prompts and sampling from this recipe.")
]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Change a key: eval.samples=32.")]
Sampling = Annotated[
    list[str] | None,
    typer.Option("--sampling", metavar="K=V", help="How a file's samples were drawn: temperature=1.0."),
]
TrainedOn = Annotated[
    list[str] | None,
    typer.Option("--trained-on", metavar="NAME[=PATH]", help="Training data to look for in the suites."),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the report goes (default: ./runs/…).")]
Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]
Code = Annotated[bool, typer.Option("--trust-remote-code", help="Let a model repository's own code run.")]


def measured(
    given: Sequence[str],
    metrics: Sequence[str] | None,
    suites: Sequence[str] | None,
    recipe: Path | None,
    sets: Sequence[str] | None,
    sampling: Sequence[str] | None,
    trained_on: Sequence[str] | None,
    out: Path | None,
    stopping: Any,
    allow_code: bool,
    **more: Any,
) -> dict[str, Any]:
    """Measure targets under one protocol and write their report. Raises `UsageError` before anything is drawn."""
    from warmrl.cli.display import progress_for
    from warmrl.engine.comparing import Measuring
    from warmrl.engine.launch import is_first
    from warmrl.engine.run_place import claim, home, known_run
    from warmrl.engine.storage import require_space
    from warmrl.engine.targets import PROBES, protocol, targets_of

    sources = [one for text in given for one in text.partition("=")[2].split(",") or [text]] + list(given)
    rules = protocol(recipe, sources, suites or [], metrics or [], sets or [])
    targets = targets_of(given, rules)
    check_control(more.get("control"), targets)
    name = name_of(targets, out)
    folder = out or home() / name
    claim(folder, name)
    require_space(folder)
    training = {text: dataset_of(text, targets[0].file.registry) for text in trained_on or []}
    explicit = bool(metrics) or rules.table["eval"].get("metrics") != PROBES
    stated = dict(setting(text) for text in sampling or [])
    evaluations: list[dict[str, Any]] = []
    before = (folder.exists(), known_run(folder))
    with progress_for() as progress, put_back(folder, *before):
        measuring = Measuring(folder, home() / "store", progress, stopping, allow_code, stated, explicit, training)
        if is_first():
            measuring.begin(name, targets)
        for target in sorted(targets, key=lambda one: not one.is_file):  # what may be refused comes first
            evaluations += measuring.measure(target)
        if not is_first():
            return {}
        more["domains"] = domains_of(targets, trained_on or [])
        report = measuring.report(targets, evaluations, name=name, settings=interval_of(targets[0]), **more)
    show(report, folder)
    return report | {"folder": str(folder)}


@contextmanager
def put_back(folder: Path, existed: bool, known: dict[str, Any]) -> Iterator[None]:
    """After a refusal the folder is as it was: what a person wrote wrongly leaves nothing, and spoils nothing."""
    import shutil

    from warmrl.domain.errors import UsageError
    from warmrl.engine.launch import is_first
    from warmrl.engine.run_place import RUN_FILE
    from warmrl.engine.storage import write_json

    try:
        yield
    except UsageError:
        if is_first() and existed and known:
            write_json(folder / RUN_FILE, known)
        elif is_first() and not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def name_of(targets: Sequence[Target], out: Path | None) -> str:
    """What a measurement is called: `eval-A`, `compare-A-B`; with a hash where others of these names were measured."""
    import hashlib
    import re

    from warmrl.engine.run_place import home, known_run

    labels, sources = [one.label for one in targets], [one.source for one in targets]
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", "-".join(["eval" if len(labels) == 1 else "compare", *labels]))[:100]
    suites = list(targets[0].file.recipe.suite)
    known = known_run(out or home() / name)
    if known.get("targets") and ([one["source"] for one in known["targets"]], known.get("suites")) != (sources, suites):
        named = "\0".join([*sources, "", *suites])
        name += "-" + hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return name


def check_control(control: str | None, targets: Sequence[Target]) -> None:
    """Refuse a control that is no target, before anything is drawn. Raises `UsageError`."""
    from warmrl.domain.errors import UsageError

    known = list(dict.fromkeys(name for one in targets for name in (one.label, one.arm) if name))
    if control is not None and control not in known:
        raise UsageError(f"`--control {control}` is neither a target nor an arm; there are: {', '.join(known)}.")


def domains_of(targets: Sequence[Target], trained_on: Sequence[str]) -> dict[str, str]:
    """Which suites are of the datasets that were trained on (`in`) and which are not (`out`), if anybody says."""
    import json

    from warmrl.engine.targets import RESOLVED, run_of

    trained = {text.partition("=")[0] for text in trained_on}
    for run in (run_of(one.source) for one in targets):
        if run:
            trained |= {one["use"] for one in json.loads((run / RESOLVED).read_text()).get("data", {}).values()}
    suites = targets[0].file.recipe.suite
    return {name: "in" if choice.use in trained else "out" for name, choice in suites.items()} if trained else {}


def interval_of(target: Any) -> dict[str, Any]:
    """How intervals are made."""
    table = target.file.recipe.eval
    return {"level": table.interval, "draws": table.bootstrap, "seed": table.seed, "method": table.method}


def setting(text: str) -> tuple[str, Any]:
    """`--sampling KEY=VALUE`. Raises `UsageError`."""
    import tomllib

    from warmrl.domain.errors import UsageError

    key, equals, raw = text.partition("=")
    try:
        return key.strip(), tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        if equals and raw:
            return key.strip(), raw
    raise UsageError(f"`--sampling {text}`: write a key and a value, as `--sampling temperature=1.0`.")


def dataset_of(text: str, registry: Any) -> Any:
    """`NAME[=PATH]`: a dataset by its plugin's name. Raises `UsageError`."""
    from pydantic import TypeAdapter, ValidationError

    from warmrl.domain.config import DatasetChoice
    from warmrl.domain.errors import UsageError

    name, equals, path = text.partition("=")
    table = {"use": name, **({"path": path} if equals else {})}
    try:
        choice = TypeAdapter(DatasetChoice).validate_python(table, context={"registry": registry})
    except ValidationError as error:
        raise UsageError(f"`--trained-on {text}`: {error.errors()[0]['msg']}.") from None
    return registry.instance(choice)


def endpoints(report: dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    rows = report.get("endpoints", [])
    folder = Path(report.get("folder", "."))
    return {
        "report": str(folder / "report.html"),
        "answer": [one["text"] for one in report.get("answer", [])],
        "metrics": {f"{one['checkpoint']}/{one['suite']}/{one['metric']}": compact(one) for one in rows},
        "findings": report.get("findings", []),
    }


def compact(one: dict[str, Any]) -> dict[str, Any]:
    """A score for machines."""
    return {name: one[name] for name in ("value", "low", "high", "n")}


def show(report: dict[str, Any], folder: Path) -> None:
    """The endpoint tables, what can be told apart, and where the report is, on standard error."""
    from warmrl.cli.summary import interval, opinions

    console = Console(stderr=True)
    for suite in report["suites"]:
        own = [one for one in report["endpoints"] if one["suite"] == suite]
        names = list(dict.fromkeys(one["metric"] for one in own))
        table = Table("", *names, title=escape(suite), title_justify="left")
        for label in dict.fromkeys(one["checkpoint"] for one in own):
            cells = {one["metric"]: interval(one) for one in own if one["checkpoint"] == label}
            table.add_row(escape(label), *(cells.get(name, "") for name in names))
        console.print(table)
    said = [one["text"] for one in report["answer"]][:4]
    for sentence in [*said, *opinions(report), *report["notes"], *report["findings"]]:
        console.print(sentence, highlight=False, markup=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
