"""Alert rules and metrics, read and evaluated as far as our rules go.

An expression is a comparison of sums, differences, products and quotients of
numbers, time() and metrics with equality matchers, which Prometheus matches by
all their labels.  That is all that the rules may use, so that they stay
readable; whatever else is written there fails the test.
"""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)')
TOKEN = re.compile(r'\s*(\w+\{[^}]*\}|[A-Za-z_]\w*(?:\(\))?|[\d.]+|[<>=!]=|[-+*/<>])')
COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
COMPUTE: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@dataclass
class Family:
    kind: str
    help: str
    samples: Vector


def parse_labels(text: str) -> Labels:
    found = LABEL.findall(text)
    assert "".join(f'{n}="{v}",' for n, v in found).rstrip(",") == text, text
    return frozenset(found)


def parse_metrics(text: str) -> dict[str, Family]:
    """Of the text format; HELP and TYPE stand first, and families together."""
    families: dict[str, Family] = {}
    assert text.endswith("\n")
    help_of: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert name not in help_of and words
            help_of[name] = words
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name in help_of and name not in families
            families[name] = Family(kind, help_of[name], {})
            last = name
        else:
            match = SAMPLE.match(line)
            assert match and match[1] == last, line
            labels = parse_labels(match[2] or "")
            assert labels not in families[last].samples, line
            families[last].samples[labels] = float(match[3])
    assert all(family.samples for family in families.values())
    return families


def read_rules(path: Path) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    return {rule["alert"]: rule for rule in rules}


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\bwalship_\w+", expression))


class Evaluator:
    def __init__(self, families: dict[str, Family], now: float | None = None) -> None:
        self.families = families
        self.now = time.time() if now is None else now

    def __call__(self, expression: str) -> Vector:
        """What the alert is raised for; empty: it is silent."""
        tokens = TOKEN.findall(expression)
        assert "".join(tokens) == expression.replace(" ", ""), expression
        (at,) = (i for i, token in enumerate(tokens) if token in COMPARE)
        left = self._sum(tokens[:at])
        right = self._sum(tokens[at + 1 :])
        assert isinstance(left, dict) and isinstance(right, float)
        holds = COMPARE[tokens[at]]
        return {labels: v for labels, v in left.items() if holds(v, right)}

    def _sum(self, tokens: list[str]) -> Vector | float:
        if tokens[0] == "-":  # a negative number
            tokens = [f"-{tokens[1]}", *tokens[2:]]
        for signs in ("+-", "*/"):
            for i in range(len(tokens) - 1, 0, -1):
                if tokens[i] in signs and tokens[i] in COMPUTE:
                    return self._join(
                        self._sum(tokens[:i]), tokens[i], self._sum(tokens[i + 1 :])
                    )
        (token,) = tokens
        return self._value(token)

    def _value(self, token: str) -> Vector | float:
        if token == "time()":
            return float(self.now)
        if token.startswith("walship_"):
            name, _, rest = token.partition("{")
            wanted = parse_labels(rest.rstrip("}"))
            samples = self.families[name].samples if name in self.families else {}
            return {labels: v for labels, v in samples.items() if wanted <= labels}
        return float(token)

    @staticmethod
    def _join(left: Vector | float, sign: str, right: Vector | float) -> Vector | float:
        compute = COMPUTE[sign]
        if isinstance(left, float) and isinstance(right, float):
            return compute(left, right)
        if isinstance(left, float):
            assert isinstance(right, dict)
            return {labels: compute(left, v) for labels, v in right.items()}
        if isinstance(right, float):
            return {labels: compute(v, right) for labels, v in left.items()}
        both = left.keys() & right.keys()
        return {labels: compute(left[labels], right[labels]) for labels in both}
