//! Other people's rings between two threads, behind the traits that our own are asked by.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use crossbeam_queue::ArrayQueue;
use disruptor::{
    BusySpin, EventPoller, Polling, Producer as _, RingBufferFull, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};
use rtrb::{Consumer, Producer, RingBuffer};
use wasm_engine_benches::rings::{ReceiveMany, SendMany, capacity, message};

/// rtrb: one message by `push` and `pop`, several by chunks.
pub fn rtrb<const N: usize>() -> (RtrbSender<N>, RtrbReceiver<N>) {
    let (producer, consumer) = RingBuffer::new(capacity::<N>());
    (Rtrb(producer), Rtrb(consumer))
}

/// One of its ends.
pub struct Rtrb<End>(End);

type RtrbSender<const N: usize> = Rtrb<Producer<[u8; N]>>;
type RtrbReceiver<const N: usize> = Rtrb<Consumer<[u8; N]>>;

impl<const N: usize> SendMany<N> for RtrbSender<N> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        if count == 1 {
            return usize::from(self.0.push(message(first)).is_ok());
        }
        let count = count.min(self.0.slots());
        match self.0.write_chunk_uninit(count) {
            Ok(chunk) => chunk.fill_from_iter((first..).take(count).map(message)),
            Err(_) => 0,
        }
    }
}

impl<const N: usize> ReceiveMany<N> for RtrbReceiver<N> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        if count == 1 {
            return self.0.pop().map_or(0, |bytes| {
                each(&bytes);
                1
            });
        }
        let count = count.min(self.0.slots());
        let Ok(chunk) = self.0.read_chunk(count) else { return 0 };
        let (front, back) = chunk.as_slices();
        front.iter().chain(back).for_each(|bytes| each(bytes));
        chunk.commit_all();
        count
    }
}

/// disruptor: events filled in place, polled by the consumer's own thread.
pub fn disruptor<const N: usize>() -> (DisruptorSender<N>, DisruptorReceiver<N>) {
    let builder = build_single_producer(capacity::<N>(), || [0; N], BusySpin);
    let (poller, builder) = builder.new_event_poller();
    (DisruptorSender(builder.build()), DisruptorReceiver(poller))
}

/// Its writing end.
pub struct DisruptorSender<const N: usize>(
    SingleProducer<[u8; N], disruptor::SingleConsumerBarrier>,
);
/// Its reading end.
pub struct DisruptorReceiver<const N: usize>(EventPoller<[u8; N], SingleProducerBarrier>);

impl<const N: usize> SendMany<N> for DisruptorSender<N> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        if count == 1 {
            let published = self.0.try_publish(|event| *event = message(first));
            return usize::from(!matches!(published, Err(RingBufferFull)));
        }
        let published = self.0.try_batch_publish(count, |events| {
            for (event, number) in events.zip(first..) {
                *event = message(number);
            }
        });
        if published.is_ok() { count } else { 0 }
    }
}

impl<const N: usize> ReceiveMany<N> for DisruptorReceiver<N> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        match self.0.take(count as u64) {
            Ok(mut events) => {
                let mut received = 0;
                for event in &mut events {
                    each(event);
                    received += 1;
                }
                received
            }
            Err(Polling::NoEvents | Polling::Shutdown) => 0,
        }
    }
}

/// crossbeam's queue, whose ends are the queue itself.
pub fn array_queue<const N: usize>() -> (Queue<N>, Queue<N>) {
    let queue = Arc::new(ArrayQueue::new(capacity::<N>()));
    (Queue(Arc::clone(&queue)), Queue(queue))
}

/// One of its ends.
pub struct Queue<const N: usize>(Arc<ArrayQueue<[u8; N]>>);

impl<const N: usize> SendMany<N> for Queue<N> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        (first..).take(count).take_while(|number| self.0.push(message(*number)).is_ok()).count()
    }
}

impl<const N: usize> ReceiveMany<N> for Queue<N> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        (0..count).map_while(|_| self.0.pop()).inspect(|bytes| each(bytes)).count()
    }
}

/// crossbeam's bounded channel, without blocking.
pub fn channel<const N: usize>() -> (Sender1<N>, Receiver1<N>) {
    let (sender, receiver) = bounded(capacity::<N>());
    (Sender1(sender), Receiver1(receiver))
}

/// Its writing end.
pub struct Sender1<const N: usize>(Sender<[u8; N]>);
/// Its reading end.
pub struct Receiver1<const N: usize>(Receiver<[u8; N]>);

impl<const N: usize> SendMany<N> for Sender1<N> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        (first..).take(count).take_while(|n| self.0.try_send(message(*n)).is_ok()).count()
    }
}

impl<const N: usize> ReceiveMany<N> for Receiver1<N> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        (0..count).map_while(|_| self.0.try_recv().ok()).inspect(|bytes| each(bytes)).count()
    }
}
