"""What a language model is asked when it extracts an answer: the official task and five examples, in our own words."""

from __future__ import annotations

import hashlib

from warmrl.api import Message, Problem, Text

LONGEST = 20_000
"""Characters of a response that the extractor is shown, its end."""
TASK = (
    "Below is a question and a model's response to it. Extract the final answer from the response and write nothing "
    "but that answer, in the form that the question's hint asks for. If the response gives no answer, write nothing. "
    "First some examples."
)
EXAMPLES = (
    (
        "Hint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, at "
        "the end.\nQuestion: How many apples are left in the basket?",
        "There were nine apples and two were taken out, so 7 apples are left.",
        "7",
    ),
    (
        "Hint: Please answer the question requiring a floating-point number with one decimal place and provide the "
        "final value, e.g., 1.2, 1.3, 1.4, at the end.\nQuestion: Which share of the visitors came by train?",
        "The share of visitors who came by train is 0.4: four of every ten visitors did.",
        "0.4",
    ),
    (
        "Hint: Please answer the question requiring a floating-point number with two decimal places and provide the "
        "final value, e.g., 1.23, 1.34, 1.45, at the end.\nQuestion: What do a pen and a ruler cost together? (Unit: "
        "$)",
        "Together the pen and the ruler cost $2.35.",
        "2.35",
    ),
    (
        "Hint: Please answer the question requiring a Python list as an answer and provide the final list, e.g., "
        "[1, 2, 3], [1.2, 1.3, 1.4], at the end.\nQuestion: Between which two years did sales fall most?",
        "Sales fell most between 1998 and 2001.",
        "[1998, 2001]",
    ),
    (
        "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
        "Question: Which part of the circle is shaded?\nChoices:\n(A) 1/6\n(B) 1/4\n(C) 1/3\n(D) 1/2",
        "Two of the six sectors are shaded, so the right choice is (C) 1/3.",
        "C",
    ),
)


def extraction_problem(query: str, response: str) -> Problem:
    """The prompt as a problem without images, its id a hash of it, so that equal prompts are asked once."""
    shown = [one_of(*example) for example in EXAMPLES]
    text = "\n\n".join([TASK, *shown, one_of(query, response[-LONGEST:], "")]).rstrip() + " "
    name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Problem(id=f"extract:{name}", messages=(Message("user", (Text(text),)),), gold="")


def one_of(query: str, response: str, answer: str) -> str:
    """A question, a response and the extracted answer."""
    return f"{query}\n\nModel response: {response}\n\nExtracted answer: {answer}"
