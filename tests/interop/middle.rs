//! Somebody in the middle with what he recorded: our daemon turns him away, and a Go node, as the control, takes him for whom he claims to be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use pinecone::keys::{Keypair, PublicKey, Seed};

use crate::daemon::{Config, Running, seeds_by_key};
use crate::go_node::GoNode;
use crate::lab::{Host, Lab};
use crate::program;
use crate::sandbox::in_lab;
use crate::wait::{seconds, wait_until};

/// Longer than any side waits for a hello, a proof or a frame.
const PATIENCE: std::time::Duration = seconds(15);
const HELLO_LEN: usize = 104;
const CHALLENGE_LEN: usize = 42;
const PROOF_LEN: usize = 106;

/// victim — middle — honest: the middle forwards what the honest node dials, and keeps it.
struct Scene {
    middle: Host,
    victim: SocketAddr,
    honest: Rc<Running>,
    honest_key: PublicKey,
    honest_at: SocketAddr,
    recorded: Arc<Mutex<Vec<u8>>>,
}

impl Scene {
    /// `victim` starts the victim on its host, to listen on port 7463.
    fn prepare<V>(lab: &Lab, victim: impl FnOnce(&Host) -> V) -> (Self, V) {
        let [victim_host, middle, honest_host] = ["victim", "middle", "honest"].map(|name| lab.host(name));
        let near = lab.link(&victim_host, &middle);
        let far = lab.link(&middle, &honest_host);
        let started = victim(&victim_host);
        let victim: SocketAddr = (near.end_at(&victim_host).ip(), 7463).into();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let listener = middle.within(|| TcpListener::bind((far.end_at(&middle).ip(), 7463))).unwrap();
        let (host, record) = (middle.clone(), Arc::clone(&recorded));
        std::thread::spawn(move || forward(&host, &listener, victim, &record));
        let seed = seeds_by_key(3)[2];
        let config = Config { peers: vec![far.end_at(&middle).uri()], ..Config::new(seed) };
        let honest = Running::start(lab, &honest_host, config);
        let honest_key = Keypair::from_seed(&Seed([seed; 32])).public();
        let honest_at = (far.end_at(&honest_host).ip(), 7463).into();
        (Self { middle, victim, honest, honest_key, honest_at, recorded }, started)
    }

    fn connect(&self, to: SocketAddr) -> TcpStream {
        let stream = self.middle.within(|| TcpStream::connect_timeout(&to, seconds(5))).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Ends the honest node, so that whoever has its key now is somebody else.
    fn honest_leaves(&self) {
        self.honest.stop(nix::sys::signal::Signal::SIGKILL);
    }

    /// The hello that the honest node had when it was a plain Pinecone node.
    fn old_hello(&self) -> Vec<u8> {
        hello(seeds_by_key(3)[2], [0; 3])
    }
}

/// Forwards one connection after the other, and keeps what the dialler of the last one said.
fn forward(middle: &Host, listener: &TcpListener, to: SocketAddr, record: &Mutex<Vec<u8>>) {
    while let Ok((mut from, _)) = listener.accept() {
        let Ok(mut onward) = middle.within(|| TcpStream::connect_timeout(&to, seconds(5))) else { continue };
        record.lock().unwrap().clear();
        let (mut back, mut to_dialler) = (onward.try_clone().unwrap(), from.try_clone().unwrap());
        let backwards = std::thread::spawn(move || std::io::copy(&mut back, &mut to_dialler));
        let mut bytes = [0; 4_096];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            record.lock().unwrap().extend(&bytes[..len]);
            if onward.write_all(&bytes[..len]).is_err() {
                break;
            }
        }
        let _ = onward.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
        let _ = backwards.join();
    }
}

/// A hello with these extension bytes, as the wire has it.
fn hello(seed: u8, extensions: [u8; 3]) -> Vec<u8> {
    let pair = Keypair::from_seed(&Seed([seed; 32]));
    let mut bytes = [&[1], &extensions[..], &[0, 0, 0, 0x3b], &pair.public().0].concat();
    let signature = pair.sign(&bytes);
    bytes.extend(signature);
    bytes
}

fn our_victim(lab: &Lab, host: &Host) -> Rc<Running> {
    Running::start(lab, host, Config::new(seeds_by_key(3)[0]))
}

fn go_victim(host: &Host) -> GoNode {
    GoNode::start_on(host, [seeds_by_key(3)[0]; 32], &["-listen", "0.0.0.0:7463"])
}

/// Our victim hangs up, and at no moment has more peers than these.
fn assert_turned_away(victim: &Running, mut stream: TcpStream, peers: usize) {
    stream.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    let start = Instant::now();
    let mut bytes = [0; 4_096];
    while start.elapsed() < PATIENCE {
        assert!(victim.peers().len() <= peers, "the one in the middle is a peer");
        match stream.read(&mut bytes) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
    panic!("the connection of the one in the middle is still open after {PATIENCE:?}");
}

fn has_peer(go: &GoNode, key: &PublicKey) -> bool {
    go.peers().iter().any(|(_, peer)| peer == key)
}

/// What the one in the middle says in the honest node's name, once that was a peer and is gone.
type Says = fn(&Scene) -> Vec<u8>;

const RECORDED: Says = |scene| scene.recorded.lock().unwrap().clone();
const OLD_HELLO: Says = Scene::old_hello;

fn assert_we_turn_away(lab: &Lab, says: Says) {
    let (scene, victim) = Scene::prepare(lab, |host| our_victim(lab, host));
    let key = scene.honest_key.to_string();
    wait_until("the honest node is a peer that has proven its key", seconds(10), || {
        victim.peers().iter().any(|peer| peer["key"] == key.as_str() && peer["authenticated"] == true)
    });
    scene.honest_leaves();
    wait_until("it has left", PATIENCE, || victim.peers().is_empty());
    let said = says(&scene);
    assert!(said.len() >= HELLO_LEN, "nothing was recorded");
    let mut stream = scene.connect(scene.victim);
    stream.write_all(&said).unwrap();
    assert_turned_away(&victim, stream, 0);
}

fn assert_a_go_node_believes(lab: &Lab, says: Says) {
    let (scene, go) = Scene::prepare(lab, go_victim);
    wait_until("the honest node is a peer", seconds(20), || has_peer(&go, &scene.honest_key));
    scene.honest_leaves();
    wait_until("it has left", seconds(30), || !has_peer(&go, &scene.honest_key));
    let said = says(&scene);
    let mut stream = scene.connect(scene.victim);
    stream.write_all(&said).unwrap();
    wait_until("a Go node takes him for the honest node", PATIENCE, || has_peer(&go, &scene.honest_key));
}

#[test]
fn a_recorded_peering_cannot_be_played_again_to_us() {
    in_lab(&[], |lab| assert_we_turn_away(lab, RECORDED));
}

#[test]
fn a_recorded_peering_can_be_played_again_to_a_go_node() {
    if program::is_there("middle") {
        in_lab(&[], |lab| assert_a_go_node_believes(lab, RECORDED));
    }
}

#[test]
fn a_hello_from_before_a_node_could_prove_its_key_is_not_believed_by_us() {
    in_lab(&[], |lab| assert_we_turn_away(lab, OLD_HELLO));
}

#[test]
fn a_hello_from_before_a_node_could_prove_its_key_is_believed_by_a_go_node() {
    if program::is_there("middle") {
        in_lab(&[], |lab| assert_a_go_node_believes(lab, OLD_HELLO));
    }
}

#[test]
fn what_a_node_signs_for_the_one_in_the_middle_does_not_convince_another() {
    in_lab(&[], |lab| {
        let (scene, victim) = Scene::prepare(lab, |host| our_victim(lab, host));
        wait_until("the honest node is a peer", seconds(10), || !victim.peers().is_empty());
        // The honest node stays a peer of the victim: one peering more would be his.
        let before = victim.peers().len();
        let mut to_victim = scene.connect(scene.victim);
        let mut to_honest = scene.connect(scene.honest_at);
        let mut hello_of_honest = [0; HELLO_LEN];
        to_honest.read_exact(&mut hello_of_honest).unwrap();
        // To the victim: "I am the honest node." To the honest node: who he is.
        to_victim.write_all(&hello_of_honest).unwrap();
        to_honest.write_all(&hello(seeds_by_key(3)[1], [1, 0, 3])).unwrap();
        let mut from_victim = [0; HELLO_LEN + CHALLENGE_LEN];
        to_victim.read_exact(&mut from_victim).unwrap();
        to_honest.write_all(&from_victim[HELLO_LEN..]).unwrap();
        let mut answer = [0; CHALLENGE_LEN + PROOF_LEN];
        to_honest.read_exact(&mut answer).expect("the honest node proves its key to him");
        to_victim.write_all(&answer).unwrap();
        assert_turned_away(&victim, to_victim, before);
    });
}

/// Says to the victim what the victim says, but for its hello, of which `hello` is said instead if there is one. Ends when the victim hangs up.
fn reflect(scene: &Scene, hello: Option<&[u8]>) -> JoinHandle<std::io::Result<u64>> {
    let mut stream = scene.connect(scene.victim);
    let mut own = [0; HELLO_LEN];
    if let Some(hello) = hello {
        stream.write_all(hello).unwrap();
    }
    stream.read_exact(&mut own).expect("a hello is said at once");
    if hello.is_none() {
        stream.write_all(&own).unwrap();
    }
    // Only the victim ends this.
    stream.set_read_timeout(None).unwrap();
    let mut back = stream.try_clone().unwrap();
    std::thread::spawn(move || std::io::copy(&mut back, &mut stream))
}

#[test]
fn what_we_say_is_not_believed_when_it_comes_back_to_us() {
    in_lab(&[], |lab| {
        let (scene, victim) = Scene::prepare(lab, |host| our_victim(lab, host));
        wait_until("the honest node is a peer", seconds(10), || !victim.peers().is_empty());
        let before = victim.peers().len();
        // Our whole handshake; and our challenge and our proof, behind the hello of one who could prove his key.
        for hello in [None, Some(hello(seeds_by_key(3)[1], [1, 0, 2]))] {
            let reflecting = reflect(&scene, hello.as_deref());
            wait_until("we hang up", PATIENCE, || {
                assert!(victim.peers().len() <= before, "what came back is a peer");
                reflecting.is_finished()
            });
        }
        assert_eq!(victim.peers().len(), before);
    });
}

#[test]
fn what_a_go_node_says_is_believed_when_it_comes_back_to_it() {
    if program::is_there("middle") {
        in_lab(&[], |lab| {
            let (scene, go) = Scene::prepare(lab, go_victim);
            wait_until("the honest node is a peer", seconds(20), || has_peer(&go, &scene.honest_key));
            let _reflecting = reflect(&scene, None);
            let own = Keypair::from_seed(&Seed([seeds_by_key(3)[0]; 32])).public();
            wait_until("a Go node takes what it hears for a peer: itself", PATIENCE, || has_peer(&go, &own));
        });
    }
}
