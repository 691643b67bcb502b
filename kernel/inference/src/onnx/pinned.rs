//! Which library the project is pinned to, how a user gets it and how a user names another.

/// The library version the project is tested with: the last one without an uploader.
pub const LIBRARY_VERSION: &str = "1.28.0";

/// File name of [`LIBRARY_VERSION`] in the Python package and where the search expects it.
pub const LIBRARY_FILE: &str = if cfg!(windows) {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.1.28.0.dylib"
} else {
    "libonnxruntime.so.1.28.0"
};

/// Names the library file to use, before any other location. Set and invalid is an error.
pub const LIBRARY_ENV: &str = "ORT_DYLIB_PATH";

/// Set to `1` by the user, it silences the uploader of libraries from 1.29 on.
pub const TELEMETRY_ENV: &str = "ORT_DISABLE_TELEMETRY";

/// Whether the package of [`LIBRARY_VERSION`] has a wheel for this platform.
const HAS_WHEEL: bool = cfg!(any(
    all(
        target_os = "linux",
        target_env = "gnu",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ),
    all(target_os = "macos", target_arch = "aarch64"),
    all(windows, any(target_arch = "x86_64", target_arch = "aarch64")),
));

/// How the library is got on this platform, as the end of an error: one line for a shell where
/// there is a wheel. It names a version of Python so that any newer or older one that runs it takes
/// the same file.
pub const LIBRARY_CURE: &str = if !HAS_WHEEL {
    "no wheel of version 1.28.0 is published for this platform: build ONNX Runtime 1.28.0 as a \
     shared library and set ORT_DYLIB_PATH to the file"
} else if cfg!(windows) {
    "install version 1.28.0 where it is found: `py -m pip install --no-deps --only-binary=:all: \
     --python-version 3.11 --upgrade --target \"%LOCALAPPDATA%\\wasm-engine\" \
     onnxruntime==1.28.0`; or set ORT_DYLIB_PATH to the file onnxruntime.dll of that version"
} else if cfg!(target_os = "macos") {
    "install version 1.28.0 where it is found: `python3 -m pip install --no-deps \
     --only-binary=:all: --python-version 3.11 --upgrade --target ~/.local/share/wasm-engine \
     onnxruntime==1.28.0`; or set ORT_DYLIB_PATH to the file libonnxruntime.1.28.0.dylib"
} else {
    "install version 1.28.0 where it is found: `python3 -m pip install --no-deps \
     --only-binary=:all: --python-version 3.11 --upgrade --target ~/.local/share/wasm-engine \
     onnxruntime==1.28.0` (in the source tree `cargo xtask setup` does); or set ORT_DYLIB_PATH to \
     the file libonnxruntime.so.1.28.0"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_names_the_pinned_version() {
        assert!(LIBRARY_CURE.contains(LIBRARY_VERSION) && LIBRARY_CURE.contains(LIBRARY_ENV));
        assert!(cfg!(windows) || LIBRARY_FILE.contains(LIBRARY_VERSION));
        if HAS_WHEEL {
            assert!(LIBRARY_CURE.contains(&format!("onnxruntime=={LIBRARY_VERSION}")));
            assert!(LIBRARY_CURE.contains(LIBRARY_FILE));
        }
    }
}
