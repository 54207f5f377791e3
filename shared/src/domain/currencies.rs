//! The currencies that Stripe charges cards in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a currency's amounts must be written for Stripe, in its smallest unit.
/// Source: Stripe, "Supported currencies" (zero-decimal, three-decimal and special cases).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scale {
    /// The major unit is the smallest unit: ¥500 is 500.
    Zero,
    /// One hundredth: $5.00 is 500.
    Two,
    /// One thousandth, of which the last digit must be 0: KD 1.230 is 1230.
    Three,
    /// Has no decimals in use, yet is sent in hundredths that end in 00: kr 5 is 500.
    WholeInHundredths,
}

/// Every currency Stripe charges cards in, with its scale and Stripe's minimum charge in minor
/// units (0 where Stripe names none). The minimum is a courtesy: Stripe applies it after conversion
/// to the settlement currency.
pub(super) const CURRENCIES: &[(&str, Scale, u64)] = {
    use Scale::{Three, Two, WholeInHundredths, Zero};
    &[
        ("aed", Two, 200),
        ("afn", Two, 0),
        ("all", Two, 0),
        ("amd", Two, 0),
        ("ang", Two, 0),
        ("aoa", Two, 0),
        ("ars", Two, 50),
        ("aud", Two, 50),
        ("awg", Two, 0),
        ("azn", Two, 0),
        ("bam", Two, 0),
        ("bbd", Two, 0),
        ("bdt", Two, 0),
        ("bgn", Two, 0),
        ("bhd", Three, 0),
        ("bif", Zero, 0),
        ("bmd", Two, 0),
        ("bnd", Two, 0),
        ("bob", Two, 0),
        ("brl", Two, 50),
        ("bsd", Two, 0),
        ("bwp", Two, 0),
        ("byn", Two, 0),
        ("bzd", Two, 0),
        ("cad", Two, 50),
        ("cdf", Two, 0),
        ("chf", Two, 50),
        ("clp", Zero, 0),
        ("cny", Two, 0),
        ("cop", Two, 50),
        ("crc", Two, 0),
        ("cve", Two, 0),
        ("czk", Two, 1500),
        ("djf", Zero, 0),
        ("dkk", Two, 250),
        ("dop", Two, 0),
        ("dzd", Two, 0),
        ("egp", Two, 0),
        ("etb", Two, 0),
        ("eur", Two, 50),
        ("fjd", Two, 0),
        ("fkp", Two, 0),
        ("gbp", Two, 30),
        ("gel", Two, 0),
        ("gip", Two, 0),
        ("gmd", Two, 0),
        ("gnf", Zero, 0),
        ("gtq", Two, 0),
        ("gyd", Two, 0),
        ("hkd", Two, 400),
        ("hnl", Two, 0),
        ("htg", Two, 0),
        ("huf", Two, 17_500),
        ("idr", Two, 50),
        ("ils", Two, 50),
        ("inr", Two, 50),
        ("isk", WholeInHundredths, 0),
        ("jmd", Two, 0),
        ("jod", Three, 0),
        ("jpy", Zero, 50),
        ("kes", Two, 0),
        ("kgs", Two, 0),
        ("khr", Two, 0),
        ("kmf", Zero, 0),
        ("krw", Zero, 50),
        ("kwd", Three, 0),
        ("kyd", Two, 0),
        ("kzt", Two, 0),
        ("lak", Two, 0),
        ("lbp", Two, 0),
        ("lkr", Two, 0),
        ("lrd", Two, 0),
        ("lsl", Two, 0),
        ("mad", Two, 0),
        ("mdl", Two, 0),
        ("mga", Zero, 0),
        ("mkd", Two, 0),
        ("mmk", Two, 0),
        ("mnt", Two, 0),
        ("mop", Two, 0),
        ("mur", Two, 0),
        ("mvr", Two, 0),
        ("mwk", Two, 0),
        ("mxn", Two, 1000),
        ("myr", Two, 200),
        ("mzn", Two, 0),
        ("nad", Two, 0),
        ("ngn", Two, 0),
        ("nio", Two, 0),
        ("nok", Two, 300),
        ("npr", Two, 0),
        ("nzd", Two, 50),
        ("omr", Three, 0),
        ("pab", Two, 0),
        ("pen", Two, 0),
        ("pgk", Two, 0),
        ("php", Two, 50),
        ("pkr", Two, 0),
        ("pln", Two, 200),
        ("pyg", Zero, 0),
        ("qar", Two, 0),
        ("ron", Two, 200),
        ("rsd", Two, 0),
        ("rub", Two, 50),
        ("rwf", Zero, 0),
        ("sar", Two, 0),
        ("sbd", Two, 0),
        ("scr", Two, 0),
        ("sek", Two, 300),
        ("sgd", Two, 50),
        ("shp", Two, 0),
        ("sle", Two, 0),
        ("sos", Two, 0),
        ("srd", Two, 0),
        ("std", Two, 0),
        ("szl", Two, 0),
        ("thb", Two, 1000),
        ("tjs", Two, 0),
        ("tnd", Three, 0),
        ("top", Two, 0),
        ("try", Two, 0),
        ("ttd", Two, 0),
        ("twd", Two, 0),
        ("tzs", Two, 0),
        ("uah", Two, 0),
        ("ugx", WholeInHundredths, 0),
        ("usd", Two, 50),
        ("uyu", Two, 0),
        ("uzs", Two, 0),
        ("vnd", Zero, 0),
        ("vuv", Zero, 0),
        ("wst", Two, 0),
        ("xaf", Zero, 0),
        ("xcd", Two, 0),
        ("xcg", Two, 0),
        ("xof", Zero, 0),
        ("xpf", Zero, 0),
        ("yer", Two, 0),
        ("zar", Two, 50),
        ("zmw", Two, 0),
    ]
};

/// A currency Stripe charges in; its code is lowercase, as Stripe writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(&'static (&'static str, Scale, u64));

impl Currency {
    /// The currency of an ISO 4217 code in any case, or `None` where Stripe charges no such
    /// currency.
    pub fn parse(code: &str) -> Option<Self> {
        CURRENCIES
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(code))
            .map(Self)
    }

    /// Lowercase ISO 4217 code.
    pub fn code(self) -> &'static str {
        self.0.0
    }

    /// Decimals an amount in major units may have.
    pub fn decimals(self) -> usize {
        match self.0.1 {
            Scale::Zero | Scale::WholeInHundredths => 0,
            Scale::Two => 2,
            Scale::Three => 3,
        }
    }

    /// Stripe's minimum charge in minor units; 0 where Stripe names none.
    pub fn minimum_minor(self) -> u64 {
        self.0.2
    }

    /// What the smallest-unit integer must be a multiple of.
    pub(super) fn step(self) -> u64 {
        match self.0.1 {
            Scale::Zero | Scale::Two => 1,
            Scale::Three => 10,
            Scale::WholeInHundredths => 100,
        }
    }

    /// Smallest-unit integers per unit of the last written decimal.
    pub(super) fn minor_per_written_unit(self) -> u64 {
        match self.0.1 {
            Scale::WholeInHundredths => 100,
            Scale::Zero | Scale::Two | Scale::Three => 1,
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code)
            .ok_or_else(|| serde::de::Error::custom("a currency Stripe does not charge in"))
    }
}
