//! The payer's page: one HTML file, the same for everybody but for its language. Nothing is read
//! for it: the token of its link follows the `#` of its address, which no browser sends.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::{HeaderName, HeaderValue, header};
use lambda_http::{Body, Response};
use sha2::{Digest, Sha256};

/// The file. Its opening tag, its one style and its one script are found by their text.
pub const HTML: &str = include_str!("page.html");

/// The opening tag as it stands in the file.
const OPENING: &str = r#"<html lang="en">"#;

/// The page's languages; the first is for everybody else.
pub const LANGUAGES: [&str; 4] = ["en", "es", "fr", "de"];

/// Lets the page run its own script and style, known by their digests, and Stripe's script with the
/// frames, requests and pictures of its own. Source: Stripe, "Integration security guide", Content
/// Security Policy.
///
/// Stripe.js puts style attributes on what it adds to the page (seen by others with a strict
/// policy, github.com/mozilla/fxa issue 2138), which digests do not admit: `style-src-attr` does.
/// Such an attribute runs nothing and, by `img-src`, loads nothing but from Stripe.
///
/// Trusted Types: the page's default policy admits script addresses of Stripe's, as the guide says
/// to do it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (
        digest("<style>", "</style>"),
        digest("<script>", "</script>"),
    );
    [
        "default-src 'none'",
        &format!("script-src 'sha256-{script}' https://js.stripe.com https://*.js.stripe.com"),
        &format!("style-src 'sha256-{style}'"),
        "style-src-attr 'unsafe-inline'",
        "frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
        "connect-src 'self' https://api.stripe.com",
        "img-src https://*.stripe.com data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
    .join("; ")
});

/// The digest of what stands between two tags of the file.
fn digest(from: &str, to: &str) -> String {
    let inside = HTML
        .split_once(from)
        .and_then(|(_, rest)| rest.split_once(to))
        .map_or("", |(inside, _)| inside);
    STANDARD.encode(Sha256::digest(inside))
}

/// The page, in the language the payer's browser asks for (`Accept-Language`, RFC 9110).
pub fn page(accept_language: &str) -> Response<Body> {
    let language = language(accept_language);
    let opening = format!(r#"<html lang="{language}">"#);
    let mut response = Response::new(Body::Text(HTML.replacen(OPENING, &opening, 1)));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, language),
        (header::VARY, "accept-language"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            OPENER,
        ),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    guarded(response)
}

/// Wallets in Stripe's frames may ask for a payment; nobody needs anything else.
const PERMISSIONS: &str =
    r#"payment=(self "https://js.stripe.com"), camera=(), microphone=(), geolocation=(), usb=()"#;

/// No page that opened this one keeps a hand on it. A window that a bank's question in a frame
/// opens keeps its way back, which `same-origin` would cut; Stripe.js does not support cross-origin
/// isolation, so there is no embedder policy. Source: Stripe, "Cross-origin isolation".
const OPENER: &str = "same-origin-allow-popups";

/// The headers of everything that is reached through a link: kept by nobody, passed on to nobody,
/// and only over TLS.
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
        let primary = tag
            .trim()
            .split('-')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let weight = weight(parameters);
        if let Some(known) = LANGUAGES
            .into_iter()
            .find(|known| *known == primary)
            .filter(|_| weight > best.0)
        {
            best = (weight, known);
        }
    }
    best.1
}

/// `q=0.8` in thousandths; 1000 where there is none, 0 where it does not read.
fn weight(parameters: &str) -> u32 {
    let Some(q) = parameters.trim().strip_prefix("q=") else {
        return 1000;
    };
    match q.split_once('.').unwrap_or((q, "")) {
        ("1", _) => 1000,
        ("0", digits) if digits.len() <= 3 => format!("{digits:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_one_opening_tag_one_style_and_one_script() {
        for once in [
            OPENING,
            "<style>",
            "</style>",
            "<script>",
            "</script>",
            "<html",
        ] {
            assert_eq!(HTML.matches(once).count(), 1, "{once}");
        }
        assert_eq!(
            HTML.matches("<style").count() + HTML.matches("<script").count(),
            2
        );
        assert!(HTML.len() < 18 * 1024, "{} bytes", HTML.len());
        for inline in [
            "style=\"",
            "javascript:",
            "onclick=",
            "onload=",
            "onsubmit=",
        ] {
            assert!(
                !HTML.contains(inline),
                "{inline} is not let through by the policy"
            );
        }
    }

    /// The digests of the style and the script that are sent.
    fn digests(text: &str) -> [String; 2] {
        [("<style>", "</style>"), ("<script>", "</script>")].map(|(from, to)| {
            let inside = text.split_once(from).unwrap().1.split_once(to).unwrap().0;
            assert!(!inside.is_empty());
            STANDARD.encode(Sha256::digest(inside))
        })
    }

    #[test]
    fn the_page_has_exactly_these_headers() {
        let response = page("de");
        let Body::Text(text) = response.body() else {
            panic!("text")
        };
        let [style, script] = digests(text);
        let policy = [
            "default-src 'none'",
            &format!("script-src 'sha256-{script}' https://js.stripe.com https://*.js.stripe.com"),
            &format!("style-src 'sha256-{style}'"),
            "style-src-attr 'unsafe-inline'",
            "frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
            "connect-src 'self' https://api.stripe.com",
            "img-src https://*.stripe.com data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
        .join("; ");
        let mut expected = vec![
            ("cache-control", "no-store"),
            ("content-language", "de"),
            ("content-security-policy", &policy),
            ("content-type", "text/html; charset=utf-8"),
            ("cross-origin-opener-policy", "same-origin-allow-popups"),
            (
                "permissions-policy",
                "payment=(self \"https://js.stripe.com\"), camera=(), microphone=(), \
                 geolocation=(), usb=()",
            ),
            ("referrer-policy", "no-referrer"),
            ("strict-transport-security", "max-age=63072000"),
            ("vary", "accept-language"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-robots-tag", "noindex, nofollow"),
        ];
        expected.sort_unstable();
        let mut sent: Vec<(&str, &str)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        sent.sort_unstable();
        assert_eq!(sent, expected);
        assert_eq!(response.status(), 200);
    }

    #[test]
    fn what_a_link_answers_is_kept_by_nobody_and_passed_on_to_nobody() {
        let mut sent: Vec<(String, String)> = guarded(Response::new(Body::Empty))
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        sent.sort_unstable();
        let expected = [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("strict-transport-security", "max-age=63072000"),
            ("x-content-type-options", "nosniff"),
        ];
        assert_eq!(
            sent,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
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
