"""Makes the sample files and their table: run once, its outputs are committed.

    python3 make_samples.py          (in this folder, with a full clone)

Files of the repository are those of one commit, so that later changes of them change nothing here.
The others are made from these by ordinary tools: gcc, clang, javac, jar, numpy, Pillow,
rsvg-convert, sqlite3, zip, gzip, bzip2, xz, zstd, tar. Another version of a tool may write other
bytes; what is committed counts.
"""

import csv
import gzip
import hashlib
import io
import os
import pickle
import py_compile
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image

COMMIT = "e3608a12a176"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
OUT = HERE.parent / "samples"

# Name of the sample, its true type in the model's words, the file of the repository.
REPOSITORY = [
    ("rust", "rust", "abi/src/ids.rs"),
    ("rust-2", "rust", "agents/src/handles.rs"),
    ("markdown", "markdown", "CONTRIBUTING.md"),
    ("markdown-2", "markdown", "examples/weather/data/README.md"),
    ("toml", "toml", "Cargo.toml"),
    ("toml-2", "toml", "examples/weather/agents/Cargo.lock"),
    ("c", "c", "agents/examples/c/counter.c"),
    ("c-2", "c", "agents/include/wasm_engine_agent.h"),
    ("cpp", "cpp", "agents/examples/cpp/counter.cpp"),
    ("python", "python", "benches/readers/readers.py"),
    ("python-2", "python", "ui-bridge/testkit/readers/overtaken.py"),
    ("javascript", "javascript", "benches/rivals-node/tick50.js"),
    ("erlang", "erlang", "benches/rivals-erlang/brokered.erl"),
    ("typescript", "typescript", "agents/examples/assemblyscript/counter.ts"),
    ("zig", "zig", "agents/examples/zig/counter.zig"),
    ("shell", "shell", ".ci/run"),
    ("ignorefile", "ignorefile", ".gitignore"),
    ("svg", "svg", "docs/growth.svg"),
    ("json", "json", "ui-bridge/tests/monitor/golden/view.json"),
    ("onnx", "onnx", "examples/weather/model/temperature.onnx"),
    ("wasm", "wasm", "kernel/tests/kernel/fixtures/as_count.wasm"),
    ("txt", "txt", "LICENSE-MIT"),
    ("txt-2", "txt", "ui-bridge/tests/monitor/golden/80x24.txt"),
    # The model has no word for it: a text is all that it can be.
    ("wat", "txt", "kernel/tests/kernel/fixtures/script.wat"),
    ("empty", "empty", "kernel/tests/kernel/fixtures/tables/empty.csv"),
]

# What the tools are given, beside the files above.
JAVA = """package weather;

/** A mean that is kept up without its terms. */
public final class Mean {
    private double value;
    private long count;

    public void add(double term) {
        count++;
        value += (term - value) / count;
    }

    public double value() {
        return value;
    }
}
"""
LIBRARY = """#include <stdint.h>

/* The state of a counter of bits, as a shared library. */
static uint64_t total;

uint64_t count_bits(const uint8_t *bytes, uint64_t len) {
    for (uint64_t at = 0; at < len; at++)
        for (uint8_t rest = bytes[at]; rest != 0; rest &= (uint8_t)(rest - 1))
            total++;
    return total;
}
"""
LINE = b'fn main() { println!("x"); }\n'

rows = []


def put(name, kind, origin, content):
    (OUT / name).write_bytes(content)
    rows.append((name, kind, len(content), origin))


def shown(path):
    return subprocess.run(
        ["git", "show", f"{COMMIT}:{path}"], cwd=ROOT, check=True, capture_output=True
    ).stdout


def run(folder, *command):
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


def page(lines):
    cells = [line.split(",") for line in lines]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0])
    body = "\n".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in cells[1:])
    return (
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
        "<title>Hours of January</title></head>\n<body>\n<h1>Hours of January</h1>\n"
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        "</body>\n</html>\n"
    )


def texts(work):
    lines = shown("examples/weather/data/hourly-2013.csv").decode().splitlines()[:60]
    table = "\n".join(lines) + "\n"
    (work / "hours.csv").write_text(table)
    put("csv", "csv", "first 60 lines of the weather example's data", table.encode())
    put("tsv", "tsv", "the same with tabs", table.replace(",", "\t").encode())
    put("html", "html", "the same as a page, by this script", page(lines[:25]).encode())
    number = [line.split(",") for line in lines]
    text = "".join(
        '{"station":"%s","time":"%s","temperature":%s}\n' % (row[0], row[1], row[2] or "null")
        for row in number[1:]
    )
    put("jsonl", "jsonl", "the same as JSON lines, by this script", text.encode())
    diff = run(ROOT, "git", "diff", f"{COMMIT}~3", COMMIT, "--", "agents/src/item.rs")
    put("diff", "diff", "git diff between two commits of the repository", diff)
    (work / "Mean.java").write_text(JAVA)
    put("java", "java", "written for this example", JAVA.encode())
    put("one-line", "rust", "written for this example: the model is not sure", LINE)
    put("two-words", "txt", "written for this example: too short to ask", b"so few\n")
    put("spaces", "txt", "white space only: nothing to ask about", b" \n\t" * 700)
    put("few-bytes", "unknown", "five bytes that are no text", bytes([0xFF, 0xFE, 0x80, 0x01, 0xC0]))


def databases(work):
    base = work / "hours.db"
    script = f".mode csv\n.import {work / 'hours.csv'} hours\n"
    subprocess.run(["sqlite3", base], input=script.encode(), check=True)
    put("sqlite", "sqlite", "sqlite3, of the csv sample", base.read_bytes())
    put("sql", "sql", "sqlite3 .dump of that", run(work, "sqlite3", base, ".dump"))
    values = numpy.arange(2000, dtype="<f8").reshape(50, 40) ** 0.5
    file = io.BytesIO()
    numpy.save(file, values)
    put("npy", "npy", "numpy, square roots", file.getvalue())
    file = io.BytesIO()
    numpy.savez(file, first=values[:5], second=values[5:9])
    put("npz", "npz", "numpy, two parts of them", file.getvalue())
    held = {"station": "EWR", "hours": list(range(200)), "mean": 41.5}
    put("pickle", "pickle", "Python's pickle of a dictionary", pickle.dumps(held, protocol=4))


def programs(work):
    (work / "bits.c").write_text(LIBRARY)
    run(work, "gcc", "-O2", "-shared", "-fPIC", "-nostdlib", "-s", "-o", "bits.so", "bits.c")
    put("elf", "elf", "gcc, a shared library of a C function", (work / "bits.so").read_bytes())
    run(work, "gcc", "-O1", "-S", "-o", "bits.s", "bits.c")
    put("asm", "asm", "gcc -S of the same", (work / "bits.s").read_bytes())
    for name, target in [("coff", "x86_64-pc-windows-msvc"), ("macho", "x86_64-apple-macos11")]:
        run(work, "clang", "-ffreestanding", "-nostdinc", f"-I{work}", "-O2", "-c", "-target", target,
            "-o", name, "bits-free.c")
        put(name, name, f"clang, an object for {target}", (work / name).read_bytes())
    run(work, "javac", "--release", "11", "-d", ".", "Mean.java")
    put("javabytecode", "javabytecode", "javac", (work / "weather/Mean.class").read_bytes())
    run(work, "jar", "--create", "--date=2024-01-01T00:00:00Z", "--file", "mean.jar", "weather/Mean.class")
    put("jar", "jar", "jar, of that", (work / "mean.jar").read_bytes())
    (work / "readers.py").write_bytes(shown("benches/readers/readers.py"))
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(work / "readers.py"), cfile=str(work / "r.pyc"), dfile="readers.py",
                       invalidation_mode=mode)
    put("pythonbytecode", "pythonbytecode", "Python's py_compile", (work / "r.pyc").read_bytes())


def archives(work):
    parts = ["rust", "csv", "markdown"]
    for name in parts:
        shutil.copy(OUT / name, work / name)
        os.utime(work / name, (1704067200, 1704067200))
    run(work, "zip", "-X", "-q", "three.zip", *parts)
    put("zip", "zip", "zip, of three samples", (work / "three.zip").read_bytes())
    tar = run(work, "tar", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner", "-cf", "-", *parts)
    put("tar", "tar", "tar, of the same", tar)
    put("gzip", "gzip", "gzip, of the csv sample", gzip.compress((OUT / "csv").read_bytes(), mtime=0))
    put("bzip", "bzip", "bzip2, of the same", run(work, "bzip2", "-c", "csv"))
    put("xz", "xz", "xz, of the same", run(work, "xz", "-c", "csv"))
    # The model has no word for it.
    put("zstd", "unknown", "zstd, of the same: the model has no word for it",
        run(work, "zstd", "-q", "-c", "csv"))


def pictures(work):
    picture = OUT / "svg"
    run(work, "rsvg-convert", "-w", "240", "-o", "p.png", str(picture))
    put("png", "png", "rsvg-convert, of the svg sample", (work / "p.png").read_bytes())
    drawn = Image.open(work / "p.png").convert("RGB")
    for name in ["jpeg", "gif", "webp", "tiff", "bmp", "ico", "jp2"]:
        size = (32, 32) if name in ("bmp", "ico") else (160, 67)
        file = io.BytesIO()
        drawn.resize(size).save(file, format="jpeg2000" if name == "jp2" else name)
        put(name, name, "Pillow, of that", file.getvalue())
    for name, form in [("pdf", "pdf"), ("postscript", "ps")]:
        run(work, "rsvg-convert", "-f", form, "-o", f"p.{form}", str(picture))
        put(name, name, "rsvg-convert, of the svg sample", (work / f"p.{form}").read_bytes())


def sounds():
    time = numpy.arange(8000) / 8000
    tone = (numpy.sin(2 * numpy.pi * 440 * time) * 12000 * numpy.exp(-3 * time)).astype("<i2")
    data = tone.tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1,
                       8000, 16000, 2, 16, b"data", len(data))
    put("wav", "wav", "a fading tone, by this script", head + data)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for name, kind, path in REPOSITORY:
        put(name, kind, f"the repository's {path}", shown(path))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        free = "typedef unsigned char uint8_t;\ntypedef unsigned long long uint64_t;\n"
        (work / "bits-free.c").write_text(LIBRARY.replace("#include <stdint.h>\n", free))
        texts(work)
        databases(work)
        programs(work)
        archives(work)
        pictures(work)
    sounds()
    noise = b"".join(hashlib.sha256(bytes([at])).digest() for at in range(64))
    put("randombytes", "unknown", "2,048 bytes of SHA-256 of numbers", noise)
    rows.sort()
    with open(HERE.parent / "samples.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "type", "bytes", "origin"))
        table.writerows(rows)
    print(len(rows), "files,", sum(row[2] for row in rows), "bytes", file=sys.stderr)


main()
