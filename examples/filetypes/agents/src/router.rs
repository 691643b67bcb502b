//! The router: asks the model about each file and sends it to the collector of its group.
//!
//! Files that are empty or too short are sorted at once; of the others the router remembers name
//! and length until the model's reply, one tick later.

use wasm_engine_agent::tensor::{TensorWriter, list_bytes};
use wasm_engine_agent::{
    Agent, Code, FilePart, Host, Init, Item, Kind, Level, Model, Pending, Seq, Status, Text, Topic,
};

use crate::code;
use crate::decision::{Guess, generic};
use crate::features::{BLOCK, FEATURES, Sight};
use crate::groups::Group;
use crate::kinds::EMPTY;
use crate::sorted::{BYTES_MAX, NAME_BYTES_MAX, Sorted};

/// Requests that may be outstanding: files of one tick.
pub const OUTSTANDING: usize = 16;
/// The request: one `int32` tensor of `[1, 2048]`.
const REQUEST_BYTES: usize = list_bytes(&[(2, 4 * FEATURES as u64)]);

/// What is remembered of a file while the model is asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    name: Text<NAME_BYTES_MAX>,
    len: u64,
}

/// The agent.
#[derive(Debug)]
pub struct Router {
    files: Topic,
    sorted: [Topic; Group::ALL.len()],
    model: Model,
    bytes: u32,
    scores: u32,
    asked: Pending<Asked, OUTSTANDING>,
}

impl Agent for Router {
    fn init(_init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
        let files = host.topic("file")?;
        host.subscribe(files)?;
        let mut sorted = [files; Group::ALL.len()];
        for group in Group::ALL {
            let mut name = Text::<32>::new();
            name.str("sorted/").str(group.name());
            sorted[group as usize] = host.topic(name.as_str())?;
        }
        let model = host.model("filetype")?;
        let bytes = host.model_input(model, "bytes")?;
        let scores = host.model_output(model, "target_label")?;
        Ok(Self { files, sorted, model, bytes, scores, asked: Pending::new() })
    }

    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
        match item.kind() {
            Kind::Input { topic, .. } if topic == self.files => {
                self.file(&item.file().ok_or(code::BAD_PAYLOAD)?, host)
            }
            Kind::Reply { request, result, .. } => self.answer(request, result, item, host),
            _ => Ok(()),
        }
    }
}

impl Router {
    fn file(&mut self, file: &FilePart<'_>, host: &mut Host) -> Result<(), Code> {
        // Both blocks, or the whole file: anything less is not what the model was trained on.
        let block = file.len.min(BLOCK as u64);
        if file.head.len() as u64 != block || file.tail.len() as u64 != block {
            return Err(code::BAD_PAYLOAD);
        }
        let name = core::str::from_utf8(file.name).unwrap_or("?");
        let kind = match Sight::of(file) {
            Sight::Empty => EMPTY,
            Sight::Short { is_text } => generic(is_text),
            Sight::Long(features) => return self.ask(name, file.len, &features, host),
        };
        self.send(&Sorted { name, len: file.len, kind, model: None }, host)
    }

    fn ask(
        &mut self,
        name: &str,
        len: u64,
        features: &[i32; FEATURES],
        host: &mut Host,
    ) -> Result<(), Code> {
        if self.asked.is_full() {
            return Err(code::TOO_MANY);
        }
        let mut bytes = [0; REQUEST_BYTES];
        let mut list = TensorWriter::over(&mut bytes)?;
        list.tensor(self.bytes, &[1, FEATURES as u64], features)?;
        let list = list.finish();
        let request = host.infer_tensors(self.model, &bytes[..list])?;
        let mut kept = Text::new();
        kept.str(name);
        let asked = Asked { name: kept, len };
        self.asked.insert(request, asked).map_err(|_| code::TOO_MANY)
    }

    fn answer(
        &mut self,
        request: Seq,
        result: Result<(), Status>,
        item: &Item<'_>,
        host: &mut Host,
    ) -> Result<(), Code> {
        // A reply to an earlier incarnation's request is not among them.
        let Some(Asked { name, len }) = self.asked.take(request) else { return Ok(()) };
        let scores = || item.tensors()?.port(self.scores)?.as_slice::<f32>();
        let Some(guess) = result.ok().and_then(|()| Guess::best(scores()?)) else {
            let mut line = Text::<320>::new();
            line.str(name.as_str()).str(": the model gave no answer");
            // A line that is refused is no reason to stop.
            let _ = host.log(Level::Warn, line.as_str());
            return Err(code::NO_ANSWER);
        };
        let model = Some((guess.kind, guess.score));
        self.send(&Sorted { name: name.as_str(), len, kind: guess.decide(), model }, host)
    }

    fn send(&self, file: &Sorted<'_>, host: &mut Host) -> Result<(), Code> {
        let topic = self.sorted[file.kind().group as usize];
        host.publish(topic, file.write(&mut [0; BYTES_MAX]))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use wasm_engine_agent::recording::Call;
    use wasm_engine_agent::tensor::TensorList;
    use wasm_engine_agent::{Context, ItemHeader, bytemuck, frame};

    use super::*;
    use crate::kinds::{KINDS, OF_MODEL, TXT};

    /// Topics in the order in which the router asks for them: `file`, then one for each group.
    const FILE: u32 = 0;

    fn router(host: &mut Host) -> Router {
        let router = Router::init(&Init::new(Context::default(), b""), host).expect("all is there");
        host.take();
        router
    }

    fn input(name: &str, content: &[u8]) -> Vec<u8> {
        let block = content.len().min(BLOCK);
        let words = [block, block, name.len(), 0].map(|word| word as u32);
        let mut bytes = (content.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(bytemuck::cast_slice(&words));
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(&content[..block]);
        bytes.extend_from_slice(&content[content.len() - block..]);
        bytes
    }

    fn give(router: &mut Router, content: &[u8], host: &mut Host) -> Result<(), Code> {
        let header = ItemHeader { kind: frame::item::INPUT, topic: FILE, ..ItemHeader::default() };
        router.receive(&Item::new(header, &input("some file", content)), host)
    }

    fn reply(router: &mut Router, request: Seq, scores: &[f32], code: i32, host: &mut Host) {
        let mut words = [0_u64; 128];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut list = TensorWriter::over(bytes).expect("room");
        list.tensor(0, &[1, scores.len() as u64], scores).expect("room");
        let len = list.finish();
        let header = ItemHeader {
            kind: frame::item::REPLY,
            request: request.raw(),
            code,
            ..ItemHeader::default()
        };
        let _ = router.receive(&Item::new(header, &bytes[..len]), host);
    }

    #[test]
    fn a_file_is_asked_about_and_sent_to_its_group() {
        let mut host = Host::recording();
        let mut router = router(&mut host);
        assert_eq!(give(&mut router, b"fn main() {}", &mut host), Ok(()));
        let calls = host.take();
        let [Call::InferTensors { model, list }] = &[calls[0].call.clone()] else {
            panic!("{calls:?}")
        };
        assert_eq!((model.as_str(), list.len()), ("filetype", REQUEST_BYTES));
        let list = TensorList::parse(list).expect("a list");
        let value = list.port(0).expect("the model's input");
        assert!(value.dims().eq([1, 2048]));
        assert_eq!((value.get::<i32>(0), value.get::<i32>(12)), (Some(102), Some(256)));
        let rust = KINDS.iter().position(|kind| kind.label == "rust").expect("a label");
        let mut scores = [0.0; OF_MODEL];
        scores[rust] = 0.75;
        reply(&mut router, calls[0].seq, &scores, 0, &mut host);
        // The same reply again belongs to nothing.
        reply(&mut router, calls[0].seq, &scores, 0, &mut host);
        let calls = host.take();
        assert_eq!(calls.len(), 1);
        let Call::Publish { topic, payload } = &calls[0].call else { panic!("{calls:?}") };
        let file = Sorted::read(payload).expect("a file");
        assert_eq!((topic.as_str(), file.name, file.len), ("sorted/code", "some file", 12));
        assert_eq!((file.kind as usize, file.model), (rust, Some((rust as u16, 0.75))));
    }

    #[test]
    fn what_is_too_short_is_sorted_without_the_model() {
        let mut host = Host::recording();
        let mut router = router(&mut host);
        for (content, topic, kind) in
            [(&b""[..], "sorted/inode", EMPTY), (b"so few", "sorted/text", TXT)]
        {
            assert_eq!(give(&mut router, content, &mut host), Ok(()));
            let calls = host.take();
            let [Call::Publish { topic: to, payload }] = &[calls[0].call.clone()] else {
                panic!("{calls:?}")
            };
            let file = Sorted::read(payload).expect("a file");
            assert_eq!((to.as_str(), file.kind, file.model), (topic, kind, None));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_left_out_with_a_code() {
        let mut host = Host::recording();
        let mut router = router(&mut host);
        for _ in 0..OUTSTANDING {
            assert_eq!(give(&mut router, b"fn main() {}", &mut host), Ok(()));
        }
        assert_eq!(give(&mut router, b"fn main() {}", &mut host), Err(code::TOO_MANY));
        let calls = host.take();
        // Too few scores, and a model that failed.
        reply(&mut router, calls[0].seq, &[1.0], 0, &mut host);
        reply(&mut router, calls[1].seq, &[], Status::ModelFailed as i32, &mut host);
        let logged = host.take();
        assert!(logged.iter().all(|it| matches!(it.call, Call::Log { .. })) && logged.len() == 2);
        // Less than a block of a longer file.
        let mut bytes = input("f", &[65; 5000]);
        bytes[8] = 255;
        let header = ItemHeader { kind: frame::item::INPUT, topic: FILE, ..ItemHeader::default() };
        let refused = router.receive(&Item::new(header, &bytes), &mut host);
        assert_eq!(refused, Err(code::BAD_PAYLOAD));
    }
}
