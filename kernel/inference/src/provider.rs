//! Names of what computes a model, as ONNX Runtime has them.

/// What ONNX Runtime adds to a name.
const SUFFIX: &str = "executionprovider";

macro_rules! providers {
    ($($name:ident $text:literal,)*) => {
        /// A provider of ONNX Runtime that can be asked for.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ProviderName {
            $(#[doc = concat!("`", $text, "`.")] $name,)*
        }

        impl ProviderName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in configurations and reports.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

providers! {
    Cpu "cpu", Cuda "cuda", TensorRt "tensorrt", OpenVino "openvino", Dml "dml",
    CoreMl "coreml",
}

impl ProviderName {
    /// The one with this name, in capitals or not, with or without `ExecutionProvider` behind it.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let short = lower.strip_suffix(SUFFIX).unwrap_or(&lower);
        Self::ALL.iter().copied().find(|name| name.text() == short)
    }
}

/// The providers of a list that can be asked for; the processor where there is none.
#[cfg(feature = "onnx")]
pub(crate) fn asked(names: &[String]) -> Vec<ProviderName> {
    let known: Vec<_> = names.iter().filter_map(|name| ProviderName::of(name)).collect();
    if known.is_empty() { vec![ProviderName::Cpu] } else { known }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_library_in_any_case() {
        for name in ["cuda", "CUDA", "CUDAExecutionProvider"] {
            assert_eq!(ProviderName::of(name), Some(ProviderName::Cuda), "{name}");
        }
        for name in ["", "gpu", "ExecutionProvider", "cuda ", "AzureExecutionProvider"] {
            assert_eq!(ProviderName::of(name), None, "{name}");
        }
        for name in ProviderName::ALL {
            assert_eq!(ProviderName::of(name.text()), Some(*name));
        }
    }
}
