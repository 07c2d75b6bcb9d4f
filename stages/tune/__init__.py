"""Declared ranges in; the best setting that a search on validation finds, as a change to params.yaml to review, out.

A tool beside the stages, run by a person: `python -m stages.tune PIPELINE`. No stage imports it, DVC does not know it,
and `<pipeline>.tune` is no stage's section. It reads the train and validation arrays of `features`, never the test
split. What it learns is kept below data/.tune/<pipeline>/ and can be deleted at any time.
"""
