"""Formulas in plain text, as sympy reads them (`6sqrt(2)`, `2x(x+1)`, `5!`), without evaluating any text as code.

sympy's own reader turns a text into Python source and evaluates that. Here the source is parsed and built up from the
few names below; anything else is refused.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable
from functools import cache
from types import BuiltinFunctionType
from typing import Any

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
LEAVES = ["Integer", "Float", "Symbol"]
"""What is made of a literal. No other name is given one: most of sympy's functions evaluate a text that they get."""
FUNCTIONS = "Integer Rational factorial factorial2 sqrt frac csc ff im li ln re rf".split()
CONSTANTS = ["pi", "I", "oo", "zoo", "nan"]


@cache
def names() -> dict[str, Any]:
    """What sympy's reader knows when it decides where one name ends and another begins. Nothing here is called."""
    import sympy

    known = {name: one for name, one in vars(builtins).items() if isinstance(one, BuiltinFunctionType)}
    return known | {name: getattr(sympy, name) for name in sympy.__all__}


def read(text: str) -> Any:
    """The sympy expression that a text writes. Raises an exception of any kind when it writes none."""
    from sympy.parsing.sympy_parser import (
        implicit_multiplication_application,
        standard_transformations,
        stringify_expr,
    )

    rules = (*standard_transformations, implicit_multiplication_application)
    source = stringify_expr(text.replace("^", "**"), {}, names(), rules)
    return built(ast.parse(source.strip(), mode="eval").body)


def built(node: ast.AST) -> Any:
    """The value of a node: numbers, symbols, arithmetic and a few functions. Raises ValueError at anything else."""
    import sympy

    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](built(left), built(right))
        case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](built(operand))
        case ast.Call(ast.Name(name), [ast.Constant(value)], []) if name in LEAVES:
            return getattr(sympy, name)(value)
        case ast.Call(ast.Name("Number"), [ast.Constant(str() as digits)], []) if digits.isdecimal():
            return sympy.Integer(int(digits))
        case ast.Call(ast.Name(name), arguments, []) if name in FUNCTIONS:
            return getattr(sympy, name)(*map(built, arguments))
        case ast.Name(name) if name in CONSTANTS:
            return getattr(sympy, name)
    raise ValueError(f"no formula: {type(node).__name__}")
