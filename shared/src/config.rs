//! Configuration from environment variables. Everything missing or malformed is named at once, at start.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::money::{Currency, Money, STRIPE_MAX_MINOR};
use crate::payment::CaptureMethod;

/// Stripe's API.
const STRIPE_API_BASE: &str = "https://api.stripe.com";

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// `TABLE_NAME`
    pub name: String,
    /// `RECORD_DAYS`: how long records are kept.
    pub record_days: u64,
}

/// Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeConfig {
    /// `STRIPE_SECRET_ID`: name or ARN in Secrets Manager.
    pub secret_id: String,
    /// `STRIPE_API_BASE`, for local runs.
    pub api_base: String,
}

/// Genesys Cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesysConfig {
    /// `GENESYS_SECRET_ID`: name or ARN in Secrets Manager.
    pub secret_id: String,
    /// `https://api.{GENESYS_DOMAIN}`, or `GENESYS_API_BASE` for local runs.
    pub api_base: String,
    /// `https://login.{GENESYS_DOMAIN}`, or `GENESYS_LOGIN_BASE` for local runs.
    pub login_base: String,
    /// `GENESYS_LATE_PAYMENT_FLOW_ID`: the workflow for payments confirmed after the call.
    pub late_payment_flow_id: Option<String>,
}

/// What may be charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentPolicy {
    /// `ALLOWED_CURRENCIES`
    pub allowed: Vec<Currency>,
    /// `REGION_CURRENCIES`, by region in uppercase.
    pub regions: BTreeMap<String, Currency>,
    /// `MAX_AMOUNTS`: ceilings in minor units; Stripe's own eight digits where none is set.
    pub ceilings: BTreeMap<Currency, u64>,
    /// `CAPTURE_METHOD`
    pub capture_method: CaptureMethod,
}

impl PaymentPolicy {
    /// The most that may be charged at once in a currency.
    #[must_use]
    pub fn ceiling(&self, currency: Currency) -> Money {
        let amount_minor = self.ceilings.get(&currency).copied().unwrap_or(STRIPE_MAX_MINOR);
        Money { amount_minor, currency }
    }
}

/// Pay links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayLinkConfig {
    /// `PAY_LINK_BASE`: the address under which `/pay` is reached.
    pub base: String,
    /// `PAY_LINK_MINUTES`: how long a link can be opened.
    pub valid_for: Duration,
}

/// What create-intent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateIntentConfig {
    /// The table.
    pub table: TableConfig,
    /// Stripe.
    pub stripe: StripeConfig,
    /// What may be charged.
    pub policy: PaymentPolicy,
    /// `MOTO`: mark token payments as telephone orders. Only where Stripe enabled it for the account.
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
    pub sync: SyncConfig,
    /// `MERCHANT_NAME`: whom the payer's page names; may be empty.
    pub merchant_name: String,
}

/// What stripe-webhook and status-query need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// The table.
    pub table: TableConfig,
    /// Stripe.
    pub stripe: StripeConfig,
    /// Genesys; without it nothing is told to Genesys.
    pub genesys: Option<GenesysConfig>,
}

impl CreateIntentConfig {
    /// Reads the configuration by a lookup of variables.
    ///
    /// # Errors
    /// [`ConfigErrors`] names every variable that is missing or malformed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut vars = Vars::new(&lookup);
        let config = Self {
            table: vars.table(),
            stripe: vars.stripe(),
            policy: vars.policy(),
            moto: vars.parsed("MOTO", "false", "true or false", |text| text.parse().ok()),
            budget: vars.parsed("BUDGET_MS", "4500", "milliseconds from 100 to 28000", |text| {
                text.parse().ok().filter(|ms| (100..=28_000).contains(ms)).map(Duration::from_millis)
            }),
            pay_link: vars.pay_link(),
        };
        vars.finish(config)
    }
}

impl StatusQueryConfig {
    /// Reads the configuration by a lookup of variables.
    ///
    /// # Errors
    /// [`ConfigErrors`] names every variable that is missing or malformed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut vars = Vars::new(&lookup);
        let config = Self {
            sync: vars.sync(),
            merchant_name: vars.parsed("MERCHANT_NAME", "", "at most 60 characters on one line", |text| {
                let fits = text.chars().count() <= 60 && !text.chars().any(char::is_control);
                fits.then(|| text.to_owned())
            }),
        };
        vars.finish(config)
    }
}

impl SyncConfig {
    /// Reads the configuration by a lookup of variables.
    ///
    /// # Errors
    /// [`ConfigErrors`] names every variable that is missing or malformed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut vars = Vars::new(&lookup);
        let config = vars.sync();
        vars.finish(config)
    }
}

/// Looks a variable up in the process's environment.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Collects errors instead of stopping at the first. An empty variable counts as not set.
struct Vars<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    errors: Vec<String>,
}

impl<'a> Vars<'a> {
    fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, errors: Vec::new() }
    }

    fn finish<T>(self, config: T) -> Result<T, ConfigErrors> {
        if self.errors.is_empty() { Ok(config) } else { Err(ConfigErrors(self.errors)) }
    }

    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.errors.push(format!("{name} is missing"));
            String::new()
        })
    }

    /// On an error a default goes on in its place while further errors are collected; it is never used.
    fn parsed<T: Default>(&mut self, name: &str, default: &str, wants: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        let text = self.optional(name).unwrap_or_else(|| default.to_owned());
        parse(&text).unwrap_or_else(|| {
            self.errors.push(format!("{name} is \"{text}\" and wants {wants}"));
            T::default()
        })
    }

    fn table(&mut self) -> TableConfig {
        TableConfig {
            name: self.required("TABLE_NAME"),
            record_days: self.parsed("RECORD_DAYS", "90", "days from 1 to 3650", |text| {
                text.parse().ok().filter(|days| (1..=3650).contains(days))
            }),
        }
    }

    fn stripe(&mut self) -> StripeConfig {
        StripeConfig {
            secret_id: self.required("STRIPE_SECRET_ID"),
            api_base: self.base("STRIPE_API_BASE").unwrap_or_else(|| STRIPE_API_BASE.to_owned()),
        }
    }

    fn genesys(&mut self) -> Option<GenesysConfig> {
        let secret_id = self.optional("GENESYS_SECRET_ID")?;
        let domain = self.optional("GENESYS_DOMAIN");
        if let Some(domain) = domain.as_ref().filter(|domain| !is_domain(domain)) {
            self.errors.push(format!("GENESYS_DOMAIN is \"{domain}\" and wants a domain such as mypurecloud.com"));
        }
        let mut base = |variable: &str, host: &str| match (self.base(variable), &domain) {
            (Some(base), _) => base,
            (None, Some(domain)) => format!("https://{host}.{domain}"),
            (None, None) => {
                self.errors.push(format!("GENESYS_DOMAIN or {variable} is missing, wanted with GENESYS_SECRET_ID"));
                String::new()
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

    fn sync(&mut self) -> SyncConfig {
        SyncConfig { table: self.table(), stripe: self.stripe(), genesys: self.genesys() }
    }

    fn pay_link(&mut self) -> Option<PayLinkConfig> {
        let minutes: u64 = self.parsed("PAY_LINK_MINUTES", "30", "minutes from 1 to 1440", |text| {
            text.parse().ok().filter(|minutes| (1..=1440).contains(minutes))
        });
        let base = self.optional("PAY_LINK_BASE")?;
        if !is_allowed_link_base(&base) {
            self.errors.push(format!(
                "PAY_LINK_BASE is \"{base}\" and wants an https URL such as https://pay.example.com, or http to a loopback \
                 or private host"
            ));
        }
        let valid_for = Duration::from_secs(60 * minutes);
        Some(PayLinkConfig { base: base.trim_end_matches('/').to_owned(), valid_for })
    }

    fn base(&mut self, name: &str) -> Option<String> {
        let base = self.optional(name)?;
        if !is_allowed_base(&base) {
            self.errors.push(format!(
                "{name} is \"{base}\" and wants an https URL without a path, or http to a loopback or private host"
            ));
        }
        Some(base.trim_end_matches('/').to_owned())
    }

    fn policy(&mut self) -> PaymentPolicy {
        PaymentPolicy {
            allowed: self.parsed(
                "ALLOWED_CURRENCIES",
                "usd,eur,gbp",
                "currency codes that Stripe charges in, as in usd,eur,gbp",
                |text| items(text).map(Currency::parse).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()),
            ),
            regions: self.parsed("REGION_CURRENCIES", "", "pairs as in US=usd,EU=eur,GB=gbp", |text| {
                pairs(text, Currency::parse)?
                    .into_iter()
                    .map(|(region, currency)| Some((region.to_uppercase(), currency)))
                    .collect()
            }),
            ceilings: self.parsed("MAX_AMOUNTS", "", "pairs in minor units as in usd=1000000,jpy=1500000", |text| {
                pairs(text, |amount| amount.parse().ok().filter(|a| (1..=999_999_999_999).contains(a)))?
                    .into_iter()
                    .map(|(code, amount)| Some((Currency::parse(code)?, amount)))
                    .collect()
            }),
            capture_method: self.parsed("CAPTURE_METHOD", "automatic", "automatic or manual", |text| match text {
                "automatic" => Some(CaptureMethod::Automatic),
                "manual" => Some(CaptureMethod::Manual),
                _ => None,
            }),
        }
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn pairs<T>(text: &str, value: impl Fn(&str) -> Option<T>) -> Option<Vec<(&str, T)>> {
    items(text)
        .map(|item| {
            let (key, text) = item.split_once('=')?;
            Some((key.trim(), value(text.trim())?)).filter(|(key, _)| !key.is_empty())
        })
        .collect()
}

fn is_domain(text: &str) -> bool {
    text.contains('.') && text.split('.').all(|label| !label.is_empty() && label.bytes().all(is_host_byte))
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// `https://host[:port]`, or `http://` to a host that no public resolver knows.
fn is_allowed_base(base: &str) -> bool {
    is_allowed_link_base(base) && url::Url::parse(base).is_ok_and(|url| url.path() == "/")
}

/// The same with a path, as an API's stage has one.
fn is_allowed_link_base(base: &str) -> bool {
    let Ok(url) = url::Url::parse(base) else { return false };
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let Some(host) = url.host_str() else { return false };
    bare && match url.scheme() {
        "https" => true,
        "http" => is_private_host(host),
        _ => false,
    }
}

fn is_private_host(host: &str) -> bool {
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => !host.contains('.') || host.ends_with(".internal") || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_create(vars: &[(&str, &str)]) -> Result<CreateIntentConfig, ConfigErrors> {
        CreateIntentConfig::read(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn read_sync(vars: &[(&str, &str)]) -> Result<SyncConfig, ConfigErrors> {
        SyncConfig::read(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const NEEDED: [(&str, &str); 2] = [("TABLE_NAME", "payments"), ("STRIPE_SECRET_ID", "stripe")];

    #[test]
    fn defaults_are_those_of_the_table_in_the_readme() {
        let config = read_create(&NEEDED).unwrap();
        assert_eq!(config.budget, Duration::from_millis(4500));
        assert_eq!(config.stripe.api_base, "https://api.stripe.com");
        assert_eq!(config.policy.allowed.iter().map(|c| c.code()).collect::<Vec<_>>(), ["usd", "eur", "gbp"]);
        assert_eq!(config.policy.capture_method, CaptureMethod::Automatic);
        assert_eq!((config.moto, config.table.record_days), (false, 90));
        assert_eq!(config.policy.ceiling(Currency::parse("usd").unwrap()).amount_minor, 99_999_999);
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
        assert_eq!(config.policy.ceiling(Currency::parse("jpy").unwrap()).amount_minor, 1_500_000);
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
            "TABLE_NAME is missing",
            "STRIPE_SECRET_ID is missing",
            "ALLOWED_CURRENCIES is \"usd,zzz\"",
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
        assert_eq!(read_sync(&NEEDED).unwrap().genesys, None);
        let with = |more: &[(&str, &str)]| {
            let vars: Vec<_> = NEEDED.iter().chain(more).copied().collect();
            read_sync(&vars)
        };
        let genesys =
            with(&[("GENESYS_SECRET_ID", "g"), ("GENESYS_DOMAIN", "usw2.pure.cloud")]).unwrap().genesys.unwrap();
        assert_eq!(genesys.api_base, "https://api.usw2.pure.cloud");
        assert_eq!(genesys.login_base, "https://login.usw2.pure.cloud");
        assert!(with(&[("GENESYS_SECRET_ID", "g")]).unwrap_err().to_string().contains("GENESYS_DOMAIN"));
        assert!(with(&[("GENESYS_SECRET_ID", "g"), ("GENESYS_DOMAIN", "https://x.com/")]).is_err());
    }

    #[test]
    fn plain_http_goes_only_to_loopback_and_private_hosts() {
        for base in [
            "https://api.stripe.com",
            "http://127.0.0.1:8420",
            "http://localhost:8420/",
            "http://[::1]:1",
            "http://10.0.0.5:8420",
            "http://172.17.0.1:8420",
            "http://host.docker.internal:8420",
            "http://stripe:8420",
        ] {
            assert!(is_allowed_base(base), "{base}");
        }
        for base in [
            "http://api.stripe.com",
            "http://8.8.8.8",
            "ftp://localhost",
            "https://x.com/path",
            "https://user@x.com",
            "https://x.com?q",
            "localhost:1",
            "",
        ] {
            assert!(!is_allowed_base(base), "{base}");
        }
    }
}
