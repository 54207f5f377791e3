//! The lines between the functions and everything outside, all in memory: requests take their time,
//! get lost before or after the far side has acted, and what is under way goes on when the function
//! that sent it dies.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse as AwsResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use dynoxide::{Database, DynoxideError};
use reqwest::Request;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use shared::adapters::http::{HttpResponse, Transport, Unanswered};
use stand_ins::{Carried, Fault, Genesys, Recorded, Reply, Stripe};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::sim::{Hit, Sim};
use crate::steps;
use crate::watch::Watch;

/// How much later than it was sent a request may arrive whose sender saw the connection break.
const ARRIVES_LATER_MS: u64 = 3000;

#[derive(Clone)]
enum Far {
    Stripe(Stripe),
    Genesys(Genesys),
}

/// The line to Stripe or to Genesys.
#[derive(Clone)]
pub(crate) struct Line {
    sim: Arc<Sim>,
    watch: Arc<Watch>,
    far: Far,
}

impl Line {
    pub(crate) fn to_stripe(sim: &Arc<Sim>, watch: &Arc<Watch>, stripe: &Stripe) -> Self {
        Self {
            sim: Arc::clone(sim),
            watch: Arc::clone(watch),
            far: Far::Stripe(stripe.clone()),
        }
    }

    pub(crate) fn to_genesys(sim: &Arc<Sim>, watch: &Arc<Watch>, genesys: &Genesys) -> Self {
        Self {
            sim: Arc::clone(sim),
            watch: Arc::clone(watch),
            far: Far::Genesys(genesys.clone()),
        }
    }

    fn fault(&self, request: &Recorded) -> Option<Hit> {
        const STRIPE: [Hit; 14] = [
            Hit::StripeNoConnection,
            Hit::StripeTimeoutBefore,
            Hit::StripeTimeoutAfter,
            Hit::StripeDroppedBefore,
            Hit::StripeDroppedAfter,
            Hit::StripeTruncated,
            Hit::Stripe409,
            Hit::Stripe429,
            Hit::Stripe500,
            Hit::Stripe500Acted,
            Hit::Stripe500Kept,
            Hit::Stripe503,
            Hit::Stripe503Retry,
            Hit::Stripe503NoRetry,
        ];
        const GENESYS: [Hit; 11] = [
            Hit::GenesysNoConnection,
            Hit::GenesysCut,
            Hit::GenesysTimeoutBefore,
            Hit::GenesysTimeoutAfter,
            Hit::GenesysDroppedBefore,
            Hit::GenesysDroppedAfter,
            Hit::GenesysTruncated,
            Hit::Genesys401,
            Hit::Genesys429,
            Hit::Genesys500,
            Hit::Genesys503,
        ];
        let roughness = self.sim.roughness;
        let drawn = match self.far {
            Far::Stripe(_) => self.sim.fault(roughness.stripe, &STRIPE),
            Far::Genesys(_) => self.sim.fault(roughness.genesys, &GENESYS),
        };
        // Only a POST has an idempotency key to keep an answer under.
        match drawn {
            Some(Hit::Stripe500Acted | Hit::Stripe500Kept) if request.method != "POST" => None,
            drawn => drawn,
        }
    }

    async fn carry(&self, request: Recorded, fault: Option<Fault>) -> Carried {
        let now = self.sim.true_second();
        match &self.far {
            Far::Stripe(stripe) => {
                stripe.set_now(now);
                let carried = stripe.carry(request, fault).await;
                self.watch.stripe_acted();
                carried
            }
            Far::Genesys(genesys) => {
                genesys.set_now(now);
                genesys.carry(request, fault).await
            }
        }
    }
}

fn played(hit: Hit, far: &Far) -> Option<Fault> {
    let fault = match hit {
        Hit::StripeTimeoutBefore | Hit::GenesysTimeoutBefore => Fault::Silent { executed: false },
        Hit::StripeTimeoutAfter | Hit::GenesysTimeoutAfter => Fault::Silent { executed: true },
        Hit::StripeDroppedBefore | Hit::GenesysDroppedBefore => Fault::Drop { executed: false },
        Hit::StripeDroppedAfter | Hit::GenesysDroppedAfter => Fault::Drop { executed: true },
        Hit::StripeTruncated | Hit::GenesysTruncated => Fault::Truncate { executed: true },
        Hit::Stripe409 => Fault::status(409),
        Hit::Stripe429 => Fault::status(429),
        Hit::Stripe500 | Hit::Genesys500 => Fault::status(500),
        Hit::Stripe500Acted => Fault::server_error_executed(),
        Hit::Stripe500Kept => Fault::server_error_saved(),
        Hit::Stripe503 | Hit::Genesys503 => Fault::status(503),
        Hit::Stripe503Retry => Reply::status(503).should_retry(true).into(),
        Hit::Stripe503NoRetry => Reply::status(503).should_retry(false).into(),
        Hit::Genesys429 => Fault::rate_limited(1),
        Hit::Genesys401 => {
            if let Far::Genesys(genesys) = far {
                genesys.revoke_tokens();
            }
            return None;
        }
        _ => return None,
    };
    Some(fault)
}

impl Transport for Line {
    async fn exchange(&self, request: Request) -> Result<HttpResponse, Unanswered> {
        let started = Instant::now();
        let request = recorded(&request);
        let hit = self.fault(&request);
        steps::outside(&request.method, &request.path);
        let cancels = request.path.ends_with("/cancel");
        if let Some(hit) = hit {
            self.sim.hit(hit);
            if cancels {
                self.sim.hit(Hit::CancelFaulted);
            }
        }
        self.watch.sent(&[
            &request.path,
            &request.query,
            &String::from_utf8_lossy(&request.body),
        ]);
        self.sim
            .note(|| format!("  → {} {}", request.method, request.path));
        self.sim.way().await;
        if matches!(
            hit,
            Some(Hit::StripeNoConnection | Hit::GenesysNoConnection)
        ) {
            return Err(Unanswered::Connect);
        }
        let (answer, answered) = oneshot::channel();
        let line = self.clone();
        tokio::spawn(async move {
            line.sim.way().await;
            if hit == Some(Hit::GenesysCut) {
                line.sim.pause(1, ARRIVES_LATER_MS).await;
            }
            let fault = hit.and_then(|hit| played(hit, &line.far));
            let name = format!("{} {}", request.method, request.path);
            let looks = request.method == "GET" && matches!(line.far, Far::Stripe(_));
            let intent = request
                .path
                .trim_end_matches("/cancel")
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            // The payer was a little faster.
            if cancels && !line.sim.is_calm() && line.sim.chance(150) {
                line.watch.payer_acts(&intent);
            }
            if matches!(hit, Some(Hit::Stripe500Acted | Hit::Stripe500Kept)) {
                line.watch
                    .kept(request.header("idempotency-key").unwrap_or_default());
            }
            let carried = line.carry(request, fault).await;
            // What was read may be out of date before it arrives: the payer acts, and the answer
            // takes its time.
            if looks && !line.sim.is_calm() && line.sim.chance(200) {
                line.watch.payer_acts(&intent);
                line.sim.pause(1, 1200).await;
            }
            if let Carried::Answer { headers, body, .. } = &carried
                && String::from_utf8_lossy(body).contains("email_invalid")
            {
                let kept = headers
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case("idempotent-replayed"));
                line.sim.hit(if kept {
                    Hit::ReceiptRefusedKept
                } else {
                    Hit::ReceiptRefused
                });
            }
            line.sim.note(|| match &carried {
                Carried::Answer { status, .. } => format!("  ← {status} {name}"),
                other => format!("  ← {other:?} {name}"),
            });
            line.sim.way().await;
            // Nobody may be there any more to hear it.
            let _ = answer.send(carried);
        });
        if hit == Some(Hit::GenesysCut) {
            return Err(Unanswered::Broken);
        }
        match answered.await {
            Ok(Carried::Answer {
                status,
                headers,
                body,
            }) => {
                let name = |name: &str| HeaderName::try_from(name).expect("a header name");
                let value = |value: &str| HeaderValue::try_from(value).expect("a header value");
                let headers: HeaderMap = headers.iter().map(|(n, v)| (name(n), value(v))).collect();
                Ok(HttpResponse {
                    status,
                    headers,
                    body,
                    took: started.elapsed(),
                })
            }
            Ok(Carried::Broken) => Err(Unanswered::Broken),
            Ok(Carried::Silence) => pending().await,
            Err(_) => Err(Unanswered::Broken),
        }
    }
}

fn recorded(request: &Request) -> Recorded {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Recorded {
        method: request.method().as_str().to_owned(),
        path: request.url().path().to_owned(),
        query: request.url().query().unwrap_or_default().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: request
            .body()
            .and_then(|body| body.as_bytes())
            .unwrap_or_default()
            .to_vec(),
        at: 0,
    }
}

/// The line to AWS: a DynamoDB engine and a shelf of secrets.
#[derive(Clone)]
pub(crate) struct Aws {
    sim: Arc<Sim>,
    watch: Arc<Watch>,
    database: Database,
    secrets: Arc<Mutex<HashMap<String, String>>>,
    secrets_are_down: Arc<AtomicBool>,
    scripted: Arc<Mutex<Vec<(&'static str, Hit)>>>,
    held: Arc<Mutex<Vec<(&'static str, Held)>>>,
}

/// A request that waits on its way.
#[derive(Clone, Default)]
pub(crate) struct Held {
    /// It is on its way.
    pub(crate) arrived: Arc<Notify>,
    /// It may go on.
    pub(crate) go_on: Arc<Notify>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").finish_non_exhaustive()
    }
}

/// A connector answers with a status and a body.
type Said = (u16, String);

impl Aws {
    pub(crate) fn new(sim: &Arc<Sim>, watch: &Arc<Watch>, database: Database) -> Self {
        let (sim, watch) = (Arc::clone(sim), Arc::clone(watch));
        let (secrets, secrets_are_down) = (Arc::default(), Arc::default());
        let (scripted, held) = (Arc::default(), Arc::default());
        Self {
            sim,
            watch,
            database,
            secrets,
            secrets_are_down,
            scripted,
            held,
        }
    }

    /// The next request to DynamoDB that holds this text waits on its way.
    pub(crate) fn hold_next(&self, text: &'static str) -> Held {
        let held = Held::default();
        self.held.lock().unwrap().push((text, held.clone()));
        held
    }

    /// The next request to DynamoDB that holds this text meets this fault, whatever the dice say.
    pub(crate) fn fail_next(&self, text: &'static str, hit: Hit) {
        self.scripted.lock().unwrap().push((text, hit));
    }

    /// Writes a secret's text.
    pub(crate) fn put_secret(&self, id: &str, text: &Value) {
        self.secrets
            .lock()
            .unwrap()
            .insert(id.to_owned(), text.to_string());
    }

    /// A secret's text as it is now.
    pub(crate) fn secret_text(&self, id: &str) -> Option<String> {
        self.secrets.lock().unwrap().get(id).cloned()
    }

    /// Begins or ends an outage of Secrets Manager.
    pub(crate) fn set_secrets_down(&self, down: bool) {
        self.secrets_are_down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn secrets_are_down(&self) -> bool {
        self.secrets_are_down.load(Ordering::SeqCst)
    }

    async fn exchange(self, operation: String, body: String) -> Result<Said, ConnectorError> {
        let dynamo = operation.starts_with("DynamoDB");
        let name = operation.split('.').nth(1).unwrap_or_default().to_owned();
        steps::at_the_table(&name, &body);
        let scripted = {
            let mut scripted = self.scripted.lock().unwrap();
            let next = scripted
                .iter()
                .position(|(text, _)| dynamo && body.contains(text));
            next.map(|at| scripted.remove(at))
        };
        let hit = scripted
            .map(|(_, hit)| hit)
            .or_else(|| self.fault(&name, dynamo))
            .map(|hit| match hit {
                Hit::DynamoTransactionConflict if name != "TransactWriteItems" => {
                    Hit::DynamoWriteConflict
                }
                hit => hit,
            });
        if let Some(hit) = hit {
            self.sim.hit(hit);
            if body.contains("LINK#") {
                self.sim.hit(Hit::LinkFaulted);
            }
        }
        self.watch.sent(&[&body]);
        self.sim.way().await;
        let held = {
            let mut held = self.held.lock().unwrap();
            let next = held.iter().position(|(text, _)| body.contains(text));
            next.map(|at| held.remove(at).1)
        };
        if let Some(held) = held {
            held.arrived.notify_one();
            held.go_on.notified().await;
        }
        let lost = || ConnectorError::io("the connection is lost".into());
        if !dynamo && self.secrets_are_down() {
            return Ok((500, error("InternalServiceError").1));
        }
        match hit {
            Some(Hit::DynamoThrottled) => {
                return Ok(error("ProvisionedThroughputExceededException"));
            }
            Some(Hit::SecretsThrottled) => return Ok(error("ThrottlingException")),
            Some(Hit::DynamoInternal) => return Ok((500, error("InternalServerError").1)),
            Some(Hit::DynamoTransactionConflict) => return Ok(canceled_by_conflict()),
            Some(Hit::DynamoWriteConflict) => {
                return Ok(error("TransactionConflictException"));
            }
            Some(Hit::DynamoDroppedBefore) => return Err(lost()),
            Some(Hit::DynamoTimeoutBefore | Hit::SecretsTimeout) => pending().await,
            _ => {}
        }
        let (answer, answered) = oneshot::channel();
        let aws = self.clone();
        tokio::spawn(async move {
            aws.sim.way().await;
            let said = if dynamo {
                aws.dynamo(&name, &body)
            } else {
                aws.secret(&body)
            };
            aws.sim.way().await;
            let _ = answer.send(said);
        });
        let said = answered.await.map_err(|_| lost())?;
        match hit {
            Some(Hit::DynamoTimeoutAfter) => pending().await,
            Some(Hit::DynamoDroppedAfter) => Err(lost()),
            _ => Ok(said),
        }
    }

    fn fault(&self, name: &str, dynamo: bool) -> Option<Hit> {
        const DYNAMO: [Hit; 7] = [
            Hit::DynamoThrottled,
            Hit::DynamoInternal,
            Hit::DynamoTimeoutBefore,
            Hit::DynamoTimeoutAfter,
            Hit::DynamoDroppedBefore,
            Hit::DynamoDroppedAfter,
            Hit::DynamoTransactionConflict,
        ];
        let thousandths = self.sim.roughness.aws;
        let drawn = match dynamo {
            true => self.sim.fault(thousandths, &DYNAMO),
            false => self
                .sim
                .fault(thousandths, &[Hit::SecretsThrottled, Hit::SecretsTimeout]),
        };
        // A read is in no transaction.
        drawn.filter(|hit| {
            *hit != Hit::DynamoTransactionConflict || !matches!(name, "GetItem" | "Query")
        })
    }

    fn secret(&self, body: &str) -> Said {
        let asked: Value = serde_json::from_str(body).expect("JSON");
        match self
            .secrets
            .lock()
            .unwrap()
            .get(asked["SecretId"].as_str().expect("an id"))
        {
            Some(text) => (200, json!({ "SecretString": text }).to_string()),
            None => error("ResourceNotFoundException"),
        }
    }

    fn dynamo(&self, name: &str, body: &str) -> Said {
        macro_rules! run {
            ($operation:ident) => {
                self.database
                    .$operation(serde_json::from_str(body).expect("a request"))
                    .map(|done| serde_json::to_string(&done).expect("an answer"))
            };
        }
        let done = match name {
            "GetItem" => run!(get_item),
            "PutItem" => run!(put_item),
            "UpdateItem" => run!(update_item),
            "Query" => run!(query),
            "TransactWriteItems" => run!(transact_write_items),
            other => panic!("no function calls {other}"),
        };
        match done {
            Ok(answer) => {
                if !matches!(name, "GetItem" | "Query") {
                    self.watch.written(body);
                }
                (200, answer)
            }
            Err(refused) => {
                if matches!(
                    refused,
                    DynoxideError::ConditionalCheckFailedException(..)
                        | DynoxideError::TransactionCanceledException(..)
                ) {
                    self.sim.hit(Hit::DynamoConditionFailed);
                } else {
                    self.sim
                        .violation(format!("DynamoDB refused a request of ours: {refused}"));
                }
                (refused.status_code(), refused.to_json())
            }
        }
    }
}

fn error(kind: &str) -> Said {
    (
        400,
        json!({ "__type": format!("com.amazonaws#{kind}"), "message": "scripted" }).to_string(),
    )
}

fn canceled_by_conflict() -> Said {
    let reasons = json!([{ "Code": "TransactionConflict" }, { "Code": "None" }]);
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    (
        400,
        json!({ "__type": kind, "Message": "scripted", "CancellationReasons": reasons })
            .to_string(),
    )
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request
            .headers()
            .get("x-amz-target")
            .unwrap_or_default()
            .to_owned();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let aws = self.clone();
        HttpConnectorFuture::new(async move {
            let (status, body) = aws.exchange(operation, body).await?;
            let mut response =
                AwsResponse::new(StatusCode::try_from(status).expect("a status"), body.into());
            response
                .headers_mut()
                .insert("content-type", "application/x-amz-json-1.0");
            Ok(response)
        })
    }
}

impl HttpClient for Aws {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
