"""The curator `self_distill`: preference pairs whose sides are both right and differ in form (SPECS, stage 2).

Three passes, each kept block by block: the chosen policy's answers, the judge's replies if there is a judge, the base's
answers where they are needed. While one of the policies is at work the other is not on the device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from warmrl.api import Completion, Curator, Problem, Teacher, UsageError
from warmrl.engine.api import Policy
from warmrl_specs.config import SelfDistillConfig
from warmrl_specs.consistency import leads_to
from warmrl_specs.corruptions import CORRUPTIONS
from warmrl_specs.funnel import BEYOND_KEEP, FINISHED, LACKING, STEPS, funnel_of
from warmrl_specs.judge import TOKENS, against, request

Row = dict[str, Any]


class SelfDistill(Curator[SelfDistillConfig]):
    """Answers of a policy that was trained to the form, against answers that lost it."""

    def curate(self) -> Sequence[Problem]:
        """Every pair: the chosen answer as `solution`, the other as `rejected`, and where each came from."""
        stage, config = self.stage, self.config
        rows = {row["source"]: row for row in stage.in_blocks(self.candidates, name="chosen")}
        self.release("chosen_policy")
        if config.judge is not None:
            for row in stage.in_blocks(lambda some: self.judged(some, rows), self.solved(rows), name="judged"):
                rows[row["source"]] |= row
            self.release("judge")
        answers = {}
        if config.rejected_from != "chosen":
            found = stage.in_blocks(self.base_answers, self.solved(rows), name="base")
            answers = {row["source"]: row["answers"] for row in found}
            self.release("base")
        pairs = [pair for problem in stage.problems for pair in self.pairs(problem, rows, answers)]
        stage.funnel += funnel_of(list(rows.values()))
        self.require(pairs, len({pair.extra["source"] for pair in pairs}))
        return pairs

    @cached_property
    def chosen_policy(self) -> Policy:
        """The policy whose answers are chosen; the base leaves the device for it."""
        self.stage.policy.model.to("cpu")
        return self.stage.checkpoint(self.config.chosen_from)

    @cached_property
    def base(self) -> Policy:
        """The policy whose answers are rejected, on the device again."""
        policy = self.stage.policy
        policy.model.to(policy.device)
        return policy

    @cached_property
    def judge(self) -> Teacher[Any]:
        """The teacher that reads answers."""
        return self.stage.teacher(self.config.judge, plain=True)

    def release(self, name: str) -> None:
        """Let go of a policy or of the judge, if it was needed: a resumed run reads blocks back without it.

        The sampler may know a policy until it is given the next one, so its weights leave the device here.
        """
        held = self.__dict__.pop(name, None)
        if isinstance(held, Teacher):
            self.stage.findings += held.spent()
            held.release()
        elif held is not None:
            held.model.to("cpu")

    def draw(self, policy: Policy, problems: Sequence[Problem], purpose: str) -> list[list[Completion]]:
        """Each problem's answers by a policy, with the style's instruction."""
        config = self.config
        sampling = {"max_tokens": config.max_tokens, "temperature": config.temperature}
        groups = self.stage.sample_from(policy, problems, config.samples_per_prompt, purpose, **sampling)
        return [group.completions for group in groups]

    def candidates(self, problems: Sequence[Problem]) -> list[Row]:
        """What each problem's answers by the chosen policy come to: those that may be chosen, and why not others."""
        drawn = self.draw(self.chosen_policy, problems, "chosen")
        return [self.candidate(problem, answers) for problem, answers in zip(problems, drawn, strict=True)]

    def candidate(self, problem: Problem, answers: Sequence[Completion]) -> Row:
        """One problem's row."""
        texts: dict[str, int] = {}
        dropped: dict[str, Counter[str]] = {step: Counter() for step in STEPS}
        grades = self.stage.grader.grade(problem, [one.text for one in answers])
        for number, (one, grade) in enumerate(zip(answers, grades, strict=True)):
            if one.finish != "stop":
                dropped[FINISHED]["cut off at max_tokens"] += 1
            elif grade.verdict != "right":
                dropped["right"][grade.verdict] += 1
            elif not self.stage.style.well_formed(one.text):
                dropped["well-formed"]["ill-formed"] += 1
            elif one.text in texts:
                dropped["distinct"]["the same text again"] += 1
            elif why := self.inconsistent(one.text):
                dropped["consistent"][why] += 1
            else:
                texts[one.text] = number
        return {"source": problem.id, "sampled": len(answers), "texts": texts, "dropped": dropped}

    def inconsistent(self, text: str) -> str | None:
        """By the rule: why reasoning and answer do not agree; None where they do, or where it is not asked."""
        if not self.config.consistent or self.config.judge is not None:
            return None
        return leads_to(text, self.stage.style.extract(text) or "", self.stage.grader.canonical)

    def judged(self, problems: Sequence[Problem], rows: Mapping[str, Row]) -> list[Row]:
        """The rows of problems with answers, after the judge; an answer that it gives no reply to is left out."""
        asked = [(one, text, number) for one in problems for text, number in rows[one.id]["texts"].items()]
        requests = [request(problem, text) for problem, text, _ in asked]
        replies = self.judge.attempt(requests, max_tokens=TOKENS, temperature=0.0)
        out = {problem.id: {**rows[problem.id], "texts": {}} for problem, _, _ in asked}
        for (problem, text, number), reply in zip(asked, replies, strict=True):
            if why := reply if isinstance(reply, str) else against(reply):
                dropped = out[problem.id]["dropped"]["consistent"]
                dropped[why] = dropped.get(why, 0) + 1
            else:
                out[problem.id]["texts"][text] = number
        return list(out.values())

    def solved(self, rows: Mapping[str, Row]) -> list[Problem]:
        """The problems that have an answer to choose."""
        return [problem for problem in self.stage.problems if rows[problem.id]["texts"]]

    def base_answers(self, problems: Sequence[Problem]) -> list[Row]:
        """The base's own answers to some problems: the right ones; the wrong ones if `coupled`."""
        out = []
        for problem, answers in zip(problems, self.draw(self.base, problems, "base"), strict=True):
            grades = self.stage.grader.grade(problem, [one.text for one in answers])
            verdicts = ("wrong", "no answer") if self.config.coupled else ("right",)
            texts: dict[str, int] = {}
            for number, (one, grade) in enumerate(zip(answers, grades, strict=True)):
                if one.finish == "stop" and grade.verdict in verdicts:
                    texts.setdefault(one.text, number)
            out.append({"source": problem.id, "answers": texts})
        return out

    def pairs(self, problem: Problem, rows: Mapping[str, Row], answers: Mapping[str, dict[str, int]]) -> list[Problem]:
        """A problem's pairs; what becomes of the other chosen answers is counted in its row."""
        row, out = rows[problem.id], list[Problem]()
        for text, number in row["texts"].items():
            if len(out) == self.config.keep:
                dropped, why = row["dropped"]["kept"], BEYOND_KEEP
            else:
                rejected, origin, why = self.rejected(problem, len(out), (text, number), answers.get(problem.id, {}))
                dropped = row["dropped"]["paired"]
                if not why:
                    chosen = {"checkpoint": self.config.chosen_from, "sample": number}
                    own = {"source": problem.id, "chosen_from": chosen, "rejected_from": origin}
                    name, extra = f"{problem.id}/pair{len(out)}", {**problem.extra, **own}
                    out.append(replace(problem, id=name, solution=text, rejected=rejected, extra=extra))
                    continue
            dropped[why] = dropped.get(why, 0) + 1
        return out

    def rejected(
        self, problem: Problem, place: int, chosen: tuple[str, int], answers: Mapping[str, int]
    ) -> tuple[str, Row, str]:
        """The other side of a problem's pair at a place: its text and where it came from, or why there is none.

        The base's answers are taken in turn. An answer that a corruption leaves as it is may be rejected all the same
        when it is ill-formed already (a raw response); nothing well-formed ever is.
        """
        config = self.config
        (text, number), checkpoint = chosen, config.chosen_from
        if config.rejected_from == "base" or (config.rejected_from == "both" and answers):
            if not answers:
                return "", {}, f"the base has no {'wrong' if config.coupled else 'right'} answer"
            (text, number), checkpoint = list(answers.items())[place % len(answers)], config.policy
        origin: Row = {"checkpoint": checkpoint, "sample": number, "corruption": None}
        if config.coupled:
            return text, origin, ""
        names = list(CORRUPTIONS)
        name = names[int(self.stage.rng("corruption", 0, f"{problem.id}/{place}").integers(len(names)))]
        corrupted = CORRUPTIONS[name](text)
        if self.stage.style.well_formed(corrupted):
            return "", {}, "well-formed after its corruption"
        return corrupted, {**origin, "corruption": name} | ({"unchanged": True} if corrupted == text else {}), ""

    def require(self, pairs: Sequence[Problem], solved: int) -> None:
        """Say how many pairs there are, in the report. Raises `UsageError` when there is none."""
        stage, many = self.stage, len(self.stage.problems)
        stage.findings.append(f"Pairs `{stage.name}`: {len(pairs)}, of {solved} of {many} problems.")
        if not pairs:
            step = next(one for one in stage.funnel if one.kept == 0)
            reasons = ", ".join(f"{why} ({count})" for why, count in sorted(step.dropped.items()))
            raise UsageError(
                f"`stage.{stage.name}`: of {stage.funnel[0].taken} answers of `{self.config.chosen_from}` to {many} "
                f"problems no pair could be made. The step `{step.step}` was left by none of {step.taken}: {reasons}. "
                f"{LACKING[step.step]}"
            )
