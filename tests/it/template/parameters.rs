//! The parameters: their limits are those of the code, their defaults those of docs/deploy.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex_lite::Regex;
use serde_yaml_ng::Value;
use shared::lambda::config::{CreateIntentConfig, StatusQueryConfig, WebhookConfig};

use super::{code, keys, readme_table, root, rows, template, wanted, written};

/// For people, or looked at by example.
const NOT_IN_THE_TABLE: [&str; 3] = ["Description", "ConstraintDescription", "AllowedPattern"];

#[test]
fn each_parameter_has_its_type_default_and_limits() {
    let template = template();
    let flags = "['true', 'false']";
    // CloudWatch Logs takes these and no others. Source: AWS, "PutRetentionPolicy".
    let retentions = "[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, \
                      3288, 3653]";
    let mut found = BTreeSet::new();
    for (name, default, limits) in [
        ("AllowedCurrencies", "usd,eur,gbp", &[] as &[(&str, &str)]),
        ("RegionCurrencies", "US=usd,EU=eur,GB=gbp", &[]),
        ("MaxAmounts", "usd=1000000,eur=1000000,gbp=1000000", &[]),
        (
            "CaptureMethod",
            "automatic",
            &[("AllowedValues", "[automatic, manual]")],
        ),
        ("Moto", "'false'", &[("AllowedValues", flags)]),
        (
            "OrderScope",
            "merchant",
            &[("AllowedValues", "[merchant, conversation]")],
        ),
        ("MerchantName", "''", &[("MaxLength", "60")]),
        ("PayLinkBase", "''", &[]),
        (
            "PayLinkMinutes",
            "30",
            &[("MinValue", "1"), ("MaxValue", "1440")],
        ),
        ("GenesysDomain", "''", &[]),
        ("GenesysLatePaymentFlowId", "''", &[]),
        ("GenesysOrgId", "''", &[]),
        ("GenesysAwsAccountId", "'765628985471'", &[]),
        ("StripeSecretArn", "''", &[]),
        ("GenesysSecretArn", "''", &[]),
        ("SecretsKeyArn", "''", &[]),
        (
            "RecordDays",
            "90",
            &[("MinValue", "30"), ("MaxValue", "3650")],
        ),
        (
            "PaidRecordDays",
            "3650",
            &[("MinValue", "30"), ("MaxValue", "3650")],
        ),
        (
            "TableDeletionProtection",
            "'true'",
            &[("AllowedValues", flags)],
        ),
        ("LogRetentionDays", "90", &[("AllowedValues", retentions)]),
        (
            "BudgetMs",
            "4500",
            &[("MinValue", "1000"), ("MaxValue", "4800")],
        ),
        ("RequestsPerSecond", "50", &[("MinValue", "1")]),
        ("RequestBurst", "100", &[("MinValue", "1")]),
        ("RequestsPerDay", "500000", &[("MinValue", "1")]),
        ("PayRequestsPerSecond", "20", &[("MinValue", "1")]),
        ("PayRequestBurst", "40", &[("MinValue", "1")]),
        (
            "Architecture",
            "x86_64",
            &[("AllowedValues", "[x86_64, arm64]")],
        ),
        ("StripeApiBase", "''", &[]),
        ("GenesysApiBase", "''", &[]),
        ("GenesysLoginBase", "''", &[]),
        ("AwsEndpointUrl", "''", &[]),
    ] {
        let parameter = &template["Parameters"][name];
        let kind = if parameter["Default"].is_number() {
            "Number"
        } else {
            "String"
        };
        let own: Vec<_> = [("Type", kind), ("Default", default)]
            .into_iter()
            .chain(limits.iter().copied())
            .collect();
        assert_eq!(rows(parameter, &NOT_IN_THE_TABLE), wanted(&own), "{name}");
        found.insert(name.to_owned());
    }
    assert_eq!(keys(&template["Parameters"]), found);
}

#[test]
fn the_readme_names_every_parameter_with_its_default() {
    let parameters = &template()["Parameters"];
    let mut documented = BTreeMap::new();
    for row in readme_table("asks for everything:")
        .into_iter()
        .filter(|row| row[0].starts_with('`'))
    {
        let (names, defaults) = (code(&row[0]), code(&row[1]));
        assert!(
            row[1] == "empty" || defaults.len() == names.len(),
            "{names:?}"
        );
        for (at, name) in names.into_iter().enumerate() {
            documented.insert(name, defaults.get(at).cloned().unwrap_or_default());
        }
    }
    let set = parameters
        .as_mapping()
        .unwrap()
        .iter()
        .map(|(name, parameter)| {
            (
                written(name),
                written(&parameter["Default"]).trim_matches('\'').to_owned(),
            )
        });
    assert_eq!(documented, set.collect());
}

#[test]
fn the_guide_s_table_of_regions_has_just_the_domains_that_the_code_takes() {
    let guide = fs::read_to_string(root().join("docs/genesys.md")).unwrap();
    let rows = guide
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("pure"));
    let cells = rows.flat_map(|row| row.split('|')).map(str::trim);
    let domains: BTreeSet<&str> = cells
        .filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        .filter(|cell| cell.contains('.'))
        .collect();
    assert_eq!(domains, shared::lambda::config::GENESYS_DOMAINS.into());
}

#[test]
fn every_parameter_is_asked_in_one_group_and_is_used() {
    let template = template();
    let groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        .as_sequence()
        .unwrap();
    let asked: Vec<String> = groups
        .iter()
        .flat_map(|group| {
            group["Parameters"]
                .as_sequence()
                .unwrap()
                .iter()
                .map(written)
        })
        .collect();
    assert_eq!(
        asked.iter().cloned().collect::<BTreeSet<_>>(),
        keys(&template["Parameters"])
    );
    assert_eq!(
        asked.len(),
        keys(&template["Parameters"]).len(),
        "one is asked twice"
    );
    let text: String = ["Conditions", "Globals", "Resources"]
        .map(|section| written(&template[section]))
        .concat();
    for name in asked {
        let references = Regex::new(&format!(r"!Ref {name}\b|\$\{{{name}\}}")).unwrap();
        assert!(references.is_match(&text), "{name} is used nowhere");
    }
}

#[test]
fn each_condition_asks_for_what_its_name_says() {
    let given = |name| format!("!Not [!Equals [!Ref {name}, '']]");
    let conditions = [
        ("HasGenesys", given("GenesysDomain")),
        ("HasGenesysOrg", given("GenesysOrgId")),
        ("StripeSecretGiven", given("StripeSecretArn")),
        ("GenesysSecretGiven", given("GenesysSecretArn")),
        (
            "CreateStripeSecret",
            "!Not [!Condition StripeSecretGiven]".to_owned(),
        ),
        (
            "CreateGenesysSecret",
            "!And [!Condition HasGenesys, !Not [!Condition GenesysSecretGiven]]".to_owned(),
        ),
        ("HasSecretsKey", given("SecretsKeyArn")),
        ("HasPayLinkBase", given("PayLinkBase")),
        ("HasAwsEndpoint", given("AwsEndpointUrl")),
    ];
    let conditions = conditions.map(|(name, condition)| (name.to_owned(), condition));
    assert_eq!(
        rows(&template()["Conditions"], &[]),
        BTreeMap::from(conditions)
    );
}

/// Whether the functions take a value for a variable.
fn is_taken(variable: &str, value: &str) -> bool {
    let lookup = |name: &str| match name {
        _ if name == variable => Some(value.to_owned()),
        "TABLE_NAME" | "STRIPE_SECRET_ID" | "GENESYS_SECRET_ID" => Some("x".to_owned()),
        "GENESYS_DOMAIN" => Some("mypurecloud.com".to_owned()),
        _ => None,
    };
    CreateIntentConfig::read(lookup).is_ok()
        && StatusQueryConfig::read(lookup).is_ok()
        && WebhookConfig::read(lookup).is_ok()
}

#[test]
fn the_limits_of_a_parameter_are_those_of_the_code_that_reads_it() {
    let parameters = &template()["Parameters"];
    for (parameter, variable) in [
        ("RecordDays", "RECORD_DAYS"),
        ("PayLinkMinutes", "PAY_LINK_MINUTES"),
    ] {
        let limit = |name: &str| parameters[parameter][name].as_u64().unwrap();
        let (least, most) = (limit("MinValue"), limit("MaxValue"));
        assert!(
            is_taken(variable, &least.to_string()) && is_taken(variable, &most.to_string()),
            "{variable}"
        );
        let beyond = [least - 1, most + 1].map(|value| is_taken(variable, &value.to_string()));
        assert_eq!(beyond, [false, false], "{variable}");
    }
    let longest =
        usize::try_from(parameters["MerchantName"]["MaxLength"].as_u64().unwrap()).unwrap();
    assert!(
        is_taken("MERCHANT_NAME", &"é".repeat(longest))
            && !is_taken("MERCHANT_NAME", &"é".repeat(longest + 1))
    );
    // The code takes more than the template, which knows what waits around it.
    for limit in ["MinValue", "MaxValue"] {
        assert!(is_taken(
            "BUDGET_MS",
            &parameters["BudgetMs"][limit].as_u64().unwrap().to_string()
        ));
    }
    for (value, taken) in [(99, false), (100, true), (28_000, true), (28_001, false)] {
        assert_eq!(is_taken("BUDGET_MS", &value.to_string()), taken, "{value}");
    }
    for (parameter, variable) in [
        ("CaptureMethod", "CAPTURE_METHOD"),
        ("Moto", "MOTO"),
        ("OrderScope", "ORDER_SCOPE"),
    ] {
        for value in parameters[parameter]["AllowedValues"]
            .as_sequence()
            .unwrap()
        {
            assert!(is_taken(variable, value.as_str().unwrap()), "{variable}");
        }
        assert!(!is_taken(variable, "later"), "{variable}");
    }
}

#[test]
fn every_allowed_currency_and_every_region_s_has_a_ceiling_by_default() {
    let parameters = &template()["Parameters"];
    let items = |name: &str| -> Vec<String> {
        parameters[name]["Default"]
            .as_str()
            .unwrap()
            .split(',')
            .map(str::to_owned)
            .collect()
    };
    let allowed = items("AllowedCurrencies");
    for (parameter, side) in [("MaxAmounts", 0), ("RegionCurrencies", 1)] {
        let named = items(parameter)
            .iter()
            .map(|pair| pair.split('=').nth(side).unwrap().to_owned())
            .collect::<Vec<_>>();
        assert_eq!(named, allowed, "{parameter}");
    }
}

/// A pattern, and by example what it lets through and keeps out; and the variable that the value
/// ends up in.
struct Pattern {
    parameter: &'static str,
    text: &'static str,
    variable: &'static str,
    takes: &'static [&'static str],
    refuses: &'static [&'static str],
}

const SECRET: Pattern = Pattern {
    parameter: "StripeSecretArn",
    text: r"^$|^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$",
    variable: "STRIPE_SECRET_ID",
    takes: &[
        "",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:stripe-AbCdEf",
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:pay/stripe-AbCdEf",
    ],
    refuses: &[
        "stripe",
        "arn:aws:secretsmanager:eu-central-1:12345678901:secret:stripe",
        "arn:aws:secretsmanager:eu-central-1:1234567890123:secret:stripe",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:",
        "arn:aws:kms:eu-central-1:123456789012:key/1",
        "xarn:aws:secretsmanager:eu-central-1:123456789012:secret:stripe",
    ],
};

const LOCAL_BASE: Pattern = Pattern {
    parameter: "StripeApiBase",
    text: r"^$|^https?://[^/]+$",
    variable: "STRIPE_API_BASE",
    takes: &[
        "",
        "http://127.0.0.1:8420",
        "https://api.stripe.com",
        "http://host.docker.internal:1",
    ],
    refuses: &[
        "127.0.0.1:8420",
        "ftp://localhost",
        "https://",
        "https://x.com/path",
        "xhttps://x.com",
    ],
};

const PATTERNS: [Pattern; 14] = [
    Pattern {
        parameter: "AllowedCurrencies",
        text: r"^[a-z]{3}(,[a-z]{3})*$",
        variable: "ALLOWED_CURRENCIES",
        takes: &["usd", "usd,eur", "usd,eur,gbp,jpy"],
        refuses: &[
            "", "USD", "usd,", ",usd", "usd, eur", "us", "usdd", "usd;eur", "us1",
        ],
    },
    Pattern {
        parameter: "RegionCurrencies",
        text: r"^$|^[A-Za-z0-9_-]+=[a-z]{3}(,[A-Za-z0-9_-]+=[a-z]{3})*$",
        variable: "REGION_CURRENCIES",
        takes: &["", "US=usd", "US=usd,EU=eur", "north_west-1=usd", "0=eur"],
        refuses: &[
            "US",
            "US=",
            "=usd",
            "US=USD",
            "US=usd,",
            "US=usd EU=eur",
            "US:usd",
            "U S=usd",
            "US=usdd",
        ],
    },
    Pattern {
        parameter: "MaxAmounts",
        text: r"^$|^[a-z]{3}=[0-9]{1,12}(,[a-z]{3}=[0-9]{1,12})*$",
        variable: "MAX_AMOUNTS",
        takes: &["", "usd=1", "usd=1000000,jpy=1500000", "usd=999999999999"],
        refuses: &[
            "usd",
            "usd=",
            "usd=10.00",
            "USD=1",
            "usd=1,",
            "usd=1 jpy=1",
            "usd=-1",
            "usd=1234567890123",
        ],
    },
    Pattern {
        parameter: "PayLinkBase",
        text: r"^$|^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$",
        variable: "PAY_LINK_BASE",
        takes: &[
            "",
            "https://pay.example.com",
            "https://pay.example.com/",
            "https://pay.example.com:8443/a-b/c_d~e.f",
            "http://127.0.0.1:4566/v1",
            "http://[::1]:1",
        ],
        refuses: &[
            "pay.example.com",
            "https://",
            "https://x.com/pay?a=b",
            "https://x.com/#pay",
            "https://user@x.com",
            "ftp://x.com",
            "https://x.com/a b",
            "xhttps://x.com",
        ],
    },
    Pattern {
        parameter: "GenesysDomain",
        text: r"^$|^[a-z0-9-]+(\.[a-z0-9-]+)+$",
        variable: "GENESYS_DOMAIN",
        takes: &[
            "",
            "mypurecloud.com",
            "usw2.pure.cloud",
            "use2.us-gov-pure.cloud",
            "mypurecloud.com.au",
        ],
        refuses: &[
            "mypurecloud",
            "MyPureCloud.com",
            "https://mypurecloud.com",
            "mypurecloud.com/",
            ".com",
            "a..b",
            "a b.c",
        ],
    },
    Pattern {
        parameter: "GenesysLatePaymentFlowId",
        text: r"^$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        variable: "GENESYS_LATE_PAYMENT_FLOW_ID",
        takes: &[
            "",
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
            "7D3C1F5E-8A51-4C0E-9B7A-2F6D0C1E4B5A",
        ],
        refuses: &[
            "late",
            "7d3c1f5e8a514c0e9b7a2f6d0c1e4b5a",
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5",
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a0",
            "7d3c1f5e-8a51-4c0e-2f6d0c1e4b5a",
            "7d3c1f5g-8a51-4c0e-9b7a-2f6d0c1e4b5a",
            "07d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
        ],
    },
    Pattern {
        parameter: "GenesysOrgId",
        text: r"^$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        variable: "", // of the role alone
        takes: &["", "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a"],
        refuses: &[
            "7D3C1F5E-8A51-4C0E-9B7A-2F6D0C1E4B5A", // an external id is compared letter by letter
            "7d3c1f5e8a514c0e9b7a2f6d0c1e4b5a",
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5",
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a0",
            "7d3c1f5e-8a51-4c0e-2f6d0c1e4b5a",
            "07d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
            "*",
        ],
    },
    Pattern {
        parameter: "GenesysAwsAccountId",
        text: r"^[0-9]{12}$",
        variable: "",
        takes: &["765628985471", "012345678901"],
        refuses: &["", "76562898547", "7656289854710", "76562898547x", "*"],
    },
    SECRET,
    Pattern {
        parameter: "GenesysSecretArn",
        variable: "GENESYS_SECRET_ID",
        ..SECRET
    },
    Pattern {
        parameter: "SecretsKeyArn",
        text: r"^$|^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$",
        variable: "",
        takes: &[
            "",
            "arn:aws:kms:eu-central-1:123456789012:key/7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
            "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-1",
        ],
        refuses: &[
            "alias/pay",
            "arn:aws:kms:eu-central-1:123456789012:alias/pay",
            "arn:aws:kms:eu-central-1:12345678901:key/1",
            "arn:aws:kms:eu-central-1:1234567890123:key/1",
            "arn:aws:kms:eu-central-1:123456789012:key/",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x",
            "xarn:aws:kms:eu-central-1:123456789012:key/1",
        ],
    },
    LOCAL_BASE,
    Pattern {
        parameter: "GenesysApiBase",
        variable: "GENESYS_API_BASE",
        takes: &["", "http://127.0.0.1:8420", "https://api.usw2.pure.cloud"],
        ..LOCAL_BASE
    },
    Pattern {
        parameter: "GenesysLoginBase",
        variable: "GENESYS_LOGIN_BASE",
        takes: &[
            "",
            "http://127.0.0.1:8420",
            "https://login.mypurecloud.com.au",
        ],
        ..LOCAL_BASE
    },
];

#[test]
fn each_pattern_lets_through_what_the_code_takes_and_keeps_out_what_is_mistyped() {
    let parameters = &template()["Parameters"];
    let of_the_sdk = Pattern {
        parameter: "AwsEndpointUrl",
        variable: "",
        ..LOCAL_BASE
    };
    let mut found = BTreeSet::new();
    for Pattern {
        parameter,
        text,
        variable,
        takes,
        refuses,
    } in PATTERNS.iter().chain([&of_the_sdk])
    {
        let pattern = parameters[*parameter]["AllowedPattern"].as_str().unwrap();
        assert_eq!(pattern, *text, "{parameter}");
        let pattern = Regex::new(pattern).unwrap_or_else(|error| panic!("{parameter}: {error}"));
        for text in *takes {
            assert!(pattern.is_match(text), "{parameter} refuses {text:?}");
            // An empty variable counts as not set.
            let taken = text.is_empty() || variable.is_empty() || is_taken(variable, text);
            assert!(
                taken,
                "{variable} does not take {text:?}, which {parameter} lets through"
            );
        }
        for text in *refuses {
            assert!(!pattern.is_match(text), "{parameter} takes {text:?}");
        }
        found.insert((*parameter).to_owned());
    }
    let with_pattern = |(name, parameter): (&Value, &Value)| {
        keys(parameter)
            .contains("AllowedPattern")
            .then(|| name.as_str().unwrap().to_owned())
    };
    assert_eq!(
        parameters
            .as_mapping()
            .unwrap()
            .iter()
            .filter_map(with_pattern)
            .collect::<BTreeSet<_>>(),
        found
    );
}
