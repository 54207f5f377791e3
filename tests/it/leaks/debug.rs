//! What `Debug` shows.

use super::*;

#[tokio::test]
async fn no_secret_is_in_the_debug_of_a_type_that_holds_one() {
    let mut run = Run::new(Setup::default()).await;
    let deadline = Deadline::after(Duration::from_secs(4));
    let body = with(
        "A-1",
        &json!({ "payment_method": TOKEN, "include_client_secret": true }),
    );
    let world = &run.world;
    let read = || {
        create_intent::request::read(body.to_string().as_bytes(), &world.create_intent.policy)
            .unwrap()
    };
    let asked = read();
    let unpaid = PaymentRequest {
        payment_method: None,
        ..read()
    };
    let ctx = Ctx {
        store: &world.table,
        stripe: &world.create_intent.stripe,
        clock: &world.clock,
        deadline,
    };
    let placement = || Placement {
        conversation_id: unpaid.key.conversation_id().clone(),
        link: Some(NewLink {
            token: LinkToken::parse(LINK).unwrap(),
            valid_until: world.clock.now(),
        }),
        at: world.clock.now(),
    };
    let uid = payment_uid(1);
    let created = shared::usecases::create::create(ctx, &unpaid, uid, placement());
    let created = created.await.unwrap();
    let intent_id = created.payment.intent_id().unwrap().clone();
    let answer = world
        .create_intent
        .stripe
        .fetch_intent(&intent_id, deadline)
        .await
        .unwrap();
    let intent = world.stripe.intents().pop().unwrap();
    let api_intent = parse_intent(intent.to_string().as_bytes()).unwrap();
    let secret = created.client_secret.clone();
    assert!(
        secret.is_some() && answer.client_secret.is_some() && api_intent.client_secret.is_some()
    );
    let stripe_secret = json!({ "secret_key": KEY, "webhook_secrets": [WEBHOOK] }).to_string();
    let genesys_secret =
        json!({ "client_id": GENESYS_CLIENT, "client_secret": GENESYS }).to_string();
    let mut shown: Vec<(&str, String)> = Vec::new();
    let mut show =
        |name, value: &dyn std::fmt::Debug| shown.push((name, format!("{value:?}\n{value:#?}")));
    show("PaymentMethodId", &PaymentMethodId::parse(TOKEN).unwrap());
    show("PaymentRequest", &asked);
    show("Created", &created);
    show("StripeReply", &answer);
    let again = world
        .create_intent
        .stripe
        .fetch_intent(&intent_id, deadline)
        .await
        .unwrap();
    show("Lookup", &Lookup::Found(Box::new(again)));
    show("ApiIntent", &api_intent);
    show(
        "Reply",
        &FlowReply::of(&created.payment, &created.payment.holder)
            .with_secrets(secret, Some(LINK.into())),
    );
    let open = || OpenSession {
        payment: Box::new(created.payment.clone()),
        publishable_key: "pk_test_1".to_owned(),
        client_secret: CLIENT_SECRET.into(),
    };
    show("OpenSession", &open());
    show("Session", &Session::Open(open()));
    show("Exposed", &Exposed(CLIENT_SECRET.into()));
    show(
        "StripeSecret",
        &StripeSecret::parse(&stripe_secret).unwrap(),
    );
    show(
        "GenesysSecret",
        &GenesysSecret::parse(&genesys_secret).unwrap(),
    );
    show("LinkToken", &LinkToken::parse(LINK).unwrap());
    show("NewLink", &placement().link);
    show("Placement", &placement());
    let of_aws = |name: &str| match name {
        "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => Some(KEY.to_owned()),
        "AWS_REGION" | "AWS_ACCESS_KEY_ID" => Some("x".to_owned()),
        _ => None,
    };
    let of_aws = config::aws(of_aws).unwrap();
    show("AwsConfig", &of_aws);
    show(
        "Clients",
        &Clients::new(&of_aws, &client_config(None).unwrap()).unwrap(),
    );
    show("Table", &world.table);
    show(
        "SecretsManager",
        &SecretsManager::new(world.secrets_manager.client(), "stripe".to_owned()),
    );
    show("Http", &http());
    run.said.extend(
        shown
            .into_iter()
            .map(|(name, text)| (format!("the Debug of {name}"), text)),
    );
    run.born.push(("a pay link", LINK.to_owned()));
    run.search();
}

/// What takes the place of a parameter's name, a code or an id in an answer must not get further.
#[tokio::test]
async fn what_is_no_name_no_code_and_no_id_is_dropped_from_answers() {
    let mut run = Run::new(Setup::default()).await;
    for secret in [KEY, WEBHOOK, TOKEN, CLIENT_SECRET, CARD] {
        for field in ["type", "code", "param", "decline_code"] {
            let mut error = json!({ "type": "invalid_request_error" });
            error[field] = secret.into();
            let reply = Reply::status(400).body(&json!({ "error": error }).to_string());
            run.world
                .stripe
                .fault(create(), reply.header("Request-Id", secret));
            run.posted(&order("A-1"), "stripe_rejected").await;
        }
        run.begin("A-2").await;
        run.world.genesys.fault(
            conversation(),
            Reply::status(403).header("ININ-Correlation-Id", secret),
        );
        run.delivered(&run.last_event(), "genesys_not_told").await;
        let intent = run.last_event()["data"]["object"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        run.world.stripe.cancel(&intent, None).unwrap();
        run.delivered(&run.last_event(), "applied").await;
    }
    let intent = run.begin("A-3").await;
    run.world.advance(5);
    let _ = run.world.stripe.pay(&intent, DECLINED_TOKEN);
    for secret in [KEY, WEBHOOK, TOKEN, CLIENT_SECRET, CARD] {
        for change in [
            json!({ "id": secret }),
            json!({ "type": format!("payment_intent.{secret}") }),
            json!({ "data": { "object": { "last_payment_error": { "decline_code": secret } } } }),
        ] {
            run.world.advance(1);
            let mut event = run.last_event();
            merge(&mut event, &change);
            event["created"] = run.world.stripe.now().into();
            let webhook = run.world.stripe.webhook(&event);
            let event = url_event(&webhook.body, Some(&webhook.signature), true);
            let response = run.world.stripe_webhook.handle(request(&event)).await;
            run.keep("an event with a secret for a name", response)
                .await;
        }
    }
    run.search();
}

/// Types that hold a raw answer have a `Debug` too.
#[tokio::test]
async fn no_secret_is_in_the_debug_of_an_answer() {
    let mut run = Run::new(Setup::default()).await;
    let body =
        json!({ "error": { "payment_intent": { "client_secret": CLIENT_SECRET } } }).to_string();
    let error = shared::adapters::stripe::wire::ApiError::parse(body.as_bytes());
    run.said
        .push(("the Debug of ApiError".to_owned(), format!("{error:?}")));
    run.world.stripe.fault(
        create(),
        Reply::status(402).body(&body).header("X-Echo", KEY),
    );
    let http = http();
    let asked = http
        .client()
        .post(format!("{}/v1/payment_intents", run.world.stripe.base()));
    let answered = http
        .send(asked, Deadline::after(Duration::from_secs(2)))
        .await
        .unwrap();
    run.said.push((
        "the Debug of HttpResponse".to_owned(),
        format!("{answered:?}"),
    ));
    run.search();
}

/// A key that no header can carry is unusable, not a reason to ask again, and mending it is seen at
/// once.
#[tokio::test]
async fn a_key_with_a_line_break_is_said_to_be_unusable() {
    let mut run = Run::new(Setup::default()).await;
    run.world.put_stripe_secret(&format!("{KEY}\n"), &[WEBHOOK]);
    run.posted(&order("A-1"), "stripe_auth").await;
    run.world.put_stripe_secret(KEY, &[WEBHOOK]);
    run.posted(&order("A-1"), "PENDING").await;
    run.search();
}

/// A slip while rotating must not take the secret away that is held and still good.
#[tokio::test]
async fn a_secret_that_cannot_be_read_leaves_the_held_one_in_use() {
    let mut run = Run::new(Setup::default()).await;
    run.begin("A-1").await;
    run.delivered(&run.last_event(), "applied").await;
    run.world
        .secrets_manager
        .put("stripe", "{ a slip of the pen");
    let webhook = run.world.stripe.webhook(&loaded(&run.last_event()));
    let forged = stand_ins::stripe::sign(
        "whsec_of_somebody_else",
        run.world.stripe.now(),
        &webhook.body,
    );
    let event = url_event(&webhook.body, Some(&forged), true);
    let response = run.world.stripe_webhook.handle(request(&event)).await;
    run.keep("a forged event", response).await;
    run.delivered(&run.last_event(), "repeated").await;
    run.search();
}
