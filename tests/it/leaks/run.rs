//! A world with canaries in it, and all that it wrote.

use super::*;

/// One world with the canaries in it, what was answered and stored there, and what secrets came to
/// be on the way.
pub(super) struct Run {
    pub(super) world: World,
    pub(super) reached: BTreeSet<String>,
    pub(super) said: Vec<(String, String)>,
    pub(super) born: Vec<(&'static str, String)>,
    pub(super) table_is_up: bool,
    /// The last link that was given.
    pub(super) link: String,
}

impl Run {
    pub(super) async fn new(setup: Setup) -> Self {
        let world = World::with(setup).await;
        world.stripe.set_secret_keys(&[KEY]);
        world.stripe.set_webhook_secrets(&[WEBHOOK]);
        world.put_stripe_secret(KEY, &[WEBHOOK]);
        world.genesys.set_credentials(GENESYS_CLIENT, GENESYS);
        world.put_genesys_secret(GENESYS);
        world.stripe.add_payment_method(TOKEN, Outcome::Succeed);
        world
            .stripe
            .add_payment_method(DECLINED_TOKEN, Outcome::decline("insufficient_funds"));
        Self {
            world,
            reached: BTreeSet::new(),
            said: Vec::new(),
            born: Vec::new(),
            table_is_up: true,
            link: String::new(),
        }
    }

    /// Keeps an answer and what the table holds after it; gives the answer's body.
    pub(super) async fn keep(&mut self, what: &str, response: Response<Body>) -> Value {
        let (head, body) = response.into_parts();
        let Body::Text(text) = body else {
            panic!("{what}: not a text body")
        };
        let mut body: Value = serde_json::from_str(&text).unwrap();
        // A link is given to the flow that asked for the payment, and only there.
        let link = body
            .get_mut("payment_url")
            .map(Value::take)
            .unwrap_or_default();
        if let Some((_, token)) = link.as_str().and_then(|link| link.rsplit_once('#')) {
            self.born.push(("a pay link", token.to_owned()));
            self.link = link.as_str().unwrap().to_owned();
        }
        let text = body.to_string();
        let told = ["code", "payment_status", "outcome", "state"]
            .into_iter()
            .filter_map(|field| body[field].as_str());
        self.reached.extend(told.map(str::to_owned));
        self.said
            .push((what.to_owned(), format!("{head:?}\n{text}")));
        self.look_at_the_table(what).await;
        body
    }

    pub(super) async fn look_at_the_table(&mut self, what: &str) {
        if self.table_is_up {
            let items = self.world.dynamo.items().await;
            self.said
                .push((format!("the table after {what}"), format!("{items:?}")));
        }
    }

    pub(super) async fn post(&mut self, body: &str) -> Value {
        let response = self
            .world
            .create_intent
            .handle(request(&api_event("POST", None, &json!({}), body)))
            .await;
        self.keep(body, response).await
    }

    /// Posts and expects this code or payment status.
    pub(super) async fn posted(&mut self, body: &Value, wanted: &str) {
        let told = self.post(&body.to_string()).await;
        assert!(
            [&told["code"], &told["payment_status"]]
                .into_iter()
                .any(|told| told == wanted),
            "{wanted}: {body} {told:#}"
        );
        assert!(
            told["client_secret"]
                .as_str()
                .unwrap_or_default()
                .is_empty(),
            "nobody asked for it"
        );
    }

    pub(super) async fn query(&mut self, conversation_id: &str, parameters: &Value) -> Value {
        let event = api_event("GET", Some(conversation_id), parameters, "");
        let response = self.world.status_query.handle(request(&event)).await;
        self.keep(
            &format!("a query of {conversation_id} {parameters}"),
            response,
        )
        .await
    }

    /// Cancels an order and expects this code or payment status.
    pub(super) async fn canceled(
        &mut self,
        conversation_id: &str,
        parameters: &Value,
        wanted: &str,
    ) {
        let event = api_event("DELETE", Some(conversation_id), parameters, &all_canaries());
        let response = self.world.create_intent.handle(request(&event)).await;
        let told = self
            .keep(
                &format!("a cancellation of {conversation_id} {parameters}"),
                response,
            )
            .await;
        assert!(
            [&told["code"], &told["payment_status"]]
                .into_iter()
                .any(|told| told == wanted),
            "{wanted}: {told:#}"
        );
    }

    /// Opens a link, as the payer's browser does when Stripe has sent it back, and expects this
    /// state of its session.
    pub(super) async fn opened(&mut self, link: &str, wanted: &str) {
        let returned =
            json!({ "payment_intent_client_secret": CLIENT_SECRET, "redirect_status": CARD });
        for (is_page, mut event) in [(true, page_event()), (false, session_event(link))] {
            event["queryStringParameters"] = returned.clone();
            add_headers(&mut event);
            let (head, body) = self
                .world
                .status_query
                .handle(request(&event))
                .await
                .into_parts();
            let Body::Text(text) = body else {
                panic!("a text body")
            };
            if is_page {
                self.said
                    .push((format!("the page, {wanted}"), format!("{head:?}\n{text}")));
                continue;
            }
            let mut told: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told["state"], wanted, "{told:#}");
            // The client secret is given to the payer of an open payment, and only there.
            let secret = told.get_mut("client_secret").map(Value::take);
            assert_eq!(secret.is_some(), wanted == "open");
            self.keep(
                &format!("a session, {wanted}"),
                Response::from_parts(head, Body::Text(told.to_string())),
            )
            .await;
        }
    }

    /// Queries an order and expects this code or payment status.
    pub(super) async fn queried(&mut self, order_id: &str, wanted: &str) {
        let told = self
            .query(CONVERSATION, &json!({ "order_id": order_id }))
            .await;
        assert!(
            [&told["code"], &told["payment_status"]]
                .into_iter()
                .any(|told| told == wanted),
            "{told:#}"
        );
    }

    /// Delivers an event with canaries in all that is not read of it, and expects this outcome.
    pub(super) async fn delivered(&mut self, event: &Value, wanted: &str) {
        let webhook = self.world.stripe.webhook(&loaded(event));
        self.delivered_raw(&webhook.body, Some(&webhook.signature), wanted)
            .await;
    }

    pub(super) async fn delivered_raw(
        &mut self,
        body: &[u8],
        signature: Option<&str>,
        wanted: &str,
    ) {
        let signatures = signature
            .unwrap_or_default()
            .split(',')
            .filter_map(|part| part.split_once("v1="));
        self.born
            .extend(signatures.map(|(_, hex)| ("a signature", hex.to_owned())));
        let mut event = url_event(body, signature, true);
        add_headers(&mut event);
        let response = self.world.stripe_webhook.handle(request(&event)).await;
        let told = self.keep(wanted, response).await;
        assert_eq!(
            told["outcome"],
            wanted,
            "{told} {}",
            String::from_utf8_lossy(body)
        );
    }

    /// Makes a payment and gives its intent's id.
    pub(super) async fn begin(&mut self, order_id: &str) -> String {
        self.posted(&order(order_id), "PENDING").await;
        self.last_event()["data"]["object"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(super) fn last_event(&self) -> Value {
        self.world.last_event()
    }

    /// Searches everything and gives the codes, statuses and outcomes that were reached.
    pub(super) fn search(mut self) -> BTreeSet<String> {
        for intent in self.world.stripe.intents() {
            let (_, secret) = intent["client_secret"]
                .as_str()
                .unwrap()
                .split_once("_secret_")
                .unwrap();
            self.born.push(("a client secret", secret.to_owned()));
        }
        for asked in self
            .world
            .stripe
            .requests()
            .iter()
            .chain(&self.world.genesys.requests())
        {
            let bearer = asked
                .header("authorization")
                .and_then(|header| header.split_once(' '));
            self.born
                .extend(bearer.map(|(_, token)| ("a bearer", token.to_owned())));
        }
        let mut search = Search::default();
        search.card(CARD);
        for (name, secret) in NAMED.into_iter().chain(
            self.born
                .iter()
                .map(|(name, secret)| (*name, secret.as_str())),
        ) {
            search.secret(name, secret);
        }
        for (what, text) in &self.said {
            assert_eq!(search.find(text), None, "after {what}");
        }
        assert_eq!(search.find(&self.world.logged()), None, "in the log");
        self.reached
    }
}

/// An event of API Gateway's, with the API key where that puts it.
pub(super) fn api_event(
    method: &str,
    conversation_id: Option<&str>,
    parameters: &Value,
    body: &str,
) -> Value {
    let path = conversation_id.map_or("/payments".to_owned(), |id| format!("/payments/{id}"));
    let path_parameters = conversation_id.map_or(json!({}), |id| json!({ "conversation_id": id }));
    let mut event = rest_event(method, &path, &path_parameters, parameters, body);
    event["requestContext"]["identity"]["apiKey"] = API_KEY.into();
    add_headers(&mut event);
    event
}

/// Headers nobody reads.
pub(super) fn add_headers(event: &mut Value) {
    let bearer = format!("Bearer {ACCESS_TOKEN}");
    let cookie = format!("card={CARD}; key={KEY}");
    for (name, value) in [
        ("x-api-key", API_KEY),
        ("authorization", &bearer),
        ("cookie", &cookie),
    ] {
        event["headers"][name] = value.into();
        if let Some(all) = event.get_mut("multiValueHeaders") {
            all[name] = json!([value]);
        }
    }
}

/// Every canary in one text.
pub(super) fn all_canaries() -> String {
    NAMED.map(|(_, secret)| secret).join(" ") + " " + CARD
}

/// A counted outcome is in the log that was searched.
pub(super) fn was_counted<'a>(outcomes: impl IntoIterator<Item = &'a str>) {
    let logged = tests::logged();
    for outcome in outcomes {
        assert!(
            logged.contains(&format!("\"Outcome\":\"{outcome}\"")),
            "{outcome} was not counted"
        );
    }
}

/// Lets the clock run ahead to the next time-out from a moment on.
pub(super) async fn hurried<T>(from: impl Future<Output = ()>, work: impl Future<Output = T>) -> T {
    let (done, ()) = tokio::join!(work, async {
        from.await;
        tokio::time::pause();
    });
    tokio::time::resume();
    done
}
