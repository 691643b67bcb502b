"""Asks silero-vad's own Python package about the recordings and writes what it answers.

    pip install silero-vad==6.2.3 onnxruntime==1.28.0 numpy torch
    python3 make_expected.py

For each stream the probability of each window of 512 samples, as the bits of an f32, and the
segments that `get_speech_timestamps` makes of them with its defaults, in samples. The stream `all`
is the five recordings one after the other.
"""

import json
import struct
import wave
from importlib import metadata
from pathlib import Path

import numpy
import torch
from silero_vad import get_speech_timestamps, load_silero_vad

HERE = Path(__file__).resolve().parent
RATE = 16000
WINDOW = 512


def samples(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


class Listened:
    """The model, with every probability that it gave."""

    def __init__(self, model):
        self.model = model
        self.probabilities = []

    def reset_states(self):
        self.model.reset_states()

    def __call__(self, window, rate):
        probability = self.model(window, rate)
        self.probabilities.append(struct.pack(">f", probability.item()).hex())
        return probability


def main():
    for package, version in [("silero-vad", "6.2.3"), ("onnxruntime", "1.28.0")]:
        assert metadata.version(package) == version, f"install {package}=={version}"
    recordings = sorted((HERE.parent / "recordings").glob("*.wav"))
    streams = {path.stem: samples(path) for path in recordings}
    streams["all"] = numpy.concatenate(list(streams.values()))
    expected = {}
    for name, stream in sorted(streams.items()):
        model = Listened(load_silero_vad(onnx=True))
        values = torch.from_numpy(stream.astype(numpy.float32) / 32768)
        segments = get_speech_timestamps(values, model, sampling_rate=RATE)
        expected[name] = {
            "samples": len(stream),
            "segments": [[it["start"], it["end"]] for it in segments],
            "probability_bits": " ".join(model.probabilities),
        }
    text = json.dumps(expected, indent=1)
    (HERE.parent / "expected.json").write_text(text + "\n")


main()
