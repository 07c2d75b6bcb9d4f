"""What a draft has decided so far: filled step by step, and written out by `compose`."""

from dataclasses import dataclass, field
from typing import Any

from stages.draft.guess import Guess
from stages.draft.profile import Profile
from stages.draft.sample import Sample
from stages.draft.sniff import Source


@dataclass
class Plan:
    """One pipeline to be. `comments` are for sections by name; `problems` go to the summary as well."""

    name: str
    origin: list[str]  # fetch.from
    source: Source
    sample: Sample
    profiles: dict[str, Profile]
    guesses: dict[str, Guess]
    target: str = ""
    positive: str | None = None
    rivals: list[str] = field(default_factory=list)  # other columns that could be predicted
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def comment(self, section: str, text: str) -> None:
        self.comments.setdefault(section, []).append(text)

    @property
    def declared(self) -> dict[str, Guess]:
        return {name: guess for name, guess in self.guesses.items() if not guess.left_out}

    @property
    def types(self) -> list[str]:
        """The types of the columns that a model sees."""
        return [
            guess.declaration["type"]
            for name, guess in self.declared.items()
            if name != self.target and guess.declaration["type"] != "id" and guess.declaration.get("input", True)
        ]
