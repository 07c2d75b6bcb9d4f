"""Bytes in, the sizes and modes of the pictures among them out, from their headers alone."""

import io


def measure(contents: list[bytes]) -> tuple[list[tuple[int, int]], set[str], int]:
    """Width and height, and the modes, of the pictures among some bytes, and how many are none."""
    from PIL import Image

    sizes, modes, broken = [], set(), 0
    for content in contents:
        try:
            with Image.open(io.BytesIO(content)) as picture:  # reads the header alone
                sizes.append(picture.size)
                modes.add(picture.mode)
        except Exception:  # Pillow's openers raise whatever a broken file makes them
            broken += 1
    return sizes, modes, broken
