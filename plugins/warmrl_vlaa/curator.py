"""The curator `vlaa`: metadata, captions, reasoning, rewriting, verification, and the split by reflection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from warmrl.api import Choice, Curator, FunnelStep, Message, Problem, Text, UsageError
from warmrl_vlaa import prompts
from warmrl_vlaa.config import VlaaConfig
from warmrl_vlaa.item import Item, brought, has_any
from warmrl_vlaa.writing import Failed, written


class Vlaa(Curator[VlaaConfig]):
    """Each step goes over all that the last one kept, so that one writer is in memory at a time.

    Source: Chen et al. 2025, arXiv:2504.11468, section 3 and appendix (methods.md B.1); the prompts are our own.
    """

    def curate(self) -> Sequence[Problem]:
        """The problems with a verified worked answer, in the parts `sft` (plain) and `rl` (with reflection)."""
        config, style = self.config, self.stage.style
        rewritten = partial(Item.rewritten, style=style, word_gap=config.word_gap)
        items = self.metadata()
        items = self.step("caption", config.captioner, items, caption_request, Item.captioned)
        items = self.step("reason", config.reasoner, items, reason_request, partial(Item.reasoned, style=style))
        items = self.step("rewrite", config.rewriter, items, rewrite_request, rewritten)
        items = self.step("verify", config.verifier, items, verify_request, Item.verified)
        kept = [self.curated(item) for item in items]
        parts = Counter(problem.extra["part"] for problem in kept)
        self.stage.findings.append(
            f"`{self.stage.name}`: {parts['sft']} worked answers without a word of reflection (part `sft`), "
            f"{parts['rl']} with one (part `rl`)."
        )
        return kept

    def metadata(self) -> list[Item]:
        """The problems with images, and what they bring."""
        seen: set[tuple[str, ...]] = set()
        kept, dropped = list[Item](), Counter[str]()
        for problem in self.stage.problems:
            images = tuple(image.key for image in problem.images)
            if not images:
                dropped["no image"] += 1
            elif self.config.unique_images and images in seen:
                dropped["image seen before"] += 1
            else:
                kept.append(Item(problem, caption=brought(problem, "caption")))
            seen.add(images)
        kinds = Counter(item.problem.kind for item in kept)
        self.stage.findings.append(
            f"`{self.stage.name}`: {len(kept)} problems on {len(seen - {()})} sets of images ("
            + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
            + f"); {sum(bool(item.caption) for item in kept)} bring a caption, "
            f"{sum(bool(item.context) for item in kept)} a context."
        )
        return self.counted("metadata", len(self.stage.problems), kept, dropped)

    def step(
        self,
        name: str,
        choice: Choice,
        items: Sequence[Item],
        ask: Callable[[Item], tuple[Message, ...]],
        read: Callable[[Item, str], Item | str],
    ) -> list[Item]:
        """What a writer's texts make of the items; those without a message to ask with stay as they are."""
        asked = {place: messages for place, item in enumerate(items) if (messages := ask(item))}
        requests = [
            replace(items[place].problem, id=f"{name}/{items[place].problem.id}", messages=messages, gold="")
            for place, messages in asked.items()
        ]
        temperature = self.config.temperature if name == "reason" else 0.0
        limits = {"max_tokens": self.config.max_tokens, "temperature": temperature}
        texts = dict(zip(asked, written(self.stage, name, choice, requests, **limits), strict=True)) if asked else {}
        kept, dropped = list[Item](), Counter[str]()
        for place, item in enumerate(items):
            text = texts.get(place)
            found = item if text is None else text if isinstance(text, Failed) else read(item, text)
            if isinstance(found, Item):
                kept.append(found)
            else:
                dropped[str(found)] += 1
        return self.counted(name, len(items), kept, dropped)

    def counted(self, step: str, taken: int, kept: list[Item], dropped: Counter[str]) -> list[Item]:
        """Put a step into the funnel. Raises `UsageError` when nothing is left."""
        self.stage.funnel.append(FunnelStep(step, taken, len(kept), dict(sorted(dropped.items()))))
        self.stage.say(f"`{self.stage.name}`, {step}: {len(kept)} of {taken} problems kept.")
        if not kept:
            why = ", ".join(f"{reason} ({count})" for reason, count in sorted(dropped.items()))
            raise UsageError(
                f"`stage.{self.stage.name}`: the step `{step}` left none of {taken} problems: {why or 'none came'}. "
                "See to its writer, or to `data`."
            )
        return kept

    def curated(self, item: Item) -> Problem:
        """The problem with its worked answer, in its part."""
        problem = item.problem
        extra = {**problem.extra, "source": problem.id, "caption": item.caption}
        extra["part"] = "rl" if has_any(item.trace, self.config.words) else "sft"
        return replace(problem, id=f"{problem.id}/vlaa", solution=self.stage.style.wrap(*item.parts), extra=extra)


def caption_request(item: Item) -> tuple[Message, ...]:
    """The images, and what to do with them; nothing for a problem that brings its caption."""
    if item.caption:
        return ()
    return (Message("user", (*item.problem.images, Text(prompts.caption(item.context)))),)


def reason_request(item: Item) -> tuple[Message, ...]:
    """Caption and question, as text."""
    return said(prompts.reason(item.caption, item.context, item.question))


def rewrite_request(item: Item) -> tuple[Message, ...]:
    """The trace."""
    return said(prompts.rewrite(item.trace))


def verify_request(item: Item) -> tuple[Message, ...]:
    """The right answer and the trace's."""
    return said(prompts.verify(item.problem.gold, item.parts[1]))


def said(text: str) -> tuple[Message, ...]:
    """One message of text alone."""
    return (Message("user", (Text(text),)),)
