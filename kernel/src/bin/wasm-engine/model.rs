//! `wasm-engine model`: what a model is, from its files alone, without ONNX Runtime and a run.

use std::path::PathBuf;

use wasm_engine::{exit::Exit, model_document};

use crate::print::Outcome;

const KIND: &str = "model";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// An ONNX file, or a folder of versions, of which the highest is taken.
    path: PathBuf,
}

pub(crate) fn model(args: &Args) -> Outcome {
    let document = match model_document::read(&args.path) {
        Ok(document) => document,
        Err(error) => return Outcome::error(KIND, &error),
    };
    match document.refused() {
        Some(why) => {
            let error = format!("no run takes this model: {why}");
            Outcome::of(KIND, &document, Exit::Refused, Some(error))
        }
        None => Outcome::of(KIND, &document, Exit::Ok, None),
    }
}
