"""Texts that a model may write and that break careless code: what every style and reward must survive."""

from __future__ import annotations


def answered(answer: str) -> str:
    """A completion of this answer, in tags and in a box."""
    return f"<think></think><answer>{answer}</answer>\\boxed{{{answer}}}"


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
        **hostile_spaces(size),
        **{name: answered(answer) for name, answer in hostile_mathematics().items()},
        **{name: answered(answer) for name, answer in hostile_answers().items()},
    }


def hostile_spaces(size: int) -> dict[str, str]:
    """Long runs of what careless patterns read again and again."""
    blank, half, quarter = " " * size, " " * (size // 2), " " * (size // 4)
    return {
        "spaces and a slash": f"4{blank}/",
        "spaces between signs": "<think>" + "<  >  /  " * (size // 9),
        "spaces in a box": answered(f"4{half}5"),
        "spaces around the answer": answered(f"{quarter}4{quarter}"),
        "tabs and line breaks": answered("\t\n\r\x0b\x0c" * (size // 10)),
        "spaces of another script": answered("\u3000\u2003\u00a0" * (size // 6)),
        "many closed boxes": "\\boxed{1}" * (size // 9),
        "thinking without end": "<think></think>" * (size // 15) + "\\boxed{",
        "a box in a box": "\\boxed{" * 5000 + "4" + "}" * 5000,
        "a million digits": "\\boxed{" + "1234567890" * (size // 10) + "}",
        "a million digits, cut off": "\\boxed{0." + "3" * size,
        "words": "answer is A or B " * (size // 17),
    }


def hostile_mathematics() -> dict[str, str]:
    """Answers that computer algebra takes for ever to read, or all memory."""
    return {
        "python tower": "10**10**10",
        "python towers": "9**9**9**9",
        "tower of words": "e^(e^(e^(e^(e^9))))",
        "power": "2**9999999999",
        "tower of fractions": "\\frac{9^{9^9}}{8^{8^8}}",
        "many factorials": "9999999999!",
        "factorial of a factorial": "((100!)!)!",
        "double factorials": "99999999!!",
        "binomial": "\\binom{9999999}{4999999}",
        "polynomial": "(x+y)^{2000}-(x-y)^{1999}",
        "python polynomial": "(x+y)**2000-(x-y)**1999",
        "product": "*".join(f"(x+{i})" for i in range(500)),
        "sum of roots": "+".join(f"\\sqrt{{{i}}}" for i in range(2, 200)),
        "roots of roots": "sqrt(2+" * 150 + "2" + ")" * 150,
        "deep fractions": "\\frac{1}{1+" * 5000 + "1" + "}" * 5000,
        "deep roots": "\\sqrt{" * 5000 + "2" + "}" * 5000,
        "deep brackets": "(" * 5000 + "1" + ")" * 5000,
        "large exponent": "1e308*1e308",
        "larger exponent": "1e999999999",
        "modulus": "\\log_{2}(9999999^{9999999})",
        "matrix": "\\begin{matrix}" + "1 & " * 2000 + "1 \\\\ \\end{matrix}",
        "set of sets": "\\{" * 300 + "1" + "\\}" * 300,
        "interval": "[0, 10^{1000000000}]",
        "sum": "\\sum_{n=1}^{10^{9}} \\frac{1}{n^{n}}",
        "trigonometry": "\\sin(" * 60 + "1" + ")" * 60,
        "long fraction": f"{'7' * 4000}/{'3' * 4000}",
        "repeated decimals": "0.(" + "3" * 900 + ")",
    }


def hostile_answers() -> dict[str, str]:
    """Answers that break readers of numbers, options and boxes, and files that LaTeX would read."""
    return {
        "input": "\\input{/etc/passwd}\\include{/etc/hosts}",
        "macro": "\\def\\x{\\x\\x}\\x" * 20,
        "nested words": "(a+)+" * 150 + "!",
        "commas and digits": ",".join(["111"] * 300) + ",x",
        "signs of one kind": "- " * 450 + "1",
        "boxes": "[" + ",".join(["[0,0,1,1]"] * 900) + "]",
        "open lists": "[" * 5000,
        "infinite box": "[1e308, -1e308, 1e309, nan]",
        "large box": "[-1e308, -1e308, 1e308, 1e308]",
        "letters": "A) " * 300 + "B",
        "units": "5 " + "cm " * 300,
        "long number": "4" * 4301,
        "zalgo": "4" + "\u0300\u0301\u0302\u0316\u0317" * 150,
        "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 150,
        "expanding": "\ufdfa" * 900 + "\u0130\u00df\ufb03",
        "control characters": "".join(map(chr, range(32))) + "\x7f\x9b",
        "null and surrogates": "4\0\udcff\ud83d",
        "percent signs": "%" * 900 + "\\%" * 40,
        "dollars": "$" * 901,
    }
