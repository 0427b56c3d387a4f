"""Texts that a model may write and that break careless code: what every style and reward must survive."""

from __future__ import annotations


def hostile_texts(size: int = 1_000_000) -> dict[str, str]:
    """Completions by name; the long ones have about `size` characters."""
    tower = "9" + "^{9" * 8 + "}" * 8
    return {
        "empty": "",
        "spaces": " " * size,
        "line breaks": "\n" * size,
        "open tag and spaces": "<think>" + " " * size + "<",
        "slow tag": "<" + " " * size + "think",
        "open tags": "<think>" * (size // 7),
        "open answers": "<answer>" * (size // 8),
        "closed answers": "</answer>" * (size // 9),
        "angle brackets": "<" * size,
        "open boxes": "\\boxed{" * (size // 7),
        "braces": "\\boxed{" + "{" * size,
        "closing braces": "\\boxed{" + "}" * size,
        "backslashes": "\\boxed{" + "\\" * size,
        "deep box": "\\boxed{" + "{" * (size // 2) + "}" * (size // 2) + "}",
        "digits": "\\boxed{" + "9" * size + "}",
        "digits in tags": "<think></think><answer>" + "9" * size + "</answer>",
        "signs": "<answer>" + "-" * size + "</answer>",
        "commas": "<answer>" + "1," * (size // 2) + "</answer>",
        "tower": f"<think></think><answer>{tower}</answer>\\boxed{{{tower}}}",
        "factorials": "<think></think><answer>99999!!!</answer>\\boxed{99999!!!}",
        "roots": "\\boxed{" + "\\sqrt{2+" * 200 + "2" + "}" * 200 + "}",
        "brackets": "\\boxed{" + "(" * 2000 + "1" + ")" * 2000 + "}",
        "set": "\\boxed{\\{" + ",".join(map(str, range(1000))) + "\\}}",
        "code": "<answer>__import__('os').system('touch warmrl_was_here')</answer>\\boxed{eval('1')}",
        "format string": "<answer>{0.__class__} %s %(x)s ${x}</answer>\\boxed{{0}}",
        "null": "\\boxed{\0}<answer>\0</answer>",
        "surrogate": "\\boxed{\ud800}<answer>\ud800</answer>",
        "right to left": "\\boxed{\u202e42}<answer>\u202e42\u202c</answer>",
        "digits of another script": "\\boxed{٤٢}<answer>٤٢</answer>",
        "combining": "\\boxed{4" + "\u0301" * 1000 + "}",
    }
