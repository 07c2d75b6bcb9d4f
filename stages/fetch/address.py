"""A source that is no package URL in, its parts out: where its file is, and what is wanted of an archive.

A path, `https://host/x.csv`, `s3://bucket/data/*.parquet`; behind an archive, `#` and its members:
`https://host/x.zip#data/*.csv`. Credentials come from the environment, never from the contract.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from stages.core.errors import ContractError, suggest
from stages.fetch.pattern import has_wildcard

ARCHIVES = tuple(".zip .whl .tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz .txz .tar.zst .tzst .gz .bz2 .xz .zst".split())
WEB = ("https", "http")
SIGNATURES = {"x-amz-signature": "s3://", "x-goog-signature": "gs://", "sig": "az://"}
# fsspec's own wrappers and what reaches this machine only: no place that a second machine could fetch from.
NO_PLACE = re.compile(
    "file|local|memory|data|dir|zip|tar|libarchive|reference|dask|jupyter|lakefs|generic|async_wrapper|asynclocal|"
    ".*cache|.*cached|cached"
)
CREDENTIALS = {
    "https": "a line `machine HOST login USER password …` in ~/.netrc, or in the file that NETRC names",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_ENDPOINT_URL where it is not "
    "Amazon's; for a public bucket FSSPEC_S3='{\"anon\": true}'",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
SAME = {"http": "https", "s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az"}


@dataclass(frozen=True)
class Address:
    """`place` is a path below the project (`scheme` is '') or a URL; `member` a path or glob in that archive."""

    scheme: str
    place: str
    member: str = ""

    @property
    def remote(self) -> bool:
        return self.scheme != ""

    @property
    def name(self) -> str:
        """The file's name: what a web address ends in, unquoted."""
        path = urlsplit(self.place).path if self.scheme in WEB else self.place
        name = path.rsplit("/", 1)[-1]
        return unquote(name) if self.scheme in WEB else name

    @property
    def listed(self) -> bool:
        """Whether `place` is a pattern, for which a folder must be listed."""
        return self.scheme not in WEB and has_wildcard(self.place)


def parse(text: str) -> Address:
    """Raises ValueError with the fix, and ContractError where repeating the text would spread a password."""
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme:
        refuse_credentials(text, scheme)
    elif text.startswith(("/", "~")):
        raise ValueError(
            f"a path relative to the folder of params.yaml; {text} would hold on this machine only: move the data "
            "below the project, or put a link to it there"
        )
    head, mark, member = text.partition("#")
    if mark and not head.lower().endswith(ARCHIVES) and scheme not in WEB:
        head, mark, member = text, "", ""  # `#` is a letter like others in paths and in the keys of buckets
    address = Address(scheme, head, member)
    if mark:
        check_member(address, text)
    if scheme in WEB:
        check_web(address, text)
    elif scheme:
        check_scheme(address, text)
    return address


def check_member(address: Address, text: str) -> None:
    if not address.member:
        raise ValueError(f"the wanted files after '#', such as {text}data/*.csv")
    if not address.name.lower().endswith(ARCHIVES):
        raise ValueError(
            f"an archive before '#' ({', '.join(ARCHIVES)}); {address.name or address.place} is none of them"
        )
    if address.listed:
        raise ValueError(f"one archive before '#'; {text} has a wildcard there: name each archive")


def check_web(address: Address, text: str) -> None:
    parts = urlsplit(address.place)
    if not parts.hostname:
        raise ValueError(f"a web address such as https://example.org/sales.csv; {text} names no host")
    if address.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"https://; {text} comes over http, where anyone on the way may change it (http:// is for servers on "
            "this machine)"
        )
    if "*" in parts.path:
        raise ValueError(f"one file; web servers list no folders, so {text} cannot have a wildcard: name each file")
    if not re.fullmatch(r"[^/\\\0]+", address.name) or address.name in (".", ".."):
        raise ValueError(f"a web address that ends in a file's name; {text} does not")


def check_scheme(address: Address, text: str) -> None:
    from fsspec.registry import known_implementations

    scheme = address.scheme
    places = sorted(name for name in known_implementations if not NO_PLACE.fullmatch(name))
    if "::" in text:
        raise ValueError(f"one address; {text} chains several. Archives are read by '#': s3://bucket/x.zip#data/*.csv")
    if scheme not in places:
        hint = " For files below the project write their path." if scheme in ("file", "local") else ""
        raise ValueError(
            f"an address of the kinds https, s3, gs, az or another that fsspec knows; {text} has the kind "
            f"{scheme!r}.{hint or suggest(scheme, [*WEB, *places])}"
        )
    bucket, slash, _ = text.partition("://")[2].partition("/")
    if has_wildcard(bucket):
        raise ValueError(f"one bucket or host; {text} has a wildcard there")
    if not address.name or not bucket or not slash:
        raise ValueError(
            f"files, such as {scheme}://bucket/data/*.parquet; {text} names none. For all files of a folder add **"
        )


def refuse_credentials(text: str, scheme: str) -> None:
    """Raises ContractError, without the secret, where the URL holds one."""
    parts = urlsplit(text)
    user, at, _ = parts.netloc.rpartition("@")
    where = credentials(scheme)
    if at and (scheme in WEB or ":" in user):  # sftp://user@host and abfs://container@account hold no secret
        raise ContractError(
            f"fetch.from: {without_secret(parts)} holds a user or a password, which git and the lock would keep for "
            f"ever. Write the address without them; they are taken from the environment: {where}"
        )
    for key in parse_qs(parts.query) if scheme in WEB else ():
        if key.lower() in SIGNATURES:
            raise ContractError(
                f"fetch.from: {without_secret(parts)} is a signed address ({key}), which is a password and expires. "
                f"Write {SIGNATURES[key.lower()]}<bucket>/<file>; credentials are taken from the environment: "
                f"{credentials(SIGNATURES[key.lower()].removesuffix('://'))}"
            )


def credentials(scheme: str) -> str:
    """Where the credentials for a scheme are looked for."""
    return CREDENTIALS.get(SAME.get(scheme, scheme), f"FSSPEC_{scheme.upper()}_<OPTION>, as fsspec reads them")


def without_secret(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{'***@' if '@' in parts.netloc else ''}{host}{parts.path}{'?***' if parts.query else ''}"


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
