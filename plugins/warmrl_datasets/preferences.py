"""Preference pairs in rows of data files: sides and prompts as text, or as conversations (TRL's formats)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.api import DataError
from warmrl_datasets.rows import Row

PLACE = "<image>"
ROLES = ("system", "user", "assistant")
Turns = list[tuple[str, str]]


def pair_columns(known: Sequence[str], chosen_by_user: set[str]) -> dict[str, str]:
    """Columns that roles have in a file of pairs (one with `chosen` and `rejected`) unless a recipe says otherwise."""
    if not {"chosen", "rejected"} <= set(known):
        return {}
    usual = {"solution": "chosen"} | ({"question": "prompt"} if "prompt" in known else {})
    return {role: column for role, column in usual.items() if role not in chosen_by_user}


def turns_of(row: Row, column: str, value: list[Any]) -> Turns:
    """A conversation as (role, text), each image by its place. Raises `DataError`."""
    found = []
    for one in value:
        role = one.get("role") if isinstance(one, Mapping) else None
        text = text_of_parts(one.get("content")) if isinstance(one, Mapping) else None
        if role not in ROLES or text is None or not text.strip():
            raise DataError(
                f"{row}: `{column}` has the message {one!r:.80}; a message is {{role, content}}, its role one of "
                f"{', '.join(ROLES)}, its content text or a list of text and image parts. Mend the row."
            )
        found.append((role, text))
    if not found:
        raise DataError(f"{row}: `{column}` is a conversation without a message. Mend the row.")
    return found


def text_of_parts(content: Any) -> str | None:
    """A message's content as text; None for what is neither text nor parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [PLACE if part.get("type") == "image" else part.get("text") for part in content if isinstance(part, dict)]
    return "".join(parts) if len(parts) == len(content) and all(isinstance(part, str) for part in parts) else None


def answer_of(row: Row, column: str, value: list[Any]) -> str:
    """The answer that a conversation ends with. Raises `DataError`."""
    role, text = turns_of(row, column, value)[-1]
    if role != "assistant":
        raise DataError(f"{row}: `{column}` ends with the {role}; an answer is the assistant's. Mend the row.")
    return text


def shared_prompt(row: Row, chosen: Any, rejected: Any) -> Turns:
    """What two conversations begin with, when a row has no prompt of its own. Raises `DataError`."""
    if isinstance(chosen, list) and isinstance(rejected, list):
        begun, other = turns_of(row, "chosen", chosen)[:-1], turns_of(row, "rejected", rejected)[:-1]
        if begun and begun == other:
            return begun
    raise DataError(
        f"{row} has no prompt: neither a column that `question` names, nor `prompt`, nor two conversations in `chosen` "
        f"and `rejected` that begin with the same messages and end with one answer each. Mend the row, or set "
        f"`question` to the prompt's column."
    )
