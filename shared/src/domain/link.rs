//! The pay link: 128 random bits. They let their holder pay one attempt of one payment, for some
//! minutes.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::domain::ids::{Correlation, IdError};
use crate::domain::time::UnixMillis;

/// Base 62 rather than base 64: messengers cut a `-` or `_` off the end of a link.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of a token: the fewest that hold 128 bits.
const LENGTH: usize = 22;

/// What follows the `#` of a pay link, and what the page asks for its session with. Its text alone
/// lets a person pay, so Debug hides it, and the table has only its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken(u128);

impl LinkToken {
    /// The token of 128 random bits.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bits))
    }

    /// Reads a token as it stands in a URL. Every token has one text and every text at most one
    /// token.
    ///
    /// # Errors
    /// [`IdError`] says what the text must be, and not what it was.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let digit = |byte: u8| {
            ALPHABET
                .iter()
                .position(|known| *known == byte)
                .and_then(|at| u128::try_from(at).ok())
        };
        let number = (text.len() == LENGTH).then(|| {
            text.bytes().try_fold(0_u128, |number, byte| {
                number.checked_mul(62)?.checked_add(digit(byte)?)
            })
        });
        number
            .flatten()
            .map(Self)
            .ok_or(IdError("a pay link's token of 22 letters and digits"))
    }

    /// The text for the URL: 22 of `0-9A-Za-z`.
    pub fn to_fragment(&self) -> String {
        let mut digits = [0_u8; LENGTH];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            *digit = usize::try_from(rest % 62)
                .ok()
                .and_then(|at| ALPHABET.get(at))
                .copied()
                .unwrap_or_default();
            rest /= 62;
        }
        digits.iter().copied().map(char::from).collect()
    }

    /// The SHA-256 of the text in hexadecimal: the link's key in the table, from which nobody gets
    /// back to the token.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.to_fragment()))
    }
}

/// Where a token leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// The attempt it was made for. Once that is canceled the link is dead, also where a new
    /// attempt follows.
    pub correlation: Correlation,
    /// When it expires.
    pub valid_until: UnixMillis,
}

/// A link to be made.
#[derive(Debug)]
pub struct NewLink {
    pub token: LinkToken,
    /// How long it lets the payer pay.
    pub valid_for: Duration,
}

impl NewLink {
    /// Where the token leads: to this attempt, from now on.
    pub fn to(&self, correlation: &Correlation, now: UnixMillis) -> Link {
        Link {
            correlation: correlation.clone(),
            valid_until: now.plus(self.valid_for),
        }
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "0000000000000000000000";
    const GREATEST: &str = "7n42DGM5Tflk9n8mt7Fhc7";

    #[test]
    fn every_bit_comes_back_from_the_text() {
        assert_eq!(LinkToken::from_bits([0; 16]).to_fragment(), ZERO);
        assert_eq!(LinkToken::from_bits([0xFF; 16]).to_fragment(), GREATEST);
        for bit in 0..128 {
            let token = LinkToken::from_bits((1_u128 << bit).to_be_bytes());
            let text = token.to_fragment();
            assert_eq!(text.len(), 22);
            assert_eq!(LinkToken::parse(&text).unwrap(), token, "{text}");
            assert_eq!(LinkToken::parse(&text).unwrap().to_fragment(), text);
        }
    }

    #[test]
    fn other_lengths_characters_and_numbers_are_no_token() {
        for wrong in [
            "",
            "0",
            "000000000000000000000",
            "00000000000000000000000",
            "000000000000000000000-",
            "000000000000000000000_",
            " 000000000000000000000",
            "000000000000000000000\n",
            "00000000000000000000é",
            "٠٠٠٠٠٠٠٠٠٠٠",
            "7n42DGM5Tflk9n8mt7Fhc8",
            "80000000000000000000000",
            "8000000000000000000000",
            "zzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert!(LinkToken::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_text_is_in_no_debug_and_the_key_is_its_digest() {
        let token = LinkToken::parse(GREATEST).unwrap();
        assert!(!format!("{token:?} {token:#?}").contains(GREATEST));
        assert!(
            !LinkToken::parse("canary")
                .unwrap_err()
                .to_string()
                .contains("canary")
        );
        assert_eq!(
            LinkToken::from_bits([0; 16]).sha256(),
            "e4bfa392b5fa6b1c53ed5721c3442aaf843219d3f8f58dfe2a231a318bcef500",
            "printf %s 0000000000000000000000 | sha256sum"
        );
        assert_ne!(token.sha256(), LinkToken::from_bits([0; 16]).sha256());
    }
}
