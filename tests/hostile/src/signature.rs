//! `Stripe-Signature`: what is accepted was signed by an active secret over this very body, at a
//! near time.

use sha2::{Digest, Sha256};
use shared::adapters::stripe::signature::{SignatureHeader, TOLERANCE_SECS};
use shared::ports::SignatureError;

use crate::outside::{NOW, WEBHOOK_SECRETS, secrets};

/// Separates header and body in the input.
const END_OF_HEADER: u8 = 0;

/// A header and a body, as [`expand`] reads them from bytes.
#[derive(Debug)]
pub struct Expanded {
    pub header: String,
    pub body: Vec<u8>,
}

/// Reads a header up to a NUL and a body after it. In the header stand: 1 and 2 for the signatures
/// of the two active secrets over the body and the last time, 3 for that of another secret, 4, 5
/// and 6 for the times now, at the edge of the tolerance and beyond it. `None` where the header is
/// not UTF-8.
pub fn expand(data: &[u8]) -> Option<Expanded> {
    let at = data
        .iter()
        .position(|byte| *byte == END_OF_HEADER)
        .unwrap_or(data.len());
    let (written, body) = (
        std::str::from_utf8(&data[..at]).ok()?,
        data.get(at + 1..).unwrap_or_default(),
    );
    let mut time = NOW.to_string();
    let mut header = String::new();
    for c in written.chars() {
        match c {
            '\u{1}' => header.push_str(&sign(WEBHOOK_SECRETS[0], &time, body)),
            '\u{2}' => header.push_str(&sign(WEBHOOK_SECRETS[1], &time, body)),
            '\u{3}' => header.push_str(&sign("whsec_of_somebody_else", &time, body)),
            '\u{4}'..='\u{6}' => {
                time = (NOW - [0, TOLERANCE_SECS, TOLERANCE_SECS + 1][c as usize - 4]).to_string();
                header.push_str(&time);
            }
            c => header.push(c),
        }
    }
    Some(Expanded {
        header,
        body: body.to_vec(),
    })
}

/// HMAC-SHA256 (RFC 2104) of time, point and body in hexadecimal.
pub fn sign(secret: &str, time: &str, body: &[u8]) -> String {
    let mut key = [0_u8; 64];
    match secret.as_bytes() {
        long if long.len() > 64 => key[..32].copy_from_slice(&Sha256::digest(long)),
        short => key[..short.len()].copy_from_slice(short),
    }
    let pad = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(time)
        .chain_update(".")
        .chain_update(body);
    let outer = Sha256::new()
        .chain_update(pad(0x5C))
        .chain_update(inner.finalize());
    hex::encode(outer.finalize())
}

fn check(header: &str, body: &[u8]) -> Result<(), SignatureError> {
    SignatureHeader::parse(header, NOW)?.verify(body, &secrets(&WEBHOOK_SECRETS))
}

/// The time and the first sixteen whole `v1` of a header whose time is readable and near.
fn read(header: &str) -> Option<(&str, Vec<&str>)> {
    let items = || {
        header
            .split(',')
            .filter_map(|item| item.split_once('='))
            .map(|(name, value)| (name.trim(), value))
    };
    let times: Vec<_> = items()
        .filter(|(name, _)| *name == "t")
        .map(|(_, value)| value)
        .collect();
    let [time] = times[..] else { return None };
    let plain = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
    let near = time
        .parse::<u64>()
        .is_ok_and(|secs| (NOW - 300..=NOW + 300).contains(&secs));
    let whole = |value: &&str| value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    let candidates = items()
        .filter(|(name, _)| *name == "v1")
        .map(|(_, value)| value)
        .filter(whole)
        .take(16);
    (plain && near).then(|| (time, candidates.collect()))
}

/// The signature header and the body it signs; see [`expand`].
///
/// # Panics
/// When a property does not hold.
pub fn signature(data: &[u8]) {
    let Some(Expanded { header, body }) = expand(data) else {
        return;
    };
    let wanted = read(&header).is_some_and(|(time, candidates)| {
        let right = WEBHOOK_SECRETS.map(|secret| sign(secret, time, &body));
        candidates.iter().any(|candidate| {
            right
                .iter()
                .any(|right| right.eq_ignore_ascii_case(candidate))
        })
    });
    let got = check(&header, &body);
    assert_eq!(got.is_ok(), wanted, "{header:?}: {got:?}");
    if let Ok(parsed) = SignatureHeader::parse(&header, NOW) {
        assert_eq!(
            parsed.verify(&body, &[]),
            Err(SignatureError::NoMatch),
            "without secrets"
        );
        assert_eq!(
            parsed.verify(&body, &secrets(&["", ""])),
            Err(SignatureError::NoMatch),
            "with empty secrets"
        );
    }
    if wanted {
        refuses_every_change(&header, &body, data);
    }
}

/// One changed byte of body, time or signature, at a place that depends on the input, and the
/// header is refused.
fn refuses_every_change(header: &str, body: &[u8], data: &[u8]) {
    let place = data.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let longer = [body, b" "].concat();
    assert_eq!(
        check(header, &longer),
        Err(SignatureError::NoMatch),
        "a longer body"
    );
    if !body.is_empty() {
        assert_eq!(
            check(header, &body[1..]),
            Err(SignatureError::NoMatch),
            "a shorter body"
        );
        let mut changed = body.to_vec();
        changed[place % body.len()] ^= 1 << (place % 8);
        assert_eq!(
            check(header, &changed),
            Err(SignatureError::NoMatch),
            "another body"
        );
    }
    let (time, _) = read(header).unwrap();
    let good = sign(WEBHOOK_SECRETS[0], time, body);
    assert_eq!(check(&format!("t={time},v1={good}"), body), Ok(()));
    for (text, is_time) in [(time, true), (good.as_str(), false)] {
        let mut changed = text.as_bytes().to_vec();
        let at = place % changed.len();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        let forged = if is_time {
            format!("t={changed},v1={good}")
        } else {
            format!("t={time},v1={changed}")
        };
        assert!(check(&forged, body).is_err(), "{forged}");
    }
}
