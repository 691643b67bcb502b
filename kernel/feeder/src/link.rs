//! One connection to a kernel: its socket and the memory that it handed over.

use std::{
    fs::File,
    io::{self, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

use bytemuck::{Zeroable, bytes_of, bytes_of_mut};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send},
};
use wasm_engine_abi::feed::{FEED_MAGIC, FEED_VERSION, FeedHello, FeedRefusal, FeedRequest};
use wasm_engine_shm::feed::FeedGiver;

use crate::error::FeedError;

/// How long a kernel may take to answer: it looks at its sockets between ticks.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a kernel has said of its source.
#[derive(Clone, Debug, Default)]
pub(crate) struct FeedKernel {
    pub(crate) run_id: [u8; 16],
    pub(crate) keys: Vec<String>,
    pub(crate) next_seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) payload_bytes_max: u32,
    pub(crate) has_log: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    pub(crate) memory: FeedGiver,
}

impl Link {
    pub(crate) fn open(path: &Path) -> Result<(Self, FeedKernel), FeedError> {
        let gone = |source| FeedError::Gone { path: path.to_owned(), source };
        let answer = || FeedError::Answer { path: path.to_owned() };
        let mut stream = UnixStream::connect(path).map_err(gone)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(gone)?;
        stream.write_all(bytes_of(&FeedRequest::THIS)).map_err(gone)?;
        let (hello, file) = receive(&mut stream).map_err(gone)?;
        if hello.magic != FEED_MAGIC {
            return Err(answer());
        }
        if hello.code != 0 {
            let refusal = FeedRefusal::from_code(hello.code);
            return Err(refusal.map_or_else(answer, FeedError::Refused));
        }
        let (Some(file), FEED_VERSION) = (file, hello.version) else { return Err(answer()) };
        let bytes = |bytes: u64| usize::try_from(bytes).map_err(|_| answer());
        let (ring_bytes, keys_bytes) = (bytes(hello.ring_bytes)?, bytes(hello.keys_bytes)?);
        let (memory, keys) = FeedGiver::join(File::from(file), ring_bytes, keys_bytes)?;
        stream.set_nonblocking(true).map_err(gone)?;
        let keys = String::from_utf8(keys).map_err(|_| answer())?;
        let kernel = FeedKernel {
            run_id: hello.run_id,
            keys: keys.lines().map(str::to_owned).collect(),
            next_seq: hello.next_seq,
            durable_seq: hello.durable_seq,
            payload_bytes_max: hello.payload_bytes_max,
            has_log: hello.has_log != 0,
        };
        Ok((Self { stream, memory }, kernel))
    }

    /// Makes records visible, and wakes a kernel that sleeps.
    #[inline]
    pub(crate) fn publish(&mut self) {
        self.memory.ring.publish();
        if self.memory.wake.finds_sleeper() {
            // A kernel that is gone is found at the next wait.
            let _ = send(&self.stream, &[0], flags());
        }
    }

    /// How many are durable and accepted.
    pub(crate) fn read(&self) -> (u64, u64) {
        let durable = self.memory.acks.durable();
        (durable, self.memory.acks.accepted())
    }

    /// Whether the kernel has ended the run in order.
    pub(crate) fn has_ended(&self) -> bool {
        self.memory.acks.has_ended()
    }

    /// Waits until the kernel has done something beyond what is `known`, at most for `time`;
    /// whether its end of the socket is open.
    pub(crate) fn wait(&mut self, time: Duration, known: (u64, u64)) -> bool {
        let FeedGiver { acks, sleep, .. } = &mut self.memory;
        let news = sleep.begin_sleep(|| {
            let now = (acks.durable(), acks.accepted());
            now.0 > known.0 || now.1 > known.1
        });
        if !news {
            let mut polled = [PollFd::new(&self.stream, PollFlags::IN)];
            let time = Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(time.subsec_nanos()),
            };
            // Interrupted or over: the caller looks again.
            let _ = poll(&mut polled, Some(&time));
        }
        self.memory.sleep.end_sleep();
        let mut bytes = [0; 64];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }
}

fn flags() -> SendFlags {
    #[cfg(not(target_vendor = "apple"))]
    return SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    #[cfg(target_vendor = "apple")]
    SendFlags::DONTWAIT
}

/// The kernel's answer, and the descriptor that came with it.
fn receive(stream: &mut UnixStream) -> io::Result<(FeedHello, Option<OwnedFd>)> {
    let mut hello = FeedHello::zeroed();
    let bytes = bytes_of_mut(&mut hello);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let cloexec = {
        #[cfg(not(target_vendor = "apple"))]
        {
            RecvFlags::CMSG_CLOEXEC
        }
        #[cfg(target_vendor = "apple")]
        {
            RecvFlags::empty()
        }
    };
    let got = recvmsg(&*stream, &mut [IoSliceMut::new(bytes)], &mut ancillary, cloexec)?.bytes;
    let file = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    if got == 0 {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    stream.read_exact(&mut bytes[got..])?;
    Ok((hello, file))
}
