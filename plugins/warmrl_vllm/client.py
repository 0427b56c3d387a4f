"""Talks to one vLLM server: every request has a deadline, and whatever goes wrong is one sentence."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import httpx2

from warmrl.api import ServiceError

# A server that is alive answers this at once, whatever it computes.
HEALTH_DEADLINE = 10.0
TOKEN = "WARMRL_VLLM_TOKEN"  # noqa: S105 - the name of a variable


class Missing(Exception):
    """The server has not (or no longer) got some images."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__(f"missing: {keys}")
        self.keys = keys


class Client:
    """One server. Raises `ServiceError` for all that is not an answer.

    Args:
        url: Where it listens.
        deadline: Seconds it has for an answer, from the first byte sent to the last one received.
    """

    def __init__(self, url: str, deadline: float) -> None:
        self.url, self.deadline = url.rstrip("/"), deadline
        token = os.environ.get(TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx2.Client(headers=headers, trust_env=False, follow_redirects=False)

    def health(self) -> dict[str, Any]:
        """Which model and weights it has."""
        return self._ask("GET", "/health", None, min(HEALTH_DEADLINE, self.deadline))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises `Missing` when it wants images sent again."""
        return self._ask("POST", path, json.dumps(body).encode(), self.deadline)

    def _ask(self, method: str, path: str, body: bytes | None, deadline: float) -> dict[str, Any]:
        until = time.monotonic() + deadline
        timeout = httpx2.Timeout(deadline, connect=min(HEALTH_DEADLINE, deadline))
        try:
            with self.http.stream(method, self.url + path, content=body, timeout=timeout) as response:
                content = bytearray()
                for part in response.iter_bytes():
                    content += part
                    if time.monotonic() > until:  # httpx's own timeout is for each part
                        raise httpx2.ReadTimeout("the answer goes on for too long")
        except httpx2.ConnectTimeout as error:
            raise self.failed("cannot be reached in time") from error
        except httpx2.TimeoutException as error:
            raise self.failed(f"did not answer `{path}` within {deadline:g} s (the sampler's `deadline`)") from error
        except httpx2.ConnectError as error:
            raise self.failed(f"is not there ({error})") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self.failed(f"broke off its answer to `{path}` ({type(error).__name__}: {error})") from error
        return self.understood(path, response.status_code, bytes(content))

    def understood(self, path: str, status: int, content: bytes) -> dict[str, Any]:
        """The answer's fields."""
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            shown = content[:80].decode(errors="replace")
            raise self.failed(f"answered `{path}` with status {status} and no JSON object: {shown!r}")
        if isinstance(answer.get("missing"), list):
            raise Missing([str(one) for one in answer["missing"]])
        if status != httpx2.codes.OK:
            raise self.failed(f"refused `{path}` (status {status}): {answer.get('error', 'without a reason')}")
        return answer

    def failed(self, what: str) -> ServiceError:
        """The sentence about it."""
        return ServiceError(f"The vLLM server at {self.url} {what}. Is `warmrl vllm-serve` running there?")

    def close(self) -> None:
        """Give the connections back."""
        self.http.close()
