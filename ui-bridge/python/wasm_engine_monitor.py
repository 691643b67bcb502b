"""Reads the shared region of a running Wasm-Engine kernel. Standard library only, Python 3.8 or later.

    import wasm_engine_monitor as monitor
    region = monitor.open_name("weather")
    page = region.kernel()
    print(page["tick"], page["turns"], region.status()["state"])
    print({c.label: region.value(c) for c in region.counters()})
    seen = region.trace().poll()  # a Message, a Lost, or None; again and again

As a command: `python3 wasm_engine_monitor.py [NAME]` prints the kernel's page as JSON, with `--counters`
its counters, with `--trace` its events, one JSON document a line, until the run ends (`--once`: those that
the kernel still holds). The format is docs/REGION.md. Nothing is ever written: the file is opened and
mapped read-only, and the kernel does not know of its readers. What is read of a page, a row or an event is
whole or it is an error, and each call does a bounded amount of work.

Why a value is whole: the writer changes aligned 64-bit words and marks what it changes with a sequence
before and after. A page is copied between two loads of its sequence; a row, an event and what a counter is
likewise. CPython reads an aligned item of a `memoryview` of format "Q", and copies a slice, with moves of
at least 8 bytes on 64-bit processors. On x86-64 loads are not reordered, so the loads are in order. On ARM
they may be: there the interpreter's thousands of instructions between two loads are in the way of it, but
no rule of the language forbids it. Use the C header or the Rust crate where that matters.

A region in sealed memory is mapped. A plain file is read with `pread` instead, because reading a mapping
of a file that somebody cuts short ends the process.
"""

import argparse
import collections
import fcntl
import json
import mmap
import os
import stat
import struct
import sys
import time

MAGIC = 0x314D4853474E4557  # "WENGSHM1"
ENDIAN = 0x0102030405060708
MAJOR = 1
SECTION_VERSION = 1  # of the inner layout of what is published
ENTRY_BYTES = 64
HEADER_BYTES = 256
SECTIONS_MAX = 4096
BROADCAST, PAGE, ROWS, COUNTERS = 7, 8, 9, 10
REGION_MAX = 1 << 40
RING_SLOTS_MAX = 1 << 24
MESSAGE_BYTES_MAX = 1 << 28
COUNTERS_MAX = 1 << 16
PAGE_SLOTS = 4
DESCRIPTOR_V1_BYTES, DESCRIPTOR_BYTES = 1024, 1040
ATTEMPTS = 64
MASK = (1 << 64) - 1
STATES = ("starting", "running", "idle", "waiting for a model", "waiting for the log",
          "waiting for a source", "driven by its host", "stopped")

# generated: layouts
SCHEMA = 0x380d54fdee9209f5
KERNEL_PAGE = {
    "now_ns": (0, "Q"),
    "start_ns": (8, "Q"),
    "tick": (16, "Q"),
    "ticks_end": (24, "Q"),
    "durable_tick": (32, "Q"),
    "digest": (40, "2Q"),
    "fuel_digest": (56, "2Q"),
    "ticks": (72, "Q"),
    "microsteps": (80, "Q"),
    "turns": (88, "Q"),
    "items": (96, "Q"),
    "messages": (104, "Q"),
    "refused": (112, "Q"),
    "dropped": (120, "Q"),
    "dead_letters": (128, "Q"),
    "inputs": (136, "Q"),
    "outputs": (144, "Q"),
    "inferences": (152, "Q"),
    "late_replies": (160, "Q"),
    "inferences_refused": (168, "Q"),
    "model_loads": (176, "Q"),
    "model_loads_failed": (184, "Q"),
    "model_unloads": (192, "Q"),
    "model_evictions": (200, "Q"),
    "faults": (208, "Q"),
    "own_codes": (216, "Q"),
    "restarts": (224, "Q"),
    "fuel": (232, "Q"),
    "tasks": (240, "Q"),
    "tasks_done": (248, "Q"),
    "tasks_failed": (256, "Q"),
    "tasks_skipped": (264, "Q"),
    "tasks_cancelled": (272, "Q"),
    "tasks_blocked": (280, "Q"),
    "tasks_ready": (288, "Q"),
    "log_records": (296, "Q"),
    "log_bytes": (304, "Q"),
    "stalls_model": (312, "Q"),
    "stalls_log": (320, "Q"),
    "stall_model_ns": (328, "Q"),
    "stall_log_ns": (336, "Q"),
    "model_fallbacks": (344, "Q"),
    "tick_ns_sum": (352, "Q"),
    "tick_ns_max": (360, "Q"),
    "tick_ns_last": (368, "Q"),
    "payload_bytes_held": (376, "Q"),
    "region_bytes": (384, "Q"),
    "feeds_connected": (392, "Q"),
    "feeds_lagging": (400, "Q"),
    "feeds_gone": (408, "Q"),
    "feeds_refused": (416, "Q"),
    "feed_gap_inputs": (424, "Q"),
    "tick_ns_buckets": (432, "32Q"),
    "run_state": (688, "I"),
    "exit_code": (692, "I"),
    "agents": (696, "I"),
    "agents_max": (700, "I"),
    "messages_held": (704, "I"),
    "inferences_pending": (708, "I"),
    "inputs_left": (712, "I"),
    "runnable": (716, "I"),
}
AGENT_ROW = {
    "address": (0, "Q"),
    "last_tick": (8, "Q"),
    "until_tick": (16, "Q"),
    "turns": (24, "Q"),
    "items": (32, "Q"),
    "effects": (40, "Q"),
    "fuel": (48, "Q"),
    "state": (56, "I"),
    "template": (60, "I"),
    "copy": (64, "I"),
    "incarnation": (68, "I"),
    "inbox_items": (72, "I"),
    "inbox_bytes": (76, "I"),
    "faults": (80, "I"),
    "last_fault": (84, "I"),
    "lane": (88, "I"),
    "last_code": (92, "I"),
}
LANE_ROW = {
    "turns": (0, "Q"),
    "busy_ns": (8, "Q"),
    "wait_ns": (16, "Q"),
    "commands": (24, "Q"),
    "results": (32, "Q"),
    "outbox_bytes": (40, "Q"),
    "outbox_capacity": (48, "Q"),
    "outbox_high_bytes": (56, "Q"),
    "agents": (64, "I"),
    "core": (68, "I"),
    "state": (72, "I"),
    "reserved": (76, "I"),
}
MODEL_ROW = {
    "requests": (0, "Q"),
    "batches": (8, "Q"),
    "rows_padded": (16, "Q"),
    "errors": (24, "Q"),
    "run_ns_last": (32, "Q"),
    "run_ns_max": (40, "Q"),
    "run_ns_sum": (48, "Q"),
    "run_ns_buckets": (56, "32Q"),
    "pending": (312, "I"),
    "batch": (316, "I"),
    "latency_ticks": (320, "Q"),
    "state": (328, "I"),
    "reserved": (332, "I"),
}
RING_ROW = {
    "used_bytes": (0, "Q"),
    "capacity_bytes": (8, "Q"),
    "high_bytes": (16, "Q"),
    "records": (24, "Q"),
    "stalls": (32, "Q"),
}
TRACE_EVENT = {
    "time_ns": (0, "Q"),
    "tick": (8, "Q"),
    "subject": (16, "Q"),
    "a": (24, "Q"),
    "b": (32, "Q"),
    "kind": (40, "I"),
    "microstep": (44, "I"),
}
TABLES = {
    "agents": (2, AGENT_ROW),
    "lanes": (3, LANE_ROW),
    "models": (4, MODEL_ROW),
    "rings": (5, RING_ROW),
}
SECTION_IDS = {
    "kernel": 1,
    "agents": 2,
    "lanes": 3,
    "models": 4,
    "rings": 5,
    "names": 6,
    "trace": 7,
    "counters": 8,
}
# Word, then what subject, a and b hold.
EVENTS = {
    2: ("refused", ("agent", "agent"), ("number", "seq"), ("pair", "refused", "delivered")),
    3: ("dropped", ("agent", "agent"), ("number", "seq"), ("bits", "from")),
    4: ("outcome", ("agent", "agent"), ("number", "call"), ("number", "status")),
    5: ("reply_dropped", ("agent", "agent"), ("number", "seq"), None),
    6: ("timer", ("agent", "agent"), ("number", "seq"), None),
    7: ("restarted", ("agent", "agent"), ("number", "incarnation"), None),
    8: ("spawned", ("agent", "agent"), ("bits", "key"), None),
    9: ("ended", ("agent", "agent"), None, None),
    10: ("paused", ("agent", "agent"), None, None),
    11: ("resumed", ("agent", "agent"), None, None),
    12: ("faulted", ("agent", "agent"), ("fault", "fault"), None),
    13: ("backoff", ("agent", "agent"), ("number", "until_tick"), None),
    14: ("dead_letters", ("agent", "agent"), ("number", "items"), None),
    15: ("requested", ("agent", "agent"), ("number", "due_tick"), None),
    16: ("group_stopped", ("agent", "agent"), ("agent", "with"), None),
    17: ("model_loading", ("number", "model"), ("number", "due_tick"), None),
    18: ("model_loaded", ("number", "model"), ("number", "status"), None),
    19: ("model_unloaded", ("number", "model"), None, None),
    20: ("model_swapped", ("number", "model"), None, None),
    21: ("commanded", ("number", "command"), ("number", "action"), ("number", "status")),
    22: ("task_scheduled", ("agent", "agent"), ("number", "seq"), ("agent", "by")),
    23: ("task_ended", ("agent", "by"), ("number", "seq"), ("pair", "state", "attempts")),
    24: ("saved", ("agent", "agent"), None, None),
    25: ("restored", ("agent", "agent"), ("number", "saved_tick"), None),
    32: ("tick_open", None, ("number", "facts"), None),
    33: ("tick_close", None, ("number", "turns"), ("bits", "digest_low")),
    34: ("microstep", None, ("number", "turns"), None),
    35: ("turn", ("agent", "agent"), ("number", "fuel"), ("pair", "items", "effects")),
    36: ("stall", ("stall", "cause"), ("number", "ns"), None),
    37: ("input", ("agent", "to"), ("source", "source"), ("topic", "topic", "bytes")),
    38: ("delivered", ("agent", "to"), ("agent", "from"), ("topic", "topic", "bytes")),
}
FAULTS = {
    0: "none",
    1: "unreachable executed",
    2: "access out of bounds",
    3: "arithmetic trap",
    4: "bad indirect call",
    5: "fuel budget exceeded",
    6: "call depth exceeded",
    7: "misuse of a host call",
    8: "negative return code",
    9: "bad inbox",
}
STALLS = {
    1: "model",
    3: "log",
}
# end of generated


class RegionError(Exception):
    """Something is wrong with a region; `kind` is one word that programs can compare."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


# What a follower finds: a message, its bytes or fields; or `count` messages lost from `number` on, because
# the follower came too late ("polling") or was overtaken while it copied ("reading").
Message = collections.namedtuple("Message", "number data")
Lost = collections.namedtuple("Lost", "number count during")

# A counter; `place` is for `Region.value`.
Counter = collections.namedtuple("Counter", "id kind unit label help place")


def _checksum(words):
    total = 0xCBF29CE484222325
    for word in words:
        total = ((total ^ word) * 0x100000001B3) & MASK
        total = ((total << 23) | (total >> 41)) & MASK
    return total


class _Memory:
    """Words of a region: mapped if the file can never become shorter, else read with pread."""

    def __init__(self, path):
        flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)
        self.file = os.open(path, flags)
        self.length = os.fstat(self.file).st_size // 8 * 8
        self.words = None
        if self.length < HEADER_BYTES:
            os.close(self.file)
            raise RegionError("short", f"{path} holds {self.length} bytes and no header; it is no region")
        if self.length > REGION_MAX:
            os.close(self.file)
            raise RegionError("length", f"{path} holds {self.length} bytes, more than any region")
        try:
            sealed = fcntl.fcntl(self.file, 1034) & 0x2  # F_GET_SEALS, F_SEAL_SHRINK
        except OSError:
            sealed = False
        if sealed:
            self.map = mmap.mmap(self.file, self.length, mmap.MAP_SHARED, mmap.PROT_READ)
            self.words = memoryview(self.map).cast("Q")

    def load(self, word):
        if self.words is not None:
            return self.words[word]
        return struct.unpack("=Q", self.copy(word, 1))[0]

    def copy(self, word, count):
        if self.words is not None:
            return bytes(self.words[word:word + count])
        data = os.pread(self.file, count * 8, word * 8)
        if len(data) != count * 8:
            raise RegionError("lost", "the file of the region was cut short; its kernel is gone")
        return data

    def close(self):
        if self.words is not None:
            self.words.release()
            self.map.close()
        os.close(self.file)


class Region:
    """A checked region. `sections` holds (kind, version, id, offset, length, (a, b)) of each section."""

    def __init__(self, path):
        self.path = path
        self._memory = _Memory(path)
        try:
            self._attach()
        except BaseException:
            self._memory.close()
            raise

    def close(self):
        self._memory.close()

    def _attach(self):
        load = self._memory.load
        magic = load(0)
        if magic == 0:
            raise RegionError("not_ready", f"{self.path} is not ready; try again")
        if magic != MAGIC:
            raise RegionError("magic", f"{self.path} is no region of Wasm-Engine")
        fixed = struct.unpack("=16Q", self._memory.copy(0, 16))
        if fixed[1] != ENDIAN:
            raise RegionError("endian", f"{self.path} comes from a machine with another byte order")
        self.version = (fixed[2] >> 32, fixed[2] & 0xFFFFFFFF)
        if self.version[0] != MAJOR:
            raise RegionError("version", f"{self.path} has layout {self.version[0]}.{self.version[1]}, "
                              f"this reader knows {MAJOR}; use the one of the same release")
        if fixed[4] != self._memory.length:
            raise RegionError("length", f"{self.path} says {fixed[4]} bytes and has {self._memory.length}")
        count = fixed[7]
        end = (HEADER_BYTES + count * ENTRY_BYTES + 127) // 128 * 128
        page_size, pid = fixed[9], fixed[10]
        if (count > SECTIONS_MAX or fixed[8] != ENTRY_BYTES or fixed[3] != end or end > fixed[4]
                or page_size == 0 or page_size & (page_size - 1) or pid >> 32):
            raise RegionError("field", f"the header of {self.path} is damaged")
        entries = struct.unpack(f"={count * 8}Q", self._memory.copy(HEADER_BYTES // 8, count * 8))
        if _checksum(fixed[1:15] + entries) != fixed[15]:
            raise RegionError("checksum", f"the header of {self.path} is damaged")
        self.schema, self.generation = fixed[5], fixed[6]
        self.pid, self.pid_start_time, self.started_unix_ns = pid, fixed[11], fixed[14]
        self.pid_namespace = load(24)
        self.sections = []
        for at in range(0, count * 8, 8):
            kind, ident, offset, length, a, b = entries[at:at + 6]
            self.sections.append((kind & 0xFFFFFFFF, kind >> 32, ident & 0xFFFFFFFF, offset, length, (a, b)))
        free, names = end, set()
        for kind, _, ident, offset, length, _ in sorted(self.sections, key=lambda s: s[3]):
            if (length == 0 or offset + length > fixed[4] or offset % 128 or length % 128
                    or offset < free or (kind, ident) in names):
                raise RegionError("section", f"section kind {kind} id {ident} of {self.path} is impossible")
            free = offset + length
            names.add((kind, ident))

    def section(self, kind, ident):
        """The section of this kind and id, or None."""
        return next((s for s in self.sections if s[0] == kind and s[2] == ident), None)

    def status(self):
        """What the owner says right now: state, heartbeat, last tick closed, time of the last change."""
        state, heartbeat, tick, since = (self._memory.load(16 + at) for at in range(4))
        word = STATES[state] if state < len(STATES) else "unknown"
        return {"state": word, "heartbeat": heartbeat, "tick": tick, "since_ns": since}

    def page(self, ident):
        """(number, bytes) of the newest publication of a page."""
        _, _, _, offset, length, (words, _) = self._need(PAGE, ident)
        stride = (2 + words + 15) // 16 * 16
        if words == 0 or 16 + PAGE_SLOTS * stride > length // 8:
            raise RegionError("section", f"page {ident} is longer than its section")
        base, memory = offset // 8, self._memory
        for _ in range(ATTEMPTS):
            number = memory.load(base) - 1
            if number < 0:
                raise RegionError("not_yet", f"page {ident} was not published yet")
            slot = base + 16 + number % PAGE_SLOTS * stride
            first = memory.load(slot)
            if first != (2 * number + 2) & MASK:
                continue
            size = min(memory.load(slot + 1), words * 8)
            data = memory.copy(slot + 2, words)
            if memory.load(slot) == first:
                return number, data[:size]
        raise RegionError("busy", f"page {ident} changed during each of {ATTEMPTS} reads; try again")

    def rows(self, ident):
        """(cut, {row: bytes}) of a table: all rows written so far, as of one moment."""
        _, _, _, offset, length, (count, words) = self._need(ROWS, ident)
        version = 1 + words
        stride = (2 * version + 7) // 8 * 8
        if words == 0 or count == 0 or 16 + count * stride > length // 8:
            raise RegionError("section", f"table {ident} is longer than its section")
        base, memory = offset // 8, self._memory
        for _ in range(ATTEMPTS):
            cut = memory.load(base)
            found = {}
            for row in range(count):
                data = self._row(base + 16 + row * stride, version, cut)
                if data is None:
                    continue
                if data == b"":
                    break
                found[row] = data
            else:
                return cut, found
        raise RegionError("busy", f"table {ident} changed during each of {ATTEMPTS} reads; try again")

    def _row(self, at, version, cut):
        """The row's bytes in a cut; None if it was not written up to it, empty if it was replaced."""
        load = self._memory.load
        places = (at, at + version)
        marks = [load(place) for place in places]
        stamps = [m // 2 if m % 2 == 1 and m // 2 <= cut else 0 for m in marks]
        newest = 1 if stamps[1] > stamps[0] else 0
        if stamps[newest]:
            data = self._memory.copy(places[newest] + 1, version - 1)
            return data if load(places[newest]) == marks[newest] else b""
        return None if 0 in [load(place) for place in places] else b""

    def kernel(self):
        """The kernel's page as a dictionary."""
        self._know()
        form, size = self._need(PAGE, 1), _size(KERNEL_PAGE)
        if form[5][0] * 8 == size:
            data = self.page(1)[1]
            if len(data) == size:
                return _fields(KERNEL_PAGE, data)
        raise RegionError("section", "the kernel's page has another length than its schema says")

    def table(self, name):
        """{row: dictionary} of the table "agents", "lanes", "models" or "rings"."""
        self._know()
        ident, fields = TABLES[name]
        section = self.section(ROWS, ident)
        if section is None:
            return {}
        if section[5][1] * 8 != _size(fields):
            raise RegionError("section", f"the {name} have rows of another length than their schema says")
        return {row: _fields(fields, data) for row, data in self.rows(ident)[1].items()}

    def names(self):
        """What the numbers point to: names of the kernel, templates, models, rings."""
        try:
            names = json.loads(self.page(6)[1].rstrip(b"\0").decode("utf-8"))
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, dict):
            raise RegionError("section", "the names are not a JSON object")
        return names

    def trace(self):
        """A follower of the kernel's events, from what it still holds; None if it has no trace. Their data
        are the fields of TRACE_EVENT."""
        self._know()
        section = self.section(BROADCAST, SECTION_IDS["trace"])
        if section is None:
            return None
        self._check_version(section, "trace")
        if section[5][1] != _size(TRACE_EVENT):
            raise RegionError("section", "the trace has events of another length than its schema says")
        return Follower(self._memory, section, TRACE_EVENT)

    def _check_version(self, section, what):
        if section[1] != SECTION_VERSION:
            raise RegionError("version", f"the {what} of {self.path} have layout {section[1]}, this reader "
                              f"knows {SECTION_VERSION}; use the reader of the kernel's release")

    def follow(self, ident):
        """A follower of any broadcast ring; its data are bytes."""
        return Follower(self._memory, self._need(BROADCAST, ident))

    def counters(self, ident=None):
        """The counters, whatever the kernel's release. Those that are being replaced just now are left
        out, and such as point outside their section. In texts, what is no UTF-8 and control characters
        become U+FFFD."""
        section = self._need(COUNTERS, SECTION_IDS["counters"] if ident is None else ident)
        if ident is None:
            self._check_version(section, "counters")
        _, _, _, offset, length, _ = section
        base, words, load = offset // 8, length // 8, self._memory.load
        count = min(load(base), (words - 16) // 16, COUNTERS_MAX)
        found = []
        for entry in range(base + 16, base + 16 + count * 16, 16):
            generation = load(entry)
            if generation % 2:
                continue
            data = self._memory.copy(entry, 16)
            number = struct.unpack_from("=Q", data, 8)[0]
            word = 16 + count * 16 + (number >> 32)
            if load(entry) != generation or word >= words:
                continue
            texts = (_text(data[a:b]) for a, b in ((16, 24), (24, 32), (32, 64), (64, 128)))
            found.append(Counter(number & 0xFFFFFFFF, *texts, (base + word, entry, generation)))
        return found

    def value(self, counter):
        """The value of a counter, now; RegionError "gone" if its place was given to another one since."""
        word, entry, generation = counter.place
        value = self._memory.load(word)
        if self._memory.load(entry) != generation:
            raise RegionError("gone", f"{counter.label} gave its place to another counter; list them again")
        return value

    def ended(self):
        """Whether nothing more will come of this run: its owner said so, or is known to be gone."""
        if self.status()["state"] == STATES[7]:
            return True
        return not _foreign(self.pid_namespace) and _start_of(self.pid) != self.pid_start_time

    def _need(self, kind, ident):
        section = self.section(kind, ident)
        if section is None:
            raise RegionError("section", f"{self.path} has no section kind {kind} id {ident}")
        return section

    def _know(self):
        if self.schema != SCHEMA:
            raise RegionError("schema", f"the kernel of {self.path} publishes schema {self.schema:#x}, this "
                              f"reader knows {SCHEMA:#x}; use the reader of the same release")


class Follower:
    """A place in a broadcast ring. `position` is the number of the next message: those before were read or
    lost; `lost` counts these by what the follower was doing when it was overtaken."""

    def __init__(self, memory, section, fields=None):
        _, _, ident, offset, length, (slots, size) = section
        stride = (2 + (size + 7) // 8 + 7) // 8 * 8
        if (not 2 <= slots <= RING_SLOTS_MAX or slots & (slots - 1) or not 1 <= size <= MESSAGE_BYTES_MAX
                or 16 + slots * stride > length // 8):
            raise RegionError("section", f"ring {ident} is longer than its section, or impossible")
        self._memory, self._base, self._fields = memory, offset // 8, fields
        self._slots, self._stride, self._size = slots, stride, size
        self.position = 0
        self.lost = {"polling": 0, "reading": 0}

    def sent(self):
        """Number of messages sent so far."""
        return self._memory.load(self._base)

    def skip_to_oldest(self, spare):
        """Goes on with the oldest message that is there, but for `spare` of them that the writer may
        overwrite meanwhile; never back. What is passed over is not counted as lost."""
        self.position = max(self.position, self.sent() - self._slots + min(spare, self._slots))

    def slots(self):
        """Messages that the ring holds."""
        return self._slots

    def poll(self):
        """The next Message or what was Lost, or None if there is nothing new. After a loss it goes on half
        a ring behind the newest. Never waits, and makes one copy at most."""
        memory, number = self._memory, self.position
        slot = self._base + 16 + (number & (self._slots - 1)) * self._stride
        there = (2 * number + 2) & MASK
        first = memory.load(slot)
        if first < there:
            return None
        during = "polling"
        if first == there:
            size = min(memory.load(slot + 1), self._size)
            data = memory.copy(slot + 2, (size + 7) // 8)[:size]
            if memory.load(slot) == first:
                self.position = (number + 1) & MASK
                return Message(number, data if self._fields is None else self._event(data))
            during = "reading"
        self.position = max(self.sent() - self._slots // 2, (number + 1) & MASK)
        count = (self.position - number) & MASK
        self.lost[during] = (self.lost[during] + count) & MASK
        return Lost(number, count, during)

    def _event(self, data):
        return _fields(self._fields, data.ljust(_size(self._fields), b"\0"))


def _clean(text):
    """Text from outside made safe for a terminal."""
    return "".join("\ufffd" if c < " " or "\x7f" <= c < "\xa0" else c for c in text)


def _text(data):
    return _clean(data.split(b"\0", 1)[0].decode("utf-8", "replace"))


def _size(fields):
    """Bytes of a page or row, whole words."""
    end = max(offset + struct.calcsize("=" + form) for offset, form in fields.values())
    return (end + 7) // 8 * 8


def _fields(fields, data):
    out = {}
    for name, (offset, form) in fields.items():
        values = struct.unpack_from("=" + form, data, offset)
        out[name] = values[0] if len(values) == 1 else list(values)
    return out


def runtime_directory():
    """Where the kernels of this user leave their descriptors."""
    path = os.environ.get("XDG_RUNTIME_DIR")
    return path or os.path.join(os.environ.get("TMPDIR") or "/tmp", f"wasm-engine-{os.geteuid()}")


def names_in(directory=None):
    """Names that have a descriptor, of dead kernels too."""
    found = os.listdir(directory or runtime_directory())
    return sorted(name[:-7] for name in found if name.endswith(".region") and not name.startswith("."))


def _descriptor(path, name):
    """The bytes of a descriptor; of version 1 with zeros behind them."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise RegionError("not_found", f"there is no kernel named {name}; is it running?") from None
    try:
        data = os.read(file, DESCRIPTOR_BYTES)
    finally:
        os.close(file)
    if len(data) < DESCRIPTOR_V1_BYTES or data[:8] != b"WENGLOC1" or data[8:12] == bytes(4):
        raise RegionError("descriptor", f"{path} is no descriptor of a region")
    if data[8:12] == b"\x01\0\0\0":
        return data[:DESCRIPTOR_V1_BYTES] + bytes(DESCRIPTOR_BYTES - DESCRIPTOR_V1_BYTES)
    total = 0xCBF29CE484222325
    for byte in data[:DESCRIPTOR_BYTES - 8]:
        total = ((total ^ byte) * 0x100000001B3) & MASK
    if len(data) < DESCRIPTOR_BYTES or total != struct.unpack_from("<Q", data, DESCRIPTOR_BYTES - 8)[0]:
        raise RegionError("descriptor", f"{path} is damaged")
    return data


def open_name(name, directory=None):
    """The region of a running kernel, by name. The runtime directory must be this user's alone."""
    if "/" in name:
        raise RegionError("not_found", "a name has no slash")
    directory = directory or runtime_directory()
    try:
        facts = os.lstat(directory)
    except FileNotFoundError:
        raise RegionError("not_found", f"there is no kernel named {name}; is it running?") from None
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise RegionError("directory", f"{directory} is not this user's alone; set XDG_RUNTIME_DIR")
    path = os.path.join(directory, name + ".region")
    data = _descriptor(path, name)
    pid, start, boot, descriptor, length = struct.unpack_from("<IQ16siI", data, 12)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        this_boot = bytes.fromhex(file.read().strip().replace("-", ""))
    home = struct.unpack_from("<Q", data, DESCRIPTOR_V1_BYTES)[0]
    foreign = _foreign(home)
    # The pid of another namespace means nothing here; a file can be opened all the same.
    if boot == this_boot and foreign and descriptor >= 0:
        raise RegionError("namespace", f"the kernel named {name} (pid {pid} there) runs in another pid "
                          "namespace, such as a container")
    if boot != this_boot or not foreign and _start_of(pid) != start:
        raise RegionError("dead", f"the kernel named {name} (pid {pid}) is not running any more")
    if descriptor >= 0:
        return Region(f"/proc/{pid}/fd/{descriptor}")
    place = data[72:72 + length] if length <= DESCRIPTOR_V1_BYTES - 72 else b""
    if not place.startswith(b"/") or b"\0" in place:
        raise RegionError("descriptor", f"the path in {path} is too long or not absolute")
    return Region(os.fsdecode(place))


def _foreign(home):
    """Whether this pid namespace is known to be another one."""
    try:
        return home not in (0, os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return False


def _start_of(pid):
    """Start of a process in clock ticks since boot, None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


# What stands for the topic of a message that came by none.
NO_TOPICS = {0xFFFFFFFF: "none", 0xFFFFFFFE: "channel"}


def document(seen, names):
    """What a follower of the trace found as a dictionary, as `wasm-engine-monitor --trace --json` prints it.
    `names` is what `Region.names` gives, or empty."""
    out = {"$type": "wasm-engine/event/1"}
    if isinstance(seen, Lost):
        # Nobody has come too late before the first poll.
        return {**out, "lost": seen.count, "why": seen.during if seen.number else "earlier"}
    event = seen.data
    unknown = ("unknown", ("bits", "subject"), ("bits", "a"), ("bits", "b"))
    word, *details = EVENTS.get(event["kind"], unknown)
    out.update(number=seen.number, time_ns=event["time_ns"], tick=event["tick"],
               microstep=event["microstep"], event=word)
    for detail, value in zip(details, (event["subject"], event["a"], event["b"])):
        if detail is None:
            continue
        form, key = detail[:2]
        if form == "agent":
            index, generation = value & 0xFFFFFFFF, value >> 32
            agents = names.get("agents")
            # The first agent of a slot is the configured one.
            if generation == 0 and isinstance(agents, list) and index < len(agents):
                out[key + "_name"] = _clean(str(agents[index]))
            out[key] = "none" if value == MASK else f"{index}.{generation}"
        elif form == "pair":
            out[key], out[detail[2]] = value >> 32, value & 0xFFFFFFFF
        elif form in ("topic", "source"):
            number = value >> 32 if form == "topic" else value
            known = names.get(form + "s")
            if isinstance(known, list) and number < len(known):
                out[key + "_name"] = _clean(str(known[number]))
            out[key] = NO_TOPICS.get(number, number) if form == "topic" else number
            if form == "topic":
                out[detail[2]] = value & 0xFFFFFFFF
        elif form == "number":
            out[key] = value
        elif form == "bits":
            out[key] = f"{value:016x}"
        else:
            out[key] = (FAULTS if form == "fault" else STALLS).get(value, "unknown")
    return out


def _counter_values(region):
    """The counters with their values; none that is replaced meanwhile: it is neither the old nor the new."""
    found = []
    for counter in region.counters():
        try:
            value = region.value(counter)
        except RegionError as error:
            if error.kind != "gone":
                raise
            continue
        entry = counter._asdict()
        del entry["place"]
        found.append({**entry, "value": value})
    return found


INTERVAL, INTERVAL_MAX = 0.001, 0.016  # seconds between two polls while nothing happens
LINES = 256                  # collected before they are printed


LOSSES_MAX = 1000  # without an event between; a sound ring has one now and then


def _follow(region, once):
    """Prints events until the run ends; what the kernel said before it ended is still read."""
    follower = region.trace()
    if follower is None:
        raise RegionError("nothing", 'this kernel has no trace: set region.trace to "events" or "full"')
    try:
        names = region.names()
    except RegionError as error:
        if error.kind != "not_yet":
            raise
        names = {}
    end, interval, losses = None, INTERVAL, 0
    # The oldest is the next to be overwritten, if the run goes on.
    follower.skip_to_oldest(0 if region.ended() else follower.slots() // 16)
    if follower.position > 0:
        print(json.dumps(document(Lost(0, follower.position, "polling"), names)))
    while True:
        if end is None and (once or region.ended()):
            end = follower.sent()
        lines = []
        while len(lines) < LINES and (end is None or follower.position < end):
            seen = follower.poll()
            if seen is None:
                break
            lines.append(json.dumps(document(seen, names)) + "\n")
            losses = losses + 1 if isinstance(seen, Lost) else 0
            if losses > LOSSES_MAX:
                raise RegionError("section", "the trace was overtaken at every poll, without an event between")
        if lines:
            interval = INTERVAL
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
        elif end is not None:
            return
        else:
            time.sleep(interval)
            interval = min(2 * interval, INTERVAL_MAX)


DUMP_LOOKS = 1000  # at one ring, in the dump of a region


def _typed(read):
    """What reading fields gives, or the kind of error."""
    try:
        return str(read())
    except RegionError as error:
        return error.kind


def _trace_end(region):
    """How many events were read, and tick and kind of the last."""
    follower = region.trace()
    found = [] if follower is None else list(_messages(follower))
    last = found[-1].data if found else {"tick": 0, "kind": 0}
    return f"{len(found)} {last['tick']} {last['kind']}"


def _messages(follower):
    return (seen for seen in _looks(follower) if isinstance(seen, Message))


def _looks(follower):
    """What a follower finds of what was sent up to now."""
    sent = follower.sent()
    for _ in range(DUMP_LOOKS):
        seen = follower.poll() if follower.position < sent else None
        if seen is None:
            return
        yield seen


def _dump_ring(follower, ident):
    yield f"ring {ident} sent {follower.sent()}"
    for seen in _looks(follower):
        if isinstance(seen, Lost):
            yield f"lost {ident}.{seen.number} {seen.count} {seen.during}"
        else:
            yield f"message {ident}.{seen.number} {seen.data.hex()}"
    yield f"passed {ident} {follower.position} lost {follower.lost['polling']} {follower.lost['reading']}"


def _dump_counter(region, ident, counter):
    value = _typed(lambda: region.value(counter))
    texts = "|".join((counter.kind, counter.unit, counter.label, counter.help))
    return f"counter {ident} {counter.id:08x} {value} {texts}"


def dump(path):
    """All that is published in a region, line by line: what its tests compare between readers."""
    region = Region(path)
    status = region.status()
    lines = [f"region {region.version[0]}.{region.version[1]} schema {region.schema:016x} generation "
             f"{region.generation} pid {region.pid} started {region.started_unix_ns}",
             f"status {status['state']} heartbeat {status['heartbeat']} tick {status['tick']}"]
    lines += [f"{name} {_typed(read)}" for name, read in [
        ("kernel", lambda: region.kernel()["tick"]), *(
            (name, lambda name=name: max(region.table(name), default=-1) + 1) for name in TABLES),
        ("trace", lambda: _trace_end(region)), ("counters", lambda: len(region.counters()))]]
    for kind, version, ident, offset, length, (a, b) in region.sections:
        lines.append(f"section {kind} {ident} version {version} at {offset} bytes {length} ({a}, {b})")
        if kind == PAGE:
            number, data = region.page(ident)
            lines.append(f"page {ident} number {number} {data.hex()}")
        if kind == ROWS:
            cut, rows = region.rows(ident)
            lines += [f"row {ident}.{row} cut {cut} {data.hex()}" for row, data in rows.items()]
        if kind == BROADCAST:
            lines += _dump_ring(region.follow(ident), ident)
        if kind == COUNTERS:
            lines += [_dump_counter(region, ident, counter) for counter in region.counters(ident)]
    region.close()
    return "\n".join(lines) + "\n"


def _dump_all(paths):
    sys.stdout.reconfigure(encoding="utf-8")
    for number, path in enumerate(paths, 1):
        try:
            sys.stdout.write(dump(path))
        except RegionError as error:
            print(f"error {error.kind}")
        print(f"end {number}")


def main(arguments):
    """The command."""
    if arguments[:1] == ["--dump"]:
        _dump_all(arguments[1:])
        return 0
    parser = argparse.ArgumentParser(description="Shows a running Wasm-Engine kernel as JSON. Only reads.")
    parser.add_argument("name", nargs="?", help="name of the kernel; without it the only one there is")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--trace", action="store_true", help="follow what happens until the run ends, one "
                      "line per event or loss")
    parser.add_argument("--once", action="store_true", help="with --trace: only what the kernel still holds")
    what.add_argument("--counters", action="store_true", help="print the counters once, with what they "
                      "are; also of a kernel of another release")
    parser.add_argument("--json", action="store_true", help="as in wasm-engine-monitor; all that is printed "
                        "is JSON")
    options = parser.parse_args(arguments)
    try:
        names = [options.name] if options.name else names_in()
        if len(names) != 1:
            print("no kernel runs" if not names else "name one of: " + ", ".join(names), file=sys.stderr)
            return 2
        region = open_name(names[0])
        if options.trace:
            _follow(region, options.once)
        elif options.counters:
            print(json.dumps({"$type": "wasm-engine/counters/1", "counters": _counter_values(region)}))
        else:
            # A number that means "none".
            kernel = {key: None if value == MASK else value for key, value in region.kernel().items()}
            print(json.dumps({"status": region.status(), "kernel": kernel}, indent=1))
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read this has read enough; nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RegionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
