"""Responses as models phrase them, made up, with the answer a reader finds: what the rule extractor is tried on."""

from __future__ import annotations

import random
from typing import Any

from warmrl_benchmarks.mathvista_scoring import Question

CHOICES = (
    ("135°", "140°", "145°", "150°"), ("Yes", "No"), ("shortage", "surplus"), ("5.8", "6.5", "14.2", "44.3"),
    ("Light Green", "Dark Green", "Sea Green", "Green"), ("It would decrease.", "It would increase.", "No change."),
    ("3/11", "8/11", "6/11", "3/5"), ("2\\sqrt{3}", "4\\sqrt{3}", "6", "8"), ("(0, 1)", "(1, 0)", "(2, 2)", "(3, 1)"),
    ("less than", "greater than", "equal to"), ("oak", "maple", "pine", "cedar", "none of these"),
)  # fmt: skip
LETTERED = (
    "{L}", "({L})", "{L}.", "{L}) {T}", "({L}) {T}", "{L}. {T}", "{L}: {T}", "**{L}**", "**({L}) {T}**",
    "The answer is {L}.", "The answer is ({L}).", "The correct answer is ({L}) {T}.", "The correct option is {L}.",
    "The correct choice is {L}: {T}", "Answer: {L}", "Answer: ({L}) {T}", "**Answer:** {L}", "Final answer: **{L}**",
    "\\boxed{{{L}}}", "Therefore, \\(\\boxed{{\\text{{{L}}}}}\\).", "<think>Maybe {W}?</think>\\boxed{{{L}}}",
    "<think>It is {W} or {L}.</think><answer>{L}</answer>", "<answer>({L})</answer>",
    "Let me look at the figure.\nOption {W} can't be right.\nSo the answer is option {L}.",
    "Looking at the chart, {U} is too large. Hence, the correct option is ({L}).",
    "I first thought of ({W}), but the figure shows otherwise. The right choice is ({L}).",
    "Step 1: read the axis.\nStep 2: compare.\nThe answer is: {L}", "#### {L}", "I would choose option {L}.",
    "Based on the image, the answer would be {L} ({T}).", "The best answer: ({L})", "So, we select {L}.",
    "{L}\n\nThe figure shows that {T} fits and {U} does not.",
)  # fmt: skip
HARDER = (
    "Comparing A and B, only the first has the right slope; that leaves us with {L}.", "{L}) is correct.",
    "Both {W} and {L} look plausible, but {L} is the correct one.", "({L}) is the answer.",
    "Given the figure in the question, {T} matches what is shown, which is choice {L}.",
    "Option {L} is correct because the line is steeper than in option {W}.", "Correct answer: {L}) {T}",
    "**Final Answer**\n\n{L}", "### Answer\n({L}) {T}", "\\[\n\\boxed{{\\text{{({L}) {T}}}}}\n\\]",
    "To find this, let us see.\n1. Angle A is 40.\n2. Angle B is 50.\n\nSo it must be {L}.",
    "Answer: The correct option is {L}, since {U} contradicts the drawing.",
    "Option {W} is wrong. Option {L} is right.", "{L} - {T}", "The correct letter is '{L}'.",
)  # fmt: skip
HARDER_NUMBERS = (
    "The answer is 5 + {N} - 5 = {N}.", "There are {N} of them in the picture, out of 3000.",
    "**{N}** objects are left.",
    "After subtracting 2 spheres and 1 cube, {N} objects are left.", "Answer: The total is {N} apples.",
    "Adding up, $4 + 9 + \\dots = {N}$", "**Final Answer**\n\n{N}", "### Answer\n\n\\[\n{N}\n\\]",
    "The value for 2015 is {N}.", "According to the table of 2015, Anna sold {N} tickets on day 3.",
    "The ratio is {N}:1, hence {N}.", "So the final value is $\\mathbf{{{N}}}$ meters.",
)  # fmt: skip
TEXTUAL = (
    "{T}", "The answer is {T}", 'The answer is "{T}".', "It is {T}", "Therefore, the answer is **{T}**.", "Answer: {T}",
    "\\boxed{{{T}}}", "\\boxed{{\\text{{{T}}}}}", "<answer>{T}</answer>", "From the figure we get {T}",
    "The other one, {U}, is not shown. So the correct answer is {T}",
)  # fmt: skip
NUMBERS = (
    "{N}", "{N}.", " {N}\n", "The answer is {N}.", "Answer: {N}", "**Answer:** {N}", "The final answer is **{N}**.",
    "\\boxed{{{N}}}", "The answer is $\\boxed{{{N}}}$.", "<think>2 + 2 = 4, then 7.</think>\\boxed{{{N}}}",
    "<think>5 of 9</think><answer>{N}</answer>", "There are 12 rows and 3 columns. The total is {N}.",
    "In 2010 it was 14 and in 2012 it was 21, so the difference is {N}.", "12 + 30 - 5 = {N}",
    "The number of items is therefore {N}.", "So the value is x = {N}.", "Hence the answer is 3 * 4 + 1 = {N}.",
    "We need {N} in all.", "The missing number in the sequence 3, 6, 9 is {N}.", "#### {N}", "It costs ${N}.",
    "Step 1: there are 4 groups.\nStep 2: 3 are left.\n\nThe final answer is {N}", "The length is {N} cm.",
    "$$x = \\frac{{7}}{{2}} + 1$$ and so the answer is ${N}$.", "The answer is {N} degrees.", "Answer: {N}%",
    "Reading the scale, the weight is about 5 steps of 10, which gives a result of {N} kg.",
    "The area is 3 \\times 4 / 2, and thus we conclude that the answer is \\(x = {N}\\).",
)  # fmt: skip
LISTS = (
    "{S}", "The answer is {S}.", "Answer: {S}", "\\boxed{{{S}}}", "The years are between {A} and {B}.",
    "The line has its peak between {A} and {B}.", "So the final list is {S}.", "**{S}**", "<answer>{S}</answer>",
)  # fmt: skip


def choice(options: tuple[str, ...], right: int) -> Question:
    """A multiple-choice question."""
    return Question("multi_choice", "text", options, None, options[right])


def free(kind: str, answer: str, precision: Any = None) -> Question:
    """A question with a free answer."""
    return Question("free_form", kind, (), precision, answer)


def labelled() -> list[tuple[str, Question]]:
    """Every phrasing with drawn questions: the response, and the question whose right answer it gives."""
    draw, made = random.Random(5), []
    for phrasing in LETTERED + TEXTUAL + HARDER:
        for options in draw.sample(CHOICES, 4):
            right, wrong = draw.sample(range(len(options)), 2)
            values = {"L": "ABCDE"[right], "W": "ABCDE"[wrong], "T": options[right], "U": options[wrong]}
            made.append((phrasing.format(**values), choice(options, right)))
    for phrasing in NUMBERS + HARDER_NUMBERS:
        for _ in range(2):
            whole = draw.randrange(2000)
            said = f"{whole:,}" if draw.random() < 0.3 else str(whole)
            made.append((phrasing.format(N=said), free("integer", str(whole))))
        for precision in (1, 2):
            value = round(draw.uniform(0, 90), precision)
            made.append((phrasing.format(N=f"{value:.{precision}f}"), free("float", str(value), precision)))
    for phrasing in LISTS:
        first, second = sorted(draw.sample(range(1990, 2020), 2))
        said = f"[{first},{second}]" if draw.random() < 0.5 else f"[{first}, {second}]"
        made.append((phrasing.format(S=said, A=first, B=second), free("list", f"[{first}, {second}]")))
    return made
