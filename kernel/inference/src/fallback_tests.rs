//! The processor takes over where what computes a model fails, and only there.

use std::sync::{Arc, Mutex};

use wasm_engine_setup::ProviderUse;

use crate::fallback::FallbackModel;
use crate::interrupt::Canceller;
use crate::tests::{FAILED, OK, answer, served, start, submit};
use crate::{Backend, BackendFailure, InferenceHandle, ListBuffer, ModelPorts, ServedModel};

/// Rows with this value fail wherever they are computed.
const WRONG: f32 = -1.0;

/// Makes the model of the processor, or not.
type MakeProcessor = fn() -> Result<Box<dyn Backend>, String>;

fn failed(why: &str) -> BackendFailure {
    BackendFailure::Failed(why.to_owned())
}

/// Another model, computed by a device.
struct OnDevice {
    inner: Box<dyn Backend>,
    canceller: Canceller,
}

impl Backend for OnDevice {
    fn ports(&self) -> &ModelPorts {
        self.inner.ports()
    }
    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        self.inner.run(request, reply)
    }
    fn describe(&self) -> String {
        "device".to_owned()
    }
    fn providers(&self) -> ProviderUse {
        ProviderUse { used: "cuda".to_owned(), ..ProviderUse::default() }
    }
    fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

/// Doubles the values.
fn doubled(input: &[f32]) -> Result<Vec<f32>, BackendFailure> {
    match input.contains(&WRONG) {
        true => Err(failed("that value is wrong")),
        false => Ok(input.iter().map(|value| value * 2.0).collect()),
    }
}

/// A model of a device that fails with `end` in its runs from number `from` on, and how often that
/// of the processor was made.
fn model(
    batch: usize,
    from: u32,
    end: fn() -> BackendFailure,
    canceller: Canceller,
) -> (ServedModel, Arc<Mutex<u32>>) {
    let mut runs = 0;
    let first = served(batch, 2, move |input| {
        runs += 1;
        if runs > from { Err(end()) } else { doubled(input) }
    });
    let made = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&made);
    let device = OnDevice { inner: first.backend, canceller };
    let make = move || {
        *counted.lock().expect("nobody panics with it") += 1;
        Ok(served(batch, 2, doubled).backend)
    };
    let backend = Box::new(FallbackModel::new(Box::new(device), Box::new(make)));
    (ServedModel { backend, ..first }, made)
}

fn lost() -> BackendFailure {
    failed("the device is lost")
}

/// The code and values of the reply to one request, and what computed it.
fn ask(
    handle: &mut InferenceHandle,
    number: u64,
    value: f32,
) -> (i32, Vec<f32>, Option<ProviderUse>) {
    submit(handle, number, 0, [value, 1.0]);
    assert!(handle.wait_ready(number, &mut || false).expect("it lives"));
    let used = handle.providers_of(number).map(|used| ProviderUse::clone(used));
    let (code, values) = answer(handle, number);
    (code, values, used)
}

#[test]
fn i5_5_a_provider_that_fails_gives_way_to_the_processor_without_a_reply_lost() {
    for batch in [1, 4] {
        let (model, made) = model(batch, 2, lost, Canceller::default());
        let mut handle = start(vec![model]);
        let mut used = Vec::new();
        for number in 0..6 {
            let (code, values, computed) = ask(&mut handle, number, number as f32);
            assert_eq!((code, values), (OK, vec![2.0 * number as f32, 2.0]), "{number}");
            let ProviderUse { used: by, refused } = computed.expect("it was computed");
            if by == "cpu" {
                assert!(refused["cuda"].contains("the device is lost"), "{refused:?}");
            } else {
                assert!(refused.is_empty(), "{refused:?}");
            }
            used.push(by);
        }
        assert_eq!(used, ["cuda", "cuda", "cpu", "cpu", "cpu", "cpu"], "it never comes back");
        assert_eq!(*made.lock().expect("nobody panics with it"), 1);
    }
}

#[test]
fn i5_5_a_request_that_fails_on_the_processor_too_is_at_fault_and_not_the_provider() {
    let (model, made) = model(4, u32::MAX, lost, Canceller::default());
    let mut handle = start(vec![model]);
    for number in 0..4 {
        let value = if number % 2 == 0 { WRONG } else { 5.0 };
        let (code, values, computed) = ask(&mut handle, number, value);
        match number % 2 {
            0 => assert_eq!((code, computed), (FAILED, None)),
            _ => {
                assert_eq!((code, values), (OK, vec![10.0, 2.0]));
                assert_eq!(computed.expect("it was computed").used, "cuda");
            }
        }
    }
    assert_eq!(*made.lock().expect("nobody panics with it"), 1, "it is made once");
}

#[test]
fn i5_5_whoever_killed_a_process_once_changes_no_provider() {
    // Its process ends in the third run; the row is run again, and fails no more.
    let mut runs = 0;
    let first = served(1, 2, move |input| {
        runs += 1;
        if runs == 3 { Err(BackendFailure::Ended("signal 9".to_owned())) } else { doubled(input) }
    });
    let device = OnDevice { inner: first.backend, canceller: Canceller::default() };
    let make = || Ok(served(1, 2, doubled).backend);
    let backend = Box::new(FallbackModel::new(Box::new(device), Box::new(make)));
    let mut handle = start(vec![ServedModel { backend, ..first }]);
    for number in 0..5 {
        let (code, _, computed) = ask(&mut handle, number, 1.0);
        assert_eq!((code, computed.expect("computed").used.as_str()), (OK, "cuda"), "{number}");
    }
    // One that always ends gives way: its row is answered all the same.
    let (model, _) =
        model(1, 0, || BackendFailure::Ended("signal 11".to_owned()), Canceller::default());
    let mut handle = start(vec![model]);
    let (code, values, computed) = ask(&mut handle, 0, 3.0);
    assert_eq!((code, values), (OK, vec![6.0, 2.0]));
    assert_eq!(computed.expect("computed").used, "cpu");
}

#[test]
fn i5_5_a_run_that_was_asked_to_stop_says_nothing_of_its_provider() {
    let canceller = Canceller::default();
    let stop = canceller.clone();
    let mut runs = 0;
    let first = served(1, 2, move |input| {
        runs += 1;
        if runs == 1 {
            stop.cancel();
            return Err(failed("it was stopped"));
        }
        doubled(input)
    });
    let device = OnDevice { inner: first.backend, canceller };
    let make = || -> Result<Box<dyn Backend>, String> { panic!("nothing is made") };
    let backend = Box::new(FallbackModel::new(Box::new(device), Box::new(make)));
    let mut handle = start(vec![ServedModel { backend, ..first }]);
    assert_ne!(ask(&mut handle, 0, 1.0).0, OK);
    let (code, _, computed) = ask(&mut handle, 1, 1.0);
    assert_eq!((code, computed.expect("computed").used.as_str()), (OK, "cuda"));
}

#[test]
fn i5_5_a_processor_that_cannot_have_the_model_leaves_the_failure() {
    let others: [MakeProcessor; 2] = [
        || Err("no memory".to_owned()),
        // It declares other outputs.
        || Ok(served(1, 3, |_| Ok(vec![0.0; 3])).backend),
    ];
    for other in others {
        let first = served(1, 2, |_| Err(lost()));
        let device = OnDevice { inner: first.backend, canceller: Canceller::default() };
        let mut tries = 0;
        let make = move || {
            tries += 1;
            assert_eq!(tries, 1, "it is tried once");
            other()
        };
        let backend = Box::new(FallbackModel::new(Box::new(device), Box::new(make)));
        let mut handle = start(vec![ServedModel { backend, ..first }]);
        for number in 0..3 {
            assert_eq!(ask(&mut handle, number, 1.0).0, FAILED);
        }
    }
}
