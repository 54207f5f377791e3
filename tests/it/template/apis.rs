//! The two APIs: which function answers what, who needs a key, how much is taken, and what the APIs
//! say by themselves.

use std::collections::BTreeSet;

use lambda_http::http::StatusCode;
use serde_yaml_ng::Value;

use super::{keys, properties, readme_table, rows, template, wanted, written};

/// Every event of every function: function and event.
pub(super) fn events(template: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (function, resource) in template["Resources"].as_mapping().unwrap() {
        if let Value::Mapping(events) = &resource["Properties"]["Events"] {
            let function = function.as_str().unwrap();
            found.extend(
                events
                    .keys()
                    .map(|event| (function.to_owned(), event.as_str().unwrap().to_owned())),
            );
        }
    }
    found
}

/// What Genesys calls, with a key.
const OF_GENESYS: [(&str, &str, &str, &str); 3] = [
    ("CreateIntentFunction", "CreatePayment", "POST", "/payments"),
    (
        "CreateIntentFunction",
        "CancelPayment",
        "DELETE",
        "/payments/{conversation_id}",
    ),
    (
        "StatusQueryFunction",
        "GetPayment",
        "GET",
        "/payments/{conversation_id}",
    ),
];

/// What the payer's browser calls, which has no key.
const OF_THE_PAYER: [(&str, &str, &str, &str); 2] = [
    ("StatusQueryFunction", "OpenPage", "GET", "/pay"),
    ("StatusQueryFunction", "OpenSession", "POST", "/pay/session"),
];

#[test]
fn every_route_is_on_its_api_and_leads_to_its_function() {
    let template = template();
    let of_genesys = OF_GENESYS.map(|route| ("PaymentApi", route));
    let of_the_payer = OF_THE_PAYER.map(|route| ("PayApi", route));
    let mut routes = BTreeSet::new();
    for (api, (function, event, method, path)) in of_genesys.into_iter().chain(of_the_payer) {
        let wired = &properties(&template, function)["Events"][event];
        assert_eq!(
            rows(wired, &["Properties"]),
            wanted(&[("Type", "Api")]),
            "{event}"
        );
        let api = format!("!Ref {api}");
        // Nothing else: an Auth here would replace the API's own.
        let row = [
            ("RestApiId", api.as_str()),
            ("Method", method),
            ("Path", path),
        ];
        assert_eq!(
            rows(&wired["Properties"], &["TimeoutInMillis"]),
            wanted(&row),
            "{event}"
        );
        routes.insert((function.to_owned(), event.to_owned()));
    }
    assert_eq!(events(&template), routes, "every event has its row");
}

#[test]
fn the_api_of_genesys_needs_a_key_and_the_payer_s_does_not_and_each_is_throttled_by_its_own_parameters()
 {
    let template = template();
    for (api, key_required, rate, burst) in [
        ("PaymentApi", true, "RequestsPerSecond", "RequestBurst"),
        ("PayApi", false, "PayRequestsPerSecond", "PayRequestBurst"),
    ] {
        let auth = format!("{{ApiKeyRequired: {key_required}}}");
        let settings = format!(
            "[{{HttpMethod: *, ResourcePath: /*, MetricsEnabled: true, ThrottlingRateLimit: !Ref {rate}, \
             ThrottlingBurstLimit: !Ref {burst}}}]"
        )
        .replace("HttpMethod: *", "HttpMethod: '*'");
        let own = [
            ("StageName", "v1"),
            ("OpenApiVersion", "3.0.1"),
            ("EndpointConfiguration", "{Type: REGIONAL}"),
            ("Auth", auth.as_str()),
            ("MethodSettings", &settings),
        ];
        assert_eq!(
            rows(
                properties(&template, api),
                &["Description", "GatewayResponses"]
            ),
            wanted(&own),
            "{api}"
        );
    }
}

#[test]
fn the_key_is_enabled_and_its_plan_limits_the_api_of_genesys() {
    let template = template();
    assert_eq!(
        rows(properties(&template, "ApiKey"), &["Description"]),
        wanted(&[("Enabled", "true")])
    );
    let plan = [
        (
            "ApiStages",
            "[{ApiId: !Ref PaymentApi, Stage: !Ref PaymentApi.Stage}]",
        ),
        (
            "Throttle",
            "{RateLimit: !Ref RequestsPerSecond, BurstLimit: !Ref RequestBurst}",
        ),
        ("Quota", "{Limit: !Ref RequestsPerDay, Period: DAY}"),
    ];
    assert_eq!(rows(properties(&template, "UsagePlan"), &[]), wanted(&plan));
    let in_plan = [
        ("KeyId", "!Ref ApiKey"),
        ("KeyType", "API_KEY"),
        ("UsagePlanId", "!Ref UsagePlan"),
    ];
    assert_eq!(
        rows(properties(&template, "UsagePlanKey"), &[]),
        wanted(&in_plan)
    );
}

/// A gateway response's only template, and its headers without the quotes that mark them as fixed.
fn gateway_response(response: &Value) -> (String, Vec<(String, String)>) {
    assert_eq!(
        keys(&response["ResponseParameters"]),
        BTreeSet::from(["Headers".to_owned()])
    );
    assert_eq!(
        keys(&response["ResponseTemplates"]),
        BTreeSet::from(["application/json".to_owned()])
    );
    let headers = response["ResponseParameters"]["Headers"]
        .as_mapping()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let value = value
                .as_str()
                .unwrap()
                .strip_prefix('\'')
                .and_then(|value| value.strip_suffix('\''));
            (name.as_str().unwrap().to_owned(), value.unwrap().to_owned())
        });
    (
        response["ResponseTemplates"]["application/json"]
            .as_str()
            .unwrap()
            .to_owned(),
        headers.collect(),
    )
}

fn headers(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn what_the_api_of_genesys_answers_by_itself_is_a_problem_of_the_readme_s_table() {
    let template = template();
    let documented = readme_table("API Gateway answers some requests itself");
    let responses = &properties(&template, "PaymentApi")["GatewayResponses"];
    // What API Gateway calls the case, and the contract's code. Source of the names: AWS, "Gateway
    // response types".
    let named = [
        ("INVALID_API_KEY", "invalid_api_key"),
        ("MISSING_AUTHENTICATION_TOKEN", "no_such_route"),
        ("THROTTLED", "throttled"),
        ("QUOTA_EXCEEDED", "quota_exceeded"),
        ("INTEGRATION_FAILURE", "function_failed"),
        ("INTEGRATION_TIMEOUT", "function_timeout"),
    ];
    assert_eq!(documented.len(), named.len());
    let (plain, retryable_too) = (
        headers(&[
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
        ]),
        headers(&[
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
            ("Retry-After", "1"),
        ]),
    );
    for (kind, code) in named {
        let response = &responses[kind];
        let row = documented
            .iter()
            .find(|row| row[1] == format!("`{code}`"))
            .unwrap_or_else(|| panic!("no {code}"));
        let (status, retryable): (u16, bool) = (row[0].parse().unwrap(), row[2] == "yes");
        assert_eq!(
            rows(response, &["ResponseParameters", "ResponseTemplates"]),
            wanted(&[("StatusCode", &*row[0])])
        );
        let (body, headers) = gateway_response(response);
        let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let detail = body.as_object_mut().unwrap().remove("detail").unwrap();
        assert!(!detail.as_str().unwrap().is_empty(), "{kind}");
        let title = StatusCode::from_u16(status).unwrap().canonical_reason();
        let problem = serde_json::json!({
            "type": "about:blank", "title": title, "status": status, "code": code, "retryable": retryable,
        });
        assert_eq!(body, problem, "{kind}");
        assert_eq!(
            &headers,
            if retryable { &retryable_too } else { &plain },
            "{kind}"
        );
    }
    for (kind, retryable) in [("DEFAULT_4XX", false), ("DEFAULT_5XX", true)] {
        let (body, headers) = gateway_response(&responses[kind]);
        assert!(
            responses[kind]["StatusCode"].is_null(),
            "{kind} keeps the case's own status"
        );
        // API Gateway puts the message in with quotes of its own.
        let body = body.replace("$context.error.messageString", "\"why\"");
        let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let title = body.as_object_mut().unwrap().remove("title").unwrap();
        assert!(!title.as_str().unwrap().is_empty(), "{kind}");
        let problem = serde_json::json!({
            "type": "about:blank", "code": "$context.error.responseType", "retryable": retryable, "detail": "why",
        });
        assert_eq!(body, problem, "{kind}");
        assert_eq!(
            &headers,
            if retryable { &retryable_too } else { &plain },
            "{kind}"
        );
    }
    let all = named
        .map(|(kind, _)| kind)
        .into_iter()
        .chain(["DEFAULT_4XX", "DEFAULT_5XX"]);
    assert_eq!(keys(responses), all.map(str::to_owned).collect());
}

#[test]
fn what_the_payer_s_api_answers_by_itself_is_a_plain_sentence() {
    let template = template();
    let responses = &properties(&template, "PayApi")["GatewayResponses"];
    let mut kinds = BTreeSet::new();
    for (kind, status, sentence, retry_after) in [
        (
            "MISSING_AUTHENTICATION_TOKEN",
            Some("404"),
            "Not found",
            None,
        ),
        (
            "DEFAULT_4XX",
            None,
            "Please try again in a moment.",
            Some("2"),
        ),
        (
            "DEFAULT_5XX",
            None,
            "Please try again in a moment.",
            Some("2"),
        ),
    ] {
        let mut with = vec![
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
        ];
        with.extend(retry_after.map(|seconds| ("Retry-After", seconds)));
        assert_eq!(
            gateway_response(&responses[kind]),
            (sentence.to_owned(), headers(&with)),
            "{kind}"
        );
        let own: Vec<_> = status
            .map(|status| ("StatusCode", status))
            .into_iter()
            .collect();
        assert_eq!(
            rows(
                &responses[kind],
                &["ResponseParameters", "ResponseTemplates"]
            ),
            wanted(&own),
            "{kind}"
        );
        kinds.insert(kind.to_owned());
    }
    assert_eq!(keys(responses), kinds);
}

#[test]
fn every_output_is_what_the_readme_says_and_has_its_value() {
    let template = template();
    let (stripe, genesys) = (
        "!If [StripeSecretGiven, !Ref StripeSecretArn, !GetAtt StripeSecret.Id]",
        "!If [GenesysSecretGiven, !Ref GenesysSecretArn, !GetAtt GenesysSecret.Id]",
    );
    let mut found = BTreeSet::new();
    for (name, condition, value) in [
        (
            "ApiUrl",
            "",
            "!Sub https://${PaymentApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1",
        ),
        ("ApiKeyId", "", "!Ref ApiKey"),
        (
            "CreateIntentFunctionArn",
            "",
            "!GetAtt CreateIntentFunction.Arn",
        ),
        (
            "StatusQueryFunctionArn",
            "",
            "!GetAtt StatusQueryFunction.Arn",
        ),
        (
            "GenesysInvokeRoleArn",
            "HasGenesysOrg",
            "!GetAtt GenesysInvokeRole.Arn",
        ),
        (
            "PayUrl",
            "",
            "!Sub https://${PayApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1",
        ),
        (
            "WebhookUrl",
            "",
            "!GetAtt StripeWebhookFunctionUrl.FunctionUrl",
        ),
        ("TableName", "", "!Ref PaymentTable"),
        ("StripeSecretArn", "", stripe),
        ("GenesysSecretArn", "HasGenesys", genesys),
    ] {
        let mut own = vec![("Value", value)];
        if !condition.is_empty() {
            own.push(("Condition", condition));
        }
        assert_eq!(
            rows(&template["Outputs"][name], &["Description"]),
            wanted(&own),
            "{name}"
        );
        found.insert(name.to_owned());
    }
    assert_eq!(keys(&template["Outputs"]), found);
    let documented = readme_table("The outputs of the stack:");
    assert_eq!(
        documented
            .iter()
            .flat_map(|row| super::code(&row[0]))
            .collect::<BTreeSet<_>>(),
        found
    );
    assert_eq!(
        written(&properties(&template, "PaymentApi")["StageName"]),
        "v1",
        "the stage in the addresses"
    );
}
