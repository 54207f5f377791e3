//! The payer's page: one HTML file, the same for everybody but for its language and whether the link can be opened.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::{Body, Response};
use sha2::{Digest, Sha256};

/// The file. Its opening tag, its one style and its one script are found by their text.
pub const HTML: &str = include_str!("page.html");

/// The opening tag as it stands in the file.
const OPENING: &str = r#"<html lang="en" data-state="open">"#;

/// The page's languages; the first is for everybody else.
pub const LANGUAGES: [&str; 4] = ["en", "es", "fr", "de"];

/// How the page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The link can be opened: the page asks for its session.
    Open,
    /// No such link. Looks just like [`Door::Gone`].
    Unknown,
    /// It has expired or done its work.
    Gone,
    /// Nobody knows at the moment.
    Unavailable,
}

impl Door {
    fn row(self) -> (StatusCode, &'static str) {
        match self {
            Self::Open => (StatusCode::OK, "open"),
            Self::Unknown => (StatusCode::NOT_FOUND, "gone"),
            Self::Gone => (StatusCode::GONE, "gone"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

/// Lets the page run its own script and style, known by their digests, and Stripe's script with the frames, requests and
/// pictures of its own. Source: Stripe, "Integration security guide", Content Security Policy.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (digest("<style>", "</style>"), digest("<script>", "</script>"));
    [
        "default-src 'none'",
        &format!("script-src 'sha256-{script}' https://js.stripe.com https://*.js.stripe.com"),
        &format!("style-src 'sha256-{style}'"),
        "frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
        "connect-src 'self' https://api.stripe.com",
        "img-src https://*.stripe.com data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    .join("; ")
});

/// The digest of what stands between two tags of the file.
fn digest(from: &str, to: &str) -> String {
    let inside = HTML.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map_or("", |(inside, _)| inside);
    STANDARD.encode(Sha256::digest(inside))
}

/// The page, in the language the payer's browser asks for (`Accept-Language`, RFC 9110).
#[must_use]
pub fn page(door: Door, accept_language: &str) -> Response<Body> {
    let (status, state) = door.row();
    let language = language(accept_language);
    let opening = format!(r#"<html lang="{language}" data-state="{state}">"#);
    let mut response = Response::new(Body::Text(HTML.replacen(OPENING, &opening, 1)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, language),
        (header::VARY, "accept-language"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    guarded(response)
}

/// Wallets in Stripe's frames may ask for a payment; nobody needs anything else.
const PERMISSIONS: &str = r#"payment=(self "https://js.stripe.com"), camera=(), microphone=(), geolocation=(), usb=()"#;

/// The headers of everything that is reached through a link: kept by nobody, passed on to nobody, and only over TLS.
pub fn guarded(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The one of our languages that the header likes best; the earlier one of two that it likes alike.
fn language(accept: &str) -> &'static str {
    let mut best = (0, LANGUAGES.first().copied().unwrap_or_default());
    for range in accept.split(',') {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        let weight = weight(parameters);
        if let Some(known) = LANGUAGES.into_iter().find(|known| *known == primary).filter(|_| weight > best.0) {
            best = (weight, known);
        }
    }
    best.1
}

/// `q=0.8` in thousandths; 1000 where there is none, 0 where it does not read.
fn weight(parameters: &str) -> u32 {
    let Some(q) = parameters.trim().strip_prefix("q=") else { return 1000 };
    match q.split_once('.').unwrap_or((q, "")) {
        ("1", _) => 1000,
        ("0", digits) if digits.len() <= 3 => format!("{digits:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
        response.headers()[name].to_str().unwrap()
    }

    #[test]
    fn the_file_has_one_opening_tag_one_style_and_one_script() {
        for once in [OPENING, "<style>", "</style>", "<script>", "</script>", "<html"] {
            assert_eq!(HTML.matches(once).count(), 1, "{once}");
        }
        assert_eq!(HTML.matches("<style").count() + HTML.matches("<script").count(), 2);
        assert!(HTML.len() < 15 * 1024, "{} bytes", HTML.len());
        for inline in ["style=\"", "javascript:", "onclick=", "onload=", "onsubmit="] {
            assert!(!HTML.contains(inline), "{inline} is not let through by the policy");
        }
    }

    #[test]
    fn unknown_and_gone_links_get_the_very_same_page() {
        let (unknown, gone) = (page(Door::Unknown, "de"), page(Door::Gone, "de"));
        assert_eq!((unknown.status().as_u16(), gone.status().as_u16()), (404, 410));
        assert_eq!((unknown.headers(), unknown.body()), (gone.headers(), gone.body()));
        let Body::Text(text) = gone.body() else { panic!("text") };
        assert!(text.contains(r#"<html lang="de" data-state="gone">"#));
    }

    #[test]
    fn the_policy_names_the_digests_of_what_is_sent() {
        let response = page(Door::Open, "");
        let policy = header(&response, "content-security-policy");
        let Body::Text(text) = response.body() else { panic!("text") };
        for (from, to) in [("<style>", "</style>"), ("<script>", "</script>")] {
            let inside = text.split_once(from).unwrap().1.split_once(to).unwrap().0;
            assert!(!inside.is_empty());
            assert!(policy.contains(&format!("'sha256-{}'", STANDARD.encode(Sha256::digest(inside)))), "{policy}");
        }
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        assert_eq!(header(&response, "x-frame-options"), "DENY");
        assert!(header(&response, "strict-transport-security").starts_with("max-age="));
    }

    #[test]
    fn the_language_is_the_one_liked_best() {
        for (accept, wanted) in [
            ("", "en"),
            ("de", "de"),
            ("de-CH", "de"),
            ("ES-mx, en;q=0.9", "es"),
            ("pt, fr;q=0.4, de;q=0.8", "de"),
            ("ja, *;q=0.5", "en"),
            ("fr;q=0, es;q=0.001", "es"),
            ("es;q=0.8, fr;q=0.8", "es"),
            ("en;q=0.5, fr ; q=1.0", "fr"),
            (";;;,,,q=", "en"),
            ("fr;q=x", "en"),
            ("english", "en"),
        ] {
            assert_eq!(language(accept), wanted, "{accept}");
        }
    }
}
