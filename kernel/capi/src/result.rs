//! How a call ends: a number that never changes its meaning, and the text for people.

use wasm_engine::{
    exit::{Exit, HasExitCode},
    host::{CommandRefusal, HostFailure, PushRefusal},
};

/// How a call ended. Numbers keep their meaning for ever and later versions add to them, so a
/// number that a program does not know is an error. `we_last_error` has the text.
#[expect(non_camel_case_types, reason = "its name in C")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum we_result {
    /// It is done.
    Ok = 0,
    /// No error: there is nothing, or no more.
    None = 1,

    /// A pointer is null that may not be.
    Null = 10,
    /// A text is not UTF-8.
    Utf8 = 11,
    /// A text does not end within 16 MiB, or a length is impossible.
    Length = 12,
    /// The field `size` of a struct is not the size of this struct in any version.
    Size = 13,

    /// The number names nothing: it never did, or what it named was closed, started or freed.
    Handle = 20,
    /// Another call with this handle is under way, in another thread or around this callback.
    Busy = 21,
    /// This process is a fork of the one that the handle is from; start another kernel here.
    Forked = 22,
    /// An earlier call has failed; the kernel can only be closed.
    Failed = 23,
    /// A bug in the library, kept from crossing into the caller; the handle can only be closed.
    Panic = 24,

    /// Something is to be written differently: configuration, names of files, options.
    Usage = 30,
    /// A module, a model or the run exceeds what is allowed.
    Refused = 31,
    /// A file is damaged.
    Corrupt = 32,
    /// A log that was resumed did not give again what it says.
    Diverged = 33,
    /// The machine or the kernel failed: disk, memory, a library that is missing.
    Machine = 34,

    /// As much waits as the source, or one tick's commands, may hold; execute a tick.
    Full = 40,
    /// The payload is longer than the source takes, or the arguments than any.
    TooLarge = 41,
    /// The configuration has no such source of kind "live".
    UnknownSource = 42,
    /// The source has no such key.
    UnknownKey = 43,
    /// The source was closed, or the run has ended.
    Closed = 44,
    /// The configuration has no such agent.
    UnknownAgent = 45,
    /// The configuration has no such model, or more than one is meant.
    UnknownModel = 46,
    /// The stream is not one of this host.
    UnknownStream = 47,

    /// Something that has no number yet.
    Other = 99,
}

impl we_result {
    /// All of them.
    #[rustfmt::skip]
    pub(crate) const ALL: [Self; 25] = {
        use we_result::*;
        [
            Ok, None, Null, Utf8, Length, Size, Handle, Busy, Forked, Failed, Panic, Usage,
            Refused, Corrupt, Diverged, Machine, Full, TooLarge, UnknownSource, UnknownKey, Closed,
            UnknownAgent, UnknownModel, UnknownStream, Other,
        ]
    };

    /// Its name in C.
    pub(crate) fn name(self) -> &'static std::ffi::CStr {
        match self {
            Self::Ok => c"WE_RESULT_OK",
            Self::None => c"WE_RESULT_NONE",
            Self::Null => c"WE_RESULT_NULL",
            Self::Utf8 => c"WE_RESULT_UTF8",
            Self::Length => c"WE_RESULT_LENGTH",
            Self::Size => c"WE_RESULT_SIZE",
            Self::Handle => c"WE_RESULT_HANDLE",
            Self::Busy => c"WE_RESULT_BUSY",
            Self::Forked => c"WE_RESULT_FORKED",
            Self::Failed => c"WE_RESULT_FAILED",
            Self::Panic => c"WE_RESULT_PANIC",
            Self::Usage => c"WE_RESULT_USAGE",
            Self::Refused => c"WE_RESULT_REFUSED",
            Self::Corrupt => c"WE_RESULT_CORRUPT",
            Self::Diverged => c"WE_RESULT_DIVERGED",
            Self::Machine => c"WE_RESULT_MACHINE",
            Self::Full => c"WE_RESULT_FULL",
            Self::TooLarge => c"WE_RESULT_TOO_LARGE",
            Self::UnknownSource => c"WE_RESULT_UNKNOWN_SOURCE",
            Self::UnknownKey => c"WE_RESULT_UNKNOWN_KEY",
            Self::Closed => c"WE_RESULT_CLOSED",
            Self::UnknownAgent => c"WE_RESULT_UNKNOWN_AGENT",
            Self::UnknownModel => c"WE_RESULT_UNKNOWN_MODEL",
            Self::UnknownStream => c"WE_RESULT_UNKNOWN_STREAM",
            Self::Other => c"WE_RESULT_OTHER",
        }
    }
}

/// Why a call is refused.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) result: we_result,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(result: we_result, text: impl Into<String>) -> Self {
        Self { result, text: text.into() }
    }
}

impl From<HostFailure> for Failure {
    fn from(failure: HostFailure) -> Self {
        let result = match &failure {
            HostFailure::NoConfig => we_result::Usage,
            HostFailure::Config(error) => of_exit(error.exit()),
            HostFailure::Resolve(error) => of_exit(error.exit()),
            HostFailure::Run(error) => of_exit(error.exit()),
            HostFailure::Failed => we_result::Failed,
            HostFailure::Forked => we_result::Forked,
            _ => we_result::Other,
        };
        Self::new(result, failure.to_string())
    }
}

/// An error's exit code (README, Commands) as a result.
fn of_exit(exit: Exit) -> we_result {
    match exit {
        Exit::Usage => we_result::Usage,
        Exit::Divergence => we_result::Diverged,
        Exit::Corrupt => we_result::Corrupt,
        Exit::Refused => we_result::Refused,
        _ => we_result::Machine,
    }
}

impl From<PushRefusal> for Failure {
    fn from(refusal: PushRefusal) -> Self {
        let result = match &refusal {
            PushRefusal::Full { .. } => we_result::Full,
            PushRefusal::TooLarge { .. } => we_result::TooLarge,
            PushRefusal::UnknownSource { .. } => we_result::UnknownSource,
            PushRefusal::UnknownKey { .. } => we_result::UnknownKey,
            PushRefusal::Closed { .. } => we_result::Closed,
            PushRefusal::Forked => we_result::Forked,
            _ => we_result::Other,
        };
        Self::new(result, refusal.to_string())
    }
}

impl From<CommandRefusal> for Failure {
    fn from(refusal: CommandRefusal) -> Self {
        let result = match &refusal {
            CommandRefusal::UnknownAgent { .. } => we_result::UnknownAgent,
            CommandRefusal::UnknownModel { .. } => we_result::UnknownModel,
            CommandRefusal::TooLong { .. } => we_result::TooLarge,
            CommandRefusal::Full => we_result::Full,
            CommandRefusal::Closed => we_result::Closed,
            CommandRefusal::Forked => we_result::Forked,
            _ => we_result::Other,
        };
        Self::new(result, refusal.to_string())
    }
}
