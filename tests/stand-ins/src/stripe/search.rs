//! The part of Stripe's search language that finds intents by metadata: clauses joined by AND, no
//! negation.

use super::error::StripeError;

/// `metadata['key']:'value'`, matched exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    pub(crate) key: String,
    pub(crate) value: String,
}

pub(crate) fn parse(query: &str) -> Result<Vec<Clause>, StripeError> {
    let refused = |rest: &str| {
        let message =
            format!("Cannot read the search query at {rest:?}: want metadata['key']:'value' AND …");
        StripeError::invalid(message).param("query")
    };
    let mut clauses = Vec::new();
    let mut rest = query.trim();
    loop {
        let (clause, after) = clause(rest).ok_or_else(|| refused(rest))?;
        clauses.push(clause);
        let after = after.trim_start();
        if after.is_empty() {
            return Ok(clauses);
        }
        let next = after
            .strip_prefix("AND ")
            .or_else(|| after.strip_prefix("and "));
        rest = next.ok_or_else(|| refused(after))?.trim_start();
    }
}

fn clause(text: &str) -> Option<(Clause, &str)> {
    let (key, rest) = quoted(text.strip_prefix("metadata[")?)?;
    let (value, rest) = quoted(rest.strip_prefix("]:")?)?;
    Some((Clause { key, value }, rest))
}

/// A string in single or double quotes, in which a backslash escapes.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'))?;
    let mut content = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => content.push(letters.next()?.1),
            _ if letter == quote => return Some((content, &text[at + 1..])),
            _ => content.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_read_with_their_quotes_and_escapes() {
        let clauses =
            parse(r#"metadata['order_id']:'O\'1 AND more' AND metadata["attempt"]:"1""#).unwrap();
        let clause = |key: &str, value: &str| Clause {
            key: key.into(),
            value: value.into(),
        };
        assert_eq!(
            clauses,
            [clause("order_id", "O'1 AND more"), clause("attempt", "1")]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "status:'succeeded'",
            "metadata['a']:'b' OR metadata['c']:'d'",
            "metadata['a']:'b",
            "metadata['a']:'b' AND",
        ] {
            assert_eq!(
                parse(wrong).unwrap_err().error["param"],
                "query",
                "{wrong:?}"
            );
        }
    }
}
