//! What came, as an answer may quote it.

use super::characters::{Kind, kind};
use super::in_free_text;

/// The most digits of a number that an error message shows.
const MAX_SHOWN_DIGITS: usize = 11;

/// Text fit for an error message: at most 40 characters, no control characters, no digit of a card
/// number, and at most the first 11 digits of any number.
pub fn quoted(text: &str) -> String {
    let shown = shortened(text, MAX_SHOWN_DIGITS);
    // What is cut off may have kept the rest from being a card number.
    let shown = if in_free_text(text) || in_free_text(&shown) {
        shortened(text, 0)
    } else {
        shown
    };
    let more = if text.chars().nth(40).is_some() {
        "…"
    } else {
        ""
    };
    format!("\"{shown}{more}\"")
}

/// The first 40 characters, with so many digits of each number.
fn shortened(text: &str, shown_digits: usize) -> String {
    let mut shown = String::with_capacity(44);
    let mut digits = 0;
    for c in text.chars().take(40) {
        let kind = kind(c);
        digits = match kind {
            Kind::Digit(_) => digits + 1,
            Kind::Letter => 0,
            Kind::Separator | Kind::Ignored => digits,
        };
        match c {
            _ if matches!(kind, Kind::Digit(_)) && digits > shown_digits => shown.push('*'),
            c if c.is_control() || c == '"' => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}
