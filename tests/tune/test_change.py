"""params.yaml as text: values changed in place, every other byte as it was."""

import pytest

from stages.core.errors import ContractError
from stages.tune.change import change, diff, parse

FLOW = "a: 1\nshop: # c\n  train: {model: mlp, options: {hidden: [64, 32], dropout: 0.3}, epochs: 20} # d\n  z: 1\n"
BLOCK = """\
shop:
  # before
  train:
    model: mlp # which
    options:
      hidden:
        - 64 # wide
        - 32
      # after hidden
      dropout: 0.3

    # at the end
    epochs: 20   # few
  z: 1
"""


def test_a_value_in_flow_style_is_replaced_in_place():
    assert change(FLOW, "shop", {"epochs": 30, "options.dropout": 0.1}) == FLOW.replace("20}", "30}").replace(
        "dropout: 0.3", "dropout: 0.1"
    )


def test_a_list_is_replaced_as_a_whole():
    assert change(FLOW, "shop", {"options.hidden": [16]}) == FLOW.replace("[64, 32]", "[16]")


def test_a_key_that_is_not_there_goes_to_the_end_of_its_mapping():
    assert change(FLOW, "shop", {"learning_rate": 0.00012, "options.set_width": 8}) == (
        "a: 1\nshop: # c\n  train: {model: mlp, options: {hidden: [64, 32], dropout: 0.3, set_width: 8}, epochs: 20, "
        "learning_rate: 0.00012} # d\n  z: 1\n"
    )


def test_block_style_keeps_its_comments_and_blank_lines():
    after = change(BLOCK, "shop", {"options.dropout": 0.1, "epochs": 5, "learning_rate": 1e-05})
    assert after == BLOCK.replace("0.3", "0.1").replace("20   # few", "5   # few\n    learning_rate: 1e-05")
    assert parse(after)["shop"]["train"]["learning_rate"] == 1e-05


def test_a_block_list_is_replaced_and_the_comment_behind_it_stays():
    after = change(BLOCK, "shop", {"options.hidden": [8]})
    assert parse(after)["shop"]["train"]["options"]["hidden"] == [8]
    assert "# after hidden" in after
    assert "# at the end" in after


def test_options_that_are_not_there_are_made():
    assert change("shop:\n  train: {model: mlp}\n", "shop", {"options.dropout": 0.0, "options.hidden": [4]}) == (
        "shop:\n  train: {model: mlp, options: {dropout: 0, hidden: [4]}}\n"
    )


def test_a_value_that_an_alias_shares_is_refused_with_what_to_set_by_hand():
    shared = "shop:\n  train: &t {model: mlp, epochs: 3}\nother:\n  train: *t\n"
    with pytest.raises(ContractError, match=r"Set in shop\.train by hand: epochs: 5"):
        change(shared, "shop", {"epochs": 5})


def test_other_pipelines_and_line_ends_stay():
    text = FLOW.replace("\n", "\r\n") + "other:\r\n  train: {model: mlp, epochs: 20}\r\n"
    assert change(text, "shop", {"epochs": 7}) == text.replace("epochs: 20} # d", "epochs: 7} # d")


def test_a_diff_is_what_git_would_show():
    assert diff("a\nb\n", "a\nc\n", "params.yaml").splitlines() == [
        "--- a/params.yaml", "+++ b/params.yaml", "@@ -1,2 +1,2 @@", " a", "-b", "+c",
    ]  # fmt: skip
    assert diff("a\n", "a\n", "params.yaml") == ""
