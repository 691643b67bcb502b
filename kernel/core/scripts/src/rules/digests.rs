//! Digests (D).

use crate::{CMD, Machine, OUT, Prog, REFUSE, Rig, Scene, at, prog, to};

pub fn d3_1_d3_3_the_digest_shows_every_input_byte_and_the_setup<M: Machine>() {
    let digest = |seed: u64, bytes: &[u8], heard: bool| {
        let mut scene = Scene::of(1);
        scene.setup.seed = seed;
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.input(if heard { CMD } else { REFUSE }, bytes);
        rig.tick().digest
    };
    let reference = digest(1, b"an input", true);
    assert_eq!(digest(1, b"an input", true), reference);
    assert_ne!(digest(1, b"an inpuu", true), reference);
    assert_ne!(digest(2, b"an input", true), reference);
    assert_ne!(digest(1, b"a", false), digest(1, b"b", false), "even if nobody hears it");
}

pub fn d4_1_digest_and_fuel_chain_are_functions_of_what_is_done<M: Machine>() {
    let close = |program: Prog| {
        let mut rig = Rig::<M>::new(&Scene::of(1));
        rig.tick();
        rig.input(CMD, b"PROG\0\0\0\0");
        rig.tell(0, program);
        rig.tick()
    };
    // The same program twice is the same in both chains.
    let one = close(prog().topic("cmd/0"));
    assert_eq!(close(prog().topic("cmd/0")), one);
    let (few, more) = (close(prog()), close(prog().count(OUT)));
    assert_ne!(few.digest, more.digest);
    assert_ne!(few.fuel, more.fuel);
}

pub fn d1_2_where_a_payload_lies_never_shows<M: Machine>() {
    // The same bytes reach agent 2 at once, out of the spill, or by a worker's lane.
    let headers = |workers: u32| {
        let mut scene = Scene::of(4);
        scene.limits().receive_max = 2;
        let mut rig = Rig::<M>::with_workers(&scene, workers);
        rig.tick();
        for agent in [0, 1, 3] {
            rig.tell(agent, prog().send_len(to(2), 3000).send_len(to(2), 1));
        }
        rig.tick();
        assert_eq!(rig.core().held(), (0, 0));
        (rig.seen(at(2)), rig.digests())
    };
    let reference = headers(0);
    assert_eq!(reference.0.len(), 6);
    assert_eq!(headers(1), reference);
    assert_eq!(headers(3), reference);
}
