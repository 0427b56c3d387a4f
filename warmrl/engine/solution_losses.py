"""How likely a checkpoint finds worked answers: what supervised fine-tuning lowers, measured on held-out problems."""

from __future__ import annotations

from collections.abc import Callable

from warmrl.domain.errors import Interrupted
from warmrl.domain.group import Completion, Group
from warmrl.engine.passes import TOKEN_BUDGET, score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.suites import Suite, asked

# Problems whose pictures are open at once.
TOGETHER = 64


def solution_losses(
    policy: Policy, suite: Suite, processes: Processes, stopping: Callable[[], int]
) -> dict[str, tuple[float, int]]:
    """The negative log-likelihood of each problem's `solution`, in nats, and its tokens (C): -sum_t log p(y_t | x).

    The processes share the work and all have the result. Raises `Interrupted` in all of them.
    """
    found: dict[str, tuple[float, int]] = {}
    problems = list(suite.problems.values())
    for start in range(0, len(problems), TOGETHER):
        if signal := processes.agree(stopping()):
            raise Interrupted(
                f"Stopped by signal {signal} while the loss on `{suite.name}` was measured; the same command does it "
                "again.",
                128 + signal,
            )
        groups = []
        for one in problems[start : start + TOGETHER]:
            text = one.solution or ""
            answer = Completion(policy.encode_answer(text), text, origin="dataset", finish="given")
            groups.append(Group(one, [answer], (asked(one, suite.style),)))
        score_tokens(policy, groups, processes, TOKEN_BUDGET, "logprob")
        for group in groups:
            scored = group.completions[0].signals["logprob"]
            found[group.problem.id] = (-float(scored.double().sum()), len(scored))
    return found
