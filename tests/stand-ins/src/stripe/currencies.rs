//! What Stripe takes an amount to be in each currency.

use super::error::StripeError;

/// Eight digits, the most the API reference allows.
const MAXIMUM: i64 = 99_999_999;

#[rustfmt::skip]
const SUPPORTED: [&str; 139] = [
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bgn", "bhd",
    "bif", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "clp", "cny", "cop",
    "crc", "cve", "czk", "djf", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip",
    "gmd", "gnf", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "isk", "jmd", "jod", "jpy",
    "kes", "kgs", "khr", "kmf", "krw", "kwd", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl",
    "mga", "mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok",
    "npr", "nzd", "omr", "pab", "pen", "pgk", "php", "pkr", "pln", "pyg", "qar", "ron", "rsd", "rub", "rwf",
    "sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs", "tnd", "top",
    "try", "ttd", "twd", "tzs", "uah", "ugx", "usd", "uyu", "uzs", "vnd", "vuv", "wst", "xaf", "xcd", "xof",
    "xpf", "yer", "zar", "zmw",
];

/// The least one can charge, where Stripe publishes it.
const MINIMUMS: [(&str, i64); 32] = [
    ("usd", 50),
    ("aed", 200),
    ("ars", 50),
    ("aud", 50),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("cop", 50),
    ("czk", 1_500),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("hkd", 400),
    ("huf", 17_500),
    ("idr", 50),
    ("ils", 50),
    ("inr", 50),
    ("jpy", 50),
    ("krw", 50),
    ("mxn", 1_000),
    ("myr", 200),
    ("nok", 300),
    ("nzd", 50),
    ("php", 50),
    ("pln", 200),
    ("ron", 200),
    ("rub", 50),
    ("sek", 300),
    ("sgd", 50),
    ("thb", 1_000),
    ("zar", 50),
    ("isk", 100),
];

/// The published minimum; the smallest unit where there is none.
pub(crate) fn minimum(currency: &str) -> i64 {
    MINIMUMS
        .iter()
        .find(|(name, _)| *name == currency)
        .map_or(1, |(_, minimum)| *minimum)
}

pub(crate) fn check_currency(currency: &str) -> Result<(), StripeError> {
    if SUPPORTED.contains(&currency) {
        return Ok(());
    }
    let message = format!(
        "Invalid currency: {currency}. Want a three-letter code in lower case that Stripe supports."
    );
    Err(StripeError::invalid(message).param("currency"))
}

pub(crate) fn check_amount(amount: i64, currency: &str, minimum: i64) -> Result<(), StripeError> {
    let step = match currency {
        // Sent as if they had two decimals, which they have not.
        "isk" | "ugx" => 100,
        // Three decimals, of which card networks carry two.
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => 10,
        _ => 1,
    };
    if amount % step != 0 {
        let message = format!("Invalid amount: {amount} {currency} is not divisible by {step}");
        return Err(StripeError::invalid(message)
            .code("parameter_invalid_integer")
            .param("amount"));
    }
    if amount < minimum {
        let message = format!(
            "Amount must be at least {minimum} {currency} in its smallest unit, got {amount}"
        );
        return Err(StripeError::invalid(message)
            .code("amount_too_small")
            .param("amount"));
    }
    if amount > MAXIMUM {
        let message = format!(
            "Amount must be no more than {MAXIMUM} {currency} in its smallest unit, got {amount}"
        );
        return Err(StripeError::invalid(message)
            .code("amount_too_large")
            .param("amount"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_their_currency() {
        let code = |amount, currency| {
            check_amount(amount, currency, minimum(currency))
                .map_err(|refused| refused.error["code"].clone())
        };
        for (amount, currency) in [
            (50, "usd"),
            (500, "ugx"),
            (50, "jpy"),
            (1_230, "kwd"),
            (MAXIMUM, "eur"),
        ] {
            assert_eq!(code(amount, currency), Ok(()), "{amount} {currency}");
        }
        for (amount, currency, want) in [
            (49, "usd", "amount_too_small"),
            (MAXIMUM + 1, "eur", "amount_too_large"),
            (1_234, "kwd", "parameter_invalid_integer"),
            (550, "isk", "parameter_invalid_integer"),
        ] {
            assert_eq!(
                code(amount, currency),
                Err(want.into()),
                "{amount} {currency}"
            );
        }
    }

    #[test]
    fn currencies_are_known_by_their_lower_case_code() {
        assert!(check_currency("zar").is_ok());
        for wrong in ["USD", "xxx", ""] {
            assert_eq!(
                check_currency(wrong).unwrap_err().error["param"],
                "currency",
                "{wrong:?}"
            );
        }
    }
}
