"""A picture file's bytes, the same in base64, or pixels in; uint8 pixels of the declared size out."""

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING or __package__:  # in a bundle the files stand side by side, and are no package
    from serving.values import Problem, shorten
else:
    from values import Problem, shorten

Column = Mapping[str, Any]
MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # not EPS: Pillow hands it to Ghostscript


def parse_image(column: Column, value: Any) -> np.ndarray:
    """uint8 [height, width, channels] of the declared size.

    Takes a picture file's bytes, the same in base64, or pixels of that very size: an array, or
    {"pixels": base64 of its bytes} as golden/inputs.json has them.
    """
    shape = (column["height"], column["width"], column["channels"])
    try:
        if isinstance(value, Mapping):
            value = np.frombuffer(base64.b64decode(value["pixels"], validate=True), np.uint8).reshape(shape)
        elif isinstance(value, str):
            value = base64.b64decode(value, validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Problem("image", f"{column['name']} is neither a picture nor base64 of one: {error}") from None
    if isinstance(value, bytes):
        return decode_image(column, value)
    if not isinstance(value, np.ndarray):
        raise Problem("image", f"{column['name']} {shorten(value)} is neither a picture nor base64 of one")
    pixels = value if value.ndim == 3 else value[..., None]
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise Problem("image", f"{column['name']} is {pixels.dtype} {pixels.shape}; expected uint8 {shape}")
    return np.ascontiguousarray(pixels)


def decode_image(column: Column, content: bytes) -> np.ndarray:
    from PIL import Image

    mode = "L" if column["channels"] == 1 else "RGB"
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                found = f"{picture.width} × {picture.height} pixels"
                raise Problem("image", f"{column['name']} has {found}; at most {MAX_PIXELS} are read")
            size = (column["width"], column["height"])
            resized = (halved(picture) if picture.mode.startswith("I;16") else picture).convert(mode)
            if resized.size != size:
                resized = resized.resize(size, Image.Resampling.BILINEAR)
            return np.asarray(resized, np.uint8).reshape(column["height"], column["width"], column["channels"])
    except Problem:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them
        raise Problem("image", f"{column['name']} cannot be decoded as a picture: {error}") from None


def halved(picture: Any) -> Any:
    """16-bit grey as 8-bit grey; Pillow's own `convert` makes nearly all of it white."""
    from PIL import Image

    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
