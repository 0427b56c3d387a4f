"""What must agree between student and teacher before one learns from the other, and what was found."""

from __future__ import annotations

from collections.abc import Sequence

from warmrl.api import Problem, UsageError
from warmrl.engine.api import Policy


def compare(teacher: Policy, student: Policy, path: str, problems: Sequence[Problem]) -> list[str]:
    """Findings, a sentence each. Raises `UsageError` when a token means different things to the two.

    Output heads of different heights are fine (151936 against 152064): rows that no token uses are left out.
    """
    findings = [*compare_tokens(teacher, student, path), *compare_ends(teacher, student)]
    for problem in problems:
        findings += compare_prompts(teacher, student, path, problem)
    return findings


def compare_tokens(teacher: Policy, student: Policy, path: str) -> list[str]:
    """The two token maps: same text, same id."""
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    differing = sorted(token for token in ours.keys() & theirs.keys() if ours[token] != theirs[token])
    alone = sorted(ours.keys() ^ theirs.keys())
    if differing or alone:
        example = (differing or alone)[0]
        raise UsageError(
            f"The teacher `{path}` does not speak the student's tokens: {len(differing)} tokens have another id and "
            f"{len(alone)} are known to one of them alone (first: {example!r}: {ours.get(example)} for the student, "
            f"{theirs.get(example)} for the teacher). On-policy distillation compares token by token; choose a "
            "teacher of the same tokenizer, or distil from its text (curator `traces`, then `sft`)."
        )
    rows = len(student.packed.head_weight), len(teacher.packed.head_weight)
    short = min(rows)
    if max(ours.values()) >= short:
        raise UsageError(
            f"The teacher `{path}` has {rows[1]} rows in its output head, the student {rows[0]}, and the token "
            f"{max(ours.values())} needs more than {short}; choose a teacher whose head covers the vocabulary."
        )
    found = [f"Teacher `{path}`: the {len(ours)} tokens have the same ids as the student's."]
    if rows[0] != rows[1]:
        found.append(
            f"The output heads have {rows[0]} (student) and {rows[1]} (teacher) rows; the padding rows beyond "
            f"{short} stand for no token and are left out of the divergence."
        )
    return found


def compare_ends(teacher: Policy, student: Policy) -> list[str]:
    """The tokens that end a completion."""
    if teacher.stop_ids == student.stop_ids:
        return [f"Both end a completion with {names(student, student.stop_ids)}."]
    return [
        f"WARNING: the student ends with {names(student, student.stop_ids)}, the teacher with "
        f"{names(teacher, teacher.stop_ids)}; a teacher that never ends where the student does makes lengths explode."
    ]


def compare_prompts(teacher: Policy, student: Policy, path: str, problem: Problem) -> list[str]:
    """One prompt through both processors: template and number of image tokens."""
    ours, theirs = student.encode_prompt(problem.messages), teacher.encode_prompt(problem.messages)
    images = student.image_tokens(ours), teacher.image_tokens(theirs)
    found = []
    if images[0] != images[1]:
        found.append(
            f"WARNING: the problem `{problem.id}` has {images[0]} image tokens for the student and {images[1]} for "
            f"the teacher `{path}`; their processors see the image at different sizes."
        )
    if ours.ids.tolist() == theirs.ids.tolist():
        found.append(f"The same prompt gives both the same {len(ours.ids)} tokens ({images[0]} of them image tokens).")
    else:
        found.append(
            f"WARNING: the chat templates differ: `{problem.id}` is {len(ours.ids)} tokens for the student and "
            f"{len(theirs.ids)} for the teacher; each is prompted by its own."
        )
    return found


def names(policy: Policy, ids: frozenset[int]) -> str:
    """Tokens by their text."""
    return ", ".join(f"`{policy.tokenizer.convert_ids_to_tokens(i)}` ({i})" for i in sorted(ids)) or "nothing"
