//! stripe-webhook, and telling Genesys.

use super::*;

/// The outcomes in the table of docs/api.md.
pub(super) fn documented_outcomes() -> BTreeSet<String> {
    let contract = fs::read_to_string(root().join("docs/api.md")).unwrap();
    let (_, section) = contract.split_once("## Contract: the webhook\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        cells.next()?.parse::<u16>().ok().and(cells.next())
    });
    rows.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect()
}

pub(super) async fn unbelieved_deliveries(run: &mut Run) {
    let event = loaded(&run.last_event());
    let webhook = run.world.stripe.webhook(&event);
    let now = i64::try_from(START).unwrap();
    let (_, good) = webhook.signature.split_once("v1=").unwrap();
    let headers = [
        String::new(),
        all_canaries(),
        format!("t={KEY},v1={WEBHOOK}"),
        format!("t={now},v0={good}"),
        format!("v1={good}"),
        format!("t={},v1={good}", now + 1),
        stand_ins::stripe::sign(WEBHOOK, now - 301, &webhook.body),
        stand_ins::stripe::sign(KEY, now, &webhook.body),
        format!("{}é", webhook.signature),
    ];
    run.delivered_raw(&webhook.body, None, "bad_signature")
        .await;
    for header in headers {
        run.delivered_raw(&webhook.body, Some(&header), "bad_signature")
            .await;
    }
    let large = all_canaries().repeat(stripe_webhook::MAX_BODY_BYTES / all_canaries().len() + 1);
    let signature = run.world.stripe.sign(large.as_bytes(), now);
    run.delivered_raw(large.as_bytes(), Some(&signature), "too_large")
        .await;
    let mut asked = url_event(&webhook.body, Some(&webhook.signature), false);
    asked["requestContext"]["http"]["method"] = "PUT".into();
    let response = run.world.stripe_webhook.handle(request(&asked)).await;
    run.keep("another method", response).await;
}

/// Bodies that are signed all right and yet no event.
pub(super) async fn unreadable_deliveries(run: &mut Run) {
    let said = all_canaries();
    for body in [
        said.clone(),
        format!("\"{said}\""),
        format!("{{\"id\":\"{said}\"}}"),
        format!("{{\"id\":\"{said}\",\"type\":\"payment_intent.{said}\",\"created\":\"{said}\"}}"),
        json!({ "id": said, "type": "payment_intent.succeeded", "created": 1, "data": { "object": said } }).to_string(),
        json!({ "id": said, "type": "payment_intent.succeeded", "created": 1, "data": { "object": {
            "id": CLIENT_SECRET, "amount": 5000, "currency": "usd", "status": "succeeded" } } })
        .to_string(),
    ] {
        let signature = run.world.stripe.sign(body.as_bytes(), run.world.stripe.now());
        run.delivered_raw(body.as_bytes(), Some(&signature), "malformed_event").await;
    }
    let thin = json!({ "id": said, "object": "v2.core.event", "type": said, "related_object": { "id": KEY } });
    run.delivered(&thin, "thin_event").await;
}

#[tokio::test]
async fn the_webhook_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    let intent = run.begin("A-1").await;
    unbelieved_deliveries(&mut run).await;
    unreadable_deliveries(&mut run).await;
    let created = run.last_event();
    run.delivered(&created, "applied").await;
    run.delivered(&created, "repeated").await;
    run.world.advance(5);
    let _ = run.world.stripe.pay(&intent, DECLINED_TOKEN);
    let declined = run.last_event();
    run.world.advance(5);
    run.world.stripe.pay(&intent, "pm_card_processing").unwrap();
    run.delivered(&run.last_event(), "applied").await;
    // It counts, and is older.
    run.delivered(&declined, "applied").await;
    run.delivered(&declined, "older").await;
    run.world.stripe.finish_processing(&intent, true).unwrap();
    let succeeded = run.last_event();
    run.delivered(&succeeded, "applied").await;
    run.delivered(&declined, "final").await;

    let canceled = run.begin("A-2").await;
    run.world.stripe.cancel(&canceled, None).unwrap();
    let cancellation = run.last_event();
    run.delivered(&cancellation, "applied").await;
    run.begin("A-2").await;
    run.delivered(&cancellation, "earlier_attempt").await;

    let changed = |change: fn(&mut Value)| {
        let mut event = succeeded.clone();
        change(&mut event);
        event
    };
    for (event, outcome) in [
        (
            changed(|event| event["data"]["object"]["id"] = "pi_3QmForeign".into()),
            "not_ours",
        ),
        (
            changed(|event| event["account"] = all_canaries().into()),
            "other_account",
        ),
        (
            changed(|event| event["data"]["object"]["amount"] = 4999.into()),
            "disagreement",
        ),
        (
            changed(|event| event["data"]["object"]["status"] = KEY.into()),
            "unknown_value",
        ),
        (
            changed(|event| event["data"]["object"]["currency"] = TOKEN.into()),
            "unknown_value",
        ),
        (
            changed(|event| event["livemode"] = true.into()),
            "other_livemode",
        ),
        (
            changed(|event| event["type"] = "charge.refunded".into()),
            "other_event",
        ),
        (
            changed(|event| {
                event["data"]["object"]["id"] = "pi_3QmForeign".into();
                event["data"]["object"]["metadata"] = json!({ "order_id": TOKEN, "card": CARD });
            }),
            "not_ours",
        ),
    ] {
        run.delivered(&event, outcome).await;
    }

    let tied = run.begin("A-3").await;
    let _ = run.world.stripe.pay(&tied, DECLINED_TOKEN);
    for fault in stripe_on_reading() {
        run.world.stripe.outage(fetch(), fault);
        run.delivered(&run.last_event(), "stripe_unavailable").await;
        run.world.stripe.clear_faults();
    }
    run.delivered(&run.last_event(), "applied").await;

    let tested = run.begin("A-5").await;
    for _ in 1..MAX_DECLINES {
        run.world.advance(1);
        let _ = run.world.stripe.pay(&tested, DECLINED_TOKEN);
        run.delivered(&run.last_event(), "applied").await;
    }
    run.world.advance(1);
    let _ = run.world.stripe.pay(&tested, DECLINED_TOKEN);
    for fault in stripe_on_reading() {
        run.world.stripe.outage(fetch(), fault);
        run.delivered(&run.last_event(), "attempt_not_ended").await;
        run.world.stripe.clear_faults();
    }
    run.delivered(&run.last_event(), "repeated").await;

    run.world.genesys.outage(Match::any(), genesys_says(500));
    let _ = run.begin("A-4").await;
    run.delivered(&run.last_event(), "genesys_not_told").await;
    for table in useless_tables(&run.world).await {
        run.world.stripe_webhook.store = table;
        run.delivered(&run.last_event(), "store_unavailable").await;
    }
    let (table, asked) = silent_table(&run.world).await;
    run.world.stripe_webhook.store = table;
    let webhook = run.world.stripe.webhook(&loaded(&run.last_event()));
    let event = url_event(&webhook.body, Some(&webhook.signature), false);
    let response = hurried(asked, run.world.stripe_webhook.handle(request(&event))).await;
    run.keep("a table that does not answer", response).await;
    let mut reached = run.search();

    let mut run = Run::new(Setup::default()).await;
    run.begin("A-1").await;
    for text in unusable_stripe_secrets() {
        run.world.secrets_manager.put("stripe", &text);
        run.delivered(&run.last_event(), "secret_unavailable").await;
    }
    run.world
        .secrets_manager
        .put("stripe", &json!({ "secret_key": KEY }).to_string());
    run.delivered(&run.last_event(), "secret_unavailable").await;
    run.world.secrets_manager.set_down(true);
    reached.extend(run.search());

    reached.remove("PENDING");
    let documented = documented_outcomes();
    assert_eq!(reached, documented, "a path is missing");
    was_counted(documented.iter().map(String::as_str));
}

#[tokio::test]
async fn telling_genesys_lets_no_secret_out_on_any_path() {
    let setup = Setup {
        late_payment_flow_id: Some("late-payment-flow"),
        ..Setup::default()
    };
    let mut run = Run::new(setup).await;
    let broken = [
        (token(), json!({ "access_token": ACCESS_TOKEN }).to_string()),
        (
            token(),
            json!({ "access_token": ACCESS_TOKEN, "expires_in": "never" }).to_string(),
        ),
        (
            token(),
            json!({ "access_token": [ACCESS_TOKEN], "expires_in": 86_399 }).to_string(),
        ),
        (
            token(),
            format!(r#"{{"access_token":"{ACCESS_TOKEN}","expires_in":"#),
        ),
        (token(), all_canaries()),
        (
            conversation(),
            json!({ "participants": [{ "id": [ACCESS_TOKEN] }] }).to_string(),
        ),
        (conversation(), format!(r#"{{"id":"{ACCESS_TOKEN}""#)),
        (conversation(), all_canaries()),
    ];
    let broken = broken.map(|(on, body)| (on, Fault::from(Reply::status(200).body(&body))));
    let refusals = |on: fn() -> Match| {
        genesys_refusals()
            .into_iter()
            .map(move |fault| (on(), fault))
    };
    let mut faults: Vec<(Match, Fault)> = [token, conversation, patch]
        .into_iter()
        .flat_map(refusals)
        .chain(broken)
        .collect();
    let intent = run.begin("A-1").await;
    while let Some((on, fault)) = faults.pop() {
        // Once there is a token it is held, and none is asked for.
        run.world.genesys.revoke_tokens();
        run.world.genesys.outage(on, fault);
        run.delivered(&run.last_event(), "genesys_not_told").await;
        run.world.genesys.clear_faults();
        // What was cut off may still be on its way: the turn to tell Genesys lapses.
        run.world.advance(16);
    }
    assert!(run.world.genesys.patches().is_empty());
    // A token that was revoked, or never was one.
    let granted =
        json!({ "access_token": ACCESS_TOKEN, "token_type": "bearer", "expires_in": 86_399 });
    run.world.genesys.revoke_tokens();
    run.world
        .genesys
        .fault(token(), Reply::status(200).body(&granted.to_string()));
    run.delivered(&run.last_event(), "repeated").await;
    assert_eq!(
        run.world.genesys.patches().len(),
        1,
        "told, by a third token"
    );

    run.begin("A-2").await;
    run.world.genesys.fault(conversation(), genesys_says(404));
    run.delivered(&run.last_event(), "applied").await;
    assert_eq!(
        run.world.genesys.patches().len(),
        1,
        "a conversation Genesys does not know"
    );
    run.world.genesys.end_conversation(CONVERSATION);
    run.begin("A-3").await;
    run.delivered(&run.last_event(), "applied").await;
    assert!(
        run.world.genesys.executions().is_empty(),
        "a conversation that has ended"
    );
    run.world.stripe.pay(&intent, TOKEN).unwrap();
    for (on, fault) in refusals(workflow) {
        run.world.genesys.outage(on, fault);
        run.delivered(&run.last_event(), "genesys_not_told").await;
        run.world.genesys.clear_faults();
        run.world.advance(16);
    }
    run.delivered(&run.last_event(), "repeated").await;
    assert_eq!(run.world.genesys.executions().len(), 1, "by the workflow");
    run.search();

    let mut run = Run::new(Setup::default()).await;
    run.begin("A-1").await;
    for text in unusable_genesys_secrets() {
        run.world.secrets_manager.put("genesys", &text);
        run.delivered(&run.last_event(), "genesys_not_told").await;
    }
    run.world.secrets_manager.clear("genesys");
    run.delivered(&run.last_event(), "genesys_not_told").await;
    run.search();
}
