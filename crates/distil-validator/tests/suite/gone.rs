//! Kings whose files cannot be had any more, though their repositories list them.

use crate::rounds::{key, king, outcome};
use crate::site::TEACHER;
use crate::world::World;
use distil_devhub::{Fault, FaultKind, RepoKind, Server};
use distil_scoring::DisqualificationCode;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a6_a_king_whose_weights_are_deleted_falls_though_its_listing_stays", a6_a_king_whose_weights_are_deleted),
    ("c1_an_outage_of_the_content_servers_dethrones_nobody", c1_an_outage_of_the_content_servers),
];

/// Deleted LFS objects leave the listing as it was. The worker cannot load the king, so each round is void, and a king
/// whose absence did not count would be king for ever.
fn a6_a_king_whose_weights_are_deleted() {
    let mut world = World::open();
    world.register(1..=2);
    let kings_repo = world.enter(1, 3000);
    let mut validator = world.validator();
    world.epoch(&mut validator);
    let one = key(&world, 1);
    assert_eq!(king(&validator), Some(one));
    world.hub.lose_content(RepoKind::Model, &kings_repo).unwrap();
    world.fault(&kings_repo, "failed-absent");
    world.enter(2, 4000);
    let mut epochs = 0;
    while king(&validator) == Some(one) {
        let events = world.epoch(&mut validator);
        epochs += 1;
        assert!(epochs < 20, "it is king for ever");
        if king(&validator) == Some(one) {
            assert!(outcome(&events).evaluated.is_empty(), "without its king a round is void");
        }
    }
    // Ten minutes an epoch.
    assert!(epochs >= 6, "{epochs} epochs are less than an hour");
    let out = validator.store().disqualifications().unwrap();
    assert_eq!(out.keys().collect::<Vec<_>>(), [&one]);
    let out = &out[&one].disqualification;
    assert_eq!(out.code, DisqualificationCode::Removed);
    assert!(out.evidence.to_string().contains("model.safetensors"), "{}", out.evidence);
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(key(&world, 2)), "the throne passes on");
}

/// Weights of everybody, the teacher's too, are refused; listings are not.
fn c1_an_outage_of_the_content_servers() {
    for status in [403, 404, 503] {
        let mut world = World::open();
        world.register(1..=1);
        world.enter(1, 3000);
        let mut validator = world.validator();
        world.epoch(&mut validator);
        let one = key(&world, 1);
        world.hub.order(Fault::new(FaultKind::Status { status, retry_after: None }).at(Server::Cdn));
        for _ in 0..12 {
            world.epoch(&mut validator);
        }
        assert_eq!(king(&validator), Some(one), "{status}");
        assert!(validator.store().disqualifications().unwrap().is_empty(), "{status}");
        let asked = world.hub.requests().into_iter().filter(|request| request.server == Server::Cdn);
        let of_teacher = asked.filter(|request| request.path.contains(TEACHER)).count();
        assert_eq!(of_teacher > 0, status != 503, "{status}: the teacher is asked where something seems to be gone");
    }
}
