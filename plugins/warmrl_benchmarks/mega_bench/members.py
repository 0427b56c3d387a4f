"""Rules that compare sets, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from warmrl_benchmarks.mega_bench.literals import as_dict, as_list, as_set
from warmrl_benchmarks.mega_bench.texts import exact

SPACING = str.maketrans("", "", " -\n\t_.")


def same_set(response: Any, gold: Any) -> float:
    """Equal as sets."""
    return float(as_set(response) == as_set(gold))


def same_set_in_any_case(response: Any, gold: Any) -> float:
    """The same for sets of texts, whatever their case."""
    return float({text.upper() for text in as_set(response)} == {text.upper() for text in as_set(gold)})


def same_lines(response: str, gold: str) -> float:
    r"""The same set of lines, whatever their case; a written `\n` ends a line."""
    lines = [set(text.replace("\\n", "\n").lower().split("\n")) for text in (response, gold)]
    return float(lines[0] == lines[1])


def same_items(response: Any, gold: Any) -> float:
    """The same set of things between commas, whatever their case."""
    return float(lowered(as_list(response)) == lowered(as_list(gold)))


def lowered(items: Iterable[Any]) -> set[Any]:
    """Texts in lower case, anything else as it is."""
    return {item.lower() if isinstance(item, str) else item for item in items}


def share(both: int, of: int) -> float:
    """A share of nothing is 1, as officially."""
    return both / of if of else 1.0


def jaccard(response: Any, gold: Any) -> float:
    """Members of both sets by members of either."""
    return 0.0 if response is None else overlap(as_set(response), as_set(gold))


def overlap(one: set[Any], other: set[Any]) -> float:
    """Jaccard's index of two sets."""
    return share(len(one & other), len(one | other))


def jaccard_in_any_case(response: Any, gold: Any) -> float:
    """The same for texts whatever their case, or for tuples of texts whatever their case, spacing and hyphens too."""
    if response is None:
        return 0.0
    found, wanted = as_set(response), as_set(gold)
    if all(isinstance(one, str) for one in wanted):
        return overlap({str(one).lower() for one in found}, {one.lower() for one in wanted})
    return overlap(set(map(bare, found)), set(map(bare, wanted)))


def bare(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts in lower case without spaces, hyphens, underscores and full stops."""
    return tuple(text.lower().translate(SPACING) for text in texts)


def precision(response: Any, gold: Any) -> float:
    """The share of the response's members that the gold has; 1 for a response without members, as officially."""
    if response is None:
        return 0.0
    found = as_set(response)
    return share(len(found & as_set(gold)), len(found))


def chess_moves(response: Any, gold: Any) -> float:
    """Jaccard's index of moves, whatever their final `!` or `#`."""
    if response is None:
        return 0.0
    moves = [{move.removesuffix("!").removesuffix("#") for move in as_list(text)} for text in (response, gold)]
    return overlap(*moves)


def same_list(response: Any, gold: Any) -> float:
    """Equal as lists."""
    return float(as_list(str(response)) == as_list(gold))


def same_list_in_any_case(response: Any, gold: Any) -> float:
    """The same for texts, whatever their case."""
    found = [item.lower() if isinstance(item, str) else str(item) for item in as_list(str(response))]
    return float(found == [item.lower() for item in as_list(gold)])


def list_accuracy(response: Any, gold: Any) -> float:
    """The share of places with the right member (texts in any case); 0 when the lists differ in length."""
    found, wanted = as_list(response), as_list(gold)
    if len(found) != len(wanted):
        return 0.0
    return sum(map(same_member, found, wanted)) / len(wanted)


def same_member(found: Any, wanted: Any) -> bool:
    """Equal texts in any case, or equal numbers."""
    if isinstance(wanted, str):
        return bool(found.lower() == wanted.lower())
    numbers = isinstance(wanted, int | float | complex) and isinstance(found, int | float | complex)
    return numbers and found == wanted


def common_prefix(response: Any, gold: Any) -> float:
    """Members of the gold list up to the first that differs, by all its members."""
    found, wanted = as_list(response), as_list(gold)
    right = 0
    while right < min(len(found), len(wanted)) and found[right] == wanted[right]:
        right += 1
    return right / len(wanted)


def same_dict(response: Any, gold: Any) -> float:
    """Equal as dicts, their texts read at any depth."""
    found = as_dict(response)
    return float(isinstance(found, dict) and found == as_dict(gold))


def dict_precision(response: Any, gold: Any) -> float:
    """The share of the response's keys that have the gold's value, as text."""
    found, wanted = as_dict(response), as_dict(gold)
    if not isinstance(found, dict) or not found:
        return 0.0
    return sum(exact(value, wanted[key]) for key, value in found.items() if key in wanted) / len(found)


def dict_recall(response: Any, gold: Any) -> float:
    """The share of the gold's keys whose value the response has, as text."""
    found, wanted = as_dict(response), as_dict(gold)
    if not isinstance(found, dict):
        return 0.0
    return sum(exact(found.get(key), value) for key, value in wanted.items()) / len(wanted)


def over_keys(rule: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    """The mean of a rule over the keys of either dict; a missing value is an empty list."""

    def mean(response: Any, gold: Any) -> float:
        found, wanted = as_dict(response), as_dict(gold)
        if not isinstance(found, dict):
            return 0.0
        keys = list(dict.fromkeys([*wanted, *found]))
        return sum(rule(found.get(key, []), wanted.get(key, [])) for key in keys) / len(keys)

    return mean
