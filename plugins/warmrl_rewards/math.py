"""The reward `math`: whether the extracted answer equals the gold answer as mathematics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from warmrl.api import AnswerStyle, Grade, Problem, Reward, Verdict
from warmrl.engine.api import GradingPool
from warmrl_rewards.answer import Answer, normalise, without_name
from warmrl_rewards.config import MathConfig
from warmrl_rewards.equivalence import ADVICE, WARM_UP, equal
from warmrl_rewards.exact import Exact, exact

LONGEST = 1000
"""Characters of the longest answer that is compared as mathematics."""
DEEPEST = 20
"""Levels of brackets of the deepest answer that is compared as mathematics."""
UNENDING = [
    re.compile(pattern)
    for pattern in (
        r"\^\s*\{?\s*\(*-?[0-9]{5,}",  # an exponent of five digits
        r"[0-9]\s*\}?\s*\^\s*\{?\s*\(*\s*[0-9]+\s*\^",  # a tower of numbers
        r"\^\s*\{[^{}]{0,40}\^\s*\{[^{}]{0,40}\^",  # a tower of anything, four high
        r"[0-9]{4,}[\s)}]*!",  # the factorial of a number of four digits
        r"\\d?t?binom[^a-z]{0,20}[0-9]{5,}",  # a binomial of a number of five digits
        r"matrix\}\s*\^",  # a power of a matrix
    )
]
UNDONE = re.compile(r"\\(?:i+nt|oint|lim|sum|prod|begin)(?![A-Za-z])")


class Math(Reward[MathConfig]):
    r"""1.0 when the answer that the style extracts equals the problem's gold answer, else 0.0.

    Both sides are brought to one spelling: Unicode minus signs, multiplication and division signs, `√`, `π`,
    superscripts, vulgar fractions, relations and full-width characters as LaTeX; `$`, spacing commands, `\left`, `\right` and a
    box removed; `\dfrac` as `\frac`, `\frac12` as `\frac{1}{2}`; text commands opened; degree signs and units at
    the end taken off (5 cm equals 5, not 5 m); thousands separators removed; `x = 5` and `m∠A = 5` as 5.

    Then, in this order: equal texts are right; two numbers that can be compared exactly are (`exact`), here and
    without any other library; an answer too long, too deep or without end (a tower of powers) is wrong; the rest is
    for math-verify, in a process that is killed at `deadline` or at `memory`, which makes the answer wrong (`grade`
    says `timed out`). No text is ever evaluated as code. The gold is always read as mathematics (in `$…$`; without,
    math-verify takes `6\sqrt{2}` for 6).

    `timeouts`, `refused` and `crashes` count the answers that met the deadline, were without end, or broke their
    process (usually the memory limit).
    """

    def __init__(self, config: MathConfig, style: AnswerStyle) -> None:
        super().__init__(config, style)
        self.refused = 0
        self.pool = GradingPool(
            equal, deadline=config.deadline, memory=config.memory, workers=config.workers, warm_up=WARM_UP, advice=ADVICE
        )

    @property
    def timeouts(self) -> int:
        """Comparisons that met the deadline."""
        return self.pool.timeouts

    @property
    def crashes(self) -> int:
        """Comparisons that broke their process."""
        return self.pool.crashes

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """1.0 or 0.0 for each completion, in order. Works in any thread."""
        return [float(verdict == "right") for _, verdict in self._judged(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The same with the answer, and `timed out` for one that met the deadline."""
        return [
            Grade(
                score=float(verdict == "right"),
                extracted=answer,
                canonical=None if answer is None else self.canonical(answer),
                verdict=verdict,
            )
            for answer, verdict in self._judged(problem, completions)
        ]

    def _judged(self, problem: Problem, completions: Sequence[str]) -> list[tuple[str | None, Verdict]]:
        """Answer and verdict of each completion; answers that are the same text are compared once."""
        answers = [self.style.extract(completion) for completion in completions]
        quick = {answer: self._quick(problem.gold, answer) for answer in answers if answer is not None}
        pairs = {answer: found for answer, found in quick.items() if isinstance(found, tuple)}
        outcomes = dict(zip(pairs, self.pool.map(list(pairs.values())), strict=True))
        verdicts: dict[str | None, Verdict] = {None: "no answer"}
        for answer, found in quick.items():
            right = outcomes[answer].value if answer in outcomes else found
            late = answer in outcomes and outcomes[answer].failure == "timed out"
            verdicts[answer] = "right" if right is True else "timed out" if late else "wrong"
        return [(answer, verdicts[answer]) for answer in answers]

    def _quick(self, gold_text: str, answer_text: str) -> bool | tuple[str, str]:
        """The verdict, or the (gold, answer) that math-verify must compare."""
        if len(answer_text) > LONGEST:
            self.refused += answer_text != gold_text
            return answer_text == gold_text
        gold, answer = normalise(gold_text), normalise(answer_text)
        gold, answer = without_name(gold, answer), without_name(answer, gold)
        if not gold.text or not answer.text:
            return False
        if gold.unit and answer.unit and gold.unit != answer.unit:
            return False
        if (verdict := same_number(gold, answer)) is not None:
            return verdict
        if gold.key == answer.key:
            return True
        if endless(answer.text, gold.text):
            self.refused += 1
            return False
        return gold.text, answer.text

    def canonical(self, answer: str) -> str:
        r"""Exact numbers in lowest terms (`15/2`, `6\sqrt{2}`), else LaTeX without idle spaces. Equal to itself again.

        Units are taken off, as in `score`. Numbers equal by approximation or algebra alone stay different texts.
        """
        short = " ".join(answer.split())
        if len(short) > LONGEST:
            return short
        said = without_name(normalise(short), Answer(""))
        number = exact(said.text)
        return str(number) if number else said.key

    def start(self) -> None:
        """Start the grading processes."""
        self.pool.start()

    def close(self) -> None:
        """End the grading processes; a later `score` starts new ones."""
        self.pool.close()


def same_number(gold: Answer, answer: Answer) -> bool | None:
    """Whether two numbers are equal, exactly; None when one of them isn't known exactly or was rounded."""
    left = exact(gold.text)
    text = answer.text
    if left and left.rational and re.fullmatch(r"-?[0-9]+,[0-9]+", text):
        text = text.replace(",", ".")  # A decimal comma: where one number is asked for, two are no answer.
    right = exact(text)
    if not left or not right:
        return None
    if left.rational != right.rational and "." in gold.text + text:
        return None
    return left == right or (gold.unit != answer.unit and hundredth(gold, left, answer, right))


def hundredth(gold: Answer, left: Exact, answer: Answer, right: Exact) -> bool:
    """Whether they are equal once the one that is said in per cent is divided by a hundred."""
    return share(left, gold.unit) == share(right, answer.unit)


def share(number: Exact, unit: str) -> Exact:
    """The number itself, or a hundredth of it when it is in per cent."""
    return replace(number, coefficient=number.coefficient / 100) if unit == "%" else number


def endless(text: str, gold: str) -> bool:
    """Whether comparing could take for ever: see `UNENDING`; integrals, limits, sums count when the gold has none."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEEPEST or (UNDONE.search(text) and not UNDONE.search(gold)):
        return True
    return any(pattern.search(text) for pattern in UNENDING)
