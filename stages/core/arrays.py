"""The handshake between columns and models: what one encoded array is."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["dense", "index", "set", "image"]
DTYPES = {"dense": "float32", "index": "int64", "set": "int64", "image": "uint8"}


@dataclass(frozen=True)
class ArraySpec:
    """One array that `encode.onnx` makes; a model chooses its encoder by `kind`.

    - dense: float32 [N, size], standardised numbers, all columns side by side
    - index: int64 [N], one of `size` entries; 0 is "unknown or missing"
    - set:   int64 [N, width], hashed entries 1 … size-1 in any order; 0 is padding
    - image: uint8 [N, *shape], channels first; `mean` and `std` are those of pixels / 255

    `columns` names the source: of each unit for `dense`, of the whole array for the others.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    size: int
    shape: tuple[int, ...] = ()
    mean: float = 0.0
    std: float = 1.0

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
            "image": ["N", *self.shape],
        }
        return shapes[self.kind]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ArraySpec":
        return cls(**{**value, "columns": tuple(value["columns"]), "shape": tuple(value["shape"])})
