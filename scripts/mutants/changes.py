"""What `make mutants` changes: one operator, number, condition, command or returned value at a time.

What is left out, because no test can be expected to notice it:

- the options of a dataclass (``slots``, ``frozen``, ``kw_only``) and ``__all__``: they bind whoever writes code, not what it does;
- calls of the log (``log.info(...)``) with everything in them, and ``raise`` statements;
- blocks for the type checker alone;
- the contents of Lua strings: a format, a pattern, a name.

A number below ten becomes one more: it is an index, a step or a bound. A larger one becomes ten times as large: it is a time, a size or a
share, and no test needs to notice a minute that is a millisecond longer, but one should notice a minute that lasts ten.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from executed import FOLDERS, recording_lua, without_strings

LARGE = 10
COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
}
LUA = (
    (r"==", "~="), (r"~=", "=="), (r"<=", "<"), (r">=", ">"), (r"(?<![<>=~])<(?!=)", "<="), (r"(?<![<>=~])>(?!=)", ">="),
    (r"\band\b", "or"), (r"\bor\b", "and"), (r"\bnot ", ""), (r" \+ ", " - "), (r" - ", " + "), (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
)  # fmt: skip
NUMBER = re.compile(r"(?<![\w.'\[])\d+(?![\w.'\]])")
#: A Redis command on a line of its own.
COMMAND = re.compile(r"^\s*redis\.call\(.*\)\s*$")
CONSTANT = re.compile(r"^local ([A-Z][A-Z_, ]*) = ")


@dataclass(frozen=True)
class Mutant:
    """One change."""

    path: str
    line: int
    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        """Return the text with the change made."""
        lines = text.splitlines(keepends=True)
        old = lines[self.line - 1]
        lines[self.line - 1] = old[: self.start] + self.new + old[self.end :]
        return "".join(lines)

    def shown(self, text: str) -> str:
        """Return the place, the line as it is and as it becomes."""
        old = text.splitlines()[self.line - 1]
        new = old[: self.start] + self.new + old[self.end :]
        return f"{self.path}:{self.line}\n    - {old.strip()}\n    + {new.strip() or '(nothing)'}"


class Place(NamedTuple):
    """A line, and a column in it."""

    line: int
    column: int


def all_mutants(root: Path, parts: list[str]) -> list[Mutant]:
    """Return every change there is in the files whose path holds one of the parts, or in all files."""
    found: list[Mutant] = []
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            path = str(file.relative_to(root))
            if file.suffix in {".py", ".lua"} and (not parts or any(part in path for part in parts)):
                kind = python_mutants if file.suffix == ".py" else lua_mutants
                found += kind(path, file.read_text(encoding="utf-8"))
    return found


def _larger(number: int) -> int:
    return number * 10 if number >= LARGE else number + 1


def python_mutants(path: str, text: str) -> Iterator[Mutant]:
    """Yield every change of a Python file."""
    lines = text.splitlines()
    for node in _meaningful(ast.parse(text)):
        for first, last, new in (*_operators(node, lines), *_wholes(node)):
            if first.line == last.line:
                yield Mutant(path, first.line, first.column, last.column, new)


def _meaningful(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and everything in it, except what the docstring of this module leaves out."""
    match node:
        case ast.Call(func=func) if ast.unparse(func).startswith("log.") or ast.unparse(func) == "dataclass":
            return
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.Raise():
            return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _meaningful(child)


def _start(node: ast.expr | ast.stmt) -> Place:
    return Place(node.lineno, node.col_offset)


def _end(node: ast.expr | ast.stmt) -> Place:
    return Place(node.end_lineno or 0, node.end_col_offset or 0)


def _operators(node: ast.AST, lines: list[str]) -> Iterator[tuple[Place, Place, str]]:
    """Yield other operators in the place of this node's."""
    swaps: list[tuple[ast.expr, ast.expr, tuple[str, str]]] = []
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            swaps = [(left, right, COMPARISONS[type(op)])]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            swaps = [(left, right, ARITHMETIC[type(op)])]
        case ast.BoolOp(op=op, values=values):
            swap = (" and ", " or ") if isinstance(op, ast.And) else (" or ", " and ")
            swaps = [(left, right, swap) for left, right in itertools.pairwise(values)]
    for left, right, (old, new) in swaps:
        (line, column), end = _end(left), _start(right)
        at = lines[line - 1].find(old, column, end.column) if line == end.line else -1
        if at >= 0:
            yield Place(line, at), Place(line, at + len(old)), new


def _wholes(node: ast.AST) -> Iterator[tuple[Place, Place, str]]:
    """Yield what may stand in the place of this node: another value, or nothing."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _start(node), _start(operand), ""
        case ast.Constant(value=bool() as value):
            yield _start(node), _end(node), str(not value)
        case ast.Constant(value=int() as value):
            yield _start(node), _end(node), str(_larger(value))
        case ast.Expr(value=ast.Call(func=func)) if not ast.unparse(func).startswith("log."):
            yield _start(node), _end(node), "pass"
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield _start(value), _end(value), "None"


def lua_mutants(path: str, text: str) -> Iterator[Mutant]:
    """Yield every change of a Lua file."""
    for number, whole in enumerate(text.splitlines(), 1):
        line = without_strings(whole)
        if COMMAND.match(line) and line.count("(") == line.count(")"):
            yield Mutant(path, number, 0, len(line), "")
        for pattern, new in LUA:
            for found in re.finditer(pattern, line):
                yield Mutant(path, number, found.start(), found.end(), new)
        for found in NUMBER.finditer(line):
            yield Mutant(path, number, found.start(), found.end(), str(_larger(int(found[0]))))


def lines_that_tell(mutant: Mutant, texts: dict[str, str]) -> set[str]:
    """Return the lines, as ``path:line``, of which a test must execute one to notice a change.

    For a constant, or a field's default, these are the lines that use its name.
    """
    find = _lua_lines if mutant.path.endswith(".lua") else _python_lines
    return find(mutant, texts)


def _users(names: list[str], texts: dict[str, str]) -> set[str]:
    uses = re.compile(r"\b(?:" + "|".join(map(re.escape, names)) + r")\b")
    return {
        f"{path}:{number}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if uses.search(line)
    }


def _lua_lines(mutant: Mutant, texts: dict[str, str]) -> set[str]:
    lines = texts[mutant.path].splitlines()
    line = lines[mutant.line - 1]
    if constant := CONSTANT.match(line):
        folder = str(Path(mutant.path).parent)
        near = {path: text for path, text in texts.items() if str(Path(path).parent) == folder}
        return _users(constant[1].split(", "), near)

    _, logged = recording_lua(mutant.path, texts[mutant.path])

    def indent(number: int) -> int:
        return len(lines[number - 1]) - len(lines[number - 1].lstrip())

    # For an `elseif`, or a line that continues another, go back to the statement that it belongs to.
    at = mutant.line
    while at not in logged or indent(at) > indent(mutant.line):
        at -= 1
    return {f"{mutant.path}:{at}"}


def _python_lines(mutant: Mutant, texts: dict[str, str]) -> set[str]:
    tree = ast.parse(texts[mutant.path])
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= mutant.line <= (node.end_lineno or 0)
    ]
    innermost = max(around, key=lambda node: (node.lineno, -(node.end_lineno or 0)))
    functions = [node for node in around if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not functions:
        targets = getattr(innermost, "targets", None) or [getattr(innermost, "target", None)]
        names = [
            node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)
        ]
        users = _users(names, texts) if names else set()
        return users or {
            f"{mutant.path}:{number}" for number in range(1, len(texts[mutant.path].splitlines()) + 1)
        }
    first, last = innermost.lineno, innermost.end_lineno or 0
    if innermost is functions[-1] or isinstance(innermost, ast.FunctionDef | ast.AsyncFunctionDef):
        first = innermost.body[0].lineno
    elif body := getattr(innermost, "body", None):
        last = max(mutant.line, body[0].lineno - 1)
    return {f"{mutant.path}:{number}" for number in range(first, last + 1)}
