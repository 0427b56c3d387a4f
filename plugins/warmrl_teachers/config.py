"""Settings of the teachers `local`, `server` and `reward_model`, and of the curator `traces`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from warmrl.api import ADDED, NOT_SEMANTIC, Config, CuratorConfig, TeacherChoice, TeacherConfig


class SpreadTable(Config):
    """How much memory a spread teacher's weights may take; the layers that find no room are read from the disk."""

    device: Annotated[str | None, Field(pattern="^[0-9]+(GiB|MiB|KiB)$")] = None
    """Of the accelerator, `70GiB`; by default 80 % of what is free when it is loaded, and the student's step needs
    some later."""
    cpu: Annotated[str | None, Field(pattern="^[0-9]+(GiB|MiB|KiB)$")] = None
    """Of the host's memory, for each process; by default its share of 80 % of what is free."""


class LocalConfig(TeacherConfig):
    """A teacher in this process: any checkpoint that a recipe's model could be."""

    path: str
    """A folder, a Hub id, a named checkpoint (`pocket:teacher`), or `RUN#stage@step`."""
    model_revision: str | None = None
    """Commit of a Hub id."""
    spread: Annotated[SpreadTable | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """For a teacher larger than the device (`spread = {}`): decoder layers that don't fit stay in host memory or on
    the disk and are brought to the device one by one while they compute. Slower, and the same numbers."""

    def gives(self) -> tuple[Literal["generates", "full"], ...]:
        """Everything: the model is here."""
        return ("generates", "full")

    def checkpoint(self) -> tuple[str, str | None]:
        """Its own."""
        return self.path, self.model_revision

    def makes_do(self) -> bool:
        """When it is spread."""
        return self.spread is not None


class ServerConfig(TeacherConfig):
    """A teacher behind HTTP: any endpoint of OpenAI's form writes answers, a vLLM server also scores."""

    model: str
    """The name it is served by. Answers are kept under it, so one name must always mean the same weights."""
    kind: Literal["openai", "vllm", "reward"] = "openai"
    """What the endpoint is. `openai`: writes answers. `vllm`: vLLM 0.30 or newer, started with `--enable-scale-out`;
    also scores the student's tokens, behind images too (`opd` with `top_k`: also `--max-logprobs`). `reward`: rates
    answers through vLLM's pooling interface, and writes none."""
    urls: Annotated[list[str], Field(min_length=1, json_schema_extra=NOT_SEMANTIC)]
    """Base addresses, `http://127.0.0.1:8000/v1`. Several serve the same model and are asked in turn; one that does
    not answer is passed over while others do."""
    api_key_env: Annotated[str | None, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$", json_schema_extra=NOT_SEMANTIC)] = None
    """Name of the environment variable that holds the key; the key itself is written nowhere."""
    temperature: Annotated[float | None, Field(ge=0)] = None
    """Temperature of its answers, where it must not be the stage's."""
    reasoning: Annotated[bool, Field(json_schema_extra=ADDED)] = False
    """Put the reasoning that a server sends apart (`reasoning_content`) before the answer, in `<think>` tags."""
    price_in: Annotated[float | None, Field(ge=0, json_schema_extra=NOT_SEMANTIC)] = None
    """Price of a million tokens of prompts, in any currency, for what a run says of its cost."""
    price_out: Annotated[float | None, Field(ge=0, json_schema_extra=NOT_SEMANTIC)] = None
    """Price of a million tokens of answers."""
    concurrency: Annotated[int, Field(ge=1, json_schema_extra=NOT_SEMANTIC)] = 16
    """Most requests at once, of each process."""
    deadline: Annotated[float, Field(gt=0, json_schema_extra=NOT_SEMANTIC)] = 120.0
    """Seconds in which one request must be answered."""
    retries: Annotated[int, Field(ge=0, json_schema_extra=NOT_SEMANTIC)] = 5
    """How often a request is sent again after a broken connection, a missed deadline, a broken reply, 429 or 5xx."""
    backoff: Annotated[float, Field(gt=0, json_schema_extra=NOT_SEMANTIC)] = 0.5
    """Seconds before the first retry; doubled each time, with jitter. A server's `Retry-After` goes before."""
    cache: Annotated[bool, Field(json_schema_extra=NOT_SEMANTIC)] = True
    """Keep replies on the disk, so that nothing is asked twice; a scored token takes about 11 bytes for each of
    `top_k`."""
    cache_folder: Annotated[str | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """Where; by default `teacher-cache` beside the store, shared by all runs."""

    @field_validator("urls")
    @classmethod
    def _addresses(cls, urls: list[str]) -> list[str]:
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
                raise ValueError("write `http://host:port/v1`, without a user, a key or a query in it")
        return [url.rstrip("/") for url in urls]

    def gives(self) -> tuple[Literal["generates", "top-k", "sampled", "rates"], ...]:
        """Text, from vLLM also log-probabilities; from a reward model rates alone."""
        if self.kind == "reward":
            return ("rates",)
        return ("generates", "top-k", "sampled") if self.kind == "vllm" else ("generates",)


class RewardModelConfig(TeacherConfig):
    """A reward model in this process: a checkpoint of sequence classification with one label, frozen."""

    path: str
    """A folder or a Hub id that transformers loads as sequence classification, with a chat template."""
    model_revision: str | None = None
    """Commit of a Hub id."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Precision of its weights and work."""
    images: bool = True
    """Show it a problem's images, if its processor takes any; otherwise it reads the text alone."""
    batch: Annotated[int, Field(ge=1, json_schema_extra=NOT_SEMANTIC)] = 8
    """Most answers in one forward pass; changes rates by rounding alone."""
    offload: Annotated[bool, Field(json_schema_extra=NOT_SEMANTIC)] = False
    """Keep it in host memory between two steps' ratings, as VLAA-Thinker's training did (methods B.5)."""

    def gives(self) -> tuple[Literal["rates"], ...]:
        """Rates."""
        return ("rates",)

    def checkpoint(self) -> tuple[str, str | None]:
        """Its own."""
        return self.path, self.model_revision


class TracesConfig(CuratorConfig):
    """A teacher's answers to the problems of `data`, kept when they are right."""

    reads: ClassVar[frozenset[str]] = frozenset({"grader", "sampler"})

    teacher: TeacherChoice
    """Who answers."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 1
    """Answers drawn per problem."""
    keep: Annotated[int, Field(ge=1)] = 1
    """Most right answers kept per problem, the first ones drawn."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature of the teacher."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest answer."""

    def teacher_needs(self) -> tuple[str, ...]:
        """Text."""
        return ("generates",)
