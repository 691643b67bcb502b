//! Providers that are asked for, on whatever library is there: the pinned one has the processor
//! alone, so what can be seen with it is how others are refused.

use wasm_engine_setup::CPU;

use super::tests::{ready, temperature};
use super::{ModelSource, OnnxError, OnnxModel, load};
use crate::registry::ModelError;
use crate::{Backend, Interrupter, ListBuffer};

fn loaded(providers: &[&str]) -> Result<OnnxModel, OnnxError> {
    let providers: Vec<String> = providers.iter().map(|name| (*name).to_owned()).collect();
    let bytes = temperature();
    let source = ModelSource {
        name: "m",
        bytes: &bytes,
        external: &[],
        outputs: None,
        providers: &providers,
    };
    load(source, &Interrupter::default())
}

fn reply(model: &mut OnnxModel) -> Vec<u8> {
    use wasm_engine_abi::tensor::TensorWriter;
    let (mut request, mut reply) = (ListBuffer::default(), ListBuffer::default());
    let mut list = TensorWriter::new(&mut request).expect("it grows");
    list.tensor(0, &[1, 149], &[0.25_f32; 149]).expect("as many values");
    let _ = list.finish();
    model.run(request.bytes(), &mut reply).expect("it runs");
    reply.bytes().to_vec()
}

#[test]
fn i5_4_a_provider_that_is_not_there_gives_way_to_the_next_and_is_named() {
    if !ready() {
        return;
    }
    let mut plain = loaded(&[]).expect("the processor is there");
    assert_eq!((plain.providers().used.as_str(), plain.providers().refused.len()), (CPU, 0));
    let mut asked = loaded(&["CUDAExecutionProvider", "openvino", "CPU"]).expect("one is there");
    let providers = asked.providers();
    if providers.used != CPU {
        // A machine that has one: its bits are its own, and the fingerprint says so.
        assert_ne!(asked.describe(), plain.describe());
        return;
    }
    assert_eq!(providers.refused.keys().collect::<Vec<_>>(), ["cuda", "openvino"]);
    assert!(providers.refused.values().all(|why| !why.is_empty()), "{providers:?}");
    // What ran is the processor, so the bits are comparable with its.
    assert_eq!(asked.describe(), plain.describe());
    assert!(asked.describe().contains(" cpu intra=1 "), "{}", asked.describe());
    assert_eq!(reply(&mut asked), reply(&mut plain));
}

#[test]
fn i5_4_without_the_processor_in_the_list_a_missing_provider_is_a_refusal() {
    if !ready() {
        return;
    }
    // Nobody has all of them.
    let error = match loaded(&["dml", "coreml"]) {
        Err(error) => error,
        Ok(model) => panic!("{:?}", model.providers()),
    };
    assert!(matches!(error, OnnxError::NoProvider { .. }), "{error}");
    let text = error.to_string();
    for word in
        ["model m", "model.m.providers", "dml is not there", "coreml is not there", "\"cpu\""]
    {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    assert_eq!(ModelError::Model(error).exit_code(), 1);
}
