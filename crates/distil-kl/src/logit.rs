/// A number format that logits come in: `f32`, and with the feature `half` also
/// [`half::f16`] and [`half::bf16`].
///
/// The trait is sealed: the vectorised loads know exactly these formats.
pub trait Logit: private::Format + Copy + Send + Sync + 'static {
    /// The value as `f32`, exactly (each format is a subset of `f32`).
    fn to_f32(self) -> f32;
}

impl Logit for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

#[cfg(feature = "half")]
impl Logit for half::bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

#[cfg(feature = "half")]
impl Logit for half::f16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        half::f16::to_f32(self)
    }
}

pub(crate) use private::{Encoding, Format};

mod private {
    /// How the bits of a logit are to be read by the vectorised loads.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Encoding {
        Single,
        #[cfg(feature = "half")]
        Brain,
        #[cfg(feature = "half")]
        Half,
    }

    /// # Safety
    ///
    /// `ENCODING` must be the encoding of the type: loads reinterpret memory by it.
    pub unsafe trait Format {
        const ENCODING: Encoding;
    }

    // SAFETY: f32 is IEEE binary32.
    unsafe impl Format for f32 {
        const ENCODING: Encoding = Encoding::Single;
    }

    // SAFETY: `half::bf16` is a transparent u16 holding the upper half of a binary32.
    #[cfg(feature = "half")]
    unsafe impl Format for half::bf16 {
        const ENCODING: Encoding = Encoding::Brain;
    }

    // SAFETY: `half::f16` is a transparent u16 holding an IEEE binary16.
    #[cfg(feature = "half")]
    unsafe impl Format for half::f16 {
        const ENCODING: Encoding = Encoding::Half;
    }
}
