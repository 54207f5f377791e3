//! What each character is to the search: a digit, a separator, or something that ends a number.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

/// What a character is to a number.
pub(super) enum Kind {
    Digit(u8),
    Letter,
    Separator,
    /// Marks on digits, and characters that nobody sees.
    Ignored,
}

pub(super) fn kind(c: char) -> Kind {
    if c.is_ascii() {
        return match c {
            '0'..='9' => Kind::Digit(u8::try_from(c).unwrap_or_default() - b'0'),
            c if c.is_ascii_alphabetic() => Kind::Letter,
            _ => Kind::Separator,
        };
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    match categories.get(c) {
        GeneralCategory::DecimalNumber => {
            // Unicode has the decimal digits of every script in order, in runs that begin with a
            // zero.
            let before = |distance: &u32| {
                categories.get32(u32::from(c).saturating_sub(*distance))
                    == GeneralCategory::DecimalNumber
            };
            Kind::Digit(u8::try_from((1..100).take_while(before).count() % 10).unwrap_or_default())
        }
        GeneralCategory::OtherNumber => other_digit(c).map_or(Kind::Separator, Kind::Digit),
        category
            if GeneralCategoryGroup::Mark.contains(category)
                || category == GeneralCategory::Format =>
        {
            Kind::Ignored
        }
        // Letters by name, but blank: fillers of Hangul.
        _ if matches!(c, '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}') => Kind::Ignored,
        _ if c.is_alphabetic() => Kind::Letter,
        _ => Kind::Separator,
    }
}

/// Digits above and below the line, in circles, in brackets and with a full stop.
fn other_digit(c: char) -> Option<u8> {
    let (first, digit) = match c {
        '\u{B2}'..='\u{B3}' => ('\u{B2}', 2),
        '\u{B9}' => ('\u{B9}', 1),
        '\u{2070}' | '\u{24EA}' | '\u{24FF}' | '\u{1F100}' => (c, 0),
        '\u{2074}'..='\u{2079}' => ('\u{2074}', 4),
        '\u{2080}'..='\u{2089}' => ('\u{2080}', 0),
        '\u{2460}'..='\u{2468}' => ('\u{2460}', 1),
        '\u{2474}'..='\u{247C}' => ('\u{2474}', 1),
        '\u{2488}'..='\u{2490}' => ('\u{2488}', 1),
        '\u{24F5}'..='\u{24FD}' => ('\u{24F5}', 1),
        '\u{2776}'..='\u{277E}' => ('\u{2776}', 1),
        '\u{2780}'..='\u{2788}' => ('\u{2780}', 1),
        '\u{278A}'..='\u{2792}' => ('\u{278A}', 1),
        '\u{1F101}'..='\u{1F10A}' => ('\u{1F101}', 0),
        _ => return None,
    };
    u8::try_from(u32::from(c) - u32::from(first))
        .ok()
        .map(|distance| digit + distance)
}
