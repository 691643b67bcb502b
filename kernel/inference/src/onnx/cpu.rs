//! The class of the processor: every extension by which the library picks other code.
//!
//! Not a level such as "AVX-512": with and without VNNI an eight-bit product saturates differently,
//! AMX sums in another order, BF16 and FP16 round elsewhere. So a class is the whole set, and two
//! processors are of one class only if all of these are equal.

use std::fmt;

/// The extensions of the processor that may change a model's bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuClass {
    extensions: Vec<&'static str>,
}

impl CpuClass {
    /// The class of the processor this runs on.
    #[must_use]
    pub fn detect() -> Self {
        Self { extensions: extensions() }
    }

    /// Names of the extensions that it has, in a fixed order.
    #[must_use]
    pub fn extensions(&self) -> &[&'static str] {
        &self.extensions
    }
}

/// The architecture and all extensions, as `x86_64+avx+avx2`.
impl fmt::Display for CpuClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::env::consts::ARCH)?;
        self.extensions.iter().try_for_each(|name| write!(f, "+{name}"))
    }
}

/// The names of a list that the processor has.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! detected {
    ($detect:ident: $($name:tt)*) => {
        [$(($name, std::arch::$detect!($name))),*]
            .into_iter()
            .filter_map(|(name, there)| there.then_some(name))
            .collect::<Vec<&'static str>>()
    };
}

#[cfg(target_arch = "x86_64")]
fn extensions() -> Vec<&'static str> {
    let mut names = detected!(is_x86_feature_detected:
        "avx" "fma" "f16c" "avx2" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avxvnni"
        "avx512vnni" "avxvnniint8" "avxneconvert" "avx512bf16" "avx512fp16");
    names.extend(matrix_extensions());
    names
}

/// AMX, which the standard library does not name yet: leaf 7 of CPUID, and its first sub-leaf.
#[cfg(target_arch = "x86_64")]
fn matrix_extensions() -> impl Iterator<Item = &'static str> {
    use std::arch::x86_64::__cpuid_count;

    let (seven, one) = (__cpuid_count(7, 0), __cpuid_count(7, 1));
    // The sub-leaf is there only if leaf 7 says so.
    let one_eax = if seven.eax >= 1 { one.eax } else { 0 };
    [
        ("amx-bf16", seven.edx >> 22 & 1),
        ("amx-tile", seven.edx >> 24 & 1),
        ("amx-int8", seven.edx >> 25 & 1),
        ("amx-fp16", one_eax >> 21 & 1),
    ]
    .into_iter()
    .filter_map(|(name, bit)| (bit == 1).then_some(name))
}

#[cfg(target_arch = "aarch64")]
fn extensions() -> Vec<&'static str> {
    detected!(is_aarch64_feature_detected: "dotprod" "fp16" "bf16" "i8mm" "sve" "sve2")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn extensions() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// What the system says, under its own names, has the last word.
    #[test]
    fn i5_2_every_extension_that_changes_bits_is_in_the_class() {
        let text = std::fs::read_to_string("/proc/cpuinfo").expect("the system has it");
        let flags = text.lines().find(|line| line.starts_with("flags")).expect("flags");
        let has = |name: &str| flags.split_whitespace().any(|flag| flag == name);
        let class = CpuClass::detect();
        for (ours, theirs) in [
            ("avx2", "avx2"),
            ("fma", "fma"),
            ("avx512f", "avx512f"),
            ("avxvnni", "avx_vnni"),
            ("avx512vnni", "avx512_vnni"),
            ("avx512bf16", "avx512_bf16"),
            ("avx512fp16", "avx512_fp16"),
            ("amx-tile", "amx_tile"),
            ("amx-int8", "amx_int8"),
            ("amx-bf16", "amx_bf16"),
        ] {
            // An old system may know less than the processor has, never more.
            assert!(class.extensions().contains(&ours) || !has(theirs), "{ours}: {class}");
        }
        let text = class.to_string();
        assert!(text.starts_with("x86_64+"), "{text}");
        assert_eq!(text.split('+').count(), 1 + class.extensions().len());
    }
}
