"""Studies as files: arms laid over one recipe, their cells, and every refusal with its path and what to do."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from warmrl.domain.errors import RecipeError, UsageError
from warmrl.engine import recipe_file, study_file
from warmrl.engine.randomness import generator
from warmrl.engine.recipe_schema import schema
from warmrl.engine.study_cells import cell_of, chosen
from warmrl.engine.study_file import Cell, StudyFile

ROOT = Path(__file__).parent.parent.parent
BASE = """
version = 1
name = "x"
[model]
path = "pocket:base"
[answer]
use = "tags"
[data.train]
use = "pocket_geometry"
[suite.validation]
use = "pocket_geometry"
split = "validation"
[reward.math]
[stage.rl]
use = "grpo"
policy = "warm"
data = "train"
"""
STUDY = '[study]\nseeds = [1, 2]\ncontrol = "none"\nin_domain = "validation"\n'
NONE = '[arm.none.stage.warm]\nuse = "none"\ndata = "train"\n'
SFT = '[arm.sft.stage.warm]\nuse = "sft"\ndata = "train"\nsteps = 3\n'


def study_of(folder: Path, text: str, *sets: str) -> StudyFile:
    file = folder / "study.toml"
    file.write_text(text)
    found = study_file.read(file, sets)
    assert found is not None
    return found


def test_a_recipe_without_arms_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(BASE.replace('"warm"', '"base"'))
    assert study_file.read(tmp_path / "one.toml") is None


def test_the_cells_of_a_study(tmp_path: Path) -> None:
    """All arms of the first seed come first; a cell is an ordinary recipe with its own name, seed and folder."""
    found = study_of(tmp_path, BASE + STUDY + NONE + SFT)
    assert [(one.arm, one.seed) for one in found.cells] == [("none", 1), ("sft", 1), ("none", 2), ("sft", 2)]
    cell = cell_of(found, "sft,2")
    recipe = found.recipe(cell).recipe
    assert (recipe.name, recipe.seed, str(cell.folder)) == ("x-sft-2", 2, "sft/seed-2")
    assert recipe.stage["warm"].use == "sft" and recipe.stage["rl"].use == "grpo"
    assert found.entry("sft") == "warm"
    (tmp_path / "again.json").write_text(json.dumps(found.recipe(cell).resolved()))
    assert recipe_file.read(tmp_path / "again.json").recipe == recipe


def test_a_negative_seed_is_a_seed(tmp_path: Path) -> None:
    found = study_of(tmp_path, BASE + STUDY.replace("[1, 2]", "[1, -1]") + NONE)
    (cell,) = chosen(found, ["seed=-1"])
    assert (found.recipe(cell).recipe.seed, found.recipe(cell).recipe.name) == (-1, "x-none-minus-1")
    assert cell_of(found, "none,-1") == cell and str(cell.folder) == "none/seed--1"
    assert generator(-1, "warm").random() != generator(1, "warm").random()


def test_an_arm_is_laid_over_as_a_child_recipe_is(tmp_path: Path) -> None:
    """Another `use` replaces the table whole, `false` takes it away, anything else merges."""
    arms = (
        '[arm.none.stage]\nwarm = false\n[arm.none.stage.rl]\npolicy = "base"\n'
        "[arm.long.stage.warm]\nsteps = 9\n"
        '[arm.opd.stage.warm]\nuse = "opd"\ndata = "train"\nteacher = { use = "local", path = "pocket:teacher" }\n'
    )
    warm = '[stage.warm]\nuse = "sft"\ndata = "train"\nsteps = 3\nprompts_per_step = 2\n'
    found = study_of(tmp_path, BASE + warm + STUDY + arms)
    tables = {arm: file.recipe.stage for arm, file in found.recipes.items()}
    assert "warm" not in tables["none"] and found.entry("none") == "base"
    long, opd = tables["long"]["warm"].config, tables["opd"]["warm"].config
    assert (long.steps, long.prompts_per_step) == (9, 2)
    assert (opd.steps, opd.prompts_per_step) != (3, 2)


def test_the_whole_study_as_one_table_is_the_same_study(tmp_path: Path) -> None:
    """As a study's folder keeps it: without a parent, `--set` applied."""
    (tmp_path / "base.toml").write_text(BASE)
    own = '[arm.sft.declared]\nmatch = "longer, by design"\n'
    text = 'version = 1\nname = "child"\nextends = "base.toml"\n' + STUDY + NONE + SFT + own
    found = study_of(tmp_path, text, "arm.sft.stage.warm.steps=7", "study.seeds=[4]")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "recipe.json").write_text(json.dumps(found.whole()))
    again = study_file.read(elsewhere / "recipe.json")
    assert again is not None and again.study == found.study and again.declared == found.declared
    assert again.declared["sft"] == {"match": "longer, by design"}
    assert again.recipe(Cell(4, "sft")).resolved() == found.recipe(Cell(4, "sft")).resolved()
    assert again.recipe(Cell(4, "sft")).recipe.stage["warm"].config.steps == 7


REFUSED = {
    "no arm": (STUDY, ["no `[arm.NAME]` table"]),
    "no study": (NONE, ["no `[study]` table", "`control`"]),
    "unknown key": (STUDY + "jobs = 2\n" + NONE, ["`study.jobs`"]),
    "unknown budget": (STUDY + 'match = "steps"\n' + NONE, ["`study.match`", "'steps'", "prompts"]),
    "seed twice": (STUDY.replace("[1, 2]", "[1, 1]") + NONE, ["`study.seeds`", "named twice"]),
    "control is no arm": (STUDY + SFT, ["`study.control`", "`none`", "there are: sft"]),
    "outcome is no stage": (STUDY + 'outcome = "ppo"\n' + NONE, ["`study.outcome`", "`ppo`", "`none`"]),
    "suite": (STUDY.replace("validation", "charts") + NONE, ["`study.in_domain`", "`charts`", "`none`"]),
    "arm is no table": (STUDY + NONE + "[arm]\nsft = 3\n", ["arm"]),
    "arm's name": (STUDY + NONE + SFT.replace("arm.sft", 'arm."s/t"'), ["`arm.s/t`", "names a folder"]),
    "arm's long name": (STUDY + NONE + SFT.replace("arm.sft", f"arm.{'s' * 65}"), ["at most 64"]),
    "arm's foreign letters": (STUDY + NONE + SFT.replace("arm.sft", 'arm."größer"'), ["`arm.größer`", "a to z"]),
    "arm in the study's own folder": (STUDY + NONE + SFT.replace("arm.sft", "arm.Browser"), ["`browser` of its own"]),
    "outcome makes data": (
        STUDY + 'outcome = "t"\n' + NONE + SFT + '[stage.t]\nuse = "traces"\ndata = "train"\n'
        'teacher = { use = "local", path = "pocket:teacher" }\n',
        ["`study.outcome`", "`t`", "trains in `none`, `sft`"],
    ),
    "outcome does not train": (STUDY + 'outcome = "warm"\n' + NONE + SFT, ["no stage of that name trains in `none`."]),
    "entry is not evaluated": ('[eval]\nat = ["base", "rl"]\n' + STUDY + NONE, ["`eval.at` lacks `warm`", "add it"]),
    "end is not evaluated": ('[eval]\nat = ["warm"]\n' + STUDY + NONE, ["`eval.at` lacks `rl`"]),
    "entry between steps": (
        STUDY + NONE + SFT + '[arm.sft.stage.rl]\npolicy = "warm@2"\n',
        ['`eval.at = ["base", "warm@2", "rl"]`'],
    ),
    "warm start that nothing reads": (
        '[eval]\nat = ["base", "rl"]\n' + STUDY + NONE + SFT + '[arm.sft.stage.rl]\npolicy = "base"\n',
        ["In the arm `sft` nothing leads from `warm` to `rl`", "`stage.rl.policy`", "`warm = false`"],
    ),
    "no reason": (STUDY + '[study.declared]\nmatch = " "\n' + NONE + SFT, ["`study.declared.match`"]),
    "in and out of domain": (
        STUDY + 'out_of_domain = ["validation"]\n' + NONE + SFT,
        ["`study.out_of_domain`", "`validation`", "one or the other"],
    ),
    "huge seed": (STUDY.replace("[1, 2]", "[1, 9007199254740992]") + NONE, ["`study.seeds[1]`"]),
    "arm's seed": (STUDY + NONE + "[arm.sft]\nseed = 3\n", ["`arm.sft.seed`", "`study.seeds`"]),
    "arm's model key": (STUDY + NONE + SFT + "stepz = 3\n", ["In the arm `sft`", "`stage.warm.stepz`", "`steps`"]),
    "arm's declared": (STUDY + NONE + "[arm.sft]\ndeclared = 1\n", ["`arm.sft.declared`", "reasons"]),
    "arm's reference": (STUDY + NONE + SFT.replace('"train"', '"trian"'), ["In the arm `sft`", "`trian`"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_study_is_refused(case: str, tmp_path: Path) -> None:
    text, words = REFUSED[case]
    with pytest.raises(RecipeError) as refusal:
        study_of(tmp_path, BASE + text)
    assert refusal.value.exit_code == 2
    for word in ["study.toml", *words]:
        assert word in str(refusal.value), str(refusal.value)


def test_a_study_is_no_recipe_of_one_run(tmp_path: Path) -> None:
    study_of(tmp_path, BASE + STUDY + NONE)
    with pytest.raises(RecipeError, match="is a study"):
        recipe_file.read(tmp_path / "study.toml")


@pytest.mark.parametrize(
    ("only", "cells"),
    [
        ([], ["none,1", "sft,1", "none,2", "sft,2"]),
        (["arm=sft"], ["sft,1", "sft,2"]),
        (["seed=2"], ["none,2", "sft,2"]),
        (["arm=sft,seed=2"], ["sft,2"]),
        (["arm=sft|none, seed=1"], ["none,1", "sft,1"]),
        (["arm=sft,seed=2", "arm=none,seed=1"], ["none,1", "sft,2"]),
    ],
)
def test_only_some_cells(only: list[str], cells: list[str], tmp_path: Path) -> None:
    found = study_of(tmp_path, BASE + STUDY + NONE + SFT)
    assert chosen(found, only) == [cell_of(found, one) for one in cells]


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("arm=opd", ["no arm `opd`", "there are: none, sft"]),
        ("seed=3", ["no seed `3`", "there are: 1, 2"]),
        ("sft", ["`--only sft`", "`arm=NAME`"]),
        ("stage=rl", ["`--only stage=rl`", "`arm=NAME`"]),
    ],
)
def test_cells_that_are_not_there_are_refused(only: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        chosen(study_of(tmp_path, BASE + STUDY + NONE + SFT), [only])
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(("name", "cells"), [("stage1_pocket", 35), ("stage1_qwen2_5_vl_7b", 15)])
def test_the_shipped_studies_are_valid(name: str, cells: int) -> None:
    found = study_file.read(ROOT / "recipes" / "study" / f"{name}.toml")
    assert found is not None and len(found.cells) == cells


def test_the_schema_knows_studies() -> None:
    """The shipped study passes; a word that a study or an arm does not have is found."""
    table = tomllib.loads((ROOT / "recipes" / "study" / "stage1_pocket.toml").read_text())
    validator = jsonschema.Draft202012Validator(schema())
    assert not list(validator.iter_errors(table))
    for path in (("study",), ("arm", "sft"), ("arm", "sft", "stage", "warm")):
        wrong = json.loads(json.dumps(table))
        at = wrong
        for key in path:
            at = at[key]
        at["nonsense"] = 1
        assert list(validator.iter_errors(wrong)), path


def test_a_date_is_refused_as_any_wrong_value_is(tmp_path: Path) -> None:
    text = BASE.replace('path = "pocket:base"', 'path = "pocket:base"\nrevision = 2024-01-01')
    with pytest.raises(RecipeError, match=r"model\.revision"):
        study_of(tmp_path, text + STUDY + NONE).recipes["none"]


def test_arms_whose_folders_may_be_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"`arm\.SFT` and `arm\.sft` differ in capitals alone"):
        study_of(tmp_path, BASE + STUDY + NONE + SFT + SFT.replace("arm.sft", "arm.SFT"))
