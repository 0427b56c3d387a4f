"""Rules that compare texts."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from warmrl_benchmarks.mega_bench.literals import as_list
from warmrl_benchmarks.mega_bench.parsing import verbatim_block

IDLE = str.maketrans("", "", " -\n\t.")
LETTER = re.compile(r"\(?([A-Za-z])")
LONGEST = 2000
"""Characters of the longest text whose edit distance is measured; a longer answer has no similarity."""
NEAR = 0.9
LATIN = {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "ł": "l", "Ł": "L"}
MARKS = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--", "\u2026": "..."}
SPELLED = LATIN | MARKS
"""How letters and marks that no accent is taken from are written in ASCII."""
CHINESE_COMMA = "\uff0c"


def exact(response: Any, gold: Any) -> float:
    """Equal as text. For a gold of one letter a longer response counts by its first letter (`(A)`, `A. Paris`)."""
    response, gold = str(response), str(gold)
    if len(gold) == 1 and gold.isalpha() and len(response) > 1:
        found = LETTER.match(response)
        response = found[1] if found else response
    return float(response == gold)


def exact_in_any_case(response: Any, gold: Any) -> float:
    """The same in lower case; a response that is no text is wrong."""
    return exact(response.lower(), gold.lower()) if isinstance(response, str) else 0.0


def simple(response: Any, gold: str) -> float:
    """The same in lower case and without spaces, hyphens, full stops and line breaks."""
    return exact(str(response).translate(IDLE).lower(), gold.translate(IDLE).lower())


def code_result(response: Any, gold: str) -> float:
    """Equal to what the gold's code block holds."""
    return exact(response, verbatim_block(gold))


def any_phrase(response: Any, gold: str) -> float:
    """Simply equal to one of the gold's phrases."""
    return float(any(simple(response, str(phrase)) for phrase in as_list(gold.replace(CHINESE_COMMA, ","))))


def similarity(response: Any, gold: Any) -> float:
    """1 - (edits to make one the other) / (characters of the longer); a swap of two neighbours is one edit."""
    if not isinstance(response, str) or max(len(response), len(gold)) > LONGEST:
        return 0.0
    longer = max(len(response), len(gold))
    return 1 - edits(response, gold) / longer if longer else 1.0


def near(response: Any, gold: Any) -> float:
    """The similarity without articles, accents and case; 0 below 0.9."""
    if not isinstance(response, str) or not isinstance(gold, str):
        return 0.0
    response, gold = plain(response), plain(gold)
    if min(len(response), len(gold)) < NEAR * max(len(response), len(gold)):
        return 0.0
    found = similarity(response, gold)
    return found if found >= NEAR else 0.0


def plain(text: str) -> str:
    """Lower case, in Latin letters without accents, without `the` and `a`."""
    words = " ".join(word for word in text.split(" ") if word.lower() not in ("the", "a"))
    spelled = "".join(SPELLED.get(character, character) for character in words)
    apart = unicodedata.normalize("NFKD", spelled)
    return "".join(character for character in apart if not unicodedata.combining(character)).lower()


def edits(one: str, other: str) -> int:
    """The Damerau-Levenshtein distance, in which swapped neighbours may be edited further (Lowrance & Wagner 1975).

    Time and memory: the product of the lengths.
    """
    far = len(one) + len(other)
    last_row = dict[str, int]()
    table = [[far] * (len(other) + 2), [far, *range(len(other) + 1)]]
    for i, left in enumerate(one, 1):
        row, above, last_column = [far, i], table[-1], 0
        for j, right in enumerate(other, 1):
            k, el = last_row.get(right, 0), last_column
            if left == right:
                last_column = j
            swap = table[k][el] + (i - k - 1) + 1 + (j - el - 1)
            row.append(min(above[j] + (left != right), row[j] + 1, above[j + 1] + 1, swap))
        table.append(row)
        last_row[left] = i
    return table[-1][-1]
