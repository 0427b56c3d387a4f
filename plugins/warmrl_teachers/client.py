"""Asks several servers of one model over HTTP: whom next, how long, how often again."""

from __future__ import annotations

import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from warmrl.api import ServiceError, UsageError
from warmrl_teachers.config import ServerConfig

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741

# Names of this machine.
LOCAL = ("127.0.0.1", "localhost", "::1")
# Refusals that pass by themselves; so do all from 500 on.
PASSING = (408, 425, 429)
# Longest wait between two tries, and longest that a server may ask for, in seconds.
LONGEST_WAIT, LONGEST_ASKED = 60.0, 600.0
# Seconds for which a server that failed is passed over while others are well.
PASSED_OVER = 30.0
# What a parser of a reply runs into when the reply is not of the form.
BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)


class Again(Exception):
    """A try failed in a way that may pass. `after`: seconds that the server asked to wait."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Stopped(Exception):
    """Another request has failed, and with it all of them."""


class Refused(ServiceError):
    """The server said no, and will say it again. `status` is HTTP's."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Requests to the servers of `config`, from any thread. Raises `UsageError` when the key's variable is not set."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.servers = Servers(config.urls, config.deadline)
        self.stopped = threading.Event()
        self.key = key_of(config.api_key_env)
        self.http = httpx2.Client(
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=config.deadline,
            verify=any(url.startswith("https:") for url in config.urls),  # loading certificates takes long
            limits=httpx2.Limits(max_connections=config.concurrency),
            trust_env=not all(urlsplit(url).hostname in LOCAL for url in config.urls),  # no proxy in between
        )

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def each(self, work: Callable[[I], T], items: Iterable[I]) -> list[T]:
        """`work` on every item in `concurrency` threads, in order; the first error ends all of them."""

        def guarded(one: I) -> T:
            try:
                return work(one)
            except BaseException:
                self.stopped.set()
                raise

        self.stopped.clear()
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            futures = [pool.submit(guarded, one) for one in items]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException:
                self.stopped.set()
                raise
            finally:
                pool.shutdown(cancel_futures=self.stopped.is_set())
        errors = [one.exception() for one in futures if not one.cancelled()]
        for error in errors:
            if error is not None and not isinstance(error, Stopped):
                raise error
        return [one.result() for one in futures]

    def ask(self, path: str, body: Any, read: Callable[[Any], T], *, root: bool = False) -> T:
        """POST `body` (None: GET) as JSON until a reply can be `read`, one of a good form and count.

        Args:
            path: Appended to the address, or with `root` to the address without its `/v1`.
            body: JSON values.
            read: Takes the reply's JSON; what it raises of `BROKEN` counts as a broken reply and is tried again.
            root: For paths outside OpenAI's.

        Raises:
            Refused: The server refuses the request as such (4xx).
            ServiceError: No whole reply after all retries.
        """
        tries = self.config.retries + len(self.config.urls)  # each server may be found dead once
        delay, why = 0.0, ""
        for number in range(tries):
            server, well, held = self.servers.choose()
            if self.stopped.wait(max(0.0 if well else delay, held)):
                raise Stopped
            base = self.config.urls[server]
            url = (base.removesuffix("/v1") if root else base) + path
            try:
                found = parsed(self._send(url, body), read)
            except Again as again:
                self.servers.failed(server, again.after)
                delay = min(self.config.backoff * 2**number, LONGEST_WAIT) * random.uniform(0.5, 1.0)  # noqa: S311
                why = f"{url}: {again}"
            else:
                self.servers.answered(server)
                return found
        raise ServiceError(
            f"The teacher `{self.config.model}` gave no usable reply in {tries} tries; the last one failed with {why}. "
            "See to the server and run the same command again: replies that came are kept."
        )

    def _send(self, url: str, body: Any) -> bytes:
        """One try: the body of a good reply."""
        limit, held = self.config.deadline, bytearray()
        until = time.monotonic() + limit
        try:
            with self.http.stream("GET" if body is None else "POST", url, json=body) as reply:
                for part in reply.iter_bytes():
                    held += part
                    if time.monotonic() > until:
                        raise Again(f"no whole reply within {limit:g} s")
        except httpx2.TimeoutException:
            raise Again(f"no reply within {limit:g} s") from None
        except httpx2.RequestError as error:
            raise Again(f"{type(error).__name__}: {error}") from None
        if reply.status_code == 200:
            return bytes(held)
        what = said(reply.status_code, bytes(held), self.key)
        if reply.status_code in PASSING or reply.status_code >= 500:
            raise Again(what, asked_to_wait(reply.headers.get("retry-after")))
        raise Refused(f"The teacher `{self.config.model}` refused a request: {url}: {what}.", reply.status_code)


class Servers:
    """Which server is asked next: each in turn, one that failed only when the others did, or now and then, once."""

    def __init__(self, urls: list[str], deadline: float) -> None:
        self.count, self.deadline, self.turn = len(urls), deadline, 0
        self.over = [0.0] * self.count
        self.held = [0.0] * self.count
        self.lock = threading.Lock()

    def choose(self) -> tuple[int, bool, float]:
        """A server's number, whether it is well as far as is known, and the seconds it asked to be left alone for."""
        with self.lock:
            now = time.monotonic()
            order = [(self.turn + step) % self.count for step in range(self.count)]
            self.turn += 1
            chosen = min(order, key=lambda one: max(self.over[one] - now, 0.0))
            well = self.over[chosen] <= now
            if self.over[chosen]:  # one try finds out for all
                self.over[chosen] = now + self.deadline
            return chosen, well, max(self.held[chosen] - now, 0.0)

    def failed(self, server: int, asked: float) -> None:
        """Pass it over for a while; leave it alone for the seconds that it `asked` for."""
        with self.lock:
            now = time.monotonic()
            self.over[server] = now + max(PASSED_OVER, asked)
            self.held[server] = max(self.held[server], now + asked)

    def answered(self, server: int) -> None:
        """It is well."""
        with self.lock:
            self.over[server] = 0.0


def key_of(variable: str | None) -> str:
    """The key that an environment variable holds; empty when none is named."""
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"`teacher.api_key_env` names the environment variable `{variable}`, and it is not set; export the key."
        )
    return key


def parsed(body: bytes, read: Callable[[Any], T]) -> T:
    """What `read` makes of a reply."""
    try:
        return read(json.loads(body))
    except BROKEN as error:
        raise Again(f"a broken reply ({type(error).__name__}: {one_line(str(error))})") from None


def said(status: int, body: bytes, key: str) -> str:
    """A refusal in words: the status and what the server gave as the reason, without the key if it repeats that."""
    text = body.decode(errors="replace")
    return f"HTTP {status} ({one_line(text.replace(key, '***') if key else text) or 'no reason given'})"


def one_line(text: str) -> str:
    """The first 300 characters, without line breaks."""
    return " ".join(text.split())[:300]


def asked_to_wait(header: str | None) -> float:
    """Seconds of a `Retry-After` header (RFC 9110: a number, or a date); 0 for none and for nonsense."""
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return 0.0
        seconds = (date.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_ASKED) if math.isfinite(seconds) else 0.0
