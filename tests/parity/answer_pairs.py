"""Gold answers and what a model may write for them: (gold, answer) pairs from a seed, right ones and wrong ones."""

import random

JUNK = [
    "", "None", "none", "x", "A", "cannot be determined", "\\text{no solution}", "N/A", "?", "{}", "()", "[1,2", "1,2", "1 or 2",
    "5 and 6", "\\infty", "-\\infty", "\\frac{1}{0}", "\\frac{}{}", "\\frac", "\\sqrt", "\\sqrt{}", "\\", "^", "x^", "1e5", "1e400",
    "nan", "inf", "1_000", "0x1f", "٤٢", "½", "5..2", "--5", "+5", "5!", "3!!", "0.(3)", "0.3[3]", "1j", "lambda", "ln(2)", "oo",
    "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "x<3", "x=3", "x+y=3", "\\{1,2\\}", "1:2", "$", "%", "'5'", "\"5\"", "5'", "5//2", "sqrt",
    "id(5)", "all", "re(2)", "5|3", "~5", "#5", "5;6", "0.5.5", "\\text{ cm}", "5 \\text{ cm} \\text{ m}", "1/2/3", "\\pm 3",
]  # fmt: skip
UNITS = ["\\text{ cm}", " cm", "cm^2", "\\text{ units}", " units", "\\mathrm{~cm}", " inches", "%", "\\%", " feet", " m", " degrees"]


def number(random: random.Random) -> str:
    kind = random.randrange(4)
    if kind == 0:
        return str(random.randint(-20, 200))
    if kind == 1:
        return f"{random.uniform(0, 100):.{random.randint(1, 3)}f}"
    if kind == 2:
        return f"{random.randint(1, 9)},{random.randint(0, 999):03}"
    return str(random.randint(1, 60))


def fraction(random: random.Random, top: str = "") -> str:
    top, bottom = top or str(random.randint(1, 60)), str(random.randint(1, 40))
    return random.choice(["\\frac{%s}{%s}", "\\dfrac{%s}{%s}", "\\tfrac{%s}{%s}", "%s/%s", "\\frac %s%s"]) % (top, bottom)


def surd(random: random.Random) -> str:
    factor, root = random.choice(["", str(random.randint(2, 12))]), random.randint(2, 30)
    spelled = random.choice(["\\sqrt{%d}", "\\sqrt %d", "\\sqrt{ %d }", "√%d", "sqrt(%d)", "\\sqrt{%d} "]) % root
    return random.choice([factor + spelled, f"{factor} {spelled}", f"{factor} \\cdot {spelled}", f"-{factor}{spelled}"])


def multiple(random: random.Random) -> str:
    return random.choice(["%s\\pi", "%s \\pi", "%sπ", "%s*pi", "\\pi %s", "%s\\cdot\\pi"]) % random.randint(2, 40)


def formula(random: random.Random) -> str:
    a, b = random.randint(1, 9), random.randint(1, 9)
    shapes = ["{a}x+{b}", "{b}+{a}x", "{a}(x+{b})", "{a}x+{c}", "x^2-{b}", "(x+{a})(x-{a})", "x^{{2}}+{a}", "\\frac{{x+{a}}}{{{b}}}", "{a}x+{b}y"]
    return random.choice(shapes).format(a=a, b=b, c=a * b)


def answer(random: random.Random) -> str:
    """One answer of a kind that geometry problems have."""
    kind = random.randrange(9)
    if kind < 2:
        return number(random)
    if kind == 2:
        return fraction(random)
    if kind == 3:
        return surd(random)
    if kind == 4:
        return multiple(random)
    if kind == 5:
        return fraction(random, surd(random).strip("- "))
    if kind == 6:
        return formula(random)
    if kind == 7:
        return random.choice(["({}, {})", "[{},{}]", "({},{}]", "\\left({},{}\\right)"]).format(number(random), number(random))
    return number(random) + random.choice(["^\\circ", "^{\\circ}", "°", " degrees", "^ \\circ"])


def respelled(random: random.Random, text: str) -> str:
    """The same answer, or nearly, in other characters."""
    ways = [
        lambda: text + random.choice(UNITS),
        lambda: text.replace("\\frac", "\\dfrac"),
        lambda: f"${text}$",
        lambda: f"\\left({text}\\right)",
        lambda: text.replace(" ", ""),
        lambda: text.replace("", " ").strip() if "\\" not in text else f" {text} ",
        lambda: "x=" + text,
        lambda: "x = " + text,
        lambda: text + ".",
        lambda: text + ".0",
        lambda: text + "0",
        lambda: "0" + text,
        lambda: f"\\text{{{text}}}",
        lambda: f"{{{text}}}",
        lambda: text + "^\\circ",
        lambda: text.replace("-", "\N{MINUS SIGN}"),
        lambda: text.replace("\\sqrt{", "\\sqrt"),
        lambda: text.replace(",", ", "),
        lambda: text.replace(",", ""),
        lambda: f"{text}*1",
        lambda: f"2*{text}/2",
        lambda: f"{text}\\approx {number(random)}",
        lambda: f"{text} or {number(random)}",
        lambda: f"1 {text}",
        lambda: text.upper(),
    ]
    return random.choice(ways)()


def damaged(random: random.Random, text: str) -> str:
    """A character taken out, doubled or put in."""
    at = random.randrange(len(text) + 1)
    cut = random.randrange(2)
    return text[:at] + random.choice(["", "", "(", ")", "{", "}", "\\", "!", "*", "/", ",", " ", "e", "x", "0", ".", "^2", "√", "|"]) + text[at + cut :]


def equal_value(random: random.Random) -> tuple[str, str]:
    """Two ways of writing one value."""
    a, b, k = random.randint(1, 30), random.randint(1, 12), random.randint(2, 5)
    pairs = [
        (f"{a}\\sqrt{{{b}}}", f"\\sqrt{{{a * a * b}}}"),
        (f"\\frac{{{a}}}{{{b}}}", f"\\frac{{{a * k}}}{{{b * k}}}"),
        (f"\\frac{{{a}}}{{{b}}}", f"{a / b:.4f}"),
        (f"{a}.5", f"{2 * a + 1}/2"),
        (f"{a}.5", f"{a} 1/2"),
        (f"{a}.5", f"{a}\\frac{{1}}{{2}}"),
        (f"{a}x+{a * k}", f"{a}(x+{k})"),
        (f"{a * k}\\pi", f"{a}\\cdot {k}\\pi"),
        (f"\\frac{{{a}\\sqrt{{{b}}}}}{{2}}", f"{a / 2}\\sqrt{{{b}}}"),
        (f"{a}\\pi", f"{a * 3.14159:.2f}"),
        (f"{a}", f"{a}.0000"),
        (f"{a},000", f"{a}000"),
        (f"{a}", f"{a * k}/{k}"),
        (f"\\frac{{{a}}}{{\\sqrt{{{b}}}}}", f"\\frac{{{a}\\sqrt{{{b}}}}}{{{b}}}"),
    ]
    return random.choice(pairs)


def pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """`count` pairs of gold and answer."""
    chance, out = random.Random(seed), []
    while len(out) < count:
        gold = answer(chance)
        way = chance.randrange(8)
        if way < 3:
            out.append((gold, respelled(chance, gold)))
        elif way == 3:
            out.append((gold, respelled(chance, respelled(chance, gold))))
        elif way == 4:
            out.append((gold, damaged(chance, respelled(chance, gold) if chance.random() < 0.5 else gold)))
        elif way == 5:
            out.append((gold, answer(chance)))
        elif way == 6:
            one, other = equal_value(chance)
            out.append((one, other) if chance.random() < 0.5 else (other, one))
        else:
            junk = chance.choice(JUNK)
            out.append(chance.choice([(gold, junk), (junk, junk), (junk, gold), (junk, chance.choice(JUNK))]))
    return out
