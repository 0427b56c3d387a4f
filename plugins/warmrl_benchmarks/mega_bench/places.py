"""Rules that compare boxes and points, in coordinates from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from warmrl_benchmarks.mega_bench.literals import as_boxes, as_points, literal

DECAY = 10.0
"""How fast the score of a keypoint falls with its distance, in diagonals of the image."""


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2); 0 for what has no area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = sum(areas) - both
    return both / union if union > 0 else 0.0


def mean_iou(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """The mean over found boxes of the best IoU with a wanted one; 0 when none is found."""
    best = [max((iou(box, target) for target in wanted), default=0.0) for box in found]
    return sum(best) / len(best) if best else 0.0


def boxes(response: Any, gold: Any) -> float:
    """`mean_iou` of a list of boxes."""
    return mean_iou(as_boxes(response), as_boxes(gold))


def one_box(response: Any, gold: Any) -> float:
    """IoU of one box."""
    return iou(*(literal(text) for text in (response, gold)))


def box_sequence(response: Any, gold: Any) -> float:
    """The mean IoU of boxes place by place; 0 when there are more or fewer."""
    found, wanted = (as_boxes(one if isinstance(one, list | tuple) else str(one)) for one in (response, gold))
    return sum(map(iou, found, wanted)) / len(wanted) if len(found) == len(wanted) else 0.0


def xml_boxes(response: Any, gold: Any) -> float:
    """`mean_iou` of boxes written `<box>x1, y1, x2, y2</box>`."""
    return mean_iou(tagged_boxes(response), tagged_boxes(gold))


def tagged_boxes(value: Any) -> list[Any]:
    """The boxes of a text, a list of them as it is."""
    if isinstance(value, list | tuple):
        return [value] if value and isinstance(value[0], int | float) else list(value)
    found = [numbers(inside) for inside in tagged(value, "box")]
    return [one for one in found if len(one) == 4]


def tagged(value: Any, tag: str) -> list[str]:
    """What stands between `<tag>` and `</tag>`, on one line each."""
    found = list[str]()
    for line in value.split("\n") if isinstance(value, str) else []:
        rest = line
        while f"</{tag}>" in (rest := rest.partition(f"<{tag}>")[2]):
            inside, _, rest = rest.partition(f"</{tag}>")
            found.append(inside)
    return found


def numbers(text: str) -> list[float]:
    """The numbers between commas; none when one of them isn't a number."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []


def point(value: Any) -> Sequence[float]:
    """The one point `<point>x, y</point>` of a text, or a pair as it is. Raises `ValueError`."""
    if isinstance(value, list | tuple):
        found: Sequence[float] = value
    else:
        written = tagged(value, "point")
        found = numbers(written[0]) if len(written) == 1 else []
    if len(found) != 2:
        raise ValueError("no point, or several")
    return found


def point_distance(response: Any, gold: Any) -> float:
    """1 - the distance of two points, both inside the image; 0 from a distance of 1 on."""
    found, wanted = point(response), point(gold)
    inside = all(0 <= number <= 1 for number in (*found, *wanted))
    return max(0.0, 1 - math.dist(found, wanted)) if inside else 0.0


def point_in_box(response: Any, context: Mapping[str, Any]) -> float:
    """Whether the point is in one of the boxes of the query's context."""
    x, y = point(response)
    targets = [as_boxes(text)[0] for text in context["bounding_boxes"]]
    return float(any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in targets))


def keypoints(response: Any, gold: Any) -> float:
    """The mean of exp(-10 d / sqrt(2)) over points place by place; 0 when there are more or fewer."""
    found, wanted = as_points(response), as_points(gold)
    if len(found) != len(wanted):
        return 0.0
    near = [math.exp(-DECAY * math.dist(one, other) / math.sqrt(2)) for one, other in zip(found, wanted, strict=True)]
    return sum(near) / len(near)
