"""What a check has to say: findings in words, with what to do about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found; `fix` is a line of code or words, "" where nothing is to do."""

    level: Level
    what: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """All findings about a task, in the order of the checks, and what was measured."""

    task: str
    findings: tuple[Finding, ...]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether Gato can play the task: no finding is an error."""
        return not self.of("error")

    def of(self, level: Level) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    def text(self) -> str:
        """The report in plain words, errors first."""
        errors, warnings = len(self.of("error")), len(self.of("warning"))
        verdict = "Gato can play it"
        if errors:
            verdict = f"Gato cannot play it yet: {errors} to mend"
        elif warnings:
            verdict = f"Gato can play it; {warnings} to look at"
        lines = [f"{self.task}: {verdict}"]
        for level in ("error", "warning", "ok"):
            for finding in self.of(level):
                lines.append(f"  {level + ':':8} {finding.what}")
                if finding.fix:
                    lines.append(f"           fix: {finding.fix}")
        lines += [f"  {name.replace('_', ' ')}: {value:g}" for name, value in self.figures.items()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "task": self.task,
            "passed": self.passed,
            "findings": [asdict(finding) for finding in self.findings],
            "figures": dict(self.figures),
        }
