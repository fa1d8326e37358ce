package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"
	"sort"
	"strings"
	"sync/atomic"

	"github.com/matrix-org/pinecone/types"
)

// counters tells how the traffic that this node passes on is routed: that for itself never gets here.
type counters struct {
	byTree, bySnake atomic.Uint64
}

// count is a packet filter that lets everything pass.
func (c *counters) count(_ types.PublicKey, frame *types.Frame) bool {
	if frame.Type == types.TypeTraffic {
		if len(frame.Destination) > 0 {
			c.byTree.Add(1)
		} else {
			c.bySnake.Add(1)
		}
	}
	return false
}

func (c *counters) values() (uint64, uint64) {
	return c.byTree.Load(), c.bySnake.Load()
}

// manhole is what the reference's own debugging page says, as far as it is used.
type manhole struct {
	Coords string
	Root   struct {
		Key      string `json:"root_public_key"`
		Sequence uint64 `json:"root_sequence"`
	}
	Parent *manholePeer
	Peers  map[string][]manholePeer
	Snake  struct {
		Descending *manholePath
		Paths      []manholePath
	} `json:"snek"`
	Cache map[string]string `json:"coords_cache"`
}

type manholePeer struct {
	Port int
	Type int
	Zone string
	URI  string
}

type manholePath struct {
	Key string `json:"public_key"`
}

// state is what this node knows of the network, in the words of our tests.
func (n *node) state() object {
	page := httptest.NewRecorder()
	n.router.ManholeHandler(page, nil)
	var from manhole
	if err := json.Unmarshal(page.Body.Bytes(), &from); err != nil {
		log.Fatal("manhole: ", err)
	}
	state := object{
		"key": n.router.PublicKey(), "coords": ports(from.Coords),
		"root": from.Root.Key, "root_sequence": from.Root.Sequence,
		"parent": nil, "descending": nil,
	}
	if from.Parent != nil {
		state["parent"] = from.Parent.Port
	}
	if from.Snake.Descending != nil {
		state["descending"] = from.Snake.Descending.Key
	}
	paths := []string{}
	for _, path := range from.Snake.Paths {
		paths = append(paths, path.Key)
	}
	peers := []object{}
	for key, peerings := range from.Peers {
		for _, peering := range peerings {
			// Port 0 is the node itself.
			if peering.Port != 0 {
				peers = append(peers, object{
					"key": key, "port": peering.Port, "type": peering.Type, "zone": peering.Zone, "uri": peering.URI,
				})
			}
		}
	}
	sort.Slice(peers, func(i, j int) bool { return peers[i]["port"].(int) < peers[j]["port"].(int) })
	cache := map[string][]uint64{}
	for key, coords := range from.Cache {
		cache[key] = ports(coords)
	}
	state["peers"], state["paths"], state["cache"] = peers, paths, cache
	return state
}

// ports reads coordinates as the reference prints them: "[1 2]".
func ports(text string) []uint64 {
	list := []uint64{}
	for _, word := range strings.Fields(strings.Trim(text, "[]")) {
		var port uint64
		if _, err := fmt.Sscan(word, &port); err != nil {
			log.Fatalf("coordinates %q: %v", text, err)
		}
		list = append(list, port)
	}
	return list
}
