//! Programs for scripted agents, written instruction by instruction.

/// Addresses that the guest replaces.
pub const FROM: u64 = 0x7f7f_7f7f_0000_0001;
pub const SELF: u64 = 0x7f7f_7f7f_0000_0002;
pub const CHILD: u64 = 0x7f7f_7f7f_0000_0003;

/// A program for the guest; the opcodes are those of `script.rs` and `script.wat`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prog(Vec<u8>);

pub fn prog() -> Prog {
    Prog(b"PROG\0\0\0\0".to_vec())
}

impl Prog {
    fn op(mut self, op: u32, a: u64, b: u64, data: &[u8]) -> Self {
        let n = data.len();
        assert!(n < 1 << 14, "a program's data is short");
        self.0.extend_from_slice(&op.to_le_bytes());
        self.0.extend_from_slice(&[(n & 0x7f) as u8, (n >> 7) as u8, 0, 0]);
        self.0.extend_from_slice(&a.to_le_bytes());
        self.0.extend_from_slice(&b.to_le_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }
    pub fn send(self, to: u64, data: &[u8]) -> Self {
        self.op(1, to, 0, data)
    }
    /// `len` bytes without giving them.
    pub fn send_len(self, to: u64, len: u64) -> Self {
        self.op(1, to, len, b"")
    }
    pub fn send_prog(self, to: u64, program: Prog) -> Self {
        self.op(1, to, 0, &program.0)
    }
    pub fn publish(self, topic: u32, data: &[u8]) -> Self {
        self.op(2, topic.into(), 0, data)
    }
    pub fn publish_len(self, topic: u32, len: u64) -> Self {
        self.op(2, topic.into(), len, b"")
    }
    pub fn subscribe(self, topic: u32) -> Self {
        self.op(3, topic.into(), 0, b"")
    }
    pub fn unsubscribe(self, topic: u32) -> Self {
        self.op(4, topic.into(), 0, b"")
    }
    pub fn join(self, channel: &str) -> Self {
        self.op(5, 0, 0, channel.as_bytes())
    }
    pub fn leave(self, channel: &str) -> Self {
        self.op(6, 0, 0, channel.as_bytes())
    }
    pub fn cast(self, channel: &str, data: &[u8]) -> Self {
        let bytes = [channel.as_bytes(), data].concat();
        self.op(7, 0, channel.len() as u64, &bytes)
    }
    pub fn infer(self, model: u32, row: &[u8]) -> Self {
        self.op(8, model.into(), 0, row)
    }
    pub fn infer_tensors(self, model: u32, list: &[u8]) -> Self {
        self.op(8, model.into(), 1, list)
    }
    pub fn timer(self, delay: u64, tag: u64) -> Self {
        self.op(9, delay, tag, b"")
    }
    pub fn spawn(self, template: &str, init: &Prog) -> Self {
        let bytes = [template.as_bytes(), &init.0].concat();
        self.op(10, 0, template.len() as u64, &bytes)
    }
    pub fn terminate(self, agent: u64) -> Self {
        self.op(11, agent, 0, b"")
    }
    pub fn pause(self, agent: u64) -> Self {
        self.op(12, agent, 0, b"")
    }
    pub fn resume(self, agent: u64) -> Self {
        self.op(13, agent, 0, b"")
    }
    pub fn log(self, level: u32, text: &str) -> Self {
        self.op(14, level.into(), 0, text.as_bytes())
    }
    pub fn random(self, topic: u32) -> Self {
        self.op(15, topic.into(), 0, b"")
    }
    pub fn trap(self) -> Self {
        self.op(16, 0, 0, b"")
    }
    pub fn forever(self) -> Self {
        self.op(17, 0, 0, b"")
    }
    pub fn recurse(self) -> Self {
        self.op(18, 0, 0, b"")
    }
    pub fn grow(self) -> Self {
        self.op(19, 0, 0, b"")
    }
    pub fn code(self, code: i32) -> Self {
        self.op(20, u64::from(code as u32), 0, b"")
    }
    pub fn echo(self, topic: u32) -> Self {
        self.op(21, topic.into(), 0, b"")
    }
    pub fn flood(self, topic: u32, times: u64, data: &[u8]) -> Self {
        self.op(22, topic.into(), times, data)
    }
    pub fn publish_from(self, at: u32, len: u32) -> Self {
        self.op(23, at.into(), len.into(), b"")
    }
    pub fn step_code(self, code: i32) -> Self {
        self.op(24, u64::from(code as u32), 0, b"")
    }
    pub fn count(self, topic: u32) -> Self {
        self.op(25, topic.into(), 0, b"")
    }
    pub fn farewell(self, topic: u32) -> Self {
        self.op(26, topic.into(), 0, b"")
    }
    /// Items of `kind` that are no programs run `program`.
    pub fn on(self, kind: u32, program: &Prog) -> Self {
        assert!(program.0.len() <= 1016, "a handler has 1,016 bytes");
        self.op(27, kind.into(), 0, &program.0)
    }
    pub fn result(self, topic: u32) -> Self {
        self.op(28, topic.into(), 0, b"")
    }
    pub fn topic(self, name: &str) -> Self {
        self.op(29, 0, 0, name.as_bytes())
    }
    pub fn model(self, name: &str) -> Self {
        self.op(29, 0, 1, name.as_bytes())
    }
    /// What the last turn of the agent returns.
    pub fn shutdown_code(self, code: i32) -> Self {
        self.op(30, u64::from(code as u32), 0, b"")
    }
    /// `task` is as `wasm_engine_abi::task` says.
    pub fn schedule(self, agent: u64, task: &[u8]) -> Self {
        self.op(31, agent, 0, task)
    }
    pub fn save(self) -> Self {
        self.op(32, 0, 0, b"")
    }
    pub fn then(mut self, more: &Prog) -> Self {
        self.0.extend_from_slice(&more.0[8..]);
        self
    }
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
    /// As the arguments of an agent, which are text.
    pub fn args(&self) -> String {
        String::from_utf8(self.0.clone()).expect("a program of arguments holds small numbers only")
    }
}
