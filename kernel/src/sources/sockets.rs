//! Sockets of this user's processes, without waiting: listened at, written to, waited for together.

use std::{
    fs::{self, File, Permissions},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg},
};
use wasm_engine_shm::rendezvous::lock_socket;

use crate::sources::port::ListenError;

/// Connections taken at a time: the others wait in the system's queue.
const ACCEPTS_MAX: u32 = 16;

/// A location at which a source listens. It is this kernel's until it is dropped.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    listener: UnixListener,
    path: PathBuf,
    /// Locked as long as it listens.
    _lock: File,
}

impl Rendezvous {
    /// Listens at `path` for source `id`.
    pub(crate) fn open(id: &str, path: &Path) -> Result<Self, ListenError> {
        let location = |source| ListenError::Location { id: id.to_owned(), source };
        let lock = lock_socket(path).map_err(location)?;
        let open = || {
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = open().map_err(ListenError::socket(id, path))?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }

    /// Connections of this user that wait, some of them; others are turned away.
    pub(crate) fn accept(&self) -> Vec<UnixStream> {
        let mut accepted = Vec::new();
        for _ in 0..ACCEPTS_MAX {
            // Of a connection that is gone again the system says so, once.
            match self.listener.accept() {
                Ok((stream, _)) if is_own(&stream) && stream.set_nonblocking(true).is_ok() => {
                    accepted.push(stream);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        accepted
    }
}

impl AsFd for Rendezvous {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        // What is left where this fails is replaced by the next one.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the other end is of this user, or of the one who may do everything.
#[cfg(target_os = "linux")]
fn is_own(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid() || peer.uid.is_root())
}

/// The file's permissions decide here.
#[cfg(not(target_os = "linux"))]
fn is_own(_stream: &UnixStream) -> bool {
    true
}

/// How to send: a reader that is gone is an error, and no signal.
fn quietly() -> SendFlags {
    #[cfg(not(target_vendor = "apple"))]
    return SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    #[cfg(target_vendor = "apple")]
    SendFlags::DONTWAIT
}

/// Writes what there is room for.
pub(crate) fn send_some(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(stream, bytes, quietly())?)
}

/// Wakes whoever waits at the other end. Where the buffer is full it is awake, or does not read.
pub(crate) fn wake(stream: &UnixStream) {
    let _ = send_some(stream, &[0]);
}

/// Sends a message and the descriptor of a file, in one.
pub(crate) fn send_file(stream: &UnixStream, bytes: &[u8], file: &File) -> io::Result<()> {
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("a message has no room for a descriptor"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, quietly())?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Waits until one of the sockets has something, at most for `time`.
pub(crate) fn wait(sockets: &[BorrowedFd<'_>], time: Duration) {
    let mut polled: Vec<PollFd<'_>> =
        sockets.iter().map(|socket| PollFd::from_borrowed_fd(*socket, PollFlags::IN)).collect();
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // Interrupted, refused or over: the caller looks at everything.
    let _ = poll(&mut polled, Some(&time));
}
