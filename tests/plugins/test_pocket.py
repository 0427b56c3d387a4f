"""The pocket: figures that follow from their ids, splits that share nothing, and weights that are what they claim."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from warmrl_pocket import SHIPPED, WEIGHTS, warmrl_find_checkpoint
from warmrl_pocket.batches import CELLS, figure_batch, reading_batch, text_batch, trace_batch
from warmrl_pocket.build import SIZES, build_model, build_processor, build_tokenizer
from warmrl_pocket.charts import KINDS as CHARTS
from warmrl_pocket.charts import PocketCharts
from warmrl_pocket.config import ChartsConfig, GeometryConfig, Phase, PretrainConfig
from warmrl_pocket.geometry import KINDS as GEOMETRY
from warmrl_pocket.geometry import PocketGeometry
from warmrl_pocket.kinds import SPLITS, draw_figure, generator
from warmrl_pocket.pretrain import make_optimizer, pretrain
from warmrl_pocket.release import MANIFEST, check_manifest, evaluate
from warmrl_pocket.traces import clean, gold, mixed

from warmrl.api import UsageError, WarmrlError

BANDS = {"base": {"greedy": (0.15, 0.55), "pass_16": (0.5, 0.9)}, "teacher": {"greedy": (0.9, 1.0)}}
TINY = {"steps": 1, "learning_rate": 1e-3}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def some(split: str, size: int = 300, seed: int = 0) -> list:
    return list(PocketGeometry(GeometryConfig(split=split, size=size, seed=seed)).problems())


def test_splits_share_no_problem_and_no_label_combination() -> None:
    problems = {split: some(split, 1000) for split in SPLITS}
    for first in SPLITS:
        for second in SPLITS:
            if first != second:
                assert not {p.id for p in problems[first]} & {p.id for p in problems[second]}
                assert not {p.cluster for p in problems[first]} & {p.cluster for p in problems[second]}
    for kind in (*GEOMETRY.values(), *CHARTS.values()):
        assert sorted(c for part in kind.splits.values() for c in part) == sorted(kind.combinations)
        assert all(kind.splits.values())


def test_another_seed_draws_other_problems_of_the_same_split() -> None:
    clusters = {p.cluster for p in some("train", 2000)}
    assert {p.cluster for p in some("validation", 300, seed=7)}.isdisjoint(clusters)
    assert not {p.id for p in some("train")} & {p.id for p in some("train", seed=7)}


def test_the_same_id_gives_the_same_bytes_and_they_are_golden() -> None:
    first, second = (np.asarray(some("train", 3)[2].images[0].load()) for _ in range(2))
    assert first.shape == (96, 96, 3) and (first == second).all()
    figure = draw_figure("golden", list(GEOMETRY.values()), "train")
    assert hashlib.sha256(figure.pixels().tobytes()).hexdigest()[:16] == "86f2167fdff7657c"


def test_problems_carry_their_answer_and_a_trace_that_ends_in_it() -> None:
    config = ChartsConfig(split="test", limit=50)
    for problem in [*some("test", 50), *PocketCharts(config).problems()]:
        assert problem.solution is not None
        assert problem.solution.endswith(f"<answer> {problem.gold} </answer>")
        assert len(problem.images) == 1
    assert PocketCharts(config).fingerprint() != PocketCharts(ChartsConfig(split="train", limit=50)).fingerprint()


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="no kind `pentagon`; it has rectangle_area"):
        PocketGeometry(GeometryConfig(kinds=("pentagon",))).problems()
    assert {p.extra["figure"] for p in PocketGeometry(GeometryConfig(kinds=("segment",), size=20)).problems()} == {
        "segment"
    }


def test_the_tokenizer_gives_back_every_text_that_the_pocket_writes() -> None:
    tokenizer, rng = build_tokenizer(), np.random.default_rng(0)
    kinds = [*GEOMETRY.values(), *CHARTS.values()]
    for number in range(600):
        figure = draw_figure(str(number), kinds, "train")
        for text in (gold(figure), clean(figure, rng), mixed(figure, rng), figure.kind.question):
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert tokenizer.decode(ids) == text
            assert tokenizer.unk_token_id not in ids
            assert len(ids) < 32


def test_batches_are_what_the_processor_makes() -> None:
    processor = build_processor()
    drawn = [draw_figure(str(number), list(GEOMETRY.values()), "train") for number in range(3)]
    batch = trace_batch(drawn, [gold(figure) for figure in drawn], processor.tokenizer)
    for row, figure in enumerate(drawn):
        message = figure.problem("").messages[0]
        image, text = message.parts
        content = [{"type": "image", "image": image.load()}, {"type": "text", "text": text.text}]
        made = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        prompt = made["input_ids"][0]
        assert torch.equal(batch.tokens[row, : len(prompt)], prompt)
        assert (prompt == processor.image_token_id).sum() == CELLS
        assert torch.equal(batch.pixels[row], made["pixel_values"][0])


def test_pretraining_never_sees_a_chart_or_a_combination_of_another_split(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = draw_figure

    def spy(name: str, kinds: list, split: str) -> object:
        seen.append((split, {kind.name for kind in kinds}))
        return original(name, kinds, split)

    monkeypatch.setattr("warmrl_pocket.batches.draw_figure", spy)
    tokenizer = build_tokenizer()
    figure_batch(np.random.default_rng(0), 8, tokenizer, clean)
    reading_batch(np.random.default_rng(0), 2, tokenizer)
    assert text_batch(np.random.default_rng(0), 2, tokenizer).pixels is None
    assert seen == [("train", set(GEOMETRY))] * 8  # never `validation` or `test`
    assert not set(GEOMETRY) & set(CHARTS)


def test_pretraining_is_a_function_of_its_draws_and_goes_on_from_any_step() -> None:
    config = PretrainConfig(
        steps=5,
        glyphs=Phase(**TINY, images=2),
        text=Phase(**TINY, sentences=2),
        reading=Phase(**TINY, readings=2),
        clean=Phase(**TINY, readings=1, sentences=1, clean=2),
        mixed=Phase(**TINY, mixed=2),
    )
    tokenizer = build_tokenizer()

    def draws(step: int) -> np.random.Generator:
        return generator(f"test/{step}")

    whole = build_model(SIZES["random"])
    pretrain(whole, tokenizer, config, draws, make_optimizer(whole, config), lambda step, row: None)

    parts, kept = build_model(SIZES["random"]), {}
    optimizer = make_optimizer(parts, config)

    def keep(step: int, row: dict[str, float]) -> None:
        if step == 2:
            kept["weights"] = {name: value.clone() for name, value in parts.state_dict().items()}
            kept["optimizer"] = torch.load(_saved(optimizer), weights_only=True)

    pretrain(parts, tokenizer, config, draws, optimizer, keep)
    again = build_model(SIZES["random"], seed=1)
    again.load_state_dict(kept["weights"])
    optimizer = make_optimizer(again, config)
    optimizer.load_state_dict(kept["optimizer"])
    pretrain(again, tokenizer, config, draws, optimizer, lambda step, row: None, first=2)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name])
        assert torch.equal(value, again.state_dict()[name]), name


def _saved(optimizer: torch.optim.Optimizer) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return file


def test_steps_must_be_the_sum_of_the_phases() -> None:
    with pytest.raises(ValueError, match="the sum of the phases' steps"):
        PretrainConfig(steps=3)


def test_random_checkpoints_are_made_once_and_unknown_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = warmrl_find_checkpoint("pocket:random")
    assert folder is not None and (folder / "model.safetensors").exists()
    assert warmrl_find_checkpoint("pocket:random") == folder
    assert warmrl_find_checkpoint("other:thing") is None
    with pytest.raises(UsageError, match="no checkpoint `pocket:huge`"):
        warmrl_find_checkpoint("pocket:huge")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_what_the_manifest_says(name: str, tmp_path: Path) -> None:
    manifest = check_manifest(WEIGHTS / name)
    for measure, (low, high) in BANDS[name].items():
        assert low <= manifest["validation"][measure] <= high
    copy = tmp_path / name
    shutil.copytree(WEIGHTS / name, copy)
    with (copy / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(WarmrlError, match=f"config.json is not the file that {MANIFEST} names"):
        check_manifest(copy)


def test_shipped_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 6 * 2**20


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_score_in_their_band(name: str) -> None:
    score = evaluate(WEIGHTS / name, some("validation", 64), samples=2)
    low, high = BANDS[name]["greedy"]
    assert low - 0.1 <= score.greedy <= high


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_score_what_the_manifest_says(name: str) -> None:
    promised = check_manifest(WEIGHTS / name)["validation"]
    score = vars(evaluate(WEIGHTS / name, some("validation", promised["problems"])))
    for measure in ("greedy", "pass_1", "pass_16", "entropy"):
        assert score[measure] == pytest.approx(promised[measure], abs=0.03)
