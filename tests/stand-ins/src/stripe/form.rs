//! Form bodies with bracketed keys, read strictly: what nobody asked for is refused.

use std::collections::BTreeMap;

use super::error::StripeError;

/// Parameters not taken yet.
#[derive(Clone, Debug)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The same for every order in which the same parameters can be sent.
    pub(crate) fn fingerprint(&self) -> Vec<(String, String)> {
        let mut pairs = self.0.clone();
        pairs.sort();
        pairs
    }

    /// Whatever is left, in the order sent.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A scalar. Of repeated ones the last counts.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.extract(|key| (key == name).then_some(()))
            .pop()
            .map(|((), value)| value)
    }

    /// A list, written `name[]` or `name[0]`.
    pub(crate) fn take_list(&mut self, name: &str) -> Vec<String> {
        let index = |key: &str| {
            let inside = brackets(key, name)?;
            inside
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(())
        };
        self.extract(index)
            .into_iter()
            .map(|((), value)| value)
            .collect()
    }

    /// A map, written `name[key]`.
    pub(crate) fn take_map(&mut self, name: &str) -> BTreeMap<String, String> {
        self.extract(|key| brackets(key, name).map(str::to_owned))
            .into_iter()
            .collect()
    }

    /// Refuses whatever is left.
    pub(crate) fn finish(self) -> Result<(), StripeError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(StripeError::unknown_parameter(name)),
        }
    }

    fn extract<K>(&mut self, wanted: impl Fn(&str) -> Option<K>) -> Vec<(K, String)> {
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for (name, value) in std::mem::take(&mut self.0) {
            match wanted(&name) {
                Some(key) => taken.push((key, value)),
                None => left.push((name, value)),
            }
        }
        self.0 = left;
        taken
    }
}

fn brackets<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')
}

pub(crate) fn boolean(param: &str, value: Option<String>) -> Result<Option<bool>, StripeError> {
    match value.as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(StripeError::invalid(format!("Invalid boolean: {other}")).param(param)),
    }
}

/// A whole number.
pub(crate) fn integer(param: &str, value: &str) -> Result<i64, StripeError> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_integer(param, format!("Invalid integer: {value}")));
    }
    value
        .parse()
        .map_err(|_| no_integer(param, format!("{param} is out of range: {value}")))
}

/// A whole number of at least 1.
pub(crate) fn positive(param: &str, value: &str) -> Result<i64, StripeError> {
    match integer(param, value)? {
        number @ 1.. => Ok(number),
        _ => Err(no_integer(
            param,
            format!("{param} must be at least 1, got {value}"),
        )),
    }
}

fn no_integer(param: &str, message: String) -> StripeError {
    StripeError::invalid(message)
        .code("parameter_invalid_integer")
        .param(param)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_taken_once_and_the_rest_refused() {
        let mut form =
            Form::parse(b"amount=1&amount=2&metadata%5Border_id%5D=A&payment_method_types[0]=card&types[]=x&rest=1");
        assert_eq!(form.take("amount").as_deref(), Some("2"));
        assert_eq!(form.take("amount"), None);
        assert_eq!(
            form.take_map("metadata"),
            BTreeMap::from([("order_id".into(), "A".into())])
        );
        assert_eq!(form.take_list("payment_method_types"), ["card"]);
        assert_eq!(form.take_list("types"), ["x"]);
        let refused = form.finish().unwrap_err();
        assert_eq!(refused.error["code"], "parameter_unknown");
        assert_eq!(refused.error["param"], "rest");
    }

    #[test]
    fn integers_are_digits_only() {
        assert_eq!(positive("amount", "5000").unwrap(), 5000);
        for wrong in [
            "",
            "0",
            "-1",
            "50.00",
            "+5",
            "5e3",
            " 5",
            "99999999999999999999",
        ] {
            let refused = positive("amount", wrong).unwrap_err();
            assert_eq!(
                refused.error["code"], "parameter_invalid_integer",
                "{wrong:?}"
            );
        }
    }
}
