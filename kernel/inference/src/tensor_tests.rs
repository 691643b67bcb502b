//! Requests of tensors: which run together, what is refused, and what has no room in a ring.

use std::sync::Arc;

use wasm_engine_abi::tensor::{RequestForm, TensorList, TensorWriter, ValueKind};
use wasm_engine_setup::{Dim, Limits, ModelSetup, PortSetup, PortValue};

use crate::tests::{FAILED, MISMATCH, OK, options, start, start_within};
use crate::{Backend, BackendFailure, InferenceHandle, ListBuffer, ModelPorts, ServedModel};

/// Gives its `i64` input of any length, and the number of rows that ran together.
struct Echo {
    ports: ModelPorts,
    /// Shows whether it still lives.
    _alive: Arc<()>,
}

impl Backend for Echo {
    fn ports(&self) -> &ModelPorts {
        &self.ports
    }

    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        let list = TensorList::parse(request).expect("a list");
        let ids = list.port(0).expect("ids");
        let dims: Vec<u64> = ids.dims().collect();
        let values = ids.as_slice::<i64>().expect("aligned");
        if values.contains(&-1) {
            return Err(BackendFailure::Failed("a negative id".to_owned()));
        }
        reply.clear();
        let mut list = TensorWriter::new(reply).expect("it grows");
        list.tensor(1, &dims, values).expect("it grows");
        let together = vec![dims[0] as u8; dims[0] as usize];
        list.tensor(0, &[dims[0]], &together).expect("it grows");
        let _ = list.finish();
        Ok(())
    }

    fn describe(&self) -> String {
        "echo".to_owned()
    }
}

fn port(name: &str, kind: ValueKind, dims: Vec<Dim>) -> PortSetup {
    PortSetup { name: name.to_owned(), value: PortValue::Tensor { kind, dims }, given: true }
}

fn echo(batch: u32, bytes_max: u32) -> ServedModel {
    let rows = if batch > 1 { Dim::fixed(1) } else { Dim::default() };
    let dims = || vec![rows.clone(), Dim { name: "seq".to_owned(), ..Dim::default() }];
    let inputs = vec![port("ids", ValueKind::I64, dims())];
    let outputs = vec![
        port("together", ValueKind::U8, vec![rows.clone()]),
        port("same", ValueKind::I64, dims()),
    ];
    let ports = ModelPorts { inputs: inputs.clone(), outputs: outputs.clone() };
    let setup = ModelSetup {
        name: "echo".to_owned(),
        batch,
        inputs,
        outputs,
        request_bytes_max: bytes_max,
        reply_bytes_max: bytes_max + 64,
        ..ModelSetup::default()
    };
    ServedModel { setup, backend: Box::new(Echo { ports, _alive: Arc::default() }) }
}

fn ids(values: &[i64]) -> Vec<u8> {
    let mut bytes = ListBuffer::default();
    let mut list = TensorWriter::new(&mut bytes).expect("it grows");
    list.tensor(0, &[1, values.len() as u64], values).expect("it grows");
    let _ = list.finish();
    bytes.bytes().to_vec()
}

fn ask(handle: &mut InferenceHandle, number: u64, list: &[u8]) {
    handle.submit(number, 0, RequestForm::Tensors, list).expect("is taken");
}

/// What the model gave, and how many ran together.
#[track_caller]
fn same(handle: &mut InferenceHandle, number: u64) -> (Vec<i64>, u8) {
    let reply = handle.wait_for(number).expect("is answered");
    assert_eq!(reply.code, OK, "{}", String::from_utf8_lossy(reply.bytes));
    let mut aligned = ListBuffer::default();
    aligned.set(reply.bytes);
    let list = TensorList::parse(aligned.bytes()).expect("a list");
    let same = list.port(1).and_then(|value| value.as_slice::<i64>()).expect("the ids");
    (same.to_vec(), list.port(0).and_then(|value| value.get::<u8>(0)).expect("a number"))
}

#[test]
fn i2_1_requests_of_equal_shape_run_together_and_others_beside_them() {
    let mut handle = start(vec![echo(3, 4096)]);
    for tick in 0..20_u64 {
        let base = tick * 10;
        // Lengths 2 2 1 2 1 4: the twos are full, the ones and the four wait for the flush.
        for (at, len) in [2, 2, 1, 2, 1, 4].into_iter().enumerate() {
            ask(&mut handle, base + at as u64, &ids(&vec![at as i64; len]));
        }
        handle.flush().expect("is taken");
        for (at, len) in [2, 2, 1, 2, 1, 4].into_iter().enumerate() {
            assert_eq!(same(&mut handle, base + at as u64), (vec![at as i64; len], 3), "{at}");
        }
    }
    let row = handle.rows()[0];
    assert_eq!((row.requests, row.batches, row.rows_padded), (120, 60, 60));
}

#[test]
fn i3_3_a_request_that_is_none_for_the_model_learns_why_and_harms_nobody() {
    let mut handle = start(vec![echo(2, 4096)]);
    ask(&mut handle, 0, &ids(&[5]));
    ask(&mut handle, 1, b"nonsense");
    handle.submit(2, 0, RequestForm::Row, &[0; 8]).expect("is taken");
    ask(&mut handle, 3, &ids(&[-1]));
    ask(&mut handle, 4, &ids(&[6]));
    handle.flush().expect("is taken");
    for (number, text) in [
        (1, "the list of tensors is malformed at byte 0: it has another version"),
        (2, "this model is asked with tensors, not with a row"),
    ] {
        let reply = handle.wait_for(number).expect("is answered");
        assert_eq!((reply.code, reply.bytes), (MISMATCH, text.as_bytes()));
    }
    assert_eq!(same(&mut handle, 0), (vec![5], 2));
    assert_eq!(handle.wait_for(3).expect("is answered").code, FAILED);
    assert_eq!(same(&mut handle, 4), (vec![6], 2));
    let row = handle.rows()[0];
    assert_eq!((row.requests, row.errors), (5, 3));
}

#[test]
fn a_reply_longer_than_its_model_may_give_is_a_failure() {
    let mut model = echo(1, 4096);
    model.setup.reply_bytes_max = 512;
    let mut handle = start(vec![model]);
    ask(&mut handle, 0, &ids(&[1; 50]));
    ask(&mut handle, 1, &ids(&[1; 60]));
    handle.flush().expect("is taken");
    assert_eq!(same(&mut handle, 0).0.len(), 50);
    assert_eq!(handle.wait_for(1).expect("is answered").code, FAILED);
}

#[test]
fn what_has_no_room_in_the_rings_waits_and_keeps_its_order() {
    // 64 requests of 300 KiB through rings of 4 MiB, for which no reply is taken before the end.
    const LEN: usize = 300 << 7;
    for batch in [1, 5] {
        let mut model = echo(batch, 400 << 10);
        let alive = Arc::new(());
        let ports = model.backend.ports().clone();
        model.backend = Box::new(Echo { ports, _alive: Arc::clone(&alive) });
        let mut limits = Limits { inferences_pending_max: 64, ..Limits::default() };
        limits.inference_bytes_pending_max = 64 << 20;
        limits.inference_reply_bytes_pending_max = 64 << 20;
        limits.suit(std::slice::from_ref(&model.setup));
        let layout = crate::InferenceLayout::of(&limits, std::slice::from_ref(&model.setup));
        assert_eq!(layout.expect("fits").requests_capacity, 4 << 20);
        let mut handle = start_within(vec![model], &limits, options());
        for number in 0..64 {
            ask(&mut handle, number, &ids(&vec![number as i64; LEN]));
        }
        handle.flush().expect("is taken");
        for number in 0..64 {
            let (values, together) = same(&mut handle, number);
            assert_eq!((values.len(), values[0], together), (LEN, number as i64, batch as u8));
        }
        // Dropped while both rings are full: the thread waits for room, and ends all the same.
        for number in 64..128 {
            ask(&mut handle, number, &ids(&vec![number as i64; LEN]));
        }
        handle.flush().expect("is taken");
        drop(handle);
        assert_eq!(Arc::strong_count(&alive), 1, "the thread ended and dropped its model");
    }
}
