"""Each package client, the real one, against packages and registries on this machine."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fetch_project import SALES, Pages, Project, deb_bytes, tar_bytes

from stages.core.errors import SourceError
from stages.fetch import pypi
from stages.fetch.sources import parse

Fails = Callable[[Callable[[], None]], str]
Serve = Callable[[Pages], str]
MEMBER = "salesdata/data/sales.csv"


def locked_file(project: Project) -> str:
    [package] = [source.package for source in project.lock().sources]
    assert package is not None
    return package.file


def test_the_newest_stable_version_is_locked_until_the_next_refresh(project: Project) -> None:
    project.wheel({MEMBER: SALES}, version="1.9")
    project.wheel({MEMBER: b"beta"}, version="2.0b1")
    project.declare(f"pkg:pypi/salesdata#{MEMBER}")
    project.refresh()
    assert locked_file(project) == "salesdata-1.9-py3-none-any.whl"
    project.wheel({MEMBER: b"newer"}, version="1.10")
    project.fetch()
    assert project.raw() == {"sales.csv": SALES}
    changes = project.refresh()
    assert [file.path for file in changes.changed] == ["sales.csv"]
    assert changes.sources[0].startswith("~ salesdata-1.9-py3-none-any.whl (")
    project.fetch()
    assert project.raw() == {"sales.csv": b"newer"}


def test_a_new_version_with_the_same_files_is_no_new_data(project: Project) -> None:
    project.wheel({MEMBER: SALES}, version="1.0")
    project.declare(f"pkg:pypi/salesdata#{MEMBER}")
    project.refresh()
    project.wheel({MEMBER: SALES}, version="1.1")
    changes = project.refresh()
    assert not changes.any
    assert len(changes.sources) == 1
    assert locked_file(project) == "salesdata-1.1-py3-none-any.whl"


def chosen(project: Project, source: str) -> str:
    """The file that a package URL means, among those in the project's folder of packages."""
    purl = parse(source)
    assert purl is not None
    config = {"no-index": "1", "find-links": str(project.links)}
    with pypi.client(config) as session:
        found, problems = pypi.offers(purl, session, config=config)
        return pypi.choose(purl, found, problems=problems).link.filename


def test_a_wheel_for_all_platforms_comes_before_other_files(project: Project) -> None:
    wheel = project.wheel({MEMBER: SALES})
    project.sdist({"src/sales.csv": SALES})
    shutil.copy(wheel, project.links / "salesdata-1.0-cp312-cp312-win_amd64.whl")
    assert chosen(project, "pkg:pypi/salesdata@1.0#x") == "salesdata-1.0-py3-none-any.whl"
    wheel.unlink()
    assert chosen(project, "pkg:pypi/salesdata@1.0#x") == "salesdata-1.0-cp312-cp312-win_amd64.whl"
    asked = "salesdata-1.0.tar.gz"
    assert chosen(project, f"pkg:pypi/salesdata@1.0?file_name={asked}#x") == asked
    with pytest.raises(SourceError, match=r"has no file x\.zip\. It has: salesdata-1\.0-cp312-cp312-win_amd64\.whl, "):
        chosen(project, "pkg:pypi/salesdata@1.0?file_name=x.zip#x")


def test_a_release_that_was_withdrawn_is_taken_only_when_asked_for(project: Project) -> None:
    links = (
        '<a href="salesdata-1.0-py3-none-any.whl">a</a><a href="salesdata-2.0-py3-none-any.whl" data-yanked="">b</a>'
    )
    project.write({"links/index.html": links.encode()})
    assert chosen(project, "pkg:pypi/salesdata#x") == "salesdata-1.0-py3-none-any.whl"
    assert chosen(project, "pkg:pypi/salesdata@2.0#x") == "salesdata-2.0-py3-none-any.whl"


@pytest.mark.parametrize("version", ["1.1", "1..2"])
def test_an_unknown_version_is_answered_with_those_on_offer(project: Project, version: str) -> None:
    project.wheel({MEMBER: SALES}, version="1.0")
    project.wheel({MEMBER: SALES}, version="1.2")
    with pytest.raises(
        SourceError, match=rf"salesdata {version} is not on offer\. The newest versions are: 1\.2, 1\.0"
    ):
        chosen(project, f"pkg:pypi/salesdata@{version}#x")


def test_indexes_that_do_not_exist_are_passed_over(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "file:///nowhere/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple file:///nowhere-else/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", f"/nowhere/wheels {project.links}")
    project.wheel({MEMBER: SALES})
    project.declare(f"pkg:pypi/salesdata@1.0#{MEMBER}")
    project.refresh()
    assert locked_file(project) == "salesdata-1.0-py3-none-any.whl"


def test_pip_conf_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.wheel({MEMBER: SALES})
    (project.root / "pip.conf").write_text(
        f"[global]\nno-index = true\nfind-links =\n    {project.links}\n    /nowhere\n"
    )
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(project.root / "pip.conf"))
    project.declare(f"pkg:pypi/salesdata@1.0#{MEMBER}")
    project.refresh()
    assert locked_file(project) == "salesdata-1.0-py3-none-any.whl"


def test_without_a_network_the_message_tells_what_was_asked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    project.declare(f"pkg:pypi/salesdata@1.0#{MEMBER}")
    with pytest.raises(SourceError) as raised:
        project.refresh()
    text = str(raised.value)
    assert text.startswith("no index that pip is set up with offers salesdata. Check the name, the network and `pip")
    assert "http://***@127.0.0.1:9/simple: " in text
    assert "secret" not in text


@pytest.fixture
def index(project: Project, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Offers a wheel on an index over HTTP, whole or cut short."""

    def offer(*, kind: str = "application/zip", sha256: str | None = None) -> Path:
        wheel = project.wheel({MEMBER: SALES * 10_000})
        digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
        page = f'<a href="/files/{wheel.name}#sha256={digest}">{wheel.name}</a>'
        pages = {
            "/simple/salesdata/": ("text/html", page.encode()),
            f"/files/{wheel.name}": (kind, wheel.read_bytes()),
        }
        monkeypatch.delenv("PIP_NO_INDEX", raising=False)
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"{serve(pages)}/simple")
        project.declare(f"pkg:pypi/salesdata@1.0#{MEMBER}")
        return wheel

    return offer


def test_an_index_over_http(project: Project, index: Callable[..., Path]) -> None:
    index()
    project.refresh()
    project.fetch()
    assert project.raw() == {"sales.csv": SALES * 10_000}


def test_a_download_cut_short_is_an_error_and_leaves_nothing(project: Project, index: Callable[..., Path]) -> None:
    index(kind="application/zip; cut")
    with pytest.raises(
        SourceError, match=r"(?s)could not be downloaded from http.*expected 290146.*nothing of it was kept"
    ):
        project.refresh()
    assert list(project.packages.iterdir()) == []


def test_a_download_that_is_not_what_the_index_promises(project: Project, index: Callable[..., Path]) -> None:
    index(sha256="0" * 64)
    with pytest.raises(SourceError, match="Hash mismatch"):
        project.refresh()
    assert list(project.packages.iterdir()) == []


def test_a_package_changed_after_it_was_locked_is_refused(project: Project, fails: Fails) -> None:
    project.wheel({MEMBER: SALES})
    project.declare(f"pkg:pypi/salesdata@1.0#{MEMBER}")
    project.refresh()
    shutil.rmtree(project.packages)
    project.wheel({MEMBER: SALES + b"3,9.99\n"})
    said = fails(project.fetch)
    assert "salesdata 1.0: the downloaded salesdata-1.0-py3-none-any.whl has " in said
    assert "the lock says " in said
    assert "python -m stages.fetch --refresh shop" in said
    assert not project.out.exists()
    assert list(project.packages.iterdir()) == []


def test_a_cached_package_is_not_asked_for_again(project: Project) -> None:
    wheel = project.wheel({MEMBER: SALES})
    project.declare(f"pkg:pypi/salesdata@1.0#{MEMBER}")
    project.refresh()
    wheel.unlink()
    project.fetch()
    assert project.raw() == {"sales.csv": SALES}


def test_a_damaged_cache_is_noticed_and_filled_again(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.wheel({MEMBER: SALES})
    project.declare(f"pkg:pypi/salesdata@1.0#{MEMBER}")
    project.refresh()
    [cached] = project.packages.glob("*/*")
    cached.write_bytes(cached.read_bytes()[:-1] + b"X")
    project.fetch()
    assert project.raw() == {"sales.csv": SALES}
    assert "is damaged; downloading salesdata-1.0-py3-none-any.whl again" in capsys.readouterr().err


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def registry(project: Project, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """An npm registry that offers @shop/mails 1.0.0 and 1.1.0, whose install script must not run."""
    monkeypatch.setenv("npm_config_cache", str(project.root / "npm-cache"))
    monkeypatch.setenv("npm_config_userconfig", str(project.root / "npmrc"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    pages: Pages = {}
    url = serve(pages)
    monkeypatch.setenv("npm_config_registry", f"{url}/")
    versions = {}
    for version in ("1.0.0", "1.1.0"):
        touch = f"touch {project.root / 'script-was-run'}"
        scripts = {"prepare": touch, "prepack": touch, "install": touch}
        about = {"name": "@shop/mails", "version": version, "scripts": scripts}
        files = {
            "data/ham/1.txt": b"hello",
            "data/spam/2.txt": version.encode(),
            "package.json": json.dumps(about).encode(),
        }
        tarball = tar_bytes({f"package/{name}": content for name, content in files.items()})
        pages[f"/mails-{version}.tgz"] = ("application/octet-stream", tarball)
        shasum = hashlib.sha1(tarball, usedforsecurity=False).hexdigest()
        versions[version] = {**about, "dist": {"tarball": f"{url}/mails-{version}.tgz", "shasum": shasum}}
    packument = {"name": "@shop/mails", "dist-tags": {"latest": "1.1.0"}, "versions": versions}
    pages["/@shop%2fmails"] = ("application/json", json.dumps(packument).encode())


@needs_npm
def test_npm_packs_and_runs_nothing(project: Project, registry: None) -> None:
    project.declare("pkg:npm/%40shop/mails@1.0.0#data/**/*.txt")
    project.refresh()
    project.fetch()
    assert project.raw() == {"ham/1.txt": b"hello", "spam/2.txt": b"1.0.0"}
    assert locked_file(project) == "shop-mails-1.0.0.tgz"
    assert not (project.root / "script-was-run").exists()


@needs_npm
def test_npm_without_a_version_takes_the_newest(project: Project, registry: None) -> None:
    project.declare("pkg:npm/%40shop/mails#data/**/*.txt")
    project.refresh()
    assert locked_file(project) == "shop-mails-1.1.0.tgz"


@needs_npm
def test_npm_lists_the_versions_on_offer(project: Project, registry: None) -> None:
    project.declare("pkg:npm/%40shop/mails@1.0.1#data/**/*.txt")
    with pytest.raises(
        SourceError, match=r"npm offers no @shop/mails 1\.0\.1\..* The newest versions: 1\.1\.0, 1\.0\.0"
    ):
        project.refresh()


@needs_npm
def test_npm_knows_no_such_package(project: Project, registry: None) -> None:
    project.declare("pkg:npm/%40shop/mials@1.0.0#data/**/*.txt")
    with pytest.raises(SourceError, match=r"npm knows no package @shop/mials\. Check the name, and the registry"):
        project.refresh()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("pkg:npm/mails@1.0.0#a", "the program `npm` was not found, and pkg:npm sources need it. Install Node.js"),
        ("pkg:deb/debian/mails@1.0#a", "the program `apt-get` was not found, and pkg:deb sources need it. Install apt"),
    ],
)
def test_a_missing_client_is_named_with_what_to_install(
    project: Project, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.setenv("PATH", str(project.root))
    project.declare(source)
    with pytest.raises(SourceError) as raised:
        project.refresh()
    assert str(raised.value).startswith(message)


needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is not installed")


@pytest.fixture
def apt(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt of its own, whose one repository offers salesdata 1:2.0-1, in a file-system tree."""
    offered, state = project.root / "repository", project.root / "apt"
    for folder in (offered, state / "lists" / "partial", state / "cache" / "archives" / "partial", state / "etc"):
        folder.mkdir(parents=True)
    control = "Package: salesdata\nVersion: 1:2.0-1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    data = tar_bytes({"./usr/share/sales/a.csv": SALES}, links={"./usr/share/sales/b.csv": "a.csv"})
    deb = offered / "salesdata_2.0-1_all.deb"
    deb.write_bytes(deb_bytes(data, control=control))
    about = (
        f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"
    )
    (offered / "Packages").write_text(f"{control}{about}\n")
    (state / "sources.list").write_text(f"deb [trusted=yes] file:{offered} ./\n")
    (state / "status").touch()
    (state / "apt.conf").write_text(
        f'Dir::State "{state}"; Dir::State::status "{state}/status"; Dir::Cache "{state}/cache";\n'
        f'Dir::Etc::sourcelist "{state}/sources.list"; Dir::Etc::sourceparts "{state}/etc";\n'
        'APT::Sandbox::User ""; Acquire::Languages "none";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(state / "apt.conf"))
    return deb


def update() -> None:
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)


@needs_apt
def test_apt_downloads_and_dpkg_reads(project: Project, apt: Path) -> None:
    update()
    project.declare("pkg:deb/debian/salesdata@1:2.0-1?arch=all#usr/share/sales/*.csv")
    project.refresh()
    project.fetch()
    assert project.raw() == {"a.csv": SALES}
    assert locked_file(project) == "salesdata_1%3a2.0-1_all.deb"
    shutil.rmtree(project.packages)
    project.fetch()
    assert project.raw() == {"a.csv": SALES}


@needs_apt
def test_apt_without_a_version_takes_the_newest(project: Project, apt: Path) -> None:
    update()
    project.declare("pkg:deb/debian/salesdata#usr/share/sales/a.csv")
    project.refresh()
    [package] = [source.package for source in project.lock().sources]
    assert package is not None
    assert package.version == "1:2.0-1"


@needs_apt
def test_an_old_version_is_answered_with_what_apt_offers(project: Project, apt: Path) -> None:
    update()
    project.declare("pkg:deb/debian/salesdata@1:1.0-1#usr/share/sales/a.csv")
    with pytest.raises(SourceError, match=r"apt offers no salesdata 1:1\.0-1\. It offers: 1:2\.0-1\."):
        project.refresh()


@needs_apt
def test_without_package_lists_the_message_says_apt_get_update(project: Project, apt: Path) -> None:
    project.declare("pkg:deb/debian/salesdata#usr/share/sales/a.csv")
    with pytest.raises(SourceError, match=r"apt knows no package salesdata: .*\nRun `apt-get update` once"):
        project.refresh()


@needs_apt
def test_a_deb_that_apt_cannot_get_is_an_error(project: Project, apt: Path) -> None:
    update()
    apt.write_bytes(apt.read_bytes()[:-10])
    project.declare("pkg:deb/debian/salesdata@1:2.0-1#usr/share/sales/a.csv")
    with pytest.raises(SourceError, match=r"apt-get could not download salesdata 1:2\.0-1: E:"):
        project.refresh()
    assert list(project.packages.iterdir()) == []
