//! Functions about the library itself.
#![expect(unsafe_code, reason = "their names are exported as C knows them")]

use std::ffi::c_char;

use crate::{guard, result::we_result, structs::WE_HOST_ABI_VERSION};

/// Version of the interface that the library has: `WE_HOST_ABI_VERSION` of its header. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn we_abi_version() -> u32 {
    WE_HOST_ABI_VERSION
}

/// Version of the library, as `0.1.0`. Any thread; the text is valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn we_version() -> *const c_char {
    const VERSION: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
        concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
    ) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

/// What the last call that failed in this thread said: what, which, and what to do next. Empty if
/// none has failed. Any thread; the text is the library's and valid until the next call that fails
/// in this thread.
#[unsafe(no_mangle)]
pub extern "C" fn we_last_error() -> *const c_char {
    guard::last_error()
}

/// The name of a result, as `WE_RESULT_FULL`; of other numbers `WE_RESULT_OTHER`. Any thread; the
/// text is valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn we_result_name(result: i32) -> *const c_char {
    let known = we_result::ALL.into_iter().find(|one| *one as i32 == result);
    known.unwrap_or(we_result::Other).name().as_ptr()
}
