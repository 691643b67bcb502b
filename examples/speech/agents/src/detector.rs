//! The detector: asks the model about each window and keeps its state in between.
//!
//! A window is 1,024 bytes: 512 samples of 16 bits, little-endian. One that is shorter is the last
//! of its stream, and may have no samples at all. The reply to the window before arrives in the
//! same tick as the next window and before it, so that its state is known by then.

use wasm_engine_agent::{Agent, Code, Host, Init, Item, Kind, Model, Seq, Topic, bytemuck};

use crate::code;
use crate::ear::{Ear, Ports, REQUEST_BYTES, WINDOW};
use crate::heard::Heard;
use crate::stream::Stream;

/// The agent.
#[derive(Debug)]
pub struct Detector {
    audio: Topic,
    probabilities: Topic,
    model: Model,
    ear: Ear,
    /// The window that the model is asked about.
    asked: Option<(Seq, Heard)>,
    /// Samples that came.
    samples: u64,
}

impl Agent for Detector {
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let stream = Stream::from_args(init)?;
        let audio = stream.topic("audio", host)?;
        host.subscribe(audio)?;
        let model = host.model("speech")?;
        let ports = Ports {
            input: host.model_input(model, "input")?,
            state: host.model_input(model, "state")?,
            rate: host.model_input(model, "sr")?,
            probability: host.model_output(model, "output")?,
            next: host.model_output(model, "stateN")?,
        };
        let probabilities = stream.topic("probability", host)?;
        let ear = Ear::new(ports);
        Ok(Self { audio, probabilities, model, ear, asked: None, samples: 0 })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        match item.kind() {
            Kind::Input { topic, .. } if topic == self.audio => self.window(item, host),
            Kind::Reply { request, result, .. } => {
                // A reply to an earlier incarnation's request is not waited for.
                let Some((_, heard)) = self.asked.take_if(|(seq, _)| *seq == request) else {
                    return Ok(());
                };
                let reply = result.ok().and_then(|()| item.tensors());
                let probability = reply.and_then(|reply| self.ear.learn(reply));
                let heard = Heard { probability: probability.unwrap_or(0.0), ..heard };
                host.publish(self.probabilities, bytemuck::bytes_of(&heard))?;
                if probability.is_some() { Ok(()) } else { Err(code::NO_ANSWER) }
            }
            _ => Ok(()),
        }
    }
}

impl Detector {
    fn window(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        let window = item.i16s();
        if window.len() > WINDOW || !item.payload().len().is_multiple_of(2) {
            return Err(code::BAD_PAYLOAD);
        }
        if self.asked.is_some() {
            return Err(code::TOO_SOON);
        }
        let samples = window.len() as u32;
        let heard = Heard { start: self.samples, samples, probability: 0.0 };
        self.samples += u64::from(samples);
        if samples == 0 {
            host.publish(self.probabilities, bytemuck::bytes_of(&heard))?;
            return Ok(());
        }
        self.ear.hear(window);
        let mut bytes = [0; REQUEST_BYTES];
        let len = self.ear.request(&mut bytes)?;
        self.asked = Some((host.infer_tensors(self.model, &bytes[..len])?, heard));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use wasm_engine_agent::recording::Call;
    use wasm_engine_agent::{Context, ItemHeader, Status, frame};

    use super::*;
    use crate::ear::STATE;
    use wasm_engine_agent::tensor::{TensorList, TensorWriter};

    fn give(detector: &mut Detector, window: &[u8], host: &mut Host) -> Result<(), Code> {
        let (kind, topic) = (frame::item::INPUT, detector.audio.raw());
        let header = ItemHeader { kind, topic, ..ItemHeader::default() };
        detector.receive(&Item::new(header, window), host)
    }

    fn reply(detector: &mut Detector, list: &[u8], code: i32, host: &mut Host) -> Result<(), Code> {
        let request = detector.asked.expect("it was asked").0.raw();
        let kind = frame::item::REPLY;
        let header = ItemHeader { kind, request, code, ..ItemHeader::default() };
        detector.receive(&Item::new(header, list), host)
    }

    fn heard(call: &Call) -> Heard {
        let Call::Publish { topic, payload } = call else { panic!("{call:?}") };
        assert_eq!(topic, "probability/one");
        bytemuck::pod_read_unaligned(payload)
    }

    #[test]
    fn each_window_is_asked_about_with_the_state_of_the_one_before() {
        let mut host = Host::recording();
        let init = Init::new(Context::default(), b"one");
        let mut detector = Detector::init(&init, &mut host).expect("all is there");
        host.take();
        assert_eq!(give(&mut detector, &[1; 1024], &mut host), Ok(()));
        let mut words = [0_u64; 256];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut list = TensorWriter::over(bytes).expect("room");
        list.tensor(0, &[1, 1], &[0.625_f32]).expect("room");
        list.tensor(1, &[2, 1, 128], &[0.5_f32; STATE]).expect("room");
        let len = list.finish();
        assert_eq!(reply(&mut detector, &bytes[..len], 0, &mut host), Ok(()));
        assert_eq!(give(&mut detector, &[0; 600], &mut host), Ok(()));
        assert_eq!(give(&mut detector, &[], &mut host), Err(code::TOO_SOON));
        let failed = Status::ModelFailed as i32;
        assert_eq!(reply(&mut detector, &[], failed, &mut host), Err(code::NO_ANSWER));
        assert_eq!(give(&mut detector, &[], &mut host), Ok(()));
        assert_eq!(give(&mut detector, &[0; 3], &mut host), Err(code::BAD_PAYLOAD));
        assert_eq!(give(&mut detector, &[0; 1026], &mut host), Err(code::BAD_PAYLOAD));
        let calls: Vec<Call> = host.take().into_iter().map(|recorded| recorded.call).collect();
        assert_eq!(calls.len(), 5);
        assert_eq!(heard(&calls[1]), Heard { start: 0, samples: 512, probability: 0.625 });
        assert_eq!(heard(&calls[3]), Heard { start: 512, samples: 300, probability: 0.0 });
        assert_eq!(heard(&calls[4]), Heard { start: 812, samples: 0, probability: 0.0 });
        for (call, state) in [(&calls[0], 0.0), (&calls[2], 0.5)] {
            let Call::InferTensors { model, list } = call else { panic!("{call:?}") };
            assert_eq!(model, "speech");
            let list = TensorList::parse(list).expect("a list");
            assert_eq!(list.port(1).and_then(|value| value.get::<f32>(255)), Some(state));
        }
    }
}
