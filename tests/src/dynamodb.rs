//! A DynamoDB engine in process, behind its real wire protocol.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The table's name.
const TABLE: &str = "payments";

/// An engine with the table in it; stops on drop.
pub struct Dynamo {
    database: dynoxide::Database,
    client: Client,
    endpoint: String,
    server: JoinHandle<()>,
}

impl Dynamo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let database = dynoxide::Database::memory().expect("a database");
        let server = tokio::spawn(dynoxide::server::serve_on(listener, database.clone()));
        let patient = crate::aws_clients(&endpoint).dynamodb.config().to_builder();
        let client = Client::from_conf(patient.timeout_config(TimeoutConfig::disabled()).build());
        let key = |name: &str, kind: KeyType| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
                .expect("a key")
        };
        let attribute = |name: &str| {
            let text = ScalarAttributeType::S;
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(text)
                .build()
                .expect("an attribute")
        };
        client
            .create_table()
            .table_name(TABLE)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(key("pk", KeyType::Hash))
            .key_schema(key("sk", KeyType::Range))
            .attribute_definitions(attribute("pk"))
            .attribute_definitions(attribute("sk"))
            .send()
            .await
            .expect("a table");
        Self {
            database,
            client,
            endpoint,
            server,
        }
    }

    /// The engine itself, to fill it faster than through its wire protocol.
    pub fn database(&self) -> &dynoxide::Database {
        &self.database
    }

    /// A client of the engine.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where the engine listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops the engine, as in an outage.
    pub fn stop(&self) {
        self.server.abort();
    }

    /// Writes the settings, as the first payment of a deployment with this `ORDER_SCOPE` does.
    pub async fn put_settings(&self, order_scope: &str) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = self.client.put_item().table_name(TABLE);
        put.item("pk", text("SETTINGS"))
            .item("sk", text("SETTINGS"))
            .item("order_scope", text(order_scope))
            .item("record_shape", AttributeValue::N("1".to_owned()))
            .send()
            .await
            .expect("a write");
    }

    /// One item.
    pub async fn item(&self, pk: &str, sk: &str) -> HashMap<String, AttributeValue> {
        let mut items = self.items().await;
        let item = items.remove(&(pk.to_owned(), sk.to_owned()));
        item.unwrap_or_else(|| panic!("no item {pk} {sk}"))
    }

    /// Every item, by key.
    pub async fn items(&self) -> HashMap<(String, String), HashMap<String, AttributeValue>> {
        let scanned = self
            .client
            .scan()
            .table_name(TABLE)
            .consistent_read(true)
            .send()
            .await
            .expect("a scan");
        let text = |item: &HashMap<String, AttributeValue>, name: &str| {
            item[name].as_s().expect("text").clone()
        };
        scanned
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| ((text(&item, "pk"), text(&item, "sk")), item))
            .collect()
    }
}

impl Drop for Dynamo {
    fn drop(&mut self) {
        self.server.abort();
    }
}
