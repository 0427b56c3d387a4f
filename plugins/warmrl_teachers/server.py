"""A teacher behind HTTP: writes answers through chat completions, scores tokens (vLLM), or rates answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from warmrl.api import Completion, Group, Message, Problem, Teacher, UsageError
from warmrl.engine.api import Cache, Policy, Stage, asked, identity, seed_of
from warmrl_teachers.chat import answered, chat_of, read_answer, read_rate
from warmrl_teachers.client import Client, Refused
from warmrl_teachers.config import ServerConfig
from warmrl_teachers.patience import Patience, cost
from warmrl_teachers.scoring import TOKENIZE, Asked, Scored, ask_vllm, prompt_of

# Endpoints take seeds of 31 bits at least.
SEEDS = 2**31


class ServerTeacher(Teacher[ServerConfig]):
    """Connects when it is first needed. What was answered once is read from the cache.

    To write answers it needs of its `stage` no more than `name`, `seed`, `folder`, `processes`, `style`, `policy` and
    `work`. A grader's extractor or judge has a style of None (prompts are sent as they are) and a policy of None
    (completions are text without tokens).
    """

    def __init__(self, config: ServerConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        self._client: Client | None = None
        folder = Path(config.cache_folder) if config.cache_folder else stage.folder.parents[1] / "teacher-cache"
        self.cache = Cache(folder if config.cache else None)
        self.keeps = config.cache
        self.patience, self.usage = Patience(), list[Any]()

    @property
    def client(self) -> Client:
        """The connections."""
        if self._client is None:
            self._client = Client(self.config)
        return self._client

    def preflight(self, student: Policy) -> list[str]:
        """Whether the model is served; when it is to score, whether it reads the student's tokens as the student does.

        Raises `UsageError` when not, `ServiceError` when no server answers.
        """
        found = [self.served()]
        if any(need != "generates" for need in self.engine.config.teacher_needs()):
            for problem in self.engine.problems[:1]:
                messages = asked(problem, self.engine.style)
                found.append(self.compare_tokens(student, student.rendered(messages) + problem.gold))
                tokens = student.encode_answer(problem.gold)
                self.scored(prompt_of(student, messages), tokens, getattr(self.engine.config, "top_k", None) or 0)
        return found

    def served(self) -> str:
        """A finding: whether the servers know the model."""
        model = self.config.model
        try:
            names = self.client.ask("/models", None, lambda reply: [str(one["id"]) for one in reply["data"]])
        except Refused as refused:
            return f"WARNING: whether the teacher `{model}` is served could not be asked (HTTP {refused.status})."
        if model not in names:
            raise UsageError(f"`teacher.model` is `{model}`, and the server has {', '.join(names) or 'no models'}.")
        return f"The teacher `{model}` is served."

    def compare_tokens(self, student: Policy, text: str) -> str:
        """A finding: whether a prompt and its answer are the same tokens to the server. Raises `UsageError` if not."""
        model, ours = self.config.model, student.tokenizer(text, add_special_tokens=False)["input_ids"]
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        try:
            theirs = self.client.ask(TOKENIZE, body, lambda reply: list(reply["tokens"]), root=True)
        except Refused as refused:
            return f"WARNING: the tokens of the teacher `{model}` could not be compared (HTTP {refused.status})."
        if theirs != ours:
            raise UsageError(
                f"The teacher `{model}` does not speak the student's tokens: a prompt is {len(ours)} tokens for the "
                f"student and {len(theirs)}, or others, for the teacher. Choose a teacher of the same tokenizer, or "
                "distil from its text (curator `traces`, then `sft`)."
            )
        return f"The teacher `{model}` has the student's {len(ours)} tokens for a prompt and its answer."

    def generate(self, problems: Sequence[Problem], samples: int, **sampling: Any) -> list[list[Completion]]:
        """`samples` completions for each problem, a request each, with the answer style's instruction.

        Each has its own seed, by stage, problem and index. The requests are shared out over the processes.
        """
        wanted = [(one, number) for one in problems for number in range(samples)]
        drawn = [self.completion(one) for one in self.replies(wanted, sampling, lambda ask: ask())]
        return [drawn[start : start + samples] for start in range(0, len(drawn), samples)]

    def attempt(self, problems: Sequence[Problem], **sampling: Any) -> list[Completion | str]:
        """One completion for each problem; what the server will not give is given up, as long as it gives others."""
        found = self.replies([(one, 0) for one in problems], sampling, partial(self.patience.spare, self.client))
        return [one if isinstance(one, str) else self.completion(one) for one in found]

    def replies(
        self, wanted: Sequence[tuple[Problem, int]], sampling: dict[str, Any], how: Callable[[Callable[[], Any]], Any]
    ) -> list[Any]:
        """What comes of each request, in order and in every process; `how` makes one."""
        if self.config.temperature is not None:
            sampling = {**sampling, "temperature": self.config.temperature}
        processes = self.engine.processes
        own = range(processes.rank, len(wanted), processes.world)
        with processes.together():
            replies = self.client.each(lambda place: how(lambda: self.answer(*wanted[place], sampling)), own)
        self.engine.work.by_server(sum(map(self.tokens_of, replies)))
        by_place = dict(processes.gather(list(zip(own, replies, strict=True))))
        found = [by_place[place] for place in range(len(wanted))]
        self.usage += [one.get("usage") for one in found if not isinstance(one, str)]
        return found

    def tokens_of(self, reply: Mapping[str, Any] | str) -> int:
        """Tokens that the server wrote for a reply: as it says, or in the student's tokens; none for one given up."""
        if isinstance(reply, str):
            return 0
        usage = reply.get("usage")
        return int(usage[1]) if usage else len(self.completion(reply).tokens)

    def answer(self, problem: Problem, number: int, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """One answer: its text and how it ended."""
        style = self.engine.style
        messages = problem.messages if style is None else asked(problem, style)
        seed = seed_of(self.engine.seed, self.engine.name, "teacher", problem.id, number) % SEEDS
        settings = {"model": self.config.model, "n": 1, "seed": seed, **sampling}
        apart = self.config.reasoning
        read = partial(read_answer, reasoning=apart)
        return self.cache.through(
            {"request": "chat", "prompt": identity(messages), **settings, **({"reasoning": True} if apart else {})},
            lambda: self.client.ask("/chat/completions", {"messages": chat_of(messages), **settings}, read),
        )

    def spent(self) -> list[str]:
        """Tokens of all replies that were used, those kept from before included, and what was given up."""
        model, config, gone = self.config.model, self.config, self.patience
        taken = cost(self.usage, config.price_in, config.price_out)
        found = [f"The teacher `{model}` gave {len(self.usage)} replies: {taken}."] if self.usage else []
        return [*found, *([f"Given up: {gone.given_up} requests; the first: {gone.first}"] if gone.given_up else [])]

    def completion(self, answer: Mapping[str, Any]) -> Completion:
        """An answer in the student's tokens, if there is a student; one that was cut off has no end."""
        policy = self.engine.policy
        tokens = () if policy is None else policy.encode_answer(answer["text"])
        if answer["finish"] == "stop":
            return Completion(tokens, answer["text"], origin="teacher")
        return Completion(tokens[:-1], answer["text"], origin="teacher", finish="length")

    def score(self, groups: Sequence[Group], form: str = "top-k", top_k: int = 0) -> None:
        """Write `teacher_top_ids` and `teacher_top_logprobs` (its own share alone) or `teacher_logprob`."""
        policy, processes = self.engine.policy, self.engine.processes
        mine = sorted(self.engine.mine(groups))
        views: dict[tuple[Message, ...], Asked] = {}
        for group, number in mine:
            view = groups[group].views[groups[group].completions[number].view]
            views[view] = views.get(view) or prompt_of(policy, view)

        def one(place: tuple[int, int]) -> Scored:
            completion = groups[place[0]].completions[place[1]]
            return self.scored(views[groups[place[0]].views[completion.view]], completion.tokens, top_k)

        with processes.together():
            scored = dict(zip(mine, self.client.each(one, mine), strict=True))
        self.engine.work.by_server(sum(len(found.sampled) for found in scored.values()))
        if form == "sampled":
            told = {place: found.sampled.tolist() for place, found in scored.items()}
            scores = dict(processes.gather(list(told.items())))
            write(groups, "teacher_logprob", {place: torch.tensor(found) for place, found in scores.items()}, ())
            return
        ids = {place: torch.tensor(found.ids, dtype=torch.int64) for place, found in scored.items()}
        tops = {place: torch.tensor(found.top) for place, found in scored.items()}
        write(groups, "teacher_top_ids", ids, (top_k,), -1)
        write(groups, "teacher_top_logprobs", tops, (top_k,), torch.nan)

    def scored(self, prompt: Asked, tokens: Sequence[int], top_k: int) -> Scored:
        """What the teacher says of one completion."""
        vocabulary = len(self.engine.policy.packed.head_weight)
        what = {"request": "score", "model": self.config.model, "top_k": top_k, "vocabulary": vocabulary}
        what |= {"prompt": prompt.ids, "images": [image.key for image in prompt.images], "tokens": list(tokens)}
        return Scored.unpacked(
            self.cache.through(what, lambda: ask_vllm(self.client, prompt, tokens, top_k, vocabulary).packed())
        )

    def rate(self, problem: Problem, answers: Sequence[str]) -> list[float]:
        """The rate of each answer, in order: a request each, whose prompt is the problem and the answer after it."""

        def one(answer: str) -> float:
            messages = answered(problem, answer)
            what = {"request": "rate", "model": self.config.model, "prompt": identity(messages)}
            body = {"model": self.config.model, "task": "classify", "use_activation": False}
            return float(
                self.cache.through(
                    what,
                    lambda: self.client.ask("/pooling", body | {"messages": chat_of(messages)}, read_rate, root=True),
                )
            )

        return self.client.each(one, answers)

    def release(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
        self._client = None


def write(
    groups: Sequence[Group],
    signal: str,
    found: Mapping[tuple[int, int], torch.Tensor],
    shape: tuple[int, ...],
    missing: float = 0.0,
) -> None:
    """Put scores into every completion's signals; where there are none, `missing` in their type."""
    dtype = torch.int64 if isinstance(missing, int) else torch.float32
    for group, one in enumerate(groups):
        for number, completion in enumerate(one.completions):
            nothing = torch.full((len(completion.tokens), *shape), missing, dtype=dtype)
            completion.signals[signal] = found.get((group, number), nothing)
