//! What each function is configured by: its environment variables, read once, at the start.

mod reader;

use std::time::Duration;

use secrecy::SecretString;

pub use self::reader::ConfigErrors;
use self::reader::{Vars, is_allowed_link_base, items, pairs};
use crate::adapters::aws::AwsConfig;
use crate::adapters::dynamodb::TableConfig;
use crate::adapters::genesys::GenesysConfig;
use crate::adapters::stripe::StripeConfig;
use crate::domain::ids::OrderScope;
use crate::domain::link::LinkToken;
use crate::domain::money::Currency;
use crate::domain::policy::PaymentPolicy;

/// Stripe's API.
const STRIPE_API_BASE: &str = "https://api.stripe.com";

/// The domains of Genesys Cloud's regions, each with the hosts `api.` and `login.`. Keys and tokens
/// go nowhere else. Source: the region hosts in Genesys' own platform client SDK
/// (`PureCloudRegionHosts.js`).
pub const GENESYS_DOMAINS: [&str; 18] = [
    "aps1.pure.cloud",
    "apne2.pure.cloud",
    "apne3.pure.cloud",
    "apse1.pure.cloud",
    "cac1.pure.cloud",
    "edee1.eusc-pure.cloud",
    "euc2.pure.cloud",
    "euw2.pure.cloud",
    "mec1.pure.cloud",
    "mxc1.pure.cloud",
    "mypurecloud.com",
    "mypurecloud.com.au",
    "mypurecloud.de",
    "mypurecloud.ie",
    "mypurecloud.jp",
    "sae1.pure.cloud",
    "use2.us-gov-pure.cloud",
    "usw2.pure.cloud",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayLinkConfig {
    /// `PAY_LINK_BASE`: the address under which `/pay` is reached.
    pub base: String,
    /// `PAY_LINK_MINUTES`: how long a link lets the payer pay.
    pub valid_for: Duration,
}

impl PayLinkConfig {
    /// The address of a link, which status-query serves. No browser sends what follows the `#`.
    pub fn url(&self, token: &LinkToken) -> SecretString {
        format!("{}/pay#{}", self.base, token.to_fragment()).into()
    }
}

/// What create-intent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateIntentConfig {
    pub table: TableConfig,
    pub stripe: StripeConfig,
    /// What may be charged.
    pub policy: PaymentPolicy,
    /// `MOTO`: mark token payments as telephone orders, which Stripe must have enabled for the
    /// account.
    pub moto: bool,
    /// `BUDGET_MS`: the whole answer.
    pub budget: Duration,
    /// Pay links; without `PAY_LINK_BASE` there are none.
    pub pay_link: Option<PayLinkConfig>,
}

/// What status-query needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusQueryConfig {
    /// What it shares with stripe-webhook.
    pub webhook: WebhookConfig,
    /// `MERCHANT_NAME`: whom the payer's page names; may be empty.
    pub merchant_name: String,
}

/// What stripe-webhook and status-query need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    pub table: TableConfig,
    pub stripe: StripeConfig,
    /// Genesys; without it nothing is told to Genesys.
    pub genesys: Option<GenesysConfig>,
}

impl CreateIntentConfig {
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Vars::read(&lookup, |vars| Self {
            table: TableConfig {
                order_scope: Some(vars.order_scope()),
                ..vars.table()
            },
            stripe: vars.stripe(),
            policy: vars.policy(),
            moto: vars.parsed("MOTO", "false", "true or false", |text| text.parse().ok()),
            budget: vars.parsed(
                "BUDGET_MS",
                "4500",
                "milliseconds from 100 to 28000",
                |text| {
                    text.parse()
                        .ok()
                        .filter(|ms| (100..=28_000).contains(ms))
                        .map(Duration::from_millis)
                },
            ),
            pay_link: vars.pay_link(),
        })
    }
}

impl StatusQueryConfig {
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Vars::read(&lookup, |vars| Self {
            webhook: vars.webhook(),
            merchant_name: vars.parsed(
                "MERCHANT_NAME",
                "",
                "at most 60 characters on one line",
                |text| {
                    let fits = text.chars().count() <= 60 && !text.chars().any(char::is_control);
                    fits.then(|| text.to_owned())
                },
            ),
        })
    }
}

impl WebhookConfig {
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Vars::read(&lookup, Vars::webhook)
    }
}

/// Looks a variable up in the process's environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads where AWS is, each variable through `lookup`.
///
/// # Errors
/// [`ConfigErrors`] names everything that is missing or malformed.
pub fn aws(lookup: impl Fn(&str) -> Option<String>) -> Result<AwsConfig, ConfigErrors> {
    Vars::read(&lookup, |vars| {
        let region = match vars.optional("AWS_REGION") {
            Some(region) => region,
            None => match vars.optional("AWS_DEFAULT_REGION") {
                Some(region) => region,
                None => vars.required("AWS_REGION"),
            },
        };
        let ignores_endpoints = vars.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
        let mut endpoint = |name| vars.endpoint(name).filter(|_| !ignores_endpoints);
        let dynamodb_endpoint = endpoint("AWS_ENDPOINT_URL_DYNAMODB");
        let secrets_manager_endpoint = endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER");
        AwsConfig {
            region,
            access_key_id: vars.required("AWS_ACCESS_KEY_ID"),
            secret_access_key: vars.required("AWS_SECRET_ACCESS_KEY").into(),
            session_token: vars.optional("AWS_SESSION_TOKEN").map(Into::into),
            dynamodb_endpoint,
            secrets_manager_endpoint,
            fips: vars.flag("AWS_USE_FIPS_ENDPOINT"),
            dual_stack: vars.flag("AWS_USE_DUALSTACK_ENDPOINT"),
        }
    })
}

impl Vars<'_> {
    fn table(&mut self) -> TableConfig {
        TableConfig {
            name: self.required("TABLE_NAME"),
            record_days: self.days("RECORD_DAYS", "90", 30),
            paid_record_days: self.days("PAID_RECORD_DAYS", "3650", 30),
            order_scope: None,
        }
    }

    fn days(&mut self, variable: &str, default: &str, least: u64) -> u64 {
        let must_be = format!("days from {least} to 3650");
        self.parsed(variable, default, &must_be, |text| {
            let days = text.parse().ok();
            days.filter(|days| (least..=3650).contains(days))
        })
    }

    fn order_scope(&mut self) -> OrderScope {
        let must_be = "merchant or conversation";
        self.parsed("ORDER_SCOPE", "merchant", must_be, |text| text.parse().ok())
    }

    fn stripe(&mut self) -> StripeConfig {
        StripeConfig {
            secret_id: self.required("STRIPE_SECRET_ID"),
            api_base: self
                .base("STRIPE_API_BASE", STRIPE_API_BASE, |base| {
                    base == STRIPE_API_BASE
                })
                .unwrap_or_else(|| STRIPE_API_BASE.to_owned()),
        }
    }

    fn genesys(&mut self) -> Option<GenesysConfig> {
        let secret_id = self.optional("GENESYS_SECRET_ID")?;
        let domain = self.optional("GENESYS_DOMAIN");
        if let Some(domain) = domain
            .as_ref()
            .filter(|domain| !GENESYS_DOMAINS.contains(&domain.as_str()))
        {
            let must_be = format!("one of {}", GENESYS_DOMAINS.join(", "));
            self.wrong("GENESYS_DOMAIN", &must_be, domain);
        }
        let mut base = |variable: &str, host: &str| {
            let own = format!(
                "https://{host}. and a domain of Genesys Cloud, such as \
                 https://{host}.mypurecloud.com"
            );
            let is_own = |base: &str| {
                let domain = base.strip_prefix(&format!("https://{host}."));
                domain.is_some_and(|domain| GENESYS_DOMAINS.contains(&domain))
            };
            match (self.base(variable, &own, is_own), &domain) {
                (Some(base), _) => base,
                (None, Some(domain)) => format!("https://{host}.{domain}"),
                (None, None) => {
                    self.errors.push(format!(
                        "GENESYS_DOMAIN or {variable} must be set, because GENESYS_SECRET_ID is"
                    ));
                    String::new()
                }
            }
        };
        let api_base = base("GENESYS_API_BASE", "api");
        let login_base = base("GENESYS_LOGIN_BASE", "login");
        Some(GenesysConfig {
            secret_id,
            api_base,
            login_base,
            late_payment_flow_id: self.optional("GENESYS_LATE_PAYMENT_FLOW_ID"),
        })
    }

    fn webhook(&mut self) -> WebhookConfig {
        WebhookConfig {
            table: self.table(),
            stripe: self.stripe(),
            genesys: self.genesys(),
        }
    }

    fn pay_link(&mut self) -> Option<PayLinkConfig> {
        let minutes: u64 =
            self.parsed("PAY_LINK_MINUTES", "30", "minutes from 1 to 1440", |text| {
                text.parse()
                    .ok()
                    .filter(|minutes| (1..=1440).contains(minutes))
            });
        let base = self.optional("PAY_LINK_BASE")?;
        if !is_allowed_link_base(&base) {
            let must_be = "an https URL such as https://pay.example.com, or http to a loopback or \
                           private host";
            self.wrong("PAY_LINK_BASE", must_be, &base);
        }
        let valid_for = Duration::from_secs(60 * minutes);
        Some(PayLinkConfig {
            base: base.trim_end_matches('/').to_owned(),
            valid_for,
        })
    }

    fn policy(&mut self) -> PaymentPolicy {
        PaymentPolicy {
            allowed: self.parsed(
                "ALLOWED_CURRENCIES",
                "usd,eur,gbp",
                "currency codes that Stripe charges in, as in usd,eur,gbp",
                |text| {
                    items(text)
                        .map(Currency::parse)
                        .collect::<Option<Vec<_>>>()
                        .filter(|all| !all.is_empty())
                },
            ),
            regions: self.parsed(
                "REGION_CURRENCIES",
                "",
                "pairs as in US=usd,EU=eur,GB=gbp",
                |text| {
                    pairs(text, Currency::parse)?
                        .into_iter()
                        .map(|(region, currency)| Some((region.to_uppercase(), currency)))
                        .collect()
                },
            ),
            ceilings: self.parsed(
                "MAX_AMOUNTS",
                "",
                "pairs in minor units as in usd=1000000,jpy=1500000",
                |text| {
                    pairs(text, |amount| {
                        amount
                            .parse()
                            .ok()
                            .filter(|a| (1..=999_999_999_999).contains(a))
                    })?
                    .into_iter()
                    .map(|(code, amount)| Some((Currency::parse(code)?, amount)))
                    .collect()
                },
            ),
            capture_method: self.parsed(
                "CAPTURE_METHOD",
                "automatic",
                "automatic or manual",
                |text| text.parse().ok(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::domain::payment::CaptureMethod;

    fn read_create(vars: &[(&str, &str)]) -> Result<CreateIntentConfig, ConfigErrors> {
        CreateIntentConfig::read(|name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    fn read_webhook(vars: &[(&str, &str)]) -> Result<WebhookConfig, ConfigErrors> {
        WebhookConfig::read(|name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    const NEEDED: [(&str, &str); 2] = [("TABLE_NAME", "payments"), ("STRIPE_SECRET_ID", "stripe")];

    #[test]
    fn defaults_are_those_that_the_docs_name() {
        let config = read_create(&NEEDED).unwrap();
        assert_eq!(config.budget, Duration::from_millis(4500));
        assert_eq!(config.stripe.api_base, "https://api.stripe.com");
        assert_eq!(
            config
                .policy
                .allowed
                .iter()
                .map(|c| c.code())
                .collect::<Vec<_>>(),
            ["usd", "eur", "gbp"]
        );
        assert_eq!(config.policy.capture_method, CaptureMethod::Automatic);
        assert_eq!(
            config.table,
            TableConfig {
                name: "payments".to_owned(),
                record_days: 90,
                paid_record_days: 3650,
                order_scope: Some(OrderScope::Merchant),
            }
        );
        assert!(!config.moto);
        assert_eq!(
            config
                .policy
                .ceiling(Currency::parse("usd").unwrap())
                .amount_minor,
            99_999_999
        );
    }

    fn read_aws(vars: &[(&str, &str)]) -> Result<AwsConfig, ConfigErrors> {
        let own = [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "canary"),
        ];
        aws(|name| {
            vars.iter()
                .chain(&own)
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn aws_is_where_the_variables_of_its_sdks_say() {
        let config = read_aws(&[]).unwrap();
        assert_eq!(
            (config.region.as_str(), config.access_key_id.as_str()),
            ("eu-central-1", "AKID")
        );
        assert_eq!(config.secret_access_key.expose_secret(), "canary");
        assert!(config.session_token.is_none() && !config.fips && !config.dual_stack);
        assert_eq!(
            (config.dynamodb_endpoint, config.secrets_manager_endpoint),
            (None, None)
        );

        let config = read_aws(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-east-2")]).unwrap();
        assert_eq!(config.region, "us-east-2", "empty is unset");
        let config = read_aws(&[("AWS_DEFAULT_REGION", "us-east-2")]).unwrap();
        assert_eq!(config.region, "eu-central-1", "AWS_REGION goes first");

        let config = read_aws(&[
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_USE_FIPS_ENDPOINT", "True"),
        ])
        .unwrap();
        assert_eq!(config.session_token.unwrap().expose_secret(), "t");
        assert!(config.fips && !config.dual_stack);
        assert!(
            read_aws(&[("AWS_USE_DUALSTACK_ENDPOINT", "true")])
                .unwrap()
                .dual_stack
        );

        let all = ("AWS_ENDPOINT_URL", "http://localhost:4566");
        let one = (
            "AWS_ENDPOINT_URL_DYNAMODB",
            "https://vpce-1.dynamodb.example",
        );
        let other = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://vpce-2.example");
        for (vars, dynamodb, secrets_manager) in [
            (vec![all], Some(all.1), Some(all.1)),
            (vec![one], Some(one.1), None),
            (vec![other, all], Some(all.1), Some(other.1)),
            (
                vec![
                    one,
                    other,
                    all,
                    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
                ],
                None,
                None,
            ),
            (
                vec![one, all, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false")],
                Some(one.1),
                Some(all.1),
            ),
        ] {
            let config = read_aws(&vars).unwrap();
            let endpoints = (
                config.dynamodb_endpoint.as_deref(),
                config.secrets_manager_endpoint.as_deref(),
            );
            assert_eq!(endpoints, (dynamodb, secrets_manager), "{vars:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_variables_of_aws_is_named_at_once_and_no_key_is_shown() {
        let missing = aws(|_| None).unwrap_err().to_string();
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert!(
                missing.contains(&format!("{name} must be set")),
                "{missing}"
            );
        }
        let wrong = read_aws(&[
            ("AWS_ENDPOINT_URL", "localhost:4566"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "ftp://x"),
            ("AWS_USE_FIPS_ENDPOINT", "yes"),
            ("AWS_USE_DUALSTACK_ENDPOINT", "1"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "on"),
        ]);
        let ConfigErrors(wrong) = wrong.unwrap_err();
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert!(!format!("{:?}", read_aws(&[]).unwrap()).contains("canary"));
    }

    #[test]
    fn lists_and_pairs_are_read() {
        let config = read_create(&[
            NEEDED[0],
            NEEDED[1],
            ("ALLOWED_CURRENCIES", "USD, jpy"),
            ("REGION_CURRENCIES", "us=usd, JP=jpy"),
            ("MAX_AMOUNTS", "usd=1000000,jpy=1500000"),
            ("CAPTURE_METHOD", "manual"),
            ("MOTO", "true"),
        ])
        .unwrap();
        assert_eq!(config.policy.regions["US"].code(), "usd");
        assert_eq!(
            config
                .policy
                .ceiling(Currency::parse("jpy").unwrap())
                .amount_minor,
            1_500_000
        );
        assert!(config.moto);
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let errors = read_create(&[
            ("ALLOWED_CURRENCIES", "usd,zzz"),
            ("REGION_CURRENCIES", "US:usd"),
            ("MAX_AMOUNTS", "usd=10.00"),
            ("CAPTURE_METHOD", "later"),
            ("MOTO", "yes"),
            ("RECORD_DAYS", "0"),
            ("BUDGET_MS", "4.5s"),
            ("STRIPE_API_BASE", "http://api.stripe.com"),
        ])
        .unwrap_err()
        .to_string();
        for name in [
            "TABLE_NAME must be set",
            "STRIPE_SECRET_ID must be set",
            "as in usd,eur,gbp; got \"usd,zzz\"",
            "REGION_CURRENCIES",
            "MAX_AMOUNTS",
            "CAPTURE_METHOD",
            "MOTO",
            "RECORD_DAYS",
            "BUDGET_MS",
            "STRIPE_API_BASE",
        ] {
            assert!(errors.contains(name), "{name} not in {errors}");
        }
    }

    #[test]
    fn genesys_is_optional_and_its_hosts_follow_from_the_domain() {
        assert_eq!(read_webhook(&NEEDED).unwrap().genesys, None);
        let with = |more: &[(&str, &str)]| {
            let vars: Vec<_> = NEEDED.iter().chain(more).copied().collect();
            read_webhook(&vars)
        };
        let genesys = with(&[
            ("GENESYS_SECRET_ID", "g"),
            ("GENESYS_DOMAIN", "usw2.pure.cloud"),
        ])
        .unwrap()
        .genesys
        .unwrap();
        assert_eq!(genesys.api_base, "https://api.usw2.pure.cloud");
        assert_eq!(genesys.login_base, "https://login.usw2.pure.cloud");
        assert!(
            with(&[("GENESYS_SECRET_ID", "g")])
                .unwrap_err()
                .to_string()
                .contains("GENESYS_DOMAIN")
        );
        assert!(
            with(&[
                ("GENESYS_SECRET_ID", "g"),
                ("GENESYS_DOMAIN", "https://x.com/")
            ])
            .is_err()
        );
    }

    fn with_genesys(more: &[(&str, &str)]) -> Result<GenesysConfig, ConfigErrors> {
        let vars: Vec<_> = NEEDED
            .iter()
            .chain(&[("GENESYS_SECRET_ID", "g")])
            .chain(more)
            .copied()
            .collect();
        read_webhook(&vars).map(|config| config.genesys.unwrap())
    }

    const PRIVATE: [&str; 10] = [
        "http://127.0.0.1:8420",
        "https://127.0.0.1:8443",
        "http://localhost:8420",
        "http://[::1]:1",
        "http://10.0.0.5:8420",
        "https://10.0.0.5",
        "http://172.17.0.1:8420",
        "https://stripe.corp.internal",
        "http://host.docker.internal:8420",
        "http://stripe:8420",
    ];

    /// Hosts that look like `own`, which is `https://` and a host.
    fn imitations(own: &str) -> Vec<String> {
        let host = own.trim_start_matches("https://");
        vec![
            format!("http://{host}"),
            format!("{own}.evil.com"),
            format!("https://evil.com/{host}"),
            format!("https://evil.com?{host}"),
            format!("https://evil.com#{host}"),
            format!("https://{host}@evil.com"),
            format!("https://evil.com\\@{host}"),
            format!("https://user@{host}"),
            format!("https://:password@{host}"),
            format!("{own}:443"),
            format!("{own}:8443"),
            format!("{own}."),
            format!("{own}/v1"),
            format!("{own}?q"),
            format!("{own}#f"),
            format!("https://x{host}"),
            format!("https://x.{host}"),
            format!("https://{}", host.replacen('.', "\u{3002}", 1)),
            format!("ftp://{host}"),
            host.to_owned(),
            "https://evil.com".to_owned(),
            "https://8.8.8.8".to_owned(),
            "https://127.0.0.1@evil.com".to_owned(),
            "http://127.0.0.1.evil.com".to_owned(),
            "http://[::ffff:8.8.8.8]".to_owned(),
            "http://user@127.0.0.1".to_owned(),
            "http://127.0.0.1/path".to_owned(),
        ]
    }

    #[test]
    fn the_stripe_key_goes_to_stripe_s_own_host_or_to_a_private_one() {
        let read = |base: &str| read_create(&[NEEDED[0], NEEDED[1], ("STRIPE_API_BASE", base)]);
        for base in PRIVATE.into_iter().chain(["https://api.stripe.com"]) {
            for given in [base.to_owned(), format!("{base}/"), format!(" {base} ")] {
                assert_eq!(read(&given).unwrap().stripe.api_base, base, "{given}");
            }
        }
        for base in imitations("https://api.stripe.com") {
            assert!(
                read(&base)
                    .unwrap_err()
                    .to_string()
                    .contains("STRIPE_API_BASE"),
                "{base}"
            );
        }
    }

    #[test]
    fn genesys_credentials_go_to_hosts_of_a_genesys_region_or_to_private_ones() {
        for domain in GENESYS_DOMAINS {
            let genesys = with_genesys(&[("GENESYS_DOMAIN", domain)]).unwrap();
            assert_eq!(genesys.api_base, format!("https://api.{domain}"));
            assert_eq!(genesys.login_base, format!("https://login.{domain}"));
            let bases = [genesys.api_base.as_str(), genesys.login_base.as_str()];
            let given = with_genesys(&[
                ("GENESYS_API_BASE", bases[0]),
                ("GENESYS_LOGIN_BASE", bases[1]),
            ])
            .unwrap();
            assert_eq!([given.api_base, given.login_base], bases);
        }
        for base in PRIVATE {
            let slashed = format!("{base}/");
            let given =
                with_genesys(&[("GENESYS_API_BASE", &slashed), ("GENESYS_LOGIN_BASE", base)])
                    .unwrap();
            assert_eq!([given.api_base, given.login_base], [base, base]);
        }
        for (variable, host, other) in [
            ("GENESYS_API_BASE", "api", "login"),
            ("GENESYS_LOGIN_BASE", "login", "api"),
        ] {
            let swapped = format!("https://{other}.mypurecloud.com");
            let bare = "https://mypurecloud.com".to_owned();
            for base in imitations(&format!("https://{host}.mypurecloud.com"))
                .into_iter()
                .chain([swapped, bare])
            {
                let errors =
                    with_genesys(&[("GENESYS_DOMAIN", "mypurecloud.com"), (variable, &base)])
                        .unwrap_err();
                assert!(errors.to_string().contains(variable), "{base}");
            }
        }
        for domain in [
            "evil.com",
            "mypurecloud.com.evil.com",
            "MYPURECLOUD.COM",
            "pure.cloud",
            "mypurecloud.com/",
            "x@mypurecloud.de",
        ] {
            let errors = with_genesys(&[("GENESYS_DOMAIN", domain)])
                .unwrap_err()
                .to_string();
            assert!(
                errors.contains("GENESYS_DOMAIN") && errors.contains("usw2.pure.cloud"),
                "{domain}: {errors}"
            );
        }
    }

    #[test]
    fn pay_links_lead_to_https_or_to_a_private_host() {
        let read = |base: &str| read_create(&[NEEDED[0], NEEDED[1], ("PAY_LINK_BASE", base)]);
        for (given, base) in [
            ("https://pay.example.com", "https://pay.example.com"),
            ("https://pay.example.com/", "https://pay.example.com"),
            ("https://pay.example.com//", "https://pay.example.com"),
            (
                " https://pay.example.com/v1/ ",
                "https://pay.example.com/v1",
            ),
            (
                "https://pay.example.com:8443/a/b",
                "https://pay.example.com:8443/a/b",
            ),
            ("http://127.0.0.1:8420/v1/", "http://127.0.0.1:8420/v1"),
        ] {
            assert_eq!(read(given).unwrap().pay_link.unwrap().base, base, "{given}");
        }
        for base in [
            "http://pay.example.com",
            "https://user@pay.example.com",
            "https://:password@pay.example.com",
            "https://pay.example.com?q",
            "https://pay.example.com/#f",
            "ftp://pay.example.com",
            "pay.example.com",
        ] {
            assert!(
                read(base)
                    .unwrap_err()
                    .to_string()
                    .contains("PAY_LINK_BASE"),
                "{base}"
            );
        }
    }

    #[test]
    fn every_value_is_taken_without_the_space_around_it_and_in_its_own_case() {
        let spaced = [
            ("TABLE_NAME", " payments\n"),
            ("RECORD_DAYS", " 30 "),
            ("PAID_RECORD_DAYS", " 400 "),
            ("ORDER_SCOPE", " conversation "),
            ("STRIPE_SECRET_ID", " stripe "),
            ("ALLOWED_CURRENCIES", " USD , jpy,"),
            ("REGION_CURRENCIES", " us = USD , Jp=jpy "),
            ("MAX_AMOUNTS", " USD = 1000000 ,jpy=1500000, "),
            ("CAPTURE_METHOD", " manual "),
            ("MOTO", " true "),
            ("BUDGET_MS", " 1000 "),
            ("PAY_LINK_BASE", " https://pay.example.com/ "),
            ("PAY_LINK_MINUTES", " 5 "),
        ];
        let config = read_create(&spaced).unwrap();
        let [usd, jpy] = ["usd", "jpy"].map(|code| Currency::parse(code).unwrap());
        let wanted = CreateIntentConfig {
            table: TableConfig {
                name: "payments".to_owned(),
                record_days: 30,
                paid_record_days: 400,
                order_scope: Some(OrderScope::Conversation),
            },
            stripe: StripeConfig {
                secret_id: "stripe".to_owned(),
                api_base: "https://api.stripe.com".to_owned(),
            },
            policy: PaymentPolicy {
                allowed: vec![usd, jpy],
                regions: [("US".to_owned(), usd), ("JP".to_owned(), jpy)].into(),
                ceilings: [(usd, 1_000_000), (jpy, 1_500_000)].into(),
                capture_method: CaptureMethod::Manual,
            },
            moto: true,
            budget: Duration::from_secs(1),
            pay_link: Some(PayLinkConfig {
                base: "https://pay.example.com".to_owned(),
                valid_for: Duration::from_secs(300),
            }),
        };
        assert_eq!(config, wanted);

        let vars = [
            ("TABLE_NAME", "payments"),
            ("STRIPE_SECRET_ID", "stripe"),
            ("STRIPE_API_BASE", " http://localhost:1/ "),
            ("GENESYS_SECRET_ID", " genesys "),
            ("GENESYS_DOMAIN", " mypurecloud.ie "),
            (
                "GENESYS_LATE_PAYMENT_FLOW_ID",
                " 7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a ",
            ),
            ("MERCHANT_NAME", " Example Ltd "),
        ];
        let config = StatusQueryConfig::read(|name| {
            vars.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        });
        let wanted = StatusQueryConfig {
            webhook: WebhookConfig {
                table: TableConfig {
                    name: "payments".to_owned(),
                    record_days: 90,
                    paid_record_days: 3650,
                    order_scope: None,
                },
                stripe: StripeConfig {
                    secret_id: "stripe".to_owned(),
                    api_base: "http://localhost:1".to_owned(),
                },
                genesys: Some(GenesysConfig {
                    secret_id: "genesys".to_owned(),
                    api_base: "https://api.mypurecloud.ie".to_owned(),
                    login_base: "https://login.mypurecloud.ie".to_owned(),
                    late_payment_flow_id: Some("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a".to_owned()),
                }),
            },
            merchant_name: "Example Ltd".to_owned(),
        };
        assert_eq!(config.unwrap(), wanted);

        // An empty variable, or one of spaces, counts as not set.
        let empty: Vec<_> = [
            "ALLOWED_CURRENCIES",
            "MOTO",
            "BUDGET_MS",
            "STRIPE_API_BASE",
            "PAY_LINK_BASE",
            "RECORD_DAYS",
        ]
        .into_iter()
        .zip(["", " ", "\t", "", "  ", "\n"])
        .chain(NEEDED)
        .collect();
        assert_eq!(read_create(&empty), read_create(&NEEDED));
    }

    #[test]
    fn a_secret_in_a_variable_is_not_repeated() {
        for (variable, value) in [
            ("STRIPE_API_BASE", "https://canary:canary@api.stripe.com"),
            ("STRIPE_API_BASE", "sk_live_canary"),
            ("PAY_LINK_BASE", "whsec_canary"),
            ("MOTO", "rk_test_canary"),
            ("GENESYS_DOMAIN", "canary@mypurecloud.com"),
        ] {
            let vars = [
                NEEDED[0],
                NEEDED[1],
                ("GENESYS_SECRET_ID", "g"),
                (variable, value),
            ];
            let errors = match variable {
                "GENESYS_DOMAIN" => read_webhook(&vars).unwrap_err(),
                _ => read_create(&vars).unwrap_err(),
            };
            let shown = format!("{errors} {errors:?}");
            assert!(
                shown.contains(variable) && !shown.contains("canary"),
                "{shown}"
            );
        }
    }
}
