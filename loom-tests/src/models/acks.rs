//! Acknowledgements: nothing is durable that was not accepted, and the end comes with the last
//! numbers.

use loom::thread;

use crate::check::{LoomModel, Marks};
use crate::ends::acks;
use crate::mem::LoomMem;

/// Two publications and the end, and a reader of all three words.
pub const ACKS_ORDER: LoomModel = LoomModel {
    name: "acks_order",
    bound: Some(3),
    reach: &["nothing", "part", "all", "ended"],
    run: order,
};

fn order(marks: &Marks) {
    let (mut writer, reader) = acks::<LoomMem>();
    let marks = marks.clone();
    let writing = thread::spawn(move || {
        writer.publish(1, 1);
        writer.publish(3, 2);
        writer.end();
    });
    let reading = thread::spawn(move || {
        let (durable, accepted) = (reader.durable(), reader.accepted());
        assert!(durable <= accepted, "{durable} are durable and {accepted} accepted");
        marks.hit(match durable {
            0 => "nothing",
            1 => "part",
            _ => "all",
        });
        if reader.has_ended() {
            marks.hit("ended");
            assert_eq!((reader.durable(), reader.accepted()), (2, 3));
        }
    });
    writing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}
