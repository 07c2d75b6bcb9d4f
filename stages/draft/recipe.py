"""A plan with a target in; split, model, metric and gates out: fixed recipes by kind and size of data."""

from typing import Any

import numpy as np

from stages.draft import names
from stages.draft.guess import Guess
from stages.draft.plan import Plan

STEPS = 1_500  # of the optimiser: enough for a table to converge


def fill(plan: Plan) -> None:
    """Write the sections that follow `columns`."""
    validate: dict[str, Any] = {"rows": {"min": round_down(plan.sample.num_rows / 2)}}
    plan.sections["validate"] = validate | plan.sections.get("validate", {})
    plan.comment("validate", f"{about(plan)}; half of them would be an accident")
    fill_missing(plan)
    fill_examples(plan)
    plan.sections["features"] = {}
    plan.sections["train"] = train(plan)
    fill_evaluate(plan)
    plan.sections["decide"] = {}
    plan.comment("decide", "the likeliest class. Worth in money: " + worth(plan))
    plan.sections["compress"] = {}


def about(plan: Plan) -> str:
    return f"{'' if plan.sample.exact else 'about '}{plan.sample.num_rows:,} records"


def round_down(value: float) -> int:
    step = 10 ** int(np.floor(np.log10(max(value, 1))))
    return max(1, int(value // step * step))


def fill_missing(plan: Plan) -> None:
    limits = {}
    for name, guess in plan.declared.items():
        share = plan.profiles[name].missing_share
        if share > 0.9:
            limits[name] = 1.0
            plan.comment("validate", f"{name} is missing in {share:.1%}")
        elif share > 0.3:
            guess.notes.append(f"{share:.0%} missing")
    if limits:
        plan.sections["validate"]["max_missing"] = {"default": 0.95, **limits}


def fill_examples(plan: Plan) -> None:
    examples = plan.sections.setdefault("examples", {})
    target: dict[str, Any] = {"column": plan.target}
    if plan.positive is not None:
        target["positive"] = plan.positive
    examples["target"] = target | examples.get("target", {})
    if plan.rivals:
        plan.comment("examples", f"could be predicted as well: {', '.join(plan.rivals[:6])}")
    small = plan.sample.num_rows < 2_000
    split: dict[str, Any] = {"validation": 0.2, "test": 0.2} if small else {}
    if "<split>" in plan.source.options.get("path", ""):
        official(plan)
        split = {"by": "official", "column": "split"}
    elif key := group_key(plan):
        split = {"by": "group", "key": key, **split}
        profile = plan.profiles[key]
        plan.comment(
            "examples",
            f"all rows of one {key} stay on one side: {profile.num_present / len(profile.words):.1f} rows each",
        )
        if profile.missing_share == 0:
            plan.guesses[key].declaration["required"] = True
    elif moment := next(
        (name for name, guess in plan.declared.items() if guess.declaration["type"] == "timestamp"), None
    ):
        plan.comment("examples", time_hint(moment))
    if split:
        examples["split"] = split


def official(plan: Plan) -> None:
    """The folders say what is for training and what for testing."""
    values: dict[str, list[str]] = {"train": [], "test": []}
    for word in plan.profiles["split"].words:
        side = "test" if word.lower().startswith(("test", "val", "dev")) else "train"
        values[side] += [word] if word not in values else []
    plan.guesses["split"] = Guess(
        {"type": "category", "required": True, "values": values, "input": False}, ["the folders' own split"]
    )


def time_hint(column: str) -> str:
    from stages.draft.yaml import flow

    return f"to test on the newest rows, as in use, split: {flow({'by': 'time', 'column': column})}"


def group_key(plan: Plan) -> str | None:
    """The id column whose values come again: rows of one customer must not part."""
    found = []
    for name, guess in plan.declared.items():
        profile = plan.profiles[name]
        if guess.declaration["type"] != "id" or name == plan.target or profile.missing_share > 0.2:
            continue
        rows = profile.num_present / max(len(profile.words), 1)
        if len(profile.words) >= 50 and rows >= 1.2 and profile.counts[0] < 0.05 * profile.num_present:
            found.append((not names.has(name, names.GROUP_WORDS), -rows, name))
    return min(found)[2] if found else None


def train(plan: Plan) -> dict[str, Any]:
    """A model that suits the columns, and as many epochs as make about STEPS steps."""
    types, rows = plan.types, max(plan.sample.num_rows, 1)
    batch = next(size for limit, size in ((1_000, 32), (5_000, 64), (50_000, 256), (np.inf, 1_024)) if rows < limit)
    epochs = int(np.clip(STEPS * batch / rows, 3, 40))
    common = {"threads": 1, "seed": 17}
    if "image" in types:
        return {
            "model": "convnet",
            "epochs": min(epochs, 12),
            "batch_size": min(batch, 128),
            "learning_rate": 0.01,
            **common,
        }
    if "text" in types and len(types) <= 2:
        return {
            "model": "bag",
            "epochs": min(epochs, 10),
            "batch_size": min(batch, 128),
            "learning_rate": 0.02,
            **common,
        }
    if rows < 2_000:  # a small net that forgets much, or it learns the rows by heart
        small = {"hidden": [32], "dropout": 0.3}
        return {
            "model": "mlp",
            "options": small,
            "epochs": 30,
            "batch_size": batch,
            "learning_rate": 0.005,
            "weight_decay": 0.1,
            **common,
        }
    return {
        "model": "mlp",
        "epochs": epochs,
        "batch_size": batch,
        "learning_rate": 0.002,
        "weight_decay": 0.05,
        **common,
    }


def shares(plan: Plan) -> np.ndarray:
    """The classes' shares, the largest first."""
    counts = plan.profiles[plan.target].counts
    return np.asarray(counts / counts.sum())


def fill_evaluate(plan: Plan) -> None:
    if plan.sections["examples"]["target"].get("type") == "number":
        plan.sections["evaluate"], plan.sections["assay"] = {}, {}
        return
    classes = shares(plan)
    if plan.positive is not None:
        metric = "roc_auc" if classes[-1] >= 0.05 else "average_precision"
    else:
        metric = "accuracy" if classes[0] <= 0.7 else "macro_f1"
    rarest = classes[-1] * plan.sample.num_rows
    quick = plan.sample.num_rows <= 5_000 and "image" not in plan.types and rarest >= 30
    plan.sections["evaluate"] = {"metric": metric, **({"folds": 3} if quick else {})}
    plan.sections["assay"] = {"gates": [{"metric": metric, "better_than": "prior"}]}
    plan.comment(
        "assay", f"harder: {{metric: {metric}, better_than: baseline}}, or {{metric: {metric}, at_least: 0.8}}"
    )


def worth(plan: Plan) -> str:
    from stages.draft.yaml import flow

    if plan.positive is None:
        return "{currency: EUR, value: {<action>: {<class>: 1.0, …}, …}}"
    values = plan.guesses[plan.target].declaration.get("values")
    other = next((word for word in values or [] if word != plan.positive), "other")
    gain, none = {plan.positive: 10.0, other: -1.0}, {plan.positive: 0.0, other: 0.0}
    return flow({"currency": "EUR", "value": {"act": gain, "wait": none}})
