//! The border: no panic crosses it, and a call that fails leaves its text for the thread.

use std::{
    any::Any,
    cell::RefCell,
    ffi::{CStr, CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::result::{Failure, we_result};

thread_local! {
    /// What the last call that failed in this thread said.
    static LAST_ERROR: RefCell<CString> = RefCell::default();
    /// The report of the last run that was closed in this thread.
    static REPORT: RefCell<CString> = RefCell::default();
}

/// Executes a call; what it fails of, a panic too, becomes a result and the thread's last error.
pub(crate) fn enter(call: impl FnOnce() -> Result<we_result, Failure>) -> we_result {
    let failure = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => return result,
        Ok(Err(failure)) => failure,
        Err(panic) => panicked(panic),
    };
    keep(&LAST_ERROR, &failure.text);
    failure.result
}

fn panicked(panic: Box<dyn Any + Send>) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    // What was thrown may panic again when it is dropped.
    std::mem::forget(panic);
    let text = format!("a bug in the library: {text}; close the handle, and report it");
    Failure::new(we_result::Panic, text)
}

/// What the last call that failed in this thread said; valid until the next one fails.
pub(crate) fn last_error() -> *const c_char {
    kept(&LAST_ERROR)
}

/// Keeps a report; the text is valid until this thread keeps another.
pub(crate) fn keep_report(json: &str) -> *const c_char {
    keep(&REPORT, json);
    kept(&REPORT)
}

type Kept = std::thread::LocalKey<RefCell<CString>>;

fn keep(slot: &'static Kept, text: &str) {
    let text = c_text(text);
    // A thread that ends has no slot any more, and nobody to read it.
    let _ = slot.try_with(|slot| slot.replace(text));
}

fn kept(slot: &'static Kept) -> *const c_char {
    const NOTHING: &CStr = c"";
    slot.try_with(|slot| slot.borrow().as_ptr()).unwrap_or(NOTHING.as_ptr())
}

/// A text that ends with NUL; one inside becomes a mark.
pub(crate) fn c_text(text: &str) -> CString {
    let plain = CString::new(text);
    plain.or_else(|_| CString::new(text.replace('\0', "\u{fffd}"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> String {
        LAST_ERROR.with(|text| text.borrow().to_str().expect("UTF-8").to_owned())
    }

    #[test]
    fn a_panic_is_a_result_and_says_what_it_said() {
        assert_eq!(enter(|| panic!("no {}", 7)), we_result::Panic);
        assert!(said().contains("a bug in the library: no 7"), "{}", said());
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(enter(|| std::panic::panic_any(Bomb)), we_result::Panic);
    }

    #[test]
    fn the_last_error_is_the_threads_and_stays_until_another() {
        let full = || Err(Failure::new(we_result::Full, "it is \0 full"));
        assert_eq!(enter(full), we_result::Full);
        assert_eq!(enter(|| Ok(we_result::Ok)), we_result::Ok);
        assert_eq!(said(), "it is \u{fffd} full");
        std::thread::spawn(|| assert_eq!(said(), "")).join().expect("it ends");
    }
}
