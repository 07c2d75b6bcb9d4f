"""An address that fsspec knows (s3, gs, az, sftp …) in, its files and their bytes out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stages.fetch.address import SAME, Address, credentials
from stages.fetch.pattern import fixed_folder, matcher
from stages.fetch.transport import UNKNOWN, Reply, Unreachable, Version

CHUNK_BYTES = 8 << 20  # one request each
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "oss": "ossfs", "sftp": "paramiko", "ssh": "paramiko"}
PACKAGES |= {"smb": "smbprotocol", "hf": "huggingface_hub"}
ETAGS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "sha256")  # as the implementations name it
TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified")


@dataclass(frozen=True)
class Found:
    """A file below a pattern's fixed folder: its name there, its URL, and what the listing says of it."""

    name: str
    url: str
    version: Version


def filesystem(address: Address) -> Any:
    """fsspec's file system for an address. Raises Unreachable, with the package that is missing."""
    from fsspec.core import url_to_fs

    try:
        found: Any = url_to_fs(address.place, skip_instance_cache=True, use_listings_cache=False)[0]
    except ImportError as error:
        package = PACKAGES.get(SAME.get(address.scheme, address.scheme))
        fix = f"Install it: `pip install {package}`" if package else str(error)
        raise Unreachable(f"it needs an implementation of {address.scheme}://, which is not installed. {fix}") from None
    except Exception as error:  # what an implementation raises is its own affair
        raise Unreachable(reason(error, address.scheme)) from None
    return found


def find(address: Address, system: Any) -> list[Found]:
    """The files that a pattern means, by the rules of local ones. Raises Unreachable."""
    folder = fixed_folder(address.place)
    base = system._strip_protocol(folder).rstrip("/") + "/"
    wanted = matcher(address.place.removeprefix(folder))
    try:
        listing: Mapping[str, Any] = system.glob(address.place, detail=True)
    except Exception as error:
        raise Unreachable(reason(error, address.scheme)) from None
    files = {path.removeprefix(base): info for path, info in listing.items() if info.get("type") == "file"}
    found = [Found(name, folder + name, version_of(info)) for name, info in files.items() if wanted(name)]
    if not found:
        raise Unreachable("no file is there")
    return sorted(found, key=lambda one: one.name)


@contextmanager
def opened(
    system: Any, url: str, *, offset: int = 0, version: Version = UNKNOWN, unless: Version = UNKNOWN
) -> Iterator[Reply]:
    """As `web.opened`. Implementations try again by themselves; only a broken stream is ours to resume."""
    scheme = url.partition("://")[0]
    path = system._strip_protocol(url)
    try:
        now = version_of(system.info(path))
        if unless.same(now):
            yield Reply(now, iter(()), unchanged=True)
            return
        start = offset if version.same(now) or not version.known else 0
        stream = system.open(path, "rb", block_size=CHUNK_BYTES, cache_type="none")
    except OSError as error:
        raise Unreachable(reason(error, scheme)) from None
    except Exception as error:  # botocore's, aiohttp's, google's: each has a tree of its own
        raise Unreachable(reason(error, scheme)) from None
    try:
        yield Reply(now, pieces(stream, start, scheme), start)
    finally:
        stream.close()


def pieces(stream: Any, start: int, scheme: str) -> Iterator[bytes]:
    try:
        stream.seek(start)
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
    except Exception as error:
        raise Unreachable(reason(error, scheme), retry=True) from None


def version_of(info: Mapping[str, Any]) -> Version:
    etag = next((str(info[key]) for key in ETAGS if info.get(key)), "")
    modified = next((str(info[key]) for key in TIMES if info.get(key)), "") if not etag else ""  # spelt in many ways
    size = info.get("size")
    return Version(etag, modified, int(size) if size is not None else None)


def reason(error: Exception, scheme: str) -> str:
    """An implementation's exception as a sentence, with where credentials belong if it may be about them."""
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"there is no such file or bucket: {error}"
    text = f"{error}" or kind
    if isinstance(error, PermissionError) or "redential" in kind + text or "Unauthorized" in kind:
        return f"{text} (credentials are taken from the environment: {credentials(scheme)})"
    return text if isinstance(error, OSError) and text != kind else f"{kind}: {text}"
