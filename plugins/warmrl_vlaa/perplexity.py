"""The curator `perplexity`: the problems whose worked answers surprise policies the most, or the least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from warmrl.api import Completion, Curator, FunnelStep, Group, Problem, TeacherConfig, UsageError
from warmrl.engine.api import Policy, asked, score_tokens
from warmrl_vlaa.config import PerplexityConfig

TOKEN_BUDGET = 16384


class Perplexity(Curator[PerplexityConfig]):
    """PPL(y) = exp(-(1/C) sum_t log pi(y_t | x, y_<t)) over the C tokens of a worked answer y, averaged over models.

    Source: Chen et al. 2025, arXiv:2504.11468, section 4 (methods.md B.4).
    """

    def curate(self) -> Sequence[Problem]:
        """The `keep` problems, in the data's order; a tie goes to the one that comes first."""
        config, stage = self.config, self.stage
        self.models = self.opened()
        rows = stage.in_blocks(self.perplexities)
        self.models = []
        sign = -1.0 if config.order == "highest" else 1.0
        best = sorted(range(len(rows)), key=lambda place: sign * rows[place]["perplexity"])[: config.keep]
        chosen = {rows[place]["source"]: rows[place]["perplexity"] for place in best}
        taken, scored = len(stage.problems), len(rows)
        dropped = {"no worked answer": taken - scored, f"not among the {config.order}": scored - len(chosen)}
        stage.funnel.append(FunnelStep("perplexity", taken, len(chosen), {k: v for k, v in dropped.items() if v}))
        if len(chosen) < config.keep:
            stage.findings.append(
                f"`{stage.name}` keeps all {len(chosen)} problems that it can score of {config.keep}."
            )
        if not chosen:
            raise UsageError(
                f"`stage.{stage.name}`: none of {taken} problems has a worked answer to take the perplexity of; give "
                "it data with solutions (a curator's, or `solution` columns)."
            )
        kept = (one for one in stage.problems if one.id in chosen)
        return [
            replace(one, id=f"{one.id}/chosen", extra={**one.extra, "source": one.id, "perplexity": chosen[one.id]})
            for one in kept
        ]

    def opened(self) -> list[Policy]:
        """The models, frozen, all in memory."""
        stage, also = self.stage, self.config.also
        models = [stage.checkpoint(name) for name in self.config.models] or [stage.policy]
        if also is not None:
            assert isinstance(also.config, TeacherConfig)
            where = also.config.checkpoint()
            if where is None:
                raise UsageError(
                    f"`stage.{stage.name}.also` is `{also.use}`, whose model is not loaded here; give "
                    '`{ use = "local", path = "..." }`.'
                )
            models.append(stage.load_policy(*where))
        return models

    def perplexities(self, problems: Sequence[Problem]) -> list[dict[str, Any]]:
        """The mean perplexity of each problem that has a worked answer."""
        worked = [one for one in problems if one.solution]
        found: list[list[float]] = [[] for _ in worked]
        for model in self.models:
            groups = [self.group(model, one) for one in worked]
            score_tokens(model, groups, self.stage.processes, TOKEN_BUDGET, "logprob")
            for own, group in zip(found, groups, strict=True):
                (completion,) = group.completions
                own.append(math.exp(-float(completion.signals["logprob"].double().mean())))
        return [
            {"source": one.id, "perplexity": math.fsum(own) / len(own)} for one, own in zip(worked, found, strict=True)
        ]

    def group(self, model: Policy, problem: Problem) -> Group:
        """The worked answer in the model's own tokens."""
        text = problem.solution or ""
        completion = Completion(model.encode_answer(text), text, origin="dataset", finish="given")
        return Group(problem, [completion], (asked(problem, self.stage.style),))
