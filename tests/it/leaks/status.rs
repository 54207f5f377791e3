//! status-query, the payer's side, and cancellation.

use super::*;

#[tokio::test]
async fn status_query_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    for (conversation_id, order_id, code) in [
        ("call-1", "A-1", "invalid_conversation_id"),
        (CONVERSATION, "a b", "invalid_order_id"),
        (CARD, "A-1", "card_data_refused"),
        (CONVERSATION, CARD, "card_data_refused"),
        (CONVERSATION, "", "NOT_FOUND"),
    ] {
        let parameters = json!({ "order_id": order_id, "client_secret": CLIENT_SECRET, "key": API_KEY, "note": CARD });
        let told = run.query(conversation_id, &parameters).await;
        assert!(
            [&told["code"], &told["payment_status"]].contains(&&json!(code)),
            "{told:#}"
        );
    }

    run.world.stripe.outage(create(), stripe_says(500));
    run.posted(&order("A-1"), "stripe_unavailable").await;
    run.world.stripe.clear_faults();
    let intent = run.begin("A-2").await;
    let mut said = stripe_on_reading();
    let other = json!({ "id": intent, "amount": 4999, "currency": "usd", "status": "succeeded", "created": START,
        "client_secret": CLIENT_SECRET, "metadata": { "note": all_canaries() } });
    said.push(Reply::status(200).body(&other.to_string()).into());
    for fault in said {
        run.world.stripe.outage(fetch(), fault);
        run.world.advance(10);
        run.queried("A-1", "CREATING").await;
        run.queried("A-2", "PENDING").await;
        run.world.stripe.clear_faults();
    }
    for fault in genesys_refusals() {
        run.world.genesys.outage(Match::any(), fault);
        run.world.advance(16);
        run.queried("A-2", "PENDING").await;
        run.world.genesys.clear_faults();
    }
    run.world.advance(16);
    let gate = run.world.stripe.gate(fetch(), Stage::Arrival);
    let event = api_event("GET", Some(CONVERSATION), &json!({ "order_id": "A-2" }), "");
    let response = hurried(
        gate.arrived(1),
        run.world.status_query.handle(request(&event)),
    )
    .await;
    assert_eq!(
        run.keep("a slow refresh", response).await["payment_status"],
        "PENDING"
    );
    gate.open();

    for (pay, status) in [
        (DECLINED_TOKEN, "DECLINED"),
        ("pm_card_processing", "PROCESSING"),
    ] {
        run.world.advance(16);
        let _ = run.world.stripe.pay(&intent, pay);
        run.queried("A-2", status).await;
    }
    run.world.advance(16);
    run.world.stripe.finish_processing(&intent, true).unwrap();
    run.queried("A-2", "CONFIRMED").await;
    run.world.attribute_must_be("payment_status", "CONFIRMED");
    let canceled = run.begin("A-3").await;
    run.world.stripe.cancel(&canceled, None).unwrap();
    run.world.advance(16);
    run.queried("A-3", "CANCELED").await;

    for table in useless_tables(&run.world).await {
        run.world.status_query.store = table;
        run.queried("A-2", "store_unavailable").await;
        run.queried("", "store_unavailable").await;
    }
    let (table, asked) = silent_table(&run.world).await;
    run.world.status_query.store = table;
    let response = hurried(asked, run.world.status_query.handle(request(&event))).await;
    assert_eq!(
        run.keep("a table that does not answer", response).await["code"],
        "store_unavailable"
    );
    let mut reached = run.search();

    let mut run = Run::new(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    run.posted(
        &with("A-1", &json!({ "payment_method": TOKEN })),
        "AUTHORIZED",
    )
    .await;
    for text in unusable_stripe_secrets() {
        run.world.secrets_manager.put("stripe", &text);
        run.world.advance(10);
        run.queried("A-1", "AUTHORIZED").await;
    }
    for text in unusable_genesys_secrets() {
        run.world.secrets_manager.put("genesys", &text);
        run.world.advance(10);
        run.queried("A-1", "AUTHORIZED").await;
    }
    reached.extend(run.search());

    let codes = [
        "invalid_conversation_id",
        "invalid_order_id",
        "card_data_refused",
        "store_unavailable",
    ];
    let statuses = [
        "NOT_FOUND",
        "CREATING",
        "PENDING",
        "DECLINED",
        "PROCESSING",
        "AUTHORIZED",
        "CONFIRMED",
        "CANCELED",
    ];
    reached.remove("stripe_unavailable");
    assert_eq!(
        reached,
        codes
            .into_iter()
            .chain(statuses)
            .map(str::to_owned)
            .collect(),
        "a path is missing"
    );
    was_counted(codes);
}

#[tokio::test]
async fn the_payer_s_side_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    for (_, secret) in NAMED {
        run.opened(secret, "unknown").await;
    }
    run.opened(CARD, "unknown").await;
    run.opened(LINK, "unknown").await;
    run.born.push(("an unknown pay link", LINK.to_owned()));

    let intent = run.begin("A-1").await;
    let link = run.link.clone();
    run.opened(&link, "open").await;
    let other = json!({ "id": intent, "amount": 4999, "currency": "usd", "status": "succeeded", "created": START,
        "client_secret": CLIENT_SECRET, "metadata": { "note": all_canaries() } });
    let mut said = stripe_on_reading();
    said.push(Reply::status(200).body(&other.to_string()).into());
    for fault in said {
        run.world.stripe.outage(fetch(), fault);
        run.opened(&link, "unavailable").await;
        run.world.stripe.clear_faults();
    }
    for text in unusable_stripe_secrets().into_iter().chain([
        json!({ "secret_key": KEY, "publishable_key": KEY, "webhook_secrets": [WEBHOOK] })
            .to_string(),
        json!({ "secret_key": KEY, "publishable_key": format!("pk_{KEY}"), "webhook_secrets": [] })
            .to_string(),
    ]) {
        let mut unkeyed = Run::new(Setup::default()).await;
        unkeyed.begin("A-1").await;
        let link = unkeyed.link.clone();
        unkeyed.world.secrets_manager.put("stripe", &text);
        unkeyed.opened(&link, "unavailable").await;
        unkeyed.search();
    }
    for fault in genesys_refusals() {
        let order_id = format!("G-{}", run.born.len());
        run.begin(&order_id).await;
        let link = run.link.clone();
        run.world.genesys.outage(Match::any(), fault);
        run.opened(&link, "open").await;
        run.world.genesys.clear_faults();
    }
    run.world.stripe.add_payment_method(TOKEN, Outcome::Process);
    run.world.advance(5);
    run.world.stripe.pay(&intent, TOKEN).unwrap();
    run.opened(&link, "processing").await;
    run.world.stripe.finish_processing(&intent, true).unwrap();
    run.world.advance(5);
    run.delivered(&run.last_event(), "applied").await;
    run.opened(&link, "paid").await;
    run.begin("A-2").await;
    let link = run.link.clone();
    run.world.advance(3600);
    run.opened(&link, "expired").await;
    run.canceled(CONVERSATION, &json!({ "order_id": "A-2" }), "CANCELED")
        .await;
    run.opened(&link, "canceled").await;
    for table in useless_tables(&run.world).await {
        run.world.status_query.store = table;
        run.opened(&link, "unavailable").await;
    }
    let states = [
        "open",
        "processing",
        "paid",
        "canceled",
        "expired",
        "unknown",
        "unavailable",
    ];
    let reached: BTreeSet<String> = run.search();
    assert!(
        states.iter().all(|state| reached.contains(*state)),
        "{reached:?}"
    );
    was_counted(states);
}

#[tokio::test]
async fn cancellation_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    for (_, secret) in NAMED.into_iter().filter(|(_, secret)| holds_secret(secret)) {
        run.canceled(secret, &json!({ "order_id": "A-1" }), "malformed_request")
            .await;
        run.canceled(
            CONVERSATION,
            &json!({ "order_id": secret }),
            "malformed_request",
        )
        .await;
    }
    run.canceled(
        CONVERSATION,
        &json!({ "order_id": CARD }),
        "card_data_refused",
    )
    .await;
    run.canceled(CONVERSATION, &json!({ "key": KEY }), "invalid_order_id")
        .await;
    run.canceled(
        CONVERSATION,
        &json!({ "order_id": "A-1", "key": KEY }),
        "NOT_FOUND",
    )
    .await;
    run.begin("A-1").await;
    let cancel = || Match::post("/v1/payment_intents").ending("/cancel");
    for (fault, code) in [
        (stripe_says(400), "stripe_rejected"),
        (stripe_says(401), "stripe_auth"),
        (stripe_says(409), "in_progress"),
        (stripe_says(429), "rate_limited"),
        (stripe_says(500), "stripe_unavailable"),
        (
            stripe_says_code(
                400,
                "invalid_request_error",
                "payment_intent_unexpected_state",
                "",
            ),
            "in_progress",
        ),
    ]
    .into_iter()
    .chain(
        broken_answers()
            .into_iter()
            .map(|reply| (reply, "stripe_unavailable")),
    ) {
        run.world.stripe.outage(cancel(), fault);
        run.canceled(CONVERSATION, &json!({ "order_id": "A-1" }), code)
            .await;
        run.world.stripe.clear_faults();
    }
    for table in useless_tables(&run.world).await {
        let whole = std::mem::replace(&mut run.world.create_intent.store, table);
        run.canceled(
            CONVERSATION,
            &json!({ "order_id": "A-1" }),
            "store_unavailable",
        )
        .await;
        run.world.create_intent.store = whole;
    }
    run.canceled(CONVERSATION, &json!({ "order_id": "A-1" }), "CANCELED")
        .await;
    run.search();
}
