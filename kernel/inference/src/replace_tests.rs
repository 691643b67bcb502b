//! A model that still runs when another takes its place: whoever ends the run, or finds that its
//! request is late, stops that one too.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::interrupt::Canceller;
use crate::tests::{OK, answer, limits, options, served, start_within, submit};
use crate::{
    Backend, BackendFailure, InferenceHandle, InferenceOptions, Interrupter, ListBuffer,
    ModelPorts, ServedModel,
};
use wasm_engine_abi::calls::Status;

/// A model that runs until it is stopped.
struct Endless {
    ports: ModelPorts,
    interrupter: Interrupter,
    canceller: Canceller,
    started: Sender<()>,
    stop: Receiver<&'static str>,
    /// By what it was stopped.
    stopped: Sender<&'static str>,
}

impl Backend for Endless {
    fn ports(&self) -> &ModelPorts {
        &self.ports
    }
    fn run(&mut self, _: &[u8], _: &mut ListBuffer) -> Result<(), BackendFailure> {
        self.started.send(()).expect("the test waits for it");
        let by = self.stop.recv().expect("what stops it is not dropped before it");
        // The test may be over.
        let _ = self.stopped.send(by);
        Err(BackendFailure::Failed("it was stopped".to_owned()))
    }
    fn describe(&self) -> String {
        "endless".to_owned()
    }
    fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
    fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }
}

/// One, whether it started, and by what it was stopped.
fn endless() -> (Box<Endless>, Receiver<()>, Receiver<&'static str>) {
    let (started, has_started) = channel();
    let (stopper, stop) = channel();
    let (stopped, was_stopped) = channel();
    let interrupter = Interrupter::default();
    let sender = stopper.clone();
    interrupter.add(move || {
        let _ = sender.send("interrupter");
    });
    let canceller = Canceller::new(move || {
        let _ = stopper.send("canceller");
    });
    let ports = doubling().backend.ports().clone();
    let model = Endless { ports, interrupter, canceller, started, stop, stopped };
    (Box::new(model), has_started, was_stopped)
}

fn doubling() -> ServedModel {
    served(1, 2, |input| Ok(input.iter().map(|value| value * 2.0).collect()))
}

fn start(deadline_ns: Option<u64>, options: InferenceOptions) -> InferenceHandle {
    let model = ServedModel { deadline_ns, ..doubling() };
    let limits = limits(std::slice::from_ref(&model.setup));
    start_within(vec![model], &limits, options)
}

#[test]
fn i3_4_the_end_of_a_run_stops_a_model_that_runs_although_another_replaced_it() {
    let mut handle = start(None, options());
    let (model, has_started, was_stopped) = endless();
    handle.install(0, model).expect("is taken");
    submit(&mut handle, 0, 0, [1.0, 2.0]);
    has_started.recv().expect("it runs");
    for _ in 0..3 {
        handle.install(0, doubling().backend).expect("is taken");
    }
    drop(handle);
    assert_eq!(was_stopped.recv(), Ok("interrupter"));
}

#[test]
fn i4_1_a_late_request_stops_the_model_that_has_it_and_not_the_next_one() {
    // The test's own time, so that nothing is late by accident.
    static NOW: Mutex<u64> = Mutex::new(0);
    let clock = || *NOW.lock().expect("nobody panics with it");
    let mut handle = start(Some(1000), InferenceOptions { clock, ..options() });
    let (model, has_started, was_stopped) = endless();
    handle.install(0, model).expect("is taken");
    submit(&mut handle, 0, 0, [1.0, 2.0]);
    has_started.recv().expect("it runs");
    handle.install(0, doubling().backend).expect("is taken");
    submit(&mut handle, 1, 0, [3.0, 4.0]);
    assert!(!handle.is_ready(0).expect("is outstanding"));
    *NOW.lock().expect("nobody panics with it") = 1001;
    assert_eq!(answer(&mut handle, 0).0, Status::Late as i32);
    assert_eq!(was_stopped.recv(), Ok("canceller"));
    // It waited behind the one that was late, and has its time from there.
    assert_eq!(answer(&mut handle, 1), (OK, vec![6.0, 8.0]));
}

#[test]
fn i3_4_what_stops_a_model_goes_with_it() {
    let mut handle = start(None, options());
    for number in 0..50 {
        handle.install(0, endless().0).expect("is taken");
        handle.install(0, doubling().backend).expect("is taken");
        submit(&mut handle, number, 0, [1.0, 2.0]);
        assert_eq!(answer(&mut handle, number), (OK, vec![2.0, 4.0]));
    }
    assert!(handle.interrupters.len() <= 3, "{} are kept", handle.interrupters.len());
}
