//! How a variable is read; which there are stands in [`super`]. Everything missing or malformed is
//! named at once.

use std::fmt;
use std::net::IpAddr;

use crate::domain::card_guard::{in_free_text, quoted};
use crate::domain::secret_guard::holds_secret;

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects errors instead of stopping at the first. An empty variable counts as not set.
pub(super) struct Vars<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) errors: Vec<String>,
}

impl<'a> Vars<'a> {
    /// Reads a configuration.
    pub(super) fn read<T>(
        lookup: &'a dyn Fn(&str) -> Option<String>,
        config: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, ConfigErrors> {
        let mut vars = Self {
            lookup,
            errors: Vec::new(),
        };
        let config = config(&mut vars);
        if vars.errors.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors(vars.errors))
        }
    }

    pub(super) fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.errors.push(format!("{name} must be set"));
            String::new()
        })
    }

    /// On an error a default goes on in its place while further errors are collected; it is never
    /// used.
    pub(super) fn parsed<T: Default>(
        &mut self,
        name: &str,
        default: &str,
        must_be: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let text = self.optional(name).unwrap_or_else(|| default.to_owned());
        parse(&text).unwrap_or_else(|| {
            self.wrong(name, must_be, &text);
            T::default()
        })
    }

    pub(super) fn wrong(&mut self, name: &str, must_be: &str, came: &str) {
        let came = shown(came);
        self.errors
            .push(format!("{name} must be {must_be}; got {came}"));
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.parsed(name, "false", "true or false", |text| {
            text.to_ascii_lowercase().parse().ok()
        })
    }

    /// The address of one service of AWS, or that of all of them.
    pub(super) fn endpoint(&mut self, name: &str) -> Option<String> {
        let (name, given) = [name, "AWS_ENDPOINT_URL"]
            .into_iter()
            .find_map(|name| Some((name, self.optional(name)?)))?;
        if !url::Url::parse(&given)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            self.wrong(name, "an http or https URL", &given);
        }
        Some(given)
    }

    /// An address that keys or tokens go to: the other side's own, letter by letter, or one that
    /// leads nowhere outside.
    pub(super) fn base(
        &mut self,
        name: &str,
        own: &str,
        is_own: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let given = self.optional(name)?;
        let base = given.trim_end_matches('/');
        if !is_own(base) && !is_private_base(base) {
            let must_be =
                format!("{own}, or the address of a loopback or private host, without a path");
            self.wrong(name, &must_be, &given);
        }
        Some(base.to_owned())
    }
}

pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

pub(super) fn pairs<T>(text: &str, value: impl Fn(&str) -> Option<T>) -> Option<Vec<(&str, T)>> {
    items(text)
        .map(|item| {
            let (key, text) = item.split_once('=')?;
            Some((key.trim(), value(text.trim())?)).filter(|(key, _)| !key.is_empty())
        })
        .collect()
}

/// A wrong value as an error shows it, which is in the log: not where it may be a secret in the
/// wrong place.
fn shown(value: &str) -> String {
    if value.contains('@') || holds_secret(value) || in_free_text(value) {
        "a value that is not shown, for it may be secret".to_owned()
    } else {
        quoted(value)
    }
}

/// `http[s]://host[:port]` of a host that no public resolver knows.
fn is_private_base(base: &str) -> bool {
    plain_url(base)
        .is_some_and(|url| url.path() == "/" && url.host_str().is_some_and(is_private_host))
}

/// `https://`, or `http://` to a host that no public resolver knows; with a path, as an API's stage
/// has one.
pub(super) fn is_allowed_link_base(base: &str) -> bool {
    plain_url(base)
        .is_some_and(|url| url.scheme() == "https" || url.host_str().is_some_and(is_private_host))
}

/// A web address with nothing but host, port and path.
fn plain_url(text: &str) -> Option<url::Url> {
    let url = url::Url::parse(text).ok()?;
    let named = url.username().is_empty() && url.password().is_none();
    let is_plain = named && url.query().is_none() && url.fragment().is_none();
    (is_plain && ["http", "https"].contains(&url.scheme())).then_some(url)
}

fn is_private_host(host: &str) -> bool {
    match host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => {
            !host.contains('.') || host.ends_with(".internal") || host.ends_with(".localhost")
        }
    }
}
