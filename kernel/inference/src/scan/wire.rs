//! The protobuf wire format: fields and their values, nothing about what they mean.

use crate::scan::fault::ScanFault;

/// A value as it lies in the bytes.
#[derive(Clone, Copy)]
pub(super) enum WireValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The next field and its value; `rest` moves behind it.
pub(super) fn entry<'a>(rest: &mut &'a [u8]) -> Result<(u64, WireValue<'a>), ScanFault> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => WireValue::Number(varint(rest)?),
        1 => take(rest, 8).map(|_| WireValue::Fixed)?,
        2 => {
            let len = varint(rest)?;
            WireValue::Bytes(take(rest, len)?)
        }
        5 => take(rest, 4).map(|_| WireValue::Fixed)?,
        _ => return Err(ScanFault::Malformed("it is not protobuf")),
    };
    if key > u64::from(u32::MAX) {
        return Err(ScanFault::Malformed("it is not protobuf"));
    }
    Ok((key >> 3, value))
}

/// The numbers of a repeated field: one of many entries, or all of them packed into one.
pub(super) fn numbers(value: WireValue<'_>, into: &mut Vec<i64>) -> Result<(), ScanFault> {
    match value {
        WireValue::Number(number) => into.push(number.cast_signed()),
        WireValue::Bytes(mut packed) => {
            while !packed.is_empty() {
                into.push(varint(&mut packed)?.cast_signed());
            }
        }
        WireValue::Fixed => {}
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], ScanFault> {
    let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
    let (head, tail) = split.ok_or(ScanFault::Malformed("it ends within a field"))?;
    *rest = tail;
    Ok(head)
}

fn varint(rest: &mut &[u8]) -> Result<u64, ScanFault> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ScanFault::Malformed("a number in it is longer than 64 bits"))
}

/// The bytes before the content of a field with `len` bytes.
pub(super) fn head(field: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut number in [field << 3 | 2, len as u64] {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    bytes
}
