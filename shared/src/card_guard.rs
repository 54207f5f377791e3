//! Finds card numbers where none may be, so that they are refused before anything logs, echoes or stores them.
//!
//! A card number is a run of digits, perhaps in groups, with a brand's prefix and length and a valid check digit
//! (ISO/IEC 7812-1, Luhn). Groups count as one number across spaces, dashes and the punctuation that people, speech
//! recognition and JSON lists put between them.

/// Longest card number, and so the longest run of groups worth joining.
const MAX_DIGITS: usize = 19;

/// The longest number after a `+` that is taken for a telephone number. E.164 allows 15 digits, but no numbering plan
/// in use has 14 or 15 behind the country codes that begin like a card of that length (30, 34 and 36 to 39).
const MAX_PHONE_DIGITS: usize = 13;

/// A space and a dash, as URLs write them.
const ENCODED_SEPARATORS: [&str; 3] = ["%20", "%2D", "%2d"];

/// Whether the text holds a card number.
#[must_use]
pub fn holds_card_number(text: &str) -> bool {
    let mut runs = Runs::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if starts_uuid(rest, runs.after_alphanumeric) {
            runs.end_run();
            runs.after_alphanumeric = true;
            rest = rest.get(36..).unwrap_or_default();
            continue;
        }
        if let Some(after) = ENCODED_SEPARATORS.iter().find_map(|encoded| rest.strip_prefix(encoded)) {
            runs.push(' ');
            rest = after;
            continue;
        }
        runs.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    runs.end_run();
    runs.found
}

/// A UUID's digits and dashes can look like a card number in groups; a whole UUID is taken for one.
fn starts_uuid(text: &str, after_alphanumeric: bool) -> bool {
    !after_alphanumeric
        && text.get(..36).is_some_and(crate::ids::is_uuid)
        && !text.get(36..).unwrap_or_default().starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Collects groups of digits that only separators part, and looks at each run when it ends.
#[derive(Default)]
struct Runs {
    groups: Vec<Vec<u8>>,
    in_group: bool,
    phone: bool,
    after_alphanumeric: bool,
    after_plus: bool,
    found: bool,
}

impl Runs {
    fn push(&mut self, c: char) {
        if let Some(digit) = digit(c) {
            if self.groups.is_empty() {
                self.phone = self.after_plus;
            }
            match self.groups.last_mut() {
                Some(group) if self.in_group => group.push(digit),
                _ => self.groups.push(vec![digit]),
            }
            self.in_group = true;
        // Forms write a space as `+`; elsewhere it begins a telephone number.
        } else if is_separator(c) || (c == '+' && self.in_group) {
            self.in_group = false;
        } else {
            self.end_run();
        }
        self.after_plus = c == '+';
        self.after_alphanumeric = c.is_alphanumeric();
    }

    fn end_run(&mut self) {
        self.found = self.found || self.run_holds_card_number();
        self.groups.clear();
        self.in_group = false;
        self.phone = false;
    }

    fn run_holds_card_number(&self) -> bool {
        let total: usize = self.groups.iter().map(Vec::len).sum();
        if self.phone && total <= MAX_PHONE_DIGITS {
            return false;
        }
        (0..self.groups.len()).any(|first| {
            let mut digits = Vec::with_capacity(MAX_DIGITS);
            for group in self.groups.iter().skip(first) {
                digits.extend_from_slice(group);
                if digits.len() > MAX_DIGITS {
                    // Longer than any card: one may lead it, with its expiry or security code glued on.
                    return starts_with_card_number(&digits);
                }
                if is_card_number(&digits) {
                    return true;
                }
            }
            starts_with_card_number(&digits)
        })
    }
}

/// ASCII, full-width and Arabic-Indic digits: what keyboards and speech recognition produce.
fn digit(c: char) -> Option<u8> {
    let zero = match c {
        '0'..='9' => '0',
        '\u{0660}'..='\u{0669}' => '\u{0660}',
        '\u{06F0}'..='\u{06F9}' => '\u{06F0}',
        '\u{FF10}'..='\u{FF19}' => '\u{FF10}',
        _ => return None,
    };
    u8::try_from(u32::from(c) - u32::from(zero)).ok()
}

fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '.' | '_' | ':' | ',' | ';' | '/' | '\\' | '*' | '#' | '|' | '=' | '\u{00AD}' | '\u{00B7}' | '\u{2022}'
                // Nobody sees these.
                | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}'
                // Dashes and minus signs of other widths.
                | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{FE63}' | '\u{FF0D}'
        )
}

/// A 15- or 16-digit card number at the head of a longer run.
fn starts_with_card_number(digits: &[u8]) -> bool {
    [15, 16].into_iter().any(|length| digits.len() > length && digits.get(..length).is_some_and(is_card_number))
}

fn is_card_number(digits: &[u8]) -> bool {
    has_brand(digits) && passes_luhn(digits)
}

/// Issuer ranges in use, with the lengths each brand issues.
fn has_brand(digits: &[u8]) -> bool {
    let prefix = |length: usize| {
        digits
            .iter()
            .chain(std::iter::repeat(&0))
            .take(length)
            .fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    let length = digits.len();
    let (one, two, three, four, six) = (prefix(1), prefix(2), prefix(3), prefix(4), prefix(6));
    let visa = one == 4 && matches!(length, 13 | 16 | 19);
    let mastercard = length == 16 && (matches!(two, 51..=55) || matches!(four, 2221..=2720));
    let american_express = length == 15 && matches!(two, 34 | 37);
    let diners = matches!(length, 14 | 16..=19) && (matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39));
    let discover = matches!(length, 16..=19)
        && (four == 6011 || two == 65 || matches!(three, 644..=649) || matches!(six, 622_126..=622_925));
    let jcb = matches!(length, 16..=19) && matches!(four, 3528..=3589);
    let union_pay = matches!(length, 16..=19) && matches!(two, 62 | 81);
    let maestro =
        matches!(length, 12..=19) && matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761 | 6762 | 6763);
    let mir = matches!(length, 16..=19) && matches!(four, 2200..=2204);
    visa || mastercard || american_express || diners || discover || jcb || union_pay || maestro || mir
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Text fit for an error message: at most 40 characters, no control characters, and no run of digits long enough to be
/// part of a card number.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut shown = String::with_capacity(44);
    let mut digits = 0;
    for c in text.chars().take(40) {
        digits = if digit(c).is_some() {
            digits + 1
        } else if is_separator(c) {
            digits
        } else {
            0
        };
        match c {
            _ if digits > 11 => shown.push('*'),
            c if c.is_control() || c == '"' => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    let more = if text.chars().nth(40).is_some() { "…" } else { "" };
    format!("\"{shown}{more}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_of_every_brand_are_found() {
        for number in [
            "4242424242424242",
            "4000056655665556",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "5105105105105100",
            "378282246310005",
            "371449635398431",
            "6011111111111117",
            "6011000990139424",
            "3056930009020004",
            "30569309025904",
            "36227206271667",
            "3566002020360505",
            "6200000000000005",
            "6759649826438453",
            "2200770212727079",
        ] {
            assert!(holds_card_number(number), "{number}");
        }
    }

    #[test]
    fn separators_surroundings_and_other_digits_hide_nothing() {
        for text in [
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "4242.4242.4242.4242",
            "4242_4242_4242_4242",
            "4242:4242:4242:4242",
            "4242/4242/4242/4242",
            "[4242, 4242, 4242, 4242]",
            "4242\u{2013}4242\u{00A0}4242 4242",
            "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
            "order 4242424242424242 12/27 cvc 123",
            "4242 4242 4242 4242 12 27",
            "A4242424242424242B",
            "42424242424242421227",
            "4242424242424242123",
            "3782 822463 10005",
            "４２４２４２４２４２４２４２４２",
            "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
            "+4242424242424242",
            "+378282246310005",
            "ref 12 4242424242424242",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn identifiers_telephone_and_order_numbers_raise_no_false_alarm() {
        for text in [
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
            "00000000-4242-4242-4242-424242424242",
            "order:12345678-4000-4000-8000-000000000002:1",
            "+442071838750",
            "+4915112345678",
            "+49 151 123 456 78",
            "tel:+14155552671",
            "10045",
            "PO-2026-000123",
            "4500012345",
            "111-2222222-3333333",
            "1Z999AA10123456784",
            "1795376262000",
            "2026-11-22T19:37:42",
            "2026-11-22 19:37:42,318",
            "/payments/12/2026/1",
            "usd=1000000,jpy=1500000",
            "4242424242424241",
            "",
            "50.00",
            "pi_3Nxyz0123456789abcdefGHI",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn random_uuids_raise_no_false_alarm() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let (a, b) = (next(), next());
            let uuid = format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                a >> 32,
                (a >> 16) & 0xFFFF,
                a & 0xFFF,
                b >> 52,
                b & 0xFFFF_FFFF_FFFF
            );
            assert!(!holds_card_number(&uuid), "{uuid}");
        }
    }

    #[test]
    fn quoting_masks_long_digit_runs_and_control_characters() {
        assert_eq!(quoted("5,00"), "\"5,00\"");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert_eq!(quoted("424242424242424"), "\"42424242424****\"");
        assert!(quoted(&"x".repeat(100)).ends_with("…\""));
    }
}
