//! Whole calls, played through the flows. The handlers answer the Data Actions, over a real
//! DynamoDB engine and a Stripe that keeps state. Only the SMS is pretended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value as Json, json};
use stand_ins::{Fault, Match, Outcome};
use tests::{CONVERSATION, Setup, World};

use super::expression::{Sound, Value};
use super::player::{Answer, Call, Caller, End, Player, Step};
use super::{AMERICAN, both, root, statuses};

const CREATE: &str = "Create Payment";
const STATUS: &str = "Get Payment Status";
const SEND: &str = "Send Payment Link";
const CONFIRM: &str = "Confirm With Token";

/// Another call than [`CONVERSATION`].
const ANOTHER_CALL: &str = "0b0e7c7e-3a53-4a3c-8f5e-6d1f6a2b9c01";

fn queue() -> End {
    End::Queue("Payments".to_owned())
}

fn caller(language: &'static str, keys: &str) -> Caller {
    let keys = keys
        .chars()
        .map(|key| (key != '-').then_some(key))
        .collect();
    Caller {
        ani: AMERICAN,
        language,
        keys,
        ..Caller::default()
    }
}

fn an_order(order_id: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("payment_order_id".to_owned(), order_id.to_owned())])
}

fn english(keys: &str) -> Player<'static> {
    Player::new(&both()[0], caller("en-us", keys))
}

fn spanish(keys: &str) -> Player<'static> {
    Player::new(&both()[0], caller("es-us", keys))
}

/// What a Data Action gets from the handler. Unset and empty inputs vanish on the way.
async fn answer(world: &World, call: &Call) -> Answer {
    let text = |name: &str| call.inputs[name].as_text().to_owned();
    let given = call
        .inputs
        .iter()
        .filter(|(_, value)| **value != Value::NotSet && **value != Value::text(""));
    let json = |value: &Value| match value {
        Value::Boolean(flag) => json!(flag),
        text => json!(text.as_text()),
    };
    let body: Json = given
        .map(|(name, value)| (name.clone(), json(value)))
        .collect();
    let reply = match call.action.as_str() {
        CREATE | CONFIRM => world.post(&body).await,
        STATUS => {
            world
                .status(&text("conversation_id"), Some(&text("order_id")))
                .await
        }
        SEND => return Answer::Success(json!({ "conversation_id": CONVERSATION })),
        other => panic!("there is no {other}"),
    };
    if reply.status < 300 {
        Answer::Success(reply.body)
    } else {
        Answer::Failure
    }
}

/// Plays a call to its end. The script sees every Data Action first, with how often that one was
/// called, and may answer it. Time passes with the silences.
async fn play(
    world: &World,
    player: &mut Player<'_>,
    mut script: impl AsyncFnMut(&Call, usize) -> Option<Answer>,
) -> End {
    let mut called: BTreeMap<String, usize> = BTreeMap::new();
    let mut waited = 0;
    loop {
        let call = match player.go() {
            Step::Ended(end) => return end,
            Step::Call(call) => call,
        };
        world.advance((player.silence() - waited) / 1000);
        waited = player.silence();
        let times = called.entry(call.action.clone()).or_default();
        *times += 1;
        let answer = match script(&call, *times).await {
            Some(answer) => answer,
            None => answer(world, &call).await,
        };
        player.answer(&answer);
    }
}

/// A deployment that gives no pay links.
async fn without_pay_links() -> World {
    World::with(Setup {
        pay_link_base: "",
        ..Setup::default()
    })
    .await
}

fn the_intent(world: &World) -> String {
    world.stripe.intents().last().unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The caller pays on the page, and Stripe's event arrives.
async fn pay(world: &World, payment_method: &str) {
    let _declined = world.stripe.pay(&the_intent(world), payment_method);
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
}

/// Another call asks for a payment of an order in dollars; gives its link.
async fn in_another_call(world: &World, order_id: &str, amount: &str) -> String {
    let body = json!({
        "conversation_id": ANOTHER_CALL, "order_id": order_id, "amount": amount, "currency": "usd",
    });
    let answer = world.post(&body).await;
    assert!([200, 201].contains(&answer.status), "{:#}", answer.body);
    answer.text("payment_url").to_owned()
}

/// The link in the SMS that a call sends, if it is one.
fn link_sent(call: &Call) -> Option<String> {
    let text = (call.action == SEND).then(|| call.inputs["text_body"].as_text())?;
    Some(text.rsplit(' ').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_caller_pays_by_link_and_is_told() {
    let world = World::new().await;
    let mut player = english("1");
    let (mut sent, mut link) = (None, String::new());
    let end = play(&world, &mut player, async |call, times| {
        if let Some(found) = link_sent(call) {
            (sent, link) = (Some(call.inputs.clone()), found);
        }
        match (call.action.as_str(), times) {
            (STATUS, 2) => assert_eq!(world.open_link(&link).await.text("state"), "open"),
            (STATUS, 3) => pay(&world, "pm_card_visa").await,
            _ => {}
        }
        None
    })
    .await;
    assert_eq!(end, End::HungUp);
    assert_eq!(
        player.visited[1..],
        [
            "English",
            CREATE,
            "Offer Link",
            "Ask",
            "Send Link",
            "Wait",
            "Paid"
        ]
    );
    assert!(player.said("You are about to pay 1.00 USD."));
    assert_eq!(
        player.heard.last(),
        Some(&Sound::Speech(player.text("Flow.say_confirmed")))
    );
    let sent = sent.unwrap();
    assert_eq!(sent["to_address"], Value::text("+13125550187"));
    assert_eq!(sent["from_address"], Value::text("+12025550143"));
    assert_eq!(
        sent["text_body"],
        Value::Text(format!("{} {link}", player.text("Flow.sms_text")))
    );
    assert_eq!(world.open_link(&link).await.text("state"), "paid");

    // The webhook writes the very same, and what the flow cannot know: how far the caller has come
    // on the page.
    let mut told = world.genesys.attributes(CONVERSATION);
    assert_eq!(
        told.remove("payment_progress").as_deref(),
        Some("confirmed")
    );
    assert_eq!(told.len(), 4);
    for (name, value) in &told {
        assert_eq!(player.caller.data.get(name), Some(value), "{name}");
    }
    let progress: Vec<_> = world
        .genesys
        .patches()
        .into_iter()
        .map(|patch| patch.attributes["payment_progress"].clone())
        .collect();
    assert_eq!(progress, ["link_opened", "confirmed"]);
    assert_eq!(player.caller.data["payment_order_id"], "TEST-1");
    assert_eq!(
        (world.stripe.intents().len(), world.stripe.charges().len()),
        (1, 1)
    );
}

/// The characters of the GSM 7-bit default alphabet (3GPP TS 23.038). Those that it escapes count
/// twice and are not here.
const GSM_7: &str = concat!(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
);

#[tokio::test]
async fn the_text_and_a_link_on_a_domain_of_thirty_characters_fit_one_sms_in_every_language() {
    const DOMAIN: &str = "https://pay.a-shop-of-some-length.test";
    assert_eq!(DOMAIN.len(), "https://".len() + 30);
    let world = World::with(Setup {
        pay_link_base: DOMAIN,
        ..Setup::default()
    })
    .await;
    let languages = both()[0].root["supportedLanguages"]
        .as_mapping()
        .unwrap()
        .keys();
    for language in languages.map(|code| code.as_str().unwrap()) {
        let mut player = Player::new(&both()[0], caller(language, "1"));
        let mut text = String::new();
        play(&world, &mut player, async |call, _| {
            if call.action == SEND {
                call.inputs["text_body"].as_text().clone_into(&mut text);
            }
            None
        })
        .await;
        let (said, link) = text.rsplit_once(' ').unwrap();
        assert_eq!(said, player.text("Flow.sms_text"), "{language}");
        assert_eq!(link.len(), DOMAIN.len() + "/pay#".len() + 22, "{link}");
        assert!(text.chars().count() <= 160, "{language}: {text}");
        assert!(
            text.chars().all(|character| GSM_7.contains(character)),
            "{language}: {text}"
        );
    }
}

#[tokio::test]
async fn the_order_of_an_earlier_flow_is_the_one_that_is_paid() {
    let world = World::new().await;
    let mut player = spanish("2");
    player.caller.data = [
        ("payment_order_id", "A-7"),
        ("payment_amount", "49.90"),
        ("payment_currency", "EUR"),
        ("payment_description", "Boots"),
        ("payment_receipt_email", "a@b.example"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let end = play(&world, &mut player, async |_, _| None).await;
    assert_eq!(end, queue());
    let intent = &world.stripe.intents()[0];
    assert_eq!(
        (&intent["amount"], &intent["currency"]),
        (&json!(4990), &json!("eur"))
    );
    assert_eq!(
        (&intent["description"], &intent["receipt_email"]),
        (&json!("Boots"), &json!("a@b.example"))
    );
    assert_eq!(
        (
            &intent["metadata"]["order_id"],
            player.times("Flow.say_agent")
        ),
        (&json!("A-7"), 1)
    );
    assert!(player.said("Usted va a pagar 49.90 EUR."));
    assert_eq!(
        (
            player.caller.data["payment_amount"].as_str(),
            player.caller.data["payment_currency"].as_str()
        ),
        ("49.90", "eur")
    );
}

#[tokio::test]
async fn a_decline_is_told_once_and_another_card_pays() {
    let world = World::new().await;
    let mut player = english("11");
    let end = play(&world, &mut player, async |call, times| {
        match (call.action.as_str(), times) {
            (STATUS, 2) => pay(&world, "pm_card_visa_chargeDeclinedInsufficientFunds").await,
            (STATUS, 9) => pay(&world, "pm_card_visa").await,
            _ => {}
        }
        None
    })
    .await;
    assert_eq!(end, End::HungUp);
    assert!(player.said(
        "The card has insufficient funds or has reached its limit. Please try another card."
    ));
    assert_eq!(
        player
            .visited
            .iter()
            .filter(|task| *task == "Declined")
            .count(),
        1,
        "{:?}",
        player.visited
    );
    assert_eq!(
        (
            player.times("Flow.say_try_again"),
            player.times("Flow.say_confirmed")
        ),
        (1, 1)
    );
    assert_eq!(
        (world.stripe.intents().len(), world.stripe.charges().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn another_decline_after_the_first_is_told_as_well() {
    let world = World::new().await;
    let mut player = english("112");
    let end = play(&world, &mut player, async |call, times| {
        match (call.action.as_str(), times) {
            (STATUS, 2) => pay(&world, "pm_card_visa_chargeDeclinedInsufficientFunds").await,
            (STATUS, 5) => pay(&world, "pm_card_visa_chargeDeclined").await,
            _ => {}
        }
        None
    })
    .await;
    assert_eq!((end, player.times("Flow.say_try_again")), (queue(), 2));
    assert_eq!(player.caller.data["payment_reason"], "generic_decline");
}

/// Every decline code that the service knows by name, and two that it does not.
fn decline_codes() -> BTreeSet<String> {
    let source = fs::read_to_string(root().join("shared/src/domain/speech.rs")).unwrap();
    let (_, after) = source.split_once("const HOPELESS").unwrap();
    let (rules, _) = after.split_once("#[cfg(test)]").unwrap();
    let quoted = rules.split('"').skip(1).step_by(2);
    let codes = quoted.filter(|text| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    });
    codes
        .map(str::to_owned)
        .chain(["generic_decline", "new_code_of_next_year"].map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn every_decline_code_is_told_apart_as_the_service_tells_it_and_none_is_tried_again_against_its_word()
 {
    let world = World::new().await;
    let codes = decline_codes();
    assert!(
        codes.len() > 25 && codes.contains("stolen_card") && codes.contains("invalid_cvc"),
        "{codes:?}"
    );
    let mut sentences: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (index, code) in codes.iter().enumerate() {
        let token = format!("pm_new{index}");
        world
            .stripe
            .add_payment_method(&token, Outcome::decline(code));
        let order = an_order(&format!("D-{index}"));
        let mut service = Json::Null;
        let mut told = Vec::new();
        // The second call finds the payment declined.
        for (language, keys) in [("en-us", "12"), ("es-us", "2")] {
            let mut player = Player::new(
                &both()[0],
                Caller {
                    data: order.clone(),
                    ..caller(language, keys)
                },
            );
            let end = play(&world, &mut player, async |call, _| {
                if call.action == STATUS {
                    if service.is_null() {
                        pay(&world, &token).await;
                    }
                    let Answer::Success(reply) = answer(&world, call).await else {
                        panic!("no status")
                    };
                    service = reply;
                }
                None
            })
            .await;
            assert_eq!(
                (
                    service["payment_status"].as_str(),
                    service["reason_code"].as_str()
                ),
                (Some("DECLINED"), Some(code.as_str()))
            );
            assert_eq!(end, queue(), "{code}");
            let retryable = service["retryable"].as_bool().unwrap();
            assert_eq!(player.times("Flow.say_try_again") > 0, retryable, "{code}");
            // The last word before the agent's, or before the question.
            let texts = ["Flow.say_agent", "Flow.say_try_again"].map(|name| player.text(name));
            let mut spoken = player.heard.iter().filter_map(|sound| match sound {
                Sound::Speech(said) if !texts.contains(said) => Some(said),
                _ => None,
            });
            let sentence = spoken.next_back().unwrap();
            told.push(sentence.clone());
        }
        assert_eq!(told[0], service["caller_message"], "{code}");
        sentences
            .entry(told[0].clone())
            .or_default()
            .insert(told[1].clone());
    }
    assert!(
        sentences.values().all(|other| other.len() == 1),
        "{sentences:#?}"
    );
    assert_eq!(
        sentences.values().flatten().collect::<BTreeSet<_>>().len(),
        sentences.len(),
        "{sentences:#?}"
    );
}

#[tokio::test]
async fn a_payment_that_cannot_be_made_is_tried_again_or_given_to_an_agent() {
    let world = World::new().await;
    world
        .stripe
        .outage(Match::post("/v1/payment_intents"), Fault::status(503));
    let mut player = english("1111");
    let end = play(&world, &mut player, async |_, _| None).await;
    assert_eq!(
        (
            end,
            player.questions,
            player.times("Flow.say_create_failed")
        ),
        (queue(), 2, 3)
    );
    assert_eq!(player.caller.data["payment_error"], "bad.gateway");
    assert_eq!(player.caller.data["payment_order_id"], "TEST-1");

    // The caller need not wait that long, and who says nothing gets to somebody, too.
    for (keys, questions) in [("2", 1), ("", 2), ("9-", 2), ("-2", 2)] {
        let mut player = english(keys);
        assert_eq!(
            play(&world, &mut player, async |_, _| None).await,
            queue(),
            "{keys}"
        );
        assert_eq!(player.questions, questions, "{keys}");
    }

    // What failed before works later.
    let mut player = english("1");
    let end = play(&world, &mut player, async |call, times| {
        if (call.action.as_str(), times) == (CREATE, 1) {
            return Some(Answer::Timeout);
        }
        world.stripe.clear_faults();
        None
    })
    .await;
    assert_eq!(
        (
            end,
            player.times("Flow.say_create_slow"),
            player.times("Flow.say_offer_link")
        ),
        (queue(), 1, 2)
    );
    assert_eq!(world.stripe.intents().len(), 1);
}

#[tokio::test]
async fn without_a_payment_page_the_caller_holds_or_speaks_to_somebody() {
    let world = without_pay_links().await;
    let mut player = english("2");
    assert_eq!(play(&world, &mut player, async |_, _| None).await, queue());
    assert_eq!(
        (
            player.times("Flow.say_no_link"),
            player.times("Flow.say_link_sent")
        ),
        (1, 0)
    );

    // Holding waits for a payment that is made elsewhere.
    let mut player = english("1");
    let end = play(&world, &mut player, async |call, times| {
        if (call.action.as_str(), times) == (STATUS, 2) {
            pay(&world, "pm_card_visa").await;
        }
        None
    })
    .await;
    assert_eq!((end, player.times("Flow.say_confirmed")), (End::HungUp, 1));

    // Nobody is told to use a link that there is not.
    let mut player = Player::new(
        &both()[0],
        Caller {
            data: an_order("B-2"),
            ..caller("en-us", "12")
        },
    );
    assert_eq!(play(&world, &mut player, async |_, _| None).await, queue());
    assert_eq!(
        (
            player.times("Flow.say_not_yet"),
            player.times("Flow.say_hold_or_speak")
        ),
        (1, 2)
    );
    assert_eq!(player.times("Flow.say_wait_or_speak"), 0);
}

#[tokio::test]
async fn a_link_that_cannot_be_sent_is_tried_again_or_given_to_an_agent() {
    let world = World::new().await;
    let mut player = english("1112");
    let end = play(&world, &mut player, async |call, times| {
        match (call.action.as_str(), times) {
            (SEND, 1) => Some(Answer::Failure),
            (SEND, 2) => Some(Answer::Timeout),
            _ => None,
        }
    })
    .await;
    assert_eq!(
        (
            end,
            player.times("Flow.say_link_failed"),
            player.times("Flow.say_link_slow")
        ),
        (queue(), 1, 1)
    );
    assert_eq!(player.times("Flow.say_link_sent"), 1);

    let mut player = Player::new(
        &both()[0],
        Caller {
            ani: "anonymous",
            ..caller("en-us", "1")
        },
    );
    let end = play(&world, &mut player, async |_, _| None).await;
    assert_eq!(
        (end, player.times("Flow.say_no_mobile"), player.questions),
        (queue(), 1, 0)
    );
}

#[tokio::test]
async fn a_caller_who_does_not_pay_is_asked_after_three_minutes() {
    let world = World::new().await;
    let mut player = english("11-2");
    let mut asked = 0;
    let end = play(&world, &mut player, async |call, _| {
        asked += usize::from(call.action == STATUS);
        None
    })
    .await;
    assert_eq!((end, asked), (queue(), 72));
    assert_eq!(
        (
            player.times("Flow.say_not_yet"),
            player.times("Flow.say_waiting")
        ),
        (2, 12)
    );
    let waits = player
        .heard
        .iter()
        .filter(|sound| **sound == Sound::Silence(5000))
        .count();
    assert_eq!(waits * 5, 360);
    assert_eq!(player.caller.data["payment_status"], "PENDING");
}

#[tokio::test]
async fn a_canceled_payment_begins_anew_as_another_attempt() {
    let world = World::new().await;
    let mut player = english("1112");
    let end = play(&world, &mut player, async |call, times| {
        if (call.action.as_str(), times) == (STATUS, 1) {
            world.stripe.cancel(&the_intent(&world), None).unwrap();
            assert_eq!(world.deliver(&world.last_event()).await.status, 200);
        }
        None
    })
    .await;
    assert_eq!((end, player.times("Flow.say_canceled")), (queue(), 1));
    assert_eq!(world.stripe.intents().len(), 2);
    assert_eq!(player.caller.data["stripe_intent_id"], the_intent(&world));
}

#[tokio::test]
async fn a_caller_who_calls_again_pays_the_same_payment() {
    let world = World::new().await;
    let mut links = Vec::new();
    for (conversation, keys, pays) in [(CONVERSATION, "12", false), (ANOTHER_CALL, "1", true)] {
        let caller = Caller {
            conversation,
            ..caller("en-us", keys)
        };
        let mut player = Player::new(&both()[0], caller);
        let end = play(&world, &mut player, async |call, times| {
            links.extend(link_sent(call));
            if pays && (call.action.as_str(), times) == (STATUS, 2) {
                pay(&world, "pm_card_visa").await;
            }
            None
        })
        .await;
        assert_eq!(end, if pays { End::HungUp } else { queue() });
        assert_eq!(player.times("Flow.say_confirmed"), usize::from(pays));
    }
    assert_eq!(links.len(), 2);
    for link in links {
        assert_eq!(world.open_link(&link).await.text("state"), "paid");
    }
    assert_eq!(
        (world.stripe.intents().len(), world.stripe.charges().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn an_order_that_is_paid_in_another_call_is_told_as_such() {
    for capture_method in ["automatic", "manual"] {
        for begin in [english, spanish] {
            let world = World::with(Setup {
                capture_method,
                ..Setup::default()
            })
            .await;
            in_another_call(&world, "TEST-1", "1.00").await;
            world.advance(5);
            pay(&world, "pm_card_visa").await;
            let mut player = begin("");
            let end = play(&world, &mut player, async |_, _| None).await;
            assert_eq!((end, player.questions), (End::HungUp, 0));
            assert_eq!(player.visited[2..], [CREATE, "Paid"]);
            for (text, times) in [
                ("Flow.say_already_paid", 1),
                ("Flow.say_goodbye", 1),
                ("Flow.say_confirmed", 0),
                ("Flow.say_authorized", 0),
            ] {
                assert_eq!(player.times(text), times, "{text}");
            }
            assert_eq!(world.stripe.intents().len(), 1);
        }
    }
}

#[tokio::test]
async fn an_order_that_is_paid_at_another_price_goes_to_an_agent() {
    let world = World::new().await;
    in_another_call(&world, "TEST-1", "2.00").await;
    world.advance(5);
    pay(&world, "pm_card_visa").await;
    for replace in ["", "true"] {
        let mut player = english("");
        let data = &mut player.caller.data;
        data.insert("payment_replace".to_owned(), replace.to_owned());
        let end = play(&world, &mut player, async |_, _| None).await;
        assert_eq!((end, player.questions), (queue(), 0), "{replace}");
        assert_eq!(player.visited[2..], [CREATE, "Not Created", "Agent"]);
        assert_eq!(player.times("Flow.say_already_paid"), 1);
        assert_eq!(player.caller.data["payment_error"], "already_paid");
        assert_eq!(player.caller.data.get("payment_status"), None);
    }
    assert_eq!(world.stripe.intents().len(), 1);
}

#[tokio::test]
async fn a_new_price_replaces_the_open_payment_only_if_an_earlier_flow_says_so() {
    let world = World::new().await;
    let old_link = in_another_call(&world, "TEST-1", "2.00").await;
    for replace in ["", "false"] {
        let mut player = english("11");
        let data = &mut player.caller.data;
        data.insert("payment_replace".to_owned(), replace.to_owned());
        let end = play(&world, &mut player, async |_, _| None).await;
        assert_eq!(
            (end, player.times("Flow.say_create_failed")),
            (queue(), 3),
            "{replace}"
        );
    }
    assert_eq!(world.stripe.intents().len(), 1);

    let mut player = english("1");
    let data = &mut player.caller.data;
    data.insert("payment_replace".to_owned(), "true".to_owned());
    let end = play(&world, &mut player, async |call, times| {
        if (call.action.as_str(), times) == (STATUS, 2) {
            assert_ne!(world.open_link(&old_link).await.text("state"), "open");
            pay(&world, "pm_card_visa").await;
        }
        None
    })
    .await;
    assert_eq!((end, player.times("Flow.say_confirmed")), (End::HungUp, 1));
    assert!(player.said("You are about to pay 1.00 USD."));
    let intents = world.stripe.intents();
    assert_eq!(
        (intents.len(), &intents[0]["status"], &intents[1]["amount"]),
        (2, &json!("canceled"), &json!(100))
    );
    assert_eq!(world.stripe.charges().len(), 1);
}

#[tokio::test]
async fn while_the_payer_of_another_call_is_at_the_bank_a_new_price_is_tried_again() {
    let world = World::new().await;
    in_another_call(&world, "TEST-1", "2.00").await;
    world.advance(5);
    pay(&world, "pm_card_authenticationRequired").await;
    let mut player = english("11");
    let data = &mut player.caller.data;
    data.insert("payment_replace".to_owned(), "true".to_owned());
    let end = play(&world, &mut player, async |call, times| {
        match (call.action.as_str(), times) {
            (CREATE, 2) => {
                let intent = the_intent(&world);
                let _declined = world.stripe.authenticate(&intent, false);
                assert_eq!(world.deliver(&world.last_event()).await.status, 200);
            }
            (STATUS, 3) => pay(&world, "pm_card_visa").await,
            _ => {}
        }
        None
    })
    .await;
    assert_eq!(
        (end, player.times("Flow.say_create_failed")),
        (End::HungUp, 1)
    );
    assert_eq!(
        player.visited[2..8],
        [
            CREATE,
            "Not Created",
            "Try Again",
            "Ask",
            CREATE,
            "Offer Link"
        ]
    );
    assert_eq!(player.times("Flow.say_confirmed"), 1);
    let amounts: Vec<i64> = world.stripe.charges().iter().map(|c| c.amount).collect();
    assert_eq!(amounts, [100]);
}

#[tokio::test]
async fn a_payment_that_another_call_asks_for_is_left_to_it() {
    for begin in [english, spanish] {
        for is_paid in [false, true] {
            let world = World::new().await;
            let mut player = begin("1");
            let end = play(&world, &mut player, async |call, times| {
                if (call.action.as_str(), times) == (STATUS, 3) {
                    in_another_call(&world, "TEST-1", "1.00").await;
                    if is_paid {
                        pay(&world, "pm_card_visa").await;
                    }
                }
                None
            })
            .await;
            let (wanted, last) = if is_paid {
                (End::HungUp, "Paid")
            } else {
                (queue(), "Agent")
            };
            assert_eq!(end, wanted);
            assert_eq!(player.visited[6..], ["Wait", "Another Call", last]);
            for (text, is_said) in [
                ("Flow.say_already_paid", is_paid),
                ("Flow.say_another_call", !is_paid),
                ("Flow.say_confirmed", false),
            ] {
                assert_eq!(player.times(text), usize::from(is_said), "{text}");
            }
            let data = &player.caller.data;
            assert_eq!(data["payment_status"], "PENDING", "no more is noted");
            assert_eq!(
                data.get("payment_error").map(String::as_str),
                (!is_paid).then_some("another_call")
            );
            assert_eq!(world.stripe.intents().len(), 1);
        }
    }
}

#[tokio::test]
async fn money_that_is_only_held_is_told_as_such() {
    let world = World::with(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    let mut player = spanish("1");
    let end = play(&world, &mut player, async |call, times| {
        if (call.action.as_str(), times) == (STATUS, 1) {
            pay(&world, "pm_card_visa").await;
        }
        None
    })
    .await;
    assert_eq!((end, player.times("Flow.say_authorized")), (End::HungUp, 1));
    assert!(!player.said(&player.text("Flow.say_confirmed")));
}

#[tokio::test]
async fn a_status_that_cannot_be_had_is_asked_for_three_times_before_the_caller_is() {
    let world = World::new().await;
    let mut player = english("12");
    let mut asked = 0;
    let end = play(&world, &mut player, async |call, times| {
        if call.action == STATUS {
            asked = times;
            // Two failures are forgotten with the next answer.
            return match times {
                1 | 2 | 4 | 6 => Some(Answer::Failure),
                5 => Some(Answer::Timeout),
                _ => None,
            };
        }
        None
    })
    .await;
    assert_eq!((end, player.times("Flow.say_status_failed")), (queue(), 1));
    assert_eq!(asked, 6);
}

/// What a reply of this status looks like to the flow.
fn reply(status: &str, reason: &str, retryable: bool, page: bool) -> Answer {
    Answer::Success(json!({
        "payment_status": status, "payment_intent_id": "pi_1", "amount": "1.00", "currency": "usd",
        "payment_url": if page { "https://pay.example.com/pay#0000000000000000000001" } else { "" }, "reason_code": reason, "retryable": retryable,
        "caller_message": "What the service says.", "conversation_id": CONVERSATION,
        "is_holder": true,
    }))
}

/// The same when another call has asked for the order since.
fn moved(answer: Answer) -> Answer {
    let Answer::Success(mut reply) = answer else {
        panic!("no reply")
    };
    reply["conversation_id"] = json!(ANOTHER_CALL);
    reply["is_holder"] = json!(false);
    Answer::Success(reply)
}

/// The tasks a call visits when *Create Payment* answers with the first status and the polls with
/// the others, the last one again and again.
fn way(keys: &str, answered: &[&str]) -> Player<'static> {
    let mut player = english(keys);
    let mut left = answered.iter();
    let mut last = "";
    loop {
        match player.go() {
            Step::Ended(_) => return player,
            Step::Call(call) => {
                if call.action != SEND {
                    last = left.next().unwrap_or(&last);
                }
                player.answer(&reply(last, "expired_card", true, true));
            }
        }
    }
}

#[test]
fn each_status_leads_to_its_task() {
    let leads = |status: &str| way("2", &[status, "CONFIRMED"]).visited[3].clone();
    for (status, task) in [
        ("PENDING", "Offer Link"),
        ("CREATING", "Wait"),
        ("PROCESSING", "Wait"),
        ("AUTHORIZED", "Paid"),
        ("CONFIRMED", "Paid"),
        ("DECLINED", "Declined"),
        ("CANCELED", "Canceled"),
        ("NOT_FOUND", "Ask"),
    ] {
        assert_eq!(leads(status), task, "{status} after Create Payment");
    }
    assert_eq!(
        way("1", &["NOT_FOUND", "CONFIRMED"]).visited[3..],
        ["Ask", "Create Payment", "Paid"]
    );
    // While waiting: what ends the wait, and where a key 1 leads then.
    for (status, rest) in [
        ("AUTHORIZED", &["Paid"][..]),
        ("CONFIRMED", &["Paid"]),
        ("DECLINED", &["Declined", "Ask", "Wait"]),
        ("CANCELED", &["Canceled", "Ask", "Create Payment"]),
        ("NOT_FOUND", &["Ask", "Create Payment"]),
        ("CREATING", &["Ask", "Create Payment"]),
        ("PENDING", &["Ask", "Wait"]),
        ("PROCESSING", &["Ask", "Wait"]),
    ] {
        let visited = way("11", &["PENDING", "PENDING", status]).visited;
        assert_eq!(visited[6], "Wait");
        assert_eq!(visited[7..7 + rest.len()], *rest, "{status} while waiting");
    }
    // A payment under way is told once, and waited for until it is through.
    let player = way("1", &["PENDING", "PROCESSING", "PROCESSING", "CONFIRMED"]);
    assert_eq!(
        (
            player.times("Flow.say_processing"),
            player.times("Flow.say_confirmed")
        ),
        (1, 1)
    );
    // So is one that is being made, for a while.
    let player = way("1", &["PENDING", "CREATING", "CREATING", "CONFIRMED"]);
    assert_eq!(
        (player.questions, player.times("Flow.say_confirmed")),
        (1, 1)
    );
    assert_eq!(
        way("12", &["PENDING", "CREATING"]).times("Flow.say_create_slow"),
        1
    );
    // A decline is news again when the payment has been open in between.
    let player = way(
        "112",
        &["PENDING", "DECLINED", "DECLINED", "PENDING", "DECLINED"],
    );
    assert_eq!(player.times("Flow.say_try_again"), 2);
}

#[test]
fn each_status_of_a_payment_in_another_call_leads_out_of_the_wait() {
    for status in statuses() {
        let mut player = english("1");
        let end = loop {
            match player.go() {
                Step::Ended(end) => break end,
                Step::Call(call) if call.action == STATUS => {
                    player.answer(&moved(reply(status, "", false, true)));
                }
                Step::Call(_) => player.answer(&reply("PENDING", "", false, true)),
            }
        };
        let (wanted, tasks) = match status {
            "CONFIRMED" | "AUTHORIZED" => (End::HungUp, ["Another Call", "Paid"]),
            // Nobody holds what is not there.
            "NOT_FOUND" => (queue(), ["Ask", "Ask"]),
            _ => (queue(), ["Another Call", "Agent"]),
        };
        assert_eq!(
            (end, &player.visited[7..9]),
            (wanted, &tasks.map(str::to_owned)[..]),
            "{status}"
        );
    }
}

#[test]
fn what_cannot_be_made_is_tried_again_unless_the_order_is_paid() {
    for status in statuses() {
        let is_paid = ["CONFIRMED", "AUTHORIZED"].contains(&status);
        let mut player = english("2");
        let end = loop {
            match player.go() {
                Step::Ended(end) => break end,
                Step::Call(call) if call.action == CREATE => player.answer(&Answer::Failure),
                Step::Call(_) => player.answer(&moved(reply(status, "", false, false))),
            }
        };
        assert_eq!(
            (end, player.questions),
            (queue(), usize::from(!is_paid)),
            "{status}"
        );
        assert_eq!(player.times("Flow.say_already_paid"), usize::from(is_paid));
        assert_eq!(
            player.times("Flow.say_create_failed"),
            usize::from(!is_paid)
        );
        let error = if is_paid {
            "already_paid"
        } else {
            "bad.gateway"
        };
        assert_eq!(player.caller.data["payment_error"], error, "{status}");
    }
}

#[test]
fn the_secure_flow_tells_a_payment_of_another_call_from_its_own() {
    for (status, failed, passes, told, error) in [
        ("PENDING", false, 1, None, "another_call"),
        ("CREATING", false, 1, None, "another_call"),
        ("PROCESSING", false, 1, None, "another_call"),
        ("DECLINED", false, 1, None, "another_call"),
        ("CANCELED", false, 1, None, "another_call"),
        ("CONFIRMED", false, 1, Some("CONFIRMED"), ""),
        ("AUTHORIZED", false, 1, Some("AUTHORIZED"), ""),
        ("NOT_FOUND", false, 10, Some("NOT_FOUND"), ""),
        // What failed may be under way all the same.
        ("PENDING", true, 5, None, "another_call"),
        ("CREATING", true, 5, None, "another_call"),
        ("PROCESSING", true, 5, None, "another_call"),
        ("CONFIRMED", true, 1, Some("CONFIRMED"), "charge_failed"),
        ("DECLINED", true, 1, Some("DECLINED"), "charge_failed"),
        ("NOT_FOUND", true, 5, Some("NOT_FOUND"), "charge_failed"),
    ] {
        let mut player = secure(Some("pm_new1"), &ORDER);
        let charged = if failed {
            Answer::Failure
        } else {
            reply("PENDING", "", false, false)
        };
        let asked = charge_and_poll(
            &mut player,
            &charged,
            &moved(reply(status, "", false, false)),
        );
        assert_eq!(asked, passes, "{status}, {failed}");
        let data = &player.caller.data;
        assert_eq!(
            data.get("payment_status").map(String::as_str),
            told,
            "{status}"
        );
        assert_eq!(data["payment_error"], error, "{status}, {failed}");
        let is_said = usize::from(error == "another_call");
        assert_eq!(player.times("Flow.say_another_call"), is_said);
    }
}

/// Plays a secure call whose order nobody has asked for before; gives the number of polls after the
/// charge.
fn charge_and_poll(player: &mut Player<'_>, charged: &Answer, polled: &Answer) -> usize {
    let (mut is_charged, mut asked) = (false, 0);
    loop {
        match player.go() {
            Step::Ended(end) => {
                assert_eq!(end, End::Agent);
                return asked;
            }
            Step::Call(call) if call.action == CONFIRM => {
                is_charged = true;
                player.answer(charged);
            }
            Step::Call(_) if is_charged => {
                asked += 1;
                player.answer(polled);
            }
            Step::Call(_) => player.answer(&moved(reply("NOT_FOUND", "", false, false))),
        }
    }
}

#[test]
fn the_secure_flow_waits_while_a_charge_may_come_and_no_longer() {
    for (status, failed, passes) in [
        ("CONFIRMED", false, 1),
        ("AUTHORIZED", false, 1),
        ("DECLINED", false, 1),
        ("CANCELED", false, 1),
        ("REFUNDED", false, 1),
        ("PENDING", false, 10),
        ("CREATING", false, 10),
        ("NOT_FOUND", false, 10),
        ("PROCESSING", false, 10),
        ("PENDING", true, 5),
        ("CREATING", true, 5),
        ("NOT_FOUND", true, 5),
        ("PROCESSING", true, 10),
        ("CONFIRMED", true, 1),
    ] {
        let mut player = secure(Some("pm_new1"), &ORDER);
        let charged = if failed {
            Answer::Failure
        } else {
            reply("PENDING", "", false, false)
        };
        let asked = charge_and_poll(&mut player, &charged, &reply(status, "", false, false));
        let charges = player.visited.iter().filter(|task| *task == "Charge");
        assert_eq!(
            (charges.count(), asked),
            (if failed { 2 } else { 1 }, passes),
            "{status}, {failed}"
        );
        assert_eq!(player.caller.data["payment_status"], status);
        assert_eq!(
            player.caller.data["payment_error"],
            if failed { "charge_failed" } else { "" }
        );
    }
    // Not knowing is no status.
    for (answer, error) in [
        (Answer::Failure, "status_failed"),
        (Answer::Timeout, "status_timeout"),
    ] {
        let mut player = secure(Some("pm_new1"), &ORDER);
        while let Step::Call(call) = player.go() {
            player.answer(if call.action == CONFIRM {
                &Answer::Timeout
            } else {
                &answer
            });
        }
        assert_eq!(player.caller.data["payment_error"], error);
        assert_eq!(player.caller.data.get("payment_status"), None);
    }
}

#[test]
fn a_status_from_tomorrow_has_a_way_too() {
    for page in [true, false] {
        let mut player = english("1111");
        let end = loop {
            match player.go() {
                Step::Ended(end) => break end,
                Step::Call(_) => player.answer(&reply("REFUNDED", "", false, page)),
            }
        };
        assert_eq!((end, player.times("Flow.say_unclear")), (queue(), 3));
    }
    let mut player = english("11112");
    let end = loop {
        match player.go() {
            Step::Ended(end) => break end,
            Step::Call(call) => {
                let status = if call.action == STATUS {
                    "REFUNDED"
                } else {
                    "PENDING"
                };
                player.answer(&reply(status, "", false, true));
            }
        }
    };
    assert_eq!((end, player.times("Flow.say_unclear")), (queue(), 3));
}

/// Many calls with answers, keys, numbers and languages at random: each ends, each with somebody or
/// well, and no caller hears what is not so.
#[test]
fn whatever_is_answered_and_pressed_a_call_ends_and_nobody_is_told_what_is_not_so() {
    let mut ends = BTreeSet::new();
    for seed in 0..1500 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let inbound = dice.bool();
        let keys = (0..dice.usize(0..9)).map(|_| {
            dice.choice([None, Some('1'), Some('1'), Some('2'), Some('7')])
                .unwrap()
        });
        let caller = Caller {
            keys: keys.collect(),
            ani: dice
                .choice([
                    AMERICAN,
                    "tel:+493012345678",
                    "anonymous",
                    "",
                    "sip:me@example.com",
                    "12",
                ])
                .unwrap(),
            language: dice.choice(["en-us", "es-US", "fr-fr", ""]).unwrap(),
            invocation_data: dice
                .choice([None, Some("pm_new1"), Some("pm_new1"), Some("")])
                .unwrap(),
            data: if dice.bool() {
                let data = [
                    ("payment_order_id", "A-1"),
                    ("payment_amount", "5.00"),
                    ("payment_currency", "usd"),
                ];
                data.map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into()
            } else {
                BTreeMap::new()
            },
            ..Caller::default()
        };
        let mut player = Player::new(&both()[usize::from(!inbound)], caller);
        let (mut last, mut hopeful, page) = ("", false, dice.bool());
        let mut is_holder = true;
        // Some calls keep to one answer, which leads deeper.
        let habit = dice.bool().then(|| dice.choice(statuses()).unwrap());
        let mut heard = 0;
        let end = loop {
            let step = player.go();
            let offer = inbound.then(|| Sound::Speech(player.text("Flow.say_try_again")));
            let offered = player.heard[heard..]
                .iter()
                .any(|sound| Some(sound) == offer.as_ref());
            assert!(
                !offered || (last == "DECLINED" && hopeful),
                "seed {seed}: another try after {last}"
            );
            heard = player.heard.len();
            let call = match step {
                Step::Ended(end) => break end,
                Step::Call(call) => call,
            };
            player.answer(&match dice.u8(0..10) {
                0 => Answer::Failure,
                1 => Answer::Timeout,
                _ => {
                    let any = dice.choice([statuses(), vec!["NEW"]].concat()).unwrap();
                    let status = habit.filter(|_| dice.u8(0..5) > 0).unwrap_or(any);
                    let reason = dice
                        .choice(["", "stolen_card", "insufficient_funds"])
                        .unwrap();
                    if call.action != SEND {
                        (last, hopeful) = (status, dice.bool());
                    }
                    let answer = reply(status, reason, hopeful, page);
                    is_holder = call.action != STATUS || dice.u8(0..8) > 0;
                    if is_holder { answer } else { moved(answer) }
                }
            });
        };
        if inbound {
            let said = |variable: &str| player.said(&player.text(variable));
            let told = [
                ("Flow.say_confirmed", last == "CONFIRMED"),
                ("Flow.say_authorized", last == "AUTHORIZED"),
                (
                    "Flow.say_goodbye",
                    ["CONFIRMED", "AUTHORIZED"].contains(&last),
                ),
            ];
            let told = told.map(|(text, is_so)| {
                assert!(!said(text) || is_so, "seed {seed}: {text} after {last}");
                usize::from(said(text))
            });
            assert_eq!(
                told.iter().sum::<usize>(),
                usize::from(end == End::HungUp),
                "seed {seed}"
            );
            assert!(end == End::HungUp || end == queue(), "seed {seed}: {end:?}");
            assert!(
                !said("Flow.say_another_call") || !is_holder,
                "seed {seed}: another call"
            );
        } else {
            assert_eq!((&end, player.questions), (&End::Agent, 0), "seed {seed}");
        }
        ends.insert((inbound, format!("{end:?}")));
    }
    assert_eq!(ends.len(), 3, "{ends:?}");
}

// ---- by token
// -------------------------------------------------------------------------------------------------------

fn secure(token: Option<&'static str>, order: &[(&str, &str)]) -> Player<'static> {
    let data = order
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Player::new(
        &both()[1],
        Caller {
            invocation_data: token,
            data,
            ..caller("en-us", "")
        },
    )
}

const ORDER: [(&str, &str); 3] = [
    ("payment_order_id", "A-1"),
    ("payment_amount", "50.00"),
    ("payment_currency", "usd"),
];

#[tokio::test]
async fn a_token_is_charged_once_and_the_agent_sees_how_it_went() {
    let world = World::new().await;
    for (token, order, status, message, retryable) in [
        (
            "pm_card_visa",
            "T-1",
            "CONFIRMED",
            "Your payment was received. Thank you.",
            "false",
        ),
        (
            "pm_card_visa_chargeDeclined",
            "T-2",
            "DECLINED",
            "The card was declined. Please try another card.",
            "true",
        ),
        (
            "pm_card_visa_chargeDeclinedLostCard",
            "T-3",
            "DECLINED",
            "The card was declined. Please try another card.",
            "false",
        ),
    ] {
        let mut player = secure(
            Some(token),
            &[("payment_order_id", order), ORDER[1], ORDER[2]],
        );
        assert_eq!(
            play(&world, &mut player, async |_, _| None).await,
            End::Agent
        );
        let data = &player.caller.data;
        assert_eq!(
            (
                data["payment_status"].as_str(),
                data["payment_message"].as_str()
            ),
            (status, message)
        );
        assert_eq!(
            (
                data["payment_retryable"].as_str(),
                data["payment_error"].as_str()
            ),
            (retryable, "")
        );
        assert_eq!(data["stripe_intent_id"], the_intent(&world));
        assert!(
            !data.values().any(|value| value.contains("pm_")),
            "{data:?}"
        );
        assert_eq!(
            (player.times("Flow.say_charging"), player.questions),
            (1, 0)
        );
    }
    assert_eq!(world.stripe.charges().len(), 1);
}

#[tokio::test]
async fn without_a_token_or_an_order_nothing_is_charged() {
    let world = World::new().await;
    for (token, order, error) in [
        (None, &ORDER[..], "no_token"),
        (Some(""), &ORDER, "no_token"),
        (Some("the pm_ of somebody"), &ORDER, "no_token"),
        (Some("pm_card_visa"), &ORDER[..2], "no_order"),
        (Some("pm_card_visa"), &[ORDER[0], ORDER[2]], "no_order"),
        (
            Some("pm_card_visa"),
            &[("payment_order_id", ""), ORDER[1], ORDER[2]],
            "no_order",
        ),
    ] {
        let mut player = secure(token, order);
        player
            .caller
            .data
            .insert("payment_status".to_owned(), "PENDING".to_owned());
        let end = play(&world, &mut player, async |call, _| panic!("{call:?}")).await;
        assert_eq!(
            (end, player.caller.data["payment_error"].as_str()),
            (End::Agent, error)
        );
        assert_eq!(
            player.caller.data["payment_status"], "PENDING",
            "what is known stays"
        );
    }
    assert_eq!(world.stripe.requests().len(), 0);
}

#[tokio::test]
async fn a_charge_that_is_not_answered_in_time_is_found_out_about_and_not_repeated() {
    let world = World::new().await;
    let mut player = secure(Some("pm_card_visa"), &ORDER);
    let mut charges = 0;
    let end = play(&world, &mut player, async |call, _| {
        if call.action == CONFIRM {
            charges += 1;
            let Answer::Success(_) = answer(&world, call).await else {
                panic!("no charge")
            };
            return Some(Answer::Timeout);
        }
        None
    })
    .await;
    assert_eq!((end, charges), (End::Agent, 1));
    assert_eq!(
        (
            player.caller.data["payment_status"].as_str(),
            player.caller.data["payment_error"].as_str()
        ),
        ("CONFIRMED", "timeout")
    );
    assert_eq!(world.stripe.charges().len(), 1);
}

#[tokio::test]
async fn a_charge_that_fails_is_sent_once_more_and_charged_once() {
    let world = World::new().await;
    let mut player = secure(Some("pm_card_visa"), &ORDER);
    let end = play(&world, &mut player, async |call, times| {
        (call.action == CONFIRM && times == 1).then_some(())?;
        // The card is charged, and the answer lost.
        let Answer::Success(_) = answer(&world, call).await else {
            panic!("no charge")
        };
        Some(Answer::Failure)
    })
    .await;
    assert_eq!(
        (end, player.caller.data["payment_status"].as_str()),
        (End::Agent, "CONFIRMED")
    );
    assert_eq!(world.stripe.charges().len(), 1);

    // A token that Stripe cannot use is given up soon, without a word of a payment.
    let mut player = secure(
        Some("pm_unknown"),
        &[("payment_order_id", "A-2"), ORDER[1], ORDER[2]],
    );
    let mut asked = 0;
    let end = play(&world, &mut player, async |call, _| {
        asked += usize::from(call.action == STATUS);
        None
    })
    .await;
    assert_eq!(
        (end, asked, player.caller.data["payment_error"].as_str()),
        (End::Agent, 1 + 5, "charge_failed")
    );
    assert_ne!(player.caller.data["payment_status"], "CONFIRMED");
}

#[tokio::test]
async fn a_flow_that_sent_the_call_gets_it_back_and_says_how_it_went() {
    let world = World::new().await;
    let mut player = secure(
        Some("pm_card_visa"),
        &[&ORDER[..], &[("payment_return_to", "flow")]].concat(),
    );
    assert_eq!(
        play(&world, &mut player, async |_, _| None).await,
        End::Flow("Phone Payment".to_owned())
    );
    let data = player.caller.data;
    let mut player = Player::new(
        &both()[0],
        Caller {
            data,
            ..caller("en-us", "")
        },
    );
    assert_eq!(
        play(&world, &mut player, async |_, _| None).await,
        End::HungUp
    );
    assert_eq!(
        (player.times("Flow.say_confirmed"), player.questions),
        (1, 0)
    );
    assert_eq!(
        (world.stripe.intents().len(), world.stripe.charges().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_token_is_not_charged_for_an_order_that_is_paid() {
    for (capture_method, charges) in [("automatic", 1), ("manual", 0)] {
        let world = World::with(Setup {
            capture_method,
            ..Setup::default()
        })
        .await;
        in_another_call(&world, "A-1", "40.00").await;
        world.advance(5);
        pay(&world, "pm_card_visa").await;
        let requests = world.stripe.requests().len();
        let order = [&ORDER[..], &[("payment_return_to", "flow")]].concat();
        let mut player = secure(Some("pm_card_visa"), &order);
        let end = play(&world, &mut player, async |call, _| {
            assert_eq!(call.action, STATUS);
            None
        })
        .await;
        assert_eq!(end, End::Flow("Phone Payment".to_owned()));
        assert_eq!(player.caller.data["payment_error"], "already_paid");
        assert_eq!(player.caller.data.get("payment_status"), None);
        assert_eq!(
            (
                player.times("Flow.say_already_paid"),
                player.times("Flow.say_charging")
            ),
            (1, 0)
        );
        assert_eq!(world.stripe.charges().len(), charges);
        assert_eq!(world.stripe.requests().len(), requests);

        // The flow that sent the call does not take it for paid here either.
        let mut data = player.caller.data;
        data.insert("payment_amount".to_owned(), "40.00".to_owned());
        let mut player = Player::new(
            &both()[0],
            Caller {
                data,
                ..caller("en-us", "")
            },
        );
        let end = play(&world, &mut player, async |_, _| None).await;
        assert_eq!(
            (end, player.times("Flow.say_already_paid")),
            (End::HungUp, 1)
        );
    }
}

#[tokio::test]
async fn a_token_is_charged_for_a_new_price_only_if_that_replaces_the_open_payment() {
    let world = World::new().await;
    in_another_call(&world, "A-1", "40.00").await;
    let mut player = secure(Some("pm_card_visa"), &ORDER);
    let end = play(&world, &mut player, async |_, _| None).await;
    assert_eq!(end, End::Agent);
    assert_eq!(player.caller.data["payment_error"], "another_call");
    assert_eq!(player.times("Flow.say_another_call"), 1);
    assert_eq!(world.stripe.charges().len(), 0);

    let order = [&ORDER[..], &[("payment_replace", "true")]].concat();
    let mut player = secure(Some("pm_card_visa"), &order);
    let end = play(&world, &mut player, async |_, _| None).await;
    assert_eq!(end, End::Agent);
    let data = &player.caller.data;
    assert_eq!(
        (
            data["payment_status"].as_str(),
            data["payment_error"].as_str()
        ),
        ("CONFIRMED", "")
    );
    let amounts: Vec<i64> = world.stripe.charges().iter().map(|c| c.amount).collect();
    assert_eq!((amounts, world.stripe.intents().len()), (vec![5000], 2));
}

#[tokio::test]
async fn a_charge_whose_order_another_call_asks_for_is_left_to_it() {
    let world = World::new().await;
    let mut player = secure(Some("pm_card_processing"), &ORDER);
    let mut asked = 0;
    let end = play(&world, &mut player, async |call, times| {
        asked += usize::from(call.action == STATUS);
        if (call.action.as_str(), times) == (STATUS, 3) {
            in_another_call(&world, "A-1", "50.00").await;
        }
        None
    })
    .await;
    assert_eq!((end, asked), (End::Agent, 3));
    assert_eq!(player.caller.data["payment_error"], "another_call");
    assert_eq!(player.caller.data.get("payment_status"), None);
    assert_eq!(player.times("Flow.say_another_call"), 1);
}
