//! What makes a run of digits a card number: a brand's prefix and length, the groups that are
//! printed on cards, and the check digit.

/// First and last six digits of an issuer's range, and the lengths it issues.
///
/// Source: Wikipedia, "Payment card number", which has the tables that the networks publish. Left
/// out, because numbers of daily life look the same: 13 digits (Visa, Maestro), 12, 14, 15
/// (Maestro), 17 and 18 (UnionPay, Discover, JCB, Diners Club, Maestro, Mir).
pub(super) const BRANDS: [(u32, u32, &[usize]); 22] = [
    // Visa
    (400_000, 499_999, &[16, 19]),
    // Mastercard
    (222_100, 272_099, &[16]),
    (510_000, 559_999, &[16]),
    // American Express
    (340_000, 349_999, &[15]),
    (370_000, 379_999, &[15]),
    // Diners Club
    (300_000, 305_999, &[14, 16, 19]),
    (309_500, 309_599, &[14, 16, 19]),
    (360_000, 369_999, &[14, 16, 19]),
    (380_000, 399_999, &[14, 16, 19]),
    // Discover; its range 622126 to 622925 is within UnionPay's
    (601_100, 601_199, &[16, 19]),
    (644_000, 659_999, &[16, 19]),
    // JCB
    (352_800, 358_999, &[16, 19]),
    // UnionPay
    (620_000, 629_999, &[16, 19]),
    (810_000, 817_199, &[16, 19]),
    // Maestro
    (501_800, 501_899, &[16, 19]),
    (502_000, 502_099, &[16, 19]),
    (503_800, 503_899, &[16, 19]),
    (589_300, 589_399, &[16, 19]),
    (630_400, 630_499, &[16, 19]),
    (675_900, 675_999, &[16, 19]),
    (676_100, 676_399, &[16, 19]),
    // Mir
    (220_000, 220_499, &[16, 19]),
];

/// How digits are grouped on cards, and where people type cards of 14 and 15 digits in fours.
pub(super) const GROUPINGS: [&[usize]; 6] = [
    &[4, 4, 4, 4],
    &[4, 4, 4, 4, 3],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 3],
    &[4, 4, 4, 2],
];

/// The lengths looked for within longer runs of free text.
pub(super) const GLUED_LENGTHS: [usize; 3] = [15, 16, 19];

/// The same where single digits are spaced out: a list may go on before and behind them.
pub(super) const SPACED_LENGTHS: [usize; 4] = [14, 15, 16, 19];

/// The length at which a number of an unknown brand counts in free text.
pub(super) const USUAL_LENGTH: usize = 16;

pub(super) fn is_card_number(digits: &[u8]) -> bool {
    has_brand(digits) && passes_luhn(digits)
}

pub(super) fn has_brand(digits: &[u8]) -> bool {
    let prefix = digits
        .iter()
        .take(6)
        .fold(0, |number, digit| number * 10 + u32::from(*digit));
    BRANDS.iter().any(|(first, last, lengths)| {
        (*first..=*last).contains(&prefix) && lengths.contains(&digits.len())
    })
}

pub(super) fn passes_luhn(digits: &[u8]) -> bool {
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
