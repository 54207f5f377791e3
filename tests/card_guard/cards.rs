//! Card numbers of every known range, in every form.

use crate::{Random, Row};

/// First and last prefix of every range, and the lengths that it issues: written apart from the
/// guard's own list.
const ISSUED: [(u32, u32, &[usize]); 23] = [
    (4, 4, &[16, 19]),
    (51, 55, &[16]),
    (2221, 2720, &[16]),
    (34, 34, &[15]),
    (37, 37, &[15]),
    (300, 305, &[14, 16, 19]),
    (3095, 3095, &[14, 16, 19]),
    (36, 36, &[14, 16, 19]),
    (38, 39, &[14, 16, 19]),
    (6011, 6011, &[16, 19]),
    (622_126, 622_925, &[16, 19]),
    (644, 649, &[16, 19]),
    (65, 65, &[16, 19]),
    (3528, 3589, &[16, 19]),
    (62, 62, &[16, 19]),
    (8100, 8171, &[16, 19]),
    (5018, 5018, &[16, 19]),
    (5020, 5020, &[16, 19]),
    (5038, 5038, &[16, 19]),
    (5893, 5893, &[16, 19]),
    (6304, 6304, &[16, 19]),
    (6759, 6763, &[16, 19]),
    (2200, 2204, &[16, 19]),
];

/// A number of a range's first, last or any prefix, with its check digit.
fn card(random: &mut Random) -> String {
    card_of(random, &[14, 15, 16, 19])
}

/// One of these lengths.
fn card_of(random: &mut Random, wanted: &[usize]) -> String {
    if random.example {
        let public = [
            "4242424242424242",
            "378282246310005",
            "36227206271667",
            "6205500000000000004",
        ];
        return public
            .into_iter()
            .find(|number| wanted.contains(&number.len()))
            .unwrap()
            .to_owned();
    }
    loop {
        let (first, last, lengths) = ISSUED[random.usize(..ISSUED.len())];
        let prefix = [first, last, random.u32(first..=last)][random.usize(..3)];
        // The range ends at 6763 and begins again at 6761.
        if prefix == 6760 {
            continue;
        }
        let length = lengths[random.usize(..lengths.len())];
        if !wanted.contains(&length) {
            continue;
        }
        let mut number = prefix.to_string();
        while number.len() < length - 1 {
            number.push(random.digit(10));
        }
        let sum: u32 = number
            .bytes()
            .rev()
            .enumerate()
            .map(|(at, byte)| (u32::from(byte - b'0'), at % 2 == 0))
            .map(|(digit, doubled)| {
                if doubled {
                    digit / 5 + digit * 2 % 10
                } else {
                    digit
                }
            })
            .sum();
        number.push(char::from_digit((10 - sum % 10) % 10, 10).unwrap());
        return number;
    }
}

/// A card number's groups, as cards of its length have them, or in fours.
fn groups(random: &mut Random) -> Vec<String> {
    let number = card(random);
    let lengths: &[usize] = match (number.len(), random.bool()) {
        (14, true) => &[4, 6, 4],
        (15, true) => &[4, 6, 5],
        _ => &[4, 4, 4, 4, 4],
    };
    let mut rest = number.as_str();
    let mut groups = Vec::new();
    for length in lengths {
        let (group, after) = rest.split_at((*length).min(rest.len()));
        if !group.is_empty() {
            groups.push(group.to_owned());
        }
        rest = after;
    }
    groups
}

/// What may stand between digits and is neither letter nor digit, of ASCII.
fn ascii_separator(random: &mut Random) -> char {
    loop {
        let c = char::from(random.u8(..128));
        if !c.is_ascii_alphanumeric() {
            return c;
        }
    }
}

const SEPARATORS: [char; 24] = [
    '\u{A0}',
    '\u{2009}',
    '\u{202F}',
    '\u{3000}',
    '\u{2010}',
    '\u{2013}',
    '\u{2014}',
    '\u{2212}',
    '\u{FF0D}',
    '\u{B7}',
    '\u{2022}',
    '\u{85}',
    '\u{9F}',
    '«',
    '»',
    '“',
    '€',
    '→',
    '★',
    '、',
    '。',
    '／',
    '\u{1F4B3}',
    '\u{2028}',
];

const INVISIBLE: [char; 10] = [
    '\u{AD}', '\u{200B}', '\u{200C}', '\u{200D}', '\u{200E}', '\u{2060}', '\u{FEFF}', '\u{202A}',
    '\u{2069}', '\u{3164}',
];

const MARKS: [char; 8] = [
    '\u{301}', '\u{308}', '\u{332}', '\u{336}', '\u{338}', '\u{20DD}', '\u{FE0F}', '\u{483}',
];

const ZEROS: [char; 16] = [
    '\u{660}',
    '\u{6F0}',
    '\u{7C0}',
    '\u{966}',
    '\u{9E6}',
    '\u{A66}',
    '\u{BE6}',
    '\u{E50}',
    '\u{F20}',
    '\u{17E0}',
    '\u{1810}',
    '\u{FF10}',
    '\u{104A0}',
    '\u{1D7CE}',
    '\u{1D7F6}',
    '\u{1FBF0}',
];

fn spaced(number: &str, between: &str) -> String {
    number
        .chars()
        .map(String::from)
        .collect::<Vec<_>>()
        .join(between)
}

/// Each digit as it is written by `write`, which gets it and the chance.
fn each(
    number: &str,
    random: &mut Random,
    mut write: impl FnMut(char, &mut Random) -> String,
) -> String {
    number.chars().map(|digit| write(digit, random)).collect()
}

fn in_script(digit: char, zero: char) -> String {
    char::from_u32(u32::from(zero) + digit.to_digit(10).unwrap())
        .unwrap()
        .to_string()
}

/// Plainly, grouped, spaced and punctuated.
pub(crate) const PLAIN: [Row; 14] = [
    Row {
        what: "in one run",
        make: card,
    },
    Row {
        what: "between letters",
        make: |random| format!("PAN{}X", card(random)),
    },
    Row {
        what: "behind other numbers",
        make: |random| format!("{} {}", random.u32(..99_999), card(random)),
    },
    Row {
        what: "with expiry and security code",
        make: |random| format!("{} 12/27 {}", card(random), random.u32(100..999)),
    },
    Row {
        what: "grouped, spaces",
        make: |random| groups(random).join(" "),
    },
    Row {
        what: "grouped, hyphens",
        make: |random| groups(random).join("-"),
    },
    Row {
        what: "grouped, any one ASCII character",
        make: |random| {
            let separator = String::from(ascii_separator(random));
            // `%` and `&#` begin an encoded character.
            groups(random).join(if separator == "%" { "%%" } else { &separator })
        },
    },
    Row {
        what: "grouped, one to three ASCII characters",
        make: |random| {
            let mut groups = groups(random).into_iter();
            let mut text = groups.next().unwrap();
            for group in groups {
                for _ in 0..random.usize(1..4) {
                    text.push(ascii_separator(random));
                }
                text = text.trim_end_matches(['%', '#', '&', '\\']).to_owned() + " " + &group;
            }
            text
        },
    },
    Row {
        what: "grouped, any other character",
        make: |random| groups(random).join(&String::from(SEPARATORS[random.usize(..24)])),
    },
    Row {
        what: "grouped, with expiry",
        make: |random| format!("{} 12 27", groups(random).join(" ")),
    },
    Row {
        what: "grouped, behind a year",
        make: |random| format!("2026 {}", groups(random).join(" ")),
    },
    Row {
        what: "a JSON list",
        make: |random| format!("[{}]", groups(random).join(", ")),
    },
    Row {
        what: "digit by digit, spaces",
        make: |random| spaced(&card(random), " "),
    },
    Row {
        what: "digit by digit, any one ASCII character",
        make: |random| {
            let separator = String::from(ascii_separator(random));
            spaced(
                &card(random),
                if separator == "%" { "%%" } else { &separator },
            )
        },
    },
];

/// In characters that are no ASCII digits, or encoded.
pub(crate) const HIDDEN: [Row; 14] = [
    Row {
        what: "in the digits of any one script",
        make: |random| {
            let zero = ZEROS[random.usize(..16)];
            each(&card(random), random, |digit, _| in_script(digit, zero))
        },
    },
    Row {
        what: "in the digits of many scripts",
        make: |random| {
            each(&card(random), random, |digit, random| {
                in_script(digit, ZEROS[random.usize(..16)])
            })
        },
    },
    Row {
        what: "with combining marks",
        make: |random| {
            each(&card(random), random, |digit, random| {
                match random.u8(..3) {
                    0 => format!("{digit}{}", MARKS[random.usize(..8)]),
                    _ => digit.to_string(),
                }
            })
        },
    },
    Row {
        what: "keycap emoji",
        make: |random| {
            each(&card(random), random, |digit, _| {
                format!("{digit}\u{FE0F}\u{20E3}")
            })
        },
    },
    Row {
        what: "with invisible characters",
        make: |random| {
            each(&card(random), random, |digit, random| {
                match random.u8(..3) {
                    0 => format!("{digit}{}", INVISIBLE[random.usize(..10)]),
                    _ => digit.to_string(),
                }
            })
        },
    },
    Row {
        what: "percent-encoded, some digits",
        make: |random| {
            each(&card(random), random, |digit, random| match random.bool() {
                true => format!("%{:x}", u32::from(digit)),
                false => digit.to_string(),
            })
        },
    },
    Row {
        what: "percent-encoded, every digit",
        make: |random| {
            each(&card(random), random, |digit, _| {
                format!("%{:X}", u32::from(digit))
            })
        },
    },
    Row {
        what: "percent-encoded twice",
        make: |random| {
            each(&card(random), random, |digit, _| {
                format!("%25{:x}", u32::from(digit))
            })
        },
    },
    Row {
        what: "percent-encoded separators",
        make: |random| groups(random).join(["%20", "%09", "%2D", "%C2%A0", "+"][random.usize(..5)]),
    },
    Row {
        what: "decimal HTML references",
        make: |random| {
            each(&card(random), random, |digit, _| {
                format!("&#{};", u32::from(digit))
            })
        },
    },
    Row {
        what: "hexadecimal HTML references",
        make: |random| {
            each(&card(random), random, |digit, _| {
                format!("&#x{:x};", u32::from(digit))
            })
        },
    },
    Row {
        what: "HTML references, twice",
        make: |random| {
            each(&card(random), random, |digit, _| {
                format!("&amp;#{};", u32::from(digit))
            })
        },
    },
    Row {
        what: "HTML references for separators",
        make: |random| {
            groups(random).join(["&nbsp;", "&ndash;", "&#160;", "&shy;"][random.usize(..4)])
        },
    },
    Row {
        what: "JSON escapes",
        make: |random| {
            each(&card(random), random, |digit, _| {
                format!("\\u{:04x}", u32::from(digit))
            })
        },
    },
];

/// With digits glued to it.
pub(crate) const GLUED: [Row; 10] = [
    Row {
        what: "a 1 before it, 15 or 16 digits",
        make: |random| format!("1{}", card_of(random, &[15, 16])),
    },
    Row {
        what: "padded with zeros to 20, 15 or 16 digits",
        make: |random| format!("{:0>20}", card_of(random, &[15, 16])),
    },
    Row {
        what: "a date before it, 15 or 16 digits",
        make: |random| format!("20261122{}", card_of(random, &[15, 16])),
    },
    Row {
        what: "any digits before it, 15 or 16 digits",
        make: |random| format!("{}{}", random.u32(1..999_999), card_of(random, &[15, 16])),
    },
    Row {
        what: "the expiry behind it, 15 or 16 digits",
        make: |random| format!("{}1227", card_of(random, &[15, 16])),
    },
    Row {
        what: "the security code behind it, 15 or 16 digits",
        make: |random| format!("{}{}", card_of(random, &[15, 16]), random.u32(100..999)),
    },
    Row {
        what: "expiry and security code behind it, 15 or 16 digits",
        make: |random| format!("{}1227{}", card_of(random, &[15, 16]), random.u32(100..999)),
    },
    Row {
        what: "a 1 before it, 19 digits",
        make: |random| format!("1{}", card_of(random, &[19])),
    },
    Row {
        what: "a 1 before it, 14 digits",
        make: |random| format!("1{}", card_of(random, &[14])),
    },
    Row {
        what: "the expiry behind it, 14 digits",
        make: |random| format!("{}1227", card_of(random, &[14])),
    },
];

/// As nobody searches for them, because orders, dates and telephone numbers look the same.
pub(crate) const NOT_SEARCHED: [Row; 5] = [
    Row {
        what: "in pairs",
        make: |random| in_groups_of(&card(random), 2),
    },
    Row {
        what: "in eights",
        make: |random| in_groups_of(&card(random), 8),
    },
    Row {
        what: "in fives",
        make: |random| in_groups_of(&card(random), 5),
    },
    Row {
        what: "letters between the digits",
        make: |random| spaced(&card(random), "x"),
    },
    Row {
        what: "in words",
        make: |random| {
            let words = [
                "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
            ];
            let number = card(random);
            number
                .bytes()
                .map(|byte| words[usize::from(byte - b'0')])
                .collect::<Vec<_>>()
                .join(" ")
        },
    },
];

fn in_groups_of(number: &str, length: usize) -> String {
    number
        .as_bytes()
        .chunks(length)
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}
