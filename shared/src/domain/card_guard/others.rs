//! Numbers of other kinds that look like card numbers: IBANs and parcel numbers.

use super::characters::{Kind, kind};

/// The length in bytes of a whole UUID, IBAN or parcel number at the head of the text. Their digits
/// can look like a card number in groups.
pub(super) fn number_of_another_kind(text: &str) -> Option<usize> {
    let first = text.bytes().next().filter(u8::is_ascii_alphanumeric)?;
    let ends = |length: &usize| {
        !text
            .get(*length..)
            .unwrap_or_default()
            .starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    let uuid = || {
        text.get(..36)
            .is_some_and(crate::domain::ids::is_uuid)
            .then_some(36)
    };
    let other = || {
        if first.is_ascii_alphabetic() {
            iban(text)
        } else {
            parcel(text)
        }
    };
    uuid().filter(ends).or_else(|| other().filter(ends))
}

/// The lengths of IBANs. Source: the IBAN registry of ISO 13616.
const IBANS: [(usize, &str); 18] = [
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FK FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

/// A valid IBAN: country, length and check digits (ISO 13616, modulo 97), also in groups of four. A
/// creditor reference (ISO 11649) is alike, with RF for a country and any length from 5 to 25.
fn iban(text: &str) -> Option<usize> {
    let country = text.get(..2)?.to_ascii_uppercase();
    let lengths = if country == "RF" {
        5..=25
    } else {
        let (length, _) = IBANS
            .iter()
            .find(|(_, countries)| countries.split(' ').any(|one| one == country))?;
        *length..=*length
    };
    lengths
        .rev()
        .filter_map(|length| in_fours(text, length))
        .find_map(|(iban, length)| {
            let rearranged = iban.iter().cycle().skip(4).take(iban.len());
            let remainder =
                rearranged.fold(0, |remainder, byte| match char::from(*byte).to_digit(36) {
                    Some(digit @ 0..=9) => (remainder * 10 + digit) % 97,
                    Some(letter) => (remainder * 100 + letter) % 97,
                    None => remainder,
                });
            // Without check digits, letters would do for them, and any word that begins like a
            // country could hide a number.
            let has_check_digits = iban.iter().skip(2).take(2).all(u8::is_ascii_digit);
            (has_check_digits && remainder == 1).then_some(length)
        })
}

/// A valid number of a parcel or certified letter of the United States Postal Service, as they are
/// printed in fours: 22 digits from 92 to 95, or 20 from 7000 to 7029, with GS1's check digit. In
/// one run it may be anything.
fn parcel(text: &str) -> Option<usize> {
    let digits = match text.as_bytes() {
        [b'9', b'2'..=b'5', ..] => 22,
        [b'7', b'0', b'0'..=b'2', ..] => 20,
        _ => return None,
    };
    let (number, length) = in_fours(text, digits)?;
    let is_digits = number.iter().all(u8::is_ascii_digit);
    let weighted = number
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| (if at % 2 == 0 { 1 } else { 3 }) * u32::from(digit & 0xF));
    // A number that goes on is none.
    let mut after = text.get(length..).unwrap_or_default().chars();
    let goes_on = after.next().is_some() && after.next().is_some_and(|c| c.is_ascii_digit());
    (is_digits && length > digits && !goes_on && weighted.sum::<u32>().is_multiple_of(10))
        .then_some(length)
}

/// So many ASCII letters and digits at the head of the text, in one run or in fours that one
/// character parts, and their length in bytes.
fn in_fours(text: &str, characters: usize) -> Option<(Vec<u8>, usize)> {
    let mut read = Vec::with_capacity(characters);
    let mut parted = false;
    for (at, c) in text.char_indices() {
        if c.is_ascii_alphanumeric() {
            read.push(u8::try_from(c).ok()?);
            parted = false;
            if read.len() == characters {
                return Some((read, at + 1));
            }
        } else if !parted && read.len().is_multiple_of(4) && matches!(kind(c), Kind::Separator) {
            parted = true;
        } else {
            return None;
        }
    }
    None
}
