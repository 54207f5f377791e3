//! Money as Stripe counts it: an integer in the currency's smallest unit. No float touches an
//! amount.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use super::currencies::Currency;

/// Largest amount Stripe takes without a special arrangement, in minor units (eight digits).
pub const STRIPE_MAX_MINOR: u64 = 99_999_999;

/// An exact amount of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Stripe's smallest unit.
    pub amount_minor: u64,
    pub currency: Currency,
}

/// Why an amount was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// Another character than digits and one point: a sign, a space, a comma, an exponent, a word.
    #[error("it has a character other than digits and one decimal point")]
    NotDecimal,
    /// A point without digits on both sides, or a leading zero as in `05`.
    #[error("it is not written as a plain decimal such as 5 or 5.00")]
    Malformed,
    /// More decimals than the currency has. Never rounded.
    #[error("{currency} has {allowed} decimals and it has {given}")]
    TooManyDecimals {
        currency: Currency,
        /// Decimals of the currency.
        allowed: usize,
        /// Decimals given.
        given: usize,
    },
    /// Stripe takes only multiples of `step` minor units in this currency.
    #[error("{currency} amounts must be multiples of {step} in Stripe's smallest unit")]
    NotAMultiple {
        currency: Currency,
        /// The step in minor units.
        step: u64,
    },
    #[error("it must be greater than zero")]
    Zero,
    /// More than 64 bits of minor units hold.
    #[error("it is too large")]
    TooLarge,
}

impl Money {
    /// Reads a decimal in major units (`"50.00"`) digit by digit.
    ///
    /// # Errors
    /// [`AmountError`] says what is wrong; nothing is ever rounded or guessed.
    pub fn from_major(text: &str, currency: Currency) -> Result<Self, AmountError> {
        if text.is_empty() {
            return Err(AmountError::Empty);
        }
        if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(AmountError::NotDecimal);
        }
        let (whole, fraction) = match text.split_once('.') {
            None => (text, ""),
            Some((_, "")) => return Err(AmountError::Malformed),
            Some((_, fraction)) if fraction.contains('.') => return Err(AmountError::NotDecimal),
            Some(parts) => parts,
        };
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(AmountError::Malformed);
        }
        let allowed = currency.decimals();
        if fraction.len() > allowed {
            let given = fraction.len();
            return Err(AmountError::TooManyDecimals {
                currency,
                allowed,
                given,
            });
        }
        let padding = std::iter::repeat_n(b'0', allowed - fraction.len());
        let mut written: u64 = 0;
        for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
            written = written
                .checked_mul(10)
                .and_then(|w| w.checked_add(u64::from(digit - b'0')))
                .ok_or(AmountError::TooLarge)?;
        }
        let minor = written
            .checked_mul(currency.minor_per_written_unit())
            .ok_or(AmountError::TooLarge)?;
        Self::from_minor(minor, currency)
    }

    /// Checks an integer in Stripe's smallest unit.
    ///
    /// # Errors
    /// Zero, and integers Stripe refuses for the currency (KWD not ending in 0, ISK not ending in
    /// 00).
    pub fn from_minor(amount_minor: u64, currency: Currency) -> Result<Self, AmountError> {
        if amount_minor == 0 {
            return Err(AmountError::Zero);
        }
        let step = currency.step();
        if !amount_minor.is_multiple_of(step) {
            return Err(AmountError::NotAMultiple { currency, step });
        }
        Ok(Self {
            amount_minor,
            currency,
        })
    }

    /// The amount in major units with the currency's decimals: `50.00`, `500`, `1.230`.
    pub fn major(&self) -> String {
        let written = self.amount_minor / self.currency.minor_per_written_unit();
        match self.currency.decimals() {
            0 => written.to_string(),
            decimals => {
                let unit = 10_u64.pow(u32::try_from(decimals).unwrap_or(0));
                format!("{}.{:0decimals$}", written / unit, written % unit)
            }
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.major(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::currencies::CURRENCIES;

    fn money(text: &str, code: &str) -> Result<u64, AmountError> {
        Money::from_major(text, Currency::parse(code).expect("known currency"))
            .map(|m| m.amount_minor)
    }

    #[test]
    fn every_cent_from_one_to_a_thousand_dollars_is_exact() {
        for cents in 1..=100_000_u64 {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            assert_eq!(money(&text, "usd"), Ok(cents), "{text}");
        }
    }

    #[test]
    fn shorter_fractions_mean_the_same() {
        assert_eq!(money("50", "usd"), Ok(5000));
        assert_eq!(money("50.5", "usd"), Ok(5050));
        assert_eq!(money("0.5", "usd"), Ok(50));
    }

    #[test]
    fn stripe_scales_with_their_exceptions() {
        for (text, code, minor) in [
            ("500", "jpy", 500),
            ("500", "krw", 500),
            ("500", "mga", 500),
            ("5", "isk", 500),
            ("5", "ugx", 500),
            ("5", "huf", 500),
            ("5.25", "huf", 525),
            ("5.25", "twd", 525),
            ("1.23", "kwd", 1230),
            ("1.230", "bhd", 1230),
        ] {
            assert_eq!(money(text, code), Ok(minor), "{text} {code}");
        }
        assert_eq!(
            money("1.234", "kwd"),
            Err(AmountError::NotAMultiple {
                currency: Currency::parse("kwd").unwrap(),
                step: 10
            })
        );
        for (text, code) in [
            ("5.5", "jpy"),
            ("5.0", "krw"),
            ("5.50", "isk"),
            ("5.5", "ugx"),
            ("0.5", "mga"),
        ] {
            assert!(
                matches!(
                    money(text, code),
                    Err(AmountError::TooManyDecimals { allowed: 0, .. })
                ),
                "{text} {code}"
            );
        }
        let isk = Currency::parse("ISK").unwrap();
        assert!(Money::from_minor(550, isk).is_err());
        assert_eq!(Money::from_minor(500, isk).unwrap().major(), "5");
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused_with_its_reason() {
        let usd = Currency::parse("usd").unwrap();
        for (text, why) in [
            ("", AmountError::Empty),
            (
                "1.005",
                AmountError::TooManyDecimals {
                    currency: usd,
                    allowed: 2,
                    given: 3,
                },
            ),
            ("1e3", AmountError::NotDecimal),
            ("NaN", AmountError::NotDecimal),
            ("-1", AmountError::NotDecimal),
            ("+1", AmountError::NotDecimal),
            (" 5", AmountError::NotDecimal),
            ("5 ", AmountError::NotDecimal),
            ("5,00", AmountError::NotDecimal),
            ("1.2.3", AmountError::NotDecimal),
            ("٥", AmountError::NotDecimal),
            ("5.", AmountError::Malformed),
            (".5", AmountError::Malformed),
            (".", AmountError::Malformed),
            ("05", AmountError::Malformed),
            ("0", AmountError::Zero),
            ("0.00", AmountError::Zero),
            ("99999999999999999999", AmountError::TooLarge),
        ] {
            assert_eq!(Money::from_major(text, usd), Err(why), "{text:?}");
        }
    }

    #[test]
    fn writing_and_reading_again_gives_the_same_amount_in_every_currency() {
        for (code, scale, _) in CURRENCIES {
            let currency = Currency::parse(&code.to_uppercase()).unwrap();
            for minor in [100_u64, 1000, 12_300, 99_999_900] {
                let money = Money::from_minor(minor, currency).unwrap();
                assert_eq!(
                    Money::from_major(&money.major(), currency),
                    Ok(money),
                    "{code} {scale:?}"
                );
            }
        }
    }

    /// Every code of Stripe's page "Supported currencies": the second opinion on [`CURRENCIES`].
    /// What the page says of decimals and of the least charge is in the three lists below it.
    const SUPPORTED: &str = "\
        usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd \
        bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp \
        gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw \
        kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad \
        ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek \
        sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst \
        xaf xcd xcg xof xpf yer zar zmw";
    const ZERO_DECIMAL: &str = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf";
    const THREE_DECIMAL: &str = "bhd jod kwd omr tnd";
    /// "Backwards compatible": sent with two decimals that must be 00.
    const SPECIAL: &str = "isk ugx";
    /// In major units, as the page has them.
    const LEAST_CHARGES: &str = "\
        usd 0.50, aed 2.00, ars 0.50, aud 0.50, brl 0.50, cad 0.50, chf 0.50, cop 0.50, czk \
        15.00, dkk 2.50, eur 0.50, gbp 0.30, hkd 4.00, huf 175.00, idr 0.50, ils 0.50, inr 0.50, \
        jpy 50, krw 50, mxn 10, myr 2, nok 3.00, nzd 0.50, php 0.50, pln 2.00, ron 2.00, rub \
        0.50, sek 3.00, sgd 0.50, thb 10, zar 0.50";

    #[test]
    fn every_currency_is_charged_as_stripe_s_list_says() {
        let codes = |list: &'static str| {
            list.split_whitespace()
                .collect::<std::collections::BTreeSet<_>>()
        };
        let known: std::collections::BTreeSet<&str> =
            CURRENCIES.iter().map(|(code, ..)| *code).collect();
        assert_eq!(known, codes(SUPPORTED));
        let mut least: std::collections::BTreeMap<&str, &str> = LEAST_CHARGES
            .split(", ")
            .map(|pair| pair.split_once(' ').unwrap())
            .collect();
        for code in codes(SUPPORTED) {
            // One whole unit in Stripe's integer, the decimals one may write, and the integers in
            // between.
            let (one, decimals, step) = match code {
                _ if codes(ZERO_DECIMAL).contains(code) => (1, 0, 1),
                _ if codes(THREE_DECIMAL).contains(code) => (1000, 3, 10),
                _ if codes(SPECIAL).contains(code) => (100, 0, 100),
                _ => (100, 2, 1),
            };
            let currency = Currency::parse(code).unwrap();
            assert_eq!(money("1", code), Ok(one), "{code}");
            assert_eq!(currency.decimals(), decimals, "{code}");
            let (between, next) = (
                Money::from_minor(one + step / 2, currency),
                Money::from_minor(one + step, currency),
            );
            assert_eq!(between.is_err(), step > 1, "{code}");
            assert_eq!(
                next.map(|money| money.amount_minor),
                Ok(one + step),
                "{code}"
            );
            let least = least
                .remove(code)
                .map_or(0, |text| money(text, code).unwrap());
            assert_eq!(currency.minimum_minor(), least, "{code}");
        }
        assert!(least.is_empty(), "{least:?}");
    }

    #[test]
    fn the_table_is_sorted_without_doubles() {
        assert!(CURRENCIES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
