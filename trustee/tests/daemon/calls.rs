//! Who may call what, and what is refused before anything is done.

use proto::v1::{ExchangeRequest, FollowRequest, GetLogRequest, HelloRequest, RollChunk};
use protocol::encoding::Canonical as _;
use protocol::ids::{ElectionId, IdentityKey};
use protocol::manifest::Manifest;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Client, World, member, tls_identity};

fn hello() -> HelloRequest {
    HelloRequest { version: proto::WIRE_VERSION, build: "test".to_owned() }
}

/// The outcome of each method of the service, in order.
async fn all_methods(mut client: Client, election: &ElectionId) -> Vec<(&'static str, Result<(), Status>)> {
    let election_id = election.0.to_vec();
    let exchange = ExchangeRequest { election_id: election_id.clone(), ..ExchangeRequest::default() };
    let follow = FollowRequest { election_id: election_id.clone(), ..FollowRequest::default() };
    let roll = RollChunk { election_id: election_id.clone(), ..RollChunk::default() };
    let log = GetLogRequest { election_id, ..GetLogRequest::default() };
    vec![
        ("Hello", client.hello(hello()).await.map(drop)),
        ("Exchange", client.exchange(exchange).await.map(drop)),
        ("Follow", client.follow(follow).await.map(drop)),
        ("PutRoll", client.put_roll(roll).await.map(drop)),
        ("GetLog", client.get_log(log).await.map(drop)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_open_to_its_roles_and_to_nobody_else() {
    let mut world = World::new();
    let trustee = tls_identity();
    let circle = world.keepers[0].folder.join("circle.toml");
    let more = std::fs::read_to_string(&circle).unwrap() + &member("other", "trustee", &"0".repeat(64), &trustee.pin());
    std::fs::write(&circle, more).unwrap();
    world.keepers[0].start().await;
    world.exchange(0).await.unwrap();

    for (role, identity, may) in [
        ("shard", &world.shard_tls, &["Hello", "Exchange", "Follow", "PutRoll", "GetLog"][..]),
        ("official", &world.official_tls, &["Hello"]),
        ("trustee", &trustee, &[]),
    ] {
        let client = world.keepers[0].client(identity).await;
        for (method, outcome) in all_methods(client, &world.id()).await {
            let refused = outcome.as_ref().is_err_and(|status| status.code() == Code::PermissionDenied);
            assert_eq!(!refused, may.contains(&method), "{role} calls {method}: {outcome:?}");
        }
    }
    let stranger = tls_identity();
    if let Ok(client) = world.keepers[0].try_client(&stranger).await {
        for (method, outcome) in all_methods(client, &world.id()).await {
            let code = outcome.unwrap_err().code();
            assert!(
                matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled),
                "a stranger calls {method}: {code}"
            );
        }
    }
    world.keepers[0].stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_served_to_members() {
    let mut world = World::new();
    world.keepers[0].start().await;
    let limits = runtime::limits::Limits::default();
    let keeper = &world.keepers[0];
    let (address, pin) = (&keeper.enrolment.address, keeper.pin());
    let channel = runtime::connect::connect(address, pin, &world.official_tls, &limits).await.unwrap();
    let request = HealthCheckRequest { service: "conclave.v1.Trustee".to_owned() };
    let reply = HealthClient::new(channel).check(request).await.unwrap().into_inner();
    assert_eq!(reply.status, tonic_health::pb::health_check_response::ServingStatus::Serving as i32);
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_says_who_this_is_and_refuses_another_version() {
    let mut world = World::new();
    world.keepers[0].start().await;
    let mut client = world.client(0).await;
    let reply = client.hello(hello()).await.unwrap().into_inner();
    assert_eq!((reply.name.as_str(), reply.version), ("Ada", proto::WIRE_VERSION));
    assert!(reply.keystore.contains("for trials"), "{}", reply.keystore);
    let refused = client.hello(HelloRequest { version: 2, ..hello() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("VERSION_UNSUPPORTED"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_not_about_this_trustee_is_refused_by_field() {
    let mut world = World::new();
    world.keepers[0].start().await;
    let mut client = world.client(0).await;
    let good = (*world.manifest).clone();
    let mut offer = async |id: ElectionId, manifest: Vec<u8>| {
        let request = ExchangeRequest { election_id: id.0.to_vec(), manifest, ..ExchangeRequest::default() };
        client.exchange(request).await.map(|reply| reply.into_inner().needs_manifest)
    };
    let mut stranger = good.clone();
    stranger.trustees[0].identity = IdentityKey([9; 32]);
    let mut other_pin = good.clone();
    other_pin.trustees[0].tls_pin = [9; 32];
    let mut other_shard = good.clone();
    other_shard.shards[0].tls_pin = [9; 32];
    let mut broken_rule = good.clone();
    broken_rule.quorums.q = 1;
    let refused = |manifest: &Manifest| (manifest.id(), manifest.to_bytes());
    for ((id, manifest), code, named) in [
        (refused(&stranger), Code::FailedPrecondition, "CONFIG_MISMATCH: trustees: "),
        (refused(&other_pin), Code::FailedPrecondition, "CONFIG_MISMATCH: trustees.Ada.tls_pin"),
        (refused(&broken_rule), Code::FailedPrecondition, "two certified vote sets"),
        (refused(&other_shard), Code::PermissionDenied, "shard-1 is not a shard of election"),
        ((stranger.id(), good.to_bytes()), Code::FailedPrecondition, "CONFIG_MISMATCH: election_id"),
        ((good.id(), good.to_bytes()[1..].to_vec()), Code::FailedPrecondition, "canonically"),
    ] {
        let status = offer(id, manifest).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(named), "{status}");
        // Nothing of it was kept.
        assert!(offer(id, Vec::new()).await.unwrap(), "{named}");
    }
    assert!(!offer(good.id(), good.to_bytes()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_of_the_circle_that_is_not_of_the_election_is_kept_out() {
    let mut world = World::new();
    let other = tls_identity();
    let circle = world.keepers[0].folder.join("circle.toml");
    let more = std::fs::read_to_string(&circle).unwrap() + &member("shard-2", "shard", &"0".repeat(64), &other.pin());
    std::fs::write(&circle, more).unwrap();
    world.keepers[0].start().await;
    world.exchange(0).await.unwrap();
    let client = world.keepers[0].client(&other).await;
    for (method, outcome) in all_methods(client, &world.id()).await {
        match (method, outcome) {
            ("Hello", outcome) => outcome.unwrap(),
            (_, outcome) => assert_eq!(outcome.unwrap_err().code(), Code::PermissionDenied, "{method}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_about_unknown_elections_or_with_senseless_numbers_are_refused() {
    let mut world = World::new();
    world.keepers[0].start().await;
    let mut client = world.client(0).await;
    let request = ExchangeRequest { manifest: world.manifest.to_bytes(), ..world.request(0) };
    client.exchange(request).await.unwrap();
    let election_id = world.id().0.to_vec();
    let unknown = GetLogRequest { election_id: vec![1; 32], ..GetLogRequest::default() };
    assert_eq!(client.get_log(unknown).await.unwrap_err().code(), Code::NotFound);
    let short = GetLogRequest { election_id: vec![1; 31], ..GetLogRequest::default() };
    assert_eq!(client.get_log(short).await.unwrap_err().code(), Code::InvalidArgument);
    let lane = GetLogRequest { election_id: election_id.clone(), lane: 70_000, ..GetLogRequest::default() };
    assert_eq!(client.get_log(lane).await.unwrap_err().code(), Code::InvalidArgument);
    let many =
        FollowRequest { election_id: election_id.clone(), ballots: vec![Vec::new(); 5000], ..FollowRequest::default() };
    assert_eq!(client.follow(many).await.unwrap_err().code(), Code::InvalidArgument);
    let total = world.roll.to_bytes().len() as u64;
    let wrong_total = RollChunk { election_id: election_id.clone(), total: total + 1, ..RollChunk::default() };
    assert_eq!(client.put_roll(wrong_total).await.unwrap_err().code(), Code::FailedPrecondition);
    let beyond = RollChunk { election_id, offset: total, bytes: vec![1], total };
    assert_eq!(client.put_roll(beyond).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_roll_is_thrown_away_and_the_right_one_taken_after_it() {
    let mut world = World::new();
    world.keepers[0].start().await;
    let election_id = world.id().0.to_vec();
    let mut client = world.client(0).await;
    let request = ExchangeRequest { manifest: world.manifest.to_bytes(), ..world.request(0) };
    assert!(client.exchange(request).await.unwrap().into_inner().needs_roll);
    let mut wrong = world.roll.to_bytes();
    *wrong.last_mut().unwrap() ^= 1;
    let total = wrong.len() as u64;
    let refused = client.put_roll(RollChunk { election_id: election_id.clone(), offset: 0, bytes: wrong, total }).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    // A piece that comes too early changes nothing; pieces that come twice are taken once.
    let bytes = world.roll.to_bytes();
    let piece = |offset: usize, end: usize| RollChunk {
        election_id: election_id.clone(),
        offset: offset as u64,
        bytes: bytes[offset..end].to_vec(),
        total,
    };
    for (chunk, received) in [(piece(50, 100), 0), (piece(0, 50), 50), (piece(0, 50), 50), (piece(50, 100), 100)] {
        assert_eq!(client.put_roll(chunk).await.unwrap().into_inner().received, received);
    }
    let done = client.put_roll(piece(100, bytes.len())).await.unwrap().into_inner();
    assert!(done.complete);
    assert!(!client.exchange(world.request(0)).await.unwrap().into_inner().needs_roll);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_can_be_repeated_and_overlaps_and_gaps_do_no_harm() {
    let mut world = World::started().await;
    world.accept_all();
    world.until(protocol::board::Stage::Ready).await;
    let mut client = world.client(0).await;
    let all = ExchangeRequest { board_first: 0, envelopes: world.order.clone(), journal_from: 0, ..world.request(0) };
    let first = client.exchange(all.clone()).await.unwrap().into_inner();
    let again = client.exchange(all.clone()).await.unwrap().into_inner();
    assert_eq!(first.envelopes, again.envelopes);
    let journal = world.whole_journal(0).await;
    assert_eq!(first.board_next, world.order.len() as u64);
    // A new board of the coordinator: everything comes again, nothing is journaled twice.
    let anew = ExchangeRequest { board_epoch: 2, ..all.clone() };
    assert_eq!(client.exchange(anew).await.unwrap().into_inner().journal_len, journal.len() as u64);
    // A gap is not taken.
    let gap = ExchangeRequest { board_epoch: 3, board_first: 5, ..all };
    assert_eq!(client.exchange(gap).await.unwrap().into_inner().board_next, 0);
    assert_eq!(world.whole_journal(0).await, journal);
}

/// M04 for the board: the shard's database came from a backup, and positions mean other envelopes than before.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_went_back_and_grew_again_is_still_taken_whole() {
    let mut world = World::started().await;
    world.accept_all();
    world.until(protocol::board::Stage::Ready).await;
    let known = world.exchange(0).await.unwrap();
    world.order.truncate(3);
    let key_certificate = world.board.key_certificate().unwrap().digest();
    let request = protocol::agreement::messages::OpenRequest { key_certificate };
    world.post(protocol::signed::Sender::Official(1), request.into());
    assert!(world.order.len() < usize::try_from(known.board_next).unwrap());
    world.next[0] = 0;
    let reply = world.exchange(0).await.unwrap();
    // The request, and this trustee's own opening.
    assert_eq!(reply.journal_len, known.journal_len + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_forgeries_are_refused_with_their_position_and_not_journaled() {
    let mut world = World::started().await;
    world.exchange(0).await.unwrap();
    let before = world.whole_journal(0).await;
    let mut forged = world.order[0].clone();
    *forged.last_mut().unwrap() ^= 1;
    let request = ExchangeRequest {
        board_epoch: 9,
        board_first: 0,
        envelopes: vec![vec![1, 2, 3], world.order[0].clone(), Vec::new(), forged],
        ..world.request(0)
    };
    let mut client = world.client(0).await;
    let reply = client.exchange(request).await.unwrap().into_inner();
    assert_eq!(reply.refusals.iter().map(|refusal| refusal.position).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(reply.board_next, 4);
    assert_eq!(world.whole_journal(0).await, before);
}
