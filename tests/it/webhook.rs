//! stripe-webhook: contract 2.

use std::sync::Arc;

use serde_json::{Value, json};
use stand_ins::{Fault, Match, Reply, Scene, Stage};
use tests::matches::patch;
use tests::{CONVERSATION, START, Setup, WEBHOOK_SECRET, World, order};

const START_I64: i64 = 1_795_000_000;

async fn record(world: &World) -> Value {
    world.status(CONVERSATION, Some("A-1")).await.body
}

/// A payment that was made, and whose `created` event was delivered.
async fn begun(setup: Setup) -> (World, String) {
    let world = World::with(setup).await;
    let intent = world.begin("A-1").await;
    world.deliver_all().await;
    (world, intent)
}

async fn paid() -> (World, String) {
    let (world, intent) = begun(Setup::default()).await;
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    (world, intent)
}

#[tokio::test]
async fn a_payment_is_confirmed_and_told_to_the_very_conversation() {
    let (world, intent) = paid().await;
    let answer = world.deliver(&world.last_event()).await;
    answer.must_be(200, "outcome", "applied");
    let reply = record(&world).await;
    assert_eq!(
        (&reply["payment_status"], &reply["final"]),
        (&json!("CONFIRMED"), &json!(true))
    );
    let attributes = world.genesys.attributes(CONVERSATION);
    assert_eq!(
        serde_json::to_value(&attributes).unwrap(),
        json!({
            "payment_status": "CONFIRMED", "payment_progress": "confirmed", "stripe_intent_id": intent,
            "payment_amount": "50.00", "payment_currency": "usd",
        })
    );
}

#[tokio::test]
async fn a_decline_and_a_second_try_are_told_in_order() {
    let (world, intent) = begun(Setup::default()).await;
    for (token, status) in [
        ("pm_card_visa_chargeDeclined", "DECLINED"),
        ("pm_card_visa", "CONFIRMED"),
    ] {
        world.advance(5);
        let _ = world.stripe.pay(&intent, token);
        assert_eq!(world.deliver(&world.last_event()).await.status, 200);
        assert_eq!(record(&world).await["payment_status"], status);
    }
    let told = world.told_statuses();
    assert_eq!(told, ["PENDING", "DECLINED", "CONFIRMED"]);
}

#[tokio::test]
async fn a_repeated_event_changes_nothing_and_is_taken() {
    let (world, _) = paid().await;
    let event = world.last_event();
    world.deliver(&event).await;
    let before = world.dynamo.items().await;
    for _ in 0..3 {
        let again = world.deliver(&event).await;
        again.must_be(200, "outcome", "repeated");
    }
    assert_eq!(world.dynamo.items().await, before);
    assert_eq!(
        world.genesys.patches().len(),
        2,
        "PENDING and CONFIRMED, each once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_deliveries_of_one_event_tell_genesys_once() {
    let (world, _) = paid().await;
    let world = Arc::new(world);
    let event = world.last_event();
    let gate = world.genesys.gate(patch(), Stage::Arrival);
    let deliveries: Vec<_> = (0..8)
        .map(|_| {
            let (world, event) = (Arc::clone(&world), event.clone());
            tokio::spawn(async move { world.deliver(&event).await.status })
        })
        .collect();
    gate.arrived(1).await;
    gate.open();
    for delivery in deliveries {
        assert_eq!(delivery.await.unwrap(), 200);
    }
    let confirmed = world
        .genesys
        .patches()
        .into_iter()
        .filter(|p| p.attributes["payment_status"] == "CONFIRMED");
    assert_eq!(confirmed.count(), 1);
}

#[tokio::test]
async fn an_event_that_comes_late_is_older_and_changes_nothing() {
    let (world, intent) = begun(Setup::default()).await;
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    let declined = world.last_event();
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.deliver(&world.last_event()).await;
    let late = world.deliver(&declined).await;
    late.must_be(200, "outcome", "final");
    assert_eq!(record(&world).await["payment_status"], "CONFIRMED");
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn a_tie_within_one_second_is_broken_by_stripe() {
    let (world, intent) = begun(Setup::default()).await;
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    let declined = world.last_event();
    world.stripe.pay(&intent, "pm_card_processing").unwrap();
    let processing = world.last_event();
    assert_eq!(declined["created"], processing["created"]);
    world.deliver(&processing).await;
    world.stripe.clear_requests();
    world.deliver(&declined).await;
    assert_eq!(world.stripe.requests().len(), 1, "one GET of the intent");
    assert_eq!(record(&world).await["payment_status"], "PROCESSING");
}

#[tokio::test]
async fn a_webhook_before_the_pointer_is_written_is_not_lost() {
    let world = Arc::new(World::new().await);
    let gate = world
        .stripe
        .gate(Match::post("/v1/payment_intents").exactly(), Stage::Answer);
    let creating = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.post(&order("A-1")).await })
    };
    gate.arrived(1).await;
    let intent = world.stripe.intents()[0]["id"].as_str().unwrap().to_owned();
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    let succeeded = world.last_event();
    let answer = world.deliver(&succeeded).await;
    answer.must_be(200, "outcome", "applied");
    gate.open();
    let created = creating.await.unwrap();
    created.must_be(201, "payment_status", "CONFIRMED");
    assert_eq!(created.text("payment_intent_id"), intent);
    assert_eq!(record(&world).await["payment_status"], "CONFIRMED");
    assert_eq!(
        created.text("payment_url"),
        "",
        "there is nothing to pay any more"
    );
    let kinds: Vec<_> = world.dynamo.items().await.into_keys().collect();
    assert!(
        kinds.len() == 4 && !kinds.iter().any(|(pk, _)| pk.starts_with("LINK#")),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn a_webhook_repairs_a_creator_that_died() {
    let world = World::after_a_crash(Stage::Answer).await;
    world.deliver_all().await;
    assert_eq!(record(&world).await["payment_status"], "PENDING");
}

#[tokio::test]
async fn good_signatures_are_accepted_first_and_last_plain_and_base64() {
    let bad = format!("v1={}", "0".repeat(64));
    for base64 in [false, true] {
        for order in ["first", "last"] {
            let (world, _) = paid().await;
            let webhook = world.stripe.webhook(&world.last_event());
            let (t, good) = webhook.signature.split_once(',').unwrap();
            let header = if order == "first" {
                format!("{t},{good},{bad}")
            } else {
                format!("{t},{bad},v0=00,{good}")
            };
            let answer = world
                .deliver_raw(&webhook.body, Some(&header), base64)
                .await;
            assert_eq!(
                (answer.status, answer.text("outcome")),
                (200, "applied"),
                "{order} {base64}"
            );
        }
    }
}

#[tokio::test]
async fn whatever_is_not_signed_is_400_and_nothing_is_written() {
    let (world, _) = paid().await;
    let before = world.dynamo.items().await;
    let told = world.genesys.patches().len();
    let webhook = world.stripe.webhook(&world.last_event());
    let (body, now) = (&webhook.body, i64::try_from(START).unwrap() + 5);
    let good = webhook.signature.split_once("v1=").unwrap().1.to_owned();
    let signed_at = |t: i64| stand_ins::stripe::sign(WEBHOOK_SECRET, t, body);
    let headers = [
        None,
        Some(String::new()),
        Some(format!("t={now}")),
        Some(format!("t={now},v1=")),
        Some(format!("t={now},v1={}", &good[..10])),
        Some(format!("t={now},v0={good}")),
        Some(format!("t={},v1={good}", now + 1)),
        Some(format!("v1={good}")),
        Some(signed_at(now - 301)),
        Some(signed_at(now + 301)),
        Some(stand_ins::stripe::sign("whsec_of_somebody_else", now, body)),
        Some(stand_ins::stripe::sign("", now, body)),
    ];
    for header in headers {
        for base64 in [false, true] {
            let answer = world.deliver_raw(body, header.as_deref(), base64).await;
            assert_eq!(
                (answer.status, answer.text("outcome")),
                (400, "bad_signature"),
                "{header:?}"
            );
        }
    }
    for at in (0..body.len()).step_by(7) {
        let mut changed = body.clone();
        changed[at] ^= 0x01;
        let answer = world
            .deliver_raw(&changed, Some(&webhook.signature), true)
            .await;
        assert_eq!(answer.status, 400, "byte {at}");
    }
    let reordered = serde_json::to_vec(&world.last_event()).unwrap();
    assert_ne!(&reordered, body, "the same JSON in other bytes");
    assert_eq!(
        world
            .deliver_raw(&reordered, Some(&webhook.signature), false)
            .await
            .status,
        400
    );
    assert_eq!(world.dynamo.items().await, before);
    assert_eq!(world.genesys.patches().len(), told);
    assert_eq!(
        world.secrets_manager.reads("stripe"),
        3,
        "one for each function, one afresh for all the unknown signatures"
    );
    for t in [now - 300, now + 300] {
        assert_eq!(
            world
                .deliver_raw(body, Some(&signed_at(t)), false)
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn a_rolled_webhook_secret_needs_no_deployment() {
    let (world, _) = paid().await;
    world.stripe.set_webhook_secrets(&["whsec_canary0rolled"]);
    let event = world.last_event();
    assert_eq!(world.deliver(&event).await.status, 400, "not known yet");
    world.put_stripe_secret(tests::SECRET_KEY, &["whsec_canary0rolled", WEBHOOK_SECRET]);
    assert_eq!(
        world.deliver(&event).await.status,
        400,
        "read afresh less than a minute ago"
    );
}

#[tokio::test]
async fn a_rolled_webhook_secret_is_read_on_the_first_signature_that_matches_none() {
    let (world, _) = paid().await;
    world.stripe.set_webhook_secrets(&["whsec_canary0rolled"]);
    world.put_stripe_secret(tests::SECRET_KEY, &["whsec_canary0rolled", WEBHOOK_SECRET]);
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
}

#[tokio::test]
async fn events_that_are_not_ours_are_taken_and_ignored() {
    let (world, _) = begun(Setup::default()).await;
    let event = world.last_event();
    let mut foreign = event.clone();
    foreign["data"]["object"]["id"] = "pi_foreign".into();
    foreign["data"]["object"]["metadata"] = json!({ "cart": "7" });
    let mut of_another_table = event.clone();
    of_another_table["data"]["object"]["id"] = "pi_other".into();
    of_another_table["data"]["object"]["metadata"]["order_id"] = "B-9".into();
    let mut live = event.clone();
    live["livemode"] = true.into();
    let charge = json!({ "id": "evt_c", "object": "event", "type": "charge.refunded", "created": START, "livemode": false,
        "data": { "object": { "id": "ch_1" } } });
    let mut of_another_currency = foreign.clone();
    of_another_currency["data"]["object"]["currency"] = "xyz".into();
    let mut of_a_later_version = event.clone();
    of_a_later_version["data"]["object"]["status"] = "requires_magic".into();
    let before = world.dynamo.items().await;
    for (event, outcome) in [
        (foreign, "not_ours"),
        (of_another_table, "not_ours"),
        (live, "other_livemode"),
        (charge, "other_event"),
        (of_another_currency, "unknown_value"),
        (of_a_later_version, "unknown_value"),
    ] {
        let answer = world.deliver(&event).await;
        assert_eq!((answer.status, answer.text("outcome")), (200, outcome));
    }
    assert_eq!(world.dynamo.items().await, before);
}

#[tokio::test]
async fn thin_and_malformed_events_are_400_with_the_reason() {
    let world = World::new().await;
    let thin =
        json!({ "id": "evt_1", "object": "v2.core.event", "type": "v1.payment_intent.succeeded" });
    let answer = world.deliver(&thin).await;
    answer.must_be(400, "outcome", "thin_event");
    assert!(answer.text("detail").contains("Snapshot"));
    for body in [&b"not json"[..], b"[]", b"{}", b"\xFF\xFE", b""] {
        let signature = stand_ins::stripe::sign(WEBHOOK_SECRET, START_I64, body);
        let answer = world.deliver_raw(body, Some(&signature), true).await;
        assert_eq!(
            (answer.status, answer.text("outcome")),
            (400, "malformed_event"),
            "{body:?}"
        );
    }
    let large = vec![b' '; stripe_webhook::MAX_BODY_BYTES + 1];
    assert_eq!(world.deliver_raw(&large, None, false).await.status, 413);
}

#[tokio::test]
async fn another_amount_currency_or_intent_is_never_applied() {
    for change in [
        |o: &mut Value| o["amount"] = 4999.into(),
        |o: &mut Value| o["amount_received"] = 4999.into(),
        |o: &mut Value| o["currency"] = "eur".into(),
        |o: &mut Value| o["id"] = "pi_another".into(),
    ] {
        let another = Match::get("/v1/payment_intents/pi_another");
        let (world, _) = paid().await;
        let before = world.dynamo.items().await;
        let mut event = world.last_event();
        change(&mut event["data"]["object"]);
        // Somebody made another intent with the same metadata, in this very account.
        world.stripe.outage(
            another,
            Reply::status(200).body(&event["data"]["object"].to_string()),
        );
        let answer = world.deliver(&event).await;
        answer.must_be(200, "outcome", "disagreement");
        assert_eq!(world.dynamo.items().await, before);
    }
    assert!(
        tests::logged().contains("\"Disagreements\":1"),
        "a disagreement is counted"
    );
}

#[tokio::test]
async fn metadata_edited_in_stripe_cannot_move_another_order_s_payment() {
    let (world, _) = paid().await;
    world.begin("A-2").await;
    let mut event = world
        .stripe
        .events()
        .into_iter()
        .find(|e| e["type"] == "payment_intent.succeeded")
        .unwrap();
    let metadata = &mut event["data"]["object"]["metadata"];
    metadata["order_id"] = "A-2".into();
    metadata["payment_uid"] = world.uid("A-2").await.into();
    world.deliver(&event).await;
    world
        .order_must_be("A-2", "payment_status", "PENDING")
        .await;
    assert_eq!(record(&world).await["payment_status"], "CONFIRMED");
}

#[tokio::test]
async fn genesys_down_keeps_the_state_and_stripe_s_retry_tells_it() {
    for fault in [
        Fault::status(500),
        Fault::status(403),
        Fault::rate_limited(60),
    ] {
        let (world, _) = paid().await;
        let event = world.last_event();
        world.genesys.outage(patch(), fault);
        let answer = world.deliver(&event).await;
        answer.must_be(503, "outcome", "genesys_not_told");
        assert_eq!(
            record(&world).await["payment_status"],
            "CONFIRMED",
            "the money is known at once"
        );
        world.genesys.clear_faults();
        let again = world.deliver(&event).await;
        again.must_be(200, "outcome", "repeated");
        world.attribute_must_be("payment_status", "CONFIRMED");
    }
}

#[tokio::test]
async fn a_patch_whose_answer_was_lost_keeps_the_turn_until_it_lapses() {
    let (world, _) = paid().await;
    let event = world.last_event();
    world.genesys.fault(patch(), Fault::Drop { executed: true });
    assert_eq!(world.deliver(&event).await.status, 503);
    world.advance(16);
    assert_eq!(world.deliver(&event).await.status, 200);
    let statuses = world.told_statuses();
    assert_eq!(statuses, ["PENDING", "CONFIRMED", "CONFIRMED"]);
}

#[tokio::test]
async fn a_status_that_arrives_while_an_older_one_is_told_is_told_after_it() {
    let (world, intent) = begun(Setup::default()).await;
    let world = Arc::new(world);
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    let declined = world.last_event();
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    let succeeded = world.last_event();
    let gate = world.genesys.gate(patch(), Stage::Arrival);
    let deliver = |event: Value| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.deliver(&event).await.status })
    };
    let first = deliver(declined);
    gate.arrived(1).await;
    let second = deliver(succeeded);
    while record(&world).await["payment_status"] != "CONFIRMED" {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));
    let statuses = world.told_statuses();
    assert_eq!(statuses, ["PENDING", "DECLINED", "CONFIRMED"]);
}

/// Found by the model: the second delivery had read the record before the first one told Genesys,
/// and took the older notice it had read for the latest.
#[tokio::test]
async fn a_status_that_comes_back_is_told_again_though_another_was_told_while_it_was_settled() {
    let (world, intent) = begun(Setup::default()).await;
    let world = Arc::new(world);
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    world.deliver(&world.last_event()).await;
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_processing").unwrap();
    let processing = world.last_event();
    let _ = world.stripe.finish_processing(&intent, false);
    let declined_again = world.last_event();
    let deliver = |event: Value| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.deliver(&event).await.status })
    };
    let telling = world.genesys.gate(patch(), Stage::Arrival);
    let first = deliver(processing);
    telling.arrived(1).await;
    let asking = world
        .stripe
        .gate(Match::get("/v1/payment_intents"), Stage::Answer);
    let second = deliver(declined_again);
    asking.arrived(1).await;
    telling.open();
    assert_eq!(first.await.unwrap(), 200);
    asking.open();
    assert_eq!(second.await.unwrap(), 200);
    assert_eq!(record(&world).await["payment_status"], "DECLINED");
    world.attribute_must_be("payment_status", "DECLINED");
}

/// Found by the model: what Genesys had accepted before stayed on record while another status was
/// told, and when that was lost on the way and the status came back, nothing seemed due.
#[tokio::test]
async fn a_status_that_comes_back_is_told_again_though_the_other_s_telling_was_lost() {
    let (world, intent) = begun(Setup::default()).await;
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_processing").unwrap();
    world.genesys.fault(patch(), Fault::Drop { executed: true });
    assert_eq!(world.deliver(&world.last_event()).await.status, 503);
    world.attribute_must_be("payment_status", "PROCESSING");
    world.advance(16);
    let _ = world.stripe.finish_processing(&intent, false);
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    assert_eq!(record(&world).await["payment_status"], "DECLINED");
    world.attribute_must_be("payment_status", "DECLINED");
}

#[tokio::test]
async fn a_429_is_waited_for_inside_the_budget() {
    let (world, _) = paid().await;
    world.genesys.fault(patch(), Fault::rate_limited(1));
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn the_token_is_cached_renewed_early_and_replaced_once_on_401() {
    let (world, intent) = begun(Setup::default()).await;
    assert_eq!(world.genesys.token_requests(), 1);
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    world.deliver(&world.last_event()).await;
    assert_eq!(world.genesys.token_requests(), 1, "cached");
    world.genesys.revoke_tokens();
    world.genesys.set_expires_in(59);
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_processing");
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    let asked = world.genesys.token_requests();
    assert!(asked >= 2, "a new one after the 401");
    world.stripe.finish_processing(&intent, true).unwrap();
    world.deliver(&world.last_event()).await;
    assert!(
        world.genesys.token_requests() > asked,
        "a token with less than a minute left is not used again"
    );
}

#[tokio::test]
async fn a_rotated_genesys_secret_is_read_afresh() {
    let (world, _) = paid().await;
    world.genesys.revoke_tokens();
    world
        .genesys
        .set_credentials("5f0c0d3e-genesys-client", "canary0rotated");
    let event = world.last_event();
    assert_eq!(world.deliver(&event).await.status, 503);
    world.put_genesys_secret("canary0rotated");
    assert_eq!(world.deliver(&event).await.status, 200);
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn an_ended_conversation_gets_no_attributes_and_a_confirmed_payment_starts_the_workflow_once()
{
    let flow = Some("late-payment-flow");
    let (world, intent) = begun(Setup {
        late_payment_flow_id: flow,
        ..Setup::default()
    })
    .await;
    let told = world.genesys.patches().len();
    world.genesys.end_conversation(CONVERSATION);
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    assert!(
        world.genesys.executions().is_empty(),
        "only money starts it"
    );
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    for _ in 0..2 {
        assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    }
    assert_eq!(world.genesys.patches().len(), told);
    let executions = world.genesys.executions();
    assert_eq!(
        (executions.len(), executions[0].flow_id.as_str()),
        (1, "late-payment-flow")
    );
    assert_eq!(executions[0].input_data["Flow.stripe_intent_id"], intent);
    assert_eq!(executions[0].input_data["Flow.payment_status"], "CONFIRMED");
}

#[tokio::test]
async fn without_a_workflow_an_ended_or_unknown_conversation_is_settled_quietly() {
    let (world, _) = paid().await;
    world.genesys.end_conversation(CONVERSATION);
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    let mut unknown = order("A-1");
    unknown["conversation_id"] = "0aaaaaaa-8a51-4c0e-9b7a-2f6d0c1e4b5a".into();
    world.post(&unknown).await;
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    assert!(world.genesys.executions().is_empty());
}

#[tokio::test]
async fn the_customer_is_found_on_outbound_calls_and_among_several() {
    for scene in [
        Scene::outbound(),
        Scene::several_customers(),
        Scene::with_agent(),
    ] {
        let world = World::new().await;
        let conversation = "0aaaaaaa-8a51-4c0e-9b7a-2f6d0c1e4b5a";
        world.genesys.open_conversation(conversation, scene);
        let mut body = order("A-1");
        body["conversation_id"] = conversation.into();
        world.post(&body).await;
        world.deliver_all().await;
        assert_eq!(
            world.genesys.attributes(conversation)["payment_status"],
            "PENDING"
        );
    }
}

#[tokio::test]
async fn a_caller_who_hung_up_while_the_agent_wraps_up_counts_as_ended() {
    let world = World::new().await;
    let conversation = "0aaaaaaa-8a51-4c0e-9b7a-2f6d0c1e4b5a";
    world
        .genesys
        .open_conversation(conversation, Scene::wrap_up());
    let mut body = order("A-1");
    body["conversation_id"] = conversation.into();
    world.post(&body).await;
    world.deliver_all().await;
    assert!(world.genesys.patches().is_empty());
}

#[tokio::test]
async fn without_genesys_the_record_alone_moves() {
    let (world, intent) = begun(Setup {
        genesys: false,
        ..Setup::default()
    })
    .await;
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    assert_eq!(world.deliver(&world.last_event()).await.status, 200);
    assert_eq!(record(&world).await["payment_status"], "CONFIRMED");
    assert!(world.genesys.requests().is_empty());
}

#[tokio::test]
async fn a_table_that_does_not_answer_makes_stripe_try_again() {
    let (world, _) = paid().await;
    let event = world.last_event();
    world.dynamo.stop();
    let answer = world.deliver(&event).await;
    answer.must_be(503, "outcome", "store_unavailable");
}

#[tokio::test]
async fn a_tie_that_stripe_cannot_break_now_is_tried_again_later() {
    let (world, intent) = begun(Setup::default()).await;
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    let tied = world.last_event();
    world
        .stripe
        .outage(Match::get("/v1/payment_intents"), Reply::status(503));
    let answer = world.deliver(&tied).await;
    answer.must_be(503, "outcome", "stripe_unavailable");
    world.stripe.clear_faults();
    assert_eq!(world.deliver(&tied).await.text("outcome"), "applied");
}
