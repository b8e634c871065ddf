//! The table, over real connections.

use runtime::connect::connect_public;
use runtime::limits::Limits;
use runtime::serve::Listener;
use runtime::tls::{Peer, Peers, Trust};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::*;

async fn call(channel: &Channel, method: &str) -> Result<(), Status> {
    let mut client = HealthClient::new(channel.clone());
    let request = HealthCheckRequest { service: String::new() };
    match method {
        CHECK => client.check(request).await.map(drop),
        _ => client.watch(request).await.map(drop),
    }
}

#[tokio::test]
async fn every_role_reaches_its_methods_and_no_other() {
    // Each role may do something else; `observer` nothing at all.
    let table = runtime::authorise::Table::new().allow(CHECK, &["shard", "public"]).allow(WATCH, &["shard", "trustee"]);
    let roles = ["shard", "trustee", "observer"];
    let identities = roles.map(|_| identity());
    let peers =
        roles.iter().zip(&identities).map(|(&role, identity)| (identity.pin(), Peer::new(format!("{role}-1"), role)));
    let peers = Peers::new(peers).unwrap();
    let limits = Limits::default();
    let own = identity();
    let internal = Listener::internal(ANY_PORT, &own, &peers, None, &limits).await.unwrap();
    let internal = TestServer::start(own.clone(), internal, table.clone(), &limits).await;
    let public = Listener::public(ANY_PORT, &own, &limits).await.unwrap();
    let public = TestServer::start(own.clone(), public, table.clone(), &limits).await;

    let mut callers = Vec::new();
    for (role, identity) in roles.iter().zip(&identities) {
        callers.push((*role, internal.connect(identity).await));
        // A peer who comes through the public door is one of the public there.
        callers.push(("public", public.connect(identity).await));
    }
    let trust = Trust::Pin(own.pin());
    let address = public.address.to_string();
    let anonymous = connect_public(&address, &trust, &limits).await.unwrap();
    callers.push(("public", anonymous));

    let mut refused = 0;
    for (role, channel) in &callers {
        for method in [CHECK, WATCH] {
            let answer = call(channel, method).await;
            let code = answer.err().map(|status| status.code());
            let expected = (!table.allows(method, role)).then_some(Code::PermissionDenied);
            assert_eq!(code, expected, "{role} {method}");
            refused += usize::from(code.is_some());
        }
    }
    assert_eq!(refused, 1 + 2 + 4);
}

#[tokio::test]
async fn an_empty_table_lets_nobody_do_anything() {
    let (peer, own, limits) = (identity(), identity(), Limits::default());
    let listener = Listener::internal(ANY_PORT, &own, &shard(&peer), None, &limits).await.unwrap();
    let table = runtime::authorise::Table::new();
    let server = TestServer::start(own, listener, table, &limits).await;
    let channel = server.connect(&peer).await;
    for method in [CHECK, WATCH] {
        let status = call(&channel, method).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
}
