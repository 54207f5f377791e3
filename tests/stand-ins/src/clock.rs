//! The time a stand-in believes it is, in whole seconds.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// Follows the system clock until a test sets it.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Reading>);

#[derive(Debug, Default)]
struct Reading {
    /// The second a test has set; the system's own while absent.
    set: Option<i64>,
    ahead: i64,
}

impl Clock {
    pub(crate) fn now(&self) -> i64 {
        let reading = self.0.lock().unwrap();
        reading.set.unwrap_or_else(system_seconds) + reading.ahead
    }

    pub(crate) fn set(&self, unix_seconds: i64) {
        *self.0.lock().unwrap() = Reading {
            set: Some(unix_seconds),
            ahead: 0,
        };
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.lock().unwrap().ahead += seconds;
    }
}

fn system_seconds() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the system clock is before 1970");
    i64::try_from(since_epoch.as_secs()).expect("the system clock fits 64 bits")
}

/// `Sun, 22 Nov 2026 19:50:39 GMT`, the only date format RFC 9110 lets a server send.
pub(crate) fn http_date(unix_seconds: i64) -> String {
    // 1970-01-01 was a Thursday.
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = civil(unix_seconds);
    let weekday = WEEKDAYS[index(unix_seconds.div_euclid(DAY).rem_euclid(7))];
    let month = MONTHS[index(month - 1)];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `2026-11-22T19:50:39.000Z`, as Genesys writes times.
pub(crate) fn iso_8601(unix_seconds: i64) -> String {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = civil(unix_seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

/// The proleptic Gregorian date, by counting in 400-year eras of years that begin in March: the
/// leap day then comes last and needs no case of its own.
fn civil(unix_seconds: i64) -> Civil {
    let second_of_day = unix_seconds.rem_euclid(DAY);
    let days = unix_seconds.div_euclid(DAY) + 719_468; // since 0000-03-01
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    Civil {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * march_month + 2) / 5 + 1,
        hour: second_of_day / 3_600,
        minute: second_of_day / 60 % 60,
        second: second_of_day % 60,
    }
}

fn index(number: i64) -> usize {
    usize::try_from(number).expect("a calendar index is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_standards_ask() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(iso_8601(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso_8601(1_798_761_599), "2026-12-31T23:59:59.000Z");
    }

    #[test]
    fn a_set_clock_moves_only_when_told() {
        let clock = Clock::default();
        clock.set(1_000);
        clock.advance(5);
        assert_eq!(clock.now(), 1_005);
        clock.set(2_000);
        assert_eq!(clock.now(), 2_000);
    }
}
