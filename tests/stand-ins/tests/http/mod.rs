//! A plain HTTP client, as the code under test would have one.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

#[derive(Clone, Debug)]
pub(crate) struct Client {
    client: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn error(&self, name: &str) -> Value {
        self.json()["error"][name].clone()
    }
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        Self {
            client: reqwest::Client::new(),
            base: base.to_owned(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn impatient(base: &str) -> Self {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(300))
            .build();
        Self {
            client: client.unwrap(),
            ..Self::new(base)
        }
    }

    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.headers.push((name.to_owned(), value.to_owned()));
        with
    }

    pub(crate) fn without_headers(&self) -> Self {
        Self {
            headers: Vec::new(),
            ..self.clone()
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", String::new()).await.unwrap()
    }

    pub(crate) async fn form(&self, path: &str, parameters: &[(&str, &str)]) -> Reply {
        self.try_form(path, parameters).await.unwrap()
    }

    pub(crate) async fn try_form(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> reqwest::Result<Reply> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        self.send("POST", path, "application/x-www-form-urlencoded", body)
            .await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.send(method, path, "application/json", body.to_string())
            .await
            .unwrap()
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: String,
    ) -> reqwest::Result<Reply> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.parse().unwrap(), url);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type).body(body);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()));
        Ok(Reply {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: response.bytes().await?.to_vec(),
        })
    }
}
