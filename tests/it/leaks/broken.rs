//! Outside systems that fail, and repeat what they were sent.

use super::*;

/// The event with canaries in what is not read of it.
pub(super) fn loaded(event: &Value) -> Value {
    let mut event = event.clone();
    event["request"] = json!({ "id": KEY, "idempotency_key": TOKEN });
    event["context"] = all_canaries().into();
    if let Some(object) = event["data"]["object"].as_object_mut() {
        object.insert("client_secret".to_owned(), CLIENT_SECRET.into());
        object.insert(
            "payment_method".to_owned(),
            json!({ "id": TOKEN, "card": { "number": CARD } }),
        );
        object.insert("description".to_owned(), all_canaries().into());
        object.insert(
            "receipt_email".to_owned(),
            format!("{CARD}@b.example").into(),
        );
        if let Some(error) = object
            .get_mut("last_payment_error")
            .and_then(Value::as_object_mut)
        {
            error.insert("message".to_owned(), all_canaries().into());
            error.insert("payment_method".to_owned(), json!({ "id": TOKEN }));
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("note".to_owned(), all_canaries().into());
        }
    }
    event
}

/// Stripe's error that repeats every secret in every field that is a text.
pub(super) fn stripe_says(status: u16) -> Reply {
    let said = all_canaries();
    let error = json!({
        "type": "invalid_request_error", "code": KEY, "decline_code": TOKEN, "param": said, "message": said,
        "doc_url": said, "request_log_url": said, "charge": said,
        "payment_method": { "id": TOKEN, "card": { "number": CARD } },
        "payment_intent": { "id": said, "client_secret": CLIENT_SECRET },
    });
    Reply::status(status)
        .body(&json!({ "error": error }).to_string())
        .header("X-Echo", KEY)
        .header("Location", &format!("https://example.com/?key={KEY}"))
        .should_retry(false)
}

/// The same with this code in place of a canary.
pub(super) fn stripe_says_code(status: u16, kind: &str, code: &str, param: &str) -> Reply {
    let error = json!({ "type": kind, "code": code, "param": param, "message": all_canaries() });
    Reply::status(status)
        .body(&json!({ "error": error }).to_string())
        .should_retry(false)
}

/// Answers that are no PaymentIntent, though they hold secrets.
pub(super) fn broken_answers() -> Vec<Reply> {
    let said = all_canaries();
    [
        format!(r#"{{"id":"pi_3QmEcho","client_secret":"{CLIENT_SECRET}","amount":"{KEY}"#),
        format!(r#"{{"id":"{CLIENT_SECRET}","amount":5000,"currency":"usd","status":"succeeded"}}"#),
        format!(r#"{{"id":"pi_3QmEcho","amount":5000,"currency":"{TOKEN}","status":"{KEY}"}}"#),
        format!(r#"{{"id":"pi_3QmEcho","amount":5000,"currency":"usd","status":"{KEY}"}}"#),
        format!(r#"{{"id":"pi_3QmEcho","amount":5000,"currency":"usd","status":"canceled","metadata":["{said}"]}}"#),
        format!("<html>{said}</html>"),
        said,
    ]
    .map(|body| Reply::status(200).body(&body))
    .into()
}

/// Texts of the Stripe secret that are no use, though they hold secrets.
pub(super) fn unusable_stripe_secrets() -> Vec<String> {
    vec![
        KEY.to_owned(),
        format!("{KEY},{WEBHOOK}"),
        format!("\"{KEY}\""),
        format!("[\"{KEY}\", \"{WEBHOOK}\"]"),
        format!(r#"{{"secret_key":"{KEY}","webhook_secrets":["{WEBHOOK}""#),
        format!(r#"{{"key":"{KEY}","webhook_secrets":["{WEBHOOK}"]}}"#),
        format!(r#"{{"secret_key":"","webhook_secrets":["{WEBHOOK}"]}}"#),
        format!(r#"{{"secret_key":["{KEY}"],"webhook_secrets":["{WEBHOOK}"]}}"#),
        format!(r#"{{"secret_key":"{KEY}","webhook_secrets":"{WEBHOOK}"}}"#),
        format!(r#"{{"secret_key":"{KEY}","webhook_secrets":[{{"{WEBHOOK}":1}}]}}"#),
        format!(r#"{{"secret_key":"{KEY}","secret_key":"{KEY}x"}}"#),
    ]
}

/// The same for Genesys.
pub(super) fn unusable_genesys_secrets() -> Vec<String> {
    vec![
        GENESYS.to_owned(),
        format!("\"{GENESYS}\""),
        format!(r#"{{"client_id":"{GENESYS_CLIENT}","client_secret":"{GENESYS}"#),
        format!(r#"{{"client_id":"","client_secret":"{GENESYS}"}}"#),
        format!(r#"{{"client_id":["{GENESYS}"],"client_secret":"{GENESYS}"}}"#),
        format!(r#"{{"client_id":"{GENESYS_CLIENT}","clientSecret":"{GENESYS}"}}"#),
        format!(r#"{{"client_id":"{GENESYS_CLIENT}","client_secret":{{"{GENESYS}":1}}}}"#),
    ]
}

/// A table whose engine is not the world's.
pub(super) fn table_at(world: &World, listener: &TcpListener) -> Table {
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config = world
        .dynamo
        .client()
        .config()
        .to_builder()
        .endpoint_url(endpoint)
        .build();
    tests::table_of(aws_sdk_dynamodb::Client::from_conf(config))
}

/// A table that refuses everything and repeats what it was sent, secrets on top.
pub(super) async fn refusing_table(world: &World) -> Table {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let table = table_at(world, &listener);
    let refuse = |body: String| async move {
        let kind = "com.amazon.coral.validate#ValidationException";
        (
            StatusCode::BAD_REQUEST,
            json!({ "__type": kind, "message": all_canaries() + &body }).to_string(),
        )
    };
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(refuse))
            .await
            .unwrap()
    });
    table
}

/// Attributes that this version cannot read in an [`odd_table`].
pub(super) const ODD: [&str; 4] = ["status", "currency", "version", "order_id"];

/// A table that has an item under every key, whole but for one attribute: that one holds secrets.
pub(super) async fn odd_table(world: &World, odd: &'static str) -> Table {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let table = table_at(world, &listener);
    let answer = move |headers: HeaderMap| async move {
        let mut item = json!({
            "conversation_id": { "S": CONVERSATION }, "order_id": { "S": "A-1" }, "attempt": { "N": "1" },
            "version": { "N": "1" }, "amount_minor": { "N": "5000" }, "currency": { "S": "usd" },
            "status": { "S": "CREATING" }, "attempt_started_at": { "N": "1" }, "updated_at": { "N": "1" },
            "created_at": { "N": "1" }, "expires_at": { "N": "1" },
        });
        item[odd] = json!({ "S": all_canaries() });
        if headers["x-amz-target"]
            .to_str()
            .unwrap()
            .ends_with(".PutItem")
        {
            let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            let refusal = json!({ "__type": kind, "message": all_canaries(), "Item": item });
            return (StatusCode::BAD_REQUEST, refusal.to_string());
        }
        (
            StatusCode::OK,
            json!({ "Item": item, "Items": [item] }).to_string(),
        )
    };
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(answer))
            .await
            .unwrap()
    });
    table
}

/// Tables that answer, to no avail.
pub(super) async fn useless_tables(world: &World) -> Vec<Table> {
    let mut tables = vec![refusing_table(world).await];
    for odd in ODD {
        tables.push(odd_table(world, odd).await);
    }
    tables
}

/// A table that takes a request and never answers, and when it has taken one.
pub(super) async fn silent_table(world: &World) -> (Table, impl Future<Output = ()> + use<>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config = world
        .dynamo
        .client()
        .config()
        .to_builder()
        .endpoint_url(endpoint);
    let patient = config.timeout_config(TimeoutConfig::disabled()).build();
    let table = tests::table_of(aws_sdk_dynamodb::Client::from_conf(patient));
    let (taken, took) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (line, _) = listener.accept().await.unwrap();
        line.readable().await.unwrap();
        taken.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    (table, async { took.await.unwrap() })
}

/// Genesys' error that repeats every secret in every field.
pub(super) fn genesys_says(status: u16) -> Reply {
    let said = all_canaries();
    let error = json!({
        "message": said, "code": said, "status": status, "contextId": said, "details": [{ "errorCode": said }],
        "error": said, "error_description": said, "messageParams": { "token": ACCESS_TOKEN },
    });
    Reply::status(status)
        .body(&error.to_string())
        .header("X-Echo", ACCESS_TOKEN)
        .retry_after(60)
}

/// What Genesys may say to any request, to no avail.
pub(super) fn genesys_refusals() -> Vec<Fault> {
    let mut said: Vec<Fault> = [400, 401, 403, 409, 429, 500, 503]
        .map(|status| genesys_says(status).into())
        .into();
    said.push(Fault::Drop { executed: false });
    said.push(Fault::Truncate { executed: false });
    said
}

pub(super) fn merge(value: &mut Value, change: &Value) {
    match (value.as_object_mut(), change.as_object()) {
        (Some(value), Some(change)) => change
            .iter()
            .for_each(|(name, change)| merge(&mut value[name.as_str()], change)),
        _ => *value = change.clone(),
    }
}

/// What Stripe may say to a request for an intent, to no avail.
pub(super) fn stripe_on_reading() -> Vec<Fault> {
    let mut said: Vec<Fault> = [400, 401, 403, 404, 429, 500]
        .map(|status| stripe_says(status).into())
        .into();
    said.extend(broken_answers().into_iter().map(Fault::from));
    said.push(Fault::Drop { executed: false });
    said
}
