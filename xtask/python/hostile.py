"""Hostile models: files that no exporter writes, each of which must be refused or run, never more.

The same files for the same seed. A kind in `KINDS` makes a file from a model that is in order, or
from nothing; its name stands in the name of the file. Beside the files lie what the ones with
outside data point to: a file, links, and a folder.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.internal import encoder
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

import package_models

COUNT = 2000
SEED = 22
# Larger ones are left out as a base: two thousand files are to stay small.
BASE_BYTES_MAX = 300_000
REAL_BASES = {"swift-f0", "basic-pitch", "dnsmos-p808"}
FILE_BYTES_MAX = 4_000_000

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
EXTREMES = [
    -(2**63),
    -(2**31),
    -2,
    -1,
    0,
    1,
    2**16,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
]

Bases = list[bytes]


def write(dir_: Path, folder: Path) -> None:
    """Writes the files into a folder that is there."""
    surroundings(folder)
    all_bases = list(bases(dir_))
    weights = [weight for weight, _ in KINDS.values()]
    for number in range(COUNT):
        rng = random.Random(f"{SEED} {number}")
        kind = rng.choices(list(KINDS), weights)[0]
        data = KINDS[kind][1](rng, all_bases)
        (folder / f"{number:04}-{kind}.onnx").write_bytes(data[:FILE_BYTES_MAX])


def surroundings(folder: Path) -> None:
    """What outside data may point to."""
    (folder / "weights.bin").write_bytes(bytes(4096))
    (folder / "link.bin").symlink_to("weights.bin")
    (folder / "far.bin").symlink_to("/dev/zero")
    (folder / "inner").mkdir()


def bases(dir_: Path) -> Iterator[bytes]:
    """Models that are in order: one for each operator, and small real ones."""
    seen: set[tuple[str, ...]] = set()
    warnings.simplefilter("ignore")
    for test in sorted(collect_testcases(None), key=lambda test: test.name):
        assert test.model is not None, test.name
        operators = tuple(sorted({node.op_type for node in test.model.graph.node}))
        data = test.model.SerializeToString()
        if operators not in seen and len(data) <= BASE_BYTES_MAX:
            seen.add(operators)
            # Newer ones than the library knows would be refused for that alone.
            model = onnx.load_from_string(data)
            for entry in model.opset_import:
                entry.version = min(entry.version, 22) if not entry.domain else entry.version
            model.ir_version = min(model.ir_version, 10)
            yield model.SerializeToString()
    for package, real in package_models.manifest():
        if real["name"] in REAL_BASES:
            yield package_models.fetch(package, real, dir_)


# Bytes.


def flip(rng: random.Random, all_bases: Bases) -> bytes:
    """One to sixteen bits changed."""
    data = bytearray(rng.choice(all_bases))
    # Weights are in the middle of most files, and graphs at their ends.
    reach = min(len(data), rng.choice([2_000, len(data)]))
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        data[rng.randrange(reach) - rng.choice([0, reach])] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(rng: random.Random, all_bases: Bases) -> bytes:
    """Cut short, or a piece taken out or doubled."""
    data = rng.choice(all_bases)
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    pieces = [data[:first], data[:first] + data[second:], data[:second] + data[first:]]
    return rng.choice(pieces)


def splice(rng: random.Random, all_bases: Bases) -> bytes:
    """The front of one model and the end of another, or both whole: fields are merged."""
    left, right = rng.choice(all_bases), rng.choice(all_bases)
    if rng.randrange(3) == 0:
        return left + right
    return left[: rng.randrange(len(left) + 1)] + right[rng.randrange(len(right) + 1) :]


# Graphs.


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _parsed(rng: random.Random, all_bases: Bases) -> onnx.ModelProto:
    return onnx.load_from_string(rng.choice(all_bases))


def cycle(rng: random.Random, all_bases: Bases) -> bytes:
    """A node that needs what comes after it, two nodes of one output, or calls in a circle."""
    model = _parsed(rng, all_bases)
    if rng.randrange(4) == 0:
        return _calls_in_a_circle(rng.randrange(1, 4))
    graph = rng.choice([graph for graph in _graphs(model.graph) if graph.node] or [model.graph])
    if not graph.node:
        return model.SerializeToString()
    node, other = rng.choice(graph.node), rng.choice(graph.node)
    match rng.randrange(4):
        case 0 if node.input and other.output:
            node.input[rng.randrange(len(node.input))] = rng.choice(other.output)
        case 1 if node.input and node.output:
            node.input[0] = node.output[0]
        case 2 if node.output and other.output:
            node.output[0] = other.output[0]
        case _:
            back = helper.make_node("Identity", [rng.choice(graph.output).name], ["we_back"])
            graph.node.insert(0, back)
            if node.input:
                node.input[0] = "we_back"
    return model.SerializeToString()


def _calls_in_a_circle(length: int) -> bytes:
    """Functions of which each calls the next, and the last the first."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("we", 1)]
    functions = []
    for number in range(length):
        call = helper.make_node(f"F{(number + 1) % length}", ["x"], ["y"], domain="we")
        functions.append(helper.make_function("we", f"F{number}", ["x"], ["y"], [call], opsets))
    call = helper.make_node("F0", ["x"], ["y"], domain="we")
    return _model([call], functions=functions, opset_imports=opsets)


def graph(rng: random.Random, all_bases: Bases) -> bytes:
    """Nodes, names, ports or versions missing, doubled or exchanged."""
    model = _parsed(rng, all_bases)
    inner = rng.choice(list(_graphs(model.graph)))
    for _ in range(rng.choice([1, 1, 2, 3])):
        match rng.randrange(9):
            case 0 if inner.node:
                del inner.node[rng.randrange(len(inner.node))]
            case 1 if inner.node:
                inner.node.append(rng.choice(inner.node))
            case 2 if inner.output:
                del inner.output[rng.randrange(len(inner.output))]
            case 3 if inner.input:
                del inner.input[rng.randrange(len(inner.input))]
            case 4 if inner.output:
                inner.output.append(rng.choice(inner.output))
            case 5 if inner.node:
                node = rng.choice(inner.node)
                node.op_type = rng.choice(["", "If", "Loop", "Scan", "Nothing", "A" * 70_000])
            case 6 if model.opset_import:
                rng.choice(model.opset_import).version = rng.choice(EXTREMES)
            case 7:
                model.ir_version = rng.choice(EXTREMES)
            case _ if inner.node:
                node = rng.choice(inner.node)
                node.domain = rng.choice(["com.microsoft", "ai.onnx.ml", "no.such", "\n\x1b[2J"])
                node.input.extend([""] * rng.choice([1, 3, 5000]))
    return model.SerializeToString()


def dims(rng: random.Random, all_bases: Bases) -> bytes:
    """Dimensions of weights and ports that nobody can hold, or that are none."""
    model = _parsed(rng, all_bases)
    for inner in _graphs(model.graph):
        for value in [*inner.input, *inner.output, *inner.value_info]:
            for dim in value.type.tensor_type.shape.dim:
                if rng.randrange(3) == 0:
                    dim.dim_value = rng.choice(EXTREMES)
        for tensor in _tensors(inner):
            if tensor.dims and rng.randrange(2):
                tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(EXTREMES)
            elif rng.randrange(3) == 0:
                tensor.dims.extend(rng.choices(EXTREMES, k=rng.choice([1, 2, 9, 300])))
    return model.SerializeToString()


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def attributes(rng: random.Random, all_bases: Bases) -> bytes:
    """Attributes with numbers at the ends of their range, of another type, twice or not at all."""
    model = _parsed(rng, all_bases)
    nodes = [node for inner in _graphs(model.graph) for node in inner.node]
    for node in nodes:
        if not node.attribute:
            name = rng.choice(["axis", "group", "to", "perm", "axes", "mode", "body"])
            node.attribute.append(helper.make_attribute(name, rng.choice(EXTREMES)))
            continue
        attribute = node.attribute[rng.randrange(len(node.attribute))]
        match rng.randrange(6):
            case 0:
                attribute.i = rng.choice(EXTREMES)
            case 1:
                attribute.f = rng.choice([float("nan"), float("inf"), -0.0, 1e38, 1e-45])
            case 2 if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(EXTREMES)
            case 3:
                attribute.ints.extend(rng.choices(EXTREMES, k=rng.choice([1, 4, 4000])))
            case 4:
                attribute.type = rng.randrange(0, 15)
            case _:
                node.attribute.append(attribute)
    return model.SerializeToString()


def types(rng: random.Random, all_bases: Bases) -> bytes:
    """Types that are another's, data that is too long or too short, names that are no text."""
    model = _parsed(rng, all_bases)
    for inner in _graphs(model.graph):
        for value in [*inner.input, *inner.output]:
            if rng.randrange(3) == 0:
                value.type.tensor_type.elem_type = rng.choice([0, 1, 7, 8, 9, 10, 14, 17, 23, 99])
        for tensor in _tensors(inner):
            match rng.randrange(6):
                case 0:
                    tensor.data_type = rng.choice([0, 1, 7, 8, 14, 16, 22, 99])
                case 1:
                    tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // 2]
                case 2:
                    tensor.raw_data += b"\xff" * rng.choice([1, 7, 100_000])
                case 3:
                    tensor.float_data.extend([float("nan")] * rng.choice([1, 1000]))
                case 4:
                    tensor.string_data.append(b"\xff\xfe\x00text")
                case _:
                    tensor.name += rng.choice(["\0x", "\n", "é" * 40_000, ""])
    data = model.SerializeToString()
    if rng.randrange(4) == 0:
        # Half a character, where text is demanded.
        data = data.replace(b"x", b"\xc3")
    return data


# From nothing.


def _model(
    nodes: list[onnx.NodeProto],
    initialisers: list[TensorProto] | None = None,
    **arguments: Any,
) -> bytes:
    """A model from floats `x` to floats `y`."""
    ports = [helper.make_tensor_value_info(name, FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "hostile", ports[:1], ports[1:], initialisers or [])
    arguments.setdefault("opset_imports", [helper.make_opsetid("", 17)])
    return helper.make_model(graph, ir_version=8, **arguments).SerializeToString()


def _ints(name: str, values: int | list[int]) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def bomb(rng: random.Random, _bases: Bases) -> bytes:
    """A small file that asks for a lot of memory, time or stack."""
    return rng.choice(BOMBS)(rng)


def _constant_of_shape(rng: random.Random) -> bytes:
    count = rng.choice([2**28, 2**31, 2**33, 2**40, 2**62, 2**63 - 1, -1])
    shape = _ints("shape", rng.choice([[count], [count, 4], [2**16] * rng.randrange(1, 5)]))
    made = helper.make_node("ConstantOfShape", ["shape"], ["big"])
    sum_ = helper.make_node("ReduceMean", ["big"], ["mean"], keepdims=0)
    return _model([made, sum_, helper.make_node("Add", ["x", "mean"], ["y"])], [shape])


def _grow(rng: random.Random) -> bytes:
    """What a constant or an input is made larger by."""
    source = rng.choice(["x", "one"])
    large = rng.choice([2**20, 2**27, 2**33, 2**62])
    one = numpy_helper.from_array(np.ones((1, 4), dtype=np.float32), "one")
    start, delta = (_ints(name, at) for at, name in ((0, "s"), (1, "d")))
    match rng.randrange(5):
        case 0:
            made = [helper.make_node("Expand", [source, "by"], ["big"])]
            by = _ints("by", [large, 4])
        case 1:
            made = [helper.make_node("Tile", [source, "by"], ["big"])]
            by = _ints("by", [large, large])
        case 2:
            made = [helper.make_node("Pad", [source, "by"], ["big"])]
            by = _ints("by", [0, large, -large, large])
        case 3:
            by = _ints("by", large)
            range_ = helper.make_node("Range", ["s", "by", "d"], ["ints"])
            made = [range_, helper.make_node("Cast", ["ints"], ["big"], to=FLOAT)]
        case _:
            by = _ints("by", [large, -1])
            made = [helper.make_node("Reshape", [source, "by"], ["big"])]
    mean = helper.make_node("ReduceMean", ["big"], ["mean"], keepdims=0)
    add = helper.make_node("Add", ["x", "mean"], ["y"])
    return _model([*made, mean, add], [one, start, delta, by])


def _doubled(rng: random.Random) -> bytes:
    """Each node gives twice what it got."""
    times = rng.choice([10, 26, 34, 60])
    nodes = [
        helper.make_node("Concat", [f"v{at}"] * 2, [f"v{at + 1}"], axis=0) for at in range(times)
    ]
    first = numpy_helper.from_array(np.ones((1, 4), dtype=np.float32), "v0")
    mean = helper.make_node("ReduceMean", [f"v{times}"], ["mean"], keepdims=0)
    return _model([*nodes, mean, helper.make_node("Add", ["x", "mean"], ["y"])], [first])


def _chain(rng: random.Random) -> bytes:
    """A long row of nodes."""
    length = rng.choice([1_000, 5_000, 20_000])
    operator = rng.choice(["Identity", "Neg", "Relu", "NoSuchOperator"])
    names = ["x", *(f"v{at}" for at in range(1, length)), "y"]
    return _model([helper.make_node(operator, [a], [b]) for a, b in pairwise(names)])


def _nested(rng: random.Random) -> bytes:
    """Branches in branches; beyond twenty, written as bytes, for no writer goes so deep."""
    depth = rng.choice([5, 20, 45, 100, 1_000, 5_000])
    out = helper.make_tensor_value_info("o", FLOAT, None)
    inner = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "b", [], [out])
    if depth <= 20:
        for _ in range(depth):
            branch = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)
            # One branch only goes deep: the other would double the file.
            leaf = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "b", [], [out])
            branch.attribute[1].g.CopyFrom(leaf)
            inner = helper.make_graph([branch], "b", [], [out])
        condition = numpy_helper.from_array(np.array(True), "c")
        last = helper.make_node("Identity", ["o"], ["y"])
        return _model([*inner.node, last], [condition])
    data = inner.SerializeToString()
    for _ in range(depth):
        attribute = _field(1, b"then_branch") + _field(6, data) + b"\xa0\x01\x05"
        data = _field(1, _field(2, b"o") + _field(4, b"If") + _field(5, attribute))
    return _field(7, data) + b"\x08\x08" + _field(8, b"\x10\x11")


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes, as protocol buffers write it."""
    tag = encoder._VarintBytes(number << 3 | 2)
    return tag + encoder._VarintBytes(len(data)) + data


def _calls_doubled(rng: random.Random) -> bytes:
    """Functions of which each calls the next one twice."""
    depth = rng.choice([4, 10, 20, 60])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("we", 1)]
    functions = []
    for number in range(depth):
        calls = [
            helper.make_node(f"F{number + 1}", [a], [b], domain="we")
            for a, b in (("x", "m"), ("m", "y"))
        ]
        functions.append(helper.make_function("we", f"F{number}", ["x"], ["y"], calls, opsets))
    last = [helper.make_node("Neg", ["x"], ["y"])]
    functions.append(helper.make_function("we", f"F{depth}", ["x"], ["y"], last, opsets))
    call = helper.make_node("F0", ["x"], ["y"], domain="we")
    return _model([call], functions=functions, opset_imports=opsets)


def _deep_type(rng: random.Random) -> bytes:
    """An input that is a sequence of sequences of sequences."""
    kind = _field(1, b"\x08\x01")
    for _ in range(rng.choice([3, 50, 99, 2_000, 30_000])):
        kind = _field(rng.choice([4, 9]), _field(1, kind))
    model = _model([helper.make_node("Neg", ["x"], ["y"])])
    port = _field(11, _field(1, b"deep") + _field(2, kind))
    return model + _field(7, port)


def _repeated(rng: random.Random) -> bytes:
    """One field very often."""
    model = _model([helper.make_node("Neg", ["x"], ["y"])])
    times = rng.choice([1_000, 50_000])
    entry = rng.choice(
        [
            _field(8, b"\x10\x11"),
            _field(14, _field(1, b"key") + _field(2, b"value")),
            _field(7, _field(12, _field(1, b"y"))),
            _field(7, _field(5, b"\x08\x01\x10\x01" + _field(8, b"w") + _field(9, b"\0\0\0\0"))),
            _field(7, _field(13, _field(1, b"v"))),
            _field(7, b""),
            _field(25, b""),
            b"\x08\x08",
            b"\xf8\x7f\x00",
            b"\x0b\x0c",
            b"\xff" * 12,
        ]
    )
    return model + entry * times


def _loop(rng: random.Random) -> bytes:
    """A loop that goes on for long, or for ever."""
    trips = rng.choice([10**6, 2**40, 2**63 - 1, -1, None])
    info = helper.make_tensor_value_info
    ports = [info("i", INT64, []), info("c", TensorProto.BOOL, []), info("v", FLOAT, None)]
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Neg", ["v"], ["w"])],
        "body",
        ports,
        [info("d", TensorProto.BOOL, []), info("w", FLOAT, None)],
    )
    go = numpy_helper.from_array(np.array(True), "go")
    initialisers = [go] if trips is None else [go, _ints("trips", trips)]
    first = "" if trips is None else "trips"
    loop = helper.make_node("Loop", [first, rng.choice(["go", "go", ""]), "x"], ["y"], body=body)
    return _model([loop], initialisers)


def _sparse(rng: random.Random) -> bytes:
    """A sparse weight with places outside it."""
    values = numpy_helper.from_array(np.ones(3, dtype=np.float32), "w")
    places = rng.choice([[0, 1, 10**12], [-1, 2, 3], [2**63 - 1, 0, 0], [3, 2, 1]])
    shape = rng.choice([[4], [2**40], [2**32, 2**32], [-4], []])
    sparse = helper.make_sparse_tensor(values, _ints("places", places), shape)
    model = onnx.load_from_string(_model([helper.make_node("Add", ["x", "w"], ["y"])]))
    model.graph.sparse_initializer.append(sparse)
    return model.SerializeToString()


def _strings(rng: random.Random) -> bytes:
    """Text where its number, its length or its letters are not what is said."""
    tensor = TensorProto(name="t", data_type=TensorProto.STRING)
    tensor.dims.extend(rng.choice([[3], [2**40], [0], [-1]]))
    tensor.string_data.extend(rng.choice([[b"a"], [b"\xff"] * 3, [b"x" * 1_000_000], []]))
    cast = helper.make_node("Cast", ["t"], ["f"], to=FLOAT)
    mean = helper.make_node("ReduceMean", ["f"], ["mean"], keepdims=0)
    return _model([cast, mean, helper.make_node("Add", ["x", "mean"], ["y"])], [tensor])


BOMBS: list[Callable[[random.Random], bytes]] = [
    _constant_of_shape,
    _grow,
    _doubled,
    _chain,
    _nested,
    _calls_doubled,
    _deep_type,
    _repeated,
    _loop,
    _sparse,
    _strings,
]


def external(rng: random.Random, _bases: Bases) -> bytes:
    """Weights outside the file: by absolute paths, upwards, through links, from devices."""
    places = [
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/mem",
        "../../../../etc/passwd",
        "inner/../weights.bin",
        "weights.bin",
        "link.bin",
        "far.bin",
        "inner",
        "no-such-file",
        "",
        "weights.bin\0.txt",
        "*/_ORT_MEM_ADDR_/*",
        "file:///etc/passwd",
        "a" * 5000,
    ]
    count = rng.choice([4, 4, 2**20, 2**40])
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[count])
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": rng.choice(places)}
    if rng.randrange(2):
        entries["offset"] = str(rng.choice([0, -1, 4096, 2**63 - 1, 2**64, "x"]))
        entries["length"] = str(rng.choice([0, -1, 16, 2**62, 2**64, ""]))
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    if rng.randrange(4) == 0:
        # Not a weight but the value of a constant.
        constant = helper.make_node("Constant", [], ["w"], value=tensor)
        return _model([constant, add])
    return _model([add], [tensor])


KINDS: dict[str, tuple[int, Callable[[random.Random, Bases], bytes]]] = {
    "flip": (25, flip),
    "cut": (10, cut),
    "splice": (7, splice),
    "cycle": (7, cycle),
    "graph": (10, graph),
    "dims": (12, dims),
    "attributes": (9, attributes),
    "types": (8, types),
    "bomb": (12, bomb),
    "external": (5, external),
}
