#!/usr/bin/env python3
"""Write vectors.csv: model inputs as the training script builds them, for tests/year.rs.

The first full window of each station, the hours after two or more missing ones, and a few others. One line each:
station, Unix seconds of the newest hour, 149 values. Run from any place, with the packages of
../../train/requirements.txt:  python make_vectors.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent.parent / "train"))

import train  # noqa: E402

with (HERE / "vectors.csv").open("w", newline="\n") as file:
    states = {name: train.Station() for name in train.STATIONS}
    made = {name: 0 for name in train.STATIONS}
    for name, seconds, values in train.read_rows():
        newest = states[name].newest
        x = states[name].observe(seconds, values)
        if x is None:
            continue
        made[name] += 1
        gap = newest is not None and seconds - newest > 2 * 3600
        holes = any(value is None for value in values)
        if made[name] == 1 or gap or (holes and made[name] % 100 == 0) or made[name] % 4000 == 0:
            file.write(f"{name},{seconds}," + ",".join(f"{v:.9g}" for v in x) + "\n")
