"""What the four writers are asked. A changed word changes results: raise the curator's `revision` with it."""

from __future__ import annotations

# Each ends in sections, `## NAME` and what stands under it, so that a writer may be a program too.
CAPTION = """You describe images for somebody who cannot see them and has to reason about them.
Write one description that is complete, factual and free of opinion, from the whole to the details:
- the setting, and every object that can be seen with its colour, shape, texture and place;
- every text, word for word; equations as LaTeX, without solving them;
- tables and the data of charts as Markdown tables;
- labels and brands as they are written; faces by their expression alone, without a guess at who it is.
Write the description and nothing else."""

REASON = """You see an image, and you are asked a question about it. What you see is written under "Description".
Reason as somebody who looks at the image itself: never mention a description, a caption or a text, and where it leaves
something open say so as a viewer would ("It appears that ...").
Put all of your reasoning between <think> and </think>, and after that the answer alone."""

REWRITE = """The text below was written by somebody who looks at an image. Wherever it speaks of a description, a
caption or a rationale as its source, make it speak of the image. Change nothing else: no other word, no line break, no
space, no tag. Write the changed text and nothing else."""

VERIFY = """Does the answer agree with the right answer? How it is worded or written does not matter, and neither does
what is said beside it. Write "Yes" or "No" and nothing else."""


def laid_out(task: str, **sections: str) -> str:
    """A task with its sections; one without text is left out."""
    parts = [f"## {name.replace('_', ' ').capitalize()}\n{text}" for name, text in sections.items() if text]
    return "\n\n".join([task, *parts])


def caption(context: str) -> str:
    """For the captioner, beside the images."""
    return laid_out(CAPTION, context=context)


def reason(description: str, context: str, question: str) -> str:
    """For the reasoner, who sees nothing."""
    return laid_out(REASON, description=description, context=context, question=question)


def rewrite(text: str) -> str:
    """For the rewriter."""
    return laid_out(REWRITE, text=text)


def verify(gold: str, answer: str) -> str:
    """For the verifier."""
    return laid_out(VERIFY, right_answer=gold, answer=answer)
