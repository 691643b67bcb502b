//! What the model is asked with for each window, and what is kept for the next one.
//!
//! ```text
//!   input  f32 [1, 576]     64 samples of the window before | 512 of this one
//!   state  f32 [2, 1, 128]  as the model gave it with the window before, zeros at first
//!   sr     i64 []           16,000 samples a second
//! ```
//! A sample of 16 bits is divided by 32,768. A last window that is short is filled up with zeros.

use wasm_engine_agent::tensor::{NoRoom, TensorList, TensorWriter, list_bytes};

/// Samples of a window.
pub const WINDOW: usize = 512;
/// Samples of the window before that the model sees again.
pub const CONTEXT: usize = 64;
/// Numbers of the model's state.
pub const STATE: usize = 2 * 128;
/// Samples in a second.
pub const RATE: i64 = 16_000;
/// Bytes of a request.
pub const REQUEST_BYTES: usize =
    list_bytes(&[(2, 4 * (CONTEXT + WINDOW) as u64), (3, 4 * STATE as u64), (0, 8)]);

/// Ports of the model.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// `input`.
    pub input: u32,
    /// `state`.
    pub state: u32,
    /// `sr`.
    pub rate: u32,
    /// `output`, in a reply.
    pub probability: u32,
    /// `stateN`, in a reply.
    pub next: u32,
}

/// What is kept from window to window.
#[derive(Clone, Debug)]
pub struct Ear {
    ports: Ports,
    /// Context and window.
    samples: [f32; CONTEXT + WINDOW],
    state: [f32; STATE],
}

impl Ear {
    /// Before the first window.
    #[must_use]
    pub const fn new(ports: Ports) -> Self {
        Self { ports, samples: [0.0; CONTEXT + WINDOW], state: [0.0; STATE] }
    }

    /// Takes the next window: what lies beyond 512 samples is left out.
    pub fn hear(&mut self, window: impl Iterator<Item = i16>) {
        self.samples.copy_within(WINDOW.., 0);
        let values = window.map(|sample| f32::from(sample) / 32_768.0);
        let padded = values.chain(core::iter::repeat(0.0));
        for (slot, value) in self.samples[CONTEXT..].iter_mut().zip(padded) {
            *slot = value;
        }
    }

    /// Writes the request for the window and gives its length.
    ///
    /// # Errors
    /// [`NoRoom`], which cannot be with a buffer of this size.
    pub fn request(&self, bytes: &mut [u8; REQUEST_BYTES]) -> Result<usize, NoRoom> {
        let mut list = TensorWriter::over(bytes)?;
        list.tensor(self.ports.input, &[1, (CONTEXT + WINDOW) as u64], &self.samples)?;
        list.tensor(self.ports.state, &[2, 1, 128], &self.state)?;
        list.tensor(self.ports.rate, &[], &[RATE])?;
        Ok(list.finish())
    }

    /// Takes the model's reply, keeps the state and gives the probability; none if it is not what
    /// the model promises, and then the state stays.
    pub fn learn(&mut self, reply: TensorList<'_>) -> Option<f32> {
        let probability = reply.port(self.ports.probability)?.get::<f32>(0)?;
        let state = reply.port(self.ports.next)?.as_slice::<f32>()?;
        self.state = *state.as_array()?;
        probability.is_finite().then_some(probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports { input: 0, state: 1, rate: 2, probability: 0, next: 1 };

    #[test]
    fn a_window_is_asked_about_with_the_end_of_the_one_before() {
        let mut ear = Ear::new(PORTS);
        ear.hear((0..512).map(|sample| sample * 64));
        ear.hear([-32_768, 16_384].into_iter());
        let mut bytes = [0; REQUEST_BYTES];
        assert_eq!(ear.request(&mut bytes), Ok(REQUEST_BYTES));
        let list = TensorList::parse(&bytes).expect("a list");
        let input = list.port(0).expect("the samples");
        assert!(input.dims().eq([1, 576]));
        let at = |index| input.get::<f32>(index);
        assert_eq!((at(0), at(63)), (Some(448.0 / 512.0), Some(511.0 / 512.0)));
        assert_eq!(
            (at(64), at(65), at(66), at(575)),
            (Some(-1.0), Some(0.5), Some(0.0), Some(0.0))
        );
        assert_eq!(list.port(2).and_then(|rate| rate.get::<i64>(0)), Some(16_000));
        assert!(list.port(1).is_some_and(|state| state.dims().eq([2, 1, 128])));
    }

    #[test]
    fn the_state_is_that_of_the_last_whole_reply() {
        let mut ear = Ear::new(PORTS);
        let mut words = [0_u64; 256];
        let bytes = wasm_engine_agent::bytemuck::cast_slice_mut(&mut words);
        let mut list = TensorWriter::over(bytes).expect("room");
        list.tensor(0, &[1, 1], &[0.75_f32]).expect("room");
        list.tensor(1, &[2, 1, 128], &[0.5_f32; STATE]).expect("room");
        let len = list.finish();
        assert_eq!(ear.learn(TensorList::parse(&bytes[..len]).expect("a list")), Some(0.75));
        assert_eq!(ear.state, [0.5; STATE]);
        let mut list = TensorWriter::over(bytes).expect("room");
        list.tensor(0, &[1, 1], &[0.75_f32]).expect("room");
        list.tensor(1, &[1], &[0.1_f32]).expect("room");
        let len = list.finish();
        assert_eq!(ear.learn(TensorList::parse(&bytes[..len]).expect("a list")), None);
        assert_eq!(ear.state, [0.5; STATE]);
    }
}
