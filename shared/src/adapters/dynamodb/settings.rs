//! The settings that every record is found by: written once, before the first record.

use serde::{Deserialize, Serialize};
use serde_dynamo::{from_item, to_item};

use super::item::{Item, item_key, unreadable};
use super::{Table, is_conflict, unavailable};
use crate::domain::ids::OrderScope;
use crate::ports::StoreError;

/// How records are found, and their shape. Written once, before the first record.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Settings {
    order_scope: OrderScope,
    record_shape: u32,
}

/// The shape of the items that this version reads and writes.
const RECORD_SHAPE: u32 = 1;

impl Table {
    /// How payments are found; `None` before the first one.
    pub(super) async fn known_scope(&self) -> Result<Option<OrderScope>, StoreError> {
        if let Some(scope) = self.scope.get() {
            return Ok(Some(*scope));
        }
        // Boxed, for it is rare: no write then carries the room for it.
        let Some(item) = Box::pin(self.get(settings_key())).await? else {
            return Ok(None);
        };
        let scope = read_settings(item)?.order_scope;
        Ok(Some(*self.scope.get_or_init(|| scope)))
    }

    /// How payments are found that somebody has read.
    pub(super) async fn scope(&self) -> Result<OrderScope, StoreError> {
        let missing = || StoreError::Unreadable("the settings are missing".to_owned());
        self.known_scope().await?.ok_or_else(missing)
    }

    /// How payments are found from here on, written if nobody has written it.
    pub(super) async fn agreed_scope(&self) -> Result<OrderScope, StoreError> {
        let configured = match (self.known_scope().await?, self.config.order_scope) {
            (Some(stored), Some(configured)) if stored != configured => {
                return Err(StoreError::SettingsChanged {
                    name: "ORDER_SCOPE",
                    configured: configured.into(),
                    stored: stored.into(),
                });
            }
            (Some(stored), _) => return Ok(stored),
            (None, configured) => configured.unwrap_or(OrderScope::Merchant),
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.config.name)
            .set_item(Some(new_settings(configured)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(*self.scope.get_or_init(|| configured)),
            // Somebody else was faster, perhaps with another scope.
            Err(error) if is_conflict(&error) => Box::pin(self.agreed_scope()).await,
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// The settings' whole item.
fn new_settings(order_scope: OrderScope) -> Result<Item, StoreError> {
    let settings = Settings {
        order_scope,
        record_shape: RECORD_SHAPE,
    };
    let mut item: Item = to_item(settings).map_err(unreadable)?;
    item.extend(settings_key());
    Ok(item)
}

fn read_settings(item: Item) -> Result<Settings, StoreError> {
    let settings: Settings = from_item(item).map_err(unreadable)?;
    if settings.record_shape == RECORD_SHAPE {
        Ok(settings)
    } else {
        let shape = "record_shape of another version of this software";
        Err(StoreError::Unreadable(shape.to_owned()))
    }
}

fn settings_key() -> Item {
    item_key("SETTINGS".to_owned(), "SETTINGS".to_owned())
}
