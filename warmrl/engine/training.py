"""The one training loop: groups, plan, packed forward, head, optimizer; every method goes through it."""

from __future__ import annotations

import hashlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from warmrl.domain.errors import Interrupted, ServiceError, WarmrlError
from warmrl.domain.group import Group
from warmrl.domain.stages import MethodConfig
from warmrl.engine.checkpointing import border, publish, refuse_non_finite, resume
from warmrl.engine.passes import bare, fill, score_tokens
from warmrl.engine.sharding import full
from warmrl.packed.plan import plan

if TYPE_CHECKING:
    from warmrl.domain.method import Method
    from warmrl.engine.stage import Stage

# Groups of each step whose text is kept in `rollouts.jsonl`, besides its extremes; the ledger names all of them.
ROLLOUTS_KEPT = 4


def train(stage: Stage, method: Method[Any]) -> None:
    """Run a method's steps from the newest checkpoint to the end."""
    config = method.config
    packed = stage.processes.prepare(stage.policy.packed)
    optimizer = adamw(stage, config)
    start = resume(stage, optimizer, method)
    method.prepare()
    stage.work.settle(stage.processes)
    total = method.total_steps()
    for step in range(start, total):
        clock = Clock()
        groups = drawn(stage, method, optimizer, step)
        clock.lap("rollout")
        row = update(stage, method, packed, optimizer, groups, step, clock)
        done = stage.processes.agree(method.after_step(step))
        stage.keep_samples(step + 1, groups, method.left_out())
        stage.work.once(stage.processes, prompts=len(groups) + len(method.left_out()))
        write_step(stage, row, clock, step, total)
        last = done or step + 1 == total
        border(stage, step + 1, optimizer, method, last)
        if done:
            break


def drawn(stage: Stage, method: Method[Any], optimizer: Any, step: int) -> list[Group]:
    """A step's groups; when what makes them is gone, what was learnt so far is kept first."""
    try:
        return method.groups(step)
    except Interrupted:
        raise
    except WarmrlError as error:
        if not (error.everywhere or isinstance(error, ServiceError) or stage.processes.world == 1):
            raise
        if step:
            publish(stage, step, optimizer, method)
        raise type(error)(
            f"{error} Stage `{stage.name}` ends at step {step}; the same command goes on from it."
        ) from error


def adamw(stage: Stage, config: MethodConfig) -> torch.optim.AdamW:
    """AdamW over the policy's trainable parameters; the learning rate is set before each update."""
    trained = [p for p in stage.policy.model.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        trained, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, eps=1e-8
    )


def update(
    stage: Stage, method: Method[Any], packed: Any, optimizer: Any, groups: list[Group], step: int, clock: Clock
) -> dict[str, float]:
    """All updates of one step; the row that is logged of it."""
    config = method.config
    sums: dict[str, float] = defaultdict(float)
    signal = [group for group in groups if method.informative(group)]
    if method.needs_old_logprobs(groups):
        score_tokens(stage.policy, signal, stage.processes, config.token_budget, "old_logprob")
        clock.lap("score")
    fill_skipped(stage, config, [group for group in groups if not method.informative(group)])
    for number, part in enumerate(parts(groups, config.updates_per_rollout)):
        weigh(part, config.normalise, config.max_tokens)
        rate = learning_rate(config, method.total_steps(), step * config.updates_per_rollout + number)
        for group in optimizer.param_groups:
            group["lr"] = rate
        informative = [group for group in part if method.informative(group)]
        method.before_update(informative)
        found = one_update(stage, method, packed, optimizer, informative, step)
        for name, value in found.items():
            sums[name] += value
        sums["updates"] += 1
    clock.lap("train")
    row = {**averages(sums), "learning_rate": rate, **of_groups(groups, sums), **stage.agreement.taken(groups)}
    return row | method.metrics(groups)


def one_update(
    stage: Stage, method: Method[Any], packed: Any, optimizer: Any, groups: Sequence[Group], step: int
) -> dict[str, float]:
    """One optimizer update over packed rows. Returns sums over all processes, and the gradient norm."""
    processes, config = stage.processes, method.config
    encoded = [stage.policy.encode_group(group) for group in groups]
    steps = plan(encoded, rank=processes.rank, **how_to_plan(stage, config))
    sums: dict[str, float] = {"loss": 0.0, "entropy": 0.0, "trained": 0.0}
    optimizer.zero_grad(set_to_none=True)
    for number, rows in enumerate(steps):
        row = rows[processes.rank].to(processes.device)
        with processes.summing(packed, last=number + 1 == len(steps)):
            with processes.accelerator.autocast():
                stage.recompute.prepare(row, optimizer)
                output = packed(row, method.loss(row))
            processes.accelerator.backward(output.loss * (0.0 if row.is_dummy else float(processes.world)))
        if not row.is_dummy:
            measure(sums, method, row, output)
            if stage.policy.counter:
                stage.policy.counter.trained(rows[processes.rank])
            stage.agreement.add(row, output.logprob)
    sums = processes.sums(sums)
    problems = [group.problem.id for group in groups]
    refuse_non_finite(stage, step, sums["loss"], "loss", problems)
    norm = 0.0
    if steps:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = float(full(processes.accelerator.clip_grad_norm_(parameters, config.max_grad_norm)))
        refuse_non_finite(stage, step, norm, "gradient norm", problems)
        optimizer.step()
        stage.work.once(processes, updates=1)
    return {**sums, "grad_norm": norm}


def fill_skipped(stage: Stage, config: MethodConfig, groups: Sequence[Group]) -> None:
    """Entropies of samples that no update goes over, where the sampler gave none: a step's entropy is of them all."""
    sampled = [group for group in groups if all(one.origin == "policy" for one in group.completions)]
    fill(stage.policy, sampled, stage.processes, config.token_budget)


def trained_here(stage: Stage, config: MethodConfig, groups: Sequence[Group]) -> set[tuple[int, int]]:
    """The completions, by (group, completion), that this process trains on in the updates of a step with these groups.

    A plan is a function of lengths alone, so it is known before anything is scored.
    """
    processes, found, first = stage.processes, set(), 0
    for part in parts(list(groups), config.updates_per_rollout):
        encoded = [bare(stage.policy.encode_group(group)) for group in part]
        for rows in plan(encoded, **how_to_plan(stage, config)):
            if not rows[processes.rank].is_dummy:
                found |= {(first + group, number) for group, number, _ in rows[processes.rank].answers}
        first += len(part)
    return found


def how_to_plan(stage: Stage, config: MethodConfig) -> dict[str, Any]:
    """What decides, with the lengths, which completions of an update are in which row."""
    return {
        "token_budget": config.token_budget,
        "ranks": stage.processes.world,
        "share": stage.policy.packed.share,
        "whole": config.whole_groups,
    }


def measure(sums: dict[str, float], method: Method[Any], row: Any, output: Any) -> None:
    """Add one row's loss, entropy and the method's own numbers to the sums."""
    sums["loss"] += float(output.loss.detach())
    sums["entropy"] += float(output.entropy.double().sum())
    sums["trained"] += len(row.targets)
    if output.divergence is not None:
        sums["divergence"] = sums.get("divergence", 0.0) + float(output.divergence.double().sum())
    for name, value in method.token_metrics(row, output).items():
        sums[name] = sums.get(name, 0.0) + value


def averages(sums: dict[str, float]) -> dict[str, float]:
    """Sums of a step as they are logged: per update, or per trained token."""
    updates, tokens = sums["updates"], max(sums["trained"], 1.0)
    per_update = {name: sums[name] / updates for name in ("loss", "grad_norm")}
    own = (n for n in sums if n not in ("loss", "grad_norm", "entropy", "trained", "updates"))
    return per_update | {name: sums[name] / tokens for name in own}


def of_groups(groups: Sequence[Group], sums: dict[str, float]) -> dict[str, float]:
    """Entropy, reward and length over every completion of a step, skipped groups included."""
    completions = [one for group in groups for one in group.completions]
    count, tokens = len(completions), sum(one.trained_tokens for one in completions)
    out: dict[str, float] = {"completions": count, "tokens": tokens, "length": tokens / count}
    if all(one.origin == "policy" for one in completions):
        if all(one.entropies is not None for one in completions):
            out["entropy"] = math.fsum(h for one in completions for h in one.entropies or ()) / tokens
        else:  # those that were trained on have theirs from training, the others from `fill_skipped`
            known = [h for one in completions for h in one.entropies or ()]
            out["entropy"] = (math.fsum(known) + sums["entropy"]) / max(len(known) + sums["trained"], 1.0)
        out["truncated"] = sum(one.finish == "length" for one in completions) / count
    elif sums["trained"]:
        out["entropy_on_data"] = sums["entropy"] / sums["trained"]
    if completions[0].rewards:
        out["reward"] = math.fsum(one.reward for one in completions) / count
        for name in completions[0].rewards:
            out[f"reward/{name}"] = math.fsum(one.rewards[name] for one in completions) / count
    return out


def weigh(groups: Sequence[Group], how: str, max_tokens: int) -> None:
    """Give every token of an update its weight in the loss (`weight`) and in a mean over tokens (`token_weight`).

    `token`: one over all trained tokens. `sequence`: one over (completions x the completion's trained tokens).
    `constant`: one over (completions x `max_tokens`). The weights of an update sum to 1, but for `constant`.
    """
    completions = [one for group in groups for one in group.completions]
    tokens = sum(one.trained_tokens for one in completions)
    for one in completions:
        longest = {"sequence": one.trained_tokens, "constant": max_tokens}
        share = tokens if how == "token" else len(completions) * longest[how]
        one.signals["weight"] = 1.0 / max(share, 1)
        one.signals["token_weight"] = 1.0 / max(tokens, 1)


def parts(groups: list[Group], count: int) -> Iterator[list[Group]]:
    """The groups of a step in `count` nearly equal parts, in order; empty ones left out."""
    for number in range(count):
        part = groups[len(groups) * number // count : len(groups) * (number + 1) // count]
        if part:
            yield part


def learning_rate(config: MethodConfig, steps: int, update: int) -> float:
    """The rate of an update (from 0): linear warm-up, then constant, or linear or cosine to the floor."""
    total = steps * config.updates_per_rollout
    warm = int(total * config.warmup)
    if update < warm:
        return config.learning_rate * (update + 1) / warm
    done = (update - warm) / max(total - warm, 1)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    floor = config.min_learning_rate
    return floor + (config.learning_rate - floor) * shape[config.schedule]


def named(groups: Sequence[Group]) -> list[list[Any]]:
    """Each group's problem and its completions' hashes."""
    return [[group.problem.id, [digest(one.tokens) for one in group.completions]] for group in groups]


def write_step(stage: Stage, row: dict[str, float], clock: Clock, step: int, total: int) -> None:
    """Write a step's row, what it spent, and its times."""
    timing = {"stage": stage.name, "step": step + 1, "steps": total, **clock.seconds}
    timing["rows_recomputed"] = stage.recompute.taken()
    stage.time(timing | {"tokens_per_second": row["tokens"] / max(clock.total(), 1e-9)})
    stage.log({"step": step + 1, **row, **stage.work.take(stage.processes).columns()})


def write_samples(stage: Stage, step: int, groups: Sequence[Group], left_out: Sequence[Group]) -> None:
    """Write a step's ledger (every completion by its hash), and some completions in full. Steps count from 1.

    `left_out` were sampled for nothing: the ledger alone names them.
    """
    row = {"step": step, "samples": named(groups)}
    stage.ledger.append(row | ({"left_out": named(left_out)} if left_out else {}))
    for group in shown(groups):
        texts = [{"text": c.text, "reward": c.reward, "finish": c.finish} for c in group.completions]
        kept = {"step": step, "problem": group.problem.id, "gold": group.problem.gold, "completions": texts}
        stage.rollouts.append(kept)


def shown(groups: Sequence[Group]) -> list[Group]:
    """The groups whose texts are kept: the first few, and those with the best, the worst and a truncated completion."""
    rewards = [[one.reward for one in group.completions] for group in groups]
    kept, every = set(range(min(ROLLOUTS_KEPT, len(groups)))), range(len(groups))
    if any(one.rewards for group in groups for one in group.completions):
        kept |= {max(every, key=lambda i: max(rewards[i])), min(every, key=lambda i: min(rewards[i]))}
    truncated = (i for i in every if any(one.finish == "length" for one in groups[i].completions))
    return [groups[i] for i in sorted(kept | {*list(truncated)[:1]})]


def digest(tokens: Sequence[int]) -> str:
    """A short hash of a completion, for the ledger."""
    return hashlib.blake2b(repr(tuple(tokens)).encode(), digest_size=8).hexdigest()


class Clock:
    """Seconds of a step by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now

    def total(self) -> float:
        """Seconds of all phases so far."""
        return sum(self.seconds.values())
