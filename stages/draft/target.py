"""Guessed columns in; which one to predict, how to declare it, and what else could be, out."""

import numpy as np

from stages.core.errors import DataError, suggest
from stages.draft import names
from stages.draft.guess import PAIRS, Guess, numbers_of
from stages.draft.plan import Plan
from stages.draft.profile import Profile, spellings, to_numbers

MAX_CLASSES = 30
MIN_CLASS_ROWS = 10


def choose(plan: Plan, wanted: str | None) -> None:
    """Set the plan's target: the one that is wanted, or the likeliest."""
    if wanted is not None and wanted not in plan.profiles:
        raise DataError(
            f"--target {wanted!r} is no column.{suggest(wanted, plan.profiles)} There are {', '.join(plan.profiles)}"
        )
    ranked = sorted(plan.declared, key=lambda name: -score(plan, name))
    plan.rivals = [name for name in ranked if score(plan, name) > 0 and name != wanted]
    if wanted is None:
        if not plan.rivals:
            raise DataError(
                "no column looks like something to predict: it should have a few values that come again and again, or "
                f"be a number. Name one with --target; there are {', '.join(list(plan.profiles)[:30])}"
            )
        wanted = plan.rivals.pop(0)
    plan.target = wanted
    best = score(plan, wanted)
    likely = [name for name in plan.rivals if score(plan, name) >= 0.3 * best]
    guess, profile = plan.guesses[wanted], plan.profiles[wanted]
    if guess.left_out:
        raise DataError(f"--target {wanted!r} {guess.left_out}; nothing can be learnt from it. Choose another column")
    plan.rivals = likely
    if is_class(profile, guess):
        classify(plan, profile)
    elif guess.declaration["type"] == "number":
        regress(plan, profile)
    else:
        kind = guess.declaration["type"]
        raise DataError(
            f"--target {wanted!r} is {kind} with {len(profile.words):,} different values; a target "
            f"has at most {MAX_CLASSES} classes, or is a number. Likelier: {', '.join(plan.rivals[:5]) or 'none'}"
        )


def is_class(profile: Profile, guess: Guess) -> bool:
    """Whether a column has a few values, each in enough rows."""
    kind, distinct = guess.declaration["type"], len(profile.words)
    if kind == "boolean":
        return distinct == 2
    whole = kind == "number" and distinct <= 10 and bool((profile.numbers == np.round(profile.numbers)).all())
    return (kind == "category" or whole) and 2 <= distinct <= MAX_CLASSES and int(profile.counts[1]) >= MIN_CLASS_ROWS


def score(plan: Plan, name: str) -> float:
    """How likely a column is what one wants to predict; 0 where it cannot be."""
    profile, guess = plan.profiles[name], plan.guesses[name]
    listed = list(plan.profiles)
    total = 0.2 + 2 * names.target_score(name)
    total += 0.8 * (name == listed[-1]) + 0.2 * (name == listed[0])
    total -= 0.3 * (profile.missing_share > 0.05)
    sounds = names.target_score(name) > 0
    total -= 0.8 * (names.has(name, names.TIME_WORDS | names.PART_WORDS) and not sounds)
    total -= 0.4 * (guess.declaration["type"] == "number" and not sounds)
    if is_class(profile, guess):
        yes_or_no = 0.1 * (guess.declaration["type"] == "boolean")
        return float(total + 0.5 * (len(profile.words) == 2) + 0.2 * (len(profile.words) <= 5) + yes_or_no)
    return 0.4 * total if guess.declaration["type"] == "number" and len(profile.words) > 10 else 0.0


def classify(plan: Plan, profile: Profile) -> None:
    """Declare a category of the classes that have enough rows; the rarer one of two is the positive one."""
    notes = [note for note in plan.guesses[profile.name].notes if note.startswith("taken as missing")]
    counts = dict(zip(profile.words, profile.counts.tolist(), strict=True))
    merged = spellings(profile.words)
    totals = {word: counts[word] + sum(counts[alias] for alias in aliases) for word, aliases in merged.items()}
    kept = {word: merged[word] for word, count in totals.items() if count >= MIN_CLASS_ROWS}
    if np.isfinite(to_numbers(list(kept))).all():
        kept = dict(sorted(kept.items(), key=lambda item: float(item[0])))
    rare = sorted(set(totals) - set(kept))
    shares = ", ".join(f"{word} {totals[word] / sum(totals.values()):.1%}" for word in kept)
    guess = Guess({"type": "category"}, [f"the target: {shares}", *notes])
    if not profile.num_present < profile.num_rows:
        guess.declaration["required"] = True
    else:
        guess.notes.append(f"{profile.missing_share:.1%} have none: these rows are not learnt from")
    typed_words = profile.typed is not None and any("." in word for word in kept)  # 1.0 is written 1 by `clean`
    if not typed_words:
        guess.declaration["values"] = kept if any(kept.values()) else list(kept)
    if "missing" in plan.guesses[profile.name].declaration:
        guess.declaration["missing"] = plan.guesses[profile.name].declaration["missing"]
    if rare:
        guess.warnings.append(f"classes of fewer than {MIN_CLASS_ROWS} rows are rejected: {', '.join(rare[:5])}")
    if len(kept) == 2 and not typed_words:
        plan.positive = positive_of(sorted(kept, key=lambda word: -totals[word]))
    plan.guesses[profile.name] = guess
    share = min(totals[word] for word in kept) / sum(totals.values())
    if share < 0.1 and len(kept) == 2:
        plan.problems.append(f"{profile.name}: only {share:.1%} of the rows are of the rarer class")
    if share < 0.012:
        plan.sections["validate"] = {"min_class_share": float(f"{share / 2:.1g}")}
        plan.comment("validate", f"min_class_share: the rarest class has {share:.2%}")


def positive_of(words: list[str]) -> str:
    """The word that means yes; else the rarer one. `words` stand in order of frequency."""
    for yes, no in PAIRS:
        if {word.lower() for word in words} == {yes, no}:
            return next(word for word in words if word.lower() == yes)
    return words[-1]


def regress(plan: Plan, profile: Profile) -> None:
    """A number as the target: its median where a few values lie far out, else its mean."""
    values = np.repeat(numbers_of(profile, plan.guesses[profile.name].declaration), profile.counts)
    low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75])
    skewed = abs(float(np.nanmean(values)) - middle) > 0.2 * max(high - low, 1e-12)
    target = {"column": profile.name, "type": "number", **({"loss": "absolute"} if skewed else {})}
    plan.sections["examples"] = {"target": target}
    if skewed:
        plan.comment("examples", "absolute: the median, since a few values lie far out; squared: the mean")
