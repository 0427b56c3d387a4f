"""The house rules: sizes, names, annotations, what each place may import, and what the wheel holds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("warmrl/**/*.py"), *ROOT.glob("plugins/**/*.py"), *ROOT.glob("bench/**/*.py")])
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "manager.py"}


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(file.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("file", sorted(ROOT.glob("tests/**/*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_budget_of_a_test_file(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 400


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 60


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_budget_of_a_file(file: Path) -> None:
    assert file.name not in FORBIDDEN_NAMES
    assert len(file.read_text().splitlines()) <= 400
    assert ast.get_docstring(ast.parse(file.read_text())), "a module says in one sentence what it is for"
    for function in functions(file):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= 60, f"{function.name} has {length} lines"
        assert function.returns is not None or function.name == "__init__", f"{function.name} has no return annotation"


def test_functions_are_short() -> None:
    lengths = sorted((f.end_lineno or 0) - f.lineno + 1 for file in SOURCES for f in functions(file))
    assert lengths[int(0.95 * len(lengths))] <= 40


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["recipe", "--help"], ["plugin", "--help"]])
def test_help_imports_no_torch(command: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['warmrl', *{command!r}]\n"
        "from warmrl.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'plotly', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_recipe_check_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['warmrl', 'recipe', 'check', 'recipes/quickstart.toml']\n"
        "from warmrl.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


def test_readme_paths_exist() -> None:
    text = (ROOT / "README.md").read_text()
    paths = re.findall(r"`((?:warmrl|plugins|recipes|docs|bench|tests)/[^`\s*]*)`", text)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists(), path


def test_no_code_from_text() -> None:
    """No eval, exec, pickle or sympify on anything; torch.load nowhere."""
    risky = re.compile(r"(?<![\w.])(eval|exec|sympify|parse_expr)\(|pickle\.load|torch\.load")
    for file in SOURCES:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            found = risky.search(line.split("#")[0])
            assert not found or file.name == "hostile.py", f"{file}:{number}: {line.strip()}"


def test_layers() -> None:
    """import-linter's contracts of pyproject.toml hold."""
    found = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.slow
def test_the_wheel_holds_everything(tmp_path: Path) -> None:
    """Built and unpacked elsewhere, the wheel has every package, the pocket's weights and the templates."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    for file in [*ROOT.glob("warmrl/**/*"), *ROOT.glob("plugins/**/*")]:
        inside = str(file.relative_to(ROOT)).removeprefix("plugins/")
        if file.is_file() and "__pycache__" not in file.parts:
            assert inside in names, inside
    assert "warmrl_pocket/weights/base/model.safetensors" in names
    code = "import warmrl, sys; assert 'site' in warmrl.__file__; from warmrl.plugin.registry import Registry; " + (
        "r = Registry.installed(); assert not r.broken, r.broken; r.get('dataset', 'pocket_geometry').load()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path)
