//! The pay link: 128 random bits. They let their holder pay one attempt of one payment, for some
//! minutes.

use std::fmt;

use sha2::{Digest, Sha256};

use super::ids::{ConversationId, Correlation, IdError};
use super::payment::Payment;
use super::radix::BASE_62;
use super::time::UnixMillis;

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
        let number = BASE_62.decode(text);
        number
            .map(Self)
            .ok_or(IdError("a pay link's token of 22 letters and digits"))
    }

    /// The text for the URL: 22 of `0-9A-Za-z`.
    pub fn to_fragment(&self) -> String {
        BASE_62.encode(self.0)
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
    /// When it will expire.
    pub valid_until: UnixMillis,
}

/// What an answered request leaves in the table: its conversation is the payment's holder, the
/// order is the newest of that conversation, and there is a link to pay it.
#[derive(Debug)]
pub struct Placement {
    pub conversation_id: ConversationId,
    /// The link, if the deployment has them.
    pub link: Option<NewLink>,
    /// When it was asked for.
    pub at: UnixMillis,
}

impl Placement {
    /// The link's token and where it leads, if the payer can pay this payment.
    pub fn link_to(&self, payment: &Payment) -> Option<(&LinkToken, Link)> {
        let NewLink { token, valid_until } = self.link.as_ref()?;
        let link = Link {
            correlation: payment.correlation.clone(),
            valid_until: *valid_until,
        };
        (payment.is_payable() && !payment.is_ending()).then_some((token, link))
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
