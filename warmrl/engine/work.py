"""What a stage spent, measured: prompts, samples, tokens, updates, and the operations of what went through a model.

Each process counts what it does itself. The sum over the processes is written into a step's row of metrics, or beside a
curator's block, and a stage's total is the sum of what is written: what a kill threw away is not in it, what was read
back is, once. No clocks: the same run counts the same.

Operations are the model's: `warmrl.engine.forecast.work`'s formulas on the tokens of each packed row, so a prompt once
in each row that it is in, and completions up to their last scored token; backward takes twice the forward pass, less
where weights are frozen. A sampler is taken to read a prompt once for all its completions. Images are computed once in
each row that shows them where tower or projector train; else their features are kept, and they count once a step (or
block) for each model, in the phase that sees them first. Not counted: what is computed again to save memory, adapters,
padding, the optimizer, evaluations, a sampler's self-test, and graders with whatever models they ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch.distributed.tensor import DTensor

from warmrl.engine.forecast.work import Load, language_flops, language_training_flops, vision_flops
from warmrl.packed.shapes import Shapes, shapes_of

if TYPE_CHECKING:
    from warmrl.domain.group import Completion
    from warmrl.engine.policy import Policy
    from warmrl.engine.processes import Processes
    from warmrl.packed.plan import Prompt, Row

PHASES = ("sample", "score", "train", "teacher")


@dataclass
class Work:
    """Counts of a step, a block or a stage.

    Args:
        prompts: Prompts that were drawn, each as often as it was; of a curator the problems that it went through.
        samples: Completions that policies wrote, those that nothing was trained on included; a teacher's are not.
        sampled_tokens: Their tokens.
        trained_tokens: Tokens in the loss, summed over updates.
        teacher_tokens: Tokens that teachers wrote, and those that a teacher's forward pass judged.
        updates: Optimizer updates that were made.
        flops: Operations by phase; None where a model's shapes aren't known (a server's).
    """

    prompts: int = 0
    samples: int = 0
    sampled_tokens: int = 0
    trained_tokens: int = 0
    teacher_tokens: int = 0
    updates: int = 0
    flops: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))

    def __add__(self, other: Work) -> Work:
        sums = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return Work(**sums, flops={phase: both(self.flops[phase], other.flops[phase]) for phase in PHASES})

    def spend(self, phase: str, flops: float | None) -> None:
        """Add operations; None: nobody knows how many."""
        self.flops[phase] = both(self.flops[phase], None if flops is None else round(flops))

    def columns(self) -> dict[str, int]:
        """One flat row: the counts, and `flops/PHASE`, left out where it isn't known."""
        flops = {f"flops/{phase}": known for phase, known in self.flops.items() if known is not None}
        return {name: getattr(self, name) for name in COUNTS} | flops

    @classmethod
    def read(cls, row: Mapping[str, Any] | None) -> Work | None:
        """What `columns` gave; None for a row without counts, such as an older warmrl's."""
        if row is None or not all(name in row for name in COUNTS):
            return None
        return cls(**{name: row[name] for name in COUNTS}, flops={one: row.get(f"flops/{one}") for one in PHASES})

    def record(self) -> dict[str, Any]:
        """As it stands in `done.json`."""
        return asdict(self)


COUNTS = tuple(one.name for one in fields(Work) if one.name != "flops")


def both(one: int | None, other: int | None) -> int | None:
    """A sum that is known where both are."""
    return None if one is None or other is None else one + other


class Tally:
    """A stage's counting: what this process did since something was last written down, and the total of its blocks."""

    def __init__(self) -> None:
        self.now = Work()
        self.blocks: Work | None = Work()
        self.seen: dict[int, set[Any]] = {}  # images whose features a model keeps, since something was written down

    def once(self, processes: Processes, *, prompts: int = 0, updates: int = 0) -> None:
        """Count what the processes do together."""
        if processes.first:
            self.now += Work(prompts=prompts, updates=updates)

    def by_server(self, tokens: int) -> None:
        """Count tokens that a server's model wrote or judged for this process."""
        self.now.teacher_tokens += tokens
        self.now.spend("teacher", None)

    def read(self, row: Mapping[str, Any] | None) -> Work | None:
        """A block's work from its columns; None where there are none."""
        return Work.read(row)

    def take(self, processes: Processes) -> Work:
        """What all processes did since the last time; all of them call it."""
        mine, self.now, self.seen = self.now, Work(), {}
        return sum(processes.gather([mine]), Work())

    def keep(self, work: Work | None) -> None:
        """Add a block's work to the total; None: a block of an older warmrl, which did not count."""
        self.blocks = None if self.blocks is None or work is None else self.blocks + work

    def settle(self, processes: Processes) -> None:
        """What was done so far belongs to the stage and to none of its steps or blocks; every start does it again."""
        self.keep(self.take(processes))

    def total(self, rows: Iterable[Mapping[str, Any]]) -> Work | None:
        """All of a stage, its steps' rows and its blocks; None where one of them was not counted."""
        steps = [Work.read(row) for row in rows]
        counted = [one for one in steps if one is not None]
        return None if self.blocks is None or len(counted) < len(steps) else sum(counted, self.blocks)


@dataclass(frozen=True)
class Tokens:
    """What one forward pass of a decoder computes: tokens, the (query, key) pairs they see, scored tokens."""

    tokens: int
    pairs: float
    scored: int

    @classmethod
    def behind(cls, prompt: int, fed: Sequence[int], scored: int) -> Tokens:
        """A prompt, once, and so many tokens of each completion behind it."""
        pairs = prompt * prompt / 2 + sum(one * (prompt + one / 2) for one in fed)
        return cls(prompt + sum(fed), pairs, scored)

    @classmethod
    def of(cls, row: Row) -> Tokens:
        """A packed row."""
        spans = [(one.end - one.start, [end - start for start, end in one.answers]) for one in row.blocks]
        pairs = sum(cls.behind(prompt, fed, 0).pairs for prompt, fed in spans)
        return cls(row.input_ids.shape[1], pairs, len(row.targets))


class Counter:
    """Counts what goes through one model. `teaches`: what it writes and judges is a teacher's."""

    def __init__(self, tally: Tally, policy: Policy, *, teaches: bool = False) -> None:
        self.tally, self.policy, self.teaches = tally, policy, teaches

    def teaching(self) -> Counter:
        """The same model as a teacher."""
        found = copy(self)
        found.teaches = True
        return found

    @cached_property
    def shapes(self) -> Shapes:
        """The model's numbers."""
        return shapes_of(self.policy.root)

    @cached_property
    def trained_parts(self) -> frozenset[str]:
        """The parts with weights that train."""
        parts = self.policy.root.parts().items()
        return frozenset(name for name, held in parts if any(p.requires_grad for m in held for p in m.parameters()))

    @cached_property
    def adapted(self) -> bool:
        """Whether adapters train, and the model's own weights do not."""
        return self.policy.model is not self.policy.root.base

    @cached_property
    def keeps_features(self) -> bool:
        """Whether an image's features are kept from one pass to the next."""
        parts = self.policy.root.parts()
        weights = (p for name in ("projector", "vision") for m in parts[name] for p in m.parameters())
        return not any(p.requires_grad or isinstance(p, DTensor) for p in weights)

    def sampled(self, prompts: Sequence[Prompt], drawn: Sequence[Sequence[Completion]]) -> None:
        """Completions of each prompt, which it wrote in this process."""
        now, tokens = self.tally.now, 0
        phase = "teacher" if self.teaches else "sample"
        for prompt, completions in zip(prompts, drawn, strict=True):
            lengths = [len(one.tokens) for one in completions]
            passed = Tokens.behind(len(prompt.ids), [length - 1 for length in lengths], sum(lengths))
            now.spend(phase, sum(language_flops(self.shapes, passed)))
            tokens += sum(lengths)
        now.spend(phase, self.images(prompts))
        if self.teaches:
            now.teacher_tokens += tokens
        else:
            now.samples += sum(map(len, drawn))
            now.sampled_tokens += tokens

    def scored(self, row: Row) -> None:
        """A row that was read without training on it."""
        now, phase = self.tally.now, "teacher" if self.teaches else "score"
        images = self.images([block.prompt for block in row.blocks])
        now.spend(phase, sum(language_flops(self.shapes, Tokens.of(row))) + images)
        now.teacher_tokens += len(row.targets) if self.teaches else 0

    def trained(self, row: Row) -> None:
        """A row that an update was made with: forward and backward."""
        now, parts = self.tally.now, self.trained_parts
        times = (2 if self.adapted else 3) if "vision" in parts else 1
        images = times * self.images([block.prompt for block in row.blocks])
        language = language_training_flops(self.shapes, Tokens.of(row), parts, adapters=self.adapted)
        now.spend("train", language + images)
        now.trained_tokens += len(row.targets)

    def images(self, prompts: Sequence[Prompt]) -> float:
        """Operations of one forward pass of tower and projector over the images that have to be computed."""
        if self.shapes.tower is None:
            return 0
        seen = self.tally.seen.setdefault(id(self.policy.root), set()) if self.keeps_features else set[Any]()
        total = 0.0
        for prompt in (one for one in prompts if one.pixels):
            keys = prompt.image_keys or (id(prompt),)
            new = set(keys) - seen
            seen |= new
            tokens = self.policy.image_tokens(prompt) / len(keys) if new else 0
            total += vision_flops(self.shapes, Load(len(new), 0, 0, 0, tokens))
        return total
