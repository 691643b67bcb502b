//! One NaN of each type of float, in and out (SEMANTICS I5.1): sign and payload of a NaN are the
//! processor's choice, and replies are hashed.

use wasm_engine_abi::tensor::{TensorList, Value, ValueKind};

/// Where the floats of a list lie, reused.
pub(crate) type Floats = Vec<(ValueKind, usize, usize)>;

/// Notes where the floats of a list lie in its bytes.
pub(crate) fn find(list: &TensorList<'_>, bytes: &[u8], floats: &mut Floats) {
    floats.clear();
    list.iter().for_each(|value| collect(&value, bytes, floats));
}

/// Makes every NaN of a list the quiet one of its type; all other values keep their bits. `floats`
/// says where they lie.
pub(crate) fn canonicalise(bytes: &mut [u8], floats: &Floats) {
    for &(kind, begin, len) in floats {
        let data = &mut bytes[begin..begin + len];
        match kind {
            ValueKind::F32 => each(
                data,
                |bits| u32::from_le_bytes(bits) & 0x7fff_ffff > 0x7f80_0000,
                0x7fc0_0000_u32.to_le_bytes(),
            ),
            ValueKind::F64 => each(
                data,
                |bits| u64::from_le_bytes(bits) & (u64::MAX >> 1) > 0x7ff0_0000_0000_0000,
                0x7ff8_0000_0000_0000_u64.to_le_bytes(),
            ),
            ValueKind::F16 => each(
                data,
                |bits| u16::from_le_bytes(bits) & 0x7fff > 0x7c00,
                0x7e00_u16.to_le_bytes(),
            ),
            _ => each(
                data,
                |bits| u16::from_le_bytes(bits) & 0x7fff > 0x7f80,
                0x7fc0_u16.to_le_bytes(),
            ),
        }
    }
}

/// Notes where the floats of a value lie in `bytes`.
fn collect(value: &Value<'_>, bytes: &[u8], floats: &mut Floats) {
    let kind = value.kind();
    if let ValueKind::F32 | ValueKind::F64 | ValueKind::F16 | ValueKind::Bf16 = kind {
        // The data is a part of the bytes.
        let begin = value.data().as_ptr().addr() - bytes.as_ptr().addr();
        floats.push((kind, begin, value.data().len()));
    }
    value.inner().for_each(|inner| collect(&inner, bytes, floats));
}

/// Makes `nan` of whatever is one. Most values are none: so all are looked at first, without a
/// branch, and nothing is written where there is none.
#[inline]
fn each<const N: usize>(data: &mut [u8], is_nan: impl Fn([u8; N]) -> bool, nan: [u8; N]) {
    let values = data.as_chunks_mut().0;
    if values.iter().fold(false, |any, bits| any | is_nan(*bits)) {
        values.iter_mut().filter(|bits| is_nan(**bits)).for_each(|bits| *bits = nan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list_buffer::ListBuffer;
    use wasm_engine_abi::tensor::{Bf16Bits, F16Bits, TensorWriter};

    #[test]
    fn i5_1_each_type_has_one_nan_and_nothing_else_changes() {
        let mut bytes = ListBuffer::default();
        let mut list = TensorWriter::new(&mut bytes).expect("room");
        let f32s = [0xffc0_0001, 0x7f80_0001, 0xff80_0000, 0x8000_0000].map(f32::from_bits);
        let f64s = [0xfff8_0000_0000_0001, 0x7ff0_0000_0000_0001, 0xfff0_0000_0000_0000]
            .map(f64::from_bits);
        list.sequence(1, 1).expect("room");
        list.tensor(1, &[4], &f32s).expect("room");
        list.tensor(2, &[3], &f64s).expect("room");
        list.tensor(3, &[3], &[0xfe01, 0x7c01, 0xfc00].map(F16Bits)).expect("room");
        list.tensor(4, &[3], &[0xffc1, 0x7f81, 0xff80].map(Bf16Bits)).expect("room");
        list.tensor(5, &[1], &[0xffc0_0001_u32]).expect("room");
        let _ = list.finish();
        let mut floats = Floats::new();
        find(&TensorList::parse(bytes.bytes()).expect("a list"), bytes.bytes(), &mut floats);
        canonicalise(bytes.bytes_mut(), &floats);
        let list = TensorList::parse(bytes.bytes()).expect("a list");
        let port = |port| list.port(port).expect("there");
        let inner = port(1).inner().next().expect("one");
        let bits: Vec<u32> =
            inner.as_slice::<f32>().expect("floats").iter().map(|f| f.to_bits()).collect();
        assert_eq!(bits, [0x7fc0_0000, 0x7fc0_0000, 0xff80_0000, 0x8000_0000]);
        let bits: Vec<u64> =
            port(2).as_slice::<f64>().expect("floats").iter().map(|f| f.to_bits()).collect();
        let nan = 0x7ff8_0000_0000_0000;
        assert_eq!(bits, [nan, nan, 0xfff0_0000_0000_0000]);
        let halves = [0x7e00, 0x7e00, 0xfc00].map(F16Bits);
        assert_eq!(port(3).as_slice::<F16Bits>(), Some(&halves[..]));
        let brains = [0x7fc0, 0x7fc0, 0xff80].map(Bf16Bits);
        assert_eq!(port(4).as_slice::<Bf16Bits>(), Some(&brains[..]));
        assert_eq!(port(5).get::<u32>(0), Some(0xffc0_0001), "no float");
    }
}
