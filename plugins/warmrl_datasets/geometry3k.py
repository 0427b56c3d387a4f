"""The dataset `geometry3k`: school geometry with figures, whose answers are numbers, roots and fractions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from warmrl_datasets.hub import HubDataset


class Geometry3K(HubDataset):
    r"""hiyouga/geometry3k: `images`, `problem` (an `<image>` for each of them) and `answer`, in LaTeX.

    Ids are `SPLIT:ROW`, rows counted from 1 over the whole split; the newer revision's `id`, `choices` and
    `ground_truth` (the letter) are kept in `Problem.extra`. The gold is the answer as it stands: the reward `math`
    reads every gold as mathematics, so that `\boxed{6}` is not right where it is `6\sqrt{2}`. The data has no worked
    solutions; SFT takes them from a teacher (curator `traces`).
    """

    hub_id: ClassVar[str] = "hiyouga/geometry3k"
    # The older revision has no ids, so that the same problem has one id in both only if neither's are used.
    columns: ClassVar[Mapping[str, str]] = {"question": "problem", "answer": "answer", "images": "images"}
