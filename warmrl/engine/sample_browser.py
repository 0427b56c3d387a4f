"""The sample browser of a study: what every run answered to every problem, for a page opened from disk. No torch.

Such a page may load scripts and may not fetch, so each file is one call. `browser/index.js` has what filters need:
`warmrlBrowser.index({arms, seeds, shown, chunks, columns, suites, problems})`, where a column is `[arm, seed, point,
checkpoint]` (the base: no arm, no seed) and a problem `[suite, id, kind, chunk, place, opening of the question,
counts]`, with `[right, samples, truncated, solved]` for each column or null. `browser/chunk-NNN.js` has some problems
whole: `warmrlBrowser.chunk(N, {images, problems})`, a problem being `{prompt, gold, answers}` and `answers` a list
for each column, of `{in, verdict, cut, answer, text, entropy, left}`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError, WarmrlError
from warmrl.domain.problem import Problem
from warmrl.engine.entries import Entries
from warmrl.engine.run_folder import SAMPLES
from warmrl.engine.run_place import known_run
from warmrl.engine.samples import read_rows
from warmrl.engine.shown_problems import data_uri, opening, shown
from warmrl.engine.storage import storing, sync
from warmrl.engine.study_file import Cell, StudyFile
from warmrl.engine.study_gather import found
from warmrl.engine.suites import Suite
from warmrl.engine.token_pieces import Pieces, kept_tokens, pieces_of

FOLDER = "browser"
SHOWN = 4
"""Sampled answers that are kept in full, of each problem, run and point, beside the greedy one; counts are of all."""
PROBLEMS = 20
"""Problems of a chunk at most."""
CHUNK = 1_400_000
"""Bytes after which a chunk takes no further problem."""
LONGEST = 12_000
"""Letters of an answer that are kept."""

Row = Mapping[str, Any]
Key = tuple[str, str, int]
"""An answer: how it was drawn, the problem's id, its index."""
Cut = tuple[list[str], list[int]]
"""A text in pieces, and the entropy of each in hundredths of a nat."""


@dataclass(frozen=True)
class Column:
    """A policy whose answers are shown: of one run at one point, or the base (no arm, no seed).

    `run` is None of a run that is not in the report's numbers.
    """

    arm: str | None
    seed: int | None
    point: str
    checkpoint: str
    run: Path | None

    def samples(self, suite: str) -> Path | None:
        """The file of its graded answers; None where it was not evaluated."""
        file = self.run / "evaluations" / f"{self.checkpoint}.{suite}" / SAMPLES if self.run else None
        return file if file and file.exists() else None

    def rows(self, suite: str) -> dict[str, list[Row]]:
        """Its graded answers by problem, the greedy one first."""
        file = self.samples(suite)
        found: dict[str, list[Row]] = {}
        for row in read_rows(file) if file else ():
            found.setdefault(row["problem"], []).append(row)
        return {
            name: sorted(own, key=lambda one: (one["kind"] != "greedy", one["index"])) for name, own in found.items()
        }

    @cached_property
    def stored(self) -> dict[str, Path]:
        """Entries of the store that the run has, by name."""
        if self.run is None:
            return {}
        entries = (self.run / one for one in known_run(self.run).get("entries", []))
        return {one.name: one for one in entries}


def columns(study: StudyFile, folder: Path) -> list[Column]:
    """The base, from the first run that evaluated it, then every run at the entry of RL and at its end.

    Runs that are not finished, or are of another recipe, have no answers here: the report has no number of theirs.
    """
    done = {one.cell: one.path for one in found(study, folder) if one.state[0] == "finished"}
    cells = [Cell(seed, arm) for arm in study.arms for seed in study.study.seeds]
    runs = [done.get(cell) for cell in cells]
    base = next((run for run in runs if run and any(run.glob(f"evaluations/base.*/{SAMPLES}"))), None)
    points = [
        Column(cell.arm, cell.seed, point, checkpoint, run)
        for cell, run in zip(cells, runs, strict=True)
        for point, checkpoint in (("entry", study.entry(cell.arm)), ("end", study.study.outcome))
    ]
    return [Column(None, None, "base", "base", base), *points]


def write_browser(study: StudyFile, folder: Path) -> dict[str, Any]:
    """Write `browser/` beside a study's report, from whatever runs are there; the same runs give the same bytes.

    Returns where it is, and how many chunks and problems it has. It takes the place of an older one when it is whole.
    Raises `StorageError` for a damaged file of answers.
    """
    aside = folder / f".tmp-{FOLDER}-{os.getpid()}"
    for left in folder.glob(f".tmp-{FOLDER}-*"):  # of writers that were killed
        shutil.rmtree(left, ignore_errors=True)
    with storing(folder / FOLDER):
        aside.mkdir(parents=True)
        try:
            writer = Writer(study, columns(study, folder), Chunks(aside))
            index = writer.index()
            write_call(aside / "index.js", "index", dumped(index))
            swap(aside, folder / FOLDER)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return {"folder": FOLDER, "chunks": index["chunks"], "problems": len(index["problems"])}


def swap(aside: Path, target: Path) -> None:
    """Put a finished browser in the place of another, which is never there in part. Raises `UsageError` for what is
    none.
    """
    if target.exists() and not (target / "index.js").is_file():
        raise UsageError(f"{target} is no sample browser (no index.js), and was left alone; move it away.")
    old = aside.with_name(f"{aside.name}-old")
    if target.exists():
        target.rename(old)
    aside.rename(target)
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


@dataclass
class Writer:
    """One writing of the browser: problem by problem, suite by suite."""

    study: StudyFile
    columns: Sequence[Column]
    chunks: Chunks
    _pieces: dict[tuple[str, str | None], Pieces | None] = field(default_factory=dict)

    def index(self) -> dict[str, Any]:
        """Write the chunks; what the index says of them."""
        suites = self.suites()
        problems = [one for place, name in enumerate(suites) for one in self.of_suite(place, name)]
        self.chunks.close()
        return {
            "arms": self.study.arms,
            "seeds": list(self.study.study.seeds),
            "shown": SHOWN,
            "chunks": self.chunks.number,
            "columns": [[one.arm, one.seed, one.point, one.checkpoint] for one in self.columns],
            "suites": suites,
            "problems": problems,
        }

    def suites(self) -> list[str]:
        """Every suite of any arm: the domain that is trained on first, then the others as the study has them."""
        table = self.study.study
        every = [name for file in self.study.recipes.values() for name in file.recipe.suite]
        return list(dict.fromkeys([table.in_domain, *table.out_of_domain, *every]))

    def of_suite(self, place: int, name: str) -> Iterator[list[Any]]:
        """The index's rows of one suite's problems, each put into a chunk."""
        if not any(column.samples(name) for column in self.columns):
            return
        suite = self.opened(name)
        problems = {} if suite is None else suite.problems
        found = [self.answers(column, name, suite) for column in self.columns]
        names = dict.fromkeys([*problems, *(one for own in found for one in sorted(own))])
        for one in names:
            answers = [own.get(one) for own in found]
            if any(answers):
                problem = problems.get(one)
                where = self.chunks.add(problem, [kept[1] if kept else "[]" for kept in answers])
                counts = [kept and kept[0] for kept in answers]
                yield [place, one, problem.kind if problem else "", *where, opening(problem), counts]

    def opened(self, name: str) -> Suite | None:
        """A suite with its problems; None where its data is not here any more."""
        file = next(file for file in self.study.recipes.values() if name in file.recipe.suite)
        try:
            return Entries(file, Path()).suite(name)
        except WarmrlError:
            return None

    def answers(self, column: Column, name: str, suite: Suite | None) -> dict[str, tuple[list[int], str]]:
        """One column's answers to a suite by problem: its counts, and the shown ones as JSON."""
        found = column.rows(name)
        kept = {problem: [row for row in own if is_shown(row)] for problem, own in found.items()}
        cut = self.cuts(column, [row for own in kept.values() for row in own], suite)
        return {
            problem: (counts(own), dumped(alike(kept[problem], [cut.get(key_of(row)) for row in kept[problem]])))
            for problem, own in found.items()
        }

    def cuts(self, column: Column, rows: Sequence[Row], suite: Suite | None) -> dict[Key, Cut]:
        """Answers in pieces, with their entropies; those of which the store has no tokens are left out."""
        pieces, prompts = self.pieces(column), suite.prompts if suite else None
        if pieces is None:
            return {}
        wanted: dict[str, dict[tuple[str, int], str]] = {}
        for row in rows:
            wanted.setdefault(row["sampling"], {})[row["problem"], row["index"]] = row["completion"]
        out: dict[Key, Cut] = {}
        for sampling, texts in wanted.items():
            if sampling in column.stored:
                for cell, tokens in kept_tokens(column.stored[sampling], set(texts), prompts).items():
                    if tokens.text == texts[cell] and (cut := pieces.cut(tokens)):
                        out[sampling, *cell] = cut
        return out

    def pieces(self, column: Column) -> Pieces | None:
        """The tokenizer of a column's model."""
        file = self.study.recipes[column.arm or self.study.study.control]
        model = file.recipe.model
        key = (model.path, model.revision)
        if key not in self._pieces:
            self._pieces[key] = pieces_of(model.path, model.revision, file.registry)
        return self._pieces[key]


def key_of(row: Row) -> Key:
    """What identifies an answer of one policy to one suite."""
    return row["sampling"], row["problem"], row["index"]


def is_shown(row: Row) -> bool:
    """Whether an answer is kept in full: the greedy one and the first samples, whatever they say."""
    return row["kind"] == "greedy" or row["index"] < SHOWN


def counts(rows: Sequence[Row]) -> list[int]:
    """Right samples, samples, answers cut at the limit (the greedy one too), and whether the problem is solved.

    Solved: the greedy answer is right; where none was drawn, at least half of the samples.
    """
    greedy = [row["verdict"] == "right" for row in rows if row["kind"] == "greedy"]
    sampled = [row["verdict"] == "right" for row in rows if row["kind"] != "greedy"]
    solved = greedy[0] if greedy else 2 * sum(sampled) >= len(sampled) > 0
    return [sum(sampled), len(sampled), sum(row["finish"] == "length" for row in rows), int(solved)]


def alike(rows: Sequence[Row], cuts: Sequence[Cut | None]) -> list[dict[str, Any]]:
    """Answers as the page has them; those that are the same to the token stand once, with all their numbers."""
    out: dict[str, dict[str, Any]] = {}
    for row, cut in zip(rows, cuts, strict=True):
        one = {"verdict": row["verdict"], "cut": int(row["finish"] == "length"), "answer": row["extracted"]}
        one |= shortened(row["completion"], cut)
        told = out.setdefault(json.dumps(one, sort_keys=True), {"in": []} | one)
        told["in"].append("greedy" if row["kind"] == "greedy" else row["index"])
    return list(out.values())


def shortened(text: str, cut: Cut | None) -> dict[str, Any]:
    """A text, in pieces with their entropies where they are known, and how many letters were left out."""
    if cut is None:
        return {"text": text[:LONGEST], "left": max(0, len(text) - LONGEST)}
    pieces, entropies = cut
    at = many = 0
    while many < len(pieces) and at + len(pieces[many]) <= LONGEST:
        at, many = at + len(pieces[many]), many + 1
    return {"text": pieces[:many], "entropy": entropies[:many], "left": len(text) - at}


@dataclass
class Chunks:
    """The chunks of a browser as they are filled, one after another."""

    folder: Path
    number: int = 0
    problems: list[str] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def add(self, problem: Problem | None, answers: Sequence[str]) -> tuple[int, int]:
        """Put a problem with its answers (JSON, a list for each column) into a chunk; which, and where in it."""
        wanted = {one.key: one for one in (problem.images if problem else ())}
        own = {key: self.images.get(key) or data_uri(image) for key, image in wanted.items()}
        new = sum(len(uri) for key, uri in own.items() if uri and key not in self.images) + sum(map(len, answers))
        if self.problems and (len(self.problems) >= PROBLEMS or self.size + new > CHUNK):
            self.close()
        self.images |= {key: uri for key, uri in own.items() if uri}
        places = {key: place for place, key in enumerate(self.images)}
        gold = None if problem is None else problem.gold
        head = f'{{"prompt":{dumped(shown(problem, places))},"gold":{dumped(gold)},"answers":'
        self.problems.append(f"{head}[{','.join(answers)}]}}")
        self.size += new
        return self.number, len(self.problems) - 1

    def close(self) -> None:
        """Write the chunk that is being filled."""
        if self.problems:
            images = dumped(list(self.images.values()))
            content = f'{{"images":{images},"problems":[{",".join(self.problems)}]}}'
            write_call(self.folder / f"chunk-{self.number:03d}.js", "chunk", f"{self.number},{content}")
            self.number += 1
        self.problems, self.images, self.size = [], {}, 0


def dumped(value: Any) -> str:
    """JSON that is safe in a script: plain ASCII, and nothing that could close an element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("</", "<\\/").replace("<!", "\\u003c!")


def write_call(file: Path, function: str, arguments: str) -> None:
    """A file that hands its content to the page."""
    file.write_text(f"warmrlBrowser.{function}({arguments});\n", encoding="ascii")
    sync(file)
