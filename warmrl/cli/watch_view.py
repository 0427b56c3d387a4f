"""What `warmrl watch` shows: a run or a study as lines that fit a terminal. What a model wrote is escaped."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from rich.cells import chop_cells
from rich.console import Group
from rich.text import Text

from warmrl.cli.chart import chart
from warmrl.engine.following import CURVES, Curve, Run, Stage
from warmrl.engine.following_study import Cell, Study

COLOURS = ("cyan", "magenta", "yellow", "green", "red", "blue", "bright_cyan", "bright_magenta", "bright_yellow",
           "bright_green", "bright_red", "bright_blue")  # fmt: skip
STATES = {"running": "cyan", "finished": "green", "waiting": "dim", "failed": "red", "died": "red", "silent": "yellow",
          "stopped": "yellow"}  # fmt: skip
# Points of a curve that are drawn: more than a wide terminal has columns of dots.
POINTS = 250
# Two charts stand side by side from this width on, three from the next.
TWO, THREE = 52, 78
# Lines for the examples of a step, at least, and of a chart, at most.
EXAMPLES, TALLEST = 10, 10
BAR = 20


def view(found: Run | Study, width: int, height: int, chosen: int = 0) -> Group:
    """The whole view in at most `height` lines. Of a study, `chosen` says whose rollouts are shown."""
    lines = study_lines(found, width, height, chosen) if isinstance(found, Study) else run_lines(found, width, height)
    fitting = lines[:height]
    for line in fitting:
        line.no_wrap, line.overflow = True, "ellipsis"
        line.truncate(width, overflow="ellipsis")
    return Group(*fitting)


def run_lines(run: Run, width: int, height: int) -> list[Text]:
    """A run: what it does, the curves of its stage, the extremes of its last step."""
    lines = header(run, width)
    curves = run.journals.curves if run.journals else {}
    stage = run.stage
    drawn = {name: {COLOURS[0]: curves[name]} for name in CURVES if name in curves}
    lines += charts(drawn, width, chart_height(height, len(lines), len(drawn), width), stage.steps if stage else None)
    return lines + examples(run, width, height - len(lines))


def study_lines(study: Study, width: int, height: int, chosen: int) -> list[Text]:
    """A study: its cells as a table, the curves of those that run, the extremes of one of them."""
    title = Text.assemble((shown(study.name), "bold"), "  ", state_text(study.state))
    counts = {state: study.count(state) for state in dict.fromkeys(one.state for one in study.cells)}
    title.append(f"  {len(study.cells)} cells: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    running = study.running
    colours = {id(one): COLOURS[number % len(COLOURS)] for number, one in enumerate(running)}
    lines = [title, *ending_lines(study, width), *cells_table(study, colours, width), *errors(study)]
    drawn: dict[str, dict[str, Curve]] = {}
    for one in running:
        for name, curve in (one.run.journals.curves if one.run.journals else {}).items():
            drawn.setdefault(name, {})[colours[id(one)]] = curve
    drawn = {name: drawn[name] for name in CURVES if name in drawn}
    steps = [stage.steps or 0 for one in running if (stage := one.run.stage) is not None]
    lines += charts(drawn, width, chart_height(height, len(lines), len(drawn), width), max(steps, default=0))
    if running:
        one = running[chosen % len(running)]
        lines.append(Text.assemble(("■ ", colours[id(one)]), (shown(one.name), "bold"), "  ", progress(one.run)))
        lines += examples(one.run, width, height - len(lines))
    return lines


def header(run: Run, width: int) -> list[Text]:
    """Name, state, stages, and how far the one at work is."""
    title = Text.assemble((shown(run.name), "bold"), "  ", state_text(run.state), "  ")
    for number, stage in enumerate(run.stages):
        mark = {"done": "✓ ", "reused": "✓ ", "running": "▶ ", "waiting": "· "}[stage.state]
        title.append(" → " if number else "").append(mark + shown(stage.name), STAGE_STYLES[stage.state])
    lines = [title, progress(run, bar=BAR if width >= THREE else 0)]
    return lines + ending_lines(run, width)


STAGE_STYLES = {"done": "green", "reused": "green", "running": "bold cyan", "waiting": "dim"}


def progress(run: Run, bar: int = 0) -> Text:
    """The stage at work: step of steps, pace, time left, or what is done besides."""
    stage, parts = run.stage, Text()
    if stage is not None:
        parts.append(f"{shown(stage.name)} ", "bold").append(f"({shown(stage.use)}) ", "dim")
        if bar and stage.steps:
            full = round(bar * min((stage.step or 0) / stage.steps, 1))
            parts.append("━" * full, "cyan").append("─" * (bar - full), "dim").append(" ")
        parts.append(steps_of(stage))
    if run.state != "running":
        return parts
    timing = run.journals.timing if run.journals else {}
    if stage is not None and stage.state == "running" and "tokens_per_second" in timing:
        parts.append(f"  {timing['tokens_per_second']:,.0f} tok/s")
    if run.left is not None:
        parts.append(f"  {duration(run.left)} left of this stage")
    if run.doing:
        parts.append(f"  {shown(run.doing)}", "yellow")
    if run.quiet() >= QUIET:
        parts.append(f"  nothing new for {duration(run.quiet())}", "yellow")
    return parts


QUIET = 30.0
"""Seconds without anything new after which that is said."""


def steps_of(stage: Stage) -> str:
    """`96/180`, or how many there were."""
    if stage.step is None:
        return "done" if stage.state in ("done", "reused") else ""
    return f"{stage.step}/{stage.steps}" if stage.steps else f"step {stage.step}"


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(shown(state), STATES.get(state, "red"))


def ending_lines(found: Run | Study, width: int) -> list[Text]:
    """How it ended, where it has."""
    return [Text(line, "yellow") for line in wrap(ending(found), max(width, 1))]


def ending(found: Run | Study) -> str:
    """How a run or study ended, in a sentence; empty while it runs."""
    name, what = shown(found.name), "study" if isinstance(found, Study) else "run"
    report = found.folder / "report.md"
    last = f"; the last that came was {duration(found.quiet())} ago"
    if isinstance(found, Study):
        left = found.count("waiting") + found.count("stopped")
        stopped = f"{left} of its {len(found.cells)} cells wait. The same command goes on."
        failed = f"{found.count('failed')} of its {len(found.cells)} cells failed. The same command tries them again."
    else:
        stopped = failed = shown(found.error)
    return {
        "running": "",
        "finished": f"The {what} `{name}` has finished: {report}",
        "failed": f"The {what} `{name}` failed: {failed}",
        "stopped": f"The {what} `{name}` stopped: {stopped}",
        "died": f"The {what} `{name}` died: its process ended and it had not finished{last}. The same command goes on.",
        "silent": f"Nothing new comes from the {what} `{name}`, and its process cannot be asked from here{last}.",
    }.get(found.state, f"{found.folder} holds no {what} that can be read.")


def charts(drawn: Mapping[str, Mapping[str, Curve]], width: int, height: int, last: int | None) -> list[Text]:
    """Charts side by side, `height` lines each under a title with the newest value."""
    if height < 1 or not drawn:
        return []
    side = columns_for(width)
    wide, names, lines = (width - (side - 1)) // side, list(drawn), []
    for at in range(0, len(names), side):
        blocks = []
        for name in names[at : at + side]:
            curves = {colour: thinned(curve) for colour, curve in drawn[name].items()}
            newest = [curve[-1][1] for curve in drawn[name].values()]
            title = Text(f"{' ' * 8}{name} ", "bold")
            if len(newest) == 1:
                title.append(f"{newest[0]:.4g}", "not bold " + next(iter(curves)))
            title.truncate(wide, pad=True)
            blocks.append([title, *chart(curves, wide, height, last)])
        lines += [Text(" ").join(row) for row in zip(*blocks, strict=True)]
    return lines


def columns_for(width: int) -> int:
    """How many charts stand side by side."""
    return 3 if width >= THREE else 2 if width >= TWO else 1


def chart_height(height: int, used: int, count: int, width: int) -> int:
    """Lines of each chart, so that there is room for a few examples below."""
    rows = -(-count // columns_for(width))
    room = height - used - max(EXAMPLES, height // 3)
    return max(min(room // rows - 1, TALLEST), 2 if height - used > 3 * rows else 0) if rows else 0


def thinned(curve: Curve) -> Curve:
    """Every so manieth point of a long curve, its last one among them."""
    stride = -(-len(curve) // POINTS)
    return curve if stride <= 1 else [*curve[:-1:stride], curve[-1]]


def cells_table(study: Study, colours: Mapping[int, str], width: int) -> list[Text]:
    """Arms by seeds: how far each cell is, or what it reached; the colour of its curves before one that runs."""
    arms = list(dict.fromkeys(one.arm for one in study.cells))
    seeds = list(dict.fromkeys(one.seed for one in study.cells))
    cells = {(one.arm, one.seed): one for one in study.cells}
    reached = (best for one in study.cells if one.state == "finished" and (best := one.run.headline()))
    metric = next((shown(best["metric"]) for best in reached), "")
    first = min(max(len(one) for one in (*arms, metric)) + 1, 20)
    wide = max(min((width - first) // max(len(seeds), 1), 22), 8)
    lines = [
        Text(f"{metric:<{first}}"[:first], "dim").append("".join(f"{f'seed {seed}':<{wide}}" for seed in seeds), "dim")
    ]
    for arm in arms:
        line = Text(shown(arm))
        line.truncate(first - 1, overflow="ellipsis")
        line.pad_right(first - len(line))
        for seed in seeds:
            cell = cells.get((arm, seed))
            text = cell_text(cell, colours) if cell else Text("")
            text.truncate(wide - 1, overflow="ellipsis")
            text.pad_right(wide - len(text))
            line.append_text(text)
        lines.append(line)
    return lines


def cell_text(cell: Cell, colours: Mapping[int, str]) -> Text:
    """One cell of the table."""
    state, stage = cell.state, cell.run.stage
    curve = Text("■ ", colours[id(cell)]) if id(cell) in colours else Text()
    if state == "running" and stage is not None:
        return curve.append(
            f"{shown(stage.name)} {steps_of(stage) if stage.state == 'running' else 'evaluating'}", "none"
        )
    if state == "finished" and (best := cell.run.headline()) is not None:
        return Text.assemble(("✓ ", "green"), f"{best['value']:.3f}")
    return curve.append_text(state_text(state))


def errors(study: Study) -> list[Text]:
    """Why cells failed, a line each."""
    return [Text(f"{one.name}: {shown(one.error)}", "red") for one in study.cells if one.error][:3]


def examples(run: Run, width: int, room: int) -> list[Text]:
    """The best, the worst and a truncated completion of the newest step, in `room` lines."""
    picked = extremes(run)
    if not picked or room < 2:
        return []
    each = max((room - 1) // len(picked), 1)
    lines = [Text(f"Rollouts of step {picked[0]['step']}", "bold")]
    for one in picked:
        lines += example(one, width, each)
    return lines[:room]


def example(one: Mapping[str, Any], width: int, room: int) -> list[Text]:
    """One completion with its problem: on one line where there is no more room, its text at most to the last line."""
    style = {"best": "green", "worst": "red", "truncated": "yellow"}.get(one["what"], "cyan")
    head = Text(f"{one['what']:<9} ", style)
    if one["reward"] is not None:
        head.append(f"{one['reward']:.3g} ", "bold")
    facts = f"{shown(one['problem'])} gold {shown(one['gold'])}  "
    if room == 1:
        return [head.append(facts, "dim").append(shown(one["text"]))]
    parts = chop_cells(shown(one["text"]), max(width - 2, 1))
    if len(parts) > room - 1:
        parts = [*parts[: room - 1][:-1], parts[room - 2][:-1] + "…"]
    return [head.append(facts, "dim"), *(Text("  " + part) for part in parts)]


def extremes(run: Run) -> list[dict[str, Any]]:
    """The best, worst and a truncated completion of the newest step; where nothing is rewarded, any two of it.

    Each has `what`, `step`, `problem`, `gold`, `text`, `reward` (None without rewards) and `finish`.
    """
    rows = run.journals.rollouts if run.journals else []
    rewarded = bool(run.journals and "reward" in run.journals.row)
    every = list(completions(rows, rewarded))
    if not every:
        return []
    if rewarded:
        best, worst = (side(every, key=lambda one: one["reward"]) for side in (max, min))
        picked = [{"what": "best", **best}, {"what": "worst", **worst}]
    else:
        firsts = {one["problem"]: one for one in reversed(every)}
        picked = [{"what": "one", **one} for one in [*firsts.values()][::-1][:2]]
    cut = next((one for one in every if one["finish"] == "length"), None)
    return picked + ([{"what": "truncated", **cut}] if cut else [])


def completions(rows: Sequence[Mapping[str, Any]], rewarded: bool) -> Iterator[dict[str, Any]]:
    """Every completion of rows of a `rollouts.jsonl`; what is none is left out."""
    for row in rows:
        texts = row.get("completions")
        for one in texts if isinstance(texts, list) else []:
            if isinstance(one, dict) and isinstance(one.get("reward"), int | float | None):
                reward = (one.get("reward") or 0.0) if rewarded else None
                known = {name: row.get(name) for name in ("step", "problem", "gold")}
                yield known | {"text": str(one.get("text", "")), "reward": reward, "finish": one.get("finish")}


def shown(text: object) -> str:
    """A text on one line of a terminal: what would move the cursor, change colours or the direction is spelled out."""
    out = []
    for sign in str(text):
        if sign == "\n":
            out.append("⏎ ")
        elif unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            out.append(sign.encode("unicode_escape").decode())
        else:
            out.append(sign)
    return "".join(out)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
