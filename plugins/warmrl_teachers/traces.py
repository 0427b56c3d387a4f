"""The curator `traces`: a teacher's worked answers to the stage's problems, kept when they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warmrl.api import Curator, Problem, UsageError
from warmrl_teachers.config import TracesConfig


class Traces(Curator[TracesConfig]):
    """Rejection sampling from a teacher."""

    def curate(self) -> Sequence[Problem]:
        """Each problem with its first right answers as `solution`; problems without one are left out and counted."""
        config, stage = self.config, self.stage
        teacher = stage.teacher(config.teacher)
        problems = list(stage.problems)
        drawn = teacher.generate(
            problems, config.samples_per_prompt, max_tokens=config.max_tokens, temperature=config.temperature
        )
        teacher.release()
        kept: list[Problem] = []
        for problem, completions in zip(problems, drawn, strict=True):
            texts = [one.text for one in completions if one.finish == "stop"]
            verdicts = stage.grader.score(problem, texts) if texts else []
            right = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict == 1.0][: config.keep]
            for number, text in enumerate(dict.fromkeys(right)):
                source = {**problem.extra, "source": problem.id}
                kept.append(replace(problem, id=f"{problem.id}/trace{number}", solution=text, extra=source))
        solved = len({problem.extra["source"] for problem in kept})
        stage.findings.append(
            f"Traces: {solved} of {len(problems)} problems have a right answer of the teacher; {len(kept)} kept."
        )
        if not kept:
            raise UsageError(
                f"`stage.{stage.name}`: the teacher gave no right answer to any of {len(problems)} problems, so there "
                "is nothing to train on; check its answer style and `max_tokens`."
            )
        return kept
