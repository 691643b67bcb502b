//! Which imports there are, and how modules are built that ask for others.

use wasm_engine_abi::calls::{CALLS, Call, MODULE};

use crate::admission::error::Refusal;

/// The host call of this name.
///
/// It is looked up before any code is read: what a toolchain needs of its usual host says more
/// about what is wrong than what its code looks like.
pub(crate) fn find(module: &str, name: &str) -> Result<&'static Call, Refusal> {
    let call = CALLS.iter().find(|call| module == MODULE && call.name == name);
    call.ok_or_else(|| unknown(module, name))
}

/// The refusal of an import that no host call is.
pub(crate) fn unknown(module: &str, name: &str) -> Refusal {
    let cure = match (module, name) {
        (MODULE, _) => "declare only calls of this kernel's version, with their own names",
        ("env", "abort" | "seed" | "trace") => {
            "in AssemblyScript build with --use abort=FILE/abort, a function of your own that \
             calls `panic`, or with --use abort=, and without seed and trace"
        }
        ("env", "memory") | (_, "memory") => "link without --import-memory, the agent has its own",
        ("env" | "GOT.mem" | "GOT.func", _) => {
            "to a linker it is a symbol that nothing defines: define it or do not use it"
        }
        ("gojs" | "go", _) => {
            "programs of Go's own compiler need a host of theirs; use TinyGo with \
             -target=wasm-unknown"
        }
        ("__wbindgen_placeholder__" | "__wbindgen_externref_xform__" | "wbg", _) => {
            "build without wasm-bindgen, and dependencies without their feature `js`"
        }
        _ if module.starts_with("wasi") => {
            "there is no WASI: in Rust --target wasm32-unknown-unknown, in C --target=wasm32 \
             -nostdlib, in TinyGo -target=wasm-unknown; programs of Go's own compiler need it"
        }
        _ => "build for no host, without a runtime that calls one",
    };
    let (module, name) = (module.to_owned(), name.to_owned());
    Refusal::UnknownImport { module, name, offered: MODULE, cure }
}
