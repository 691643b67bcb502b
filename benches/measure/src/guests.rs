//! The modules of the kernel's benchmarks: agents that do nothing, compute for a while, or pass
//! messages on.
//!
//! Each is a text with a few words to fill in, so the kernel, the bare loop and Node.js run the
//! same instructions.

use std::fmt::Write as _;

use wasm_engine_guest::admission::{Admitted, ModuleLimits, admit};

/// Linear memory of an agent.
pub const MEMORY_BYTES: u64 = 64 << 10;
/// Address of every inbox.
pub const INBOX_AT: usize = 1024;
/// Payload of every input and message.
pub const PAYLOAD_BYTES: usize = 64;
/// Fuel of one call without rounds of arithmetic.
const FUEL: u64 = 100_000;
/// More fuel than one round of arithmetic takes.
const FUEL_PER_ROUND: u64 = 16;

/// Where every module has its inbox.
const INBOX: &str = r#"
  (memory (export "memory") 1 1)
  (func (export "agent_inbox") (result i32) (i32.const 1024))
  (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
"#;

/// A chain of multiplications, each of which needs the one before.
const SPIN: &str = r#"
  (global $sum (mut i64) (i64.const 1))
  (func $spin (local $left i32) (local $x i64)
    (local.set $left (i32.const {rounds}))
    (local.set $x (global.get $sum))
    (loop $again
      (local.set $x (i64.add (i64.const 1442695040888963407)
        (i64.mul (local.get $x) (i64.const 6364136223846793005))))
      (br_if $again
        (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (global.set $sum (local.get $x)))
"#;

/// Fills the memory behind the inbox, and writes a hundredth of it with another number each time.
const FILL: &str = r#"
  (global $turn (mut i32) (i32.const 1))
  (func $fill (memory.fill (i32.const 8192) (i32.const 90) (i32.const 57344)))
  (func $write
    (global.set $turn (i32.add (global.get $turn) (i32.const 1)))
    (memory.fill (i32.const 16384) (global.get $turn) (i32.const 655)))
"#;

/// Subscribes to the topic of its group at the start; else it computes at most. Its copy number
/// lies behind 28 bytes of the context. Each run of `groups` agents has one of every group, each
/// run begins with another one, so that the members of a group live on all lanes.
const LISTEN: &str = r#"
(module
  (import "wasm_engine" "subscribe" (func $subscribe (param i32) (result i64)))
  {inbox} {spin}
  (func (export "agent_init") (result i32) (local $copy i32)
    {first}
    (local.set $copy (i32.load (i32.const 1052)))
    (drop (call $subscribe (i32.rem_u
      (i32.add (local.get $copy) (i32.div_u (local.get $copy) (i32.const {groups})))
      (i32.const {groups}))))
    (i32.const 0))
  (func (export "agent_receive") (param i32) (result i32) (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) {call} (i32.const 0))
  (@custom "wasm_engine.manifest" "{manifest}"))
"#;

/// Sends 64 bytes to the agent behind it at the start, then passes on what it receives. The first
/// word of a message counts its hops, and its receiver knows the count: each agent gets one message
/// a microstep. Another one, or a refused message, is a trap.
const RELAY: &str = r#"
(module
  (import "wasm_engine" "send" (func $send (param {word} i32 i32) (result {word})))
  {inbox} {spin}
  (global $next (mut i32) (i32.const 0))
  (global $hops (mut i64) (i64.const 0))
  (func $pass
    (i64.store (i32.const 512) (i64.add (global.get $hops) (i64.const 1)))
    (if ({word}.lt_s (call $send {next} (i32.const 512) (i32.const 64))
          ({word}.const 0))
      (then unreachable)))
  (func (export "agent_init") (result i32)
    (global.set $next (i32.rem_u
      (i32.add (i32.load (i32.const 1052)) (i32.const 1)) (i32.const {agents})))
    (call $pass) (i32.const 0))
  (func (export "agent_receive") (param $at i32) (result i32)
    (global.set $hops (i64.add (global.get $hops) (i64.const 1)))
    (if (i64.ne (i64.load offset=64 (local.get $at)) (global.get $hops)) (then unreachable))
    {copies}
    (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) {call} (call $pass) (i32.const 0))
  (@custom "wasm_engine.manifest" "{manifest}"))
"#;

/// What an agent does in a turn, and after how many rounds of arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    /// Receives the input of its group.
    Listen {
        /// Rounds of arithmetic in a step.
        rounds: u32,
    },
    /// Receives a message of 64 bytes and sends one to the next agent.
    Relay {
        /// Rounds of arithmetic in a step.
        rounds: u32,
    },
    /// Receives the input of its group and writes 1 % of its memory, which is full from its init
    /// on.
    Fill,
}

impl Job {
    /// The capability that it needs.
    #[must_use]
    pub fn capability(self) -> &'static str {
        match self {
            Self::Listen { .. } | Self::Fill => "subscribe:**",
            Self::Relay { .. } => "send",
        }
    }

    /// Fuel of one call.
    #[must_use]
    pub fn fuel(self) -> u64 {
        match self {
            Self::Listen { rounds } | Self::Relay { rounds } => {
                FUEL + u64::from(rounds) * FUEL_PER_ROUND
            }
            Self::Fill => FUEL + MEMORY_BYTES,
        }
    }

    /// The module of one of `agents` agents in `groups` groups.
    ///
    /// # Panics
    /// Never: the texts are fixed.
    #[must_use]
    pub fn module(self, agents: u32, groups: u32) -> Vec<u8> {
        self.text(agents, groups, "i64")
    }

    /// The same for Node.js: addresses of agents have 32 bits, because 64 would cost it an
    /// allocation each.
    ///
    /// # Panics
    /// Never: the texts are fixed.
    #[must_use]
    pub fn module_for_node(self, agents: u32) -> Vec<u8> {
        self.text(agents, 1, "i32")
    }

    fn text(self, agents: u32, groups: u32, word: &str) -> Vec<u8> {
        let (text, rounds) = match self {
            Self::Listen { rounds } => (LISTEN, rounds),
            Self::Relay { rounds } => (RELAY, rounds),
            Self::Fill => (LISTEN, 0),
        };
        let (spin, call) = match self {
            Self::Fill => (FILL, "(call $write)"),
            _ if rounds > 0 => (SPIN, "(call $spin)"),
            _ => ("", ""),
        };
        let first = if self == Self::Fill { "(call $fill)" } else { "" };
        let next = match word {
            "i64" => "(i64.extend_i32_u (global.get $next))",
            _ => "(global.get $next)",
        };
        let text = text
            .replace("{inbox}", INBOX)
            .replace("{spin}", spin)
            .replace("{call}", call)
            .replace("{first}", first)
            .replace("{copies}", &copies())
            .replace("{word}", word)
            .replace("{next}", next)
            .replace("{rounds}", &rounds.to_string())
            .replace("{groups}", &groups.to_string())
            .replace("{agents}", &agents.to_string())
            .replace("{manifest}", &self.manifest());
        wat::parse_str(text).expect("the text is a module")
    }

    /// The manifest, escaped for a text.
    fn manifest(self) -> String {
        let name = match self {
            Self::Listen { .. } => "trivial",
            Self::Fill => "fill",
            Self::Relay { .. } => "relay",
        };
        let text = format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\nabi = 1\ncapabilities = [\"{}\"]\n",
            self.capability()
        );
        let mut escaped = String::new();
        for byte in text.bytes() {
            write!(escaped, "\\{byte:02x}").expect("a string takes all text");
        }
        escaped
    }

    /// The module as admitted.
    ///
    /// # Panics
    /// Never: it is a plain module.
    #[must_use]
    pub fn admitted(self, agents: u32, groups: u32) -> Admitted {
        let limits = ModuleLimits { memory_bytes_max: MEMORY_BYTES, ..ModuleLimits::default() };
        admit("bench", &self.module(agents, groups), &limits).expect("the module is admitted")
    }
}

/// The words of a message but the first, from the inbox to where it is sent from.
fn copies() -> String {
    (1..PAYLOAD_BYTES / 8).fold(String::new(), |text, word| {
        let (from, to) = (64 + 8 * word, 512 + 8 * word);
        format!("{text}(i64.store (i32.const {to}) (i64.load offset={from} (local.get $at)))\n")
    })
}
