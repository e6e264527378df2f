"""What a case of the corpus is. Standard library only: the corpus also runs in an interpreter without packages."""

from __future__ import annotations

import dataclasses
import textwrap


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A program, its tests, and the verdicts it may get.

    Attributes:
      name: Unique in the corpus.
      category: `forging`, `escape`, `resources`, `source` or `legit`.
      code: The program; `@NAME@` stands for what `surroundings.py` calls so.
      tests: Trusted statements.
      allowed: Verdicts, usually one.
      tiers: Letters of the tiers that must withstand it.
      timeout: CPU seconds.
      setup: Trusted code before the tests.
      entry_point: As of `Program`.
      prints: What the captured output must contain.
      seconds: Wall seconds that it may take at most on a busy machine; 0: not looked at.
    """

    name: str
    category: str
    code: str
    tests: tuple[str, ...]
    allowed: frozenset[str]
    tiers: str = "AB"
    timeout: float = 1.0
    setup: str = ""
    entry_point: str | None = None
    prints: str = ""
    seconds: float = 0.0

    def filled(self, values: dict[str, str]) -> Case:
        """Returns the case with `@NAME@` replaced."""
        code = self.code
        for name, value in values.items():
            code = code.replace(f"@{name}@", value)
        return dataclasses.replace(self, code=code)


def sections(text: str) -> dict[str, str]:
    """Returns what follows each `=== name` of a text."""
    parts = text.strip().removeprefix("=== ").split("\n=== ")
    return {name: body for name, _, body in (part.partition("\n") for part in parts)}


class Corpus(list[Case]):
    """Cases of one category."""

    def __init__(self, category: str, *, tiers: str = "AB") -> None:
        super().__init__()
        self._category, self._tiers = category, tiers

    def add(self, name: str, allowed: str, code: str, *tests: str, tiers: str = "", **fields: object) -> None:
        """Adds a case; `allowed` are verdicts between spaces, code and tests may be indented."""
        self.append(
            Case(
                name=name,
                category=self._category,
                code=textwrap.dedent(code).removeprefix("\n") if code.startswith("\n") else code,
                tests=tuple(textwrap.dedent(test) for test in tests),
                allowed=frozenset(allowed.split()),
                tiers=tiers or self._tiers,
                **fields,  # type: ignore[arg-type]
            )
        )

    def read(self, allowed: str, text: str) -> None:
        """Adds the cases of a text: `=== name`, the program, and each test behind a line of `---`.

        `@A` behind a name: for tier A only.
        """
        for head, body in sections(text).items():
            name, _, tiers = head.partition(" @")
            code, *tests = body.split("\n---\n")
            self.add(f"{self._category}: {name}", allowed, f"{code}\n", *tests, tiers=tiers, timeout=3.0)
