//! How long the far side says that something lasts: digits alone, never longer than a day, and no
//! number that ends a function when it is added to a moment.

use std::time::Duration;

use lambda_http::http::{HeaderMap, HeaderValue};
use shared::adapters::http::HttpResponse;
use shared::domain::time::{LONGEST, UnixMillis, seconds_from_outside};
use shared::ports::Deadline;

/// `Retry-After`, and two numbers of any size as durations and moments.
///
/// # Panics
/// When a property does not hold.
pub fn duration(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let digits = !text.is_empty() && text.chars().all(|character| character.is_ascii_digit());
        // Without leading zeros, six digits or more are more than a day's five.
        let number = text.trim_start_matches('0');
        let at_most = |text: &str| {
            text.bytes()
                .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
                .min(86_400)
        };
        let wanted = digits.then(|| {
            if number.len() > 5 {
                86_400
            } else {
                at_most(number)
            }
        });
        assert_eq!(
            seconds_from_outside(text).map(|read| read.as_secs()),
            wanted,
            "{text:?}"
        );
    }
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let headers = HeaderMap::from_iter([(lambda_http::http::header::RETRY_AFTER, value)]);
        let answer = HttpResponse {
            status: 429,
            headers,
            body: Vec::new(),
            took: Duration::ZERO,
        };
        let after = answer.retry_after().unwrap_or_default();
        assert!(after <= LONGEST && Deadline::after(after).remaining() <= after);
    }

    let mut numbers = data.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes
            .iter_mut()
            .zip(chunk)
            .for_each(|(byte, given)| *byte = *given);
        u64::from_le_bytes(bytes)
    });
    let (one, other) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    for length in [
        Duration::from_secs(one),
        Duration::from_millis(one),
        Duration::MAX,
    ] {
        let deadline = Deadline::after(length);
        assert!(deadline.remaining() <= length.min(LONGEST));
        assert!(deadline.less(Duration::from_secs(other)) <= deadline);
        assert!(deadline.or_after(Duration::from_secs(other)) <= deadline);
        assert!(!deadline.allows(Duration::MAX));
        let moment = UnixMillis(other);
        assert!(moment.minus(length) <= moment && moment <= moment.plus(length));
        assert_eq!(moment.apart(UnixMillis(one)), UnixMillis(one).apart(moment));
        assert!(moment.since(UnixMillis(one)) <= moment.apart(UnixMillis(one)));
    }
}
