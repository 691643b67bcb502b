"""A Wasm-Engine kernel inside a Python program. Standard library only, Python 3.8 or later, over the C
library of kernel/capi.

    import wasm_engine
    with wasm_engine.Host(config_file="run.toml") as host:
        host.push("readings", "readings", b"18.5")
        host.run_until_idle(100)
        for output in host.outputs():
            print(output.tick, output.topic, bytes(output.payload))

The library is `WASM_ENGINE_LIBRARY`, or beside this file, or where the system finds `wasm_engine_c`. What
is refused raises `Error`, whose `result` is a `Result`. A host may be used by any thread, by one at a time;
a second call at the same time, also from a callback, raises `Error` with `Result.BUSY`. An exception in a
callback is raised by the call that executed the tick, behind it.

`Output.payload` is a read-only view of the library's memory and ends with the next call that executes ticks
or closes the host: copy with `bytes`, or see it as an array with `Output.array(dtype)`, where numpy is
installed. What the functions do is in wasm_engine.h; the tables below are made of it and compared.
"""

import collections
import ctypes
import ctypes.util
import enum
import json
import os

# generated: header
HOST_ABI_VERSION = 1


class Result(enum.IntEnum):
    OK = 0
    NONE = 1
    NULL = 10
    UTF8 = 11
    LENGTH = 12
    SIZE = 13
    HANDLE = 20
    BUSY = 21
    FORKED = 22
    FAILED = 23
    PANIC = 24
    USAGE = 30
    REFUSED = 31
    CORRUPT = 32
    DIVERGED = 33
    MACHINE = 34
    FULL = 40
    TOO_LARGE = 41
    UNKNOWN_SOURCE = 42
    UNKNOWN_KEY = 43
    CLOSED = 44
    UNKNOWN_AGENT = 45
    UNKNOWN_MODEL = 46
    UNKNOWN_STREAM = 47
    OTHER = 99


class PollKind(enum.IntEnum):
    OTHER = 0
    DONE = 1
    IDLE_UNTIL = 2
    IDLE = 3
    PENDING = 4
    ENDED = 5


class Pending(enum.IntEnum):
    OTHER = 0
    MODEL = 1
    LOG_SPACE = 2


class Ending(enum.IntEnum):
    DONE = 0
    TICKS = 1
    INTERRUPTED = 2
    TIMEOUT = 3
    FAULT = 4


class OnFailure(enum.IntEnum):
    FAIL = 0
    SKIP = 1
    RUN = 2


class TaskState(enum.IntEnum):
    DONE = 3
    FAILED = 4
    SKIPPED = 5
    CANCELLED = 6


class we_host_output(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("microstep", ctypes.c_uint32),
        ("tick", ctypes.c_uint64),
        ("agent", ctypes.c_uint64),
        ("seq", ctypes.c_uint64),
        ("topic", ctypes.c_char_p),
        ("agent_name", ctypes.c_char_p),
        ("payload", ctypes.c_void_p),
        ("payload_len", ctypes.c_size_t),
    ]


class we_log_line(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("level", ctypes.c_uint32),
        ("tick", ctypes.c_uint64),
        ("agent_name", ctypes.c_char_p),
        ("text", ctypes.c_void_p),
        ("text_len", ctypes.c_size_t),
    ]


class we_fault(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("microstep", ctypes.c_uint32),
        ("tick", ctypes.c_uint64),
        ("agent_name", ctypes.c_char_p),
        ("what", ctypes.c_char_p),
        ("advice", ctypes.c_char_p),
        ("json", ctypes.c_char_p),
    ]


class we_host_poll(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("what", ctypes.c_uint32),
        ("tick", ctypes.c_uint64),
        ("wait_ns", ctypes.c_uint64),
        ("pending_on", ctypes.c_uint32),
        ("ended", ctypes.c_uint32),
    ]


class we_host_outcome(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("status", ctypes.c_int32),
        ("number", ctypes.c_uint64),
        ("tick", ctypes.c_uint64),
        ("agent", ctypes.c_uint64),
    ]


class we_task_outcome(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("status", ctypes.c_int32),
        ("number", ctypes.c_uint64),
        ("tick", ctypes.c_uint64),
        ("agent", ctypes.c_uint64),
        ("state", ctypes.c_uint32),
        ("attempts", ctypes.c_uint32),
        ("code", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    ]


class we_host_snapshot(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("agents", ctypes.c_uint32),
        ("runnable", ctypes.c_uint32),
        ("inferences_pending", ctypes.c_uint32),
        ("tick", ctypes.c_uint64),
        ("ticks", ctypes.c_uint64),
        ("inputs_waiting", ctypes.c_uint64),
        ("inputs", ctypes.c_uint64),
        ("messages", ctypes.c_uint64),
        ("faults", ctypes.c_uint64),
        ("durable_tick", ctypes.c_uint64),
        ("digest", ctypes.c_char * 40),
        ("fuel_digest", ctypes.c_char * 40),
    ]


class we_tick_report(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("microsteps", ctypes.c_uint32),
        ("turns", ctypes.c_uint32),
        ("carried_over", ctypes.c_uint32),
        ("tick", ctypes.c_uint64),
        ("fuel", ctypes.c_uint64),
        ("gather_ns", ctypes.c_uint64),
        ("open_ns", ctypes.c_uint64),
        ("plan_ns", ctypes.c_uint64),
        ("step_ns", ctypes.c_uint64),
        ("commit_ns", ctypes.c_uint64),
        ("close_ns", ctypes.c_uint64),
        ("log_ns", ctypes.c_uint64),
        ("publish_ns", ctypes.c_uint64),
    ]


we_on_output = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(we_host_output))
we_on_log = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(we_log_line))
we_on_fault = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(we_fault))

# What each function gives and takes.
FUNCTIONS = {
    "we_abi_version": (ctypes.c_uint32, []),
    "we_version": (ctypes.c_char_p, []),
    "we_last_error": (ctypes.c_char_p, []),
    "we_result_name": (ctypes.c_char_p, [ctypes.c_int32]),
    "we_builder_new": (ctypes.c_int32, [ctypes.POINTER(ctypes.c_uint64)]),
    "we_builder_free": (ctypes.c_int32, [ctypes.c_uint64]),
    "we_builder_start": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]),
    "we_builder_config_file": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_config_text": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_set": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_attach": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]),
    "we_builder_name": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_log": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_resume": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_code_cache": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_model_program": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_builder_workers": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint32]),
    "we_builder_ticks": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64]),
    "we_builder_pace": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_double]),
    "we_builder_signal_handlers": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint32]),
    "we_builder_time_stages": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint32]),
    "we_builder_on_output": (ctypes.c_int32, [ctypes.c_uint64, we_on_output, ctypes.c_void_p]),
    "we_builder_on_log": (ctypes.c_int32, [ctypes.c_uint64, we_on_log, ctypes.c_void_p]),
    "we_builder_on_fault": (ctypes.c_int32, [ctypes.c_uint64, we_on_fault, ctypes.c_void_p]),
    "we_host_find_stream": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_push": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_push_to": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_next_seq": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_close_source": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p]),
    "we_host_poll_tick": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(we_host_poll)]),
    "we_host_tick": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(we_host_poll)]),
    "we_host_run_until_idle": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_next_due": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_set_tick_budget": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64]),
    "we_host_last_tick": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(we_tick_report)]),
    "we_host_next_output": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(we_host_output)]),
    "we_host_take_snapshot": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(we_host_snapshot)]),
    "we_host_close": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(ctypes.c_char_p)]),
    "we_host_find_agent": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_pause_agent": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_resume_agent": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_terminate_agent": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_spawn_agent": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_load_model": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_unload_model": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_swap_model": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_next_outcome": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(we_host_outcome)]),
    "we_host_schedule_task": (ctypes.c_int32, [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64)]),
    "we_host_next_task_outcome": (ctypes.c_int32, [ctypes.c_uint64, ctypes.POINTER(we_task_outcome)]),
}
# end of generated

NONE = (1 << 64) - 1


class Error(Exception):
    """A call was refused; `result` says by which number, the text what, which and what to do next."""

    def __init__(self, result, text):
        super().__init__(text)
        self.result = result


def _load():
    name = os.environ.get("WASM_ENGINE_LIBRARY")
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libwasm_engine_c.so")
    name = name or (beside if os.path.exists(beside) else ctypes.util.find_library("wasm_engine_c"))
    if not name:
        raise ImportError("the library wasm_engine_c is not found; set WASM_ENGINE_LIBRARY to its file")
    library = ctypes.CDLL(name)
    for function, (result, arguments) in FUNCTIONS.items():
        of_library = getattr(library, function)
        of_library.restype, of_library.argtypes = result, arguments
    if library.we_abi_version() != HOST_ABI_VERSION:
        raise ImportError(f"{name} has version {library.we_abi_version()} of the interface, this file "
                          f"{HOST_ABI_VERSION}")
    return library


_library = _load()


def _call(function, *arguments):
    """Calls a function; gives whether there was something."""
    result = getattr(_library, function)(*arguments)
    if result == Result.OK or result == Result.NONE:
        return result == Result.OK
    known = result in Result._value2member_map_
    raise Error(Result(result) if known else result, _library.we_last_error().decode())


def _text(value):
    """A text or path as C has it. What holds a NUL would be cut short."""
    value = os.fspath(value)
    value = value.encode() if isinstance(value, str) else value
    if b"\0" in value:
        raise ValueError("a text may not hold NUL")
    return value


def _bytes(value):
    """Bytes as a pointer and a length, of anything with a buffer; it must live during the call."""
    view = memoryview(value).cast("B") if memoryview(value).nbytes else b""
    view = bytes(view)
    return view, len(view)


def version():
    """Version of the library."""
    return _library.we_version().decode()


class Output:
    """A message on an output topic."""

    __slots__ = ("tick", "microstep", "topic", "agent", "agent_name", "seq", "payload")

    def __init__(self, c):
        self.tick, self.microstep, self.agent, self.seq = c.tick, c.microstep, c.agent, c.seq
        self.topic, self.agent_name = c.topic.decode(), c.agent_name.decode()
        raw = (ctypes.c_uint8 * c.payload_len).from_address(c.payload) if c.payload_len else b""
        self.payload = memoryview(raw).cast("B").toreadonly()

    def array(self, dtype="u1"):
        """The payload as a numpy array that copies nothing; it ends as `payload` does."""
        import numpy
        return numpy.frombuffer(self.payload, dtype=dtype)

    def __repr__(self):
        return f"Output(tick={self.tick}, topic={self.topic!r}, agent={self.agent_name!r})"


Poll = collections.namedtuple("Poll", "what tick wait_s pending_on ended")
TaskOutcome = collections.namedtuple("TaskOutcome", "number state status tick agent attempts code")
Outcome = collections.namedtuple("Outcome", "number status tick agent")
LogLine = collections.namedtuple("LogLine", "tick agent level text")

_TEXTS = ("config_file", "config_text", "name", "log", "resume", "code_cache", "model_program")
_NUMBERS = ("workers", "ticks", "pace", "signal_handlers", "time_stages")


class Host:
    """A kernel in this process.

    Takes `config_file` or `config_text`, and if wanted `set` (a list of "section.key=value"), `attach` (a
    dictionary of bytes by name), `name`, `log`, `resume`, `code_cache`, `model_program`, `workers`,
    `ticks`, `pace`, `signal_handlers`, `time_stages`, and the callbacks `on_output(Output)`, `on_log(LogLine)` and
    `on_fault(dict)`. An `Output` of a callback ends with the callback.
    """

    def __init__(self, *, set=(), attach=None, on_output=None, on_log=None, on_fault=None, **options):
        unknown = [key for key in options if key not in _TEXTS + _NUMBERS]
        if unknown:
            raise TypeError(f"Host has no option {unknown[0]!r}")
        self._handle, self._raised, self._callbacks = None, None, []
        builder = ctypes.c_uint64()
        _call("we_builder_new", ctypes.byref(builder))
        try:
            for key, value in options.items():
                if value is not None:
                    _call(f"we_builder_{key}", builder, _text(value) if key in _TEXTS else value)
            for assignment in set:
                _call("we_builder_set", builder, _text(assignment))
            for name, data in (attach or {}).items():
                _call("we_builder_attach", builder, _text(name), *_bytes(data))
            self._hear(builder, "output", we_on_output, on_output, Output)
            self._hear(builder, "log", we_on_log, on_log, lambda c: LogLine(
                c.tick, c.agent_name.decode(), c.level,
                ctypes.string_at(c.text, c.text_len).decode()))
            self._hear(builder, "fault", we_on_fault, on_fault, lambda c: json.loads(c.json))
            host = ctypes.c_uint64()
            _call("we_builder_start", builder, ctypes.byref(host))
        except BaseException:
            # Does nothing if it was started: then it is gone.
            _library.we_builder_free(builder)
            raise
        self._handle = host

    def _hear(self, builder, kind, form, callback, made):
        if callback is None:
            return

        def heard(_context, struct):
            try:
                callback(made(struct.contents))
            except BaseException as error:
                self._raised = self._raised or error

        # The library calls it until the host is closed.
        self._callbacks.append(form(heard))
        _call(f"we_builder_on_{kind}", builder, self._callbacks[-1], None)

    def _call(self, function, *arguments):
        handle = self._handle if self._handle is not None else ctypes.c_uint64(0)
        there = _call(function, handle, *arguments)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        return there

    def _number(self, function, *arguments):
        number = ctypes.c_uint64()
        return number.value if self._call(function, *arguments, ctypes.byref(number)) else None

    def _fill(self, function, struct):
        struct.size = ctypes.sizeof(struct)
        return struct if self._call(function, ctypes.byref(struct)) else None

    def push(self, source, key, payload):
        """Pushes an input; gives its sequence number in the source."""
        return self._number("we_host_push", _text(source), _text(key), *_bytes(payload))

    def find_stream(self, source, key):
        """Looks up a stream for `push_to`."""
        return self._number("we_host_find_stream", _text(source), _text(key))

    def push_to(self, stream, payload):
        """As `push`, into a stream that was looked up before."""
        return self._number("we_host_push_to", stream, *_bytes(payload))

    def next_seq(self, source):
        """Sequence number that the next input of a source gets."""
        return self._number("we_host_next_seq", _text(source))

    def close_source(self, source):
        """Closes a source: it takes no more inputs."""
        self._call("we_host_close_source", _text(source))

    def _poll(self, function):
        c = self._fill(function, we_host_poll())
        pending, ended = c.what == PollKind.PENDING, c.what == PollKind.ENDED
        return Poll(c.what, c.tick if c.what == PollKind.DONE else None, c.wait_ns / 1e9,
                    c.pending_on if pending else None, c.ended if ended else None)

    def poll_tick(self):
        """Executes at most one tick and never waits for the pace, a model or the log."""
        return self._poll("we_host_poll_tick")

    def tick(self):
        """As `poll_tick`, but waits until a tick was executed, nothing is due or the run has ended."""
        return self._poll("we_host_tick")

    def run_until_idle(self, ticks_max):
        """Executes ticks until nothing is due at once; gives how many."""
        return self._number("we_host_run_until_idle", ticks_max)

    def set_tick_budget(self, turns=None, fuel=None):
        """Bounds each tick from the next on, by turns and by fuel; the rest goes on in the next."""
        self._call("we_host_set_tick_budget", turns or 0, fuel or 0)

    def last_tick(self):
        """What the last tick did, as a dictionary; None before one was executed."""
        c = self._fill("we_host_last_tick", we_tick_report())
        return c and {name: getattr(c, name) for name, _ in c._fields_ if name != "size"}

    def next_due(self):
        """Seconds until the next tick is due if nothing is pushed; None if nothing is due at all."""
        wait_ns = self._number("we_host_next_due")
        return None if wait_ns is None else wait_ns / 1e9

    def outputs(self):
        """The outputs of the last call that executed ticks, once."""
        while True:
            c = self._fill("we_host_next_output", we_host_output())
            if c is None:
                return
            yield Output(c)

    def find_agent(self, name):
        """Address of an agent that exists from tick 0."""
        return self._number("we_host_find_agent", _text(name))

    def pause_agent(self, agent):
        """Pauses an agent at the open of the next tick; gives the command's number, as all commands."""
        return self._number("we_host_pause_agent", agent)

    def resume_agent(self, agent):
        """Ends the pause of an agent."""
        return self._number("we_host_resume_agent", agent)

    def terminate_agent(self, agent):
        """Ends an agent, after a last turn."""
        return self._number("we_host_terminate_agent", agent)

    def spawn_agent(self, agent, args=b""):
        """Makes an agent, one of the configured `agent`."""
        return self._number("we_host_spawn_agent", _text(agent), *_bytes(args))

    def load_model(self, model):
        """Loads a model, by name or `name@version`."""
        return self._number("we_host_load_model", _text(model))

    def unload_model(self, model):
        """Unloads a model."""
        return self._number("we_host_unload_model", _text(model))

    def swap_model(self, model):
        """Lets the name of a model mean this version, `name@version`."""
        return self._number("we_host_swap_model", _text(model))

    def outcomes(self):
        """What came of the commands that the last call of ticks applied, once."""
        while True:
            c = self._fill("we_host_next_outcome", we_host_outcome())
            if c is None:
                return
            yield Outcome(c.number, c.status, c.tick, None if c.agent == NONE else c.agent)

    def schedule_task(self, agent, payload=b"", *, after=(), attempts=1, priority=0,
                      on_failure=OnFailure.FAIL):
        """Gives an agent a task, which waits for those of the host whose numbers are in `after`."""
        after = (ctypes.c_uint64 * len(after))(*after)
        return self._number("we_host_schedule_task", agent, priority, attempts, on_failure, after, len(after),
                            *_bytes(payload))

    def task_outcomes(self):
        """How tasks of the host ended in the last call of ticks, once."""
        while True:
            c = self._fill("we_host_next_task_outcome", we_task_outcome())
            if c is None:
                return
            yield TaskOutcome(c.number, c.state, c.status, c.tick, c.agent, c.attempts, c.code)

    def snapshot(self):
        """How the kernel stands, as a dictionary."""
        c = self._fill("we_host_take_snapshot", we_host_snapshot())
        fields = {name: getattr(c, name) for name, _ in c._fields_ if name != "size"}
        for name, value in fields.items():
            fields[name] = value.decode() if isinstance(value, bytes) else value
        for name in ("tick", "durable_tick"):
            fields[name] = None if fields[name] == NONE else fields[name]
        return fields

    def close(self):
        """Ends the run; gives its report as a dictionary. The host is of no use afterwards."""
        report = ctypes.c_char_p()
        try:
            self._call("we_host_close", ctypes.byref(report))
        except BaseException as error:
            if getattr(error, "result", None) != Result.BUSY:
                self._handle = None
            raise
        self._handle = None
        return json.loads(report.value)

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _traceback):
        if self._handle is not None:
            try:
                self.close()
            except Error:
                # What went wrong inside is what the caller is to see.
                if kind is None:
                    raise

    def __del__(self):
        if getattr(self, "_handle", None) is not None:
            _library.we_host_close(self._handle, None)
