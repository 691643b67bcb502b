//! The process of a model: loads one, runs it on what arrives, until its kernel is gone.

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};

use rustix::process::{Resource, Rlimit};

use crate::backend::Backend;
use crate::external_file::ExternalFile;
use crate::interrupt::Interrupter;
use crate::isolated::wire::{self, FrameHead, Ready, Start, TEXT_MAX, invalid, kind};
use crate::list_buffer::ListBuffer;
use crate::onnx::{self, ModelSource, OnnxModel};
use crate::scan::Surroundings;

/// A frame of the kernel, or what was wrong with it.
type Arrived = io::Result<(FrameHead, Vec<u8>)>;

/// Serves the kernel that started this process over standard input and output, with one model. It
/// does not come back from the end of its input: the process is killed there and then.
///
/// # Errors
/// Input that is not of a kernel, pipes and threads that cannot be had.
pub fn serve() -> io::Result<()> {
    // What a library prints must not get among the answers.
    let mut answers = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    // Its end by a signal is nothing unheard of: a dump for each would fill a folder of the user's.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)?;
    let (sender, frames) = mpsc::channel();
    let (spare, used) = mpsc::channel();
    std::thread::Builder::new()
        .name("we-kernel".to_owned())
        .spawn(move || read_frames(&sender, &used))?;
    let Some(mut model) = start(&frames, &mut answers)? else { return Ok(()) };
    let (mut request, mut reply) = (ListBuffer::default(), ListBuffer::default());
    loop {
        let (head, payload) = next(&frames)?;
        if head.kind != kind::RUN {
            return Err(invalid("this is no request"));
        }
        request.set(&payload);
        // The reader makes a new one if this one does not arrive.
        let _ = spare.send(payload);
        match model.run(request.bytes(), &mut reply) {
            Ok(()) => wire::write(&mut answers, (kind::REPLY, 0, 0), &[reply.bytes()])?,
            Err(error) => text(&mut answers, kind::FAILED, 0, &error.to_string())?,
        }
    }
}

/// Reads what the kernel sends; its end is the end of this process.
fn read_frames(sender: &Sender<Arrived>, used: &Receiver<Vec<u8>>) {
    let mut input = io::stdin().lock();
    let mut one = || -> Arrived {
        let head = wire::read_head(&mut input)?;
        let mut payload = used.try_recv().unwrap_or_default();
        wire::read_payload(&mut input, head.len, &mut payload)?;
        Ok((head, payload))
    };
    // Whoever waits for the first frame is in no model: it ends by itself, and can say why.
    let first = one();
    let began = first.is_ok();
    if sender.send(first).is_err() || !began {
        return;
    }
    while let Ok(frame) = one() {
        if sender.send(Ok(frame)).is_err() {
            break;
        }
    }
    // What came cannot be understood, or nothing comes any more.
    end();
}

/// Ends this process at once: the model may be in the middle of anything, so nothing is torn down.
fn end() -> ! {
    // Should that not be allowed, the abort ends it as well.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

fn next(frames: &Receiver<Arrived>) -> Arrived {
    frames.recv().unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()))
}

/// Loads the model of the first frame and answers; without a model if it cannot be used.
fn start(frames: &Receiver<Arrived>, answers: &mut File) -> io::Result<Option<OnnxModel>> {
    let (FrameHead { kind: what, a: json_len, .. }, payload) = next(frames)?;
    let json_len = usize::try_from(json_len).ok().filter(|_| what == kind::START);
    let parts = json_len.and_then(|len| payload.split_at_checked(len));
    let Some((json, bytes)) = parts else { return Err(invalid("it does not begin with a model")) };
    let wanted: Start = serde_json::from_slice(json)?;
    let external = external(&wanted, frames)?;
    match load(&wanted, bytes, &external) {
        Ok(model) => {
            let ready = Ready {
                ports: model.ports().clone(),
                fingerprint: model.describe(),
                mixing: model.mixing().map(str::to_owned),
                providers: model.providers(),
            };
            wire::write(answers, (kind::READY, 0, 0), &[&serde_json::to_vec(&ready)?])?;
            Ok(Some(model))
        }
        Err((code, why)) => {
            text(answers, kind::REFUSED, code, &why)?;
            Ok(None)
        }
    }
}

/// The files that follow the first frame.
fn external(wanted: &Start, frames: &Receiver<Arrived>) -> io::Result<Vec<ExternalFile>> {
    let one = |name: &String| match next(frames)? {
        (FrameHead { kind: kind::FILE, .. }, bytes) => {
            Ok(ExternalFile { name: name.clone(), bytes: bytes.into() })
        }
        _ => Err(invalid("a file of the model is missing")),
    };
    wanted.files.iter().map(one).collect()
}

/// The model, or an exit code and why not.
fn load(
    wanted: &Start,
    bytes: &[u8],
    external: &[ExternalFile],
) -> Result<OnnxModel, (u64, String)> {
    let Start { name, outputs, providers, .. } = wanted;
    onnx::locate_library(None)
        .and_then(|library| onnx::init(&library))
        .map_err(|error| (1, format!("model {name} cannot be run: {error}")))?;
    let outputs = outputs.as_deref();
    let source = ModelSource { name, bytes, external, outputs, providers };
    OnnxModel::new(source, Surroundings::Own, &Interrupter::default())
        .map_err(|error| (5, error.to_string()))
}

/// Answers with a text, cut to what fits.
fn text(answers: &mut File, what: u64, code: u64, text: &str) -> io::Result<()> {
    let end = text.floor_char_boundary(TEXT_MAX);
    wire::write(answers, (what, code, 0), &[&text.as_bytes()[..end]])
}
