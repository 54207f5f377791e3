//! Amounts: read exactly or refused, by schoolbook arithmetic on digits.

use shared::money::{AmountError, Currency, Money};

/// One currency of each way Stripe counts, after its page of supported currencies: decimals that
/// may be written, zeros to append to the written digits, zeros the result must end in.
const CURRENCIES: [(&str, usize, usize, usize); 8] = [
    ("usd", 2, 0, 0),
    ("JPY", 0, 0, 0),
    ("kwd", 3, 0, 1),
    ("Bhd", 3, 0, 1),
    ("isk", 0, 2, 2),
    ("ugx", 0, 2, 2),
    ("huf", 2, 0, 0),
    ("krw", 0, 0, 0),
];

/// What a decimal should read as.
pub(crate) enum Wanted {
    Minor(String),
    NoDecimal,
    TooManyDecimals,
    Other,
}

/// The digits of an amount in the smallest unit, computed as text.
pub(crate) fn wanted(text: &str, decimals: usize, appended: usize, zeros: usize) -> Wanted {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole != "0" && whole.starts_with('0')) {
        return Wanted::NoDecimal;
    }
    let fraction = if text.contains('.') { fraction } else { "" };
    if fraction.len() > decimals {
        return Wanted::TooManyDecimals;
    }
    let padded = format!(
        "{whole}{fraction}{}",
        "0".repeat(decimals - fraction.len() + appended)
    );
    let minor = padded.trim_start_matches('0').to_owned();
    let greatest = u64::MAX.to_string();
    let fits = minor.len() < greatest.len() || (minor.len() == greatest.len() && minor <= greatest);
    if minor.is_empty() || !fits || !minor.ends_with(&"0".repeat(zeros)) {
        return Wanted::Other;
    }
    Wanted::Minor(minor)
}

/// The rule of [`CURRENCIES`] for a currency code in any case.
pub(crate) fn rule(code: &str) -> Option<(usize, usize, usize)> {
    let rule = CURRENCIES
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(code));
    rule.map(|(_, decimals, appended, zeros)| (*decimals, *appended, *zeros))
}

/// An amount: a byte that picks the currency, then the decimal. The bytes also make an integer in
/// the smallest unit.
///
/// # Panics
/// When a property does not hold.
pub fn amount(data: &[u8]) {
    let Some((pick, rest)) = data.split_first() else {
        return;
    };
    let (code, decimals, appended, zeros) = CURRENCIES[usize::from(*pick) % CURRENCIES.len()];
    let currency = Currency::parse(code).unwrap();
    if let Ok(text) = std::str::from_utf8(rest) {
        let got = Money::from_major(text, currency);
        match (&got, wanted(text, decimals, appended, zeros)) {
            (Ok(money), Wanted::Minor(minor)) => {
                assert_eq!(money.amount_minor.to_string(), minor, "{text} {code}")
            }
            (Err(AmountError::TooManyDecimals { allowed, given, .. }), Wanted::TooManyDecimals) => {
                assert_eq!(
                    (*allowed, *given),
                    (decimals, text.len() - text.find('.').unwrap() - 1),
                    "{text} {code}"
                );
            }
            (
                Err(AmountError::Empty | AmountError::NotDecimal | AmountError::Malformed),
                Wanted::NoDecimal,
            ) => {}
            (
                Err(AmountError::Zero | AmountError::TooLarge | AmountError::NotAMultiple { .. }),
                Wanted::Other,
            ) => {}
            _ => panic!("{text} {code}: {got:?}"),
        }
        if let Ok(money) = got {
            writes_and_reads_back(money);
        }
    }
    let minor = rest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let written = minor.to_string();
    match Money::from_minor(minor, currency) {
        Ok(money) => {
            assert!(
                minor > 0 && written.ends_with(&"0".repeat(zeros)),
                "{minor} {code}"
            );
            assert_eq!(money.amount_minor, minor);
            writes_and_reads_back(money);
        }
        Err(_) => assert!(
            minor == 0 || !written.ends_with(&"0".repeat(zeros)),
            "{minor} {code}"
        ),
    }
}

fn writes_and_reads_back(money: Money) {
    let major = money.major();
    let decimals = major
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    assert_eq!(decimals, rule(money.currency.code()).unwrap().0, "{major}");
    assert_eq!(
        Money::from_major(&major, money.currency),
        Ok(money),
        "{major}"
    );
    assert_eq!(
        money.to_string(),
        format!("{major} {}", money.currency.code())
    );
}
