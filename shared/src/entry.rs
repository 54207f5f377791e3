//! The way in: an API Gateway REST event or a Function URL event becomes a request without a panic, whatever a client
//! put into it.
//!
//! `lambda_http`'s own conversion builds a URL from host, path and query and decodes the body, and panics where it
//! cannot. Nothing here needs that URL: a request gets `/` for one, and method, path, parameters, headers and body as far
//! as they read.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::ApiGatewayProxyResponse;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::lambda_runtime::{self, Error, LambdaEvent};
use lambda_http::{Body, Request, RequestExt, Response, service_fn};
use serde::Deserialize;

/// Serves Lambda's events, each through the handler, until the process ends.
///
/// # Errors
/// Those of the runtime. An event of another shape is answered with an error and never reaches the handler.
pub async fn run<H, F>(handle: H) -> Result<(), Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>>,
{
    lambda_runtime::run(service_fn(|event: LambdaEvent<Incoming>| {
        let answering = handle(event.payload.0);
        async { Ok::<_, Infallible>(outgoing(answering.await)) }
    }))
    .await
}

/// The request of an event's JSON.
///
/// # Errors
/// Not JSON, or neither of the two shapes.
pub fn request(json: &str) -> Result<Request, serde_json::Error> {
    serde_json::from_str::<Incoming>(json).map(|incoming| incoming.0)
}

#[derive(Deserialize)]
#[serde(try_from = "Event")]
struct Incoming(Request);

/// What is read of an event. `httpMethod` makes it a REST event, `requestContext.http` one of a Function URL.
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

#[derive(Debug, thiserror::Error)]
#[error("neither an API Gateway REST event nor a Function URL event")]
struct OtherEvent;

impl TryFrom<Event> for Incoming {
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
        let query = match (event.multi_value_query_string_parameters, event.raw_query_string) {
            (Some(parameters), _) if !parameters.is_empty() => QueryMap::from(parameters),
            (_, Some(raw)) if !raw.is_empty() => raw.parse().unwrap_or_default(),
            _ => QueryMap::from(event.query_string_parameters.unwrap_or_default()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| OtherEvent)?;
        *request.headers_mut() = headers(event.multi_value_headers, event.headers);
        Ok(Self(
            request
                .with_raw_http_path(event.path.unwrap_or_default())
                .with_path_parameters(event.path_parameters.unwrap_or_default())
                .with_query_string_parameters(query),
        ))
    }
}

/// What HTTP takes for a header, without the rest. A REST event has its headers twice: all values, and the last of each.
fn headers(all: Option<BTreeMap<String, Vec<String>>>, last: Option<BTreeMap<String, String>>) -> HeaderMap {
    let all = all.filter(|all| !all.is_empty());
    let all = all.unwrap_or_else(|| last.into_iter().flatten().map(|(name, value)| (name, vec![value])).collect());
    let mut headers = HeaderMap::new();
    for (name, values) in all {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        for value in values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
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
        let mut event = json!({ "httpMethod": "POST", "path": "/payments", "requestContext": { "stage": "v1" } });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    }

    fn url(more: Value) -> Value {
        let mut event = json!({ "rawPath": "/", "requestContext": { "http": { "method": "POST" } } });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    }

    fn read(event: &Value) -> Request {
        request(&event.to_string()).unwrap()
    }

    #[test]
    fn a_body_is_text_bytes_or_nothing() {
        let body =
            |body: Value, base64: Value| read(&url(json!({ "body": body, "isBase64Encoded": base64 }))).into_body();
        assert_eq!(body(json!("{}"), json!(false)), Body::Text("{}".into()));
        assert_eq!(body(json!("{}"), json!(null)), Body::Text("{}".into()));
        assert_eq!(body(json!("/wA="), json!(true)), Body::Binary(vec![0xFF, 0x00]));
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
            json!({ "headers": { "x-forwarded-proto": "" }, "requestContext": { "domainName": "::", "http": { "method": "POST" } } }),
            json!({ "requestContext": { "stage": "\u{0}".repeat(70_000), "http": { "method": "POST" } } }),
            json!({ "path": ":99999999" }),
            json!({ "path": "x".repeat(70_000) }),
            json!({ "queryStringParameters": { "a": "x".repeat(70_000) } }),
            json!({ "multiValueQueryStringParameters": { "a": [] } }),
        ] {
            assert_eq!(read(&rest(hostile)).uri(), "/");
        }
        for hostile in ["\u{0}", "a b", "é", "%", "%ff=%00", "&&==", "\"<>`{}"] {
            assert_eq!(read(&url(json!({ "rawQueryString": hostile }))).uri(), "/", "{hostile:?}");
        }
    }

    #[test]
    fn parameters_come_from_wherever_the_event_has_them() {
        for event in [
            rest(
                json!({ "multiValueQueryStringParameters": { "q": ["a b", "c"] }, "queryStringParameters": { "q": "c" } }),
            ),
            rest(json!({ "multiValueQueryStringParameters": {}, "queryStringParameters": { "q": "a b" } })),
            rest(json!({ "multiValueQueryStringParameters": null, "queryStringParameters": { "q": "a b" } })),
            url(json!({ "rawQueryString": "x=1&q=a%20b", "queryStringParameters": { "q": "a b", "x": "1" } })),
            url(json!({ "queryStringParameters": { "q": "a b" } })),
        ] {
            assert_eq!(read(&event).query_string_parameters().first("q"), Some("a b"), "{event}");
        }
        let event = rest(json!({ "pathParameters": { "p": "x" } }));
        assert_eq!(read(&event).path_parameters().first("p"), Some("x"));
        assert_eq!(read(&event).raw_http_path(), "/payments");
        assert_eq!(read(&url(json!({ "rawPath": "/pay/x" }))).raw_http_path(), "/pay/x");
    }

    #[test]
    fn headers_that_http_knows_stay_and_others_go() {
        let headers =
            json!({ "Stripe-Signature": "t=1", "a b": "x", "": "x", "nul": "\u{0}", "line": "a\r\nb: c", "é": "x" });
        let read_one = read(&url(json!({ "headers": headers })));
        assert_eq!(read_one.headers().len(), 1);
        assert_eq!(read_one.headers()["stripe-signature"], "t=1");
        let all = json!({ "multiValueHeaders": { "A": ["1", "2"] }, "headers": { "A": "2" } });
        assert_eq!(read(&rest(all)).headers().get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        let many: HashMap<String, &str> = (0..40_000).map(|n| (format!("h{n}"), "x")).collect();
        assert!(!read(&url(json!({ "headers": many }))).headers().is_empty());
    }

    #[test]
    fn events_of_another_shape_are_refused() {
        for other in [
            "",
            "null",
            "[]",
            "{}",
            "{\"httpMethod\":5}",
            "{\"httpMethod\":\"G T\"}",
            "{\"httpMethod\":\"\"}",
            "{\"requestContext\":{}}",
            "{\"requestContext\":{\"http\":{}}}",
            "{\"Records\":[]}",
            "{\"httpMethod\":\"GET\"",
        ] {
            assert!(request(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_response_has_the_fields_that_both_kinds_of_event_expect() {
        let mut response = Response::new(Body::Text("{}".into()));
        *response.status_mut() = lambda_http::http::StatusCode::CREATED;
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        let wanted = json!({
            "statusCode": 201, "headers": { "content-type": "application/json" }, "multiValueHeaders": {},
            "body": "{}", "isBase64Encoded": false,
        });
        assert_eq!(serde_json::to_value(outgoing(response)).unwrap(), wanted);
        let bytes = serde_json::to_value(outgoing(Response::new(Body::Binary(vec![0xFF])))).unwrap();
        assert_eq!((&bytes["body"], &bytes["isBase64Encoded"]), (&json!("/w=="), &json!(true)));
    }
}
