//! How often the card guard is wrong, measured both ways: on what contact centers send that is no
//! card number, and on card numbers in every form. The same 20,000 of each are made on every run,
//! and `docs/card-guard.md` has the tables: a test holds it to what is measured here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement stops where it is wrong"
)]

mod cards;
mod others;

use std::fmt::Write;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use fastrand::Rng;
use shared::card_guard::{in_free_text, in_identifier};

/// How many of each are made.
const EACH: usize = 20_000;

/// One kind of text, and what makes one.
struct Row {
    what: &'static str,
    make: fn(&mut Random) -> String,
}

/// Where everything made up comes from. For an example that is printed, a card number is one of
/// those that are public for tests: one made up may be somebody's.
struct Random {
    rng: Rng,
    example: bool,
}

impl Deref for Random {
    type Target = Rng;

    fn deref(&self) -> &Rng {
        &self.rng
    }
}

impl DerefMut for Random {
    fn deref_mut(&mut self) -> &mut Rng {
        &mut self.rng
    }
}

/// What surrounds a text in a description.
const AROUND: [(&str, &str); 8] = [
    ("", ""),
    ("Order ", ""),
    ("Rechnung ", ", danke"),
    ("2 x ", " (19.90 EUR)"),
    ("ref: ", "; call back at 10:30"),
    ("Caller asks about \"", "\" from room 12"),
    ("commande n° ", " / 3 articles"),
    ("[", "]"),
];

/// How many of a row's texts the guard finds: as identifiers, and in free text. And the first, as
/// an example.
fn found(row: &Row) -> ([usize; 2], String) {
    let example = (row.make)(&mut Random {
        rng: Rng::with_seed(0x5EED),
        example: true,
    });
    let mut random = Random {
        rng: Rng::with_seed(0x5EED),
        example: false,
    };
    let mut found = [0; 2];
    for number in 0..EACH {
        let text = (row.make)(&mut random);
        let (before, after) = AROUND[number % AROUND.len()];
        found[0] += usize::from(in_identifier(&text));
        found[1] += usize::from(in_free_text(&format!("{before}{text}{after}")));
    }
    (found, example)
}

/// A share of [`EACH`] in percent.
fn percent(share: usize) -> String {
    let thousandths = share * 100_000 / EACH;
    match (share, thousandths) {
        (0, _) => "0".to_owned(),
        (EACH, _) => "100 %".to_owned(),
        _ => format!("{}.{:03} %", thousandths / 1000, thousandths % 1000),
    }
}

/// A table as Markdown. The rates are those of what is found, or of what is not.
fn table(head: [&str; 4], rows: &[Row], misses: bool) -> (String, Vec<[usize; 2]>) {
    let mut text = format!("| {} |\n|---|---|---|---|\n", head.join(" | "));
    let mut wrong = Vec::new();
    for row in rows {
        let (found, example) = found(row);
        let rates = if misses {
            found.map(|found| EACH - found)
        } else {
            found
        };
        let visible = |c: char| {
            if c.is_ascii_graphic() || c == ' ' {
                c.to_string()
            } else {
                c.escape_debug().to_string()
            }
        };
        let example = example
            .chars()
            .map(visible)
            .collect::<String>()
            .replace('|', "\\|");
        let code = if example.contains('`') {
            format!("`` {example} ``")
        } else {
            format!("`{example}`")
        };
        writeln!(
            text,
            "| {} | {code} | {} | {} |",
            row.what,
            percent(rates[0]),
            percent(rates[1])
        )
        .unwrap();
        wrong.push(rates);
    }
    (text, wrong)
}

/// Prints the table and holds the document to it.
fn documented(text: &str) {
    eprintln!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/card-guard.md");
    assert!(
        fs::read_to_string(path).unwrap().contains(text),
        "docs/card-guard.md has other numbers than these:\n{text}"
    );
}

const FALSE_ALARMS: [&str; 4] = [
    "No card number",
    "Such as",
    "As an identifier",
    "In free text",
];
const MISSES: [&str; 4] = [
    "Card number",
    "Such as",
    "Missed as an identifier",
    "Missed in free text",
];

/// The most false alarms that a row may have: 0.1 %.
const MOST: usize = EACH / 1000;

#[test]
fn what_contact_centers_send_raises_next_to_no_false_alarm() {
    let (text, alarms) = table(FALSE_ALARMS, &others::ROWS, false);
    documented(&text);
    for (row, [identifier, free_text]) in others::ROWS.iter().zip(alarms) {
        assert!(
            identifier <= MOST && free_text <= MOST,
            "{}: {identifier}, {free_text}",
            row.what
        );
    }
}

#[test]
fn runs_of_fifteen_digits_and_more_raise_false_alarms_in_free_text_only() {
    let (text, alarms) = table(FALSE_ALARMS, &others::LONG_RUNS, false);
    documented(&text);
    for (row, [identifier, _]) in others::LONG_RUNS.iter().zip(alarms) {
        assert!(identifier <= MOST, "{}: {identifier}", row.what);
    }
}

#[test]
fn what_has_the_very_shape_of_a_card_number_is_told_from_it_by_prefix_and_check_digit_alone() {
    let (text, alarms) = table(FALSE_ALARMS, &others::SHAPED_LIKE_CARDS, false);
    documented(&text);
    for (row, [identifier, _]) in others::SHAPED_LIKE_CARDS.iter().zip(alarms) {
        // A third of all numbers has a known prefix, and a tenth of those a valid check digit.
        assert!(identifier <= EACH / 30, "{}: {identifier}", row.what);
    }
}

#[test]
fn no_card_number_is_missed_that_is_written_plainly_grouped_spaced_or_punctuated() {
    let (text, missed) = table(MISSES, &cards::PLAIN, true);
    documented(&text);
    for (row, missed) in cards::PLAIN.iter().zip(missed) {
        assert_eq!(missed, [0, 0], "{}", row.what);
    }
}

#[test]
fn no_card_number_is_missed_that_is_written_in_other_characters() {
    let (text, missed) = table(MISSES, &cards::HIDDEN, true);
    documented(&text);
    for (row, missed) in cards::HIDDEN.iter().zip(missed) {
        assert_eq!(missed, [0, 0], "{}", row.what);
    }
}

#[test]
fn digits_glued_to_a_card_number_hide_it_from_the_search_in_identifiers() {
    let (text, missed) = table(MISSES, &cards::GLUED, true);
    documented(&text);
    for (row, [_, free_text]) in cards::GLUED.iter().zip(missed) {
        assert!(
            free_text == 0 || !row.what.contains("15 or 16"),
            "{}: {free_text}",
            row.what
        );
    }
}

#[test]
fn the_forms_that_are_not_searched_for_are_documented() {
    documented(&table(MISSES, &cards::NOT_SEARCHED, true).0);
}
