"""The smallest host in Python: this program pushes readings, an agent counts them, this program prints
it. `counter.wasm` lies in the working directory."""

import struct

import wasm_engine

CONFIG = """
[[source]]
id = "readings"
kind = "live"
topic = "reading"

[[agent]]
name = "counter"
module = "counter.wasm"
grant = ["subscribe:reading", "publish:stats"]
args = "reading"

[[output]]
topic = "stats"
"""


def main():
    with wasm_engine.Host(config_text=CONFIG) as host:
        for celsius in [18.5, 19.0, 21.25]:
            host.push("readings", "readings", struct.pack("<d", celsius))
            host.run_until_idle(100)
            for output in host.outputs():
                print(f"tick {output.tick}: {bytes(output.payload).decode()}")
        print(f"digest {host.close()['digest']}")


main()
