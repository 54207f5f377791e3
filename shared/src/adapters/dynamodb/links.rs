//! The items of pay links.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;

use super::item::{link_key, new_link, read_link};
use super::{Table, unavailable};
use crate::domain::link::{Link, LinkToken};
use crate::ports::{GetLink, PutLink, StoreError};

impl PutLink for Table {
    async fn put_link(&self, token: &LinkToken, link: &Link) -> Result<(), StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.config.name)
            .set_item(Some(new_link(token, link)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            // The SDK sent the put once more, because the answer to the first was lost. Nobody else
            // can have this token.
            // mutant: link-written
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl GetLink for Table {
    async fn link(&self, token: &LinkToken) -> Result<Option<Link>, StoreError> {
        let item = self.get(link_key(token)).await?;
        item.map(read_link).transpose()
    }
}
