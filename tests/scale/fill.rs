//! Fills the table: every payment is a copy, under its own names, of one that the functions made.

use dynoxide::actions::scan::ScanRequest;
use dynoxide::types::item_size;
use dynoxide::{AttributeValue, Database, ImportOptions, Item};
use fastrand::Rng;
use serde_json::{Value, json};
use shared::domain::link::LinkToken;
use tests::World;

/// The table's name.
const TABLE: &str = "payments";

/// Payments of one import into the engine.
const BATCH: usize = 10_000;

/// The names of the payment of some number: the same in every run, scattered over the key space.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) conversation: String,
    pub(crate) order: String,
    intent: String,
    /// The pay link's token.
    pub(crate) token: LinkToken,
}

impl Names {
    pub(crate) fn of(number: u64) -> Self {
        let mut rng = Rng::with_seed(number);
        let intent: String = (0..24).map(|_| rng.alphanumeric()).collect();
        Self {
            conversation: conversation(number),
            order: format!("ORDER-{number:09}"),
            intent: format!("pi_{intent}"),
            token: LinkToken::from_bits(rng.u128(..).to_be_bytes()),
        }
    }

    fn all(&self) -> [String; 4] {
        [
            self.conversation.clone(),
            self.order.clone(),
            self.intent.clone(),
            self.token.sha256(),
        ]
    }
}

/// The conversation of some number, a UUID.
pub(crate) fn conversation(number: u64) -> String {
    let hex = format!("{:032x}", Rng::with_seed(number ^ u64::MAX).u128(..));
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

pub(crate) fn request(conversation: &str, order: &str) -> Value {
    json!({ "conversation_id": conversation, "order_id": order, "amount": "50.00", "currency": "usd" })
}

/// The items of one payment that the functions made, and the names in them.
struct Pattern {
    items: Vec<Item>,
    names: [String; 4],
}

impl Pattern {
    /// The items of the payment of that number.
    fn copy(&self, number: u64) -> Vec<Item> {
        let names = Names::of(number).all();
        let renamed = |value: &AttributeValue| match value {
            AttributeValue::S(text) => {
                let pairs = self.names.iter().zip(&names);
                AttributeValue::S(
                    pairs.fold(text.clone(), |text, (old, new)| text.replace(old, new)),
                )
            }
            other => other.clone(),
        };
        let copied = |item: &Item| -> Item {
            item.iter()
                .map(|(name, value)| (name.clone(), renamed(value)))
                .collect()
        };
        self.items.iter().map(copied).collect()
    }
}

/// What the table was filled with, as DynamoDB counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// All items, in bytes.
    pub(crate) bytes: usize,
    /// The largest item, in bytes.
    pub(crate) largest: usize,
}

/// How the payments of the table ended, or have not.
#[derive(Clone, Copy, Debug)]
enum End {
    Paid,
    Open,
    Canceled,
}

/// Fills an empty table with that many payments. Of ten, eight are paid and told, one is open and
/// one is canceled.
pub(crate) async fn fill(world: &World, payments: u64) -> Filled {
    world.dynamo.put_settings("merchant").await;
    let paid = make(world, End::Paid).await;
    let open = make(world, End::Open).await;
    let canceled = make(world, End::Canceled).await;
    let mut bytes = 0;
    for from in (0..payments).step_by(BATCH) {
        let numbers = from..payments.min(from + BATCH as u64);
        let items = numbers.flat_map(|number| match number % 10 {
            7 => open.copy(number),
            8 => canceled.copy(number),
            _ => paid.copy(number),
        });
        let imported =
            world
                .dynamo
                .database()
                .import_items(TABLE, items.collect(), ImportOptions::default());
        bytes += imported.expect("the engine takes the items").bytes_imported;
    }
    let stored = world.dynamo.database().table_stats().expect("statistics")[0].item_count;
    assert_eq!(
        u64::try_from(stored),
        // The three patterns are of one conversation; and the settings.
        Ok(4 * payments + 3 * 3 + 2),
        "no two payments share an item"
    );
    let sizes = [&paid, &open, &canceled]
        .into_iter()
        .flat_map(|pattern| pattern.items.iter().map(item_size));
    Filled {
        bytes,
        largest: sizes.max().unwrap_or_default(),
    }
}

/// Whether the payment of that number is paid.
pub(crate) fn is_paid(number: u64) -> bool {
    !matches!(number % 10, 7 | 8)
}

/// Lets the functions make a payment and gives its items.
async fn make(world: &World, end: End) -> Pattern {
    // The test support cancels payments of this conversation only, so it is used for all three.
    let (conversation, order) = (tests::CONVERSATION, format!("{:x<15}", format!("{end:?}-")));
    let before = all_items(world.dynamo.database());
    let made = world.post(&request(conversation, &order)).await;
    assert_eq!(made.status, 201, "{:#}", made.body);
    let (intent, url) = (made.text("payment_intent_id"), made.text("payment_url"));
    world.advance(5);
    world.deliver_all().await;
    match end {
        End::Paid => {
            assert_eq!(world.open_link(url).await.status, 200);
            world.advance(20);
            world
                .stripe
                .pay(intent, "pm_card_visa")
                .expect("a good card");
        }
        End::Open => {}
        End::Canceled => assert_eq!(
            world.cancel(&order).await.text("payment_status"),
            "CANCELED"
        ),
    }
    world.advance(2);
    world.deliver_all().await;
    let items = all_items(world.dynamo.database());
    let items: Vec<Item> = items
        .into_iter()
        .filter(|item| !before.contains(item))
        .collect();
    assert_eq!(
        items.len(),
        4,
        "a payment, its intent, its link and the newest order are new: {items:#?}"
    );
    let token = LinkToken::parse(tests::token_of(url)).expect("a token");
    Pattern {
        items,
        names: [
            conversation.to_owned(),
            order,
            intent.to_owned(),
            token.sha256(),
        ],
    }
}

fn all_items(database: &Database) -> Vec<Item> {
    let scan = ScanRequest {
        table_name: TABLE.to_owned(),
        ..ScanRequest::default()
    };
    database
        .scan(scan)
        .expect("a scan")
        .items
        .unwrap_or_default()
}
