//! Requests to other agents and their responses, over plain messages.
//!
//! A request is a message like any other, and its name the sequence that `send` gave for it: keep
//! what is to be done with the response in a [`Pending`](crate::Pending). A response is a message
//! to who asked, which begins with that sequence.

use wasm_engine_abi::calls::Status;

use crate::handles::Seq;
use crate::host::Host;
use crate::item::{Item, Kind};

/// Begins every response, so that it can be told from other messages.
const MARK: [u8; 8] = *b"response";
/// Bytes before the payload of a response: the mark and the sequence.
const HEAD_BYTES: usize = 16;

/// A response to a request that this agent made.
///
/// ```
/// use wasm_engine_agent::{Response, Seq};
///
/// let mut buffer = [0; Response::HEAD_BYTES + 2];
/// let bytes = Response::write(&mut buffer, Seq::from_raw(7), b"42").expect("there is room");
/// let response = Response::parse(bytes).expect("it is one");
/// assert_eq!((response.request, response.payload), (Seq::from_raw(7), b"42".as_slice()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response<'a> {
    /// What [`Host::send`] gave for the request. Another agent may write anything here: what
    /// [`Pending::take`](crate::Pending::take) does not know was never asked.
    pub request: Seq,
    /// The response.
    pub payload: &'a [u8],
}

impl<'a> Response<'a> {
    /// Bytes of a response before its payload.
    pub const HEAD_BYTES: usize = HEAD_BYTES;

    /// The response that an item is; nothing if it is none.
    #[must_use]
    pub fn of(item: &Item<'a>) -> Option<Self> {
        let is_message = matches!(item.kind(), Kind::Message { .. });
        is_message.then(|| Self::parse(item.payload())).flatten()
    }

    /// The response in the payload of a message; nothing if it is none.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (mark, rest) = payload.split_first_chunk()?;
        let (request, payload) = rest.split_first_chunk()?;
        let request = Seq::from_raw(u64::from_le_bytes(*request));
        (*mark == MARK).then_some(Self { request, payload })
    }

    /// The bytes of a response to the request that its maker knows by `request`; nothing if the
    /// buffer is too short.
    pub fn write<'b>(buffer: &'b mut [u8], request: Seq, payload: &[u8]) -> Option<&'b [u8]> {
        let bytes = buffer.get_mut(..HEAD_BYTES.checked_add(payload.len())?)?;
        let (head, rest) = bytes.split_at_mut(HEAD_BYTES);
        head[..MARK.len()].copy_from_slice(&MARK);
        head[MARK.len()..].copy_from_slice(&request.raw().to_le_bytes());
        rest.copy_from_slice(payload);
        Some(bytes)
    }
}

impl Host {
    /// Responds to the message that `request` is, over `buffer`, which has room for the payload
    /// and [`Response::HEAD_BYTES`].
    ///
    /// # Errors
    /// [`Status::Invalid`] if it is no message or has no room, else those of [`Host::send`].
    pub fn respond(
        &mut self,
        request: &Item<'_>,
        payload: &[u8],
        buffer: &mut [u8],
    ) -> Result<Seq, Status> {
        let Kind::Message { from, from_seq, .. } = request.kind() else {
            return Err(Status::Invalid);
        };
        let bytes = Response::write(buffer, from_seq, payload).ok_or(Status::Invalid)?;
        self.send(from, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Call;
    use wasm_engine_abi::frame::{ItemHeader, item};
    use wasm_engine_abi::ids::AgentId;

    fn message(payload: &[u8]) -> Item<'_> {
        let header =
            ItemHeader { kind: item::MESSAGE, from: 7, from_seq: 9, ..ItemHeader::default() };
        Item::new(header, payload)
    }

    #[test]
    fn a_response_goes_to_who_asked_and_names_the_request() {
        let mut host = Host::recording();
        let mut buffer = [0; 32];
        host.respond(&message(b"how many?"), b"two", &mut buffer).expect("it is sent");
        let sent = host.take().pop().expect("one call").call;
        let Call::Send { to, payload } = sent else { panic!("{sent:?}") };
        assert_eq!(to, AgentId::from_bits(7));
        let expected = Response { request: Seq::from_raw(9), payload: b"two" };
        assert_eq!(Response::of(&message(&payload)), Some(expected));
        // Only a message is one.
        let input = ItemHeader { kind: item::INPUT, ..ItemHeader::default() };
        assert_eq!(Response::of(&Item::new(input, &payload)), None);
        let timer = Item::new(ItemHeader { kind: item::TIMER, ..input }, b"");
        assert_eq!(host.respond(&timer, b"", &mut buffer), Err(Status::Invalid));
        assert_eq!(host.respond(&message(b""), &[0; 17], &mut buffer), Err(Status::Invalid));
    }

    #[test]
    fn other_messages_are_no_responses() {
        let mut buffer = [0; HEAD_BYTES];
        let bytes = Response::write(&mut buffer, Seq::from_raw(u64::MAX), b"").expect("room");
        for len in 0..HEAD_BYTES {
            assert_eq!(Response::parse(&bytes[..len]), None, "{len}");
        }
        for at in 0..MARK.len() {
            let mut other = [0; HEAD_BYTES];
            other.copy_from_slice(bytes);
            other[at] ^= 1;
            assert_eq!(Response::parse(&other), None, "{at}");
        }
        for len in 0..HEAD_BYTES {
            assert_eq!(Response::write(&mut std::vec![0; len], Seq::from_raw(1), b""), None);
        }
    }
}
