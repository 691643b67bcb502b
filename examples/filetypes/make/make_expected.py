"""Asks magika's own Python package about the samples and writes what it answers.

    pip install magika==1.0.3 onnxruntime==1.28.0
    python3 make_expected.py

The session is one with the graph optimisation of Wasm-Engine, `ORT_ENABLE_EXTENDED`. With the
package's own, `ORT_ENABLE_ALL`, every label is the same, and 11 scores differ by at most 1.1e-6: the
sums in some operators are then added up in another order.

`expected.csv`: the file, its length, the label of the model with its score as the bits of an f32
(none where magika asks no model), the label and group that magika gives the file in its default
mode.
"""

import csv
import struct
from importlib import metadata
from pathlib import Path

import onnxruntime
from magika import Magika

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "samples"


def main():
    for package, version in [("magika", "1.0.3"), ("onnxruntime", "1.28.0")]:
        assert metadata.version(package) == version, f"install {package}=={version}"
    magika = Magika()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    magika._onnx_session = onnxruntime.InferenceSession(
        str(magika._model_path), options, providers=["CPUExecutionProvider"]
    )
    with open(HERE.parent / "expected.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "bytes", "model", "score_bits", "type", "group"))
        for path in sorted(SAMPLES.iterdir(), key=lambda path: path.name.encode()):
            result = magika.identify_path(path)
            asked = result.dl.label != "undefined"
            bits = struct.pack(">f", result.score).hex() if asked else ""
            model = str(result.dl.label) if asked else ""
            output = result.output
            table.writerow(
                (path.name, path.stat().st_size, model, bits, str(output.label), output.group)
            )


main()
