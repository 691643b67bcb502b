//! A fault, told to people: which function did what, where in the module, and what to do about it.
//!
//! Nothing here decides anything. A fault is a number in the turn's result; this is what else the
//! lane knows at that moment, kept beside the results because it is physical: it is neither
//! digested nor logged, and a replay finds the same again. Everything in it is bounded, for its
//! parts come from a guest, and none of it is made unless a turn faults.

use std::sync::{Mutex, PoisonError};

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{Effect, TurnCommand, effect, fault};

use crate::admission::DEPTH_WORDS_MAX;
use crate::terms::Terms;
use crate::turn::TurnContext;

/// Log lines of a faulted turn that are kept: the last ones.
const LINES_MAX: usize = 8;
/// Accounts that a lane keeps of one microstep: whoever shows them shows fewer.
pub(crate) const ACCOUNTS_MAX: usize = 64;

/// What is known of a faulted turn beside its result.
#[derive(Clone, PartialEq, Debug)]
pub struct FaultAccount {
    /// The turn.
    pub command: TurnCommand,
    /// One of [`fault`].
    pub fault: u32,
    /// Function of the contract that faulted.
    pub function: &'static str,
    /// The code that it returned, where it returned one.
    pub code: Option<i32>,
    /// What happened, in words: the function, then what it did.
    pub what: String,
    /// What to do about it.
    pub advice: String,
    /// What the guest said with `panic`.
    pub message: Option<String>,
    /// Functions on the guest's stack, innermost first, with where in the module they stood.
    pub backtrace: Vec<String>,
    /// Level and text of what the turn logged, of which nothing else is left.
    pub lines: Vec<(u64, String)>,
}

impl FaultAccount {
    /// The account of a turn that ended with `fault`.
    #[cold]
    pub(crate) fn new(
        command: &TurnCommand,
        fault: u32,
        context: &mut TurnContext,
        terms: &Terms,
        backtrace: Vec<String>,
        read: impl Fn(&Effect) -> Option<Vec<u8>>,
    ) -> Self {
        let code = context.codes.last().copied().filter(|_| fault == fault::NEGATIVE_CODE);
        let logged = context.effects.iter().filter(|effect| effect.kind == effect::LOG);
        let skipped = logged.clone().count().saturating_sub(LINES_MAX);
        let line = |effect: &Effect| {
            let text = read(effect)?;
            Some((effect.target, String::from_utf8_lossy(&text).into_owned()))
        };
        let message = String::from_utf8_lossy(&context.message);
        let message = Some(message.into_owned()).filter(|message| !message.is_empty());
        let happened = happened(fault, code, message.as_deref(), context, terms);
        Self {
            command: *command,
            fault,
            function: context.function,
            code,
            what: format!("{} {happened}", context.function),
            advice: advice(fault, code, message.is_some()),
            backtrace: without_panic(backtrace, message.is_some()),
            message,
            lines: logged.skip(skipped).filter_map(line).collect(),
        }
    }
}

/// A stack from the agent's own frames on: those above, of Rust's panic, are said by its message.
fn without_panic(mut backtrace: Vec<String>, said: bool) -> Vec<String> {
    let of_panic = |frame: &String| {
        ["std::", "core::", "rust_", "__rust"].iter().any(|lead| frame.starts_with(lead))
    };
    let own = backtrace.iter().position(|frame| !of_panic(frame));
    match own {
        Some(own) if said => backtrace.split_off(own),
        _ => backtrace,
    }
}

/// What the function did.
fn happened(
    fault: u32,
    code: Option<i32>,
    message: Option<&str>,
    context: &TurnContext,
    terms: &Terms,
) -> String {
    let said = message.map_or_else(String::new, |message| format!(": {message}"));
    let refused = match &context.note {
        Some(note) => note.status.map(|status| {
            format!("; its last refused call is {}: {}", note.describe(), status.text())
        }),
        None => None,
    };
    let refused = refused.unwrap_or_default();
    match (fault, &context.note) {
        (fault::NEGATIVE_CODE, _) => {
            let code = code.unwrap_or_default();
            format!("returned {code}{}{said}{refused}", meaning(code))
        }
        (fault::UNREACHABLE, _) if message.is_some() => format!("panicked{said}"),
        (fault::UNREACHABLE, _) => {
            format!("executed `unreachable`, as a panic or an assertion does{refused}")
        }
        (fault::OUT_OF_FUEL, note) => {
            let fuel = terms.fuel_per_call;
            let inside = note.as_ref().filter(|note| note.status.is_none());
            let inside = inside.map(|note| format!(", the last of it in the call {}", note.call));
            format!("used up the {fuel} fuel of one call{}{said}", inside.unwrap_or_default())
        }
        (fault::CALL_DEPTH, _) => {
            format!("nested its calls too deep: their frames exceed {DEPTH_WORDS_MAX} words{said}")
        }
        (fault::MISUSE, Some(note)) => note.misuse(),
        (fault::BAD_INBOX, _) => format!("named a bad inbox: {}", context.detail),
        (other, _) => format!("trapped: {}{said}{refused}", fault::text(other)),
    }
}

/// What a negative code means, in brackets.
fn meaning(code: i32) -> String {
    match (Status::from_code(code), code) {
        (Some(status), _) => format!(" ({status:?}: {})", status.text()),
        (None, -900) => " (the SDK: there is no state, agent_init has not succeeded)".to_owned(),
        (None, -901) => " (the SDK: a pointer outside the inbox)".to_owned(),
        (None, ..=-1000) => format!(" (the agent's own fault {})", -1000_i64 - i64::from(code)),
        _ => String::new(),
    }
}

fn advice(fault: u32, code: Option<i32>, said: bool) -> String {
    match fault {
        fault::NEGATIVE_CODE => match code.and_then(Status::from_code) {
            Some(Status::Unknown) => {
                "configure a topic, model or agent of that name, or correct the name in `args`"
            }
            Some(Status::Denied) => "declare the capability in the module's manifest and grant it",
            Some(Status::Quota) => {
                "raise limits.effects_max or limits.payload_bytes_max, or ask \
                                    for less in one turn"
            }
            Some(Status::Busy) => "raise limits.answers_max, or wait for answers first",
            _ => "look up the code in the agent's source",
        },
        fault::UNREACHABLE if !said => {
            "for its message, let the module report panics: `panic_handler` or `panic_hook` of \
             `export!`, WE_ASSERT in C, --use abort=FILE/abort in AssemblyScript, `pub const \
             panic` in Zig (docs/LANGUAGES.md)"
        }
        fault::OUT_OF_FUEL => {
            "raise limits.fuel_per_call (and fuel_per_call of the manifest, where it has one), or \
             do less in one call"
        }
        fault::CALL_DEPTH => "recurse less deep; the depth is the engine's and no key sets it",
        fault::MISUSE => "pass memory of the module, and declare what it calls",
        fault::BAD_INBOX => "correct the module's inbox, or shorten `args`",
        _ => "mend the agent; the functions on its stack say where",
    }
    .to_owned()
}

/// Accounts of the microstep under way. The lock is taken by a lane whose turn faulted and by the
/// scheduler when it has seen a fault, never else.
#[derive(Debug, Default)]
pub struct FaultBook {
    accounts: Mutex<Vec<FaultAccount>>,
}

impl FaultBook {
    pub(crate) fn add(&self, account: FaultAccount) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).push(account);
    }

    /// Takes the accounts, in the order of the plan.
    #[must_use]
    pub fn take(&self) -> Vec<FaultAccount> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *accounts);
        taken.sort_by_key(|account| account.command.position);
        taken.truncate(ACCOUNTS_MAX);
        taken
    }
}
