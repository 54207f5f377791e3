//! The way in: an API Gateway REST event, a Function URL event or a direct invocation becomes a
//! request without a panic, whatever a client put into it.
//!
//! A direct invocation is what a Genesys AWS Lambda Data Action sends: the request's own JSON
//! object, without method, path or headers around it. Its reply has no envelope either, and a
//! problem ends the invocation with a function error: nothing else makes that Data Action take its
//! Failure path. A function error is a code and a text without a word of the request, for Lambda
//! and Genesys keep it; a panic becomes one here, before the runtime puts the panic's own text into
//! it.
//!
//! `lambda_http`'s own conversion builds a URL from host, path and query, and panics if it cannot
//! (its `request.rs`: `expect("failed to build request")`); its pass-through of other events cannot
//! end in a function error. Nothing here needs that URL: a request gets `/` for one, and method,
//! path, parameters, headers and body as far as they read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::lambda_runtime::{self, Diagnostic, Error, LambdaEvent};
use lambda_http::{Body, Request, RequestExt, Response, service_fn};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::Instrument;

use super::telemetry;

/// Serves Lambda's events, each through the handler, until the process ends.
///
/// # Errors
/// Those of the runtime. An event of another shape is answered with a function error and never
/// reaches the handler.
pub async fn run<H, F>(handle: H) -> Result<(), Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>>,
{
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        let span = telemetry::request_span(&event.context.request_id);
        answer(event.payload, &handle).instrument(span)
    }))
    .await
}

async fn answer<F: Future<Output = Response<Body>>>(
    event: Box<RawValue>,
    handle: &impl Fn(Request) -> F,
) -> Result<Reply, FunctionError> {
    let _lines = telemetry::hold_lines();
    let request = request(event.get()).map_err(|other| {
        tracing::warn!(code = OTHER_EVENT, "event refused");
        FunctionError::new(OTHER_EVENT, other.to_string())
    })?;
    let is_direct = is_direct(&request);
    // mutant: panic-caught
    let response = caught(async { handle(request).await }).await?;
    if is_direct {
        direct_reply(&response)
    } else {
        Ok(Reply::Http(Box::new(outgoing(response))))
    }
}

/// The request of an event's JSON.
///
/// # Errors
/// [`OtherEvent`]: no JSON object, or with a `requestContext` or `httpMethod` and yet none of the
/// two HTTP events.
pub fn request(json: &str) -> Result<Request, OtherEvent> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marks {
        http_method: Option<IgnoredAny>,
        request_context: Option<IgnoredAny>,
    }
    let marks: Marks = serde_json::from_str(json).map_err(|_| OtherEvent)?;
    if json.trim_start().starts_with('{')
        && marks.http_method.is_none()
        && marks.request_context.is_none()
    {
        let mut request = Request::new(Body::Text(json.to_owned()));
        request.extensions_mut().insert(Direct);
        return Ok(request);
    }
    serde_json::from_str::<Event>(json)
        .map_err(|_| OtherEvent)?
        .try_into()
}

/// Whether the function was invoked directly: without method, path and headers, the body is all
/// there is.
pub fn is_direct(request: &Request) -> bool {
    request.extensions().get::<Direct>().is_some()
}

#[derive(Clone, Copy)]
struct Direct;

/// An event of none of the three shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an API Gateway REST event, nor a Function URL event, nor a direct invocation")]
pub struct OtherEvent;

const OTHER_EVENT: &str = "other_event";

/// How an invocation fails. Lambda logs it and Genesys keeps it, so a handler puts nothing of a
/// request into it: it hangs it onto its response, for [`run`] to give in the response's place
/// if the function was invoked directly.
#[derive(Clone, PartialEq, Eq)]
pub struct FunctionError {
    code: &'static str,
    message: String,
}

impl FunctionError {
    /// A failure with a stable code, and a text that says what is expected.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The code alone: the runtime logs its handler's errors this way.
impl fmt::Debug for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self {
            error_type: error.code.to_owned(),
            error_message: error.message,
        }
    }
}

/// Lets a panic of the work be a function error that has nothing of the panic's text, which may
/// hold anything. Where it happened is logged by the hook that [`crate::lambda::telemetry::start`]
/// sets.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, FunctionError> {
    let mut work = pin!(work);
    let polled =
        poll_fn(
            |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(poll) => poll.map(Some),
                Err(_) => std::task::Poll::Ready(None),
            },
        );
    polled.await.ok_or_else(|| {
        FunctionError::new(
            "panic",
            "the function failed; look at its log, and send the request again",
        )
    })
}

#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Http(Box<ApiGatewayProxyResponse>),
    Direct(Box<RawValue>),
}

/// A success is its body. Anything else is the function error that the response carries.
fn direct_reply(response: &Response<Body>) -> Result<Reply, FunctionError> {
    let no_reply = || {
        FunctionError::new(
            "no_reply",
            "the function has no reply to a request without an envelope",
        )
    };
    if response.status().is_success() {
        return serde_json::from_slice(response.body())
            .map(Reply::Direct)
            .map_err(|_| no_reply());
    }
    Err(response
        .extensions()
        .get()
        .cloned()
        .unwrap_or_else(no_reply))
}

/// What is read of an event. `httpMethod` makes it a REST event, `requestContext.http` one of a
/// Function URL.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    http_method: Option<String>,
    request_context: Option<RequestContext>,
    #[serde(alias = "rawPath")]
    path: Option<String>,
    path_parameters: Option<HashMap<String, String>>,
    multi_value_query_string_parameters: Option<HashMap<String, Vec<String>>>,
    query_string_parameters: Option<HashMap<String, String>>,
    raw_query_string: Option<String>,
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Option<Http>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

impl TryFrom<Event> for Request {
    type Error = OtherEvent;

    fn try_from(event: Event) -> Result<Self, OtherEvent> {
        let of_url = || Some(event.request_context?.http?.method);
        let method = event.http_method.or_else(of_url).ok_or(OtherEvent)?;
        let body = match event.body {
            // A body that is not the base64 it is said to be is none, and is refused as such.
            Some(text) if event.is_base64_encoded == Some(true) => {
                STANDARD.decode(text).map_or(Body::Empty, Body::Binary)
            }
            Some(text) => Body::Text(text),
            None => Body::Empty,
        };
        let query = match (
            event.multi_value_query_string_parameters,
            event.raw_query_string,
        ) {
            (Some(parameters), _) if !parameters.is_empty() => QueryMap::from(parameters),
            (_, Some(raw)) if !raw.is_empty() => raw.parse().unwrap_or_default(),
            _ => QueryMap::from(event.query_string_parameters.unwrap_or_default()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| OtherEvent)?;
        *request.headers_mut() = headers(event.multi_value_headers, event.headers);
        Ok(request
            .with_raw_http_path(event.path.unwrap_or_default())
            .with_path_parameters(event.path_parameters.unwrap_or_default())
            .with_query_string_parameters(query))
    }
}

/// What HTTP takes for a header, without the rest. A REST event has its headers twice: all values,
/// and the last of each.
fn headers(
    all: Option<BTreeMap<String, Vec<String>>>,
    last: Option<BTreeMap<String, String>>,
) -> HeaderMap {
    let all = all.filter(|all| !all.is_empty());
    let all = all.unwrap_or_else(|| {
        last.into_iter()
            .flatten()
            .map(|(name, value)| (name, vec![value]))
            .collect()
    });
    let mut headers = HeaderMap::new();
    for (name, values) in all {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            continue;
        };
        for value in values
            .iter()
            .filter_map(|value| HeaderValue::from_str(value).ok())
        {
            // Only the map's limit of some 30,000 names can refuse it.
            let _ = headers.try_append(&name, value);
        }
    }
    headers
}

/// The response in the fields that REST APIs and Function URLs share.
fn outgoing(response: Response<Body>) -> ApiGatewayProxyResponse {
    let (parts, body) = response.into_parts();
    let mut outgoing = ApiGatewayProxyResponse::default();
    outgoing.status_code = parts.status.as_u16().into();
    outgoing.headers = parts.headers;
    outgoing.is_base64_encoded = matches!(body, Body::Binary(_));
    outgoing.body = Some(body);
    outgoing
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rest(more: Value) -> Value {
        let mut event = json!({
            "httpMethod": "POST", "path": "/payments", "requestContext": { "stage": "v1" },
        });
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    }

    fn url(more: Value) -> Value {
        let mut event =
            json!({ "rawPath": "/", "requestContext": { "http": { "method": "POST" } } });
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    }

    fn read(event: &Value) -> Request {
        request(&event.to_string()).unwrap()
    }

    #[test]
    fn a_body_is_text_bytes_or_nothing() {
        let body = |body: Value, base64: Value| {
            read(&url(json!({ "body": body, "isBase64Encoded": base64 }))).into_body()
        };
        assert_eq!(body(json!("{}"), json!(false)), Body::Text("{}".into()));
        assert_eq!(body(json!("{}"), json!(null)), Body::Text("{}".into()));
        assert_eq!(
            body(json!("/wA="), json!(true)),
            Body::Binary(vec![0xFF, 0x00])
        );
        assert_eq!(body(json!(null), json!(true)), Body::Empty);
        for wrong in ["{}", "A", "AAA", "AA==\n", "_w==", "/x=="] {
            assert_eq!(body(json!(wrong), json!(true)), Body::Empty, "{wrong:?}");
        }
    }

    #[test]
    fn what_makes_no_url_does_no_harm() {
        for hostile in [
            json!({ "headers": { "host": "a b" } }),
            json!({ "headers": { "host": "[", "x-forwarded-proto": "1" } }),
            json!({
                "headers": { "x-forwarded-proto": "" },
                "requestContext": { "domainName": "::", "http": { "method": "POST" } },
            }),
            json!({
                "requestContext": { "stage": "\u{0}".repeat(70_000), "http": { "method": "POST" } },
            }),
            json!({ "path": ":99999999" }),
            json!({ "path": "x".repeat(70_000) }),
            json!({ "queryStringParameters": { "a": "x".repeat(70_000) } }),
            json!({ "multiValueQueryStringParameters": { "a": [] } }),
        ] {
            assert_eq!(read(&rest(hostile)).uri(), "/");
        }
        for hostile in ["\u{0}", "a b", "é", "%", "%ff=%00", "&&==", "\"<>`{}"] {
            assert_eq!(
                read(&url(json!({ "rawQueryString": hostile }))).uri(),
                "/",
                "{hostile:?}"
            );
        }
    }

    #[test]
    fn parameters_come_from_wherever_the_event_has_them() {
        for event in [
            rest(json!({
                "multiValueQueryStringParameters": { "q": ["a b", "c"] },
                "queryStringParameters": { "q": "c" },
            })),
            rest(json!({
                "multiValueQueryStringParameters": {}, "queryStringParameters": { "q": "a b" },
            })),
            rest(json!({
                "multiValueQueryStringParameters": null, "queryStringParameters": { "q": "a b" },
            })),
            url(json!({
                "rawQueryString": "x=1&q=a%20b",
                "queryStringParameters": { "q": "a b", "x": "1" },
            })),
            url(json!({ "queryStringParameters": { "q": "a b" } })),
        ] {
            assert_eq!(
                read(&event).query_string_parameters().first("q"),
                Some("a b"),
                "{event}"
            );
        }
        let event = rest(json!({ "pathParameters": { "p": "x" } }));
        assert_eq!(read(&event).path_parameters().first("p"), Some("x"));
        assert_eq!(read(&event).raw_http_path(), "/payments");
        assert_eq!(
            read(&url(json!({ "rawPath": "/pay/x" }))).raw_http_path(),
            "/pay/x"
        );
    }

    #[test]
    fn headers_that_http_knows_stay_and_others_go() {
        let headers = json!({
            "Stripe-Signature": "t=1", "a b": "x", "": "x", "nul": "\u{0}", "line": "a\r\nb: c",
            "é": "x",
        });
        let read_one = read(&url(json!({ "headers": headers })));
        assert_eq!(read_one.headers().len(), 1);
        assert_eq!(read_one.headers()["stripe-signature"], "t=1");
        let all = json!({ "multiValueHeaders": { "A": ["1", "2"] }, "headers": { "A": "2" } });
        assert_eq!(
            read(&rest(all))
                .headers()
                .get_all("a")
                .iter()
                .collect::<Vec<_>>(),
            ["1", "2"]
        );
        let many: HashMap<String, &str> = (0..40_000).map(|n| (format!("h{n}"), "x")).collect();
        assert!(!read(&url(json!({ "headers": many }))).headers().is_empty());
    }

    #[test]
    fn events_of_another_shape_are_refused() {
        for other in [
            "",
            "null",
            "[]",
            "{\"httpMethod\":5}",
            "{\"httpMethod\":\"G T\"}",
            "{\"httpMethod\":\"\"}",
            "{\"requestContext\":{}}",
            "{\"requestContext\":{\"http\":{}}}",
            "{\"httpMethod\":\"GET\"",
            "{\"httpMethod\":\"GET\",\"httpMethod\":\"GET\"}",
            "[null,null]",
            "\"{}\"",
        ] {
            assert_eq!(request(other).unwrap_err(), OtherEvent, "{other}");
        }
    }

    #[test]
    fn an_object_without_an_envelope_is_a_direct_invocation_and_stays_as_it_is_written() {
        for text in [
            "{}",
            " {\"amount\": 19.990000000000000001}\n",
            "{\"Records\":[]}",
            "{\"a\":1e999,\"a\":{}}",
        ] {
            let read = request(text).unwrap();
            assert!(is_direct(&read), "{text}");
            assert_eq!(read.body(), &Body::Text(text.into()));
            assert!(read.headers().is_empty() && read.path_parameters().is_empty());
        }
        assert!(!is_direct(&read(&rest(json!({})))) && !is_direct(&read(&url(json!({})))));
    }

    async fn answered(event: &str, status: u16, body: &str) -> Result<Value, (String, String)> {
        let handle = |_: Request| async {
            let mut response = Response::new(Body::Text(body.to_owned()));
            *response.status_mut() = lambda_http::http::StatusCode::from_u16(status).unwrap();
            response
                .extensions_mut()
                .insert(FunctionError::new("order_changed", "what is expected"));
            response
        };
        let reply = answer(RawValue::from_string(event.to_owned()).unwrap(), &handle).await;
        reply
            .map(|reply| serde_json::to_value(reply).unwrap())
            .map_err(|told| {
                assert!(
                    !format!("{told:?} {told:#?}").contains(&told.message),
                    "the runtime logs it by its Debug"
                );
                let told = Diagnostic::from(told);
                (told.error_type, told.error_message)
            })
    }

    #[tokio::test]
    async fn a_direct_reply_is_direct_and_a_problem_is_a_function_error() {
        let reply = json!({ "payment_status": "PENDING", "amount": "50.00" });
        assert_eq!(
            answered("{}", 201, &reply.to_string()).await,
            Ok(reply.clone())
        );
        let problem =
            json!({ "code": "order_changed", "detail": "what came", "status": 409 }).to_string();
        assert_eq!(
            answered("{}", 409, &problem).await,
            Err(("order_changed".to_owned(), "what is expected".to_owned()))
        );
        assert_eq!(
            answered("{}", 200, "no JSON").await.unwrap_err().0,
            "no_reply"
        );
        // Over HTTP the same is an answer.
        let event = rest(json!({})).to_string();
        assert_eq!(
            answered(&event, 409, &problem).await.unwrap()["statusCode"],
            409
        );
        let other = answered("[]", 200, "{}").await.unwrap_err();
        assert_eq!(other.0, "other_event");
    }

    #[test]
    fn a_response_has_the_fields_that_both_kinds_of_event_expect() {
        let mut response = Response::new(Body::Text("{}".into()));
        *response.status_mut() = lambda_http::http::StatusCode::CREATED;
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("application/json"));
        let wanted = json!({
            "statusCode": 201, "headers": { "content-type": "application/json" },
            "multiValueHeaders": {}, "body": "{}", "isBase64Encoded": false,
        });
        assert_eq!(serde_json::to_value(outgoing(response)).unwrap(), wanted);
        let bytes =
            serde_json::to_value(outgoing(Response::new(Body::Binary(vec![0xFF])))).unwrap();
        assert_eq!(
            (&bytes["body"], &bytes["isBase64Encoded"]),
            (&json!("/w=="), &json!(true))
        );
    }
}
