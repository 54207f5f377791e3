//! The pay link's token: one text for each 128 bits, and no other text.

use sha2::{Digest, Sha256};
use shared::link::LinkToken;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 2^128 - 1 in base 62.
const GREATEST: &str = "7n42DGM5Tflk9n8mt7Fhc7";

/// 22 digits of base 62, by long division byte for byte.
fn base62(mut bits: [u8; 16]) -> String {
    let mut text = [0; 22];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0_usize;
        for byte in &mut bits {
            let value = remainder << 8 | usize::from(*byte);
            *byte = u8::try_from(value / 62).unwrap();
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder];
    }
    text.into_iter().map(char::from).collect()
}

/// A token's text, and the bits of a token.
///
/// # Panics
/// When a property does not hold.
pub fn link(data: &[u8]) {
    let mut bits = [0; 16];
    bits.iter_mut()
        .zip(data)
        .for_each(|(bit, byte)| *bit = *byte);
    let token = LinkToken::from_bits(bits);
    let text = token.in_url();
    assert_eq!(text, base62(bits));
    assert_eq!(LinkToken::parse(&text).as_ref(), Ok(&token));
    hides(&token);

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // ASCII puts digits before capitals before small letters, as the alphabet does.
    let wanted =
        text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric()) && text <= GREATEST;
    match LinkToken::parse(text) {
        Ok(token) => {
            assert!(wanted, "{text:?}");
            assert_eq!(token.in_url(), text);
            hides(&token);
        }
        Err(error) => {
            assert!(!wanted, "{text:?}");
            assert_eq!(
                LinkToken::parse("").unwrap_err(),
                error,
                "the error repeats nothing of the text"
            );
        }
    }
}

fn hides(token: &LinkToken) {
    let text = token.in_url();
    assert!(!format!("{token:?}").contains(&text));
    assert_eq!(token.sha256(), hex::encode(Sha256::digest(text.as_bytes())));
}
