"""Writes the cases of `cargo xtask conformance`: models, requests, what plain ONNX Runtime says.

Each case is a folder with `model.onnx`, `case.json` and, for run N, `request-N.bin`,
`reply-N.bin` (of ONNX Runtime in Python with the settings of the engine) and `expected-N.bin` (of
the case itself, if it states a result); the three are lists of tensors (`tensor_list.py`). What
has no place in such a list, or what plain ONNX Runtime refuses, is told in `case.json`.

Two sources: the backend cases of the package `onnx`, and the models of `models.toml`, which lie in
packages of their own. A third part, hostile models (`hostile.py`), has files only. Downloads go
into DIR/packages, a part into DIR/cases/PART; one that is there and was written by these very
scripts is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import hostile
import node_cases
import package_models
from case_files import CASE_FILE

HERE = Path(__file__).parent
PARTS = {"nodes": node_cases.write, "models": package_models.write, "hostile": hostile.write}


def main() -> int:
    """Writes the parts that are asked for, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir", type=Path, help="folder for downloads and cases")
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="only this one")
    parser.add_argument("--anew", action="store_true", help="write what is there again")
    args = parser.parse_args()
    for part in args.part or sorted(PARTS):
        folder: Path = args.dir / "cases" / part
        stamp = folder / "written-by"
        if args.anew or not stamp.is_file() or stamp.read_text() != fingerprint():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            PARTS[part](args.dir, folder)
            stamp.write_text(fingerprint())
        print(f"{part}: {summary(folder)}")
    return 0


def fingerprint() -> str:
    """What the cases depend on: the scripts, the manifest and the versions that they pin."""
    digest = hashlib.sha256()
    for path in sorted(HERE.iterdir()):
        if path.suffix in {".py", ".toml", ".txt"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest() + "\n"


def summary(folder: Path) -> str:
    """How many cases there are of each outcome."""
    if not any(folder.glob(f"*/{CASE_FILE}")):
        return f"{len(list(folder.glob('*.onnx')))} files"
    cases = [json.loads(path.read_text()) for path in sorted(folder.glob(f"*/{CASE_FILE}"))]
    outcomes = Counter(case["plain"]["outcome"] for case in cases)
    silent = sum(case["inexpressible"] is not None for case in cases)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{len(cases)} cases: {counts}; {silent} have no place in a list of tensors"


if __name__ == "__main__":
    sys.exit(main())
