#!/usr/bin/env python3
"""Train the temperature model of the weather example and write it as ONNX.

What: reads ../data/hourly-2013.csv, builds the feature vectors of ../model/README.md, trains a
small dense network on January-September 2013 (all three stations together), scores it on
October-December 2013, which training never saw, and writes ../model/temperature.onnx and
../model/temperature.json.

Why numpy and not a framework: the network has two hidden layers; written out, the whole training
is visible and the requirements stay small. Seeds are fixed and the linear algebra runs on one
thread, so a second run on the same kind of machine writes the same bytes.

Choices of size, rate and length were made inside January-September only (`--select` holds every
fifth week out and prints its error); October-December is scored once, at the end.

    python3 -m venv /some/venv && /some/venv/bin/pip install -r requirements.txt
    /some/venv/bin/python train.py            # train, write, report
    /some/venv/bin/python train.py --select   # error on held-out weeks, writes nothing
    /some/venv/bin/python train.py --check    # re-score the written file, writes nothing
"""

import os

# Before numpy is imported: a sum split over threads may come out in another order.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import csv
import hashlib
import json
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data" / "hourly-2013.csv"
MODEL = HERE.parent / "model" / "temperature.onnx"
REPORT = HERE.parent / "model" / "temperature.json"

FIELDS = ("temp_f", "dewpoint_f", "humidity_pct", "wind_mph", "pressure_mbar")
STATIONS = ("EWR", "JFK", "LGA")
HOURS = 25  # the hour of the observation and the 24 before it
WIDTH = len(FIELDS)
INPUT = HOURS * WIDTH + 24  # 149
NOW = (HOURS - 1) * WIDTH  # x[120], the temperature of the newest hour
FILL_MAX = 3  # so many missing hours are filled; a longer gap restarts the window

# Values outside are clipped inside the graph: the file holds a wind of 1048 mph.
PLAUSIBLE_MIN = (-60.0, -60.0, 0.0, 0.0, 900.0)
PLAUSIBLE_MAX = (130.0, 100.0, 100.0, 80.0, 1080.0)

HIDDEN = (64, 32)
EPOCHS = 20
BATCH = 128
RATE = 3e-3
DECAY = 1.0  # decoupled weight decay, times the rate of the step
HUBER_F = 1.0  # beyond this error in degrees the loss grows linearly: one glitch must not steer
SEED = 20130101


def unix(year, month, day):
    return int(datetime(year, month, day, tzinfo=timezone.utc).timestamp())


TEST_FROM = unix(2013, 10, 1)  # a forecast belongs to the period of the hour it is for


def read_rows():
    """Rows in file order: (station, unix seconds, five values or None)."""
    with DATA.open(newline="") as file:
        for row in csv.DictReader(file):
            moment = datetime.strptime(row["time_utc"], "%Y-%m-%dT%H:%M:%SZ")
            seconds = int(moment.replace(tzinfo=timezone.utc).timestamp())
            values = [np.float32(row[f]) if row[f] else None for f in FIELDS]
            yield row["station"], seconds, values


class Station:
    """One station's window, exactly as the guest agent keeps it (../model/README.md)."""

    def __init__(self):
        self.last = [None] * WIDTH
        self.window = []
        self.newest = None

    def observe(self, seconds, values):
        """Take one observation; return the input vector of the forecast for seconds+3600."""
        if seconds % 3600 != 0 or (self.newest is not None and seconds <= self.newest):
            return None
        for field, value in enumerate(values):
            if value is not None:
                self.last[field] = value
        if any(value is None for value in self.last):
            return None
        if self.window:
            missing = (seconds - self.newest) // 3600 - 1
            if missing <= FILL_MAX:
                self.window += [self.window[-1]] * missing
            else:
                self.window = []
        self.window.append(list(self.last))
        self.window = self.window[-HOURS:]
        self.newest = seconds
        if len(self.window) < HOURS:
            return None
        x = np.zeros(INPUT, np.float32)
        x[: HOURS * WIDTH] = np.array(self.window, np.float32).reshape(-1)
        x[HOURS * WIDTH + (seconds // 3600) % 24] = 1.0
        return x


def scored_examples(first_row=0):
    """Every forecast that can be scored: station, target time, input, observed temperature.

    `first_row` starts the stream at that Unix time, as a demo that runs the last months only does.
    """
    states = {name: Station() for name in STATIONS}
    pending = {}
    out = []
    for name, seconds, values in read_rows():
        if seconds < first_row:
            continue
        forecast = pending.pop(name, None)
        if forecast is not None and forecast[0] == seconds and values[0] is not None:
            out.append((name, seconds, forecast[1], values[0]))
        x = states[name].observe(seconds, values)
        if x is not None:
            pending[name] = (seconds + 3600, x)
    names = np.array([e[0] for e in out])
    times = np.array([e[1] for e in out])
    return names, times, np.stack([e[2] for e in out]), np.array([e[3] for e in out], np.float32)


def relative():
    """The matrix that turns each hour's value into its difference from the newest hour's.

    The newest hour itself stays absolute, and so do the 24 hour-of-day inputs. It is folded into
    the first layer when the network is written, so the graph does not carry it.
    """
    d = np.eye(INPUT)
    for hour in range(HOURS - 1):
        for field in range(WIDTH):
            d[NOW + field, hour * WIDTH + field] = -1.0
    return d


class Scaling:
    """Clip, centre and scale per field, with figures of the training period only."""

    def __init__(self, x):
        hours = x[:, : HOURS * WIDTH].reshape(-1, WIDTH).astype(np.float64)
        self.low = np.array(PLAUSIBLE_MIN * HOURS + (0.0,) * 24, np.float32)
        self.high = np.array(PLAUSIBLE_MAX * HOURS + (1.0,) * 24, np.float32)
        clipped = np.clip(hours, PLAUSIBLE_MIN, PLAUSIBLE_MAX)
        centre, spread = clipped.mean(0), clipped.std(0)
        self.mean = np.concatenate([np.tile(centre, HOURS), np.zeros(24)]).astype(np.float32)
        self.inverse = np.concatenate([np.tile(1 / spread, HOURS), np.ones(24)]).astype(np.float32)
        self.relative = relative()
        features = self._raw(x)
        # The hour of day keeps its 0 and 1; the rest gets unit spread.
        self.feature_spread = np.ones(INPUT)
        self.feature_spread[: HOURS * WIDTH] = features[:, : HOURS * WIDTH].std(0)

    def _raw(self, x):
        clipped = np.clip(x, self.low, self.high)
        z = ((clipped - self.mean) * self.inverse).astype(np.float64)
        return z @ self.relative

    def features(self, x):
        """What the network is trained on."""
        return self._raw(x) / self.feature_spread

    def fold(self, weights):
        """First-layer weights for the features, as weights for the scaled input of the graph."""
        return self.relative @ (weights / self.feature_spread[:, None])


class Network:
    """Two hidden ReLU layers, trained by Adam on the Huber loss of the change in degrees."""

    def __init__(self, rng):
        sizes = (INPUT, *HIDDEN, 1)
        self.params = []
        for fan_in, fan_out in zip(sizes, sizes[1:]):
            self.params.append(rng.normal(0.0, np.sqrt(2.0 / fan_in), (fan_in, fan_out)))
            self.params.append(np.zeros(fan_out))
        self.params[4] *= 0.1  # begin near "no change"
        self.first = [np.zeros_like(p) for p in self.params]
        self.second = [np.zeros_like(p) for p in self.params]
        self.step = 0

    def layers(self, f):
        w1, b1, w2, b2, w3, b3 = self.params
        h1 = np.maximum(f @ w1 + b1, 0.0)
        h2 = np.maximum(h1 @ w2 + b2, 0.0)
        return h1, h2, (h2 @ w3 + b3)[:, 0]

    def gradients(self, f, change):
        _, _, w2, _, w3, _ = self.params
        h1, h2, y = self.layers(f)
        d3 = (np.clip(y - change, -HUBER_F, HUBER_F) / len(f))[:, None]
        d2 = (d3 @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        return [f.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]

    def update(self, f, change, rate):
        self.step += 1
        for i, gradient in enumerate(self.gradients(f, change)):
            self.first[i] += 0.1 * (gradient - self.first[i])
            self.second[i] += 0.001 * (gradient * gradient - self.second[i])
            m = self.first[i] / (1 - 0.9**self.step)
            v = self.second[i] / (1 - 0.999**self.step)
            if self.params[i].ndim == 2:
                self.params[i] *= 1 - rate * DECAY
            self.params[i] -= rate * m / (np.sqrt(v) + 1e-8)


def fit(features, change, observe=None):
    rng = np.random.default_rng(SEED)
    network = Network(rng)
    for epoch in range(EPOCHS):
        # Half a cosine, from RATE to nearly nothing.
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(features))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            network.update(features[rows], change[rows], rate)
        if observe is not None:
            observe(epoch, network)
    return network


def write_model(network, scaling):
    """The graph: clip, centre, scale, three dense layers, add the temperature of now."""
    w1, b1, w2, b2, w3, b3 = network.params
    constants = {
        "low": scaling.low,
        "high": scaling.high,
        "mean": scaling.mean,
        "inverse_spread": scaling.inverse,
        "w1": scaling.fold(w1),
        "b1": b1,
        "w2": w2,
        "b2": b2,
        "w3": w3,
        "b3": b3,
    }
    initializers = [
        numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        for name, value in constants.items()
    ]
    initializers += [
        numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("now_from", NOW), ("now_to", NOW + 1), ("now_axis", 1))
    ]
    nodes = [
        helper.make_node("Max", ["x", "low"], ["at_least"]),
        helper.make_node("Min", ["at_least", "high"], ["plausible"]),
        helper.make_node("Sub", ["plausible", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "inverse_spread"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "w1", "b1"], ["s1"]),
        helper.make_node("Relu", ["s1"], ["h1"]),
        helper.make_node("Gemm", ["h1", "w2", "b2"], ["s2"]),
        helper.make_node("Relu", ["s2"], ["h2"]),
        helper.make_node("Gemm", ["h2", "w3", "b3"], ["change"]),
        helper.make_node("Slice", ["x", "now_from", "now_to", "now_axis"], ["now"]),
        helper.make_node("Add", ["now", "change"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "temperature",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", INPUT])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="weather-example",
        doc_string="temperature one hour ahead in degrees Fahrenheit; see README.md beside this file",
    )
    model.model_version = 1
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    MODEL.write_bytes(data)
    return data


def session(data):
    """The runtime's own profile: one thread, sequential, the extended optimisation level."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def predict(run, x, batch=16):
    """Predictions in padded batches of one fixed size, as the runtime makes them."""
    out = np.empty(len(x), np.float32)
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        padded = np.zeros((batch, INPUT), np.float32)
        padded[: len(part)] = part
        out[start : start + len(part)] = run.run(["y"], {"x": padded})[0][: len(part), 0]
    return out


def errors(names, x, observed, model):
    """Mean absolute error in degrees of the three forecasts, per station and overall."""
    forecasts = {
        "model": model,
        "naive": x[:, NOW],
        "trend": (x[:, NOW] + x[:, WIDTH]) - x[:, 0],
    }
    result = {}
    for group in (*STATIONS, "overall"):
        chosen = np.full(len(names), True) if group == "overall" else names == group
        result[group] = {"hours_scored": int(chosen.sum())}
        for name, forecast in forecasts.items():
            miss = np.abs(forecast[chosen].astype(np.float64) - observed[chosen].astype(np.float64))
            result[group][f"{name}_mae_f"] = round(float(miss.mean()), 4)
    return result


def rows_independent(run, x):
    """True if a row's bits depend neither on the other rows nor on its place nor on batch size."""
    rng = np.random.default_rng(SEED)
    probe = x[rng.choice(len(x), 64, replace=False)]
    single = np.concatenate([run.run(["y"], {"x": row[None]})[0] for row in probe])
    same = True
    for size in (2, 3, 4, 8, 16, 32, 64):
        whole = np.concatenate(
            [run.run(["y"], {"x": probe[i : i + size]})[0] for i in range(0, 64 - 64 % size, size)]
        )
        same &= bool((whole.view(np.uint32) == single[: len(whole)].view(np.uint32)).all())
    for size in (8, 16):
        for place in range(size):
            for filler in (0.0, 50.0, 1e6, np.nan):
                batch = np.full((size, INPUT), filler, np.float32)
                batch[place] = probe[0]
                got = run.run(["y"], {"x": batch})[0][place]
                same &= bool(got.view(np.uint32)[0] == single[0].view(np.uint32)[0])
    return same


def example(run):
    """One vector that can be written down, to check an implementation by."""
    hour, values = 12, (50.0, 40.0, 70.0, 8.0, 1015.0)
    x = np.zeros((1, INPUT), np.float32)
    x[0, : HOURS * WIDTH] = np.tile(np.array(values, np.float32), HOURS)
    x[0, HOURS * WIDTH + hour] = 1.0
    y = run.run(["y"], {"x": x})[0][0, 0]
    return {"each_of_25_hours": dict(zip(FIELDS, values)), "hour_utc": hour, "y": float(y)}


def show(table):
    print(f"{'':9}{'hours':>7}{'model':>9}{'naive':>9}{'trend':>9}   MAE in °F")
    for group, row in table.items():
        print(
            f"{group:9}{row['hours_scored']:7}{row['model_mae_f']:9.4f}"
            f"{row['naive_mae_f']:9.4f}{row['trend_mae_f']:9.4f}"
        )


def report(data, seconds, losses):
    names, times, x, observed = scored_examples()
    run = session(data)
    predicted = predict(run, x)
    train, test = times < TEST_FROM, times >= TEST_FROM
    cold_names, _, cold_x, cold_observed = scored_examples(first_row=TEST_FROM)
    part = lambda m: errors(names[m], x[m], observed[m], predicted[m])
    return {
        "name": "temperature",
        "file": MODEL.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "opset": 17,
        "ir_version": 8,
        "input": {"name": "x", "type": "f32", "shape": ["N", INPUT]},
        "output": {"name": "y", "type": "f32", "shape": ["N", 1], "unit": "degrees Fahrenheit"},
        "rows_independent_of_batch": rows_independent(run, x[test]),
        "example": example(run),
        "data": {"file": DATA.name, "sha256": hashlib.sha256(DATA.read_bytes()).hexdigest()},
        "training": {
            "targets": "2013-01-01T00:00:00Z <= t < 2013-10-01T00:00:00Z",
            "examples": int(train.sum()),
            "layers": [INPUT, *HIDDEN, 1],
            "parameters": sum(a * b + b for a, b in zip((INPUT, *HIDDEN), (*HIDDEN, 1))),
            "epochs": EPOCHS,
            "batch": BATCH,
            "rate": RATE,
            "decay": DECAY,
            "huber_f": HUBER_F,
            "seed": SEED,
            "seconds": seconds,
            "train_mae_f_by_epoch": losses,
            "versions": {
                "numpy": np.__version__,
                "onnx": onnx.__version__,
                "onnxruntime": onnxruntime.__version__,
            },
        },
        "training_period_errors": part(train),
        "test": {
            "targets": "t >= 2013-10-01T00:00:00Z, unseen in training",
            "stream_from_january": part(test),
            "stream_from_october": errors(
                cold_names, cold_x, cold_observed, predict(run, cold_x)
            ),
        },
    }


def select():
    """Train on four weeks of five before October and print the error on the fifth."""
    names, times, x, observed = scored_examples()
    change = observed.astype(np.float64) - x[:, NOW].astype(np.float64)
    early = times < TEST_FROM
    held = early & ((times // (7 * 86400)) % 5 == 2)
    kept = early & ~held
    scaling = Scaling(x[kept])
    f_kept, f_held = scaling.features(x[kept]), scaling.features(x[held])

    def observe(epoch, network):
        if epoch % 5 == 4 or epoch + 1 == EPOCHS:
            miss = [np.abs(network.layers(f)[2] - change[m]).mean() for f, m in ((f_kept, kept), (f_held, held))]
            print(f"epoch {epoch + 1:3}  kept {miss[0]:.4f}  held out {miss[1]:.4f}")

    print(f"naive on the held-out weeks: {np.abs(change[held]).mean():.4f}")
    fit(f_kept, change[kept], observe)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--select", action="store_true", help="score held-out weeks of the training period, write nothing")
    parser.add_argument("--check", action="store_true", help="re-score the written model, write nothing")
    options = parser.parse_args()
    if options.select:
        return select()
    if options.check:
        data, old = MODEL.read_bytes(), json.loads(REPORT.read_text())
        new = report(data, old["training"]["seconds"], old["training"]["train_mae_f_by_epoch"])
        show(new["test"]["stream_from_january"])
        differing = [key for key in old if old[key] != new[key]]
        raise SystemExit(f"differs from {REPORT.name} in: {', '.join(differing)}" if differing else 0)
    started = time.monotonic()
    _, times, x, observed = scored_examples()
    early = times < TEST_FROM
    x, change = x[early], (observed[early].astype(np.float64) - x[early][:, NOW])
    scaling = Scaling(x)
    features = scaling.features(x)
    losses = []

    def observe(epoch, network):
        losses.append(round(float(np.abs(network.layers(features)[2] - change).mean()), 4))

    network = fit(features, change, observe)
    data = write_model(network, scaling)
    out = report(data, round(time.monotonic() - started, 1), losses)
    REPORT.write_text(json.dumps(out, indent=2) + "\n")
    print(f"{MODEL.name}: {out['bytes']} bytes, sha256 {out['sha256']}, {out['training']['seconds']} s")
    print(f"rows independent of batch: {out['rows_independent_of_batch']}")
    show(out["test"]["stream_from_january"])


if __name__ == "__main__":
    main()
