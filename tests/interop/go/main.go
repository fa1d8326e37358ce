// A Pinecone node of the reference implementation, run by the tests in tests/interop. It links the reference's own router, sessions,
// multicast and connections, and adds nothing to what they put on the wire.
//
//	interop -seed HEX [-listen ADDRESS] [-listenws ADDRESS] [-connect PEER,PEER] [-multicast] [-sessions]
//
// It prints one JSON object per line on standard output, told apart by "event": where it listens ("listening"), its state whenever
// that changes ("state"), peerings that come and go ("peer-added", "peer-removed"), traffic that arrives ("received"), and the
// answers to commands. Commands come as lines on standard input, whose end ends the program:
//
//	connect PEER            keeps a peering to host:port, ws://… or wss://…
//	send KEY PAYLOAD        sends one traffic frame; both in hexadecimal
//	state                   prints the state
//	serve                   with -sessions: answers HTTP requests for /bytes/N with N bytes
//	get KEY PATH            with -sessions: requests PATH of that node, prints length and SHA-256 of the body
//	quit
//
// With -sessions all traffic that arrives belongs to the QUIC of the reference's sessions, and none is printed.
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/matrix-org/pinecone/connections"
	"github.com/matrix-org/pinecone/multicast"
	"github.com/matrix-org/pinecone/router"
	"github.com/matrix-org/pinecone/router/events"
	"github.com/matrix-org/pinecone/sessions"
	"github.com/matrix-org/pinecone/types"
	"github.com/matrix-org/pinecone/util"
)

// protocol is the name that both ends of a session give in TLS. Any will do.
const protocol = "interop"

// pollInterval is how often the state is compared with what was printed last: often against what a test waits for.
const pollInterval = 100 * time.Millisecond

// object is one line of output, without its "event".
type object map[string]any

type node struct {
	router  *router.Router
	manager *connections.ConnectionManager
	session *sessions.SessionProtocol
	relayed counters
}

func main() {
	seed := flag.String("seed", "", "seed of the private key: 64 hexadecimal digits")
	listen := flag.String("listen", "", "address to listen on for TCP")
	listenws := flag.String("listenws", "", "address to listen on for WebSockets")
	connect := flag.String("connect", "", "peers to keep, separated by commas")
	discover := flag.Bool("multicast", false, "find neighbours by multicast")
	quic := flag.Bool("sessions", false, "give all traffic to QUIC sessions")
	flag.Parse()

	bytes, err := hex.DecodeString(*seed)
	if err != nil || len(bytes) != ed25519.SeedSize {
		log.Fatal("-seed needs 64 hexadecimal digits")
	}
	logger := log.New(os.Stderr, "", log.Lmicroseconds)
	n := &node{router: router.NewRouter(logger, ed25519.NewKeyFromSeed(bytes))}
	n.manager = connections.NewConnectionManager(n.router, nil)
	n.router.InjectPacketFilter(n.relayed.count)
	go n.reportPeerings()
	if *quic {
		n.session = sessions.NewSessions(logger, n.router, []string{protocol}).Protocol(protocol)
	} else {
		go n.reportTraffic()
	}
	if *discover {
		multicast.NewMulticast(logger, n.router).Start()
	}
	n.listen(*listen, *listenws)
	go n.reportChanges()
	for _, peer := range strings.FieldsFunc(*connect, func(r rune) bool { return r == ',' }) {
		go n.manager.AddPeer(peer)
	}

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 0 {
			if words[0] == "quit" {
				return
			}
			n.command(words[0], words[1:])
		}
	}
}

// command runs one line of input. Whatever takes long runs on its own.
func (n *node) command(name string, arguments []string) {
	switch {
	case name == "connect" && len(arguments) == 1:
		go n.manager.AddPeer(arguments[0])
	case name == "send" && len(arguments) == 2:
		n.send(arguments[0], arguments[1])
	case name == "state" && len(arguments) == 0:
		state := n.state()
		state["relayed_by_tree"], state["relayed_by_snake"] = n.relayed.values()
		emit("state", state)
	case name == "serve" && len(arguments) == 0 && n.session != nil:
		go n.serve()
	case name == "get" && len(arguments) == 2 && n.session != nil:
		go n.get(arguments[0], arguments[1])
	default:
		emit("error", object{"text": fmt.Sprintf("what is %q with %d arguments?", name, len(arguments))})
	}
}

// listen opens the listeners that are asked for, and says where they are.
func (n *node) listen(tcp, ws string) {
	where := object{}
	if tcp != "" {
		listener := mustListen(tcp)
		where["tcp"] = listener.Addr().String()
		go n.acceptTCP(listener)
	}
	if ws != "" {
		listener := mustListen(ws)
		where["ws"] = listener.Addr().String()
		go func() { log.Fatal(http.Serve(listener, http.HandlerFunc(n.acceptWebSocket))) }()
	}
	emit("listening", where)
}

func mustListen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// acceptTCP takes clients one at a time, the next one after the handshake of the last, as the reference's own program does.
func (n *node) acceptTCP(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		n.attach(conn, conn.RemoteAddr(), "")
	}
}

func (n *node) acceptWebSocket(response http.ResponseWriter, request *http.Request) {
	upgrader := websocket.Upgrader{}
	socket, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		emit("error", object{"text": "upgrade: " + err.Error()})
		return
	}
	n.attach(util.WrapWebSocketConn(socket), socket.RemoteAddr(), "websocket")
}

func (n *node) attach(conn net.Conn, from net.Addr, zone string) {
	_, err := n.router.Connect(
		conn,
		router.ConnectionURI(from.String()),
		router.ConnectionPeerType(router.PeerTypeRemote),
		router.ConnectionZone(zone),
	)
	if err != nil {
		_ = conn.Close()
		emit("error", object{"text": "inbound from " + from.String() + ": " + err.Error()})
	}
}

// send originates a frame: by coordinates if the router has learnt them from the destination's own traffic, otherwise by key.
func (n *node) send(destination, payload string) {
	key, err := parseKey(destination)
	if err == nil {
		var bytes []byte
		if bytes, err = hex.DecodeString(payload); err == nil {
			_, err = n.router.WriteTo(bytes, key)
		}
	}
	if err != nil {
		emit("error", object{"text": "send: " + err.Error()})
	}
}

func parseKey(text string) (key types.PublicKey, err error) {
	bytes, err := hex.DecodeString(text)
	if err == nil && copy(key[:], bytes) != len(key) {
		err = fmt.Errorf("a key has %d bytes", len(key))
	}
	return key, err
}

// reportTraffic prints what other nodes send to this one.
func (n *node) reportTraffic() {
	buffer := make([]byte, types.MaxFrameSize)
	for {
		length, from, err := n.router.ReadFrom(buffer)
		if err != nil {
			log.Fatal("ReadFrom: ", err)
		}
		if key, ok := from.(types.PublicKey); ok {
			emit("received", object{"from": key, "payload": hex.EncodeToString(buffer[:length])})
		}
	}
}

func (n *node) reportPeerings() {
	channel := make(chan events.Event, 64)
	n.router.Subscribe(channel)
	for event := range channel {
		switch event := event.(type) {
		case events.PeerAdded:
			emit("peer-added", object{"key": event.PeerID, "port": event.Port})
		case events.PeerRemoved:
			emit("peer-removed", object{"key": event.PeerID, "port": event.Port})
		}
	}
}

func (n *node) reportChanges() {
	var last string
	for range time.Tick(pollInterval) {
		state := n.state()
		text, err := json.Marshal(state)
		if err != nil {
			log.Fatal("state: ", err)
		}
		if string(text) != last {
			last = string(text)
			emit("state", state)
		}
	}
}

// serve answers requests over sessions. The reference's own HTTP server gives an answer ten seconds, which is not for bulk.
func (n *node) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/bytes/", func(response http.ResponseWriter, request *http.Request) {
		length, err := strconv.ParseInt(strings.TrimPrefix(request.URL.Path, "/bytes/"), 10, 64)
		if err != nil {
			http.NotFound(response, request)
			return
		}
		response.Header().Set("Content-Length", strconv.FormatInt(length, 10))
		hash := sha256.New()
		body := io.LimitReader(rand.New(rand.NewSource(length)), length)
		if _, err := io.Copy(io.MultiWriter(response, hash), body); err != nil {
			emit("error", object{"text": "serve: " + err.Error()})
			return
		}
		emit("served", object{"length": length, "sha256": hex.EncodeToString(hash.Sum(nil))})
	})
	emit("serving", object{})
	log.Fatal("serve: ", http.Serve(n.session, mux))
}

// get requests a page over a session and prints what came.
func (n *node) get(key, path string) {
	client := http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, to string) (net.Conn, error) { return n.session.DialContext(ctx, "", to) },
		DisableKeepAlives: true,
	}}
	response, err := client.Get("http://" + key + path)
	if err != nil {
		emit("error", object{"text": "get: " + err.Error()})
		return
	}
	defer response.Body.Close()
	hash := sha256.New()
	length, err := io.Copy(hash, response.Body)
	if err != nil {
		emit("error", object{"text": fmt.Sprintf("get: after %d bytes: %v", length, err)})
		return
	}
	emit("got", object{"status": response.StatusCode, "length": length, "sha256": hex.EncodeToString(hash.Sum(nil))})
}

var output sync.Mutex

// emit prints one line.
func emit(event string, fields object) {
	line := object{"event": event}
	for name, value := range fields {
		line[name] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		log.Fatal("emit: ", err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}
