"""The curator `traces`: a teacher's worked answers to the stage's problems, kept when they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from warmrl.api import Curator, Problem, UsageError
from warmrl_teachers.config import TracesConfig


class Traces(Curator[TracesConfig]):
    """Rejection sampling from a teacher."""

    def curate(self) -> Sequence[Problem]:
        """Each problem with its first right answers as `solution`; problems without one are left out and counted."""
        config, stage = self.config, self.stage
        self.teacher = stage.teacher(config.teacher)
        rows = stage.in_blocks(self.right_answers)
        stage.findings += self.teacher.spent()
        self.teacher.release()
        by_id = {problem.id: problem for problem in stage.problems}
        kept: list[Problem] = []
        for row in rows:
            problem = by_id[row["source"]]
            source = {**problem.extra, "source": problem.id}
            for number, text in enumerate(row["solutions"]):
                kept.append(replace(problem, id=f"{problem.id}/trace{number}", solution=text, extra=source))
        stage.findings.append(
            f"Traces: {len(rows)} of {len(by_id)} problems have a right answer of the teacher; {len(kept)} kept."
        )
        if not kept:
            raise UsageError(
                f"`stage.{stage.name}`: the teacher gave no right answer to any of {len(by_id)} problems, so there "
                "is nothing to train on; check its answer style and `max_tokens`."
            )
        return kept

    def right_answers(self, problems: Sequence[Problem]) -> list[dict[str, Any]]:
        """Each problem that the teacher solves, with the first few right answers, none of them twice."""
        config = self.config
        drawn = self.teacher.generate(
            problems, config.samples_per_prompt, max_tokens=config.max_tokens, temperature=config.temperature
        )
        rows = []
        for problem, completions in zip(problems, drawn, strict=True):
            texts = [one.text for one in completions if one.finish == "stop"]
            verdicts = self.stage.grader.score(problem, texts) if texts else []
            right = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict == 1.0][: config.keep]
            if right:
                rows.append({"source": problem.id, "solutions": list(dict.fromkeys(right))})
        return rows
