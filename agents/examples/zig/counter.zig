//! Counts the messages on a topic and publishes the count after each turn, as `counter.rs` does. Its
//! argument is the topic; it needs `TOPIC` and `TOPIC/count` to be configured.
const std = @import("std");

extern "wasm_engine" fn topic(name: [*]const u8, len: usize) i32;
extern "wasm_engine" fn subscribe(topic: i32) i64;
extern "wasm_engine" fn publish(topic: i32, payload: [*]const u8, len: usize) i64;
const host = struct {
    extern "wasm_engine" fn panic(message: [*]const u8, len: usize) i32;
};

/// What a panic of the language says is shown with the fault.
pub const panic = std.debug.FullPanic(struct {
    fn say(message: []const u8, _: ?usize) noreturn {
        _ = host.panic(message.ptr, message.len);
        @trap();
    }
}.say);

/// Ends the call with a fault that says why, and where.
fn fail(comptime message: []const u8, comptime at: std.builtin.SourceLocation) noreturn {
    @panic(std.fmt.comptimePrint("{s}, at {s}:{d}", .{ message, at.file, at.line }));
}

var inbox: [4096]u8 align(8) = undefined;
var count: u64 = 0;
var out: i32 = -2;

export fn agent_inbox() *[4096]u8 {
    return &inbox;
}

export fn agent_inbox_cap() usize {
    return inbox.len;
}

export fn agent_init() i32 {
    // A context of 40 bytes, the length of the arguments at 32, then the arguments.
    const len = std.mem.readInt(u32, inbox[32..36], .little);
    if (len == 0) fail("no topic", @src());
    const name = inbox[40..][0..len];
    const in = topic(name.ptr, name.len);
    if (in < 0 or subscribe(in) < 0) return -1001;
    var text: [128]u8 = undefined;
    const full = std.fmt.bufPrint(&text, "{s}/count", .{name}) catch fail("too long", @src());
    out = topic(full.ptr, full.len);
    return if (out < 0) out else 0;
}

export fn agent_receive(item: *align(8) const [64]u8) i32 {
    // The topic is at 32; the two highest numbers are none and a channel.
    if (std.mem.readInt(u32, item[32..36], .little) < 0xffff_fffe) count += 1;
    return 0;
}

export fn agent_step(_: *const anyopaque) i32 {
    return if (publish(out, std.mem.asBytes(&count), 8) < 0) 1 else 0;
}

export fn agent_shutdown() i32 {
    return 0;
}
