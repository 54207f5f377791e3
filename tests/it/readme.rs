//! The manual's tables say what the code does.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::money::{Currency, Money};
use shared::domain::payment::PaymentStatus;
use shared::lambda::config::{CreateIntentConfig, StatusQueryConfig, WebhookConfig};
use shared::lambda::problem::ProblemCode;

use crate::template::{code, readme_table};

#[test]
fn every_problem_code_is_in_the_readme_with_its_status_and_whether_a_retry_helps() {
    let documented: BTreeMap<String, (String, bool)> = readme_table("is stable, the text is not.")
        .into_iter()
        .map(|row| (code(&row[1]).remove(0), (row[0].clone(), row[2] == "yes")))
        .collect();
    let known = ProblemCode::ALL.iter().map(|problem| {
        (
            problem.as_str().to_owned(),
            (problem.status().as_u16().to_string(), problem.retryable()),
        )
    });
    assert_eq!(documented, known.collect());
}

#[test]
fn every_payment_status_is_in_the_readme_with_whether_it_is_final() {
    use PaymentStatus as S;
    let documented: BTreeMap<String, bool> = readme_table("### Payment statuses")
        .into_iter()
        .map(|row| (code(&row[0]).remove(0), row[2] == "yes"))
        .collect();
    let known = [
        S::Creating,
        S::Pending,
        S::Processing,
        S::Authorized,
        S::Confirmed,
        S::Declined,
        S::Canceled,
    ];
    let known = known.map(|status| (status.as_str().to_owned(), status.is_final()));
    assert_eq!(
        documented,
        known
            .into_iter()
            .chain([("NOT_FOUND".to_owned(), false)])
            .collect()
    );
}

#[test]
fn the_currencies_of_each_kind_are_those_that_the_readme_names() {
    let letters = || (b'a'..=b'z').map(char::from);
    let codes = letters()
        .flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    let mut kinds: BTreeMap<(usize, u64), BTreeSet<String>> = BTreeMap::new();
    for currency in codes.filter_map(|code| Currency::parse(&code)) {
        let one = Money::from_major("1", currency).unwrap().amount_minor;
        kinds
            .entry((currency.decimals(), one))
            .or_default()
            .insert(currency.code().to_owned());
    }
    let rows = readme_table("### Amounts");
    let mut named = BTreeMap::new();
    for (start, kind) in [
        ("no decimals", (0, 1)),
        ("three decimals", (3, 1000)),
        ("whole units", (0, 100)),
    ] {
        let row = rows
            .iter()
            .find(|row| row[0].starts_with(start))
            .unwrap_or_else(|| panic!("no row {start}"));
        named.insert(
            kind,
            code(&row[0])[0]
                .split(' ')
                .map(str::to_owned)
                .collect::<BTreeSet<_>>(),
        );
    }
    assert!(
        kinds.remove(&(2, 100)).unwrap().len() > 100,
        "most have cents"
    );
    assert_eq!(kinds, named);
}

#[test]
fn each_variable_left_out_counts_as_the_default_that_the_readme_names() {
    let read = |variable: &str, value: Option<&str>| {
        let lookup = |name: &str| match name {
            _ if name == variable => value.map(str::to_owned),
            "TABLE_NAME" | "STRIPE_SECRET_ID" => Some("x".to_owned()),
            // So that what goes with it counts.
            "GENESYS_SECRET_ID" => Some("g".to_owned()),
            "GENESYS_DOMAIN" => Some("mypurecloud.com".to_owned()),
            "PAY_LINK_BASE" => Some("https://pay.example.com".to_owned()),
            _ => None,
        };
        (
            CreateIntentConfig::read(lookup),
            StatusQueryConfig::read(lookup),
            WebhookConfig::read(lookup),
        )
    };
    let mut compared = 0;
    for row in readme_table("\n## Configuration") {
        let (variable, default) = (code(&row[0]).remove(0), &row[2]);
        let unset = read(&variable, None);
        if default.starts_with("required") {
            assert!(
                unset.2.unwrap_err().to_string().contains(&variable),
                "{variable} is required"
            );
            continue;
        }
        if variable == "AWS_ENDPOINT_URL" {
            continue; // the SDK's
        }
        let default = code(default).first().cloned().unwrap_or_default();
        let default = default.replace("{GENESYS_DOMAIN}", "mypurecloud.com");
        assert_eq!(unset, read(&variable, Some(&default)), "{variable}");
        let (of_create, _, of_sync) = unset;
        assert!(of_create.is_ok() && of_sync.is_ok(), "{variable}");
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}
