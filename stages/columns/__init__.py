"""Typed tables in, encoded arrays out: each column type is one module of this folder, found by name.

A module gives: `Column` and `Features` (what may be declared), `clean`, `expectations`, `array`
(typed values → the graph's input), `input_shape`, `fit` (on training rows alone → state) and
`nodes` (state → ONNX). `serving/prepare.py` knows how to parse each type. No torch here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.contract.section import Section, parse
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError, suggest

if TYPE_CHECKING:
    import onnx


def module_of(column: Any) -> ModuleType:
    return import_module(f"stages.columns.{column.type}")


@dataclass(frozen=True)
class Encoder:
    """Fitted features: the ONNX graph that computes them, and what its outputs are."""

    model: "onnx.ModelProto"
    specs: tuple[ArraySpec, ...]
    state: Mapping[str, Any]


def inputs(columns: Mapping[str, Any], table: pa.Table) -> dict[str, np.ndarray]:
    """The graph's input arrays of a typed table."""
    return {name: module_of(column).array(column, chunk(table, name)) for name, column in columns.items()}


def chunk(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks() if table.num_rows else pa.array([], table.schema.field(name).type)


def feature_options(
    columns: Mapping[str, Any], by_type: Mapping[str, Any], by_column: Mapping[str, Any], path: str
) -> dict[str, Section]:
    """Each column's typed `Features`: what its type declares, overridden by what it declares itself."""
    for name in by_column:
        if name not in columns:
            raise ContractError(
                f"{path}.by_column.{name} is not an input column.{suggest(name, columns)} Input columns: "
                f"{', '.join(columns)}"
            )
    types = sorted({column.type for column in columns.values()})
    for name in by_type:
        if name not in types:
            raise ContractError(
                f"{path}.by_type.{name} is not the type of any input column. Types in use: {', '.join(types)}"
            )
    options = {}
    for name, column in columns.items():
        raw = {**by_type.get(column.type, {}), **by_column.get(name, {})}
        options[name] = parse(module_of(column).Features, raw, f"{path}.by_column.{name}")
    return options


def fit(
    columns: Mapping[str, Any],
    options: Mapping[str, Section],
    train: pa.Table,
    vocabularies: Mapping[str, list[str]] | None = None,
) -> Encoder:
    """Fit every column on the training rows, and draw the graph that encodes any row.

    `vocabularies` settles those of some columns: that of a history is the catalogue of what is ranked.
    """
    state = {name: module_of(column).fit(column, options[name], chunk(train, name)) for name, column in columns.items()}
    for name, vocabulary in (vocabularies or {}).items():
        state[name] = {**state[name], "vocabulary": vocabulary}
    model, specs = draw(columns, options, state)
    return Encoder(model, specs, state)


def draw(
    columns: Mapping[str, Any], options: Mapping[str, Section], state: Mapping[str, Any]
) -> tuple["onnx.ModelProto", tuple[ArraySpec, ...]]:
    """One graph for all columns. Dense pieces are joined into one array; the others stay apart."""
    from stages.core.graph import Graph

    graph = Graph()
    pieces: list[ArraySpec] = []
    for name, column in columns.items():
        dtype, dims = module_of(column).input_shape(column)
        # rows are as many for all columns; any other length that is not fixed is the column's own
        graph.input(name, dtype, [dim if dim == "N" or isinstance(dim, int) else f"{name}.{dim}" for dim in dims])
        pieces += module_of(column).nodes(graph, name, options[name], state[name])
    dense = [piece for piece in pieces if piece.kind == "dense"]
    others = [piece for piece in pieces if piece.kind != "dense"]
    specs = []
    if dense:
        joined = graph("Concat", *(piece.name for piece in dense), axis=1)
        names = tuple(name for piece in dense for name in piece.columns)
        specs.append(output(graph, joined, ArraySpec("encoded.dense", "dense", names, len(names))))
    for i, piece in enumerate(others):
        specs.append(output(graph, piece.name, replace(piece, name=f"encoded.{piece.kind}_{i}")))
    return graph.build("encode"), tuple(specs)


def output(graph: Any, value: str, spec: ArraySpec) -> ArraySpec:
    graph.output(value, spec.name, spec.dtype, spec.dims)
    return spec


def encode(encoder: Encoder, columns: Mapping[str, Any], table: pa.Table) -> dict[str, np.ndarray]:
    """Run the serving graph over a typed table: the arrays that models learn from."""
    from stages.core.graph import run

    return run(encoder.model, inputs(columns, table))
