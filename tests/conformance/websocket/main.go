// Carries a Pinecone peering between TCP and WebSocket, over the two libraries that the reference node uses, set up as it does:
//
//	websocket listen ADDRESS   accept WebSockets (gorilla), dial ADDRESS for each
//	websocket dial URI         accept TCP connections, dial the WebSocket URI (nhooyr) for each
//
// Either way it prints the address where it listens, and ends when its standard input does. As the reference does, it writes the
// handshake and each frame as a message of its own.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	gorilla "github.com/gorilla/websocket"
	nhooyr "nhooyr.io/websocket"
)

const (
	helloLength  = 104
	headerLength = 10
)

func main() {
	log.SetFlags(log.Lmicroseconds)
	if len(os.Args) != 3 {
		log.Fatal("usage: websocket listen ADDRESS | websocket dial URI")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	switch os.Args[1] {
	case "listen":
		go serve(listener, os.Args[2])
	case "dial":
		go forward(listener, os.Args[2])
	default:
		log.Fatalf("what is %q?", os.Args[1])
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// serve takes WebSockets as the reference's listener does: any path, the library's own rules otherwise.
func serve(listener net.Listener, target string) {
	upgrader := gorilla.Upgrader{}
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		socket, err := upgrader.Upgrade(response, request, nil)
		if err != nil {
			log.Print("upgrade: ", err)
			return
		}
		defer socket.Close()
		stream, err := net.Dial("tcp", target)
		if err != nil {
			log.Print("dial: ", err)
			return
		}
		carry(stream, &accepted{socket: socket})
	})))
}

// forward dials a WebSocket for each TCP connection, as the reference dials its static peers.
func forward(listener net.Listener, uri string) {
	for {
		stream, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			ctx := context.Background()
			socket, _, err := nhooyr.Dial(ctx, uri, nil)
			if err != nil {
				log.Print("dial: ", err)
				_ = stream.Close()
				return
			}
			carry(stream, nhooyr.NetConn(ctx, socket, nhooyr.MessageBinary))
		}()
	}
}

// carry copies both ways until either end is over, and closes both.
func carry(stream net.Conn, socket io.ReadWriteCloser) {
	done := make(chan error, 2)
	go func() {
		_, err := io.Copy(stream, socket)
		done <- fmt.Errorf("from the WebSocket: %v", err)
	}()
	go func() { done <- fmt.Errorf("to the WebSocket: %v", messages(stream, socket)) }()
	log.Print("over ", <-done)
	_ = stream.Close()
	_ = socket.Close()
}

// messages copies the handshake and then frames, each with one write.
func messages(from io.Reader, to io.Writer) error {
	buffer := make([]byte, 1<<16)
	read, length := 0, helloLength
	for {
		if _, err := io.ReadFull(from, buffer[read:length]); err != nil {
			return err
		}
		if _, err := to.Write(buffer[:length]); err != nil {
			return err
		}
		if _, err := io.ReadFull(from, buffer[:headerLength]); err != nil {
			return err
		}
		read, length = headerLength, int(binary.BigEndian.Uint16(buffer[headerLength-2:]))
		if length < headerLength {
			return fmt.Errorf("a frame of %d bytes", length)
		}
	}
}

// accepted makes a stream of a WebSocket that was accepted. What type a message has does not matter.
type accepted struct {
	socket  *gorilla.Conn
	message io.Reader
}

func (a *accepted) Read(into []byte) (int, error) {
	for {
		if a.message != nil {
			read, err := a.message.Read(into)
			if err != io.EOF {
				return read, err
			}
			a.message = nil
			if read > 0 {
				return read, nil
			}
		}
		_, next, err := a.socket.NextReader()
		if err != nil {
			return 0, err
		}
		a.message = next
	}
}

func (a *accepted) Write(bytes []byte) (int, error) {
	return len(bytes), a.socket.WriteMessage(gorilla.BinaryMessage, bytes)
}

func (a *accepted) Close() error {
	return a.socket.Close()
}
