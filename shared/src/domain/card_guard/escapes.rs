//! Text as it was before it was escaped.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// JSON text as its strings read. Before that, an escape such as `\u2013` would pass for digits.
pub fn unescaped(json: &str) -> Cow<'_, str> {
    json_escapes(json).map_or(Cow::Borrowed(json), Cow::Owned)
}

pub(super) fn percent_escapes(text: &str) -> Option<String> {
    match percent_decode_str(text).decode_utf8_lossy() {
        Cow::Owned(read) => Some(read),
        Cow::Borrowed(_) => None,
    }
}

/// JSON's escapes, in JSON and in what is none.
pub(super) fn json_escapes(text: &str) -> Option<String> {
    replaced(text, '\\', |after| {
        let mut chars = after.chars();
        let c = match chars.next()? {
            'n' | 'r' | 't' | 'b' | 'f' => ' ',
            c @ ('\\' | '/' | '"') => c,
            'u' => {
                let hexadecimal =
                    |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let unit = |at: usize| {
                    u16::from_str_radix(after.get(at..at + 4).filter(hexadecimal)?, 16).ok()
                };
                let first = unit(1)?;
                let second = after
                    .get(5..7)
                    .filter(|escape| *escape == "\\u")
                    .and_then(|_| unit(7));
                let mut units = std::iter::once(first).chain(second);
                return match char::decode_utf16(&mut units).next()? {
                    Ok(c) => Some((c, if c.len_utf16() == 2 { 11 } else { 5 })),
                    Err(_) => Some((char::REPLACEMENT_CHARACTER, 5)),
                };
            }
            _ => return None,
        };
        Some((c, 1))
    })
}

/// HTML's character references. No digit has a name, so any name but that of `&` stands for a
/// separator.
pub(super) fn html_entities(text: &str) -> Option<String> {
    replaced(text, '&', |after| {
        let Some(number) = after.strip_prefix('#') else {
            let name = after.get(
                ..after
                    .bytes()
                    .take(32)
                    .take_while(u8::is_ascii_alphanumeric)
                    .count(),
            )?;
            let closed = !name.is_empty() && after.get(name.len()..)?.starts_with(';');
            return closed.then_some((if name == "amp" { '&' } else { ' ' }, name.len() + 1));
        };
        let (radix, digits, before) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (16, digits, 2),
            None => (10, number, 1),
        };
        let length = digits
            .bytes()
            .take(8)
            .take_while(|byte| char::from(*byte).is_digit(radix))
            .count();
        let c = char::from_u32(u32::from_str_radix(digits.get(..length)?, radix).ok()?)?;
        let closed = usize::from(digits.get(length..)?.starts_with(';'));
        Some((c, before + length + closed))
    })
}

/// The text with every reference that begins with this mark replaced by the character it stands
/// for; `None` where there is none. `read` gets what stands behind a mark and tells the character
/// and how many bytes it read.
fn replaced(
    text: &str,
    mark: char,
    read: impl Fn(&str) -> Option<(char, usize)>,
) -> Option<String> {
    let mut replaced = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some((before, after)) = rest.split_once(mark) {
        replaced.push_str(before);
        rest = after;
        match read(after) {
            Some((c, length)) => {
                replaced.push(c);
                rest = after.get(length..).unwrap_or_default();
                any = true;
            }
            None => replaced.push(mark),
        }
    }
    replaced.push_str(rest);
    any.then_some(replaced)
}
