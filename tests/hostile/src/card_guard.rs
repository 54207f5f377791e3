//! The card guard: a card number that stands by itself is found in whatever surrounds it, an error
//! message shows none, and long text takes no longer than its length.

use shared::card_guard::{in_free_text, in_identifier, quoted};
use shared::fields;

/// Card numbers of every length, as they are printed.
const CARD_NUMBERS: [&str; 8] = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "378282246310005",
    "3782 822463 10005",
    "36227206271667",
    "6205500000000000004",
    "6205 5000 0000 0000 004",
];

/// Found in free text only where other digits may stand around it.
const SPACED: &str = "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2";

/// The first byte chooses a card number and where it is put into the rest.
///
/// # Panics
/// When a property does not hold.
pub fn card_guard(data: &[u8]) {
    let (choice, rest) = data
        .split_first()
        .map_or((0, data), |(first, rest)| (usize::from(*first), rest));
    let text = String::from_utf8_lossy(rest);
    if in_identifier(&text) {
        assert!(
            in_free_text(&text),
            "what an identifier may not be, free text may not hold: {text}"
        );
    }
    let shown = quoted(&text);
    assert!(!in_free_text(&shown), "{shown}");
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert!(
        shown.chars().count()
            <= 43
                + 9 * text
                    .chars()
                    .take(40)
                    .filter(|c| c.is_control() || *c == '"')
                    .count()
    );

    // Two separators on each side: within a valid IBAN, for one, the same digits are none.
    let chars: Vec<char> = text.chars().collect();
    let (before, after) = chars.split_at(choice / CARD_NUMBERS.len() * chars.len() / 32);
    let (before, after) = (
        before.iter().collect::<String>(),
        after.iter().collect::<String>(),
    );
    let card_number = CARD_NUMBERS[choice % CARD_NUMBERS.len()];
    let around = format!("{before}; {card_number} ;{after}");
    assert!(in_free_text(&around) && in_identifier(&around), "{around}");
    assert!(!quoted(&around).contains(card_number), "{around}");
    assert!(
        in_free_text(&format!("{before}; {SPACED} ;{after}")),
        "{before}; {SPACED} ;{after}"
    );
    let glued = format!("{before}; {}{card_number}", choice + 1);
    assert!(
        in_free_text(&glued) || card_number.contains([' ', '-']) || card_number.len() == 14,
        "{glued}"
    );

    for field in ["description", "order_id", "other"] {
        let body = serde_json::json!({ field: around }).to_string();
        assert!(fields::hold_card_number(&body), "{body}");
    }
}
