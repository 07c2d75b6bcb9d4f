"""A path with wildcards in, its fixed folder and a test for names out.

The rules are those of Python's `glob`: `*` and `?` stop at `/`, `**` is any number of folders, a
wildcard does not match a leading dot. `[[]` stands for a plain `[`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

WILDCARD = re.compile(r"[*?[]")
MAX_COMPARED = 5_000  # names compared for a suggestion: difflib needs 0.2 ms for each
MAX_SHOWN = 8


def has_wildcard(pattern: str) -> bool:
    return WILDCARD.search(pattern) is not None


def fixed_folder(pattern: str) -> str:
    """The leading folders without wildcards, ending in '/', or ''. A plain path gives its folder."""
    folders = pattern.split("/")[:-1]
    fixed = next((depth for depth, part in enumerate(folders) if has_wildcard(part)), len(folders))
    return "".join(f"{part}/" for part in folders[:fixed])


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a '/'-separated name is meant by `pattern`."""
    if not has_wildcard(pattern):
        return pattern.__eq__
    parts = pattern.split("/")
    return lambda name: meets(name.split("/"), parts)


def meets(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether folder and file names meet a pattern's parts, from the left."""
    if not parts or not names:
        return not parts and not names
    first, rest = parts[0], parts[1:]
    if first == "**":
        shown = not names[0].startswith(".")
        if not rest:
            return shown and (len(names) == 1 or meets(names[1:], parts))
        return meets(names, rest) or (shown and meets(names[1:], parts))
    return meets_one(names[0], first) and meets(names[1:], rest)


def meets_one(name: str, part: str) -> bool:
    if not has_wildcard(part):
        return name == part
    return (part.startswith(".") or not name.startswith(".")) and fnmatchcase(name, part)


def near(pattern: str, names: Iterable[str]) -> str:
    """A hint for a pattern that met no name: names like it, else what its deepest folder holds."""
    listed = sorted(names)
    if not listed:
        return " It holds no files"
    if not has_wildcard(pattern):
        last = pattern.rsplit("/", 1)[-1].lower()
        same = [name for name in listed if name.rsplit("/", 1)[-1].lower() == last]
        close = same[:3] or get_close_matches(pattern, listed[:MAX_COMPARED], n=3, cutoff=0.6)
        if close:
            return f" Did you mean {' or '.join(repr(name) for name in close)}?"
    folder = fixed_folder(pattern)
    while not any(name.startswith(folder) for name in listed):  # ends at '', which begins every name
        folder = fixed_folder(folder.removesuffix("/"))
    below = (name.removeprefix(folder).partition("/") for name in listed if name.startswith(folder))
    held = list(dict.fromkeys(first + slash for first, slash, _ in below))
    return f" {folder or 'It'} holds {', '.join(held[:MAX_SHOWN])}{', …' if len(held) > MAX_SHOWN else ''}"
