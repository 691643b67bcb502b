//! Which library the project is pinned to, and how a user names another.

/// The library version the project is tested with: the last one without an uploader.
pub const LIBRARY_VERSION: &str = "1.28.0";

/// File name of [`LIBRARY_VERSION`] as the search expects it.
pub const LIBRARY_FILE: &str = "libonnxruntime.so.1.28.0";

/// Names the library file to use, before any other location. Set and invalid is an error.
pub const LIBRARY_ENV: &str = "ORT_DYLIB_PATH";

/// Set to `1` by the user, it silences the uploader of libraries from 1.29 on.
pub const TELEMETRY_ENV: &str = "ORT_DISABLE_TELEMETRY";
