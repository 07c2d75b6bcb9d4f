"""The handshake between columns and models: what one encoded array is."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["dense", "index", "set", "tokens", "image", "wave"]
DTYPES = {"dense": "float32", "index": "int64", "set": "int64", "tokens": "int64", "image": "uint8", "wave": "uint8"}
PIXELS = ("image", "wave")  # what a model of pictures can take


@dataclass(frozen=True)
class ArraySpec:
    """One array that `encode.onnx` makes; a model chooses its encoder by `kind`.

    - dense:  float32 [N, size], numbers of a common scale, all columns side by side
    - index:  int64 [N], one of `size` entries; 0 is what has none of its own (of hashed ones: missing)
    - set:    int64 [N, width], hashed entries 1 … size-1 in any order; 0 is padding
    - tokens: int64 [N, width], numbers 1 … size-1 in order, 1 unknown; 0 is padding, at the end alone
    - image:  uint8 [N, *shape], channels first; `mean` and `std` of pixels / 255, one a channel
    - wave:   uint8 [N, 1, bands, frames], a log-mel spectrogram in equal steps of decibels; mean and std as above

    `columns` names the source: of each unit for `dense`, of the whole array for the others.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    size: int
    shape: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def dtype(self) -> str:
        return DTYPES[self.kind]

    @property
    def dims(self) -> list[int | str]:
        """The array's shape as ONNX names it."""
        shapes: dict[str, list[int | str]] = {
            "dense": ["N", self.size],
            "index": ["N"],
            "set": ["N", f"{self.name}.width"],
            "tokens": ["N", f"{self.name}.width"],
            "image": ["N", *self.shape],
            "wave": ["N", *self.shape],
        }
        return shapes[self.kind]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ArraySpec":
        tuples: dict[str, Any] = {name: tuple(value[name]) for name in ("columns", "shape", "mean", "std")}
        return cls(**{**value, **tuples})
