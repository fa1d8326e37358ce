//! Dendrite on the mesh, and with Synapse in one room.
//!
//! No pictures: this version of Dendrite is from before homeservers asked each other for media with a signature, and Synapse gives none without.

use serde_json::json;

use crate::line::Line;
use crate::program;
use crate::rooms::{an_outage_loses_nothing, everybody_hears_everybody, everybody_joins, receipts_and_typing_arrive};
use crate::sandbox::in_lab_for;
use crate::venv;
use crate::wait::seconds;

#[test]
fn people_on_two_dendrites_and_a_synapse_share_a_room_through_an_outage() {
    let test = "people_on_two_dendrites_and_a_synapse_share_a_room_through_an_outage";
    if !venv::is_there(test) || !program::homeserver_is_there(test) {
        return;
    }
    in_lab_for(seconds(300), &[], |lab| {
        let line = Line::build(lab);
        let [middle] = line.synapses([1], &json!({}));
        let ends = [line.dendrite(0), line.dendrite(2)];
        let (alice, bob, carol) = (ends[0].register("alice"), middle.register("bob"), ends[1].register("carol"));
        // A version of rooms that this Dendrite has as its newest.
        let room = alice.create_room(&json!({ "preset": "private_chat", "room_version": "10" }));
        everybody_joins(&room, &[&alice, &bob, &carol]);
        everybody_hears_everybody(&room, &[&alice, &bob, &carol]);
        receipts_and_typing_arrive(&room, &alice, &bob);
        an_outage_loses_nothing(&line, &room, &alice, &carol);
        let (code, report) = line.ask(0, &["matrix", "check", &ends[1].name]);
        assert_eq!(code, Some(0), "{report}");
    });
}
