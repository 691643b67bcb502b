"""One case on disk: its model, its runs, and what plain ONNX Runtime made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

import plain
from tensor_list import KINDS, Inexpressible, Value, canonical, encode

CASE_FILE = "case.json"

# Outcomes of plain ONNX Runtime, from the worst to the best.
LOAD_FAIL, RUN_FAIL, MISMATCH, PASS = "load-fail", "run-fail", "mismatch", "pass"

# Two units in the last place of a bfloat16, as the runner of the package `onnx` allows.
_BFLOAT16_RTOL = 2.0**-6


@dataclass
class Run:
    """One request, and the result that the case states, if it does."""

    inputs: list[Value]
    expected: list[Value] | None = None


@dataclass
class Case:
    """A model and its runs."""

    name: str
    origin: str
    model: bytes
    runs: Sequence[Run]
    rtol: float = 0.0
    atol: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


def write(case: Case, folder: Path) -> None:
    """Runs the case in plain ONNX Runtime and writes all there is to know about it."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model)
    proto = onnx.load_from_string(case.model)
    inputs, outputs = ports(proto)
    record: dict[str, Any] = {
        "name": case.name,
        "origin": case.origin,
        "opset": {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import},
        "inputs": inputs,
        "outputs": outputs,
        "rtol": case.rtol,
        "atol": case.atol,
        "inexpressible": inexpressible(inputs, outputs),
        **case.notes,
    }
    session, refusal = _open(case.model)
    if session is not None:
        own = [port.name for port in session.get_inputs()]
        assert own == [port["name"] for port in inputs], f"{case.name}: ports {own}"
    runs = [_run(case, number, session, record, folder) for number in range(len(case.runs))]
    worst = [LOAD_FAIL, RUN_FAIL, MISMATCH, PASS]
    if session is None:
        record["plain"] = {"outcome": LOAD_FAIL, "message": refusal}
    else:
        record["plain"] = min(
            (run["plain"] for run in runs), key=lambda p: worst.index(p["outcome"])
        )
    record["runs"] = runs
    (folder / CASE_FILE).write_text(json.dumps(record, indent=1) + "\n")


def _open(model: bytes) -> tuple[ort.InferenceSession | None, str | None]:
    try:
        return plain.open_model(model), None
    except Exception as error:  # The library raises a type for each of its codes.
        return None, _text(error)


def _run(
    case: Case,
    number: int,
    session: ort.InferenceSession | None,
    record: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """One run: its files, and its entry in the record."""
    run = case.runs[number]
    inputs = [canonical(value) for value in run.inputs]
    _save(inputs, folder / f"request-{number}.bin", record)
    if run.expected is not None:
        _save(run.expected, folder / f"expected-{number}.bin", record)
    entry: dict[str, Any] = {"states_a_result": run.expected is not None}
    if session is None:
        entry["plain"] = {"outcome": LOAD_FAIL}
        return entry
    try:
        outputs = plain.run(session, inputs)
    except Exception as error:  # As above.
        entry["plain"] = {"outcome": RUN_FAIL, "message": _text(error)}
        return entry
    _save(outputs, folder / f"reply-{number}.bin", record)
    difference = run.expected and first_difference(outputs, run.expected, case.rtol, case.atol)
    outcome = {"outcome": MISMATCH, "message": difference} if difference else {"outcome": PASS}
    entry["plain"] = outcome
    return entry


def _save(values: list[Value], path: Path, record: dict[str, Any]) -> None:
    """Writes the list, or why there is none."""
    try:
        path.write_bytes(encode(enumerate(values)))
    except Inexpressible as error:
        record["inexpressible"] = record["inexpressible"] or str(error)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:600]


def ports(model: onnx.ModelProto) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Names, types and shapes of inputs and outputs; an initialised input is none."""
    initialised = {tensor.name for tensor in model.graph.initializer}
    initialised |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    inputs = [_port(value) for value in model.graph.input if value.name not in initialised]
    return inputs, [_port(value) for value in model.graph.output]


def _port(value: onnx.ValueInfoProto) -> dict[str, Any]:
    shape = None
    if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
        dims = value.type.tensor_type.shape.dim
        shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims]
    return {"name": value.name, "type": type_name(value.type), "shape": shape}


def type_name(kind: onnx.TypeProto) -> str:
    """The type as ONNX Runtime writes it."""
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return f"tensor({_element(kind.tensor_type.elem_type)})"
    if which == "sequence_type":
        return f"seq({type_name(kind.sequence_type.elem_type)})"
    if which == "optional_type":
        return f"optional({type_name(kind.optional_type.elem_type)})"
    if which == "map_type":
        key = _element(kind.map_type.key_type)
        return f"map({key},{type_name(kind.map_type.value_type)})"
    return str(which)


def _element(number: int) -> str:
    return onnx.TensorProto.DataType.Name(number).lower()


def inexpressible(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> str | None:
    """Why requests or replies of these ports have no place in a list of tensors, if so."""
    for port in [*inputs, *outputs]:
        kind: str = port["type"]
        if not kind.startswith(("tensor(", "seq(", "map(")) or "optional" in kind:
            return f"{port['name']} is {kind}"
        element = kind.rsplit("(", 1)[1].rstrip(")").split(",")[-1]
        if element not in KINDS and element not in {"string"}:
            return f"{port['name']} is {kind}"
    return None


def first_difference(found: Value, expected: Value, rtol: float, atol: float) -> str | None:
    """Where a result is not the expected one within the tolerance, in words."""
    if isinstance(expected, (list, tuple)):
        if not isinstance(found, (list, tuple)) or len(found) != len(expected):
            return "another number of values"
        for index, (left, right) in enumerate(zip(found, expected, strict=True)):
            if difference := first_difference(left, right, rtol, atol):
                return f"value {index}: {difference}"
        return None
    if isinstance(expected, dict):
        return None if found == expected else "another map"
    left, right = np.asarray(found), np.asarray(expected)
    if left.shape != right.shape:
        return f"shape {left.shape} instead of {right.shape}"
    if right.dtype.kind in "OUST":
        return None if left.tolist() == right.tolist() else "another text"
    if left.dtype != right.dtype:
        return f"type {left.dtype} instead of {right.dtype}"
    if left.dtype == KINDS["bfloat16"][1]:
        rtol = max(rtol, _BFLOAT16_RTOL)
        left, right = left.astype(np.float32), right.astype(np.float32)
    try:
        np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)
    except AssertionError as error:
        return _text(error)
    return None
