//! Every method of every service, called by every role over real TLS. (N01)

use std::collections::BTreeSet;

use coordinator::rpc::{OFFICIAL, RECORD, SHARD, VOTING, internal_table, public_table};
use proto::v1::{HelloReply, HelloRequest};
use protocol::manifest::Revote;
use runtime::connect::{connect, connect_public};
use runtime::limits::Limits;
use runtime::tls::{Identity, Trust};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::world::{World, WorldSettings, identity};

const OURS: [&[&str]; 4] = [OFFICIAL, SHARD, VOTING, RECORD];
const TRUSTEE: &str = "/conclave.v1.Trustee/Exchange";

/// Calls a method with an empty message.
async fn call(channel: &Channel, method: &'static str) -> Code {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<HelloRequest, HelloReply>::default();
    let path = http::uri::PathAndQuery::from_static(method);
    match client.unary(Request::new(HelloRequest::default()), path, codec).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

fn allowed(role: &str, method: &str) -> bool {
    let passed_on = ["/conclave.v1.Voting/FindBallot", "/conclave.v1.Voting/GetProof"];
    match role {
        "official" => OFFICIAL.contains(&method) || RECORD.contains(&method),
        "shard" => SHARD.contains(&method) || RECORD.contains(&method) || passed_on.contains(&method),
        "public" => VOTING.contains(&method) || RECORD.contains(&method),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_may_call_what_the_table_says_and_nothing_else() {
    let world = World::new(WorldSettings { lanes: 1, revote: Revote::Last, voters: 1 }).await;
    let address = world.config.listen.to_string();
    let limits = Limits::default();
    let mut tried = 0;
    for (role, tls) in
        [("official", &world.official_tls), ("shard", &world.second_tls), ("trustee", &world.trustee_tls)]
    {
        let channel = connect(&address, world.shard_tls.pin(), tls, &limits).await.unwrap();
        for method in OURS.concat().into_iter().chain([TRUSTEE]) {
            let code = call(&channel, method).await;
            assert_eq!(code != Code::PermissionDenied, allowed(role, method), "{role} {method}: {code:?}");
            tried += 1;
        }
    }
    let trust = Trust::Pin(world.shard_tls.pin());
    let public = connect_public(&world.config.public_listen.to_string(), &trust, &limits).await.unwrap();
    for method in OURS.concat().into_iter().chain([TRUSTEE]) {
        let code = call(&public, method).await;
        assert_eq!(code != Code::PermissionDenied, allowed("public", method), "public {method}: {code:?}");
        tried += 1;
    }
    assert_eq!(tried, 4 * 21);
    // A stranger does not even get to ask.
    let stranger: Identity = identity();
    let channel = connect(&address, world.shard_tls.pin(), &stranger, &limits).await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    if client.ready().await.is_ok() {
        let codec = tonic_prost::ProstCodec::<HelloRequest, HelloReply>::default();
        let path = http::uri::PathAndQuery::from_static("/conclave.v1.Official/Hello");
        let status = client.unary(Request::new(HelloRequest::default()), path, codec).await.unwrap_err();
        assert_ne!(status.code(), Code::PermissionDenied, "the handshake ends before any table is asked");
    }
    world.stop().await;
}

#[test]
fn the_tables_name_methods_that_exist_and_all_of_ours() {
    let descriptors = proto::DESCRIPTORS;
    let text = String::from_utf8_lossy(descriptors);
    let ours: BTreeSet<&str> = OURS.concat().into_iter().collect();
    let mut listed = BTreeSet::new();
    for table in [internal_table(), public_table()] {
        for method in table.methods().map(str::to_owned).collect::<Vec<_>>() {
            if let Some(name) = method.strip_prefix("/conclave.v1.") {
                let (_, name) = name.split_once('/').unwrap();
                assert!(text.contains(name), "{method} is not in the wire");
                listed.insert(method);
            }
        }
    }
    assert_eq!(listed.iter().map(String::as_str).collect::<BTreeSet<_>>(), ours);
}
