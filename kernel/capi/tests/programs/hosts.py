"""Hosts in Python: results as exceptions, callbacks, commands, views of payloads, two kernels at once."""

import struct
import threading

import wasm_engine
from wasm_engine import Error, Host, PollKind, Result

CONFIG = """
[[source]]
id = "readings"
kind = "live"
topic = "reading"
payload_bytes_max = 64
queue_bytes = 256
[[agent]]
name = "counter"
module = "counter.wasm"
grant = ["subscribe:reading", "publish:stats"]
args = "reading"
[[output]]
topic = "stats"
"""


def refused(result, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Error as error:
        assert error.result == result, (error.result, error)
        assert str(error)
        return str(error)
    raise AssertionError(f"{result!r} was expected")


def results():
    assert "no configuration" in refused(Result.USAGE, Host)
    refused(Result.USAGE, Host, config_text=CONFIG, set=["kernel.pace=-1"])
    refused(Result.REFUSED, Host, config_text=CONFIG, attach={"counter.wasm": b"no module"})
    try:
        Host(config_text=CONFIG, piece=3)
        raise AssertionError
    except TypeError as error:
        assert "piece" in str(error)
    with Host(config_text=CONFIG) as host:
        assert "`reading`" in refused(Result.UNKNOWN_SOURCE, host.push, "reading", "readings", b"x")
        refused(Result.UNKNOWN_KEY, host.push, "readings", "key", b"x")
        refused(Result.TOO_LARGE, host.push, "readings", "readings", bytes(65))
        stream = host.find_stream("readings", "readings")
        for n in range(4):
            assert host.push_to(stream, bytearray(3)) == n
        refused(Result.FULL, host.push_to, stream, b"")
        refused(Result.UNKNOWN_STREAM, host.push_to, stream + 1, b"")
        assert host.next_due() == 0.0
        assert host.tick().what == PollKind.DONE
        assert host.next_seq("readings") == 4
        host.close_source("readings")
        refused(Result.CLOSED, host.push_to, stream, b"")
        snapshot = host.snapshot()
        assert snapshot["agents"] == 1 and snapshot["durable_tick"] is None and len(snapshot["digest"]) == 32
        assert host.close()["$type"] == "wasm-engine/run/1"
        refused(Result.HANDLE, host.tick)


def callbacks():
    heard = []

    def on_output(output):
        heard.append((output.tick, output.topic, output.agent_name, bytes(output.payload)))
        refused(Result.BUSY, host.push, "readings", "readings", b"x")
        if len(heard) == 2:
            raise KeyError("of the callback")

    host = Host(config_text=CONFIG, on_output=on_output, on_log=print, on_fault=print)
    host.push("readings", "readings", b"x")
    host.run_until_idle(100)
    assert len(heard) == 1 and heard[0][1:3] == ("stats", "counter/0"), heard
    host.push("readings", "readings", b"x")
    try:
        host.run_until_idle(100)
        raise AssertionError
    except KeyError:
        pass
    thread = threading.Thread(target=host.push, args=("readings", "readings", b"x"))
    thread.start()
    thread.join()
    assert host.snapshot()["inputs_waiting"] == 1
    host.close()


def commands_and_views():
    one, two = Host(config_text=CONFIG), Host(config_text=CONFIG)
    for host in (one, two):
        host.push("readings", "readings", struct.pack("<d", 1.5))
        host.run_until_idle(100)
    outputs = list(one.outputs())
    assert len(outputs) == 1 and not list(one.outputs())
    assert outputs[0].payload.readonly and bytes(outputs[0].payload) == bytes(next(two.outputs()).payload)
    try:
        import numpy
        view = outputs[0].array()
        assert bytes(view) == bytes(outputs[0].payload) and not view.flags.writeable
        assert view.__array_interface__["data"][0] and isinstance(view, numpy.ndarray)
    except ImportError:
        print("without numpy")
    assert one.snapshot()["digest"] == two.snapshot()["digest"]
    agent = one.find_agent("counter/0")
    number = one.pause_agent(agent)
    other = one.resume_agent(wasm_engine.NONE)
    one.run_until_idle(100)
    first, second = one.outcomes()
    assert first == (number, 0, first.tick, agent), first
    assert second.number == other and second.status != 0, second
    fails = one.schedule_task(agent, b"x", attempts=0)
    first_task = one.schedule_task(agent, b"x")
    then = one.schedule_task(agent, after=[first_task], on_failure=wasm_engine.OnFailure.SKIP, priority=-1)
    one.resume_agent(agent)
    one.run_until_idle(100)
    assert [o.number for o in one.outcomes() if o.status != 0] == [fails]
    ended = list(one.task_outcomes())
    assert [(t.number, t.state, t.attempts) for t in ended] == [
        (number, wasm_engine.TaskState.DONE, 1) for number in (first_task, then)], ended
    refused(Result.TOO_LARGE, one.schedule_task, agent, bytes(8 << 20))
    refused(Result.UNKNOWN_MODEL, one.load_model, "m")
    refused(Result.UNKNOWN_AGENT, one.spawn_agent, "nobody", b"")
    one.close()
    two.close()


def budgets():
    with Host(config_text=CONFIG, time_stages=True, workers=0) as host:
        assert host.last_tick() is None
        for _ in range(3):
            host.push("readings", "readings", b"x")
        host.run_until_idle(100)
        tick = host.last_tick()
        assert tick["turns"] >= 1 and tick["carried_over"] == 0 and tick["step_ns"] > 0, tick
        host.set_tick_budget(turns=1)
        host.push("readings", "readings", b"x")
        host.run_until_idle(100)
        assert host.last_tick()["turns"] == 1
        host.set_tick_budget()


results()
callbacks()
budgets()
commands_and_views()
print("all held")
