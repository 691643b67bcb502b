//! Inference requests whose reply waits for a later tick (SEMANTICS I1, T3).

use std::collections::VecDeque;

use wasm_engine_abi::{AgentId, Tick, tensor::RequestForm};

use crate::codec::{CheckpointError, Coded, Reader, coded, damaged, ensure};

/// An accepted inference request; its reply is delivered at the open of `due`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Number over the run, in commit order.
    pub number: u64,
    /// The model that it is bound to.
    pub model: u32,
    /// The handle by which it was asked.
    pub handle: u32,
    /// Tick in which it was committed.
    pub tick: Tick,
    /// Tick at whose open the reply is delivered.
    pub due: Tick,
    /// The agent that asked.
    pub agent: AgentId,
    /// Its incarnation then.
    pub incarnation: u32,
    /// Its sequence number of the call.
    pub seq: u64,
    /// Trace of the call.
    pub trace: u64,
    /// How it asks.
    pub form: RequestForm,
    /// Its bytes.
    pub len: u32,
}

impl Coded for Request {
    fn put(&self, into: &mut Vec<u8>) {
        let Self { number, model, handle, tick, due, agent, incarnation, seq, trace, form, len } =
            self;
        (*number, (*model, *handle)).put(into);
        (*tick, (*due, agent.to_bits())).put(into);
        (*incarnation, (*seq, *trace)).put(into);
        matches!(form, RequestForm::Tensors).put(into);
        len.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        let (number, (model, handle)) = Coded::take(from)?;
        let (tick, (due, agent)) = Coded::take(from)?;
        let (incarnation, (seq, trace)) = Coded::take(from)?;
        let form = if bool::take(from)? { RequestForm::Tensors } else { RequestForm::Row };
        let (agent, len) = (AgentId::from_bits(agent), u32::take(from)?);
        Ok(Self { number, model, handle, tick, due, agent, incarnation, seq, trace, form, len })
    }
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    input: Vec<u8>,
}

coded!(Waiting { request, input });

/// Requests whose reply is outstanding. A model's latency is fixed, so each model's queue is
/// ordered by due tick and by number alike.
#[derive(Debug)]
pub(crate) struct Requests {
    queues: Vec<VecDeque<Waiting>>,
    /// Buffers for inputs, reused.
    spare: Vec<Vec<u8>>,
    next_number: u64,
    /// Requests whose reply has not been received: it has a slot reserved from commit to receipt.
    pub(crate) count: u32,
    /// Bytes of those whose reply has not been delivered.
    pub(crate) bytes: u32,
    /// Bytes reserved for the replies of those that `count` counts.
    pub(crate) reply_bytes: u32,
}

impl Requests {
    pub(crate) fn new(models: usize) -> Self {
        let queues = (0..models).map(|_| VecDeque::new()).collect();
        Self { queues, spare: Vec::new(), next_number: 0, count: 0, bytes: 0, reply_bytes: 0 }
    }

    /// Appends them.
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let Self { queues, spare: _, next_number, count, bytes, reply_bytes } = self;
        queues.put(into);
        next_number.put(into);
        ((*count, *bytes), *reply_bytes).put(into);
    }

    /// Reads them, of so many models, asked by so many handles.
    pub(crate) fn take(
        models: usize,
        handles: usize,
        from: &mut Reader<'_>,
    ) -> Result<Self, CheckpointError> {
        let queues = Vec::<VecDeque<Waiting>>::take(from)?;
        ensure(queues.len() == models, "it has another number of models")?;
        let next_number = u64::take(from)?;
        let ((count, bytes), reply_bytes) = Coded::take(from)?;
        let mut sum = 0_u32;
        for (model, queue) in (0..).zip(&queues) {
            let numbers = queue.iter().map(|waiting| waiting.request.number);
            ensure(numbers.is_sorted(), "requests are out of order")?;
            for Waiting { request, input } in queue {
                let fits = request.model == model
                    && (request.handle as usize) < handles
                    && request.number < next_number
                    && request.len as usize == input.len();
                ensure(fits, "a request is not what it says")?;
                let more = sum.checked_add(request.len);
                sum = more.ok_or_else(|| damaged("requests are too long"))?;
            }
        }
        ensure(sum == bytes, "requests have other bytes than are counted")?;
        Ok(Self { queues, spare: Vec::new(), next_number, count, bytes, reply_bytes })
    }

    /// By model, those whose reply is outstanding.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = u64> + '_ {
        self.queues.iter().map(|queue| queue.len() as u64)
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Adds a request and reserves `reply_bytes` for its reply.
    pub(crate) fn add(&mut self, request: Request, input: &[u8], reply_bytes: u32) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(input);
        self.count += 1;
        self.bytes += request.len;
        self.reply_bytes += reply_bytes;
        self.queues[request.model as usize].push_back(Waiting { request, input: buffer });
    }

    /// A reply was received, or is not received by anybody: what was reserved for it is free.
    pub(crate) fn end(&mut self, reply_bytes: u32) {
        self.count -= 1;
        self.reply_bytes -= reply_bytes;
    }

    /// The earliest tick with a reply due.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.queues.iter().filter_map(|queue| Some(queue.front()?.request.due)).min()
    }

    /// The next request due at `tick`, in request order over all models (T3).
    pub(crate) fn first_due(&self, tick: Tick) -> Option<Request> {
        self.queues
            .iter()
            .filter_map(|queue| Some(queue.front()?.request))
            .filter(|request| request.due <= tick)
            .min_by_key(|request| request.number)
    }

    /// All requests due at `tick`, in request order.
    pub(crate) fn due(&self, tick: Tick, into: &mut Vec<Request>) {
        into.clear();
        for queue in &self.queues {
            into.extend(queue.iter().map(|w| w.request).take_while(|request| request.due <= tick));
        }
        into.sort_unstable_by_key(|request| request.number);
    }

    /// Takes the next request due at `tick`.
    pub(crate) fn pop_due(&mut self, tick: Tick) -> Option<Request> {
        let request = self.first_due(tick)?;
        let waiting = self.queues[request.model as usize].pop_front()?;
        self.spare.push(waiting.input);
        self.bytes -= request.len;
        Some(request)
    }

    /// All outstanding requests with their inputs, in request order.
    pub(crate) fn outstanding(&self) -> Vec<(Request, &[u8])> {
        let mut all: Vec<_> = self
            .queues
            .iter()
            .flatten()
            .map(|waiting| (waiting.request, waiting.input.as_slice()))
            .collect();
        all.sort_by_key(|(request, _)| request.number);
        all
    }
}
