//! Positions of the 64-bit words of a header, declared once for writer, reader and
//! `docs/REGION.md`.

/// Declares a module of positions and the list of them.
macro_rules! words {
    ($(#[$meta:meta])* $module:ident {
        $($(#[doc = $doc:literal])* $name:ident = $at:literal,)*
    }) => {
        $(#[$meta])*
        pub mod $module {
            $($(#[doc = $doc])* pub const $name: usize = $at;)*

            /// All of them in order: position, what is there.
            pub const ALL: &[(usize, &str)] = &[$(($at, concat!($($doc),*).trim_ascii()),)*];
        }
    };
}

words! {
/// Words of the header. Those up to the checksum are written by the owner before the region is
/// ready and never again, and so is the namespace; the four of the status are written all its life.
word {
    /// Magic `WENGSHM1`; stored last: a region is ready or it is nothing.
    MAGIC = 0,
    /// 0x0102030405060708, as the owner's machine stores it.
    ENDIAN = 1,
    /// Layout version: major << 32 | minor.
    VERSION = 2,
    /// First byte after the directory.
    DIRECTORY_END = 3,
    /// Bytes of the region.
    TOTAL_LEN = 4,
    /// Schema: what the bytes of the sections mean; compared by readers, never interpreted.
    SCHEMA = 5,
    /// Generation: which life of the owner's name this is.
    GENERATION = 6,
    /// Number of sections, at most 4,096.
    SECTIONS = 7,
    /// Bytes of a directory entry: 64.
    ENTRY_LEN = 8,
    /// Page size of the owner in bytes.
    PAGE_SIZE = 9,
    /// Pid of the owner.
    PID = 10,
    /// Start time of that process, clock ticks since boot.
    PID_START_TIME = 11,
    /// Boot id, first half.
    BOOT_ID = 12,
    /// Boot id, second half.
    BOOT_ID_END = 13,
    /// Wall clock at the start, ns since 1970.
    STARTED = 14,
    /// Checksum of words 1 to 14 and of the directory.
    CHECKSUM = 15,
    /// State of the owner.
    STATE = 16,
    /// Heartbeat: grows while the owner runs.
    HEARTBEAT = 17,
    /// Last tick closed.
    TICK = 18,
    /// Time of the last change of words 16 to 18, ns on the owner's monotonic clock.
    SINCE = 19,
    /// Number of the owner's pid namespace, 0 if unknown; since layout 1.1, written before the
    /// region is ready. The checksum, whose words are those of 1.0, does not cover it: a wrong one
    /// makes the owner's process unknown, no more.
    NAMESPACE = 24,
}
}

words! {
/// Words of a directory entry.
entry {
    /// Version of the section's inner layout << 32 | kind.
    KIND = 0,
    /// Id: which one of its kind.
    ID = 1,
    /// First byte, from the start of the region; a multiple of 128.
    OFFSET = 2,
    /// Length in bytes; a multiple of 128.
    LEN = 3,
    /// First parameter; its meaning is the kind's.
    PARAM = 4,
    /// Second parameter.
    PARAM_2 = 5,
    /// Zero.
    ZERO = 6,
    /// Zero.
    ZERO_2 = 7,
}
}

const _: () = {
    assert!(word::CHECKSUM == 15 && word::STATE == 16 && word::NAMESPACE < 32);
    assert!(entry::ALL.len() == 8);
};
