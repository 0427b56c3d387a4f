"""A contact sheet: what the figures look like, for a person."""

from __future__ import annotations

import numpy as np
from PIL import Image as PILImage

from warmrl_pocket.charts import KINDS as CHARTS
from warmrl_pocket.geometry import KINDS as GEOMETRY
from warmrl_pocket.kinds import draw_figure

COLUMNS = 6
GAP = 2  # pixels between figures


def contact_sheet(split: str = "train") -> PILImage.Image:
    """Six figures of every kind, a row per kind, charts last, at twice their size."""
    rows = []
    for kind in (*GEOMETRY.values(), *CHARTS.values()):
        figures = [draw_figure(f"sheet/{kind.name}/{column}", [kind], split) for column in range(COLUMNS)]
        rows.append(np.hstack([np.pad(figure.pixels(), GAP, constant_values=128) for figure in figures]))
    sheet = PILImage.fromarray(np.vstack(rows))
    return sheet.resize((2 * sheet.width, 2 * sheet.height), PILImage.Resampling.NEAREST).quantize(16)
