"""How fast the page of a study opens cold in Chromium: python -m bench.study_page (6 arms, 3 seeds, 300 problems).

Every opening is a new browser with an empty profile. In milliseconds, medians: from the start of the process until the
page is loaded, the same for a bare page (what the browser itself takes), the page's own first paint and load, until
the last figure is drawn, and how long the page's thread was busy until then; and the size of the page and of what in it
isn't plotly's script, in bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from bench.chromium import Chromium
from tests.report.simulated_study import Simulation
from warmrl.report.html import render
from warmrl.report.study import build

BARE = "<!DOCTYPE html><html lang=en><title>bare</title><p>bare"
DRAWN = "[...document.querySelectorAll('.plot')].every((one) => one.classList.contains('js-plotly-plot'))"
PAINT = "performance.getEntriesByType('paint').find((one) => one.name === 'first-contentful-paint')?.startTime"
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"


def page(problems: int, draws: int) -> str:
    """The page of a simulated study of six arms and three seeds."""
    study = Simulation(suites={"validation": (0.0, problems), "charts": (0.8, problems)}, draws=draws)
    return render(build(study.known()))


def opened(file: Path) -> dict[str, float]:
    """One cold opening, in milliseconds."""
    with Chromium() as browser:
        browser.ask("Performance.enable", timeDomain="threadTicks")
        browser.open(file)
        found = {"open": since(browser), "busy until open": busy(browser)}
        browser.wait(DRAWN)
        found |= {"drawn": since(browser), "busy until drawn": busy(browser)}
        browser.wait(f"{LOADED} > 0")
        found["load"] = browser.evaluate(LOADED)
        found["paint"] = browser.evaluate(PAINT) or found["load"]
        if complaints := browser.complaints():
            raise RuntimeError(f"The page complains: {complaints[0]}")
    return found


def busy(browser: Chromium) -> float:
    """Milliseconds of a processor that the page's main thread has used: the same on a machine that is shared."""
    metrics = browser.ask("Performance.getMetrics")["metrics"]
    return 1000 * float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def since(browser: Chromium) -> float:
    """Milliseconds since the browser's process began."""
    return 1000 * (time.perf_counter() - browser.started)


def measured(problems: int, draws: int, times: int) -> dict[str, Any]:
    """Medians over openings, the bare page and the study's in turn."""
    text = page(problems, draws)
    with tempfile.TemporaryDirectory() as folder:
        files = {"bare": Path(folder) / "bare.html", "study": Path(folder) / "report.html"}
        files["bare"].write_text(BARE)
        files["study"].write_text(text, "utf-8")
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in files}
        for _ in range(times):
            for name, file in files.items():
                runs[name].append(opened(file))
    found: dict[str, Any] = {
        name: {key: round(statistics.median(run[key] for run in own)) for key in own[0]} for name, own in runs.items()
    }
    found["ratio of open"] = round(found["study"]["open"] / found["bare"]["open"], 2)
    size = len(text.encode())
    return found | {"bytes": size, "bytes without plotly": size - len(get_plotlyjs().encode())}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--times", type=int, default=7)
    print(json.dumps(measured(**vars(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
