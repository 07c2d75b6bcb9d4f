"""A source as the contract writes it in, a package URL or an address out.

A package URL is `pkg:<type>/[<namespace>/]<name>[@<version>][?<qualifiers>]#<member or glob>`
(the purl standard, ECMA-427). Each type is a module of this folder with a function
`download(purl, folder, *, cached) → Download`; `cached(file, sha256)` gives a file already here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core.errors import suggest
from stages.fetch import address
from stages.fetch.address import Address

if TYPE_CHECKING:
    from packageurl import PackageURL

QUALIFIERS: dict[str, tuple[str, ...]] = {"pypi": ("file_name",), "npm": (), "deb": ("arch",)}
FORMS = {
    "pypi": "pkg:pypi/<name>@<version>#<file>",
    "npm": "pkg:npm/%40<scope>/<name>@<version>#<file>",
    "deb": "pkg:deb/debian/<name>@<version>?arch=all#<file>",
}
EXAMPLE = FORMS["pypi"]

# Names and versions become arguments of npm and apt-get: no leading dash, no path, no URL, no range.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
VERSION = re.compile(r"[0-9][0-9A-Za-z.+~:!_-]*")

Cached = Callable[[str, str], Path | None]


@dataclass(frozen=True)
class Download:
    """A package's file where it lies now, its proper name, and the version that it is."""

    version: str
    file: str
    path: Path


def parse(text: str) -> "PackageURL | Address":
    """The package URL or the address that `text` is. Raises ValueError with the fix."""
    if text.startswith("pkg:"):
        return parse_package(text)
    if not text.strip():
        raise ValueError(f"a package URL such as {EXAMPLE}, a web address or a path; it is empty")
    return address.parse(text)


def has_members(text: str) -> bool:
    """Whether a source is an archive, of which `#` names members."""
    place = parse(text)
    return not isinstance(place, Address) or place.member != ""


def parse_package(text: str) -> "PackageURL":
    from packageurl import PackageURL

    try:
        purl = PackageURL.from_string(text)
    except ValueError as error:
        raise ValueError(f"a package URL such as {EXAMPLE}; {text}: {error}") from None
    known = QUALIFIERS.get(purl.type)
    if known is None:
        raise ValueError(
            f"a package of the types {', '.join(QUALIFIERS)}; {text} has the type "
            f"{purl.type!r}.{suggest(purl.type, QUALIFIERS)}"
        )
    if not purl.subpath:
        raise ValueError(f"a package URL with the wanted files after '#', such as {text}#data/*.csv")
    for name in purl.qualifiers:
        if name not in known:
            allowed = f"allowed: {', '.join(known)}" if known else f"pkg:{purl.type} has none"
            raise ValueError(
                f"a package URL without the qualifier {name!r} ({allowed}). Which registry is asked is set up in "
                f"the {purl.type} client's own configuration"
            )
    check_words(purl, text)
    return purl


def check_words(purl: "PackageURL", text: str) -> None:
    """Refuse what a client could take for an option, a path, a URL or a range of versions."""
    scope = purl.namespace or ""
    if scope and (purl.type == "pypi" or (purl.type == "npm" and not scope.startswith("@"))):
        raise ValueError(f"a package URL of the form {FORMS[purl.type]}; {text} has {scope!r} before the name")
    for word in (scope.removeprefix("@"), purl.name, *purl.qualifiers.values()):
        if word and not NAME.fullmatch(word):
            raise ValueError(f"a package URL of the form {FORMS[purl.type]}; {text} holds {word!r}")
    if purl.version and not VERSION.fullmatch(purl.version):
        raise ValueError(
            f"a package URL with one exact version; {text} has {purl.version!r}. Without @version, `fetch "
            "--refresh` takes the newest and the lock pins it"
        )


def full_name(purl: "PackageURL") -> str:
    """The name that the client knows: npm's with its scope."""
    return f"{purl.namespace}/{purl.name}" if purl.type == "npm" and purl.namespace else purl.name


def label(purl: "PackageURL") -> str:
    """The package as people write it: name and version."""
    return f"{full_name(purl)} {purl.version}" if purl.version else full_name(purl)
