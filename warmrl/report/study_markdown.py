"""The report of a study as Markdown, with the numbers and words of its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from warmrl.report import study_budget
from warmrl.report.comparison_tables import RULES
from warmrl.report.markdown import cell, contrasts, fenced, method, plain, sampling, table
from warmrl.report.study_answers import sentence
from warmrl.report.study_cells import alone, rows_of
from warmrl.report.study_claims import STAR
from warmrl.report.study_methods import CHANGE, WHEN
from warmrl.report.words import DASH, change, duration, number, probability, quantity, sentence_case, span

Report = Mapping[str, Any]

COUNTS = (*study_budget.COUNTS, "flops")


def render(report: Report) -> str:
    """The whole report."""
    lines = [f"# {plain(report['name'])}", "", *(f"- {plain(one['text'])}" for one in report["answers"])]
    lines += [
        "",
        plain(report["methods"]["claim"]),
        "",
        f"{plain(report['checkpoints']['claim'])} {method(report)}",
        "",
    ]
    lines += arms(report)
    for suite in report["suites"]:
        lines += of_suite(report, suite)
    lines += regime(report)
    lines += ["", "## Transfer", "", *transfer(report)]
    lines += ["", "## Budget", "", *budget(report)]
    lines += ["", "## Fairness", "", *fairness(report)]
    lines += ["", "## How the answers were sampled", "", *sampling({**report, "checkpoints": []})]
    if report["findings"]:
        lines += ["", "## Findings on the way", "", *(f"- {plain(one)}" for one in report["findings"])]
    lines += ["", "<!-- timings -->", "## Time", "", *times(report["timings"]), "<!-- /timings -->"]
    lines += ["", "## How to reproduce it", "", *fenced("\n".join(report["reproduce"])), "", "Environment:", ""]
    return "\n".join([*lines, *fenced(report["environment"]["same"])]) + "\n"


def arms(report: Report) -> list[str]:
    """The arms with their stages and runs."""
    rows = [
        [
            f"{one['name']} (control)" if one["name"] == report["control"] else one["name"],
            " → ".join(f"{stage['name']} ({stage['use']})" for stage in one["stages"]),
            one["entry"],
            ", ".join(map(str, one["seeds"])) or DASH,
            ", ".join(str(failed["seed"]) for failed in one["failed"]) or DASH,
        ]
        for one in report["arms"]
    ]
    return table(["arm", "stages", "RL entry", "seeds", "failed"], rows)


def of_suite(report: Report, suite: Mapping[str, Any]) -> Iterator[str]:
    """Endpoints, contrasts and pass@k of one suite."""
    where = {"in": "in domain, ", "out": "out of domain, "}.get(suite["domain"], "")
    yield from ["", f"## {plain(suite['name'])}: {where}{suite['problems']} problems", ""]
    rows = rows_of(report["endpoints"], suite=suite["name"])
    if report["note"]:
        yield from [plain(sentence(report["note"])), ""]
    yield from endpoints(rows)
    for point in WHEN:
        claimed = rows_of(report["methods"]["contrasts"], suite=suite["name"], point=point)
        if claimed:
            yield from ["", f"### Methods {WHEN[point]}", "", "Method claim: crossed over seeds and problems.", ""]
            yield from contrast_table(claimed)
    if report["methods"]["contrasts"]:
        yield from ["", RULES]
    for point in WHEN:
        found = rows_of(report["checkpoints"]["contrasts"], suite=suite["name"], point=point)
        if found:
            yield from ["", f"### Checkpoints {WHEN[point]}", "", "Checkpoint claim: intervals over problems.", ""]
            yield from contrast_table(found)
    yield from pass_at_k(rows_of(report["curves"], suite=suite["name"]))


def endpoints(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row a policy, a column a metric."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = {(row["arm"], row["point"], row["metric"]): row for row in rows}
    places = list(dict.fromkeys((row["arm"], row["point"], row["seeds"]) for row in rows))
    body = [
        [
            "base" if arm is None else f"{arm}, {point}",
            alone(seeds) or (f"{seeds} seeds" if seeds else "one checkpoint, over problems"),
            *(endpoint(cells.get((arm, point, metric))) for metric in metrics),
        ]
        for arm, point, seeds in places
    ]
    noted = ["", plain(STAR)] if any(row["degenerate"] for row in rows) else []
    return [*table(["policy", "interval over", *metrics], body), *noted]


def endpoint(row: Mapping[str, Any] | None) -> str:
    """A value, and in brackets what stands under it on the page."""
    if row is None or row["value"] is None:
        return DASH
    return number(row["value"], row["unit"]) + (f" ({row['shown']})" if row["shown"] else "")


def contrast_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Differences by metric and pair."""
    for metric in dict.fromkeys(row["metric"] for row in rows):
        own = rows_of(rows, metric=metric)
        yield from [f"{plain(metric)}:", "", *contrasts(own, "pair", over_time=own[0]["point"] == CHANGE), ""]


def pass_at_k(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """pass@k at each point, a column a k."""
    if rows:
        ks = rows[0]["k"]
        yield from ["", "### pass@k, %", "", "Mean over the runs; intervals over problems, for these very runs.", ""]
        body = [
            [
                "base" if row["arm"] is None else f"{row['arm']}, {row['point']}",
                *(
                    cell({"value": value, "low": low, "high": high, "unit": "share"})
                    for value, low, high in zip(row["value"], row["low"], row["high"], strict=True)
                ),
            ]
            for row in rows
        ]
        yield from table(["policy", *(f"k = {k}" for k in ks)], body)


def regime(report: Report) -> Iterator[str]:
    """The entropy along both stages."""
    found = report["regime"]
    yield from ["", f"## {plain(sentence_case(found['metric']))} along both stages", ""]
    for note in found["notes"]:
        yield from [f"{plain(sentence(note))}", ""]
    if found["curves"]:
        unit = found["unit"]
        yield from [f"Probe: {found['problems']} problems of {plain(found['suite'])}. {found['rule']}", ""]
        body = [
            [
                row["arm"] or "base",
                row["stage"],
                str(row["step"]),
                quantity(row["value"], unit),
                span(row["over_problems"]["low"], row["over_problems"]["high"], unit),
                span(row["over_seeds"]["low"], row["over_seeds"]["high"], unit) if row["over_seeds"] else DASH,
            ]
            for row in found["curves"]
        ]
        yield from table(["arm", "stage", "step", found["metric"], "over problems", "over seeds"], body)
    for one in found["separation"]:
        yield from ["", plain(one["sentence"])]
        if one["rows"]:
            body = [
                [
                    str(row["step"]),
                    change(row["difference"], found["unit"]),
                    span(row["low"], row["high"], found["unit"], signed=True),
                    probability(row["adjusted"]),
                    "apart" if row["resolved"] else "not told apart",
                ]
                for row in one["rows"]
            ]
            yield from ["", *table(["step", "difference", "interval", "adjusted p", "in words"], body)]
    for part, title in (
        ("outcome", f"In {report['outcome']}"),
        ("warm", "In the warm start, which is to move entropy"),
    ):
        if flags := rows_of(found["flags"], part=part):
            yield from ["", f"{plain(title)}:", "", *(f"- {plain(one['sentence'])}" for one in flags)]
        elif found["flags"] and part == "outcome":
            yield from ["", plain(f"In {report['outcome']} no run is flagged that was not before.")]
    if found["flags"]:
        yield from ["", plain(found["flag_rule"])]
    gain = found["gain"]
    yield from ["", plain(gain["sentence"])]
    if gain["points"]:
        body = [
            [one["arm"], str(one["seed"]), quantity(one["entropy"], found["unit"]), change(one["gain"], gain["unit"])]
            for one in gain["points"]
        ]
        yield from ["", *table(["arm", "seed", f"{found['metric']} at RL entry", "gain"], body)]


def transfer(report: Report) -> list[str]:
    """In-domain and out-of-domain scores from RL entry to the end."""
    rows = [
        [
            row["arm"],
            "mean" if row["seed"] is None else str(row["seed"]),
            *(quantity(row[side][where], row["unit"]) for where in ("in", "out") for side in ("from", "to")),
        ]
        for row in report["transfer"]
    ]
    heads = ["arm", "seed", "in domain, RL entry", "in domain, end", "out of domain, RL entry", "out of domain, end"]
    return [f"By {plain(report['headline'])}.", "", *table(heads, rows)] if rows else ["No suite of another domain."]


def budget(report: Report) -> list[str]:
    """What the warm starts were to share, and what each run took."""
    found = report["budget"]
    lines = table(
        ["arm", f"{found['match']} of the warm start", "to the control's", "status"],
        [
            [row["arm"], amount(row["amount"]), DASH if row["ratio"] is None else f"{row['ratio']:.3f}", row["status"]]
            for row in found["matched"]
        ],
    )
    rows = [
        [row["arm"], str(row["seed"]), row["part"], *(amount(row[name]) for name in COUNTS)] for row in found["rows"]
    ]
    heads = ["arm", "seed", "part", *(name.replace("_", " ") for name in COUNTS)]
    return [*lines, "", *table(heads, rows)]


def amount(value: float | None) -> str:
    """A count, in digits or powers of ten."""
    if value is None:
        return "not counted"
    return f"{value:.3g}" if value >= 1e9 else f"{value:,.0f}"


def fairness(report: Report) -> list[str]:
    """In what arms differ beyond the warm start."""
    rows = [
        [row["path"], row["status"], row["reason"] or DASH, "; ".join(f"{a}: {v}" for a, v in row["arms"].items())]
        for row in report["fairness"]
    ]
    return table(["setting", "status", "reason", "arms"], rows) if rows else ["No plan was kept."]


def times(found: Mapping[str, Any]) -> list[str]:
    """Seconds by arm, seed and stage; and estimates beside what happened."""
    sums: dict[tuple[str, int, str], float] = {}
    for row in found["rows"]:
        place = (row["arm"], row["seed"], row["stage"])
        sums[place] = sums.get(place, 0.0) + row["seconds"]
    lines = table(
        ["arm", "seed", "stage", "time"],
        [[arm, str(seed), stage, duration(value)] for (arm, seed, stage), value in sums.items()],
    )
    if found["estimates"]:
        rows = [
            [str(one["what"]), *(shown(one[side]) for side in ("estimated", "measured"))] for one in found["estimates"]
        ]
        lines += ["", *table(["what", "estimated", "measured"], rows)]
    return lines


def shown(value: Any) -> str:
    """A number or a word; a dash where there is none."""
    if isinstance(value, int | float):
        return number(float(value), "tokens")
    return DASH if value is None else str(value)
