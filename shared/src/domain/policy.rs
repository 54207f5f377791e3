//! What this deployment may charge: currencies, regions, ceilings and minimums.

use std::collections::BTreeMap;

use super::money::{Currency, Money, STRIPE_MAX_MINOR};
use super::payment::CaptureMethod;

/// What this deployment may charge.
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
    pub fn ceiling(&self, currency: Currency) -> Money {
        let amount_minor = self
            .ceilings
            .get(&currency)
            .copied()
            .unwrap_or(STRIPE_MAX_MINOR);
        Money {
            amount_minor,
            currency,
        }
    }

    /// The currency of a request that names a code, a region, or both.
    pub fn currency(
        &self,
        code: Option<&str>,
        region: Option<&str>,
    ) -> Result<Currency, CurrencyError> {
        let by_code = code.map(|code| Currency::parse(code).ok_or(CurrencyError::UnknownCode));
        let by_region = region.map(|region| {
            let known = self.regions.get(&region.to_uppercase());
            known.copied().ok_or(CurrencyError::UnknownRegion)
        });
        let currency = match (by_code.transpose()?, by_region.transpose()?) {
            (Some(currency), Some(of_region)) if currency != of_region => {
                return Err(CurrencyError::Mismatch {
                    currency,
                    of_region,
                });
            }
            (Some(currency), _) | (None, Some(currency)) => currency,
            (None, None) => return Err(CurrencyError::Missing),
        };
        if self.allowed.contains(&currency) {
            Ok(currency)
        } else {
            Err(CurrencyError::NotAllowed { currency })
        }
    }

    /// Whether that much may be charged at once.
    pub fn check(&self, money: Money) -> Result<(), LimitError> {
        let ceiling = self.ceiling(money.currency);
        if money.amount_minor > ceiling.amount_minor {
            return Err(LimitError::Above(ceiling));
        }
        let amount_minor = money.currency.minimum_minor();
        if money.amount_minor < amount_minor {
            return Err(LimitError::Below(Money {
                amount_minor,
                ..money
            }));
        }
        Ok(())
    }
}

/// Why a request's currency is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurrencyError {
    /// Neither a code nor a region is given.
    Missing,
    /// Stripe charges no such currency.
    UnknownCode,
    /// The deployment has no currency for the region.
    UnknownRegion,
    /// Code and region disagree.
    Mismatch {
        currency: Currency,
        of_region: Currency,
    },
    /// The deployment does not allow it.
    NotAllowed { currency: Currency },
}

/// Why an amount is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// It is above this ceiling.
    Above(Money),
    /// It is below this minimum of Stripe's.
    Below(Money),
}
