module pineconed.test/websocket

go 1.16

require (
	github.com/gorilla/websocket v1.5.0
	nhooyr.io/websocket v1.8.7
)
