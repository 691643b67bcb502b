"""A follower and a list of counters at each moment of a writer that overtakes them: the writer runs when
they read for the n-th time. Prints what they find, as overtaken.c does."""

import struct

import wasm_engine_monitor as monitor

SLOTS, MESSAGE_WORDS, STRIDE = 4, 6, 8


class Memory:
    """Words of a ring, whose writer runs at one moment."""

    def __init__(self, before, moment, more, half):
        self.words = [0] * (16 + SLOTS * STRIDE)
        self.sent, self.reads = 0, 0
        self.sends(before, 0)
        self.moment, self.then = moment, (more, half)

    def fill(self, done):
        number, slot = self.sent, 16 + self.sent % SLOTS * STRIDE
        self.words[slot] = 2 * number + 1 + done
        self.words[slot + 1] = MESSAGE_WORDS * 8 - number % 8
        self.words[slot + 2:slot + 8] = [(number + 1) * 0x0101010101010101] * MESSAGE_WORDS

    def sends(self, count, begins):
        for _ in range(count):
            self.fill(1)
            self.sent += 1
            self.words[0] = self.sent
        if begins:
            self.fill(0)

    def copy(self, word, count):
        if self.reads == self.moment:
            self.sends(*self.then)
        self.reads += 1
        return struct.pack(f"={count}Q", *self.words[word:word + count])

    def load(self, word):
        return struct.unpack("=Q", self.copy(word, 1))[0]


class Counters(Memory):
    """Words of one counter, which the writer replaces."""

    def __init__(self, moment, half):
        super().__init__(0, moment, 0, 0)
        self.half = half
        self.replaces(b"old", 2, 5)

    def replaces(self, label, generation, value):
        self.words[0], self.words[16], self.words[32] = 1, generation, value
        self.words[20] = int.from_bytes(label, "little")

    def sends(self, *_):
        if hasattr(self, "half"):
            self.replaces(b"new", 3 if self.half else 4, 7)


def count(moment, half):
    region = monitor.Region.__new__(monitor.Region)
    region.path, region._memory = "", Counters(moment, half)
    region.sections = [(monitor.COUNTERS, 1, 8, 0, 8 * (16 + SLOTS * STRIDE), (1, 0))]
    for counter in region.counters():
        try:
            return f"{counter.label} {region.value(counter)}"
        except monitor.RegionError as error:
            return f"{counter.label} {error.kind}"
    return "none"


def main():
    section = (monitor.BROADCAST, 1, 7, 0, 8 * (16 + SLOTS * STRIDE), (SLOTS, MESSAGE_WORDS * 8))
    for case in ((before, moment, more, half) for before in range(7) for moment in range(6)
                 for more in range(10) for half in range(2)):
        follower = monitor.Follower(Memory(*case), section)
        seen = follower.poll()
        if seen is None:
            text = "nothing"
        elif isinstance(seen, monitor.Message):
            text = "message " + seen.data.hex()
        else:
            text = f"overrun {seen.count} {seen.during}"
        print(*case, text, "next", follower.position)
    for case in ((moment, half) for moment in range(7) for half in range(2)):
        print("counter", *case, count(*case))


main()
