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
from stages.fetch import Section, address
from stages.fetch.pattern import fixed_folder, matcher


def section(value: object) -> Section:
    return parse(Section, {"from": value}, "shop.fetch")


def test_one_source_or_several() -> None:
    assert section("raw/a.csv").from_ == ("raw/a.csv",)
    both = ["raw/a.csv", "pkg:npm/%40stdlib/datasets-spam-assassin@0.2.3#data/**/*.txt"]
    assert section(both).from_ == tuple(both)


MIRRORED = {"url": "https://a.org/x.csv", "mirrors": ["s3://b/x.csv", "https://c.org/y.csv"]}


def test_mirrors_stand_beside_their_source() -> None:
    read = section([MIRRORED, "raw/a.csv"])
    assert read.mirrors == {"https://a.org/x.csv": ("s3://b/x.csv", "https://c.org/y.csv"), "raw/a.csv": ()}


@pytest.mark.parametrize(
    ("text", "scheme", "place", "member", "name"),
    [
        ("raw/a.csv", "", "raw/a.csv", "", "a.csv"),
        ("raw/a.zip#b/*.csv", "", "raw/a.zip", "b/*.csv", "a.zip"),
        ("raw/#1.csv", "", "raw/#1.csv", "", "#1.csv"),
        ("https://a.org/x%20y.csv?v=2", "https", "https://a.org/x%20y.csv?v=2", "", "x y.csv"),
        ("https://a.org/x.ZIP?v=2#*", "https", "https://a.org/x.ZIP?v=2", "*", "x.ZIP"),
        ("http://localhost:8000/a.csv", "http", "http://localhost:8000/a.csv", "", "a.csv"),
        ("http://[::1]/a.csv", "http", "http://[::1]/a.csv", "", "a.csv"),
        ("s3://b/data/**/*.parquet", "s3", "s3://b/data/**/*.parquet", "", "*.parquet"),
        ("s3://b/#1.csv", "s3", "s3://b/#1.csv", "", "#1.csv"),
        ("s3://b/x.tar.zst#a", "s3", "s3://b/x.tar.zst", "a", "x.tar.zst"),
        ("sftp://user@host/a.csv", "sftp", "sftp://user@host/a.csv", "", "a.csv"),
        ("abfs://container@account/a.csv", "abfs", "abfs://container@account/a.csv", "", "a.csv"),
    ],
)
def test_an_address_is_taken_apart(text: str, scheme: str, place: str, member: str, name: str) -> None:
    read = address.parse(text)
    assert (read.scheme, read.place, read.member, read.name) == (scheme, place, member, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://me:secret@a.org/x.csv", "fetch.from: https://***@a.org/x.csv holds a user or a password"),
        ("https://secret@a.org/x.csv", "a line `machine HOST login USER password …` in ~/.netrc"),
        ("s3://key:secret@b/x.csv", "taken from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("sftp://me:secret@host/x.csv", "FSSPEC_SFTP_<OPTION>"),
        ("https://b.s3.amazonaws.com/x.csv?X-Amz-Signature=secret", "Write s3://<bucket>/<file>; credentials"),
        ("https://a.blob.core.windows.net/c/x.csv?sv=1&sig=secret", "Write az://<bucket>/<file>"),
    ],
)
def test_a_password_is_refused_and_not_repeated(text: str, message: str) -> None:
    for value in (text, {"url": text, "mirrors": []}):
        with pytest.raises(ContractError) as refused:
            section(value)
        assert message in str(refused.value)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "shop.fetch.from is 3; expected a package URL such as pkg:pypi/<name>@<version>#<file>, an address"),
        ([], "or a list of them"),
        (["a", 1], "or a list of them"),
        ("", "it is empty"),
        ("http://example.org/a.csv", "comes over http, where anyone on the way may change it"),
        ("http://127.0.0.1.evil.org/a.csv", "comes over http"),
        ("https://example.org/", "a web address that ends in a file's name"),
        ("https://example.org", "a web address that ends in a file's name"),
        ("https://example.org/..%2Fa.csv", "a web address that ends in a file's name"),
        ("https://example.org/*.csv", "web servers list no folders"),
        ("https:///a.csv", "names no host"),
        ("https://example.org/a.csv#b", "an archive before '#' (.zip, "),
        ("https://example.org/a.zip#", "the wanted files after '#'"),
        ("s3://b/*.zip#a", "one archive before '#'"),
        ("s3://b/", "names none. For all files of a folder add **"),
        ("s3://b", "names none"),
        ("s3://*/a.csv", "one bucket or host"),
        ("simplecache::s3://b/a.csv", "chains several. Archives are read by '#'"),
        ("htps://b/a.csv", "has the kind 'htps'. Did you mean 'https'?"),
        ("file:///etc/passwd", "has the kind 'file'. For files below the project write their path."),
        ({"url": "https://a.org/x"}, "{url: …, mirrors: […]}"),
        ({"url": "https://a.org/x", "mirror": []}, "{url: …, mirrors: […]}"),
        ({"url": "https://a.org/x", "mirrors": "https://b.org/x"}, "{url: …, mirrors: […]}"),
        ({"url": "raw/a.csv", "mirrors": []}, "mirrors of addresses such as https://host/file; raw/a.csv is not one"),
        ({"url": "https://a.org/x", "mirrors": ["pkg:pypi/a@1#x"]}, "pkg:pypi/a@1#x is not one"),
        ({"url": "https://a.org/x.zip#a", "mirrors": ["https://b.org/x.zip#a"]}, "mirrors without '#'"),
        ({"url": "s3://a/*", "mirrors": ["https://b.org/x"]}, "all have a wildcard, or none of them"),
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
    heavy = (
        "{'unearth', 'packageurl', 'httpx2', 'fsspec', 'zstandard', 'packaging', 'tarfile', 'torch', 'pandas', 'numpy'}"
    )
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
