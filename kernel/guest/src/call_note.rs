//! What a turn notes for the operator while it runs: the last host call in vain, and where a trap
//! was. Guests learn nothing of it, and it decides nothing.

use wasm_engine_abi::calls::{CALLS, Form, Status};
use wasmtime::WasmBacktrace;

/// Frames that a trace names, innermost first.
pub(crate) const FRAMES_MAX: usize = 16;
/// Bytes of an argument that are kept.
const ARGUMENT_BYTES_MAX: usize = 64;

/// An argument of a host call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    Number(i64),
    Slice(i32, i32),
}

impl From<i32> for Argument {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Argument {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<(i32, i32)> for Argument {
    fn from((at, len): (i32, i32)) -> Self {
        Self::Slice(at, len)
    }
}

/// A host call that was made in vain. It is made for each refusal, so it allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallNote {
    pub(crate) call: &'static str,
    /// With which it was refused; without, it ended the guest's function.
    pub(crate) status: Option<Status>,
    arguments: [Option<Argument>; 2],
    /// Beginning of the first argument that is text.
    text: [u8; ARGUMENT_BYTES_MAX],
    text_len: usize,
    memory_bytes: usize,
}

impl CallNote {
    pub(crate) fn new(
        call: &'static str,
        arguments: &[Argument],
        status: Option<Status>,
        memory: &[u8],
    ) -> Self {
        let mut text = [0; ARGUMENT_BYTES_MAX];
        let slice = arguments.first().and_then(|argument| match *argument {
            Argument::Slice(at, len) => {
                memory.get(at as u32 as usize..)?.get(..len as u32 as usize)
            }
            Argument::Number(_) => None,
        });
        let slice = slice.unwrap_or_default();
        let text_len = slice.len().min(ARGUMENT_BYTES_MAX);
        text[..text_len].copy_from_slice(&slice[..text_len]);
        let argument = |at| arguments.get(at).copied();
        let arguments = [argument(0), argument(1)];
        Self { call, status, arguments, text, text_len, memory_bytes: memory.len() }
    }

    /// The call as a program would write it.
    pub(crate) fn describe(&self) -> String {
        let params = CALLS.iter().find(|call| call.name == self.call).map_or(&[][..], |c| c.params);
        let written = params.iter().zip(self.arguments.iter().flatten()).enumerate();
        let written: Vec<String> = written
            .map(|(at, ((name, form), argument))| match (form, argument) {
                (Form::text, Argument::Slice(_, len)) if at == 0 => {
                    let text = String::from_utf8_lossy(&self.text[..self.text_len]);
                    let more = if *len as u32 as usize > self.text_len { "…" } else { "" };
                    format!("{name} = {text:?}{more}")
                }
                (_, Argument::Slice(_, len)) => format!("{name} of {} bytes", *len as u32),
                (Form::u32, Argument::Number(number)) => format!("{name} = {}", *number as i32),
                (_, Argument::Number(number)) => format!("{name} = {number}"),
            })
            .collect();
        format!("{}({})", self.call, written.join(", "))
    }

    /// Which argument was misused, and how.
    pub(crate) fn misuse(&self) -> String {
        let params = CALLS.iter().find(|call| call.name == self.call).map_or(&[][..], |c| c.params);
        let outside =
            params.iter().zip(self.arguments.iter().flatten()).find_map(|((name, _), argument)| {
                match *argument {
                    Argument::Slice(at, len) => {
                        let (at, len) = (u64::from(at as u32), u64::from(len as u32));
                        (at + len > self.memory_bytes as u64).then_some((name, at, len))
                    }
                    Argument::Number(_) => None,
                }
            });
        match outside {
            Some((name, at, len)) => format!(
                "misused the host call {}: its {name}, {len} bytes at {at}, is not inside the \
                 memory of {} bytes",
                self.call, self.memory_bytes
            ),
            None => format!("misused the host call {}: it has not the right to it", self.call),
        }
    }
}

/// Where in a module a fault was: functions by index and offset in them, innermost first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Trace(pub(crate) Vec<(u32, Option<usize>)>);

impl Trace {
    /// The trace that an error carries.
    #[cold]
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        let trace = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
        Self(trace.iter().map(|frame| (frame.func_index(), frame.func_offset())).collect())
    }
}
