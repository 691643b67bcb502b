"""ONNX Runtime from Python with the settings of the engine: what its replies are compared with.

The settings are those of `kernel/inference/src/onnx/model.rs`; equal bits are promised for equal
settings only.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from ml_dtypes import bfloat16

from tensor_list import KINDS, Value

_BFLOAT16 = "tensor(bfloat16)"


def open_model(model: bytes) -> ort.InferenceSession:
    """A session of the model with the settings of the engine."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "0")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, values: list[Value]) -> list[Value]:
    """Runs the model once; values and results are in the order of its ports."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    feeds = {port.name: value for port, value in zip(inputs, values, strict=True)}
    if all(port.type != _BFLOAT16 for port in [*inputs, *outputs]):
        return session.run(None, feeds)
    # Arrays of bfloat16 pass through neither way: only values of the library's own do.
    own = {name: _own(value) for name, value in feeds.items()}
    return [_array(value) for value in session.run_with_ort_values(None, own)]


def _own(value: Value) -> ort.OrtValue:
    if value.dtype == bfloat16:
        bits = np.ascontiguousarray(value).view(np.uint16)
        kind = onnx.TensorProto.BFLOAT16
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, kind)
    return ort.OrtValue.ortvalue_from_numpy(value)


def _array(value: ort.OrtValue) -> np.ndarray[Any, Any]:
    if value.data_type() != _BFLOAT16:
        return value.numpy()
    dtype = KINDS["bfloat16"][1]
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.empty(shape, dtype)
    data = ctypes.string_at(value.data_ptr(), count * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape)
