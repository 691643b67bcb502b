"""The backend cases of the package `onnx`: single operators, and small graphs from PyTorch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

import case_files
from case_files import Case, Run
from tensor_list import Value

FOLDERS = ["simple", "pytorch-operator", "pytorch-converted"]


def write(_dir: Path, folder: Path) -> None:
    """Writes every case of the package."""
    warnings.simplefilter("ignore")
    for test in collect_testcases(None):
        assert test.model is not None and test.data_sets is not None, test.name
        model = test.model.SerializeToString()
        runs = [
            Run([_plain(value) for value in inputs], [_plain(value) for value in outputs])
            for inputs, outputs in test.data_sets
        ]
        _write("node", test, model, runs, folder)
    for kind in FOLDERS:
        for test in sorted(load_model_tests(kind=kind), key=lambda test: test.name):
            assert test.model_dir is not None, test.name
            place = Path(test.model_dir)
            model = (place / "model.onnx").read_bytes()
            graph = onnx.load_from_string(model).graph
            sets = sorted(place.glob("test_data_set_*"), key=lambda path: int(path.name[14:]))
            runs = [
                Run(_values(at, "input", graph.input), _values(at, "output", graph.output))
                for at in sets
            ]
            _write(kind, test, model, runs, folder)


def _write(kind: str, test: TestCase, model: bytes, runs: list[Run], folder: Path) -> None:
    name = f"{kind}.{test.name}"
    origin = f"onnx {onnx.__version__}, {kind}"
    case_files.write(Case(name, origin, model, runs, test.rtol, test.atol), folder / name)


def _plain(value: Value) -> Value:
    """The value itself: some cases hold theirs as protocol buffers."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _values(at: Path, what: str, infos: Any) -> list[Value]:
    """The values of a data set, each read as its port's type says."""
    files = sorted(at.glob(f"{what}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
    return [_value(path.read_bytes(), info.type) for path, info in zip(files, infos)]


def _value(data: bytes, kind: onnx.TypeProto) -> Value:
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))
