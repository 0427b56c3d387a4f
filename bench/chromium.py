"""Headless Chromium over its debugging pipe: open a page, ask it, take pictures; no port, no other package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Chromium:
    """One browser with a fresh profile, as a context; `started` is when its process began (`time.perf_counter`)."""

    def __init__(self, *flags: str) -> None:
        if CHROMIUM is None:
            raise FileNotFoundError("No `chromium` on PATH.")
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs, self.out = os.pipe()
        self.into, answers = os.pipe()
        command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={self.profile.name}", "about:blank"]
        shell = ["sh", "-c", f'exec "$@" 3<&{theirs} 4>&{answers}', "sh", *command]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(shell, pass_fds=(theirs, answers), stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(answers)
        self.count, self.rest = 0, b""
        self.events: list[dict[str, Any]] = []
        self.session: str | None = None

    def __enter__(self) -> Self:
        page = next(one for one in self.ask("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(30)
        os.close(self.out)
        os.close(self.into)
        self.profile.cleanup()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; events that come between are kept. Raises RuntimeError for a refusal."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            found = self.read()
            if found.get("id") != self.count:
                self.events.append(found)
            elif "error" in found:
                raise RuntimeError(f"{method}: {found['error']}")
            else:
                return dict(found["result"])

    def read(self) -> dict[str, Any]:
        """The next message."""
        while b"\0" not in self.rest:
            part = os.read(self.into, 1 << 20)
            if not part:
                raise RuntimeError("Chromium closed its pipe.")
            self.rest += part
        text, _, self.rest = self.rest.partition(b"\0")
        return dict(json.loads(text))

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file and wait until it is loaded."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        self.ask("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page (of its promise, where it is one)."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 60.0) -> None:
        """Until an expression in the page holds. Raises TimeoutError."""
        until = time.perf_counter() + seconds
        while not self.evaluate(script):
            if time.perf_counter() > until:
                raise TimeoutError(f"{script} did not come true in {seconds:g} s.")
            time.sleep(0.01)

    def complaints(self) -> list[str]:
        """What the page wrote to its console, and errors."""
        self.evaluate("1")
        wanted = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in wanted]

    def picture(self, file: Path, *, whole: bool = True, top: float = 0, height: float = 0) -> None:
        """A PNG of the page: whole, or `height` pixels from `top`."""
        clip = {}
        if height:
            wide = self.evaluate("innerWidth")
            clip = {"clip": {"x": 0, "y": top, "width": wide, "height": height, "scale": 1}}
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole or bool(height), **clip)
        file.write_bytes(base64.b64decode(found["data"]))

    def paper(self, file: Path) -> None:
        """The page printed on A4."""
        found = self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        file.write_bytes(base64.b64decode(found["data"]))
