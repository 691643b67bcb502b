//! Rings between two processes: ours in one shared mapping, iceoryx2's publish-subscribe.
//!
//! The second process is a fork of this one that shares the mapping and echoes what it is sent.
//! Each is pinned to a core of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{NodeBuilder, ZeroCopySend, ipc};
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use wasm_engine_benches::measure::pin;
use wasm_engine_benches::rings::{ReceiveMany, SendMany, ask, capacity, echo, message};
use wasm_engine_shm::mem::{Mem, RawMem};
use wasm_engine_shm::{bytes, cell, map::Map};

/// Longest wait for the second process to listen, or to end.
const START: Duration = Duration::from_secs(10);

/// A process that ends by itself, and is killed if it does not.
struct Child(libc::pid_t);

impl Drop for Child {
    fn drop(&mut self) {
        let (start, mut status) = (Instant::now(), 0);
        // SAFETY: the process is our own child, not yet waited for; `status` outlives the call.
        while unsafe { libc::waitpid(self.0, &mut status, libc::WNOHANG) } == 0 {
            if start.elapsed() > START {
                // SAFETY: as above.
                unsafe { libc::kill(self.0, libc::SIGKILL) };
            }
            std::thread::yield_now();
        }
    }
}

/// Runs `part` in a second process, pinned to the other core.
fn fork(part: impl FnOnce()) -> Child {
    // SAFETY: no other thread of this program runs now: all benchmarks join theirs.
    match unsafe { libc::fork() } {
        0 => {
            pin(1);
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(part));
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        pid => {
            assert!(pid > 0, "the system gives no second process");
            Child(pid)
        }
    }
}

/// Two rings, there and back, in one mapping that a fork shares.
struct Shared {
    _map: Map,
    blocks: [[RawMem; 2]; 2],
}

impl Shared {
    fn new(lens: [usize; 2]) -> Self {
        let each: usize = lens.iter().map(|len| len.next_multiple_of(128)).sum();
        let map = Map::memfd("rivals", 2 * each as u64).expect("the system gives some memory");
        let block = |at: usize, len| map.mem().slice(at, len).expect("it was sized for it");
        let ring =
            |at: usize| [block(at, lens[0]), block(at + lens[0].next_multiple_of(128), lens[1])];
        let blocks = [ring(0), ring(each)];
        Self { _map: map, blocks }
    }
}

/// Round trips of our `bytes` rings between two processes, in ns.
pub fn our_bytes<const N: usize>(rounds: usize) -> Vec<f64> {
    let shape = bytes::layout((capacity::<N>() * N).next_power_of_two()).expect("a power of two");
    let shared = Shared::new([shape.producer_len, shape.consumer_len]);
    let producer = |[p, c]: [RawMem; 2]| bytes::Producer::new(p, c).expect("fresh memory");
    let consumer = |[p, c]: [RawMem; 2]| bytes::Consumer::new(p, c).expect("fresh memory");
    let [there, back] = shared.blocks.clone();
    let child = {
        let (there, back) = (there.clone(), back.clone());
        fork(move || echo::<N>(rounds, consumer(there), producer(back), || false))
    };
    let times = ask::<N>(rounds, producer(there), consumer(back));
    drop(child);
    times
}

/// Round trips of our `cell` rings between two processes, in ns; `N` is at most 56.
pub fn our_cells<const N: usize>(rounds: usize) -> Vec<f64> {
    let shape = cell::layout(1024).expect("a power of two");
    let shared = Shared::new([shape.sender_len, shape.receiver_len]);
    let sender = |[s, r]: [RawMem; 2]| cell::Sender::new(s, r).expect("fresh memory");
    let receiver = |[s, r]: [RawMem; 2]| cell::Receiver::new(s, r).expect("fresh memory");
    let [there, back] = shared.blocks.clone();
    let child = {
        let (there, back) = (there.clone(), back.clone());
        fork(move || echo::<N>(rounds, receiver(there), sender(back), || false))
    };
    let times = ask::<N>(rounds, sender(there), receiver(back));
    drop(child);
    times
}

/// A message as iceoryx2 wants it.
#[derive(Clone, Copy, Debug, ZeroCopySend)]
#[repr(C)]
struct Message<const N: usize>([u8; N]);

struct IceSender<const N: usize>(Publisher<ipc::Service, Message<N>, ()>);
struct IceReceiver<const N: usize>(Subscriber<ipc::Service, Message<N>, ()>);

impl<const N: usize> SendMany<N> for IceSender<N> {
    fn send(&mut self, first: u64, _: usize) -> usize {
        let sample = self.0.loan_uninit().expect("one message is on its way at a time");
        let sample = sample.write_payload(Message(message(first)));
        sample.send().expect("there is one subscriber")
    }
}

impl<const N: usize> ReceiveMany<N> for IceReceiver<N> {
    fn receive(&mut self, _: usize, each: &mut impl FnMut(&[u8])) -> usize {
        let sample = self.0.receive().expect("the publisher is there");
        sample.map_or(0, |sample| {
            each(&sample.0);
            1
        })
    }
}

type Service<const N: usize> = PortFactory<ipc::Service, Message<N>, ()>;

fn service<const N: usize>(
    node: &iceoryx2::node::Node<ipc::Service>,
    name: &str,
) -> Result<Service<N>, String> {
    let name = format!("wasm-engine-rivals/{name}/{N}");
    let name = name.as_str().try_into().map_err(|error| format!("{name}: {error:?}"))?;
    node.service_builder(&name)
        .publish_subscribe::<Message<N>>()
        .open_or_create()
        .map_err(|error| format!("iceoryx2: {error:?}"))
}

/// Its two ends of this process: `out` is where it writes.
fn ends<const N: usize>(out: &str, back: &str) -> Result<(IceSender<N>, IceReceiver<N>), String> {
    let node = NodeBuilder::new().create::<ipc::Service>();
    let node = node.map_err(|error| format!("iceoryx2: {error:?}"))?;
    let (out, back) = (service::<N>(&node, out)?, service::<N>(&node, back)?);
    let sender = out.publisher_builder().create().map_err(|error| format!("{error:?}"))?;
    let receiver = back.subscriber_builder().create().map_err(|error| format!("{error:?}"))?;
    Ok((IceSender(sender), IceReceiver(receiver)))
}

/// Round trips of iceoryx2's publish-subscribe between two processes, in ns, with its defaults.
pub fn iceoryx2<const N: usize>(rounds: usize) -> Result<Vec<f64>, String> {
    // Names of their own: what a former run left under a name would be counted as a receiver.
    static RUN: AtomicU64 = AtomicU64::new(0);
    let id = format!("{}-{}", std::process::id(), RUN.fetch_add(1, Ordering::Relaxed));
    let (there, back) = (format!("there-{id}"), format!("back-{id}"));
    let child = {
        let (there, back) = (there.clone(), back.clone());
        fork(move || match ends::<N>(&back, &there) {
            Ok((to, from)) => echo::<N>(rounds, from, to, || false),
            Err(error) => eprintln!("iceoryx2: the second process: {error}"),
        })
    };
    let (to, from) = ends::<N>(&there, &back)?;
    let times = ask::<N>(rounds, Wait(to), from);
    drop(child);
    Ok(times)
}

/// Sends again until the second process listens: only the first message may need it.
struct Wait<const N: usize>(IceSender<N>);

impl<const N: usize> SendMany<N> for Wait<N> {
    fn send(&mut self, first: u64, count: usize) -> usize {
        let start = Instant::now();
        loop {
            match self.0.send(first, count) {
                0 if start.elapsed() < START => std::thread::yield_now(),
                sent => return sent,
            }
        }
    }
}
