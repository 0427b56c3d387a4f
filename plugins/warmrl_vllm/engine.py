"""One vLLM engine in this process: its weights are always pushed, its caches emptied with them."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from warmrl.api import ServiceError, UsageError
from warmrl_vllm.asks import Ask, Drawn, Prompt, Rules

LOAD_FORMAT = "warmrl"
# vLLM's strongest logit bias; what is sampled is checked as well.
NEVER = -100.0


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is started: share of the device's memory, longest sequence, compilation, sleep, other processes."""

    memory: float
    max_model_len: int | None = None
    eager: bool = False
    sleep: bool = False
    launched: bool = False


class Engine:
    """A vLLM engine for the model that a folder describes. It has no weights worth sampling from before `load`.

    Args:
        folder: A transformers configuration with its processor (see `model_folder`).
        dtype: Name of the precision it computes in.
        settings: How it is started.
    """

    def __init__(self, folder: Path, dtype: str, settings: EngineSettings) -> None:
        LLM = imported()
        self.sleeps = settings.sleep and torch.cuda.is_available()
        options: dict[str, Any] = {"max_model_len": settings.max_model_len} if settings.max_model_len else {}
        if settings.launched:
            options["distributed_executor_backend"] = "external_launcher"
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        try:
            with torch.random.fork_rng(devices=devices):  # vLLM seeds this process's generators when it starts
                self.llm = LLM(
                    str(folder),
                    load_format=LOAD_FORMAT,
                    dtype=dtype,
                    seed=0,
                    enforce_eager=settings.eager,
                    gpu_memory_utilization=settings.memory,
                    enable_sleep_mode=self.sleeps,
                    logprobs_mode="raw_logprobs",
                    generation_config="vllm",
                    limit_mm_per_prompt={"video": 0},
                    **options,
                )
        except Exception as error:  # of whatever kind
            raise UsageError(f"vLLM cannot start on {folder}: {error}") from error
        self.joined = settings.launched
        self.longest = int(self.llm.model_config.max_model_len)

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Take weights under a transformers checkpoint's names, and forget what was computed with the old ones.

        Raises `ServiceError` when some of the engine's own were not among them, or vLLM fails.
        """
        try:
            missing = self._take(weights)
        except ServiceError:
            raise
        except Exception as error:  # of whatever kind: no memory to wake up in is the likeliest
            raise ServiceError(f"vLLM could not take the policy's weights: {type(error).__name__}: {error}") from error
        if missing:
            raise ServiceError(
                f"vLLM has weights that the policy does not name, so they would keep their old values: "
                f"{', '.join(missing[:4])} ({len(missing)} in all). The sampler `transformers` takes this model."
            )
        self.forget()

    def _take(self, weights: Iterable[tuple[str, Tensor]]) -> list[str]:
        """The names of the engine's weights that were not among those given; it is awake afterwards."""
        asleep = self.sleeps and self.llm.llm_engine.is_sleeping()
        if asleep:
            self.llm.wake_up(tags=["weights"])
        missing = self.llm.collective_rpc(taken, args=(weights,))[0]
        if asleep:
            self.llm.wake_up(tags=["kv_cache"])
        return list(missing)

    def forget(self) -> None:
        """Empty what depends on weights: keys and values of prompts, and features of images."""
        if not self.llm.reset_prefix_cache():
            raise ServiceError("vLLM did not empty its prefix cache after an update of the weights.")
        self.llm.llm_engine.reset_encoder_cache()

    def sample(self, asks: Sequence[Ask], rules: Rules, image: Callable[[str], Any]) -> list[list[Drawn]]:
        """A completion for each seed of each prompt; `image` opens a key's. Raises `ServiceError`."""
        wanted = [(one, seed) for one in asks for seed in one.seeds]
        pictures = opened((one.prompt for one in asks), image)
        outputs = self._run(
            [given(one.prompt, pictures) for one, _ in wanted],
            [sampling(one, seed, rules) for one, seed in wanted],
            [len(one.prompt.expanded) + one.max_tokens for one, _ in wanted],
        )
        found = iter([drawn(one, output, rules) for (one, _), output in zip(wanted, outputs, strict=True)])
        return [[next(found) for _ in one.seeds] for one in asks]

    def _run(self, prompts: list[Any], params: list[Any], lengths: list[int]) -> list[Any]:
        if lengths and max(lengths) > self.longest:
            raise ServiceError(
                f"A prompt with its completion may have {max(lengths)} tokens and vLLM takes {self.longest}: set "
                "`max_model_len` higher, or `max_tokens` lower."
            )
        try:
            return self.llm.generate(prompts, params, use_tqdm=False) if prompts else []
        except Exception as error:
            raise ServiceError(f"vLLM failed at a block of {len(prompts)} completions: {error}") from error

    def rest(self) -> bool:
        """Give memory back on an accelerator, the weights' too: they must be loaded again. Whether it did."""
        if self.sleeps:
            self.llm.sleep(level=2)
        return self.sleeps

    def close(self) -> None:
        """Release everything, for another engine to be started."""
        with group_kept(self.joined):
            self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def group_kept(keep: bool) -> Iterator[None]:
    """Let vLLM's shutdown destroy its own process groups and not, when `keep`, the run's, which it joined.

    vLLM 0.30 ends with `torch.distributed.destroy_process_group()`, whoever made the group.
    """
    destroy = dist.destroy_process_group

    def destroy_own(group: Any = None) -> None:
        if group not in (None, dist.group.WORLD):
            destroy(group)

    if keep:
        dist.destroy_process_group = destroy_own
    try:
        yield
    finally:
        dist.destroy_process_group = destroy


def imported() -> Any:
    """vLLM's engine class, with the engine in this very process. Raises `UsageError` when it isn't installed."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # weights are handed over as tensors
    for name, value in (("VLLM_LOGGING_LEVEL", "ERROR"), ("VLLM_NO_USAGE_STATS", "1")):
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as error:
        raise UsageError(
            f"The sampler `vllm` needs vLLM, which cannot be imported ({error}): install it with "
            "`pip install -c constraints.txt '.[vllm]'`."
        ) from error
    import warmrl_vllm.placeholder_weights  # noqa: F401 - registers the load format

    return LLM


@torch.no_grad()
def taken(worker: Any, weights: Iterable[tuple[str, Tensor]]) -> list[str]:
    """vLLM's own reload, on a worker; the names of its weights that were not among those given.

    As `GPUModelRunner.reload_weights` (0.30), which logs the missing ones and goes on.
    """
    from vllm.config import set_current_vllm_config
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

    model = worker.model_runner.get_model()
    with set_current_vllm_config(worker.vllm_config):
        initialize_layerwise_reload(model)
        loaded = model.load_weights(weights)
        parts = [name for name, layer in model.named_modules() if partly_loaded(layer)]
        finalize_layerwise_reload(model, worker.model_runner.model_config)
    return sorted({*parts, *({name for name, _ in model.named_parameters()} - set(loaded))})


def partly_loaded(layer: Any) -> bool:
    """Whether some of a layer's weights came and others did not: one of those that vLLM joins (`gate_up_proj`).

    An embedding never comes whole: vLLM pads the vocabulary.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
    from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

    info = get_layerwise_info(layer)
    waiting = info.can_load() and 0 < info.load_numel < (info.load_numel_total or 0)
    return waiting and not isinstance(layer, VocabParallelEmbedding)


def opened(prompts: Iterable[Prompt], image: Callable[[str], Any]) -> dict[str, Any]:
    """Each image of the prompts, opened once."""
    return {key: image(key) for key in dict.fromkeys(key for one in prompts for key in one.images)}


def given(prompt: Prompt, pictures: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt as vLLM takes it. An image's key names it in vLLM's caches."""
    found: dict[str, Any] = {"prompt_token_ids": list(prompt.ids)}
    if prompt.images:
        found["multi_modal_data"] = {"image": [pictures[key] for key in prompt.images]}
        found["multi_modal_uuids"] = {"image": list(prompt.images)}
    return found


def sampling(ask: Ask, seed: int, rules: Rules) -> Any:
    """vLLM's settings of one completion."""
    from vllm import SamplingParams

    return SamplingParams(
        temperature=ask.temperature,
        top_p=ask.top_p,
        seed=seed % 2**63,  # vLLM keeps them in int64, and takes -1 for none
        max_tokens=ask.max_tokens,
        logprobs=0,
        stop_token_ids=list(rules.stops),
        ignore_eos=True,  # the policy's own stop tokens alone end a completion
        logit_bias=dict.fromkeys(rules.banned, NEVER) or None,
        detokenize=False,
    )


def drawn(ask: Ask, output: Any, rules: Rules) -> Drawn:
    """One completion of vLLM's, checked."""
    ask.prompt.expect(output.prompt_token_ids)
    (one,) = output.outputs
    if one.finish_reason not in ("stop", "length"):
        raise ServiceError(f"vLLM ended a completion with `{one.finish_reason}`.")
    logprobs = (place[token].logprob for token, place in zip(one.token_ids, one.logprobs, strict=True))
    found = Drawn(tuple(int(token) for token in one.token_ids), tuple(float(value) for value in logprobs))
    found.expect_none_of(rules.banned)
    return found
