"""A pkg:npm URL in, the package's tarball out, through `npm pack` (which installs and runs nothing)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.errors import SourceError, suggest
from stages.fetch.client import Ran, require, run
from stages.fetch.sources import Cached, Download, full_name, label

if TYPE_CHECKING:
    from packageurl import PackageURL

MAX_LISTED = 12


def download(purl: "PackageURL", folder: Path, *, cached: Cached) -> Download:
    """Fetch the tarball into `folder`. npm checks its sha512 and keeps a cache of its own, so
    `cached` is not asked: a second `npm pack` costs a look at the registry, not a download.
    """
    npm = require("npm", needed_by="pkg:npm sources", install="Node.js with npm (Debian: `apt-get install npm`)")
    name = full_name(purl)
    command = [
        npm,
        "pack",
        "--ignore-scripts",
        "--json",
        "--pack-destination",
        str(folder),
        "--",
        f"{name}@{purl.version or 'latest'}",
    ]
    ran = run(command, folder=folder, label=f"npm pack {label(purl)}")
    if ran.returncode:
        raise SourceError(explain(purl, ran, npm=npm, folder=folder))
    packed = answer(ran.output)
    version = str(packed[0]["version"]) if isinstance(packed, list) and packed else ""
    tarballs = list(folder.glob("*.tgz"))
    if not version or len(tarballs) != 1:
        raise SourceError(
            f"`npm pack {name}` left {len(tarballs)} tarballs and said {ran.output[:200]!r}; expected one, and its "
            "version. Update npm: `npm install -g npm`"
        )
    if purl.version and version != purl.version:
        raise SourceError(f"{label(purl)} is not one exact version: npm gave {version}. Write @{version}")
    return Download(version, tarballs[0].name, tarballs[0])


def answer(output: str) -> Any:
    try:
        return json.loads(output)
    except json.JSONDecodeError:
        return None


def explain(purl: "PackageURL", ran: Ran, *, npm: str, folder: Path) -> str:
    """What npm could not do, and the fix."""
    name = full_name(purl)
    said = answer(ran.output)
    problem = said.get("error", {}) if isinstance(said, dict) else {}
    code = problem.get("code", "")
    if code == "E404":
        return f"npm knows no package {name}. Check the name, and the registry: `npm config get registry`"
    if code == "ETARGET":
        ran = run([npm, "view", "--json", "--", name, "versions"], folder=folder, label=f"npm view {name}")
        found = answer(ran.output)
        versions = [str(version) for version in found] if isinstance(found, list) else [str(found)]
        shown = ", ".join(versions[: -MAX_LISTED - 1 : -1])
        return f"npm offers no {label(purl)}.{suggest(purl.version or '', versions)} The newest versions: {shown}"
    words = (
        problem.get("summary")
        or "\n".join(line for line in ran.complaints.splitlines() if not line.startswith("npm warn"))
        or ran.output[-500:]
    )
    return (
        f"npm could not fetch {label(purl)}: {code} {words.strip()}\nCheck the network and `npm config list`, then "
        "run this again"
    )
