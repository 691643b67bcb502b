//! `wasm-engine serve-model`: the process of one model, which a kernel starts; nobody else does.
//!
//! Its standard output belongs to the kernel, so it prints no document: what is wrong with its
//! input is a line on standard error.

use std::path::PathBuf;

use wasm_engine::exit::Exit;

/// The program that serves models: this one, whatever became of its file meanwhile.
pub(crate) fn program() -> Option<PathBuf> {
    let itself = PathBuf::from("/proc/self/exe");
    match itself.exists() {
        true => Some(itself),
        false => std::env::current_exe().ok(),
    }
}

pub(crate) fn serve() -> std::process::ExitCode {
    #[cfg(all(feature = "onnx", unix))]
    let served = wasm_engine_inference::isolated::serve();
    #[cfg(not(all(feature = "onnx", unix)))]
    let served: std::io::Result<()> = Err(std::io::ErrorKind::Unsupported.into());
    match served {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("serve-model is for kernels, which start it: {error}");
            Exit::Usage.into()
        }
    }
}
