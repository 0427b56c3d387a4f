"""Writes what a curator made as a dataset in TRL's conversational formats, which the dataset `files` reads back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Image, Message, Problem, Text
from warmrl.engine.curated import Curated, read_curated
from warmrl.engine.export import CARD, Exported, refuse_full
from warmrl.engine.storage import require_space, sealed_folder, writable, write_text
from warmrl.engine.suites import asked

ROWS, IMAGES = "train.jsonl", "images"
ABOUT = """\
# {target}

{count} {what} that the curator `{use}` made, in TRL's conversational format ({columns}; `question` is the
prompt without the answer style's instruction). In this folder, for a TRL trainer:

```python
from datasets import {imports}load_dataset

data = load_dataset("json", data_files="{rows}", split="train"){cast}
```

In a warmrl recipe:

```toml
[data.pairs]
use = "files"
path = "THIS FOLDER"
question = "question"            # the recipe's answer style adds its own instruction
```
"""


def export_data(target: str, to: Path) -> Exported:
    """Write what the curator of `RUN#stage[/part]` made into `to`, an empty or new folder. Raises `UsageError`.

    `train.jsonl` has a row a problem: `prompt`, `chosen` and `rejected` (preference pairs) or `prompt` and
    `completion`, conversations; `images`, PNG files in `images/` by their pixels' hash; and `id`, `question`, `answer`,
    `kind`, `solution`, `origin`.
    """
    refuse_full(to)
    curated = read_curated(target)
    paired = [one.rejected is not None for one in curated.problems]
    if any(paired) and not all(paired):
        raise UsageError(f"`{target}` has pairs and single answers; export one of its parts: `RUN#stage/part`.")
    require_space(to)
    shown = any(problem.images for problem in curated.problems)
    with sealed_folder(to) as folder:
        rows, seen = list[dict[str, Any]](), dict[str, str]()
        for problem in curated.problems:
            images = {"images": [saved(image, folder, seen) for image in problem.images]} if shown else {}
            rows.append(row_of(problem, curated.style, shown) | images)
        lines = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        write_text(folder / ROWS, writable(lines))
        write_text(folder / CARD, about(target, curated, any(paired), shown))
    return Exported("data", to)


def row_of(problem: Problem, style: AnswerStyle[Any], shown: bool) -> dict[str, Any]:
    """One problem as a row, without its images; `shown`: whether any problem of the data has some."""
    row: dict[str, Any] = {"id": problem.id, "prompt": chat(asked(problem, style), shown)}
    if problem.rejected is not None:
        row |= {"chosen": said(problem.solution, shown), "rejected": said(problem.rejected, shown)}
    else:
        row |= {"completion": said(problem.solution, shown), "solution": problem.solution}
    row |= {"question": chat(problem.messages, shown), "answer": problem.gold, "kind": problem.kind}
    own = {name: problem.extra[name] for name in ("chosen_from", "rejected_from", "part") if name in problem.extra}
    return row | ({"origin": own} if own else {})


def said(text: str | None, shown: bool) -> list[dict[str, Any]]:
    """The assistant's turn."""
    return chat((Message("assistant", (Text(text or ""),)),), shown)


def chat(messages: Sequence[Message], shown: bool) -> list[dict[str, Any]]:
    """Messages with content as parts where the data has images, as plain text where it has none."""
    return [{"role": one.role, "content": parts(one) if shown else plain(one)} for one in messages]


def parts(message: Message) -> list[dict[str, str]]:
    """A message's content as parts in order."""
    return [{"type": "image"} if isinstance(p, Image) else {"type": "text", "text": p.text} for p in message.parts]


def plain(message: Message) -> str:
    """A message's content as text."""
    return "".join(part.text for part in message.parts if isinstance(part, Text))


def saved(image: Image, folder: Path, seen: dict[str, str]) -> str:
    """Where an image is in the folder, written when it is the first of its key (`seen`: key -> path in `folder`)."""
    if image.key not in seen:
        picture = image.load().convert("RGB")
        name = hashlib.sha256(picture.tobytes() + repr(picture.size).encode()).hexdigest()[:24]
        seen[image.key] = f"{IMAGES}/{name}.png"
        (folder / IMAGES).mkdir(exist_ok=True)
        picture.save(folder / seen[image.key], "PNG")
    return seen[image.key]


def about(target: str, curated: Curated, paired: bool, shown: bool) -> str:
    """The folder's README."""
    return ABOUT.format(
        target=target,
        count=len(curated.problems),
        what="preference pairs" if paired else "worked answers",
        use=curated.use,
        columns="`prompt`, `chosen`, `rejected`" if paired else "`prompt`, `completion`",
        imports="Image, List, " if shown else "",
        rows=ROWS,
        cast='.cast_column("images", List(Image()))' if shown else "",
    )
