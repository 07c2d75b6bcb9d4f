"""A pkg:deb URL in, the .deb file out, through `apt-get download` (no root, nothing installed)."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from stages.core.errors import SourceError
from stages.fetch.client import Ran, require, run
from stages.fetch.sources import Cached, Download, label

if TYPE_CHECKING:
    from packageurl import PackageURL

# 'http://…/x_1%3a2.0_all.deb' x_1%3a2.0_all.deb 30900652 SHA256:39e1…
OFFERED = re.compile(r"^'[^']*' (\S+\.deb) \d+ (?:SHA256:([0-9a-f]{64}))?", re.MULTILINE)


def download(purl: "PackageURL", folder: Path, *, cached: Cached) -> Download:
    """Fetch the .deb into `folder`, unless `cached` has the file that apt's signed lists promise."""
    install = "apt (it comes with Debian and Ubuntu), or fetch this pipeline on such a system"
    apt = require("apt-get", needed_by="pkg:deb sources", install=install)
    arch = purl.qualifiers.get("arch")
    wanted = purl.name + (f":{arch}" if arch else "") + (f"={purl.version}" if purl.version else "")
    offer = run([apt, "download", "--print-uris", wanted], folder=folder, label=f"apt-get {label(purl)}")
    match = OFFERED.search(offer.output)
    if offer.returncode or match is None:
        raise SourceError(explain(purl, offer, folder=folder))
    file, sha256 = match[1], match[2] or ""
    version = unquote(file.split("_")[1])
    at_hand = cached(file, sha256)
    if at_hand is not None:
        return Download(version, file, at_hand)
    ran = run([apt, "-q", "download", wanted], folder=folder, label=f"apt-get download {label(purl)}")
    if ran.returncode or not (folder / file).is_file():
        raise SourceError(explain(purl, ran, folder=folder))
    return Download(version, file, folder / file)


def explain(purl: "PackageURL", ran: Ran, *, folder: Path) -> str:
    """What apt could not do, and the fix. apt does not tell an unknown name from lists never read."""
    words = "\n".join(line for line in ran.complaints.splitlines() if line.startswith("E:")) or ran.complaints.strip()
    versions = offered(purl, folder)
    if versions:
        if purl.version and purl.version not in versions:
            return (
                f"apt offers no {label(purl)}. It offers: {', '.join(versions)}. Take one of these, or add the "
                "release that has it to apt's sources and run `apt-get update`"
            )
        return (
            f"apt-get could not download {label(purl)}: {words}\nCheck the network and the arch (?arch=all), run "
            "`apt-get update`, then run this again"
        )
    return (
        f"apt knows no package {purl.name}: {words}\nRun `apt-get update` once (as root) if its package lists are "
        f"missing or old, and check the name: `apt-cache search {purl.name}`"
    )


def offered(purl: "PackageURL", folder: Path) -> list[str]:
    """The versions of a package that apt's lists hold, newest first."""
    cache = require("apt-cache", needed_by="pkg:deb sources", install="apt")
    lines = run([cache, "madison", purl.name], folder=folder, label=f"apt-cache {purl.name}").output.splitlines()
    rows = [[part.strip() for part in line.split("|")] for line in lines]
    return list(dict.fromkeys(row[1] for row in rows if len(row) > 1))
