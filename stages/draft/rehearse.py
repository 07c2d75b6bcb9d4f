"""A plan in; the plan after its own sample went through check, clean and examples as they will run, out.

So limits are measured, not guessed, and leaks are found by the test that would refuse them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract import Contract
from stages.contract.checks import check
from stages.core.errors import DataError, IngotError
from stages.draft.compose import compose
from stages.draft.guess import Guess
from stages.draft.plan import Plan

MAX_ROWS = 50_000  # for the splits: hashing rows and scoring columns take their time
DEFAULT = 0.01
SUSPICIOUS = 0.95


def contract_of(plan: Plan) -> Contract:
    """The draft as the stages will read it. Raises DataError with every mistake in it."""
    from ruamel.yaml import YAML

    contract = Contract(plan.name, YAML(typ="safe", pure=True).load(compose(plan))[plan.name])
    if mistakes := check(contract):
        listing = "\n  ".join(mistakes)
        raise DataError(f"no contract that holds could be drafted for these data:\n  {listing}")
    return contract


def rehearse(plan: Plan) -> None:
    """Set the limits of `clean` and the leaks of `examples` from what happens to the sample."""
    count_duplicates(plan)
    table = clean(plan, contract_of(plan))
    if not table.num_rows:
        raise DataError("every record breaks a rule of this draft; declare the columns by hand")
    table = table.take(pa.array(np.unique(np.linspace(0, table.num_rows - 1, MAX_ROWS).astype(int))))
    find_leaks(plan, contract_of(plan), table)
    split(plan, table)
    contract_of(plan)


def count_duplicates(plan: Plan) -> None:
    """Say how many records repeat another, and how many have the same inputs and another label."""
    inputs = [name for name, guess in plan.declared.items() if is_input(plan, name, guess)]
    records = plan.sample.records.select(list(plan.declared))
    try:
        whole = records.group_by(records.column_names).aggregate([])
        labelled = whole.group_by([*inputs, plan.target]).aggregate([])
        disputed = labelled.group_by(inputs).aggregate([(plan.target, "count")]) if inputs else None
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # pictures, lists
        return
    if repeated := records.num_rows - whole.num_rows:
        plan.comment(
            "clean", f"{repeated:,} of {records.num_rows:,} records repeat another; duplicates: merge keeps one"
        )
        if repeated > 0.01 * records.num_rows:
            plan.problems.append(f"{repeated / records.num_rows:.1%} of the records repeat another one")
    contrary = int((np.asarray(disputed.column(f"{plan.target}_count")) > 1).sum()) if disputed else 0
    if contrary and is_classes(plan):
        plan.comment("clean", f"{contrary:,} inputs come with more than one {plan.target}; see contradictions")
        if contrary > 0.01 * records.num_rows:
            plan.problems.append(
                f"{contrary:,} inputs come with more than one {plan.target}: no model can get both right"
            )


def is_input(plan: Plan, name: str, guess: Guess) -> bool:
    return name != plan.target and guess.declaration["type"] != "id" and bool(guess.declaration.get("input", True))


def clean(plan: Plan, contract: Contract) -> pa.Table:
    """Type the sample as the stage does; declare the limit of each rule that rejects more than it may."""
    from stages.columns import module_of

    records, typed = plan.sample.records, {}
    rules: dict[str, np.ndarray] = {}
    for name, column in contract.columns.items():
        cleaned = module_of(column).clean(name, column, records.column(name).combine_chunks())
        typed[name] = cleaned.values
        rules |= {f"{name}.{rule}": mask for rule, mask in cleaned.broken.items()}
    sound = ~np.logical_or.reduce(list(rules.values())) if rules else np.ones(records.num_rows, bool)
    limits, said = {}, []
    if plan.sample.malformed > DEFAULT / 2:
        limits["malformed"] = limit(plan.sample.malformed)
        said.append(f"measured {plan.sample.malformed:.2%}: {plan.sample.reason}")
    for rule, mask in rules.items():
        share = float(mask.mean())
        name = rule.rpartition(".")[0]
        if share > DEFAULT / 2:
            limits[rule] = limit(share)
            said.append(f"measured {share:.2%}{such_as(plan, name, mask)}")
        if share > 0.05:
            plan.problems.append(f"{share:.1%} of the records are rejected by {rule}: see clean.max_rejected")
        elif share:
            plan.guesses[name].warnings.append(
                f"{int(mask.sum()):,} rejected by {rule.rpartition('.')[2]}{such_as(plan, name, mask)}"
            )
    if limits:
        plan.sections["clean"] = {"max_rejected": {"default": DEFAULT, **limits}}
        plan.comments["clean"] = said + plan.comments.get("clean", [])
    return pa.table(typed).filter(pa.array(sound))


def limit(share: float) -> float:
    """Half as much again, rounded up to two digits."""
    step = 10.0 ** (np.floor(np.log10(share * 1.5)) - 1)
    return float(f"{min(1.0, max(DEFAULT, np.ceil(share * 1.5 / step) * step)):.2g}")


def such_as(plan: Plan, name: str, mask: np.ndarray) -> str:
    """Up to three of the values that a rule refuses, but nobody's personal data."""
    if is_personal(plan, name):
        return ""
    words = [
        value for value in plan.sample.records.column(name).filter(pa.array(mask)).unique().to_pylist()[:3] if value
    ]
    return ", such as " + ", ".join(f'"{str(word)[:30]}"' for word in words) if words else ""


def is_personal(plan: Plan, name: str) -> bool:
    return any(warning.startswith("personal") for warning in plan.guesses[name].warnings)


def find_leaks(plan: Plan, contract: Contract, table: pa.Table) -> None:
    """Keep from the model what nearly gives the target away, as `examples` would demand."""
    from stages.columns import chunk
    from stages.examples import Leaks
    from stages.examples.judge import codes_of, column_score, number_score, ranks

    if plan.target not in table.column_names:
        return
    table = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))  # rows may alternate by class
    score_of, labels = column_score, codes_of(chunk(table, plan.target)) if is_classes(plan) else None
    if labels is None:
        table = table.filter(table.column(plan.target).is_valid())
        score_of, labels = number_score, ranks(chunk(table, plan.target))
    most = Leaks().max_column_score
    for name, column in contract.columns.items():
        guess = plan.guesses[name]
        if name == plan.target or column.type == "id" or not column.input:
            continue
        score = score_of(column, chunk(table, name), labels)
        if score > most - 0.002:
            guess.declaration["input"] = False
            guess.warnings.append(
                f"tells {plan.target} by itself ({score:.3f}): known only afterwards? So kept from the model"
            )
            plan.problems.append(
                f"{name} tells {plan.target} by itself: it looks like a leak, and is kept from the model"
            )
        elif score > SUSPICIOUS:
            guess.warnings.append(f"nearly tells {plan.target} by itself ({score:.3f}): is it known at that time?")


def is_classes(plan: Plan) -> bool:
    return bool(plan.sections["examples"]["target"].get("type", "category") == "category")


def split(plan: Plan, table: pa.Table) -> None:
    """Make the examples as the stage will; mend what can be mended, and say the rest."""
    from stages.examples import make

    for _ in range(3):
        try:
            report = make(table, contract_of(plan), Path())[1]
        except IngotError as error:
            plan.problems.append(str(error))
            return
        if report["passed"] or not mend(plan, report):
            plan.problems += report["reasons"]
            return


def mend(plan: Plan, report: dict[str, Any]) -> bool:
    """Whether something could be done about a refusal."""
    leaked = (report.get("duplicates") or {}).get("leaked")
    examples = plan.sections["examples"]
    if leaked and "leaks" not in examples:
        examples["leaks"] = {"duplicates": "drop"}
        plan.comment("examples", f"{leaked:,} rows equal rows of a later split: dropped from training")
        return True
    mended = False
    for reason in report["reasons"]:
        for name, guess in plan.declared.items():
            if reason.startswith(f"{name} ") and guess.declaration.get("input", True):
                guess.declaration["input"] = False
                guess.warnings.append(reason.split(";")[0].split(": it looks")[0])
                mended = True
    return mended
