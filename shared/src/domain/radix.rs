//! 128 bits as letters and digits.

/// How a number is written: with these digits, in this many characters.
pub(super) struct Radix {
    digits: &'static [u8],
    length: usize,
}

/// Rather than base 64: messengers cut a `-` or `_` off the end of a link. 22 characters are the
/// fewest that hold 128 bits.
pub(super) const BASE_62: Radix = Radix {
    digits: b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    length: 22,
};

/// Of another length and look than [`BASE_62`], so that nobody takes the one for the other. 25
/// characters are the fewest that hold 128 bits.
pub(super) const BASE_36: Radix = Radix {
    digits: b"0123456789abcdefghijklmnopqrstuvwxyz",
    length: 25,
};

impl Radix {
    /// The number of a text; every number has one text, and every text at most one number.
    pub(super) fn decode(&self, text: &str) -> Option<u128> {
        let base = u128::try_from(self.digits.len()).ok()?;
        let digit = |byte: u8| {
            let at = self.digits.iter().position(|known| *known == byte)?;
            u128::try_from(at).ok()
        };
        if text.len() != self.length {
            return None;
        }
        text.bytes().try_fold(0_u128, |number, byte| {
            number.checked_mul(base)?.checked_add(digit(byte)?)
        })
    }

    /// The text of a number.
    pub(super) fn encode(&self, mut number: u128) -> String {
        let base = u128::try_from(self.digits.len()).unwrap_or(u128::MAX);
        let mut text: Vec<char> = Vec::with_capacity(self.length);
        for _ in 0..self.length {
            let digit = usize::try_from(number % base).ok();
            let digit = digit.and_then(|at| self.digits.get(at)).copied();
            text.push(char::from(digit.unwrap_or_default()));
            number /= base;
        }
        text.iter().rev().collect()
    }
}
