//! The transport under `solana-client`: its own has no bound on an answer's size, follows redirects, reads
//! proxies from the environment and panics on some statuses. This one does none of that.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use solana_client::{
    client_error::{ClientError, ClientErrorKind},
    rpc_request::{RpcError, RpcRequest, RpcResponseErrorData},
    rpc_sender::{RpcSender, RpcTransportStats},
};

/// Largest answer that is read: a page of 1,000 signatures with long memos is under 1 MiB.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// How often "too many requests" is taken before it is an error.
const PATIENCE: u32 = 4;

/// JSON-RPC over HTTP to one server, with a deadline and a limit on every answer.
pub(super) struct BoundedSender {
    http: reqwest::Client,
    url: reqwest::Url,
    next_id: AtomicU64,
}

impl BoundedSender {
    pub(super) fn new(url: reqwest::Url, deadline: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(deadline)
            .connect_timeout(deadline)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http, url, next_id: AtomicU64::new(1) })
    }

    async fn post(&self, body: String) -> Result<Option<Value>, ClientErrorKind> {
        let request = self.http.post(self.url.clone()).header("content-type", "application/json").body(body);
        // A provider's URL can hold a key: it is kept out of every error.
        let mut answer = request.send().await.map_err(reqwest::Error::without_url)?;
        if answer.status() == reqwest::StatusCode::TOO_MANY_REQUESTS {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(ClientErrorKind::Custom(format!("HTTP status {}", answer.status())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(ClientErrorKind::Custom(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(serde_json::from_slice(&bytes)?))
    }
}

#[async_trait]
impl RpcSender for BoundedSender {
    async fn send(&self, request: RpcRequest, params: Value) -> Result<Value, ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = request.build_request_json(id, params).to_string();
        let mut pause = Duration::from_millis(500);
        for _ in 0..PATIENCE {
            let Some(mut answer) = self.post(body.clone()).await? else {
                tokio::time::sleep(pause).await;
                pause *= 2;
                continue;
            };
            return match answer.get("error").filter(|error| !error.is_null()) {
                Some(error) => Err(refusal(error).into()),
                None => match answer.get_mut("result") {
                    Some(result) => Ok(result.take()),
                    None => Err(RpcError::ParseError("result".into()).into()),
                },
            };
        }
        Err(ClientErrorKind::Custom("too many requests (HTTP 429): wait, or use another RPC".into()).into())
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    fn url(&self) -> String {
        self.url.to_string()
    }
}

/// What the server says is wrong. For a failed preflight that includes the simulation's own error.
fn refusal(error: &Value) -> RpcError {
    let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
    let simulation = error.get("data").and_then(|data| serde_json::from_value(data.clone()).ok());
    let data = simulation.map_or(RpcResponseErrorData::Empty, RpcResponseErrorData::SendTransactionPreflightFailure);
    RpcError::RpcResponseError { code, message, data }
}
