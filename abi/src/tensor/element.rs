//! The types of elements, as Rust has them.

use bytemuck::{Pod, Zeroable};

use crate::tensor::ValueKind;

/// A type whose values are the elements of one kind of tensor.
pub trait Element: Pod {
    /// The kind.
    const KIND: ValueKind;
}

macro_rules! elements {
    ($($type:ty => $kind:ident,)*) => {
        $(impl Element for $type {
            const KIND: ValueKind = ValueKind::$kind;
        })*
    };
}

elements! {
    f32 => F32, f64 => F64, u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16,
    i32 => I32, i64 => I64, F16Bits => F16, Bf16Bits => Bf16, BoolByte => Bool,
}

/// A `bool` as one byte: 0 is false, all else true.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct BoolByte(pub u8);

impl BoolByte {
    /// The value.
    #[must_use]
    pub const fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for BoolByte {
    fn from(value: bool) -> Self {
        Self(value.into())
    }
}

/// The bits of a 16-bit float of IEEE 754.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct F16Bits(pub u16);

impl F16Bits {
    /// The same value with 32 bits; nothing is lost.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        let bits = u32::from(self.0);
        let (sign, exponent, fraction) = (bits >> 15 << 31, bits >> 10 & 0x1f, bits & 0x3ff);
        match exponent {
            0 => {
                // Multiples of 2^-24, which 32 bits hold exactly.
                let magnitude = fraction as f32 * f32::from_bits(0x3380_0000);
                f32::from_bits(magnitude.to_bits() | sign)
            }
            0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
            _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
        }
    }

    /// The nearest value with 16 bits, the even one of two.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let (sign, magnitude) = ((bits >> 16) as u16 & 0x8000, bits & 0x7fff_ffff);
        if magnitude > 0x7f80_0000 {
            return Self(sign | 0x7e00);
        }
        // From 65,520 on the nearest is infinity.
        if magnitude >= 0x477f_f000 {
            return Self(sign | 0x7c00);
        }
        let (fraction, shift) = match magnitude >> 23 {
            // Below the smallest normal number: a multiple of 2^-24.
            exponent @ 0..113 => (magnitude & 0x7f_ffff | 0x80_0000, 126 - exponent),
            exponent => ((magnitude & 0x7f_ffff) + ((exponent - 112) << 23), 13),
        };
        if shift > 24 {
            return Self(sign);
        }
        let (whole, rest) = (fraction >> shift, fraction & ((1 << shift) - 1));
        let half = 1 << (shift - 1);
        let up = rest > half || rest == half && whole & 1 == 1;
        Self(sign | (whole + u32::from(up)) as u16)
    }
}

/// The bits of a `bf16`: the upper half of a 32-bit float.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Bf16Bits(pub u16);

impl Bf16Bits {
    /// The same value with 32 bits; nothing is lost.
    #[must_use]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    /// The nearest value with 16 bits, the even one of two.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        if value.is_nan() {
            return Self((bits >> 16) as u16 | 0x40);
        }
        // An infinity has no fraction to round, and what rounds beyond the largest becomes one.
        Self(((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Miri interprets each step, and what it could find is the same in all.
    const STRIDE: usize = if cfg!(miri) { 61 } else { 1 };

    #[test]
    fn every_16_bit_float_comes_back_from_32_bits() {
        for bits in (0..=u16::MAX).step_by(STRIDE) {
            let (half, brain) = (F16Bits(bits), Bf16Bits(bits));
            if half.to_f32().is_nan() {
                assert!(F16Bits::from_f32(half.to_f32()).to_f32().is_nan(), "{bits:#x}");
            } else {
                assert_eq!(F16Bits::from_f32(half.to_f32()), half, "{bits:#x}");
            }
            if !brain.to_f32().is_nan() {
                assert_eq!(Bf16Bits::from_f32(brain.to_f32()), brain, "{bits:#x}");
            }
        }
    }

    #[test]
    fn what_lies_between_two_goes_to_the_nearest_or_the_even_one() {
        // Neighbours of 16 bits, and what is between them.
        for bits in (0..0x7bff_u16).chain(0x8000..0xfbff).step_by(STRIDE) {
            let (a, b) = (F16Bits(bits).to_f32(), F16Bits(bits + 1).to_f32());
            let middle = (a + b) / 2.0;
            let even = if bits & 1 == 0 { bits } else { bits + 1 };
            assert_eq!(F16Bits::from_f32(middle), F16Bits(even), "{bits:#x}");
            let (near_a, near_b) = ((a * 3.0 + b) / 4.0, (a + b * 3.0) / 4.0);
            assert_eq!(F16Bits::from_f32(near_a), F16Bits(bits), "{bits:#x}");
            assert_eq!(F16Bits::from_f32(near_b), F16Bits(bits + 1), "{bits:#x}");
        }
        for (value, bits) in [
            (65_519.9, 0x7bff),
            (65_520.0, 0x7c00),
            (1e30, 0x7c00),
            (f32::INFINITY, 0x7c00),
            (-1e-30, 0x8000),
            (1e-45, 0),
        ] {
            assert_eq!(F16Bits::from_f32(value), F16Bits(bits), "{value}");
        }
        assert_eq!(Bf16Bits::from_f32(f32::MAX), Bf16Bits(0x7f80));
        assert_eq!(Bf16Bits::from_f32(f32::from_bits(0x3f80_8000)), Bf16Bits(0x3f80));
        assert_eq!(Bf16Bits::from_f32(f32::from_bits(0x3f81_8000)), Bf16Bits(0x3f82));
    }
}
