//! Looks for canaries in whatever was written, in every form that text may take.

use super::*;

pub(super) const NAMED: [(&str, &str); 9] = [
    ("the Stripe key", KEY),
    ("the webhook secret", WEBHOOK),
    ("the Genesys client secret", GENESYS),
    ("the Genesys access token", ACCESS_TOKEN),
    ("the payment method", TOKEN),
    ("the declined payment method", DECLINED_TOKEN),
    ("the unknown payment method", UNKNOWN_TOKEN),
    ("the intent's client secret", CLIENT_SECRET),
    ("the API key", API_KEY),
];

/// As few characters of a secret in a row as count as a leak: a message may cut it short.
pub(super) const WINDOW: usize = 16;

/// As few digits of a card number in a row, whatever parts them.
pub(super) const CARD_WINDOW: usize = 12;

/// Looks for secrets as they are, in hexadecimal, in base64 and as lists of bytes, whole or cut
/// short.
#[derive(Default)]
pub(super) struct Search {
    pub(super) secrets: HashMap<[u8; WINDOW], String>,
    /// Whether a window begins with these two bytes, by their number, so that few places need more
    /// than a look.
    pub(super) begins: Vec<bool>,
    pub(super) cards: HashMap<[u8; CARD_WINDOW], String>,
}

impl Search {
    pub(super) fn secret(&mut self, name: &str, secret: &str) {
        let bytes = secret.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = (0..3).map(|skipped| {
            let whole = (bytes.len() - skipped) / 3 * 3;
            STANDARD_NO_PAD.encode(&bytes[skipped..skipped + whole])
        });
        for text in [secret.to_owned(), hex].into_iter().chain(base64) {
            self.begins.resize(1 << 16, false);
            for window in text.as_bytes().array_windows() {
                self.begins[begin(window)] = true;
                self.secrets
                    .entry(*window)
                    .or_insert_with(|| name.to_owned());
            }
        }
    }

    pub(super) fn card(&mut self, number: &str) {
        let windows = number
            .as_bytes()
            .array_windows()
            .map(|window| (*window, "the card number".to_owned()));
        self.cards.extend(windows);
    }

    /// The line with a secret in it, and which one.
    pub(super) fn find<'a>(&self, text: &'a str) -> Option<(&str, &'a str)> {
        text.lines().find_map(|line| {
            let shown = [line.as_bytes(), &byte_lists(line)]
                .into_iter()
                .find_map(|bytes| {
                    let mut windows = bytes
                        .array_windows()
                        .filter(|window| self.begins.get(begin(window)) == Some(&true));
                    windows
                        .find_map(|window| self.secrets.get(window))
                        .or_else(|| {
                            let digits = digits(&String::from_utf8_lossy(bytes));
                            digits
                                .array_windows()
                                .find_map(|window| self.cards.get(window))
                        })
                });
            shown.map(|name| (name.as_str(), line))
        })
    }
}

/// The number of a window's first two bytes.
pub(super) fn begin(window: &[u8; WINDOW]) -> usize {
    usize::from(u16::from_be_bytes([window[0], window[1]]))
}

/// What `Debug` shows of bytes, `[115, 107]`, read back.
pub(super) fn byte_lists(line: &str) -> Vec<u8> {
    let lists = line.split(|c: char| !(c.is_ascii_digit() || c == ',' || c == ' '));
    lists
        .flat_map(|list| {
            list.split(", ")
                .filter_map(|byte| byte.parse().ok())
                .chain([b'\n'])
        })
        .collect()
}

/// The digits of a line, JSON's escapes and other scripts read.
pub(super) fn digits(line: &str) -> Vec<u8> {
    let plain = (0..10).fold(line.to_owned(), |text, digit| {
        let escape = format!("\\u003{digit}");
        if text.contains(&escape) {
            text.replace(&escape, &digit.to_string())
        } else {
            text
        }
    });
    let digit = |c: char| match c {
        '0'..='9' => u8::try_from(c).ok(),
        '\u{FF10}'..='\u{FF19}' => u8::try_from(u32::from(c) - 0xFF10)
            .ok()
            .map(|digit| b'0' + digit),
        '\u{0660}'..='\u{0669}' => u8::try_from(u32::from(c) - 0x0660)
            .ok()
            .map(|digit| b'0' + digit),
        _ => None,
    };
    plain.chars().filter_map(digit).collect()
}

/// The search bites: what is planted in each place is found there.
#[tokio::test]
async fn a_planted_secret_is_found_wherever_it_is() {
    const PLANTED: &str = "sk_test_51QmPlantedOnPurposetV3wX6yZ9aB2cD5";
    const PLANTED_CARD: &str = "5425233430109903";
    let mut search = Search::default();
    search.secret("planted", PLANTED);
    search.card(PLANTED_CARD);
    let world = World::new().await;
    assert_eq!(search.find(&tests::logged()), None, "not there yet");
    tracing::warn!(target: "shared::planted", code = &PLANTED[8..], "planted");
    assert!(
        search
            .find(&tests::logged())
            .is_some_and(|(_, line)| line.contains("\"message\":\"planted\""))
    );
    shared::ports::telemetry::count(shared::ports::telemetry::Metric::Problems, PLANTED_CARD);
    search.secrets.clear();
    assert!(
        search
            .find(&tests::logged())
            .is_some_and(|(_, line)| line.contains("CloudWatchMetrics"))
    );
    search.secret("planted", PLANTED);

    let text = |text: &str| AttributeValue::S(text.to_owned());
    let grouped = format!("{} {}", &PLANTED_CARD[..8], &PLANTED_CARD[8..]);
    for (pk, value) in [
        ("plain", text(PLANTED)),
        (
            "in a map",
            AttributeValue::M(HashMap::from([(
                "a".to_owned(),
                AttributeValue::L(vec![text(PLANTED)]),
            )])),
        ),
        (
            "in a set",
            AttributeValue::Ss(vec!["b".to_owned(), PLANTED.to_owned()]),
        ),
        ("bytes", AttributeValue::B(PLANTED.as_bytes().into())),
        ("in base64", text(&STANDARD.encode(format!("id:{PLANTED}")))),
        (
            "cut short",
            text(&format!("the key is {}…", &PLANTED[..20])),
        ),
        ("a card number", AttributeValue::N(PLANTED_CARD.to_owned())),
        ("a card number in groups", text(&grouped)),
        (PLANTED, text("the key of an item")),
    ] {
        let put = world.dynamo.client().put_item().table_name("payments");
        put.item("pk", text(pk))
            .item("sk", text("sk"))
            .item("value", value)
            .send()
            .await
            .unwrap();
        let items = world.dynamo.items().await;
        assert!(search.find(&format!("{items:?}")).is_some(), "{pk}");
        let gone = world.dynamo.client().delete_item().table_name("payments");
        gone.key("pk", text(pk))
            .key("sk", text("sk"))
            .send()
            .await
            .unwrap();
    }
    assert!(world.dynamo.items().await.is_empty());
    for answer in [
        json!({ "detail": format!("no such key {PLANTED}") }).to_string(),
        json!({ "detail": PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect::<String>() })
            .to_string(),
        format!("{:?}", PLANTED.as_bytes()),
        format!("{:#?}", Response::new(PLANTED)),
        PLANTED_CARD
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect(),
    ] {
        assert!(search.find(&answer).is_some(), "{answer}");
    }
    for innocent in [
        CONVERSATION,
        "pi_3QmPlantedOnPurp",
        "sk_test_",
        "2026-11-22T19:37:42.318Z",
        "5425",
    ] {
        assert_eq!(search.find(innocent), None);
    }
}
