//! What kind of file a shared library is: for which system and which machine, from its first bytes.
//!
//! The dynamic loader refuses one for another machine with words that nobody understands. Here it
//! is said what the file is and what this machine needs. `elf.rs` says whether it is whole.

use std::fmt;

/// Formats of libraries, each of one family of systems.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Elf,
    MachO,
    Pe,
}

/// Machines that ONNX Runtime is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Processor {
    X86,
    X86_64,
    Arm64,
    /// One for several machines.
    Several,
    Other,
}

/// A library's format and machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BinaryKind {
    format: Format,
    machine: Processor,
}

impl BinaryKind {
    /// What this program is.
    const HERE: Self = Self {
        format: if cfg!(windows) {
            Format::Pe
        } else if cfg!(target_vendor = "apple") {
            Format::MachO
        } else {
            Format::Elf
        },
        machine: if cfg!(target_arch = "x86_64") {
            Processor::X86_64
        } else if cfg!(target_arch = "aarch64") {
            Processor::Arm64
        } else {
            Processor::Other
        },
    };

    /// Of a file that begins like this; `None` if it is no library that is known.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let (format, machine) = match bytes.first_chunk()? {
            b"\x7fELF" => {
                let machine = match number(18) {
                    Some(3) => Processor::X86,
                    Some(62) => Processor::X86_64,
                    Some(183) => Processor::Arm64,
                    _ => Processor::Other,
                };
                (Format::Elf, machine)
            }
            b"\xcf\xfa\xed\xfe" => {
                let machine = match word(4) {
                    Some(0x0100_0007) => Processor::X86_64,
                    Some(0x0100_000c) => Processor::Arm64,
                    _ => Processor::Other,
                };
                (Format::MachO, machine)
            }
            b"\xca\xfe\xba\xbe" => (Format::MachO, Processor::Several),
            [b'M', b'Z', ..] => {
                let header = usize::try_from(word(60)?).ok()?;
                if !bytes.get(header..)?.starts_with(b"PE\0\0") {
                    return None;
                }
                let machine = match number(header.checked_add(4)?) {
                    Some(0x014c) => Processor::X86,
                    Some(0x8664) => Processor::X86_64,
                    Some(0xaa64) => Processor::Arm64,
                    _ => Processor::Other,
                };
                (Format::Pe, machine)
            }
            _ => return None,
        };
        Some(Self { format, machine })
    }

    /// Refuses one for another system or machine.
    pub(super) fn check(self) -> Result<(), String> {
        let Self { format, machine } = Self::HERE;
        let suits = self.machine == machine || matches!(self.machine, Processor::Several);
        // What machine that is is for the dynamic loader to say.
        let unknown = self.machine == Processor::Other || machine == Processor::Other;
        match self.format == format && (suits || unknown) {
            true => Ok(()),
            false => Err(format!("it is a library for {self}, and this is {}", Self::HERE)),
        }
    }
}

impl fmt::Display for BinaryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = match self.format {
            Format::Elf => "Linux",
            Format::MachO => "macOS",
            Format::Pe => "Windows",
        };
        let machine = match self.machine {
            Processor::X86 => "32-bit x86",
            Processor::X86_64 => "x86-64",
            Processor::Arm64 => "64-bit ARM",
            Processor::Several => "several machines",
            Processor::Other => "another machine",
        };
        write!(f, "{system} on {machine}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a PE file.
    fn pe(machine: u16) -> Vec<u8> {
        let mut bytes = b"MZ".to_vec();
        bytes.resize(60, 0);
        bytes.extend(64_u32.to_le_bytes());
        bytes.extend(b"PE\0\0");
        bytes.extend(machine.to_le_bytes());
        bytes
    }

    /// Those of an ELF file.
    fn elf(machine: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend(machine.to_le_bytes());
        bytes
    }

    #[test]
    fn a_library_says_for_which_system_and_machine_it_is() {
        for (bytes, words) in [
            (elf(62), "Linux on x86-64"),
            (elf(183), "Linux on 64-bit ARM"),
            (elf(3), "Linux on 32-bit x86"),
            (elf(243), "Linux on another machine"),
            (b"\x7fELF".to_vec(), "Linux on another machine"),
            (pe(0x8664), "Windows on x86-64"),
            (pe(0xaa64), "Windows on 64-bit ARM"),
            (pe(0x014c), "Windows on 32-bit x86"),
            (b"\xcf\xfa\xed\xfe\x0c\0\0\x01".to_vec(), "macOS on 64-bit ARM"),
            (b"\xcf\xfa\xed\xfe\x07\0\0\x01".to_vec(), "macOS on x86-64"),
            (b"\xca\xfe\xba\xbe".to_vec(), "macOS on several machines"),
        ] {
            let kind = BinaryKind::of(&bytes).expect("it is one");
            assert_eq!(kind.to_string(), words);
        }
        let mut far = pe(0x8664);
        far[60..64].fill(0xff);
        for none in [&b""[..], b"MZ", b"text that is long", &far, b"#!/bin/sh\n"] {
            assert_eq!(BinaryKind::of(none), None);
        }
    }

    #[test]
    fn one_of_another_kind_is_refused_and_this_programs_own_is_not() {
        let exe = std::fs::read(std::env::current_exe().expect("it has a path")).expect("readable");
        let own = BinaryKind::of(&exe).expect("it is a program");
        assert_eq!((own, own.check()), (BinaryKind::HERE, Ok(())));
        let others = [elf(62), elf(183), elf(3), pe(0x8664), pe(0xaa64), pe(0x014c)];
        let refused = others.iter().filter_map(|bytes| BinaryKind::of(bytes)?.check().err());
        let refused: Vec<String> = refused.collect();
        assert!(refused.len() >= others.len() - 1, "{refused:?}");
        for words in refused {
            assert!(words.ends_with(&format!(", and this is {}", BinaryKind::HERE)), "{words}");
        }
    }
}
