"""What reading costs in Python: `readers.py PATH SECONDS` prints "id ns-per-read failed" a line."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "ui-bridge/python"))
import wasm_engine_monitor as monitor  # noqa: E402

region = monitor.Region(sys.argv[1])
limit_s = float(sys.argv[2])
for kind, _, ident, *_ in region.sections:
    read = region.page if kind == monitor.PAGE else region.rows
    reads = failed = 0
    start = end = time.perf_counter()
    while end - start < limit_s:
        try:
            read(ident)
        except monitor.RegionError:
            failed += 1
        reads += 1
        end = time.perf_counter()
    print(ident, (end - start) / reads * 1e9, failed / reads)
