"""The HTTP side of a server: JSON in and out; the engine has the main thread, one request at a time.

`GET /health`; `POST /load`, `/sync`, `/sample`, `/rest`, `/shutdown`.
"""

from __future__ import annotations

import hmac
import json
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from warmrl.api import WarmrlError
from warmrl_vllm.service import Refused, Service

MOST = 4 * 2**30
Job = Callable[[], dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds without a byte of a request
    server: Server

    def do_GET(self) -> None:
        """`/health` alone; it never waits for the engine."""
        self.answer(lambda: self.server.service.health() if self.path == "/health" else not_found(self.path))

    def do_POST(self) -> None:
        """Everything else waits its turn."""
        self.answer(self.work)

    def work(self) -> dict[str, Any]:
        """Read the request and have it done."""
        length = int(self.headers.get("Content-Length", "-1"))
        if not 0 <= length <= MOST:
            self.close_connection = True
            raise Refused(413, error=f"its body has {length} bytes")
        body = json.loads(self.rfile.read(length) or b"{}")
        if not isinstance(body, dict):
            raise Refused(400, error="its body is no JSON object")
        if self.path == "/shutdown":
            self.server.jobs.put(None)
            return {}
        do = getattr(self.server.service, self.path[1:]) if self.path in PATHS else None
        return self.server.done(lambda: do(body)) if do else not_found(self.path)

    def answer(self, make: Job) -> None:
        """Send what comes of it, as JSON, whatever happens."""
        try:
            self.allowed()
            status, answer = 200, make()
        except Refused as error:
            status, answer = error.status, error.answer
        except WarmrlError as error:
            status, answer = 500, {"error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            status, answer = 400, {"error": f"the request cannot be read ({type(error).__name__}: {error})"}
        except (ConnectionError, TimeoutError):
            self.close_connection = True
            return
        except Exception as error:
            status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def allowed(self) -> None:
        """No web page may ask, and no stranger where there is a token."""
        if self.headers.get("Origin"):
            self.close_connection = True
            raise Refused(403, error="requests of web pages are not answered")
        token, given = self.server.token, self.headers.get("Authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            self.close_connection = True
            raise Refused(401, error="the token in WARMRL_VLLM_TOKEN is missing or another")

    def log_message(self, *_: Any) -> None:
        """Requests are not logged."""


PATHS = ("/load", "/sync", "/sample", "/rest")


def not_found(path: str) -> dict[str, Any]:
    """Raises `Refused`."""
    raise Refused(404, error=f"there is no `{path}`")


class Server(ThreadingHTTPServer):
    """Listens in threads, works in the one that calls `work`.

    Args:
        address: Host and port; port 0 takes a free one.
        service: What is served.
        token: What requests must bring, if anything.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], service: Service, token: str | None = None) -> None:
        super().__init__(address, Handler)
        self.service, self.token = service, token
        self.ended = False
        self.jobs: queue.Queue[tuple[Future[dict[str, Any]], Job] | None] = queue.Queue()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"

    def done(self, job: Job) -> dict[str, Any]:
        """Have a job done by the working thread, and wait for it."""
        future: Future[dict[str, Any]] = Future()
        self.jobs.put((future, job))
        if self.ended:
            raise Refused(503, error="it is ending")
        return future.result()

    def work(self) -> None:
        """Listen, and do jobs in order until one says to stop."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        try:
            while (job := self.jobs.get()) is not None:
                future, do = job
                try:
                    future.set_result(do())
                except Exception as error:
                    future.set_exception(error)
        finally:
            self.ended = True
            self.shutdown()
            self.server_close()
            self.service.close()

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""
