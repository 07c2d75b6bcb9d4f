"""Encoders of one column, fitted on typed values: what the oracles are compared with."""

from typing import Any

import numpy as np
import pyarrow as pa

from stages.columns import Encoder, encode, feature_options, fit
from stages.contract.loader import declare


def fitted(declared: dict[str, Any], train: list[Any], **features: Any) -> tuple[Encoder, dict[str, Any], Any]:
    """An encoder of one column `c`, fitted on typed values; and the column and Arrow type."""
    columns = {"c": declare("t.columns.c", declared)}
    kinds = {"number": pa.float64(), "boolean": pa.bool_(), "timestamp": pa.timestamp("us"), "image": pa.binary(12)}
    if declared["type"] == "audio":
        kinds["audio"] = pa.binary(2 * round(declared["rate"] * declared["seconds"]))
    kind = kinds.get(declared["type"], pa.string())
    options = feature_options(columns, {}, {"c": features}, "t.features")
    return fit(columns, options, pa.table({"c": pa.array(train, kind)})), columns, kind


def encoded(declared: dict[str, Any], train: list[Any], values: list[Any], **features: Any) -> np.ndarray:
    encoder, columns, kind = fitted(declared, train, **features)
    (array,) = encode(encoder, columns, pa.table({"c": pa.array(values, kind)})).values()
    return array
