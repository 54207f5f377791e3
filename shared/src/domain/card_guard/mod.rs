//! Finds card numbers where none may be, so that they are refused before anything logs, echoes or
//! stores them.
//!
//! A card number has a brand's prefix and length and a valid check digit (ISO/IEC 7812-1, Luhn). It
//! is written in one run of digits, in the groups that are printed on cards, or digit by digit.
//! Whatever is neither letter nor digit may part the groups. Free text is also searched for what
//! nobody would do to an identifier: digits glued to a card number, and numbers of unknown brands.
//! `docs/card-guard.md` has the measured rates of misses and false alarms.

mod characters;
mod escapes;
mod numbers;
mod others;
mod quote;

use std::borrow::Cow;

use self::characters::{Kind, kind};
use self::escapes::{html_entities, json_escapes, percent_escapes};
use self::numbers::{
    GLUED_LENGTHS, GROUPINGS, SPACED_LENGTHS, USUAL_LENGTH, is_card_number, passes_luhn,
};
use self::others::number_of_another_kind;
pub use escapes::unescaped;
pub use quote::quoted;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    FreeText,
    Identifier,
}

/// Whether free text holds a card number: also one with digits glued to it, and one of 16 digits of
/// an unknown brand.
pub fn in_free_text(text: &str) -> bool {
    holds_card_number(text, Place::FreeText)
}

/// Whether an identifier holds a card number, written as cards are. Orders and references may be
/// long runs of digits, so nothing is looked for within a run.
pub fn in_identifier(text: &str) -> bool {
    holds_card_number(text, Place::Identifier)
}

/// Looks at the text as it stands and as it reads once and twice decoded: what was decoded may have
/// stood for itself.
fn holds_card_number(text: &str, place: Place) -> bool {
    if scan(text, place) {
        return true;
    }
    let mut text = Cow::Borrowed(text);
    for decoded in [
        json_escapes,
        percent_escapes,
        html_entities,
        json_escapes,
        percent_escapes,
        html_entities,
    ] {
        if let Some(read) = decoded(&text) {
            if scan(&read, place) {
                return true;
            }
            text = Cow::Owned(read);
        }
    }
    false
}

/// One pass over the text. What is known to be a number of another kind ends a sequence of digits
/// like a letter.
fn scan(text: &str, place: Place) -> bool {
    let mut sequence = Sequence::default();
    let mut after_alphanumeric = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if !after_alphanumeric && let Some(length) = number_of_another_kind(rest) {
            if sequence.holds_card_number(place) {
                return true;
            }
            sequence.clear();
            after_alphanumeric = true;
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        match kind(c) {
            Kind::Digit(digit) => {
                sequence.push(digit);
                after_alphanumeric = true;
            }
            Kind::Separator => {
                sequence.part(c);
                after_alphanumeric = false;
            }
            Kind::Letter => {
                if sequence.holds_card_number(place) {
                    return true;
                }
                sequence.clear();
                after_alphanumeric = true;
            }
            Kind::Ignored => {}
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    sequence.holds_card_number(place)
}

/// Groups of digits that nothing but separators part.
#[derive(Default)]
struct Sequence {
    digits: Vec<u8>,
    groups: Vec<Group>,
    separators: usize,
    separator: Option<char>,
}

struct Group {
    start: usize,
    length: usize,
    /// The one character between this group and the one before.
    separator: Option<char>,
}

impl Sequence {
    fn push(&mut self, digit: u8) {
        match self.groups.last_mut() {
            Some(group) if self.separators == 0 => group.length += 1,
            _ => {
                let separator = self.separator.filter(|_| self.separators == 1);
                self.groups.push(Group {
                    start: self.digits.len(),
                    length: 1,
                    separator,
                });
            }
        }
        self.digits.push(digit);
        self.separators = 0;
    }

    fn part(&mut self, separator: char) {
        self.separators += 1;
        self.separator = Some(separator);
    }

    fn clear(&mut self) {
        self.digits.clear();
        self.groups.clear();
        self.separators = 0;
    }

    fn holds_card_number(&self, place: Place) -> bool {
        let is_single = |group: &Group| group.length == 1;
        self.groups
            .chunk_by(|one, next| is_single(one) && is_single(next))
            .any(|groups| self.run(groups, place))
            || (0..self.groups.len()).any(|first| {
                GROUPINGS.iter().any(|grouping| {
                    let groups = self
                        .groups
                        .get(first..first + grouping.len())
                        .unwrap_or_default();
                    groups
                        .iter()
                        .map(|group| group.length)
                        .eq(grouping.iter().copied())
                        && self.grouped(groups, place)
                })
            })
    }

    fn digits_of(&self, groups: &[Group]) -> &[u8] {
        let start = groups.first().map_or(0, |group| group.start);
        let end = groups.last().map_or(0, |group| group.start + group.length);
        self.digits.get(start..end).unwrap_or_default()
    }

    /// A run of digits, or of single digits spaced out.
    fn run(&self, groups: &[Group], place: Place) -> bool {
        let digits = self.digits_of(groups);
        let within: &[usize] = if groups.len() > 1 {
            &SPACED_LENGTHS
        } else {
            &GLUED_LENGTHS
        };
        is_card_number(digits)
            || (place == Place::FreeText
                && (digits.len() == USUAL_LENGTH && passes_luhn(digits)
                    || within
                        .iter()
                        .any(|length| digits.windows(*length).any(is_card_number))))
    }

    /// Groups of the lengths that cards have. For a number of an unknown brand, one and the same
    /// character has to part them, or every list of four numbers would be one; and years and dates
    /// begin with 0, 1 and 2.
    fn grouped(&self, groups: &[Group], place: Place) -> bool {
        let digits = self.digits_of(groups);
        let as_one_number = || {
            let mut separators = groups.iter().skip(1).map(|group| group.separator);
            let first = separators.next().flatten();
            first.is_some() && separators.all(|separator| separator == first)
        };
        is_card_number(digits)
            || (place == Place::FreeText
                && digits.len() == USUAL_LENGTH
                && digits.first().is_some_and(|digit| *digit > 2)
                && passes_luhn(digits)
                && as_one_number())
    }
}

#[cfg(test)]
mod tests {
    use super::numbers::has_brand;
    use super::*;

    /// First and last prefix of every range that is known, with its lengths: written apart from
    /// [`BRANDS`].
    const ISSUED: [(&str, &str, &[usize]); 22] = [
        ("4", "4", &[16, 19]),
        ("51", "55", &[16]),
        ("2221", "2720", &[16]),
        ("34", "34", &[15]),
        ("37", "37", &[15]),
        ("300", "305", &[14, 16, 19]),
        ("3095", "3095", &[14, 16, 19]),
        ("36", "36", &[14, 16, 19]),
        ("38", "39", &[14, 16, 19]),
        ("6011", "6011", &[16, 19]),
        ("644", "649", &[16, 19]),
        ("65", "65", &[16, 19]),
        ("3528", "3589", &[16, 19]),
        ("62", "62", &[16, 19]),
        ("8100", "8171", &[16, 19]),
        ("5018", "5018", &[16, 19]),
        ("5020", "5020", &[16, 19]),
        ("5038", "5038", &[16, 19]),
        ("5893", "5893", &[16, 19]),
        ("6304", "6304", &[16, 19]),
        ("6759", "6759", &[16, 19]),
        ("6761", "6763", &[16, 19]),
    ];

    /// Mir, and Discover's range within UnionPay's.
    const ALSO_ISSUED: [(&str, &str, &[usize]); 2] =
        [("2200", "2204", &[16, 19]), ("622126", "622925", &[16, 19])];

    fn issued() -> impl Iterator<Item = (&'static str, &'static str, &'static [usize])> {
        ISSUED.into_iter().chain(ALSO_ISSUED)
    }

    fn is_issued(prefix: &str, length: usize) -> bool {
        issued().any(|(first, last, lengths)| {
            let head = &prefix[..first.len()];
            (first..=last).contains(&head) && lengths.contains(&length)
        })
    }

    /// A number of this prefix and length that passes Luhn, with the check digit found by trial.
    fn number(prefix: &str, length: usize) -> String {
        let body = format!("{prefix:7<width$}", width = length - 1);
        let doubled = |digit: u32| digit * 2 / 10 + digit * 2 % 10;
        let check = (0..10_u32)
            .find(|check| {
                let digits = body.chars().rev().map(|c| c.to_digit(10).unwrap());
                let sum: u32 = digits
                    .enumerate()
                    .map(|(at, d)| if at % 2 == 0 { doubled(d) } else { d })
                    .sum();
                (sum + check).is_multiple_of(10)
            })
            .unwrap();
        format!("{body}{check}")
    }

    #[test]
    fn every_range_is_known_from_its_first_to_its_last_prefix_and_no_further() {
        for (first, last, lengths) in issued() {
            let (low, high): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
            for length in lengths {
                for inside in [
                    format!("{first:0<6}"),
                    format!("{last:9<6}"),
                    format!("{first:9<6}"),
                    format!("{last:0<6}"),
                ] {
                    assert!(
                        in_identifier(&number(&inside, *length)),
                        "{inside} with {length} digits"
                    );
                }
                for outside in [format!("{:9<6}", low - 1), format!("{:0<6}", high + 1)] {
                    let known = is_issued(&outside, *length);
                    assert_eq!(
                        in_identifier(&number(&outside, *length)),
                        known,
                        "{outside} with {length} digits"
                    );
                }
            }
        }
        // All prefixes of four digits, as no range is finer, against the list above.
        for prefix in (1000..10_000).flat_map(|four| [format!("{four}00"), format!("{four}99")]) {
            for length in [14, 15, 16, 19] {
                let digits: Vec<u8> = format!("{prefix:0<length$}")
                    .bytes()
                    .map(|byte| byte - b'0')
                    .collect();
                assert_eq!(
                    has_brand(&digits),
                    is_issued(&prefix, length),
                    "{prefix} with {length} digits"
                );
            }
        }
    }

    #[test]
    fn no_other_length_is_a_card_number_in_an_identifier() {
        for (first, _, lengths) in issued() {
            for length in (8..=24).filter(|length| !lengths.contains(length)) {
                let number = number(first, length);
                assert!(!in_identifier(&number), "{number}");
            }
        }
    }

    #[test]
    fn a_wrong_check_digit_is_no_card_number() {
        for (first, _, lengths) in issued() {
            for length in lengths {
                let right = number(first, *length);
                let (body, check) = right.split_at(length - 1);
                let check: u32 = check.parse().unwrap();
                for wrong in (0..10).filter(|digit| *digit != check) {
                    assert!(!in_identifier(&format!("{body}{wrong}")), "{body}{wrong}");
                }
                for at in 0..length - 1 {
                    let (left, swapped) = (right.as_bytes()[at], right.as_bytes()[at + 1]);
                    // Luhn does not see 09 and 90 swapped.
                    if left != swapped
                        && !matches!((left, swapped), (b'0', b'9') | (b'9', b'0'))
                        && at >= 6
                    {
                        let mut swap = right.clone().into_bytes();
                        swap.swap(at, at + 1);
                        assert!(!in_identifier(std::str::from_utf8(&swap).unwrap()));
                    }
                }
            }
        }
    }

    #[test]
    fn the_networks_test_numbers_are_found() {
        for number in [
            "4242424242424242",
            "4000056655665556",
            "5555555555554444",
            "2223003122003222",
            "5105105105105100",
            "378282246310005",
            "371449635398431",
            "6011111111111117",
            "6011000990139424",
            "6011981111111113",
            "3056930009020004",
            "30569309025904",
            "38520000023237",
            "36227206271667",
            "3566002020360505",
            "6200000000000005",
            "6205500000000000004",
            "6759649826438453",
            "2200770212727079",
        ] {
            assert!(in_identifier(number) && in_free_text(number), "{number}");
        }
    }

    #[test]
    fn every_way_to_group_a_card_number_is_found_in_free_text_and_in_identifiers() {
        for text in [
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "4242, 4242, 4242, 4242",
            "[4242, 4242, 4242, 4242]",
            "(4242) (4242) (4242) (4242)",
            "4242~4242~4242~4242",
            "<4242><4242><4242><4242>",
            "4242'4242\"4242`4242",
            "4242+4242+4242+4242",
            "4242\u{2013}4242\u{A0}4242 4242",
            "4242\u{1F600}4242\t4242\r\n4242",
            "4242\u{0}4242\u{7F}4242\u{9F}4242",
            "4242\u{200B}4242\u{2060}4242\u{AD}4242",
            "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
            "4-2-4-2-4-2-4-2-4-2-4-2-4-2-4-2",
            "3782 822463 10005",
            "3782-8224-6310-005",
            "3622 720627 1667",
            "3622 7206 2716 67",
            "6205 5000 0000 0000 004",
            "A4242424242424242B",
            "4242 4242 4242 4242 12/27 123",
            "2026-4242-4242-4242-4242",
            "+4242424242424242",
            "+378282246310005",
            "ref 12 4242424242424242",
            "４２４２４２４２４２４２４２４２",
            "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
            "४२४२ ४२४२ ४२४२ ४२४२",
            "④②④②④②④②④②④②④②④②",
            "⁴²⁴²⁴²⁴²⁴²⁴²⁴²⁴²",
            "\u{1D7DC}\u{1D7DA}42424242424242",
            "4\u{301}242424242424242",
            "4\u{FE0F}\u{20E3}2\u{FE0F}\u{20E3}4\u{FE0F}\u{20E3}2\u{FE0F}\u{20E3}424242424242",
            "4\u{3164}242424242424242",
            "%34%32424242424242%34%32",
            "%2534242424242424242",
            "4242%094242%C2%A04242%204242",
            "&#52;&#x32;&#X34;&#50;424242424242",
            "&#52&#50&#52&#50&#52&#50&#52&#50&#52&#50&#52&#50&#52&#50&#52&#50",
            "&amp;#52;242424242424242",
            "4242&nbsp;4242&ndash;4242&#160;4242",
            r"\u0034\u0032424242424242\u0034\u0032",
            r"\ud835\udfd2242424242424242",
            r"4242\n4242\t4242\/4242",
        ] {
            assert!(in_free_text(text), "{text}");
            assert!(in_identifier(text), "{text}");
        }
    }

    #[test]
    fn a_word_that_passes_for_an_iban_hides_no_card_number() {
        // It begins like Montenegro's, has that length, and passes modulo 97 with letters for check
        // digits.
        for text in [
            "metada4242424242424242",
            "{\"\"\"metada4242424242424242\u{0}\u{0}f{ll",
        ] {
            assert!(in_free_text(text) && in_identifier(text), "{text}");
        }
    }

    #[test]
    fn digits_glued_to_a_card_number_hide_it_in_identifiers_only() {
        for text in [
            "14242424242424242",
            "00004242424242424242",
            "202611224242424242424242",
            "42424242424242421227",
            "4242424242424242123",
            "424242424242424212271234",
            "3782822463100051227",
            "1378282246310005",
            "16205500000000000004",
            "1 4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2 1 2 2 7",
            "3 6 2 2 7 2 0 6 2 7 1 6 6 7 / 3",
            "9213344242424242424242",
        ] {
            assert!(in_free_text(text), "{text}");
            assert!(!in_identifier(text), "{text}");
        }
    }

    #[test]
    fn one_digit_more_hides_no_number_of_fifteen_digits_and_more_in_free_text() {
        for (first, last, lengths) in issued() {
            for length in lengths.iter().filter(|length| **length > 14) {
                for prefix in [first, last] {
                    let number = number(prefix, *length);
                    for text in [format!("1{number}"), format!("{number}1")] {
                        assert!(in_free_text(&text), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_whole_parcel_number_is_no_card_number_and_one_that_goes_on_is_none() {
        let weight = |at: usize| if at.is_multiple_of(2) { 1 } else { 3 };
        let sum = |text: &str| -> u32 {
            let digits = text
                .chars()
                .rev()
                .filter_map(|c| c.to_digit(10))
                .enumerate();
            digits.map(|(at, digit)| weight(at) * digit).sum()
        };
        for (before, after) in [("92", " 12"), ("95", " 00"), ("70", "")] {
            let all = (0..30).map(|two| format!("{before}{two:02} 4242 4242 4242 4242{after}"));
            let (parcels, others): (Vec<_>, Vec<_>) =
                all.partition(|text| sum(text).is_multiple_of(10));
            assert!(!parcels.is_empty() && !others.is_empty());
            for parcel in parcels {
                assert!(
                    !in_free_text(&parcel) && !in_identifier(&parcel),
                    "{parcel}"
                );
                assert!(in_free_text(&format!("{parcel}/27")), "{parcel}/27");
                assert!(in_free_text(&format!("7{parcel}")), "7{parcel}");
            }
            for other in others {
                assert!(in_free_text(&other) && in_identifier(&other), "{other}");
            }
        }
    }

    #[test]
    fn sixteen_digits_of_an_unknown_brand_count_in_free_text_only() {
        for text in [
            "7777777777777772",
            "7777 7777 7777 7772",
            "7777-7777-7777-7772",
            "9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1",
        ] {
            assert!(!in_identifier(text), "{text}");
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let passes = passes_luhn(&digits.bytes().map(|byte| byte - b'0').collect::<Vec<_>>());
            assert_eq!(in_free_text(text), passes, "{text}");
        }
        assert!(
            in_free_text(&number("70", 16))
                && !in_free_text(&number("70", 15))
                && !in_free_text(&number("70", 17))
        );
        for (numbers, parted_by, counts) in [
            ("800180038005", " ", true),
            ("800180038005", "-", true),
            ("800180038005", ", ", false),
            ("202620272028", " ", false),
        ] {
            let run = number(numbers, 16);
            let fours: Vec<&str> = run
                .as_bytes()
                .chunks(4)
                .map(|four| std::str::from_utf8(four).unwrap())
                .collect();
            let list = fours.join(parted_by);
            assert!(in_free_text(&run), "{run}");
            assert_eq!(in_free_text(&list), counts, "{list}");
        }
    }

    #[test]
    fn what_is_no_card_number_raises_no_false_alarm() {
        for text in [
            "Hotel 22.02.2026 - 01.03.2026",
            "24062026-01072026",
            "Artikel 4005808229376",
            "4551842029-00430-2026",
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
            "00000000-4242-4242-4242-424242424242",
            "order:12345678-4000-4000-8000-000000000002:1",
            "+442071838750",
            "4915112345678",
            "+49 151 123 456 78",
            "10045",
            "PO-2026-000123",
            "4500012345",
            "111-2222222-3333333",
            "1Z999AA10123456784",
            "1795376262000",
            "2026-11-22T19:37:42",
            "2026-11-22 19:37:42,318",
            "usd=1000000,jpy=1500000",
            "4242424242424241",
            "42 42 42 42 42 42 42 42",
            "42424242 42424242",
            "4222222222222",
            "",
            "50.00",
            "pi_3Nxyz0123456789abcdefGHI",
            "%",
            "&#;",
            "&#x110000;&#99999999999;",
            r"\u12",
        ] {
            assert!(!in_free_text(text), "{text}");
            assert!(!in_identifier(text), "{text}");
        }
    }

    #[test]
    fn a_whole_iban_is_no_card_number_and_hides_none_beside_it() {
        // Each holds what would be a card number, in one run or in four groups.
        for (country, rest) in [
            ("AT", "4242424242424242"),
            ("LT", "5555555555554444"),
            ("DE", "424242424242424242"),
            ("SE", "42424242424242424242"),
        ] {
            let valid = (2..99)
                .map(|check| format!("{country}{check:02}{rest}"))
                .find(|text| iban_is_valid(text))
                .unwrap();
            let fours: Vec<&str> = valid
                .as_bytes()
                .chunks(4)
                .map(|four| std::str::from_utf8(four).unwrap())
                .collect();
            for text in [
                valid.clone(),
                fours.join(" "),
                fours.join("-"),
                valid.to_lowercase(),
            ] {
                assert!(!in_free_text(&text), "{text}");
                assert!(in_free_text(&format!("{text} 4242424242424242")), "{text}");
                assert!(in_free_text(&format!("4242424242424242 {text}")), "{text}");
            }
            let check: u32 = valid[2..4].parse().unwrap();
            let wrong = format!("{country}{:02}{rest}", (check + 1) % 100);
            assert!(in_free_text(&wrong), "{wrong}");
            assert!(in_free_text(&format!("X{valid}")), "not a whole IBAN");
        }
    }

    /// Modulo 97 with whole numbers, piece by piece.
    fn iban_is_valid(text: &str) -> bool {
        let moved = format!("{}{}", &text[4..], &text[..4]);
        let digits: String = moved
            .chars()
            .map(|c| c.to_digit(36).unwrap().to_string())
            .collect();
        digits.as_bytes().chunks(7).fold(0_u64, |rest, piece| {
            let piece = std::str::from_utf8(piece).unwrap();
            format!("{rest}{piece}").parse::<u64>().unwrap() % 97
        }) == 1
    }

    #[test]
    fn decimal_digits_of_every_script_are_read() {
        for zero in [
            '0',
            '٠',
            '۰',
            '०',
            '০',
            '๐',
            '༠',
            '០',
            '᠐',
            '０',
            '\u{1D7CE}',
            '\u{1D7F6}',
            '\u{1FBF0}',
            '\u{104A0}',
        ] {
            for digit in 0..10_u8 {
                let c = char::from_u32(u32::from(zero) + u32::from(digit)).unwrap();
                assert!(matches!(kind(c), Kind::Digit(read) if read == digit), "{c}");
            }
        }
        for (c, digit) in ('\u{0}'..=char::MAX).filter_map(|c| Some((c, c.to_digit(10)?))) {
            assert!(matches!(kind(c), Kind::Digit(read) if u32::from(read) == digit));
        }
        let decimal = ('\u{0}'..=char::MAX)
            .filter(|c| c.is_numeric() && matches!(kind(*c), Kind::Digit(_)))
            .count();
        assert!(decimal > 700, "{decimal}");
    }

    #[test]
    fn quoting_masks_long_digit_runs_card_numbers_and_control_characters() {
        assert_eq!(quoted("5,00"), "\"5,00\"");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert_eq!(quoted("424242424242424"), "\"42424242424****\"");
        assert_eq!(
            quoted("(4111) 4111~4111 <4111"),
            "\"(4111) 4111~411* <****\""
        );
        assert_eq!(
            quoted("1\u{301}23456789012345"),
            "\"1\u{301}2345678901****\""
        );
        assert_eq!(quoted("4242424242424242"), "\"****************\"");
        assert_eq!(quoted("%34242424242424242"), "\"%*****************\"");
        assert!(quoted(&"x".repeat(100)).ends_with("…\""));
    }

    #[test]
    fn quoting_shows_no_card_number_that_only_the_cut_makes_one() {
        let whole = format!(r"36227206271\u003667{}1", "\u{301}".repeat(21));
        let cut: String = whole.chars().take(40).collect();
        assert!(!in_free_text(&whole) && in_free_text(&cut));
        let shown = quoted(&whole);
        assert!(!shown.contains(|c: char| c.is_ascii_digit()), "{shown}");
    }
}
