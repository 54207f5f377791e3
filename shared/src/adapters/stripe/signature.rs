//! Stripe's webhook signature: `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>…]`, each
//! `v1` the HMAC-SHA256 of `t`, a point and the raw body under one active endpoint secret (Stripe,
//! "Verify webhook signatures manually").

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::ports::SignatureError;

/// How far the signed time may lie from now, either way, in seconds.
pub const TOLERANCE_SECS: u64 = 300;

/// More `v1` than Stripe ever sends; bounds the work a forged header can cause.
const MAX_CANDIDATES: usize = 16;

/// The header, read; its signatures are not yet believed.
pub struct SignatureHeader<'a> {
    timestamp: &'a str,
    candidates: Vec<[u8; 32]>,
}

impl<'a> SignatureHeader<'a> {
    /// Reads a header and checks its time against `now`, in Unix seconds. Schemes other than `v1`
    /// are skipped, as is a `v1` that is not 32 bytes of hexadecimal.
    ///
    /// # Errors
    /// [`SignatureError`] but [`SignatureError::NoMatch`].
    pub fn parse(header: &'a str, now: u64) -> Result<Self, SignatureError> {
        let mut timestamp = None;
        let mut candidates = Vec::new();
        for (scheme, value) in header.split(',').filter_map(|item| item.split_once('=')) {
            match scheme.trim() {
                "t" if timestamp.is_some() => return Err(SignatureError::Timestamp),
                "t" => timestamp = Some(value),
                "v1" if candidates.len() < MAX_CANDIDATES => {
                    let mut candidate = [0; 32];
                    if hex::decode_to_slice(value, &mut candidate).is_ok() {
                        candidates.push(candidate);
                    }
                }
                _ => {}
            }
        }
        let timestamp = timestamp
            .filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(SignatureError::Timestamp)?;
        let signed_at: u64 = timestamp.parse().map_err(|_| SignatureError::Timestamp)?;
        if candidates.is_empty() {
            return Err(SignatureError::NoCandidate);
        }
        if signed_at.abs_diff(now) > TOLERANCE_SECS {
            return Err(SignatureError::OutsideTolerance);
        }
        Ok(Self {
            timestamp,
            candidates,
        })
    }

    /// Whether any `v1` is that of any of the secrets over this raw body. Compared in constant
    /// time.
    pub fn verify(&self, body: &[u8], secrets: &[SecretString]) -> Result<(), SignatureError> {
        for secret in secrets.iter().filter(|s| !s.expose_secret().is_empty()) {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            else {
                continue;
            };
            mac.update(self.timestamp.as_bytes());
            mac.update(b".");
            mac.update(body);
            if self
                .candidates
                .iter()
                .any(|candidate| mac.clone().verify_slice(candidate).is_ok())
            {
                return Ok(());
            }
        }
        Err(SignatureError::NoMatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000;
    const BODY: &[u8] = br#"{"id":"evt_1","note":"\u00e9"}"#;

    fn sign(secret: &str, t: u64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{t}.").as_bytes());
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn check(header: &str, body: &[u8]) -> Result<(), SignatureError> {
        let secrets = ["whsec_new".into(), "whsec_old".into()];
        SignatureHeader::parse(header, NOW)?.verify(body, &secrets)
    }

    #[test]
    fn a_known_vector() {
        // printf '1795000000.{}' | openssl dgst -sha256 -hmac whsec_new
        let signature = "124c703bb1845f975918910ea9c7ffd499149860253a908122aa1636522cfa5e";
        assert_eq!(
            check(&format!("t=1795000000,v1={signature}"), b"{}"),
            Ok(())
        );
    }

    #[test]
    fn good_as_first_and_as_last_of_several_under_either_secret() {
        let bad = "0".repeat(64);
        for secret in ["whsec_new", "whsec_old"] {
            let good = sign(secret, NOW, BODY);
            for header in [
                format!("t={NOW},v1={good}"),
                format!("t={NOW},v1={good},v1={bad}"),
                format!("t={NOW},v1={bad},v1={good}"),
                format!("t={NOW},v0={bad},v1=short,v1={good}"),
                format!("v1={good},t={NOW}"),
            ] {
                assert_eq!(check(&header, BODY), Ok(()), "{header}");
            }
        }
    }

    #[test]
    fn any_changed_byte_of_body_timestamp_or_signature_fails() {
        let good = sign("whsec_new", NOW, BODY);
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(
                check(&format!("t={NOW},v1={good}"), &body),
                Err(SignatureError::NoMatch)
            );
        }
        for at in 0..good.len() {
            let mut forged = good.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(
                check(&format!("t={NOW},v1={forged}"), BODY),
                Err(SignatureError::NoMatch)
            );
        }
        for t in [NOW - 1, NOW + 1, NOW - 300, NOW + 300] {
            assert_eq!(
                check(&format!("t={t},v1={good}"), BODY),
                Err(SignatureError::NoMatch)
            );
        }
        assert_eq!(
            check(&format!("t=0{NOW},v1={good}"), BODY),
            Err(SignatureError::NoMatch)
        );
    }

    #[test]
    fn short_empty_and_other_schemes_are_no_signature() {
        let good = sign("whsec_new", NOW, BODY);
        for header in [
            format!("t={NOW}"),
            format!("t={NOW},v1="),
            format!("t={NOW},v1"),
            format!("t={NOW},v1={}", &good[..62]),
            format!("t={NOW},v1={}", &good[..63]),
            format!("t={NOW},v1={good}00"),
            format!("t={NOW},v0={good}"),
            format!("t={NOW},v10={good}"),
            format!("t={NOW},V1={good}"),
        ] {
            assert_eq!(
                check(&header, BODY),
                Err(SignatureError::NoCandidate),
                "{header}"
            );
        }
    }

    #[test]
    fn the_timestamp_must_be_there_once_and_near() {
        for header in [
            "",
            "v1=00",
            "t=,v1=00",
            "t=abc,v1=00",
            "t=-5,v1=00",
            "t=99999999999999999999,v1=00",
        ] {
            assert_eq!(
                check(header, BODY),
                Err(SignatureError::Timestamp),
                "{header}"
            );
        }
        let good = sign("whsec_new", NOW, BODY);
        let twice = format!("t={NOW},t={NOW},v1={good}");
        assert_eq!(check(&twice, BODY), Err(SignatureError::Timestamp));
        for (t, expected) in [
            (NOW - 300, Ok(())),
            (NOW + 300, Ok(())),
            (NOW - 301, Err(SignatureError::OutsideTolerance)),
            (NOW + 301, Err(SignatureError::OutsideTolerance)),
        ] {
            let header = format!("t={t},v1={}", sign("whsec_new", t, BODY));
            assert_eq!(check(&header, BODY), expected, "{t}");
        }
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let header = format!("t={NOW},v1={}", sign("", NOW, BODY));
        let parsed = SignatureHeader::parse(&header, NOW).unwrap();
        assert_eq!(
            parsed.verify(BODY, &["".into()]),
            Err(SignatureError::NoMatch)
        );
        assert_eq!(parsed.verify(BODY, &[]), Err(SignatureError::NoMatch));
    }
}
